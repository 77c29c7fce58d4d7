//! HTTP/1 messages as they stand on the wire: just enough parsing to tell a story about them.
//!
//! Lenient on purpose where a test wants to see odd bytes, strict where a lenient reader would hide
//! a fault (RFC 9112: chunk sizes, the CRLF after chunk data). Every read is bounded.

use std::io::{self, BufRead, ErrorKind, Read};

/// A head may be this long; the gateway's own limit is far lower.
const HEAD_LIMIT: u64 = 4 << 20;
/// Of longer bodies only the length is kept.
const KEPT: usize = 16 << 20;

/// A request or a response.
#[derive(Debug, Clone, Default)]
pub struct Message {
    /// Request line or status line without its end.
    pub start: String,
    /// Field lines in order, bytes read as Latin-1, values trimmed.
    pub headers: Vec<(String, String)>,
    /// The head's bytes, the empty line included.
    pub raw_head: Vec<u8>,
    /// The body's first 16 MiB, transfer coding removed.
    pub body: Vec<u8>,
    /// The body's length, transfer coding removed.
    pub length: u64,
    /// Trailer fields of a chunked body.
    pub trailers: Vec<(String, String)>,
    /// Status of a response, 0 for a request.
    pub status: u16,
}

impl Message {
    /// The value of the only field of that name; panics if there are two.
    #[must_use]
    pub fn header<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        let mut values = self.headers_named(name);
        let first = values.next();
        assert!(values.next().is_none(), "two {name} in {:?}", self.headers);
        first
    }

    /// All values of a field, in order.
    pub fn headers_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers
            .iter()
            .filter(move |(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The request method.
    #[must_use]
    pub fn method(&self) -> &str {
        self.start.split(' ').next().unwrap_or_default()
    }

    /// The request target.
    #[must_use]
    pub fn target(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or_default()
    }

    /// Reads a head; `None` if the peer closed before its first byte.
    ///
    /// # Errors
    /// The connection failed, or what came is not a head.
    pub fn read_head(reader: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut message = Self::default();
        let mut reader = reader.take(HEAD_LIMIT);
        loop {
            let line_start = message.raw_head.len();
            if reader.read_until(b'\n', &mut message.raw_head)? == 0 {
                if message.raw_head.is_empty() {
                    return Ok(None);
                }
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let line = latin1(trim_end(&message.raw_head[line_start..]));
            if line_start == 0 {
                message.status = status_of(&line);
                message.start = line;
            } else if line.is_empty() {
                return Ok(Some(message));
            } else {
                message.headers.push(field(&line));
            }
        }
    }

    /// Reads the body that the head announces. A response without length ends with the connection.
    ///
    /// # Errors
    /// The connection failed, or the chunked framing is wrong.
    pub fn read_body(&mut self, reader: &mut impl BufRead, to_head: bool) -> io::Result<()> {
        let chunked = self
            .headers_named("transfer-encoding")
            .any(|value| value.eq_ignore_ascii_case("chunked"));
        let length = self
            .headers_named("content-length")
            .next()
            .map(|value| value.parse().map_err(|_| bad("content-length")))
            .transpose()?;
        if to_head || matches!(self.status, 100..=199 | 204 | 304) {
            Ok(())
        } else if chunked {
            self.read_chunks(reader)
        } else if let Some(length) = length {
            self.take(reader, length)
        } else if self.status == 0 {
            Ok(())
        } else {
            while self.read_some(reader, u64::MAX)? > 0 {}
            Ok(())
        }
    }

    fn read_chunks(&mut self, reader: &mut impl BufRead) -> io::Result<()> {
        loop {
            let line = read_line(reader)?;
            let size = line.split(';').next().unwrap_or_default();
            let size = u64::from_str_radix(size, 16).map_err(|_| bad("chunk size"))?;
            if size == 0 {
                break;
            }
            self.take(reader, size)?;
            if !read_line(reader)?.is_empty() {
                return Err(bad("bytes after chunk data"));
            }
        }
        loop {
            let line = read_line(reader)?;
            if line.is_empty() {
                return Ok(());
            }
            self.trailers.push(field(&line));
        }
    }

    fn take(&mut self, reader: &mut impl BufRead, length: u64) -> io::Result<()> {
        let end = self.length + length;
        while self.length < end {
            if self.read_some(reader, end - self.length)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    /// One read of at most `limit` bytes, kept or only counted.
    fn read_some(&mut self, reader: &mut impl BufRead, limit: u64) -> io::Result<usize> {
        let available = reader.fill_buf()?;
        let count = available
            .len()
            .min(usize::try_from(limit).unwrap_or(usize::MAX));
        let kept = count.min(KEPT.saturating_sub(self.body.len()));
        self.body.extend_from_slice(&available[..kept]);
        reader.consume(count);
        self.length += count as u64;
        Ok(count)
    }
}

fn read_line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    if reader.take(HEAD_LIMIT).read_until(b'\n', &mut line)? == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(latin1(trim_end(&line)))
}

fn trim_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

fn field(line: &str) -> (String, String) {
    let (name, value) = line.split_once(':').unwrap_or((line, ""));
    (name.to_owned(), value.trim().to_owned())
}

fn status_of(line: &str) -> u16 {
    line.strip_prefix("HTTP/1.")
        .and_then(|rest| rest.get(2..5))
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}

fn bad(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what.to_owned())
}
