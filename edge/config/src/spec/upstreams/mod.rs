//! Groups of servers and how they are spoken to.

mod balance;
mod failure;
mod health;
mod transport;

use edge_core::units::HumanDuration;
use schemars::JsonSchema;
use serde::Deserialize;

pub(crate) use balance::StickySpec;
pub use balance::{Balance, SameSite};
pub use failure::RetryOn;
pub(crate) use failure::{EjectionSpec, LimitsSpec, RetriesSpec};
pub use health::CheckKind;
pub(crate) use health::HealthSpec;
pub use transport::AddressFamilies;
pub(crate) use transport::{KeepaliveSpec, ResolverSpec, TimeoutsSpec, UpstreamTlsSpec};

/// A group of servers that serve the same application.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpstreamSpec {
    /// The servers: `http://host:port`, `https://host:port`, `unix:/path` (a socket; `unix+tls:/path`
    /// with TLS) each, or a mapping with a weight. Names are resolved when the gateway starts, and again
    /// when their time to live is over; all their addresses are used.
    #[schemars(length(min = 1, max = 10_000))]
    pub(crate) servers: Vec<ServerSpec>,
    /// How a server is chosen.
    #[serde(default)]
    pub(crate) balance: Balance,
    /// With `balance: hash`, what decides: `client_address`, `host_path`, `header:NAME`,
    /// `cookie:NAME` or `query:NAME`. Requests with the same value go to the same server as long as
    /// it is up; requests without it go round robin.
    #[serde(default)]
    pub(crate) hash_by: Option<String>,
    /// Keeps a client on its server by a signed cookie, whatever `balance` says.
    #[serde(default)]
    pub(crate) sticky: Option<StickySpec>,
    /// How long a new or recovered server takes to get its full share; it begins with a tenth. `0`: at
    /// once. Not for `balance: hash`.
    #[serde(default)]
    pub(crate) slow_start: HumanDuration,
    /// What the servers speak.
    #[serde(default)]
    pub(crate) protocol: Protocol,
    /// Pass gRPC calls over HTTP/2 through as streams, both ways at once: only their heads are
    /// inspected. Needs `protocol: h2` or `h2c`.
    #[serde(default)]
    pub(crate) grpc: bool,
    /// The `Host` header the servers see: `preserve` (the client's) or `server` (the server's own name).
    #[serde(default)]
    pub(crate) host: HostHeader,
    /// How long each step may take.
    #[serde(default)]
    pub(crate) timeouts: TimeoutsSpec,
    /// When a request is tried again, on another server if there is one.
    #[serde(default)]
    pub(crate) retries: RetriesSpec,
    /// When a server that fails is left out for a while.
    #[serde(default)]
    pub(crate) ejection: EjectionSpec,
    /// Checks that ask each server whether it works, before requests find out. Without it, only
    /// requests tell, see `ejection`.
    #[serde(default)]
    pub(crate) health: Option<HealthSpec>,
    /// How much may be under way at the servers at once; more is answered with 503.
    #[serde(default)]
    pub(crate) limits: LimitsSpec,
    /// Connections kept open between requests.
    #[serde(default)]
    pub(crate) keepalive: KeepaliveSpec,
    /// How servers with TLS are verified, and what the gateway shows them.
    #[serde(default)]
    pub(crate) tls: UpstreamTlsSpec,
}

/// One server.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum ServerSpec {
    /// Its URL.
    Url(String),
    /// Its URL and its share.
    Weighted(WeightedServerSpec),
}

/// A server with a weight.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WeightedServerSpec {
    /// `http://host:port`, `https://host:port`, `unix:/path` or `unix+tls:/path`.
    pub(crate) url: String,
    /// Share of the requests compared with the other servers; 0 sends none.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 65_535))]
    pub(crate) weight: u16,
}

/// What a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2 without TLS, known beforehand.
    H2c,
    /// HTTP/2 over TLS, agreed by ALPN.
    H2,
    /// Over TLS HTTP/2 if the server offers it, else HTTP/1.1; without TLS HTTP/1.1.
    Auto,
}

/// The `Host` header a server sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HostHeader {
    /// What the client sent.
    #[default]
    Preserve,
    /// The name and port of the server's URL.
    Server,
}

const fn one() -> u16 {
    1
}

/// A share such as `20%`.
#[derive(JsonSchema)]
#[schemars(description = "a share such as `20%`", extend("pattern" = r"^(?:100|[0-9]{1,2})%$"))]
#[expect(dead_code, reason = "only its schema is used")]
struct PercentText(String);

const fn millis(millis: u64) -> HumanDuration {
    HumanDuration(std::time::Duration::from_millis(millis))
}

const fn seconds(seconds: u64) -> HumanDuration {
    HumanDuration(std::time::Duration::from_secs(seconds))
}
