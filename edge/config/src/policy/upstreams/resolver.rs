//! How names of servers become addresses, checked.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::policy::Complaints;
use crate::spec::{AddressFamilies, ResolverSpec};
use crate::tree::Path;

/// How names of servers become addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resolver {
    /// Name servers; empty: the system's.
    pub servers: Vec<SocketAddr>,
    /// Shortest time an answer is used.
    pub min_ttl: Duration,
    /// Longest time.
    pub max_ttl: Duration,
    /// For one look-up.
    pub timeout: Duration,
    /// Which addresses are used.
    pub addresses: AddressFamilies,
}

pub(in crate::policy) fn build(spec: &ResolverSpec, complaints: &mut Complaints) -> Resolver {
    let path = Path::default().key("resolver");
    let servers = spec.servers.iter().enumerate().filter_map(|(at, text)| {
        let address = text.parse::<SocketAddr>().ok();
        let address = address.or_else(|| Some((text.parse::<IpAddr>().ok()?, 53).into()));
        if address.is_none() {
            let at = path.key("servers").index(at);
            complaints.error(
                at,
                "expected an address such as `10.0.0.2` or `10.0.0.2:53`",
            );
        }
        address
    });
    let servers = servers.collect();
    if spec.min_ttl.0 < MIN_TTL {
        complaints.error(path.key("min_ttl"), "is shorter than 1s");
    }
    if spec.max_ttl < spec.min_ttl {
        complaints.error(path.key("max_ttl"), "is shorter than `min_ttl`");
    }
    if spec.timeout.0.is_zero() {
        complaints.error(path.key("timeout"), "must be longer than 0");
    }
    Resolver {
        servers,
        min_ttl: spec.min_ttl.0,
        max_ttl: spec.max_ttl.0,
        timeout: spec.timeout.0,
        addresses: spec.addresses,
    }
}

const MIN_TTL: Duration = Duration::from_secs(1);
