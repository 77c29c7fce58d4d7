//! What the admin listener asks the running gateway.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// The running gateway, as far as it is shown. Calls must not block.
pub trait Live: Send + Sync + 'static {
    /// Whether traffic should be sent here.
    fn readiness(&self) -> Readiness;
    /// A summary for people and for `palisade status`.
    fn status(&self) -> Status;
    /// What is known of every certificate that is ordered by ACME, as a list.
    fn acme(&self) -> serde_json::Value;
    /// Metrics in Prometheus's text format.
    fn metrics(&self) -> String;
    /// Upstream groups and the state of their servers, by name; only `group` if it is given.
    fn upstreams(&self, group: Option<&str>) -> serde_json::Value;
    /// Figures of hosts.
    fn hosts(&self, page: &Page) -> serde_json::Value;
}

/// Which hosts are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Page {
    /// Their names contain this.
    pub q: String,
    /// What they are sorted by.
    pub sort: Sort,
    /// So many are left out.
    pub offset: usize,
    /// At most so many are shown; never more than 1,000.
    pub limit: usize,
}

impl Default for Page {
    fn default() -> Self {
        Self {
            q: String::new(),
            sort: Sort::Requests,
            offset: 0,
            limit: 100,
        }
    }
}

/// What hosts are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sort {
    /// By name.
    Host,
    /// Most requests first.
    Requests,
    /// Most failures first.
    Errors,
    /// Most bytes sent first.
    Bytes,
    /// The slowest first.
    Time,
}

/// Whether traffic should be sent to this gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// Configuration loaded, listeners bound, not draining.
    Ready,
    /// Not now, for this reason.
    NotReady(Cow<'static, str>),
}

/// A summary of the running gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The program's version.
    pub version: Cow<'static, str>,
    /// Seconds since the start.
    pub uptime_seconds: u64,
    /// Counts the configurations that took effect; 1 is the one of the start.
    pub config_generation: u64,
    /// What the running configuration and its rules say, as a number: the same wherever the same files run.
    pub config_checksum: String,
    /// How many routes it has.
    pub routes: usize,
    /// Why the last reload was refused; `None` if it took effect.
    pub last_reload_error: Option<String>,
}
