//! What is told about the servers of a group: in metrics, to the admin listener.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::group::Group;

/// One address of one server, at this moment.
#[derive(Debug, Serialize)]
pub(crate) struct ServerReport {
    /// Where it is.
    pub(crate) address: String,
    /// Its share.
    pub(crate) weight: u16,
    /// `up`, `down` (checks say so) or `ejected` (requests say so).
    pub(crate) state: &'static str,
    /// Requests there now.
    pub(crate) in_flight: u32,
    /// How long it took to answer lately; only with `balance: latency`.
    pub(crate) latency_ms: Option<f64>,
    /// Seconds until it is tried again, if it is ejected.
    pub(crate) ejected_for: Option<u64>,
    /// What the last check had against it.
    pub(crate) last_check: Option<Arc<str>>,
}

/// How many servers are in which state.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Census {
    pub(crate) up: usize,
    pub(crate) down: usize,
    pub(crate) ejected: usize,
}

impl Group {
    /// Every server at this moment.
    pub(crate) fn report(&self, now: Instant) -> Vec<ServerReport> {
        let now = self.millis(now);
        let members = self.members();
        let report = |member: &super::members::Member| {
            let endpoint = &member.endpoint;
            let out = endpoint.ejector.is_out(now);
            let micros = endpoint.latency.micros(now);
            ServerReport {
                address: endpoint.address.to_string(),
                weight: member.weight,
                state: match (endpoint.is_up(), out) {
                    (false, _) => "down",
                    (true, true) => "ejected",
                    (true, false) => "up",
                },
                in_flight: endpoint.in_flight.load(Ordering::Relaxed),
                latency_ms: (micros >= 0.5).then_some(micros / 1000.0),
                ejected_for: out.then(|| {
                    let left = endpoint.ejector.until().saturating_sub(now);
                    Duration::from_millis(left).as_secs() + 1
                }),
                last_check: endpoint.last_check(),
            }
        };
        members.list.iter().map(report).collect()
    }

    /// How many servers are in which state.
    pub(crate) fn census(&self, now: Instant) -> Census {
        let now = self.millis(now);
        let mut census = Census::default();
        for member in &self.members().list {
            let endpoint = &member.endpoint;
            match (endpoint.is_up(), endpoint.ejector.is_out(now)) {
                (false, _) => census.down += 1,
                (true, true) => census.ejected += 1,
                (true, false) => census.up += 1,
            }
        }
        census
    }
}
