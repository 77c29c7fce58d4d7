//! One address of one server, and everything that is known about it.
//!
//! It outlives the group it was made for: a reload hands it on, so that counts, health and ejection of
//! servers that stay are not forgotten. Only atomics, but for words that people read.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use edge_config::Health;
use pingora::upstreams::peer::Tracing;

use super::Address;
use super::eject::Ejector;
use super::latency::Latency;

/// One address of one server. Times are milliseconds of the group's clock.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) address: Address,
    pub(crate) in_flight: AtomicU32,
    /// Open now; counted only where they are limited.
    pub(crate) connections: AtomicU32,
    pub(crate) ejector: Ejector,
    pub(crate) latency: Latency,
    /// Since when it takes part; 0: from the start of the group.
    since: AtomicU64,
    /// Not taken away by checks.
    up: AtomicBool,
    /// Results of checks in a row that speak against `up`.
    against: AtomicU32,
    /// The first check decides alone.
    checked: AtomicBool,
    /// Answers since the success rates were looked at, and the good ones.
    pub(crate) answers: [AtomicU32; 2],
    /// What the last check said.
    last_check: Mutex<Option<Arc<str>>>,
}

impl Endpoint {
    /// A server that takes part since then.
    pub(crate) fn new(address: Address, since: u64) -> Arc<Self> {
        Arc::new(Self {
            address,
            in_flight: AtomicU32::new(0),
            connections: AtomicU32::new(0),
            ejector: Ejector::default(),
            latency: Latency::default(),
            since: AtomicU64::new(since),
            up: AtomicBool::new(true),
            against: AtomicU32::new(0),
            checked: AtomicBool::new(false),
            answers: [const { AtomicU32::new(0) }; 2],
            last_check: Mutex::new(None),
        })
    }

    /// Whether checks let it take part.
    pub(crate) fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// Whether a check has been made.
    pub(crate) fn was_checked(&self) -> bool {
        self.checked.load(Ordering::Relaxed)
    }

    /// Nobody checks it any more.
    pub(crate) fn unchecked(&self) {
        self.up.store(true, Ordering::Relaxed);
        self.checked.store(false, Ordering::Relaxed);
        self.against.store(0, Ordering::Relaxed);
        self.say(None);
    }

    /// Notes the result of a check; true if the server came or went by it. Checks of one server
    /// never run at the same time.
    pub(crate) fn check(&self, result: Result<(), String>, settings: &Health, now: u64) -> bool {
        let good = result.is_ok();
        self.say(result.err());
        let first = !self.checked.swap(true, Ordering::Relaxed);
        if good == self.is_up() {
            self.against.store(0, Ordering::Relaxed);
            return false;
        }
        let needed = if good {
            settings.healthy
        } else {
            settings.unhealthy
        };
        let row = self.against.load(Ordering::Relaxed).saturating_add(1);
        if row < needed && !first {
            self.against.store(row, Ordering::Relaxed);
            return false;
        }
        self.against.store(0, Ordering::Relaxed);
        if good {
            self.since.store(now.max(1), Ordering::Relaxed);
        }
        self.up.store(good, Ordering::Relaxed);
        true
    }

    /// What the last check had against it.
    pub(crate) fn last_check(&self) -> Option<Arc<str>> {
        let said = self.last_check.lock();
        said.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn say(&self, what: Option<String>) {
        let mut said = self
            .last_check
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *said = what.map(Into::into);
    }

    /// Its share at this moment in thousandths: full, unless it came back a short while ago.
    pub(crate) fn ramp(&self, slow_start: u64, now: u64) -> u64 {
        if slow_start == 0 {
            return FULL;
        }
        match self.since.load(Ordering::Relaxed).max(self.ejector.until()) {
            0 => FULL,
            since => {
                let passed = now.saturating_sub(since).min(slow_start);
                (passed * FULL / slow_start).max(LEAST)
            }
        }
    }

    /// One more request, unless there are `limit` already; 0 is no limit.
    pub(crate) fn enter(&self, limit: u32) -> bool {
        let order = Ordering::Relaxed;
        if limit == 0 {
            self.in_flight.fetch_add(1, order);
            return true;
        }
        let more = |count: u32| (count < limit).then_some(count + 1);
        self.in_flight.fetch_update(order, order, more).is_ok()
    }

    /// One request less.
    pub(crate) fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts the connections of an endpoint for as long as they live.
#[derive(Debug, Clone)]
pub(crate) struct Counted(pub(crate) Arc<Endpoint>);

impl Tracing for Counted {
    fn on_connected(&self) {
        self.0.connections.fetch_add(1, Ordering::Relaxed);
    }

    fn on_disconnected(&self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }

    fn boxed_clone(&self) -> Box<dyn Tracing> {
        Box::new(self.clone())
    }
}

/// A whole share.
pub(crate) const FULL: u64 = 1000;
/// The first share of a server that starts slowly.
const LEAST: u64 = 100;

#[cfg(test)]
mod tests {
    use super::super::group::tests::upstream;
    use super::*;

    fn endpoint(since: u64) -> Arc<Endpoint> {
        Endpoint::new(Address::Inet("127.0.0.1:80".parse().unwrap()), since)
    }

    fn health() -> Health {
        let yaml = "servers: [http://127.0.0.1]\nhealth: { healthy: 2, unhealthy: 3 }\n";
        upstream(yaml).health().unwrap().clone()
    }

    #[test]
    fn the_first_check_decides_and_then_it_takes_several() {
        let (endpoint, health) = (endpoint(0), health());
        let bad = || Err("no".to_owned());
        assert!(endpoint.is_up());
        assert!(endpoint.check(bad(), &health, 1));
        assert!(!endpoint.is_up());
        assert!(!endpoint.check(Ok(()), &health, 2));
        assert!(!endpoint.check(bad(), &health, 3));
        assert!(!endpoint.check(Ok(()), &health, 4));
        assert!(endpoint.check(Ok(()), &health, 5));
        assert!(!endpoint.check(bad(), &health, 6));
        assert!(!endpoint.check(bad(), &health, 7));
        assert!(endpoint.is_up());
        assert!(endpoint.check(bad(), &health, 8));
        assert_eq!(endpoint.last_check().as_deref(), Some("no"));
    }

    #[test]
    fn a_server_starts_slowly_only_where_told_and_only_if_it_is_new() {
        assert_eq!(endpoint(0).ramp(10_000, 1), FULL);
        let new = endpoint(5_000);
        assert_eq!(new.ramp(0, 5_000), FULL);
        assert_eq!(new.ramp(10_000, 5_000), LEAST);
        assert_eq!(new.ramp(10_000, 10_000), FULL / 2);
        assert_eq!(new.ramp(10_000, 20_000), FULL);
    }

    #[test]
    fn a_limit_holds() {
        let endpoint = endpoint(0);
        assert!(endpoint.enter(2) && endpoint.enter(2));
        assert!(!endpoint.enter(2));
        endpoint.leave();
        assert!(endpoint.enter(2));
    }
}
