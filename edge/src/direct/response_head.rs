//! Reads a server's response head and writes the client's.
//!
//! What two parsers could frame differently is no answer: a length beside a transfer coding, a length
//! that repeats or is no number, a coding other than `chunked` (RFC 9112 section 6.3). The client gets
//! every field as it came but those of the connection.

use std::mem::MaybeUninit;

use http::StatusCode;
use httparse::{Header, ParserConfig, Response, Status};
use pingora::protocols::http::date;

use super::content::Content;
use super::reply::Reply;
use super::server::Trouble;
use crate::proxy::answer::Page;

/// What the bytes of a response begin with.
pub(super) enum Found {
    /// Not all of a head.
    More,
    /// An interim response of this length, which is written for the client.
    Interim(usize),
    /// One that the client is not to see.
    Continue(usize),
    /// The head of the answer.
    Answer(Answer),
}

/// The head of an answer.
pub(super) struct Answer {
    pub(super) status: u16,
    /// Of the head.
    pub(super) length: usize,
    pub(super) content: Content,
    /// Whether the server keeps the connection open afterwards.
    pub(super) keeps: bool,
}

/// The question and the client it is answered to.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    /// Answers have no content.
    pub(super) head: bool,
    /// The connection is closed afterwards.
    pub(super) last: bool,
}

/// Reads a head at the start of `bytes`; `judge` sees it before the client's is written to `reply`.
///
/// # Errors
/// [`Trouble::Broken`] for what is no unambiguous head, and what `judge` says.
pub(super) fn read(
    bytes: &[u8],
    asked: Asked,
    reply: &mut Reply,
    judge: impl FnOnce(u16, &[Header<'_>]) -> Result<(), Trouble>,
) -> Result<Found, Trouble> {
    let mut room = [const { MaybeUninit::uninit() }; FIELDS];
    let mut response = Response::new(&mut []);
    let parsed =
        ParserConfig::default().parse_response_with_uninit_headers(&mut response, bytes, &mut room);
    let length = match parsed {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Ok(Found::More),
        Err(_) => return Err(Trouble::Broken),
    };
    let (Some(status), Some(version)) = (response.code, response.version) else {
        return Err(Trouble::Broken);
    };
    if status < 200 {
        return interim(status, &response, length, reply);
    }
    let fields = Fields::of(response.headers)?;
    let content = match fields.content(version)? {
        _ if asked.head || matches!(status, 204 | 304) => Content::Length(0),
        content => content,
    };
    judge(status, response.headers)?;
    write_head(reply, status, &response)?;
    if !fields.dated {
        reply.field("Date", date::get_cached_date().as_bytes())?;
    }
    if !reply.is_http2() {
        if !content.is_framed() {
            reply.field("Transfer-Encoding", b"chunked")?;
        }
        let connection: &[u8] = if asked.last { b"close" } else { b"keep-alive" };
        reply.field("Connection", connection)?;
    }
    reply.end();
    Ok(Found::Answer(Answer {
        status,
        length,
        keeps: version == 1 && !fields.closes && content.is_framed(),
        content,
    }))
}

/// Writes the head of an answer of our own, after which the connection is closed.
///
/// # Errors
/// None in fact: its fields are valid.
pub(super) fn page(reply: &mut Reply, page: &Page) -> Result<(), Trouble> {
    let reason = page.status.canonical_reason().unwrap_or_default();
    reply.begin(page.status.as_u16(), reason)?;
    for (name, value) in &page.fields {
        reply.field(name, value.as_bytes())?;
    }
    reply.field("date", date::get_cached_date().as_bytes())?;
    if !reply.is_http2() {
        reply.field("connection", b"close")?;
    }
    reply.end();
    Ok(())
}

/// RFC 9110 section 15.2: 100 answers an expectation that never left us, 101 an upgrade that was
/// never asked for; the others are the client's.
fn interim(
    status: u16,
    response: &Response<'_, '_>,
    length: usize,
    reply: &mut Reply,
) -> Result<Found, Trouble> {
    if !(100..200).contains(&status) || status == 101 {
        return Err(Trouble::Broken);
    }
    if status == 100 {
        return Ok(Found::Continue(length));
    }
    write_head(reply, status, response)?;
    reply.end();
    Ok(Found::Interim(length))
}

/// The status and the fields that are not of the connection.
fn write_head(reply: &mut Reply, status: u16, response: &Response<'_, '_>) -> Result<(), Trouble> {
    let known = || StatusCode::from_u16(status).ok()?.canonical_reason();
    let reason = response.reason.filter(|reason| !reason.is_empty());
    reply.begin(status, reason.or_else(known).unwrap_or_default())?;
    // Without content there is nothing to frame (RFC 9110 section 8.6, RFC 9112 section 6.1).
    let bare = status < 200 || status == 204;
    for field in response.headers.iter() {
        let framing = match kind(field.name) {
            Kind::Coding => bare || reply.is_http2(),
            Kind::Length => bare,
            _ => false,
        };
        if !framing && !is_of_the_connection(field.name) {
            reply.field(field.name, field.value)?;
        }
    }
    Ok(())
}

/// The fields that decide about framing.
#[derive(Default)]
struct Fields<'a> {
    length: Option<&'a [u8]>,
    coding: Option<&'a [u8]>,
    dated: bool,
    closes: bool,
}

impl<'a> Fields<'a> {
    fn of(headers: &[Header<'a>]) -> Result<Self, Trouble> {
        let mut fields = Self::default();
        for Header { name, value } in headers {
            let before = match kind(name) {
                Kind::Length => fields.length.replace(value),
                Kind::Coding => fields.coding.replace(value),
                Kind::Date => {
                    fields.dated = true;
                    None
                }
                Kind::Connection => {
                    let mut options = value.split(|byte| *byte == b',');
                    fields.closes |=
                        options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"));
                    None
                }
                Kind::Other => None,
            };
            if before.is_some() {
                return Err(Trouble::Broken);
            }
        }
        Ok(fields)
    }

    fn content(&self, version: u8) -> Result<Content, Trouble> {
        match (self.length, self.coding) {
            (None, None) => Ok(Content::UntilClose),
            (None, Some(coding)) if version == 1 && coding.eq_ignore_ascii_case(b"chunked") => {
                Ok(Content::Chunked(Box::default()))
            }
            (Some(length), None) => number(length).map(Content::Length).ok_or(Trouble::Broken),
            (_, Some(_)) => Err(Trouble::Broken),
        }
    }
}

/// What a field means here.
#[derive(PartialEq, Eq)]
enum Kind {
    Length,
    Coding,
    Date,
    Connection,
    Other,
}

fn kind(name: &str) -> Kind {
    match name.len() {
        4 if name.eq_ignore_ascii_case("date") => Kind::Date,
        10 if name.eq_ignore_ascii_case("connection") => Kind::Connection,
        14 if name.eq_ignore_ascii_case("content-length") => Kind::Length,
        17 if name.eq_ignore_ascii_case("transfer-encoding") => Kind::Coding,
        _ => Kind::Other,
    }
}

fn is_of_the_connection(name: &str) -> bool {
    match name.len() {
        7 => name.eq_ignore_ascii_case("upgrade"),
        10 => name.eq_ignore_ascii_case("connection") || name.eq_ignore_ascii_case(KEEP_ALIVE),
        16 => name.eq_ignore_ascii_case("proxy-connection"),
        _ => false,
    }
}

/// Digits only.
fn number(value: &[u8]) -> Option<u64> {
    let digits = !value.is_empty() && value.len() <= 19 && value.iter().all(u8::is_ascii_digit);
    let value = digits.then(|| std::str::from_utf8(value).ok())??;
    value.parse().ok()
}

const KEEP_ALIVE: &str = "keep-alive";
/// Fields of a response at most.
const FIELDS: usize = 256;
