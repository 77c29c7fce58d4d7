//! What happens when servers fail or are too busy.

use edge_core::units::HumanDuration;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{PercentText, millis, seconds};

/// When a request is tried again.
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
    /// What is tried again: `connect_failure` and `refused_stream` (the server has not begun: any
    /// request), and `reset` (the connection broke), `502`, `503`, `504` and `per_try_timeout` (it may
    /// have begun: only methods that may be repeated, RFC 9110 section 9.2.2). Always only while the
    /// whole body is at hand and nothing was sent to the client.
    pub(crate) on: Vec<RetryOn>,
    /// Also repeat methods such as POST. Only for applications that notice duplicates.
    #[serde(rename = "unsafe")]
    pub(crate) any_method: bool,
    /// How long one try may take until the head of the answer is there; `0`: as long as it likes.
    pub(crate) per_try: HumanDuration,
    /// Pause before the first retry; doubles with each, and is drawn between half and all of that.
    pub(crate) backoff: HumanDuration,
    /// Longest pause.
    pub(crate) max_backoff: HumanDuration,
}

/// A failure after which a request is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum RetryOn {
    /// The connection, or its TLS, could not be made.
    #[serde(rename = "connect_failure")]
    ConnectFailure,
    /// HTTP/2: the server said that it did not begin.
    #[serde(rename = "refused_stream")]
    RefusedStream,
    /// The connection broke before the head of an answer.
    #[serde(rename = "reset")]
    Reset,
    /// The server answered so.
    #[serde(rename = "502")]
    BadGateway,
    /// The server answered so.
    #[serde(rename = "503")]
    Unavailable,
    /// The server answered so.
    #[serde(rename = "504")]
    GatewayTimeout,
    /// `per_try` was over.
    #[serde(rename = "per_try_timeout")]
    PerTryTimeout,
}

impl Default for RetriesSpec {
    fn default() -> Self {
        Self {
            attempts: 2,
            budget: "20%".to_owned(),
            on: vec![RetryOn::ConnectFailure, RetryOn::RefusedStream],
            any_method: false,
            per_try: HumanDuration::default(),
            backoff: millis(25),
            max_backoff: millis(250),
        }
    }
}

/// When a server is left out.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct EjectionSpec {
    /// Failed connections in a row after which a server is left out; 0 never leaves one out for that.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(crate) failures: u32,
    /// Broken connections, timeouts and answers 502, 503 and 504 in a row; 0 does not count them.
    /// Whoever can make the application fail so can take servers away, within `max_share`.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(crate) gateway_errors: u32,
    /// Answers of 500 and above (and what `gateway_errors` counts) in a row; 0 does not count them. The
    /// same warning applies, more so.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(crate) server_errors: u32,
    /// Leaves out servers that answer well much less often than the others: below the mean minus this
    /// many thousandths of the standard deviation, looked at every ten seconds among servers with at
    /// least 100 requests in that time, of which there must be five. `1900` is usual; 0 is off.
    #[schemars(range(min = 0, max = 100_000))]
    pub(crate) success_rate: u32,
    /// For how long; the n-th time in a row n times as long.
    pub(crate) time: HumanDuration,
    /// Longest time.
    pub(crate) max_time: HumanDuration,
    /// At most this share of the servers is left out; one may always be, if `min_servers` allows.
    #[schemars(with = "PercentText")]
    pub(crate) max_share: String,
    /// Smaller groups never leave one out.
    #[schemars(range(min = 2, max = 10_000))]
    pub(crate) min_servers: u32,
}

impl Default for EjectionSpec {
    fn default() -> Self {
        Self {
            failures: 5,
            gateway_errors: 0,
            server_errors: 0,
            success_rate: 0,
            time: seconds(10),
            max_time: seconds(300),
            max_share: "50%".to_owned(),
            min_servers: 2,
        }
    }
}

/// How much may be under way at once; 0 is no limit.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LimitsSpec {
    /// Requests at the whole group.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(crate) requests: u32,
    /// Requests at one server.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(crate) requests_per_server: u32,
    /// Connections open to one server, idle ones included; not for unix sockets.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(crate) connections_per_server: u32,
    /// Requests that may wait while the group is at `requests`; 0 refuses at once.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(crate) pending: u32,
    /// How long they wait.
    pub(crate) pending_time: HumanDuration,
    /// What `Retry-After` tells refused clients.
    pub(crate) retry_after: HumanDuration,
}

impl Default for LimitsSpec {
    fn default() -> Self {
        Self {
            requests: 0,
            requests_per_server: 0,
            connections_per_server: 0,
            pending: 0,
            pending_time: seconds(1),
            retry_after: seconds(1),
        }
    }
}
