//! Headers the gateway sets on the way to the upstream.
//!
//! What says where a request came from is ours to say: such headers from a peer that is not a
//! trusted proxy are removed, in every spelling a server could read, never passed on or extended.

use std::net::IpAddr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use edge_config::{HostHeader, Place};
use edge_core::Exchange;
use edge_tls::Terminator;
use http::header::{self, HeaderName, HeaderValue};
use pingora::http::RequestHeader;
use pingora::{ErrorType, OrErr, Result};

use super::answer::REQUEST_ID;
use crate::assemble::{Gateway, RouteState};
use crate::upstreams::Lease;

/// Sets forwarding headers (`X-Forwarded-*`, `X-Real-IP`, RFC 7239 `Forwarded`) and the request's
/// name on a request of the engine.
pub(crate) fn forward(
    request: &mut RequestHeader,
    exchange: &Exchange,
    peer_is_trusted: bool,
    tls: &Terminator,
) -> Result<()> {
    remove(request, is_certificate);
    if !peer_is_trusted {
        remove(request, is_claim);
    }
    if let Some(certificate) = client_certificate(exchange, tls) {
        request.insert_header(CLIENT_CERT, certificate)?;
    }
    let host = host_of(request);
    let mut told: Vec<(&'static str, HeaderValue)> = Vec::with_capacity(6);
    let mut failed = Ok(());
    let host = host.as_ref().map(HeaderValue::as_bytes);
    tell_origin(
        exchange,
        peer_is_trusted,
        || fields(request),
        host,
        |name, value| match HeaderValue::from_bytes(value) {
            Ok(value) => told.push((name, value)),
            Err(error) => failed = Err(error),
        },
    );
    failed.or_err(ErrorType::InvalidHTTPHeader, "an address is no value")?;
    for (name, value) in told {
        request.insert_header(name, value)?;
    }
    Ok(())
}

/// Says where a request came from: hands every header that is to be set, in place of all of its
/// name, to `set`. `fields` are the client's; a trusted peer's chains in them are extended.
pub(crate) fn tell_origin<'a, F: Iterator<Item = (&'a [u8], &'a [u8])>>(
    exchange: &Exchange,
    peer_is_trusted: bool,
    fields: impl Fn() -> F,
    host: Option<&[u8]>,
    mut set: impl FnMut(&'static str, &[u8]),
) {
    let fields = || fields().filter(|_| peer_is_trusted);
    let has = |name: &str| fields().any(|(found, _)| is(found, name));
    let scheme = match exchange.connection.tls {
        Some(_) => "https",
        None => "http",
    };
    let host = host.filter(|host| is_text(host));
    let peer = exchange.connection.client.ip().to_canonical();
    let client = exchange.client.ip().to_canonical();
    let mut real = Vec::with_capacity(40);
    push_address(&mut real, client);

    let mut value = Vec::with_capacity(128);
    join(&mut value, fields(), "x-forwarded-for");
    if value.is_empty() {
        value.extend_from_slice(&real);
    }
    if client != peer || has("x-forwarded-for") {
        value.extend_from_slice(b", ");
        push_address(&mut value, peer);
    }
    set("x-forwarded-for", &value);

    value.clear();
    join(&mut value, fields(), "forwarded");
    if value.is_empty() && client != peer {
        push_for(&mut value, client);
    }
    if !value.is_empty() {
        value.extend_from_slice(b", ");
    }
    push_for(&mut value, peer);
    if let Some(host) = host {
        // The gate lets no quote into a host.
        value.extend_from_slice(b";host=\"");
        value.extend_from_slice(host);
        value.extend_from_slice(b"\";proto=");
        value.extend_from_slice(scheme.as_bytes());
    }
    set("forwarded", &value);

    set("x-real-ip", &real);
    if !has("x-forwarded-proto") {
        set("x-forwarded-proto", scheme.as_bytes());
    }
    if let Some(host) = host.filter(|_| !has("x-forwarded-host")) {
        set("x-forwarded-host", host);
    }
    set(REQUEST_ID, &exchange.id.hex());
}

/// True for a field of the client that never reaches a server: what [`tell_origin`] says instead,
/// claims of a peer that is not trusted, and certificates, which only a handshake of ours proves.
pub(crate) fn is_ours(name: &[u8], peer_is_trusted: bool) -> bool {
    is_certificate(name)
        || if peer_is_trusted {
            REPLACED.iter().any(|replaced| is(name, replaced))
        } else {
            is_claim(name)
        }
}

/// The certificate a client proved to own, as its upstream gets it where its host says so (RFC 9440).
pub(crate) fn client_certificate(exchange: &Exchange, tls: &Terminator) -> Option<String> {
    let client = exchange.connection.tls.as_ref()?.client.as_ref()?;
    let host = Gateway::host(exchange.head.as_ref()?);
    tls.forwards(&host)
        .then(|| format!(":{}:", BASE64_STANDARD.encode(&client.der)))
}

/// Says again that the client takes trailers, which gRPC servers insist on. Only to an HTTP/2 upstream:
/// the engine reads no trailers on HTTP/1, so there it would be a lie.
pub(crate) fn trailers(request: &mut RequestHeader, exchange: &Exchange) -> Result<()> {
    let asked = exchange.head.as_ref().and_then(|head| head.field("te"));
    let takes = asked.is_some_and(|te| te.eq_ignore_ascii_case(b"trailers"));
    if takes && request.version == http::Version::HTTP_2 {
        request.insert_header(header::TE, HeaderValue::from_static("trailers"))?;
    }
    Ok(())
}

/// Sets the `Host` the server asked for, where the group says so.
pub(crate) fn host(
    request: &mut RequestHeader,
    route: Option<&RouteState>,
    lease: Option<&Lease>,
) -> Result<()> {
    match own_host(route, lease) {
        Some(host) => request.insert_header(header::HOST, host),
        None => Ok(()),
    }
}

/// The `Host` a server is to see; `None`: the client's.
pub(crate) fn own_host(route: Option<&RouteState>, lease: Option<&Lease>) -> Option<String> {
    let (route, lease) = (route?, lease?);
    if route.upstream.host_header == HostHeader::Preserve {
        return None;
    }
    let server = lease.server()?;
    let default = if server.tls { 443 } else { 80 };
    Some(match &server.place {
        Place::Socket(_) => match lease.name() {
            "" => "localhost".to_owned(),
            name => name.to_owned(),
        },
        Place::Net { host, port } => match (host.contains(':'), *port == default) {
            (true, true) => format!("[{host}]"),
            (true, false) => format!("[{host}]:{port}"),
            (false, true) => host.clone(),
            (false, false) => format!("{host}:{port}"),
        },
    })
}

/// Removes every header with such a name.
fn remove(request: &mut RequestHeader, is_such: impl Fn(&[u8]) -> bool) {
    let claims: Vec<HeaderName> = request
        .headers
        .keys()
        .filter(|name| is_such(name.as_ref()))
        .cloned()
        .collect();
    for claim in claims {
        request.remove_header(&claim);
    }
}

/// Headers that hand over a client's certificate (RFC 9440).
fn is_certificate(name: &[u8]) -> bool {
    matches!(name.first(), Some(b'c' | b'C'))
        && CERTIFICATES
            .iter()
            .any(|known| known.len() == name.len() && begins(name, known))
}

/// Headers by which an application learns client, scheme, host or path from a proxy.
fn is_claim(name: &[u8]) -> bool {
    if !matches!(
        name.first(),
        Some(b'c' | b'f' | b't' | b'x' | b'C' | b'F' | b'T' | b'X')
    ) {
        return false;
    }
    CLAIMS
        .iter()
        .any(|claim| claim.len() == name.len() && begins(name, claim))
        || CLAIM_FAMILIES.iter().any(|family| begins(name, family))
}

/// `_` counts as `-`: CGI and its heirs cannot tell them apart. Without case.
fn begins(name: &[u8], start: &str) -> bool {
    let fold = |byte: &u8| match byte {
        b'_' => b'-',
        byte => byte.to_ascii_lowercase(),
    };
    let mut bytes = name.iter().map(fold);
    start.bytes().all(|wanted| bytes.next() == Some(wanted))
}

fn is(name: &[u8], wanted: &str) -> bool {
    name.eq_ignore_ascii_case(wanted.as_bytes())
}

/// Bytes a header value may show to everybody.
fn is_text(value: &[u8]) -> bool {
    value.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t'))
}

fn fields(request: &RequestHeader) -> impl Iterator<Item = (&[u8], &[u8])> {
    let fields = request.headers.iter();
    fields.map(|(name, value)| (name.as_ref(), value.as_bytes()))
}

/// All values of a header as one list.
fn join<'a>(out: &mut Vec<u8>, fields: impl Iterator<Item = (&'a [u8], &'a [u8])>, name: &str) {
    for (_, value) in fields.filter(|(found, value)| is(found, name) && is_text(value)) {
        if !out.is_empty() {
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(value);
    }
}

/// The host as text, if it is text.
fn host_of(request: &RequestHeader) -> Option<HeaderValue> {
    let host = request.headers.get(header::HOST);
    if let Some(host) = host.filter(|host| host.to_str().is_ok()) {
        return Some(host.clone());
    }
    let authority = request.uri.authority()?;
    HeaderValue::from_str(authority.as_str()).ok()
}

/// One element of RFC 7239: an IPv6 address stands in brackets and quotes.
fn push_for(out: &mut Vec<u8>, ip: IpAddr) {
    out.extend_from_slice(b"for=");
    let (open, close): (&[u8], &[u8]) = match ip {
        IpAddr::V4(_) => (b"", b""),
        IpAddr::V6(_) => (b"\"[", b"]\""),
    };
    out.extend_from_slice(open);
    push_address(out, ip);
    out.extend_from_slice(close);
}

/// Every request says an address several times: by hand it costs a tenth of what `fmt` does.
fn push_address(out: &mut Vec<u8>, ip: IpAddr) {
    let IpAddr::V4(ip) = ip else {
        out.extend_from_slice(ip.to_string().as_bytes());
        return;
    };
    for (place, octet) in ip.octets().into_iter().enumerate() {
        if place > 0 {
            out.push(b'.');
        }
        if octet >= 100 {
            out.push(b'0' + octet / 100);
        }
        if octet >= 10 {
            out.push(b'0' + octet / 10 % 10);
        }
        out.push(b'0' + octet % 10);
    }
}

/// What [`tell_origin`] sets whatever a trusted peer said.
const REPLACED: &[&str] = &["forwarded", "x-forwarded-for", "x-real-ip", REQUEST_ID];

const CLAIMS: &[&str] = &[
    "forwarded",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-forwarded",
    "x-host",
    "x-real-ip",
    "x-request-id",
    "x-rewrite-url",
];

/// The header of RFC 9440.
pub(crate) const CLIENT_CERT: &str = "client-cert";
const CERTIFICATES: &[&str] = &[CLIENT_CERT, "client-cert-chain"];

const CLAIM_FAMILIES: &[&str] = &["cf-", "x-envoy-", "x-forwarded-", "x-original-"];

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use edge_core::{Connection, RequestId};

    use std::net::SocketAddr;

    use super::*;

    fn sent(fields: &[(&'static str, &str)], client: &str, trusted: bool) -> RequestHeader {
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        for (name, value) in fields {
            request.append_header(*name, *value).unwrap();
        }
        let peer = SocketAddr::from(([10, 0, 0, 1], 4000));
        let connection = Arc::new(Connection {
            peer,
            client: peer,
            local: peer,
            tls: None,
        });
        let mut exchange = Exchange::new(RequestId::new(7), connection, None);
        exchange.client = SocketAddr::new(client.parse().unwrap(), 0);
        let tls = Terminator::new(Arc::default()).unwrap();
        forward(&mut request, &exchange, trusted, &tls).unwrap();
        request
    }

    fn field(request: &RequestHeader, name: &str) -> String {
        let value = request
            .headers
            .get(name)
            .map(|value| value.to_str().unwrap());
        value.unwrap_or("").to_owned()
    }

    #[test]
    fn claims_of_a_stranger_are_replaced_in_every_spelling() {
        let claims = [
            ("host", "shop.example"),
            ("x-forwarded-for", "6.6.6.6"),
            ("x_client_ip", "6.6.6.6"),
            ("x_original_url", "/admin"),
            ("cf-connecting-ip", "6.6.6.6"),
            ("client_cert", ":AA==:"),
            ("forwarded", "for=6.6.6.6"),
            ("accept", "*/*"),
        ];
        let request = sent(&claims, "10.0.0.1", false);
        assert_eq!(field(&request, "x-forwarded-for"), "10.0.0.1");
        let forwarded = "for=10.0.0.1;host=\"shop.example\";proto=http";
        assert_eq!(field(&request, "forwarded"), forwarded);
        assert_eq!(field(&request, "x-real-ip"), "10.0.0.1");
        for gone in [
            "x_client_ip",
            "x_original_url",
            "cf-connecting-ip",
            "client_cert",
        ] {
            assert_eq!(field(&request, gone), "", "{gone}");
        }
        assert_eq!(field(&request, "accept"), "*/*");
    }

    #[test]
    fn the_whole_chain_of_a_trusted_proxy_is_extended() {
        let chain = [
            ("x-forwarded-for", "127.0.0.1"),
            ("x-forwarded-for", "203.0.113.7"),
        ];
        let request = sent(&chain, "203.0.113.7", true);
        assert_eq!(
            field(&request, "x-forwarded-for"),
            "127.0.0.1, 203.0.113.7, 10.0.0.1"
        );
        assert_eq!(field(&request, "x-real-ip"), "203.0.113.7");
        assert_eq!(request.headers.get_all("x-forwarded-for").iter().count(), 1);
    }

    #[test]
    fn a_client_named_by_forwarded_alone_stands_in_both_chains() {
        let request = sent(
            &[("forwarded", "for=\"[2001:db8::1]\"")],
            "2001:db8::1",
            true,
        );
        assert_eq!(field(&request, "x-forwarded-for"), "2001:db8::1, 10.0.0.1");
        assert_eq!(
            field(&request, "forwarded"),
            "for=\"[2001:db8::1]\", for=10.0.0.1"
        );
    }
}
