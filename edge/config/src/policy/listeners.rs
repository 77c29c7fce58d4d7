//! Listeners, the admin listener, trusted proxies, workers.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;

use edge_conn::spec::{Listener, ListenerSpec};
use edge_core::Secret;
use ipnet::IpNet;

use super::Complaints;
use crate::client::TrustedProxies;
use crate::spec::{AdminSpec, AdminSwitch, Spec, WorkersSpec};
use crate::tree::Path;

/// Every listener that is right; two on one address cannot both be opened.
pub(super) fn build(specs: Vec<ListenerSpec>, complaints: &mut Complaints) -> Vec<Listener> {
    let all = Path::default().key("listeners");
    if specs.is_empty() {
        complaints.error(all, "no listener: the gateway would be out of reach");
        return Vec::new();
    }
    let mut listeners: Vec<Listener> = Vec::with_capacity(specs.len());
    for (index, spec) in specs.into_iter().enumerate() {
        let path = all.index(index);
        match Listener::try_from(spec) {
            Ok(listener) => {
                let address = listener.address();
                let mut earlier = listeners.iter();
                if address.port() != 0 && earlier.any(|other| other.address() == address) {
                    let message = "another listener has this address";
                    complaints.error(path.key("address"), message);
                }
                listeners.push(listener);
            }
            Err(problems) => {
                for problem in problems.0 {
                    complaints.error(path.below(&problem.path), problem.message);
                }
            }
        }
    }
    listeners
}

pub(super) fn admin(spec: &Spec, complaints: &mut Complaints) -> Option<SocketAddr> {
    let spec = match &spec.admin {
        AdminSpec::Switch(AdminSwitch::Off) => return None,
        AdminSpec::Address(spec) => spec,
    };
    let path = Path::default().key("admin").key("address");
    let Ok(address) = spec.address.parse::<SocketAddr>() else {
        complaints
            .error(path, "expected an address and a port")
            .help("for example `127.0.0.1:9901` or `[::1]:9901`");
        return None;
    };
    if !address.ip().is_loopback() {
        complaints
            .warn(
                path,
                "the admin listener can be reached from other machines",
            )
            .help("it asks for no credentials; keep it on 127.0.0.1 or behind a firewall");
    }
    Some(address)
}

/// Names only: an address passes anyway, and a port or a `*` would never match.
pub(super) fn admin_hosts(spec: &Spec, complaints: &mut Complaints) -> Vec<String> {
    let AdminSpec::Address(spec) = &spec.admin else {
        return Vec::new();
    };
    let path = Path::default().key("admin").key("hosts");
    for (index, name) in spec.hosts.iter().enumerate() {
        let label = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if name.is_empty() || !name.bytes().all(label) {
            complaints
                .error(path.index(index), "expected a host name without a port")
                .help("for example `gateway.internal`");
        }
    }
    spec.hosts.clone()
}

/// The token that allows to change the configuration.
pub(super) fn admin_token(spec: &Spec, complaints: &mut Complaints) -> Option<Secret<String>> {
    let AdminSpec::Address(spec) = &spec.admin else {
        return None;
    };
    let token = &spec.write.as_ref()?.token.0;
    if token.expose().len() < MIN_TOKEN || !token.expose().bytes().all(|b| b.is_ascii_graphic()) {
        let path = Path::default().key("admin").key("write").key("token");
        complaints
            .error(path, "expected at least 16 visible ASCII characters")
            .help("for example what `openssl rand -hex 32` prints, in a variable");
    }
    Some(token.clone())
}

/// Shorter tokens can be guessed.
const MIN_TOKEN: usize = 16;

pub(super) fn trusted_proxies(spec: &Spec, complaints: &mut Complaints) -> TrustedProxies {
    let path = Path::default().key("trusted_proxies");
    let mut networks = Vec::with_capacity(spec.trusted_proxies.len());
    for (index, text) in spec.trusted_proxies.iter().enumerate() {
        let single = || text.parse::<IpAddr>().map(IpNet::from).ok();
        match text.parse::<IpNet>().ok().or_else(single) {
            Some(network) => {
                if network.prefix_len() == 0 {
                    complaints
                        .warn(path.index(index), "every client may name its own address")
                        .help("list the networks of your proxies only");
                }
                networks.push(network);
            }
            None => {
                complaints
                    .error(path.index(index), "expected an address or a network")
                    .help("for example `10.0.0.0/8`, `192.0.2.7` or `2001:db8::/32`");
            }
        }
    }
    TrustedProxies::new(&networks, spec.client_address_from)
}

pub(super) fn workers(spec: WorkersSpec) -> Option<NonZeroUsize> {
    match spec {
        WorkersSpec::Auto(_) => None,
        WorkersSpec::Number(number) => NonZeroUsize::new(usize::from(number)),
    }
}
