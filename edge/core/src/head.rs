//! The head of a request, kept as the bytes that arrived.
//!
//! One buffer and a list of spans: reading a header copies nothing, and rules see names in their
//! original case and order. [`Head::parse`] implements the strict reading of RFC 9112 sections 2
//! to 6; it must never repair what it reads. Which requests are *refused* because two parsers could
//! read them differently is decided by the gate in `edge-conn` with what it finds here. A version
//! nobody speaks and bytes beyond ASCII in the target still make a head: the gate refuses it, and the
//! record can say what it was.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use memchr::{memchr, memrchr};

/// A request head: request line and fields, in wire order.
#[derive(Clone, PartialEq, Eq)]
pub struct Head {
    raw: Bytes,
    method: Span,
    target: Span,
    protocol: Span,
    version: Version,
    fields: Vec<(Span, Span)>,
}

/// Protocol version of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each name is the protocol's")]
pub enum Version {
    Http10,
    Http11,
    Http2,
    /// Anything else: no request of such a version is served.
    Other,
}

impl Version {
    /// The name as it stands in a request line, for example `HTTP/1.1`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2.0",
            Self::Other => "HTTP/?",
        }
    }
}

/// Why bytes are not a request head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeadError {
    /// The buffer does not end with the empty line.
    #[error("head is incomplete")]
    Incomplete,
    /// Larger than a span can address.
    #[error("head is too large")]
    TooLarge,
    /// More fields than allowed.
    #[error("too many header fields")]
    TooManyFields,
    /// A line feed without a carriage return.
    #[error("bare LF")]
    BareLf,
    /// A carriage return without a line feed.
    #[error("bare CR")]
    BareCr,
    /// Not `method SP target SP version`.
    #[error("malformed request line")]
    RequestLine,
    /// A method that is not a token.
    #[error("invalid method")]
    Method,
    /// A control byte, blank or unwanted non-ASCII byte in the target, or an empty one.
    #[error("invalid request target")]
    Target,
    /// Neither HTTP/1.0 nor HTTP/1.1.
    #[error("unsupported HTTP version")]
    Version,
    /// A line that starts with a blank: obsolete folding.
    #[error("folded header line")]
    Folded,
    /// A field without a colon, or with an invalid name.
    #[error("invalid header name")]
    FieldName,
    /// A control byte in a field value.
    #[error("control byte in header value")]
    FieldValue,
}

impl Head {
    /// Reads a whole HTTP/1 head that ends with its empty line; `max_fields` bounds the fields.
    ///
    /// # Errors
    /// The first thing that is not strict RFC 9112.
    pub fn parse(raw: Bytes, max_fields: usize) -> Result<Self, HeadError> {
        let mut lines = Lines { raw: &raw, at: 0 };
        let line = lines.next()?.ok_or(HeadError::RequestLine)?;
        let (method, target, protocol) = request_line(&raw, line)?;
        let version = match protocol.of(&raw) {
            b"HTTP/1.1" => Version::Http11,
            b"HTTP/1.0" => Version::Http10,
            _ => Version::Other,
        };
        let mut fields = Vec::with_capacity(16);
        while let Some(line) = lines.next()? {
            if fields.len() == max_fields {
                return Err(HeadError::TooManyFields);
            }
            fields.push(field(&raw, line)?);
        }
        Ok(Self {
            method,
            target,
            protocol,
            version,
            fields,
            raw,
        })
    }

    /// Builds a head from parts that another parser (HTTP/2) has already validated.
    #[must_use]
    pub fn from_parts<'a>(
        method: &[u8],
        target: &[u8],
        version: Version,
        fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Self {
        let mut raw = Vec::with_capacity(1024);
        let mut push = |bytes: &[u8]| {
            let start = raw.len();
            raw.extend_from_slice(bytes);
            Span::new(start..raw.len())
        };
        let (method, target) = (push(method), push(target));
        let protocol = push(version.name().as_bytes());
        let fields = fields
            .into_iter()
            .map(|(name, value)| (push(name), push(value)))
            .collect();
        Self {
            method,
            target,
            protocol,
            version,
            fields,
            raw: raw.into(),
        }
    }

    /// The method, case as sent.
    #[must_use]
    pub fn method(&self) -> &[u8] {
        self.method.of(&self.raw)
    }

    /// The request target, byte for byte.
    #[must_use]
    pub fn target(&self) -> &[u8] {
        self.target.of(&self.raw)
    }

    /// The path of an origin-form target: everything before `?`, undecoded. An absolute-form
    /// target loses scheme and authority.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        let target = self.target();
        let end = target
            .iter()
            .position(|b| matches!(b, b'?' | b'#'))
            .unwrap_or(target.len());
        let path = target.get(..end).unwrap_or_default();
        if path.first() == Some(&b'/') {
            return path;
        }
        let Some(authority) = path.windows(3).position(|w| w == b"://") else {
            return path;
        };
        let rest = path.get(authority + 3..).unwrap_or_default();
        match rest.iter().position(|b| *b == b'/') {
            Some(slash) => rest.get(slash..).unwrap_or_default(),
            None => b"/",
        }
    }

    /// The query without its `?`, undecoded; `None` without a `?`.
    #[must_use]
    pub fn query(&self) -> Option<&[u8]> {
        let target = self.target();
        let start = target.iter().position(|b| *b == b'?')? + 1;
        let rest = target.get(start..)?;
        Some(rest.split(|b| *b == b'#').next().unwrap_or_default())
    }

    /// The protocol version.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The protocol as it was sent, for example `HTTP/1.1`.
    #[must_use]
    pub fn protocol(&self) -> &[u8] {
        self.protocol.of(&self.raw)
    }

    /// All fields in wire order, names in their original case.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> + Clone {
        self.fields
            .iter()
            .map(|(name, value)| (name.of(&self.raw), value.of(&self.raw)))
    }

    /// The first value of the field `name` (compared without case).
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.fields()
            .find(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value)
    }

    /// Every value of the field `name` (compared without case), in order.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.fields()
            .filter(move |(n, _)| n.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value)
    }
}

impl fmt::Debug for Head {
    /// Method and target only: fields may carry credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Head")
            .field("method", &String::from_utf8_lossy(self.method()))
            .field("target", &String::from_utf8_lossy(self.target()))
            .field("version", &self.version)
            .field("fields", &self.fields.len())
            .finish()
    }
}

/// True for the bytes of an RFC 9110 token.
#[must_use]
pub fn is_token_byte(byte: u8) -> bool {
    TOKEN.get(usize::from(byte)).copied().unwrap_or_default()
}

/// By byte: names are read a byte at a time, and each head has a hundred of them.
static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut rest = table.as_mut_slice();
    let mut byte = 0_u8;
    while let Some((entry, more)) = rest.split_first_mut() {
        *entry = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            );
        byte = byte.wrapping_add(1);
        rest = more;
    }
    table
};

/// Whether any byte is `bad`; looks at all of them, which lets the compiler take many at once.
fn any(bytes: &[u8], bad: impl Fn(u8) -> bool) -> bool {
    bytes.iter().fold(false, |found, byte| found | bad(*byte))
}

/// A piece of the raw head; heads stay far below 4 GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// A span that cannot be addressed becomes empty, which no check takes for a valid name.
    fn new(range: Range<usize>) -> Self {
        match (u32::try_from(range.start), u32::try_from(range.end)) {
            (Ok(start), Ok(end)) => Self { start, end },
            _ => Self { start: 0, end: 0 },
        }
    }

    fn of(self, raw: &[u8]) -> &[u8] {
        raw.get(self.start as usize..self.end as usize)
            .unwrap_or_default()
    }
}

/// Walks CRLF-terminated lines up to the empty one.
struct Lines<'a> {
    raw: &'a [u8],
    at: usize,
}

impl Lines<'_> {
    fn next(&mut self) -> Result<Option<Range<usize>>, HeadError> {
        if self.raw.len() > u32::MAX as usize {
            return Err(HeadError::TooLarge);
        }
        let rest = self.raw.get(self.at..).unwrap_or_default();
        let lf = memchr(b'\n', rest).ok_or(HeadError::Incomplete)?;
        let line = rest.get(..lf).unwrap_or_default();
        let Some((b'\r', line)) = line.split_last() else {
            return Err(HeadError::BareLf);
        };
        if memchr(b'\r', line).is_some() {
            return Err(HeadError::BareCr);
        }
        let range = self.at..self.at + line.len();
        self.at += lf + 1;
        Ok((!line.is_empty()).then_some(range))
    }
}

fn request_line(raw: &[u8], line: Range<usize>) -> Result<(Span, Span, Span), HeadError> {
    let bytes = raw.get(line.clone()).unwrap_or_default();
    let first = memchr(b' ', bytes).ok_or(HeadError::RequestLine)?;
    let last = memrchr(b' ', bytes).ok_or(HeadError::RequestLine)?;
    if first == last {
        return Err(HeadError::RequestLine);
    }
    let protocol = bytes.get(last + 1..).unwrap_or_default();
    if protocol.is_empty() || !protocol.iter().all(u8::is_ascii_graphic) {
        return Err(HeadError::Version);
    }
    let method = bytes.get(..first).unwrap_or_default();
    if method.is_empty() || !method.iter().copied().all(is_token_byte) {
        return Err(HeadError::Method);
    }
    let target = bytes.get(first + 1..last).unwrap_or_default();
    let blind = |byte: u8| byte <= b' ' || byte == 0x7f;
    if target.is_empty() || any(target, blind) {
        return Err(HeadError::Target);
    }
    let at = line.start;
    Ok((
        Span::new(at..at + first),
        Span::new(at + first + 1..at + last),
        Span::new(at + last + 1..line.end),
    ))
}

fn field(raw: &[u8], line: Range<usize>) -> Result<(Span, Span), HeadError> {
    let bytes = raw.get(line.clone()).unwrap_or_default();
    if matches!(bytes.first(), Some(b' ' | b'\t')) {
        return Err(HeadError::Folded);
    }
    let colon = memchr(b':', bytes).ok_or(HeadError::FieldName)?;
    let (name, value) = bytes.split_at(colon);
    if name.is_empty() || !name.iter().copied().all(is_token_byte) {
        return Err(HeadError::FieldName);
    }
    let value = value.get(1..).unwrap_or_default();
    if any(value, |byte| (byte < 0x20 && byte != b'\t') || byte == 0x7f) {
        return Err(HeadError::FieldValue);
    }
    let blank = |b: &u8| matches!(b, b' ' | b'\t');
    let lead = value.iter().take_while(|b| blank(b)).count();
    let trail = value
        .iter()
        .skip(lead)
        .rev()
        .take_while(|b| blank(b))
        .count();
    let start = line.start + colon + 1 + lead;
    let end = line.end - trail;
    Ok((
        Span::new(line.start..line.start + colon),
        Span::new(start..end),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Head, HeadError> {
        Head::parse(Bytes::copy_from_slice(text.as_bytes()), 8)
    }

    #[test]
    fn a_plain_head_keeps_case_order_and_bytes() {
        let head =
            parse("GET /a?b=c#d HTTP/1.1\r\nHost: x\r\nX-A:\t y \r\nhost: z\r\n\r\n").unwrap();
        assert_eq!(head.method(), b"GET");
        assert_eq!((head.path(), head.query()), (&b"/a"[..], Some(&b"b=c"[..])));
        let fields: Vec<_> = head.fields().collect();
        assert_eq!(fields[1], (&b"X-A"[..], &b"y"[..]));
        assert_eq!(head.values("HOST").collect::<Vec<_>>(), [b"x", b"z"]);
    }

    #[test]
    fn absolute_form_has_the_path_of_its_origin_form() {
        assert_eq!(
            parse("GET http://h/p?q HTTP/1.1\r\n\r\n").unwrap().path(),
            b"/p"
        );
        assert_eq!(parse("GET http://h HTTP/1.1\r\n\r\n").unwrap().path(), b"/");
    }

    #[test]
    fn what_two_parsers_could_read_differently_is_refused() {
        for (text, error) in [
            ("GET / HTTP/1.1\nHost: x\n\n", HeadError::BareLf),
            ("GET / HTTP/1.1\r\nA: b\rc\r\n\r\n", HeadError::BareCr),
            ("GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", HeadError::Folded),
            ("GET / HTTP/1.1\r\nA : b\r\n\r\n", HeadError::FieldName),
            ("GET / HTTP/1.1\r\n: b\r\n\r\n", HeadError::FieldName),
            ("GET / HTTP/1.1\r\nA: b\0c\r\n\r\n", HeadError::FieldValue),
            ("GET  / HTTP/1.1\r\n\r\n", HeadError::Target),
            ("GET /a b HTTP/1.1\r\n\r\n", HeadError::Target),
            ("GET / \r\n\r\n", HeadError::Version),
            ("GET / HTTP/1.1\t\r\n\r\n", HeadError::Version),
            ("G@T / HTTP/1.1\r\n\r\n", HeadError::Method),
            ("GET /\r\n\r\n", HeadError::RequestLine),
            ("GET / HTTP/1.1\r\nA: b\r\n", HeadError::Incomplete),
        ] {
            assert_eq!(parse(text), Err(error), "{text:?}");
        }
    }
    #[test]
    fn what_nobody_serves_is_still_told_apart() {
        let head = parse("GET /\u{e9} HTTP/4.0\r\nHost: x\r\n\r\n").unwrap();
        assert_eq!(head.version(), Version::Other);
        assert_eq!(head.protocol(), b"HTTP/4.0");
        assert_eq!(head.target(), "/\u{e9}".as_bytes());
        let served = parse("GET / HTTP/1.0\r\n\r\n").unwrap();
        assert_eq!(
            (served.version(), served.protocol()),
            (Version::Http10, &b"HTTP/1.0"[..])
        );
    }
}
