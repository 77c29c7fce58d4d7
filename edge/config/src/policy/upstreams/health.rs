//! Health checks, checked.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::percent;
use crate::policy::Complaints;
use crate::spec::{CheckKind, HealthSpec};
use crate::tree::Path;

/// Active health checks.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// What is asked.
    pub kind: CheckKind,
    /// Path and query of an HTTP check.
    pub path: String,
    /// Its method, `GET` or `HEAD`.
    pub method: String,
    /// Statuses that mean "up".
    pub statuses: Vec<RangeInclusive<u16>>,
    /// What its body must contain.
    pub body: Option<String>,
    /// Its `Host`; `None`: the server's.
    pub host: Option<String>,
    /// The service of a gRPC check.
    pub service: String,
    /// The port; `None`: that of the requests.
    pub port: Option<u16>,
    /// From one check to the next.
    pub interval: Duration,
    /// For one check.
    pub timeout: Duration,
    /// By how much the interval varies, in percent.
    pub jitter_percent: u8,
    /// Good ones in a row that bring a server back.
    pub healthy: u32,
    /// Failed ones in a row that take it away.
    pub unhealthy: u32,
    /// Share of servers below which checks are not believed, in percent; 0: always believed.
    pub panic_percent: u8,
}

pub(super) fn health(spec: HealthSpec, path: &Path, complaints: &mut Complaints) -> Option<Health> {
    let before = complaints.0.len();
    let graphic = |text: &str| text.bytes().all(|b| b.is_ascii_graphic());
    if !spec.path.starts_with('/') || !graphic(&spec.path) {
        complaints.error(path.key("path"), "expected a path that starts with `/`");
    }
    if !matches!(spec.method.as_str(), "GET" | "HEAD") {
        complaints.error(path.key("method"), "expected `GET` or `HEAD`");
    }
    if spec.method == "HEAD" && spec.body.is_some() {
        complaints.error(path.key("body"), "an answer to `HEAD` has no body");
    }
    if spec
        .host
        .as_deref()
        .is_some_and(|host| host.is_empty() || !graphic(host))
    {
        complaints.error(path.key("host"), "expected a host name");
    }
    if spec.service.len() > 256 {
        complaints.error(path.key("service"), "is longer than 256 bytes");
    }
    if spec.port == Some(0) {
        complaints.error(path.key("port"), "expected a port from 1 to 65535");
    }
    let statuses = spec.statuses.iter().enumerate().filter_map(|(at, text)| {
        let range = statuses(text);
        if range.is_none() {
            let at = path.key("statuses").index(at);
            complaints.error(
                at,
                "expected a status such as `200`, or a range such as `200-299`",
            );
        }
        range
    });
    let statuses: Vec<_> = statuses.collect();
    if spec.statuses.is_empty() {
        complaints.error(
            path.key("statuses"),
            "no status would mean that the server is up",
        );
    }
    if spec.interval.0 < MIN_INTERVAL {
        complaints.error(path.key("interval"), "is shorter than 100ms");
    }
    if spec.timeout.0.is_zero() {
        complaints.error(path.key("timeout"), "must be longer than 0");
    }
    let health = Health {
        kind: spec.kind,
        path: spec.path,
        method: spec.method,
        statuses,
        body: spec.body.filter(|body| !body.is_empty()),
        host: spec.host,
        service: spec.service,
        port: spec.port,
        interval: spec.interval.0,
        timeout: spec.timeout.0,
        jitter_percent: percent(&spec.jitter, path.key("jitter"), complaints),
        healthy: spec.healthy.max(1),
        unhealthy: spec.unhealthy.max(1),
        panic_percent: percent(&spec.panic, path.key("panic"), complaints),
    };
    let wrong = complaints.0.iter().skip(before).any(|c| !c.warning);
    (!wrong).then_some(health)
}

fn statuses(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| {
        let number = text.trim().parse::<u16>().ok();
        number.filter(|number| (100..=599).contains(number))
    };
    let range = number(first)?..=number(last)?;
    (!range.is_empty()).then_some(range)
}

const MIN_INTERVAL: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_numbers_and_ranges() {
        assert_eq!(statuses("200"), Some(200..=200));
        assert_eq!(statuses("200-399"), Some(200..=399));
        for wrong in ["", "20", "600", "300-200", "200-", "2xx"] {
            assert_eq!(statuses(wrong), None, "{wrong}");
        }
    }
}
