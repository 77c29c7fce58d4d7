//! WebSocket over HTTP/2, RFC 8441: an extended `CONNECT` towards the client, an HTTP/1.1 upgrade
//! towards the upstream.
//!
//! The client's side has no key and no accept value; we make the key and check the upstream's answer
//! to it (RFC 6455 section 4.1), so a server that was not asked for a WebSocket cannot open one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, request};
use sha1::{Digest as _, Sha1};

use crate::Reason;

/// An opening handshake that waits for its answer.
#[derive(Debug)]
pub(crate) struct Handshake {
    accept: String,
}

impl Handshake {
    /// Turns an extended `CONNECT` into the handshake of HTTP/1.1.
    ///
    /// # Errors
    /// It speaks another version than 13, or has the length of a body.
    pub(crate) fn open(parts: &mut request::Parts) -> Result<Self, Reason> {
        let fields = &mut parts.headers;
        let version = fields.get(header::SEC_WEBSOCKET_VERSION);
        if version.is_some_and(|version| version != "13") {
            return Err(Reason::Protocol);
        }
        if fields.contains_key(header::CONTENT_LENGTH) {
            return Err(Reason::TwoFramings);
        }
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(|_| Reason::Engine)?;
        let key = STANDARD.encode(nonce);
        let handshake = Self {
            accept: accept_of(&key),
        };
        let key = HeaderValue::try_from(key).map_err(|_| Reason::Engine)?;
        parts.method = Method::GET;
        fields.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        fields.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        fields.insert(
            header::SEC_WEBSOCKET_VERSION,
            HeaderValue::from_static("13"),
        );
        fields.insert(header::SEC_WEBSOCKET_KEY, key);
        Ok(handshake)
    }

    /// True if an answer with these fields accepts this handshake.
    pub(crate) fn is_accepted(&self, fields: &HeaderMap) -> bool {
        let is = |name: &HeaderName, wanted: &str| {
            let mut values = fields.get_all(name).iter();
            let same = |value: &HeaderValue| value.as_bytes() == wanted.as_bytes();
            values.next().is_some_and(same) && values.next().is_none()
        };
        let upgrade = fields.get(header::UPGRADE);
        upgrade.is_some_and(|upgrade| upgrade.as_bytes().eq_ignore_ascii_case(b"websocket"))
            && is(&header::SEC_WEBSOCKET_ACCEPT, &self.accept)
    }
}

/// RFC 6455 section 4.2.2.
fn accept_of(key: &str) -> String {
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    STANDARD.encode(digest)
}

const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn the_example_of_the_rfc_is_accepted_and_no_other_answer() {
        let accept = accept_of("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let handshake = Handshake {
            accept: accept.clone(),
        };
        let answer = |accept: &str| {
            let mut fields = HeaderMap::new();
            fields.insert(header::UPGRADE, HeaderValue::from_static("WebSocket"));
            fields.insert(header::SEC_WEBSOCKET_ACCEPT, accept.parse().unwrap());
            fields
        };
        assert!(handshake.is_accepted(&answer(&accept)));
        assert!(!handshake.is_accepted(&answer("s3pPLMBiTxaQ9kYGzzhZRbK+xOp=")));
        assert!(!handshake.is_accepted(&HeaderMap::new()));
    }

    #[test]
    fn every_handshake_has_a_key_of_its_own() {
        let open = |fields: &[(&str, &str)]| {
            let mut request = Request::builder().method("CONNECT").uri("https://a/chat");
            for (name, value) in fields {
                request = request.header(*name, *value);
            }
            let mut parts = request.body(()).unwrap().into_parts().0;
            Handshake::open(&mut parts).map(|_| parts.headers["sec-websocket-key"].clone())
        };
        let (one, other) = (open(&[]).unwrap(), open(&[]).unwrap());
        assert!(one != other && one.len() == 24);
        assert!(open(&[("sec-websocket-version", "777")]).is_err());
        assert!(open(&[("content-length", "3")]).is_err());
    }
}
