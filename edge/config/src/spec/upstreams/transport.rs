//! Connections to servers: time, TLS, names.

use edge_core::units::HumanDuration;
use schemars::JsonSchema;
use serde::Deserialize;

use super::seconds;

/// How long each step with a server may take.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TimeoutsSpec {
    /// Until the connection (and TLS) stands.
    pub(crate) connect: HumanDuration,
    /// Between two reads of the answer.
    pub(crate) read: HumanDuration,
    /// Between two writes of the request.
    pub(crate) write: HumanDuration,
    /// How long an unused connection is kept.
    pub(crate) idle: HumanDuration,
    /// From the first try to the end of the answer, all retries included; 504 if the answer has not
    /// begun by then, else it is cut. `0`: no such limit. Not for WebSocket.
    pub(crate) total: HumanDuration,
}

impl Default for TimeoutsSpec {
    fn default() -> Self {
        Self {
            connect: seconds(5),
            read: seconds(60),
            write: seconds(60),
            idle: seconds(60),
            total: seconds(0),
        }
    }
}

/// Connections kept open between requests.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct KeepaliveSpec {
    /// How many unused connections are kept to each server; 0 closes every connection after use. More
    /// are kept for a second after a busy time. A worker keeps 4,096 in all for each listener.
    #[schemars(range(min = 0, max = 100_000))]
    pub(crate) connections: u32,
}

impl Default for KeepaliveSpec {
    fn default() -> Self {
        Self { connections: 128 }
    }
}

/// How servers with TLS are verified, and what the gateway shows them. The files are read again when
/// they change.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct UpstreamTlsSpec {
    /// Whether the certificate must be valid for the name; `false` is for tests only.
    pub(crate) verify: bool,
    /// The name asked for and verified, if it is not the URL's. Unix sockets with TLS need it.
    pub(crate) server_name: Option<String>,
    /// A PEM file of the authorities that are trusted in place of the system's.
    pub(crate) ca: Option<String>,
    /// A PEM file of the certificate the gateway shows, leaf first; needs `key`.
    pub(crate) certificate: Option<String>,
    /// A PEM file of its private key.
    pub(crate) key: Option<String>,
}

impl Default for UpstreamTlsSpec {
    fn default() -> Self {
        Self {
            verify: true,
            server_name: None,
            ca: None,
            certificate: None,
            key: None,
        }
    }
}

/// How names of servers become addresses.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ResolverSpec {
    /// Name servers, an address each, with or without a port; empty: those of the system
    /// (`/etc/resolv.conf`). `/etc/hosts` is asked first in any case.
    pub(crate) servers: Vec<String>,
    /// An answer is used at least so long, whatever its time to live.
    pub(crate) min_ttl: HumanDuration,
    /// An answer is used at most so long.
    pub(crate) max_ttl: HumanDuration,
    /// Time for one look-up. What cannot be resolved keeps the addresses it had.
    pub(crate) timeout: HumanDuration,
    /// Which addresses are used.
    pub(crate) addresses: AddressFamilies,
}

/// Which addresses of a name are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AddressFamilies {
    /// IPv4; IPv6 where there is no IPv4.
    #[default]
    Ipv4First,
    /// IPv6; IPv4 where there is no IPv6.
    Ipv6First,
    /// All.
    Both,
    /// IPv4 only.
    Ipv4,
    /// IPv6 only.
    Ipv6,
}

impl Default for ResolverSpec {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            min_ttl: seconds(5),
            max_ttl: seconds(300),
            timeout: seconds(5),
            addresses: AddressFamilies::default(),
        }
    }
}
