//! Listeners, the admin listener, trusted proxies, workers.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;

use ipnet::IpNet;

use super::Complaints;
use crate::client::TrustedProxies;
use crate::spec::{AdminSpec, AdminSwitch, Spec, WorkersSpec};
use crate::tree::Path;

/// Two listeners on one address cannot both be opened.
pub(super) fn check_addresses(spec: &Spec, complaints: &mut Complaints) {
    let path = Path::default().key("listeners");
    if spec.listeners.is_empty() {
        complaints.error(path, "no listener: the gateway would be out of reach");
        return;
    }
    for (index, listener) in spec.listeners.iter().enumerate() {
        let mut earlier = spec.listeners.iter().take(index);
        if listener.address.port() != 0 && earlier.any(|other| other.address == listener.address) {
            complaints.error(
                path.index(index).key("address"),
                "another listener has this address",
            );
        }
    }
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
            .warn(path, "the admin listener can be reached from other machines")
            .help("it asks for no credentials; keep it on 127.0.0.1 or behind a firewall");
    }
    Some(address)
}

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
