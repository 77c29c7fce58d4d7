//! Checks that ask servers whether they work.

use edge_core::units::HumanDuration;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{PercentText, seconds};

/// Active health checks. A server counts as up until its first check, which decides alone.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HealthSpec {
    /// What is asked.
    #[serde(default)]
    pub(crate) kind: CheckKind,
    /// The path of an HTTP check, query included.
    #[serde(default = "path")]
    pub(crate) path: String,
    /// The method of an HTTP check.
    #[serde(default = "method")]
    pub(crate) method: String,
    /// Statuses that mean "up": numbers or ranges such as `200-299`.
    #[serde(default = "statuses")]
    pub(crate) statuses: Vec<String>,
    /// What the first 64 KiB of the body must contain, if anything.
    #[serde(default)]
    pub(crate) body: Option<String>,
    /// The `Host` of the check; without it, the server's own.
    #[serde(default)]
    pub(crate) host: Option<String>,
    /// The service a gRPC check asks for; empty: the server as a whole.
    #[serde(default)]
    pub(crate) service: String,
    /// Another port than that of the requests.
    #[serde(default)]
    pub(crate) port: Option<u16>,
    /// Time from one check to the next.
    #[serde(default = "interval")]
    pub(crate) interval: HumanDuration,
    /// Time one check may take.
    #[serde(default = "timeout")]
    pub(crate) timeout: HumanDuration,
    /// Each interval is longer or shorter by up to this share, so that checks do not march in step.
    #[serde(default = "jitter")]
    #[schemars(with = "PercentText")]
    pub(crate) jitter: String,
    /// Good checks in a row that bring a server back.
    #[serde(default = "two")]
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) healthy: u32,
    /// Failed checks in a row that take it away.
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) unhealthy: u32,
    /// If less than this share of the servers is up, the checks are no longer believed and requests go
    /// to all. `0%`, the default, believes them always: with no server up the answer is 503.
    #[serde(default = "never")]
    #[schemars(with = "PercentText")]
    pub(crate) panic: String,
}

/// What a check asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckKind {
    /// An HTTP request, in the protocol of the group.
    #[default]
    Http,
    /// A connection, with TLS where the server has it.
    Tcp,
    /// `grpc.health.v1.Health/Check`.
    Grpc,
}

fn path() -> String {
    "/".to_owned()
}

fn method() -> String {
    "GET".to_owned()
}

fn statuses() -> Vec<String> {
    vec!["200-399".to_owned()]
}

fn jitter() -> String {
    "10%".to_owned()
}

fn never() -> String {
    "0%".to_owned()
}

const fn interval() -> HumanDuration {
    seconds(10)
}

const fn timeout() -> HumanDuration {
    seconds(2)
}

const fn two() -> u32 {
    2
}

const fn three() -> u32 {
    3
}
