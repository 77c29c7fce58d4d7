//! Retries, ejection and limits, checked.

use std::time::Duration;

use super::percent;
use crate::policy::Complaints;
use crate::spec::{EjectionSpec, LimitsSpec, RetriesSpec, RetryOn};
use crate::tree::Path;

/// When a request is tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retries {
    /// Tries in all; at least 1.
    pub attempts: u8,
    /// Retries in a hundred requests that are allowed; at most 100.
    pub budget_percent: u8,
    /// After what.
    pub on: Vec<RetryOn>,
    /// Also methods that may not be repeated.
    pub any_method: bool,
    /// Time of one try to the head of its answer; `None`: no limit.
    pub per_try: Option<Duration>,
    /// Before the first retry.
    pub backoff: Duration,
    /// Longest pause.
    pub max_backoff: Duration,
}

/// When a server is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ejection {
    /// Failed connections in a row; 0 does not count them.
    pub failures: u32,
    /// Errors of a gateway in a row; 0 does not count them.
    pub gateway_errors: u32,
    /// Errors of any kind in a row; 0 does not count them.
    pub server_errors: u32,
    /// Thousandths of a standard deviation below the mean; 0 is off.
    pub success_rate: u32,
    /// For how long, first.
    pub time: Duration,
    /// At most.
    pub max_time: Duration,
    /// Share of the servers left out, in percent, at most.
    pub max_percent: u8,
    /// Servers a group must have.
    pub min_servers: u32,
}

/// How much may be under way at once; 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Requests at the group.
    pub requests: u32,
    /// Requests at one server.
    pub requests_per_server: u32,
    /// Connections to one server.
    pub connections_per_server: u32,
    /// Requests that wait.
    pub pending: u32,
    /// How long they wait.
    pub pending_time: Duration,
    /// Told to those who are refused.
    pub retry_after: Duration,
}

pub(super) fn retries(spec: RetriesSpec, path: &Path, complaints: &mut Complaints) -> Retries {
    let per_try = Some(spec.per_try.0).filter(|time| !time.is_zero());
    if per_try.is_none() && spec.on.contains(&RetryOn::PerTryTimeout) {
        complaints
            .error(path.key("on"), "`per_try_timeout` needs `per_try`")
            .help("say how long one try may take, for example `per_try: 2s`");
    }
    if spec.max_backoff < spec.backoff {
        complaints.error(path.key("max_backoff"), "is shorter than `backoff`");
    }
    if spec.max_backoff.0 > MAX_BACKOFF {
        complaints.error(path.key("max_backoff"), "is longer than 10s");
    }
    if spec.any_method
        && spec
            .on
            .iter()
            .any(|on| *on as u8 > RetryOn::RefusedStream as u8)
    {
        complaints
            .warn(path.key("unsafe"), "requests such as POST may arrive twice")
            .help("leave it off unless the application notices duplicates");
    }
    Retries {
        attempts: spec.attempts.max(1),
        budget_percent: percent(&spec.budget, path.key("budget"), complaints),
        on: spec.on,
        any_method: spec.any_method,
        per_try,
        backoff: spec.backoff.0,
        max_backoff: spec.max_backoff.0,
    }
}

pub(super) fn ejection(
    spec: &EjectionSpec,
    path: &Path,
    complaints: &mut Complaints,
) -> Option<Ejection> {
    let max_percent = percent(&spec.max_share, path.key("max_share"), complaints);
    let counts = [
        spec.failures,
        spec.gateway_errors,
        spec.server_errors,
        spec.success_rate,
    ];
    if counts.iter().all(|count| *count == 0) {
        return None;
    }
    if spec.time.0.is_zero() {
        complaints.error(path.key("time"), "must be longer than 0");
    }
    if spec.max_time < spec.time {
        complaints.error(path.key("max_time"), "is shorter than `time`");
    }
    Some(Ejection {
        failures: spec.failures,
        gateway_errors: spec.gateway_errors,
        server_errors: spec.server_errors,
        success_rate: spec.success_rate,
        time: spec.time.0,
        max_time: spec.max_time.0,
        max_percent,
        min_servers: spec.min_servers.max(2),
    })
}

pub(super) fn limits(spec: &LimitsSpec, path: &Path, complaints: &mut Complaints) -> Limits {
    if spec.pending > 0 && spec.requests == 0 {
        complaints
            .error(path.key("pending"), "needs `requests`")
            .help("requests wait while the group is at its limit; without one, none waits");
    }
    if spec.pending > 0 && spec.pending_time.0.is_zero() {
        complaints.error(path.key("pending_time"), "must be longer than 0");
    }
    Limits {
        requests: spec.requests,
        requests_per_server: spec.requests_per_server,
        connections_per_server: spec.connections_per_server,
        pending: spec.pending,
        pending_time: spec.pending_time.0,
        retry_after: spec.retry_after.0,
    }
}

const MAX_BACKOFF: Duration = Duration::from_secs(10);
