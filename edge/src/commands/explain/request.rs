//! The raw request of `explain`, read as a listener reads it from a connection.
//!
//! The gate of `edge-conn` finds the head and the framing, RFC 9112; nothing here is more lenient.
//! One courtesy for people: a head typed with plain LF is first written as a client would send it.

use bytes::{Bytes, BytesMut};
use edge_conn::gate::{self, Admitted, HeadLimits, HeadReader};
use edge_conn::{BodyFault, Reason, body};
use edge_core::{Head, HeadError};

/// A request that passed the gate.
#[derive(Debug)]
pub(super) struct Received {
    /// Its head.
    pub(super) head: Head,
    /// Its content, freed from the framing.
    pub(super) content: Result<Bytes, BodyFault>,
    /// Bytes behind it.
    pub(super) beyond: usize,
}

/// Reads one request.
///
/// # Errors
/// What the gate refuses, with the head if the bytes were one.
pub(super) fn receive(raw: &[u8], limits: &HeadLimits) -> Result<Received, (Reason, Option<Head>)> {
    let mut buffer = if is_typed(raw) {
        BytesMut::from(&*as_sent(raw))
    } else {
        BytesMut::from(raw)
    };
    let head = HeadReader::default()
        .take(&mut buffer, limits)
        .and_then(|head| head.ok_or(HeadError::Incomplete.into()))
        .map_err(|reason| (reason, None))?;
    let Admitted { head, framing, .. } = gate::admit(head.freeze(), limits)?;
    let rest = buffer.freeze();
    let (content, beyond) = match body::content(framing, &rest) {
        Ok((content, taken)) => (Ok(content), rest.len() - taken),
        Err(fault) => (Err(fault), 0),
    };
    Ok(Received {
        head,
        content,
        beyond,
    })
}

/// Whether the first line ends in a plain LF, as in a file written with an editor.
fn is_typed(raw: &[u8]) -> bool {
    let line = raw.split_inclusive(|byte| *byte == b'\n').next();
    line.is_some_and(|line| line.ends_with(b"\n") && !line.ends_with(b"\r\n"))
}

/// A typed request with CR LF in its head, and with the length of what follows unless it is framed.
fn as_sent(raw: &[u8]) -> Vec<u8> {
    let mut sent = Vec::with_capacity(raw.len() + 64);
    let (mut rest, mut framed) = (raw, false);
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let (line, after) = rest.split_at(end);
        rest = after.get(1..).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            if !framed && !rest.is_empty() {
                sent.extend_from_slice(format!("Content-Length: {}\r\n", rest.len()).as_bytes());
            }
            sent.extend_from_slice(b"\r\n");
            sent.extend_from_slice(rest);
            return sent;
        }
        framed |= is_framing(line);
        sent.extend_from_slice(line);
        sent.extend_from_slice(b"\r\n");
    }
    // No empty line: the gate will call it incomplete.
    sent.extend_from_slice(rest);
    sent
}

fn is_framing(line: &[u8]) -> bool {
    let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
    [&b"content-length"[..], b"transfer-encoding"]
        .iter()
        .any(|framing| name.eq_ignore_ascii_case(framing))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits {
        bytes: 1024,
        fields: 16,
        target: 256,
        non_ascii_target: false,
    };

    fn received(raw: &str) -> Received {
        receive(raw.as_bytes(), &LIMITS).unwrap()
    }

    fn refused(raw: &str) -> &'static str {
        receive(raw.as_bytes(), &LIMITS).unwrap_err().0.name()
    }

    #[test]
    fn a_request_typed_with_plain_line_feeds_is_read_as_clients_send_it() {
        let read = received("POST / HTTP/1.1\nHost: a\nX-Note: content-length: none\n\nx=1\n");
        assert_eq!(read.head.field("content-length"), Some(&b"4"[..]));
        assert_eq!(read.content.unwrap(), "x=1\n");
        let read = received("POST / HTTP/1.1\nHost: a\nContent-Length: 3\n\nx=1\n");
        assert_eq!((read.content.unwrap(), read.beyond), ("x=1".into(), 1));
    }

    #[test]
    fn a_chunked_body_is_freed_from_its_framing() {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let read = received(&format!("{head}3\r\nx=1\r\n1\r\n2\r\n0\r\n\r\n"));
        assert_eq!(read.content.unwrap(), "x=12");
        let read = received(&format!("{head}3\nx=1\n0\n\n"));
        assert_eq!(read.content.unwrap_err().name(), "chunked");
    }

    #[test]
    fn a_body_is_cut_to_its_length_and_may_not_be_shorter() {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n";
        let read = received(&format!("{head}x=1&y=2"));
        assert_eq!((read.content.unwrap(), read.beyond), ("x=1".into(), 4));
        let read = received(&format!("{head}x="));
        assert_eq!(read.content.unwrap_err().name(), "incomplete_body");
    }

    #[test]
    fn a_head_without_its_empty_line_is_refused() {
        for raw in [
            "GET / HTTP/1.1\r\nHost: a\r\n",
            "GET / HTTP/1.1\nHost: a\n",
            "GET / HTTP/1.1",
            "",
        ] {
            assert_eq!(refused(raw), "incomplete", "{raw:?}");
        }
    }

    #[test]
    fn line_ends_are_not_mixed() {
        assert_eq!(refused("GET / HTTP/1.1\r\nHost: a\n\r\n"), "bare_lf");
    }
}
