//! Headers the gateway sets on the way to the upstream.
//!
//! What says where a request came from is ours to say: such headers from a peer that is not a
//! trusted proxy are removed, in every spelling a server could read, never passed on or extended.

use std::net::{IpAddr, SocketAddr};

use edge_config::HostHeader;
use edge_core::Exchange;
use http::header::{self, HeaderName, HeaderValue};
use pingora::http::RequestHeader;
use pingora::{ErrorType, OrErr, Result};

use super::answer::REQUEST_ID;
use crate::assemble::RouteState;
use crate::upstreams::Lease;

/// Sets forwarding headers (`X-Forwarded-*`, `X-Real-IP`, RFC 7239 `Forwarded`) and the request's
/// name; a trusted peer's chains are extended.
pub(crate) fn forward(
    request: &mut RequestHeader,
    exchange: &Exchange,
    peer_is_trusted: bool,
) -> Result<()> {
    let peer = exchange.connection.client.ip().to_canonical();
    let client = exchange.client.ip().to_canonical();
    if !peer_is_trusted {
        remove_claims(request);
    }
    let host = host_of(request);
    // Values are shared bytes: most requests have one address and one host to say in several ways.
    let real = value(client.to_string())?;
    let chain = match joined(request, "x-forwarded-for") {
        Some(chain) => value(format!("{chain}, {peer}"))?,
        None if client == peer => real.clone(),
        None => value(format!("{client}, {peer}"))?,
    };
    let element = forwarded_element(peer, host.as_ref().and_then(|host| host.to_str().ok()));
    let forwarded = match joined(request, "forwarded") {
        Some(chain) => format!("{chain}, {element}"),
        None if client == peer => element,
        None => format!("{}, {element}", forwarded_element(client, None)),
    };
    request.insert_header("x-forwarded-for", chain)?;
    request.insert_header(header::FORWARDED, forwarded)?;
    request.insert_header("x-real-ip", real)?;
    if request.headers.get("x-forwarded-proto").is_none() {
        request.insert_header("x-forwarded-proto", HeaderValue::from_static("http"))?;
    }
    if let (None, Some(host)) = (request.headers.get("x-forwarded-host"), host) {
        request.insert_header("x-forwarded-host", host)?;
    }
    request.insert_header(REQUEST_ID, exchange.id.to_string())
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
    let (Some(route), Some(lease)) = (route, lease) else {
        return Ok(());
    };
    if route.upstream.host_header == HostHeader::Preserve {
        return Ok(());
    }
    let Some(server) = lease.server() else {
        return Ok(());
    };
    let address = SocketAddr::new(lease.address().ip(), server.port);
    let default = if server.tls { 443 } else { 80 };
    let host = match (server.host.parse::<IpAddr>(), server.port == default) {
        (Ok(IpAddr::V6(ip)), true) => format!("[{ip}]"),
        (Ok(ip), false) => SocketAddr::new(ip, address.port()).to_string(),
        (_, true) => server.host.clone(),
        (Err(_), false) => format!("{}:{}", server.host, server.port),
    };
    request.insert_header(header::HOST, host)
}

/// Removes every header by which an application learns client, scheme, host or path from a proxy.
fn remove_claims(request: &mut RequestHeader) {
    let claims: Vec<HeaderName> = request
        .headers
        .keys()
        .filter(|name| is_claim(name.as_str()))
        .cloned()
        .collect();
    for claim in claims {
        request.remove_header(&claim);
    }
}

/// `_` counts as `-`: CGI and its heirs cannot tell them apart.
fn is_claim(name: &str) -> bool {
    if !name.starts_with(['c', 'f', 't', 'x']) {
        return false;
    }
    let begins = |start: &str| {
        let mut bytes = name
            .bytes()
            .map(|byte| if byte == b'_' { b'-' } else { byte });
        start.bytes().all(|wanted| bytes.next() == Some(wanted))
    };
    CLAIMS
        .iter()
        .any(|claim| claim.len() == name.len() && begins(claim))
        || CLAIM_FAMILIES.iter().any(|family| begins(family))
}

/// All values of a header as one list.
fn joined(request: &RequestHeader, name: &str) -> Option<String> {
    let values = request.headers.get_all(name).iter();
    let values: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
    (!values.is_empty()).then(|| values.join(", "))
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

fn value(text: String) -> Result<HeaderValue> {
    HeaderValue::try_from(text).or_err(ErrorType::InvalidHTTPHeader, "an address is no value")
}

/// One element of RFC 7239: an IPv6 address stands in brackets and quotes. The gate lets no quote
/// into a host.
fn forwarded_element(ip: IpAddr, host: Option<&str>) -> String {
    let address = match ip {
        IpAddr::V4(ip) => format!("for={ip}"),
        IpAddr::V6(ip) => format!("for=\"[{ip}]\""),
    };
    match host {
        Some(host) => format!("{address};host=\"{host}\";proto=http"),
        None => address,
    }
}

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

const CLAIM_FAMILIES: &[&str] = &["cf-", "x-envoy-", "x-forwarded-", "x-original-"];

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use edge_core::{Connection, RequestId};

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
        forward(&mut request, &exchange, trusted).unwrap();
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
            ("forwarded", "for=6.6.6.6"),
            ("accept", "*/*"),
        ];
        let request = sent(&claims, "10.0.0.1", false);
        assert_eq!(field(&request, "x-forwarded-for"), "10.0.0.1");
        let forwarded = "for=10.0.0.1;host=\"shop.example\";proto=http";
        assert_eq!(field(&request, "forwarded"), forwarded);
        assert_eq!(field(&request, "x-real-ip"), "10.0.0.1");
        for gone in ["x_client_ip", "x_original_url", "cf-connecting-ip"] {
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
