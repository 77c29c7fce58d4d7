//! Requests whose bodies must not be buffered: WebSocket handshakes and gRPC calls.
//!
//! Protection is switched off by facts of the protocol and of the route, never by a header alone: a
//! bogus `Upgrade` is taken off the request, and a `Content-Type` makes a gRPC call only over
//! HTTP/2 towards an upstream whose configuration says `grpc: true`.

use edge_core::{Head, Refusal, Version};

use crate::assemble::RouteState;

/// What an `Upgrade` header turns out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Upgrade {
    /// There is none.
    None,
    /// A complete WebSocket opening handshake (RFC 6455 section 4.1).
    WebSocket,
    /// Anything else: the header is ignored, as RFC 9110 section 7.8 allows.
    Bogus,
}

/// Judges the `Upgrade` header of a request.
///
/// # Errors
/// A handshake that also carries a body: two parsers would disagree where frames begin.
pub(crate) fn upgrade(head: &Head) -> Result<Upgrade, Refusal> {
    let Some(protocol) = head.field("upgrade") else {
        return Ok(Upgrade::None);
    };
    // On HTTP/2 an `Upgrade` can only be ours: an extended CONNECT put into these words.
    let handshake = matches!(head.version(), Version::Http11 | Version::Http2)
        && head.method() == b"GET"
        && protocol.eq_ignore_ascii_case(b"websocket")
        && head.values("upgrade").count() == 1
        && lists(head, "connection", b"upgrade")
        && head.field("sec-websocket-version") == Some(b"13")
        && head
            .field("sec-websocket-key")
            .is_some_and(|key| key.len() == WEBSOCKET_KEY);
    if !handshake {
        return Ok(Upgrade::Bogus);
    }
    let empty = head
        .field("content-length")
        .is_none_or(|length| length == b"0");
    if !empty || head.field("transfer-encoding").is_some() {
        return Err(Refusal::new(400, "WebSocket handshake with a body"));
    }
    Ok(Upgrade::WebSocket)
}

/// True for a gRPC call to an upstream that the operator declared to be one: it may stream both ways
/// at once, so only its head is inspected.
pub(crate) fn is_grpc(head: &Head, route: &RouteState) -> bool {
    let grpc = |value: &[u8]| {
        let media = value
            .split(|byte| *byte == b';')
            .next()
            .unwrap_or_default()
            .trim_ascii();
        let media = media.to_ascii_lowercase();
        media == b"application/grpc" || media.starts_with(b"application/grpc+")
    };
    head.version() == Version::Http2
        && route.upstream.grpc
        && head.method() == b"POST"
        && head
            .field("te")
            .is_some_and(|te| te.eq_ignore_ascii_case(b"trailers"))
        && head.field("content-type").is_some_and(grpc)
}

fn lists(head: &Head, name: &str, token: &[u8]) -> bool {
    head.values(name)
        .flat_map(|value| value.split(|byte| *byte == b','))
        .any(|item| item.trim_ascii().eq_ignore_ascii_case(token))
}

/// Sixteen bytes in base64.
const WEBSOCKET_KEY: usize = 24;

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn head(lines: &str) -> Head {
        let raw = format!("GET /chat HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        Head::parse(Bytes::from(raw), 32).unwrap()
    }

    const HANDSHAKE: &str = "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

    #[test]
    fn a_complete_handshake_is_a_websocket() {
        assert_eq!(upgrade(&head(HANDSHAKE)), Ok(Upgrade::WebSocket));
        assert_eq!(upgrade(&head("")), Ok(Upgrade::None));
    }

    #[test]
    fn an_incomplete_or_other_upgrade_is_bogus() {
        for lines in [
            "Upgrade: websocket\r\n".to_owned(),
            "Upgrade: h2c\r\nConnection: Upgrade\r\n".to_owned(),
            HANDSHAKE.replace(": 13", ": 777"),
            HANDSHAKE.replace("keep-alive, Upgrade", "close"),
        ] {
            assert_eq!(upgrade(&head(&lines)), Ok(Upgrade::Bogus), "{lines}");
        }
    }

    #[test]
    fn a_handshake_with_a_body_is_refused() {
        for framing in ["Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"] {
            let lines = format!("{HANDSHAKE}{framing}");
            assert_eq!(upgrade(&head(&lines)).unwrap_err().status, 400);
        }
    }
}
