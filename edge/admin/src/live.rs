//! What the admin listener asks the running gateway.

use std::borrow::Cow;

use serde::Serialize;

/// The running gateway, as far as it is shown. Calls must not block.
pub trait Live: Send + Sync + 'static {
    /// Whether traffic should be sent here.
    fn readiness(&self) -> Readiness;
    /// A summary for people and for `palisade status`.
    fn status(&self) -> Status;
    /// Metrics in Prometheus's text format.
    fn metrics(&self) -> String;
    /// Upstream groups and the state of their servers, by name; only `group` if it is given.
    fn upstreams(&self, group: Option<&str>) -> serde_json::Value;
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
    /// Why the last reload was refused; `None` if it took effect.
    pub last_reload_error: Option<String>,
}
