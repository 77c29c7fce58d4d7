//! The strict HTTP/1 gate: takes a request head out of the bytes of a connection and decides
//! whether every parser behind us must read it the way we do.
//!
//! RFC 9112 with every tolerance removed: what two parsers could read differently is refused, never
//! repaired (security argument: the gate may only err towards refusing). Pure: no I/O, no clock.

use bytes::{Buf, Bytes, BytesMut};
use edge_core::{Head, HeadError, Version, head::is_token_byte};
use memchr::memchr;

use crate::fields;
use crate::{Reason, authority};

/// Bounds of a request head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of the whole head, empty line included.
    pub bytes: usize,
    /// Number of fields.
    pub fields: usize,
    /// Bytes of the request target.
    pub target: usize,
    /// Whether bytes beyond ASCII may stand in the target.
    ///
    /// RFC 3986 has no such bytes, and servers disagree about them: one reads UTF-8, one Latin-1, one
    /// takes 0xA0 or 0x85 for a blank. Admitting them is safe because no server gets to see one: the
    /// rules read the target as it was sent, and everybody behind the gate reads it percent-encoded,
    /// which has one meaning (`connection::for_engine`).
    pub non_ascii_target: bool,
}

/// How the end of the request's content is found, RFC 9112 section 6.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is no content.
    None,
    /// This many bytes; more than zero.
    Length(u64),
    /// Chunked transfer coding.
    Chunked,
}

/// A head that passed the gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// The head.
    pub head: Head,
    /// How its content is framed.
    pub framing: Framing,
    /// The client offers another protocol; only a 101 response may take it up.
    pub upgrade: bool,
}

/// Finds the end of one head in bytes that arrive piece by piece.
#[derive(Debug, Default)]
pub struct HeadReader {
    /// Everything before this was looked at.
    seen: usize,
    /// Where the current line starts.
    line: usize,
    /// Whether the request line is complete.
    first_line: bool,
    /// Empty lines skipped before the request line.
    blank: usize,
}

impl HeadReader {
    /// Takes a complete head off `buffer`, or says that more bytes are needed with `None`.
    ///
    /// # Errors
    /// As soon as no continuation could make it an acceptable head.
    pub fn take(
        &mut self,
        buffer: &mut BytesMut,
        limits: &HeadLimits,
    ) -> Result<Option<BytesMut>, Reason> {
        // RFC 9112 section 2.2: one empty line before the request line is ignored.
        if self.seen == 0 && self.blank == 0 && buffer.starts_with(b"\r\n") {
            buffer.advance(2);
            self.blank = 1;
        }
        match buffer.first() {
            Some(b'\r') if self.blank == 0 && buffer.len() == 1 => return Ok(None),
            Some(b) if !is_token_byte(*b) => return Err(HeadError::RequestLine.into()),
            _ => {}
        }
        while let Some(at) = buffer.get(self.seen..).and_then(|rest| memchr(b'\n', rest)) {
            let lf = self.seen + at;
            if lf.checked_sub(1).and_then(|cr| buffer.get(cr)) != Some(&b'\r') {
                return Err(HeadError::BareLf.into());
            }
            let line = buffer.get(self.line..lf).unwrap_or_default();
            // HTTP/0.9 has no more lines to wait for.
            if !self.first_line && line.iter().filter(|b| **b == b' ').count() < 2 {
                return Err(HeadError::RequestLine.into());
            }
            let empty = lf == self.line + 1;
            (self.seen, self.line, self.first_line) = (lf + 1, lf + 1, true);
            if lf >= limits.bytes {
                break;
            }
            if empty {
                return Ok(Some(buffer.split_to(lf + 1)));
            }
        }
        self.seen = self.seen.max(buffer.len().min(limits.bytes));
        if !self.first_line && buffer.len() > limits.target + METHOD_MAX + VERSION_ROOM {
            return Err(Reason::TargetTooLong);
        }
        if buffer.len() >= limits.bytes {
            return Err(Reason::HeadTooLarge);
        }
        Ok(None)
    }
}

/// Decides about one complete head.
///
/// # Errors
/// The first rule it breaks, with the head if the bytes were one.
pub fn admit(raw: Bytes, limits: &HeadLimits) -> Result<Admitted, (Reason, Option<Head>)> {
    if raw.len() > limits.bytes {
        return Err((Reason::HeadTooLarge, None));
    }
    let head = Head::parse(raw, limits.fields).map_err(|error| (error.into(), None))?;
    match examine(&head, limits) {
        Ok((framing, upgrade)) => Ok(Admitted {
            head,
            framing,
            upgrade,
        }),
        Err(reason) => Err((reason, Some(head))),
    }
}

/// Decides about a head that HTTP/2 has framed already: the same rules, for an upstream will read
/// it as HTTP/1.
///
/// # Errors
/// The first rule it breaks.
pub fn check(head: &Head, limits: &HeadLimits) -> Result<(), Reason> {
    let mut fields = head.fields();
    if fields.len() > limits.fields {
        return Err(HeadError::TooManyFields.into());
    }
    let control = |byte: &u8| matches!(byte, 0..0x20 | 0x7f) && *byte != b'\t';
    if fields.any(|(_, value)| value.iter().any(control)) {
        return Err(HeadError::FieldValue.into());
    }
    // HTTP/2 has its own way to the engine, on which nothing is encoded.
    if !head.target().iter().all(u8::is_ascii_graphic) {
        return Err(HeadError::Target.into());
    }
    examine(head, limits).map(|_| ())
}

fn examine(head: &Head, limits: &HeadLimits) -> Result<(Framing, bool), Reason> {
    request_line(head, limits)?;
    let mut fields = Fields::default();
    for (name, value) in head.fields() {
        fields.read(name, value)?;
    }
    nominations(head)?;
    host(head, fields.host)?;
    let framing = framing(head.version(), &fields)?;
    if fields
        .expect
        .is_some_and(|value| !value.eq_ignore_ascii_case(b"100-continue"))
    {
        return Err(Reason::Expectation);
    }
    Ok((framing, fields.upgrade && head.version() == Version::Http11))
}

fn request_line(head: &Head, limits: &HeadLimits) -> Result<(), Reason> {
    let (method, target) = (head.method(), head.target());
    if head.version() == Version::Other {
        return Err(HeadError::Version.into());
    }
    if !limits.non_ascii_target && !target.is_ascii() {
        return Err(HeadError::Target.into());
    }
    if method.len() > METHOD_MAX {
        return Err(Reason::MethodTooLong);
    }
    // RFC 9112 section 3.2.3: a tunnel is asked for by host and port, anything else is no request.
    if method == b"CONNECT" && !authority::names_port(target) {
        return Err(Reason::TargetForm);
    }
    // CONNECT would turn us into a tunnel, TRACE reflects credentials (RFC 9110 section 9.3.8).
    if method.eq_ignore_ascii_case(b"CONNECT") || method.eq_ignore_ascii_case(b"TRACE") {
        return Err(Reason::MethodForbidden);
    }
    if target.len() > limits.target {
        return Err(Reason::TargetTooLong);
    }
    if target.contains(&b'#') {
        return Err(Reason::Fragment);
    }
    let origin = target.first() == Some(&b'/');
    let asterisk = target == b"*" && method == b"OPTIONS";
    if origin || asterisk || authority::of_target(target).is_some() {
        return Ok(());
    }
    Err(Reason::TargetForm)
}

/// The fields that decide about framing and routing; each at most once.
#[derive(Default)]
struct Fields<'a> {
    seen: u32,
    host: Option<&'a [u8]>,
    length: Option<&'a [u8]>,
    coding: Option<&'a [u8]>,
    expect: Option<&'a [u8]>,
    upgrade: bool,
}

impl<'a> Fields<'a> {
    fn read(&mut self, name: &'a [u8], value: &'a [u8]) -> Result<(), Reason> {
        if fields::is_look_alike(name) {
            return Err(Reason::LookAlike);
        }
        let Some(index) = fields::singleton(name) else {
            self.upgrade |= name.eq_ignore_ascii_case(b"upgrade");
            return Ok(());
        };
        let known = fields::SINGLETONS.get(index).copied().unwrap_or_default();
        if self.seen & (1 << index) != 0 {
            return Err(Reason::Duplicate(known));
        }
        self.seen |= 1 << index;
        match known {
            "host" => self.host = Some(value),
            "content-length" => self.length = Some(value),
            "transfer-encoding" => self.coding = Some(value),
            "expect" => self.expect = Some(value),
            _ => {}
        }
        Ok(())
    }
}

/// A `Connection` field may only name itself, known hop-by-hop fields, and names that are not there:
/// anything else would be inspected here and missing behind us.
fn nominations(head: &Head) -> Result<(), Reason> {
    for value in head.values("connection") {
        for option in value.split(|b| *b == b',') {
            let option = option.trim_ascii();
            if option.is_empty() || fields::is_hop_by_hop(option) {
                continue;
            }
            let present = head
                .fields()
                .any(|(name, _)| name.eq_ignore_ascii_case(option));
            if present || fields::is_protected(option) || !option.iter().copied().all(is_token_byte)
            {
                return Err(Reason::Nomination);
            }
        }
    }
    Ok(())
}

fn host(head: &Head, host: Option<&[u8]>) -> Result<(), Reason> {
    let authority = authority::of_target(head.target());
    if authority.is_some_and(|authority| !authority::is_valid(authority)) {
        return Err(Reason::HostInvalid);
    }
    match (host, authority) {
        (None, _) if head.version() == Version::Http11 => Err(Reason::HostMissing),
        (None, _) => Ok(()),
        (Some(host), _) if !authority::is_valid(host) => Err(Reason::HostInvalid),
        // RFC 9112 section 3.2.2 lets the target win; a server that lets Host win would disagree.
        (Some(host), Some(authority)) if host != authority => Err(Reason::HostMismatch),
        (Some(_), _) => Ok(()),
    }
}

fn framing(version: Version, fields: &Fields<'_>) -> Result<Framing, Reason> {
    match (fields.length, fields.coding) {
        (Some(_), Some(_)) => Err(Reason::TwoFramings),
        (None, None) => Ok(Framing::None),
        (None, Some(_)) if version != Version::Http11 => Err(Reason::TransferEncodingVersion),
        (None, Some(coding)) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
        (None, Some(_)) => Err(Reason::TransferEncoding),
        (Some(length), None) => match content_length(length) {
            Some(0) => Ok(Framing::None),
            Some(length) => Ok(Framing::Length(length)),
            None => Err(Reason::ContentLength),
        },
    }
}

/// Digits only, no leading zero (octal to some), and small enough for a signed 64-bit reader.
fn content_length(value: &[u8]) -> Option<u64> {
    if !value.iter().all(u8::is_ascii_digit) || (value.len() > 1 && value.starts_with(b"0")) {
        return None;
    }
    let number: i64 = std::str::from_utf8(value).ok()?.parse().ok()?;
    u64::try_from(number).ok()
}

/// Longer than every registered method.
const METHOD_MAX: usize = 64;
/// The blanks and the version of a request line, and its line end.
const VERSION_ROOM: usize = 12;

#[cfg(test)]
mod tests;
