//! Groups of servers and how they are spoken to.

use edge_core::units::HumanDuration;
use schemars::JsonSchema;
use serde::Deserialize;

/// A group of servers that serve the same application.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpstreamSpec {
    /// The servers: `http://host:port` or `https://host:port` each, or a mapping with a weight. Names
    /// are resolved when the gateway starts and again while it runs.
    #[schemars(length(min = 1, max = 10_000))]
    pub(crate) servers: Vec<ServerSpec>,
    /// How a server is chosen.
    #[serde(default)]
    pub(crate) balance: Balance,
    /// What the servers speak.
    #[serde(default)]
    pub(crate) protocol: Protocol,
    /// Pass gRPC calls over HTTP/2 through as streams, both ways at once: only their heads are
    /// inspected. Needs `protocol: h2c`.
    #[serde(default)]
    pub(crate) grpc: bool,
    /// The `Host` header the servers see: `preserve` (the client's) or `server` (the server's own name).
    #[serde(default)]
    pub(crate) host: HostHeader,
    /// How long each step may take.
    #[serde(default)]
    pub(crate) timeouts: TimeoutsSpec,
    /// When a request is tried again on another server.
    #[serde(default)]
    pub(crate) retries: RetriesSpec,
    /// When a server that fails is left out for a while.
    #[serde(default)]
    pub(crate) ejection: EjectionSpec,
    /// Connections kept open between requests.
    #[serde(default)]
    pub(crate) keepalive: KeepaliveSpec,
    /// How `https` servers are verified.
    #[serde(default)]
    pub(crate) tls: TlsSpec,
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
    /// `http://host:port` or `https://host:port`.
    pub(crate) url: String,
    /// Share of the requests compared with the other servers; 0 sends none.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 65_535))]
    pub(crate) weight: u16,
}

/// How a server is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// One after another, by weight.
    #[default]
    RoundRobin,
    /// The server with the fewest requests in flight for its weight.
    LeastRequests,
}

/// What a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2 without TLS, known beforehand (gRPC needs it).
    H2c,
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
}

impl Default for TimeoutsSpec {
    fn default() -> Self {
        Self {
            connect: seconds(5),
            read: seconds(60),
            write: seconds(60),
            idle: seconds(60),
        }
    }
}

/// When a request is tried again. Only failures before the server saw the request count: a connection
/// that could not be made.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RetriesSpec {
    /// Tries in all, the first included; 1 means none again.
    #[schemars(range(min = 1, max = 10))]
    pub(crate) attempts: u8,
    /// Retries may add at most this share to the requests of the group, for example `20%`; keeps a
    /// failing group from being flooded.
    #[schemars(with = "PercentText")]
    pub(crate) budget: String,
}

impl Default for RetriesSpec {
    fn default() -> Self {
        Self {
            attempts: 2,
            budget: "20%".to_owned(),
        }
    }
}

/// A share such as `20%`.
#[derive(JsonSchema)]
#[schemars(description = "a share such as `20%`", extend("pattern" = r"^(?:100|[0-9]{1,2})%$"))]
#[expect(dead_code, reason = "only its schema is used")]
struct PercentText(String);

/// When a server is left out.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct EjectionSpec {
    /// Failed connections in a row after which a server is left out; 0 never leaves one out.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(crate) failures: u32,
    /// For how long.
    pub(crate) time: HumanDuration,
}

impl Default for EjectionSpec {
    fn default() -> Self {
        Self {
            failures: 5,
            time: seconds(10),
        }
    }
}

/// Connections kept open between requests.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct KeepaliveSpec {
    /// How many unused connections are kept to each server; 0 closes every connection after use.
    #[schemars(range(min = 0, max = 100_000))]
    pub(crate) connections: u32,
}

impl Default for KeepaliveSpec {
    fn default() -> Self {
        Self { connections: 128 }
    }
}

/// How `https` servers are verified.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TlsSpec {
    /// Whether the certificate must be valid for the name; `false` is for tests only.
    pub(crate) verify: bool,
    /// The name asked for and verified, if it is not the URL's.
    pub(crate) server_name: Option<String>,
}

impl Default for TlsSpec {
    fn default() -> Self {
        Self {
            verify: true,
            server_name: None,
        }
    }
}

const fn one() -> u16 {
    1
}

const fn seconds(seconds: u64) -> HumanDuration {
    HumanDuration(std::time::Duration::from_secs(seconds))
}
