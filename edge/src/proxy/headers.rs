//! Headers the gateway sets on the way to the upstream.
//!
//! What says where a request came from is ours to say: such headers from a peer that is not a
//! trusted proxy are replaced, never passed on or extended.

use std::net::SocketAddr;

use edge_config::HostHeader;
use edge_core::Exchange;
use http::header;
use pingora::Result;
use pingora::http::RequestHeader;

use super::answer::REQUEST_ID;
use crate::assemble::RouteState;
use crate::upstreams::Lease;

/// Sets forwarding headers and the request's name.
pub(crate) fn forward(
    request: &mut RequestHeader,
    exchange: &Exchange,
    peer_is_trusted: bool,
) -> Result<()> {
    let peer = exchange.connection.client;
    let chain = match request.headers.get("x-forwarded-for") {
        Some(chain) if peer_is_trusted => {
            let mut chain = chain.as_bytes().to_vec();
            chain.extend_from_slice(b", ");
            chain.extend_from_slice(peer.ip().to_canonical().to_string().as_bytes());
            chain
        }
        _ => peer.ip().to_canonical().to_string().into_bytes(),
    };
    if !peer_is_trusted {
        for spoofable in SPOOFABLE {
            request.remove_header(*spoofable);
        }
    }
    request.insert_header("x-forwarded-for", chain)?;
    if request.headers.get("x-forwarded-proto").is_none() {
        request.insert_header("x-forwarded-proto", "http")?;
    }
    if request.headers.get("x-forwarded-host").is_none()
        && let Some(host) = request.headers.get(header::HOST).cloned()
    {
        request.insert_header("x-forwarded-host", host)?;
    }
    if request.headers.get(header::FORWARDED).is_some() {
        let element = forwarded_element(peer);
        request.append_header(header::FORWARDED, element)?;
    }
    request.insert_header(REQUEST_ID, exchange.id.to_string())
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
    let default = if server.tls { 443 } else { 80 };
    let host = if server.host.contains(':') {
        format!("[{}]", server.host)
    } else {
        server.host.clone()
    };
    let host = if server.port == default {
        host
    } else {
        format!("{host}:{}", server.port)
    };
    request.insert_header(header::HOST, host)
}

/// One element of RFC 7239: an IPv6 address stands in brackets and quotes.
fn forwarded_element(peer: SocketAddr) -> String {
    match peer.ip().to_canonical() {
        std::net::IpAddr::V4(ip) => format!("for={ip}"),
        std::net::IpAddr::V6(ip) => format!("for=\"[{ip}]\""),
    }
}

/// Headers by which applications learn client, scheme and host from a proxy.
const SPOOFABLE: &[&str] = &[
    "forwarded",
    "true-client-ip",
    "x-client-ip",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-server",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
];
