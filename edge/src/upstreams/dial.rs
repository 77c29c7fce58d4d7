//! How a server of a group is connected to, in the terms of pingora.
//!
//! Called for requests by `proxy::upstream`, which holds the pipeline's permit, and for health checks,
//! so that both reach a server in the same way.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use edge_config::{Protocol, Upstream};
use pingora::upstreams::peer::{HttpPeer, Tracer};
use pingora::{Error, ErrorType};

use super::Address;
use super::endpoint::{Counted, Endpoint};
use super::tls::Material;

/// The peer for a server at `address`, with or without TLS, under this name.
pub(crate) fn peer(
    address: &Address,
    tls: bool,
    name: &str,
    upstream: &Upstream,
    material: &Material,
) -> pingora::Result<HttpPeer> {
    let mut peer = match address {
        Address::Inet(address) => HttpPeer::new(*address, tls, name.to_owned()),
        Address::Unix(path) => {
            let path = path.to_str().unwrap_or_default();
            HttpPeer::new_uds(path, tls, name.to_owned())?
        }
    };
    // Connections are never shared between different settings of TLS.
    peer.group_key = material.fingerprint;
    peer.client_cert_key.clone_from(&material.client);
    let verify = upstream.tls().verify;
    let timeouts = upstream.timeouts();
    let options = &mut peer.options;
    options.connection_timeout = Some(timeouts.connect);
    options.total_connection_timeout = Some(timeouts.connect);
    options.read_timeout = Some(timeouts.read);
    options.write_timeout = Some(timeouts.write);
    // pingora's clock does not take 0.
    options.idle_timeout = Some(timeouts.idle.max(Duration::from_millis(1)));
    options.verify_cert = verify;
    options.verify_hostname = verify;
    options.ca.clone_from(&material.ca);
    match upstream.protocol() {
        Protocol::Http1 => {}
        Protocol::H2c | Protocol::H2 => options.set_http_version(2, 2),
        Protocol::Auto if tls => options.set_http_version(2, 1),
        Protocol::Auto => {}
    }
    Ok(peer)
}

/// Counts the connections of `endpoint` and refuses more than `limit`.
pub(crate) fn limit_connections(peer: &mut HttpPeer, endpoint: &Arc<Endpoint>, limit: u32) {
    peer.options.tracer = Some(Tracer(Box::new(Counted(Arc::clone(endpoint)))));
    let endpoint = Arc::clone(endpoint);
    peer.options.upstream_tcp_sock_tweak_hook = Some(Arc::new(move |_| {
        if endpoint.connections.load(Ordering::Relaxed) < limit {
            return Ok(());
        }
        Err(Error::explain(
            AT_LIMIT,
            "connections to the server are at their limit",
        ))
    }));
}

/// The address a peer's connection goes to, with another port.
pub(crate) fn at_port(address: &Address, port: Option<u16>) -> Address {
    match (address, port) {
        (Address::Inet(address), Some(port)) => SocketAddr::new(address.ip(), port).into(),
        _ => address.clone(),
    }
}

/// Why a connection was not even tried.
pub(crate) const AT_LIMIT: ErrorType = ErrorType::Custom("connection limit");
