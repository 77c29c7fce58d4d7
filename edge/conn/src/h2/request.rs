//! A request as HTTP/2 framed it, made into what rules and upstreams read: one HTTP/1-shaped head.
//!
//! The `h2` crate has checked RFC 9113 section 8 (pseudo fields, names, connection-specific fields).
//! What it lets pass and two HTTP/1 readers could take differently is refused here by the same rules
//! as on HTTP/1: an authority and a `Host` that differ, framing fields twice, odd targets.

use edge_core::{Head, HeadError, Version};
use h2::ext::Protocol;
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, Uri, request};
use pingora::http::RequestHeader;

use super::websocket::Handshake;
use crate::Reason;
use crate::gate::{self, HeadLimits};

/// A request that passed the gate.
pub(crate) struct Arrived {
    /// As the HTTP engine reads it.
    pub(crate) request: RequestHeader,
    /// As rules and records read it.
    pub(crate) head: Head,
    /// It opens a WebSocket.
    pub(crate) handshake: Option<Handshake>,
}

/// Decides about one request.
///
/// # Errors
/// The first rule it breaks, with the head as far as it can be told.
pub(crate) fn admit(
    mut parts: request::Parts,
    limits: &HeadLimits,
) -> Result<Arrived, (Reason, Option<Head>)> {
    let fault = authority(&mut parts).err();
    let handshake = match fault {
        None if parts.method == Method::CONNECT => match connect(&mut parts) {
            Ok(handshake) => Some(handshake),
            Err(reason) => return Err((reason, Some(head_of(&parts)))),
        },
        _ => None,
    };
    join_cookies(&mut parts);
    let head = head_of(&parts);
    let broken = match fault {
        Some(reason) => Err(reason),
        None => form(&head).and_then(|()| gate::check(&head, limits)),
    };
    if let Err(reason) = broken {
        return Err((reason, Some(head)));
    }
    let version = match &handshake {
        // The engine knows WebSocket from HTTP/1.1 only.
        Some(_) => http::Version::HTTP_11,
        None => http::Version::HTTP_2,
    };
    parts.version = version;
    Ok(Arrived {
        request: RequestHeader::from(parts),
        head,
        handshake,
    })
}

/// Brings authority and `Host` together: there is exactly one `Host` afterwards, and the target has
/// origin form.
fn authority(parts: &mut request::Parts) -> Result<(), Reason> {
    let uri = std::mem::take(&mut parts.uri).into_parts();
    let scheme = uri.scheme.as_ref().map(http::uri::Scheme::as_str);
    let known = matches!(scheme, None | Some("http" | "https"));
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let host = match (&uri.authority, hosts.next(), hosts.next()) {
        (_, _, Some(_)) => Err(Reason::Duplicate("host")),
        (None, None, None) => Err(Reason::HostMissing),
        (None, Some(_), None) => Ok(None),
        (Some(authority), Some(host), None) if host.as_bytes() != authority.as_str().as_bytes() => {
            Err(Reason::HostMismatch)
        }
        (Some(_), Some(_), None) => Ok(None),
        (Some(authority), None, None) => HeaderValue::from_str(authority.as_str())
            .map(Some)
            .map_err(|_| Reason::HostInvalid),
    };
    let mut target = http::uri::Parts::default();
    target.path_and_query = uri.path_and_query;
    parts.uri = Uri::from_parts(target).unwrap_or_default();
    let host = host?;
    if let Some(host) = host {
        parts.headers.insert(header::HOST, host);
    }
    if known {
        Ok(())
    } else {
        Err(Reason::TargetForm)
    }
}

/// `CONNECT` is served in one form only: a WebSocket, RFC 8441.
fn connect(parts: &mut request::Parts) -> Result<Handshake, Reason> {
    match parts.extensions.remove::<Protocol>() {
        None => Err(Reason::MethodForbidden),
        Some(protocol) if protocol.as_str() == "websocket" => Handshake::open(parts),
        Some(_) => Err(Reason::Protocol),
    }
}

/// `:path` is a path: an absolute form in it would name a second authority.
fn form(head: &Head) -> Result<(), Reason> {
    let target = head.target();
    let asterisk = target == b"*" && head.method() == b"OPTIONS";
    if target.starts_with(b"/") || asterisk {
        Ok(())
    } else if target.is_ascii() {
        Err(Reason::TargetForm)
    } else {
        Err(HeadError::Target.into())
    }
}

/// Cookies may come in crumbs; a server behind us sees one field (RFC 9113 section 8.2.3), the one
/// the rules see.
fn join_cookies(parts: &mut request::Parts) {
    let crumbs: Vec<&[u8]> = parts
        .headers
        .get_all(header::COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if crumbs.len() < 2 {
        return;
    }
    // Joined from valid values, so it is one.
    if let Ok(cookies) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        parts.headers.insert(header::COOKIE, cookies);
    }
}

fn head_of(parts: &request::Parts) -> Head {
    let target = parts.uri.path_and_query().map_or("", |path| path.as_str());
    let host = parts
        .headers
        .get(header::HOST)
        .map(|host| (header::HOST, host));
    let fields = parts
        .headers
        .iter()
        .filter(|(name, _)| *name != header::HOST);
    let fields = host
        .iter()
        .map(|(name, value)| (name, *value))
        .chain(fields)
        .map(|(name, value): (&HeaderName, &HeaderValue)| (name.as_ref(), value.as_bytes()));
    Head::from_parts(
        parts.method.as_str().as_bytes(),
        target.as_bytes(),
        Version::Http2,
        fields,
    )
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    const LIMITS: HeadLimits = HeadLimits {
        bytes: 65_536,
        fields: 64,
        target: 16_384,
        non_ascii_target: false,
    };

    fn ask(uri: &str, fields: &[(&str, &str)]) -> Result<Arrived, &'static str> {
        let mut request = Request::builder().uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        admit(request.body(()).unwrap().into_parts().0, &LIMITS).map_err(|(reason, head)| {
            assert!(head.is_some());
            reason.name()
        })
    }

    #[test]
    fn the_authority_becomes_the_host_and_the_target_a_path() {
        let arrived = ask("https://a.example:8443/b?c=d", &[("x", "y")]).unwrap();
        assert_eq!(arrived.head.target(), b"/b?c=d");
        assert_eq!(arrived.head.field("host"), Some(&b"a.example:8443"[..]));
        assert_eq!(arrived.request.uri, "/b?c=d");
        assert_eq!(arrived.request.headers["host"], "a.example:8443");
        assert!(ask("https://a/", &[("host", "a")]).is_ok());
        assert!(ask("/", &[("host", "a")]).is_ok());
    }

    #[test]
    fn what_two_readers_could_take_differently_is_refused() {
        for (uri, fields, reason) in [
            ("https://a/", &[("host", "b")][..], "host_mismatch"),
            ("https://a/", &[("host", "A")], "host_mismatch"),
            (
                "https://a/",
                &[("host", "a"), ("host", "a")],
                "duplicate_field",
            ),
            ("/", &[], "host_missing"),
            ("https://u@a/", &[], "host_invalid"),
            ("https://a:0/", &[], "host_invalid"),
            ("gopher://a/", &[], "target_form"),
            (
                "https://a/",
                &[("content-length", "3"), ("content-length", "3")],
                "duplicate_field",
            ),
            ("https://a/", &[("content-length", "+3")], "content_length"),
            ("https://a/", &[("content_length", "3")], "look_alike_field"),
            ("https://a/", &[("expect", "magic")], "expectation"),
            ("*", &[("host", "a")], "target_form"),
        ] {
            let refused = ask(uri, fields).err();
            assert_eq!(refused, Some(reason), "{uri} {fields:?}");
        }
    }

    #[test]
    fn cookie_crumbs_become_one_field_for_rules_and_upstream() {
        let arrived = ask("https://a/", &[("cookie", "a=1"), ("cookie", "b=2")]).unwrap();
        assert_eq!(arrived.head.field("cookie"), Some(&b"a=1; b=2"[..]));
        assert_eq!(arrived.request.headers["cookie"], "a=1; b=2");
        assert_eq!(arrived.request.headers.get_all("cookie").iter().count(), 1);
    }

    #[test]
    fn connect_is_a_websocket_or_nothing() {
        let mut request = Request::builder()
            .method("CONNECT")
            .uri("a:443")
            .body(())
            .unwrap();
        let refused = admit(request.into_parts().0, &LIMITS).err().unwrap();
        assert_eq!(refused.0, Reason::MethodForbidden);
        for (protocol, passes) in [("websocket", true), ("connect-udp", false)] {
            request = Request::builder()
                .method("CONNECT")
                .uri("https://a/chat")
                .extension(Protocol::from_static(protocol))
                .body(())
                .unwrap();
            let arrived = admit(request.into_parts().0, &LIMITS);
            assert_eq!(arrived.is_ok(), passes, "{protocol}");
        }
    }
}
