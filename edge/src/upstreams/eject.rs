//! When a failing server is left out for a while (passive ejection).
//!
//! Only failures to connect count: an answer, whatever its status, shows that the server is there,
//! and a client that provokes 500s must not be able to take servers away from others. At most half of
//! a group is ever left out, see `group.rs`. A server that comes back and fails at
//! once is left out again, each time longer.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// When a server is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ejection {
    /// Failures in a row.
    pub(crate) failures: u32,
    /// For how long the first time; the n-th time in a row n times as long, up to ten times.
    pub(crate) time: Duration,
}

/// What is known about one server. Times are milliseconds of the group's clock.
#[derive(Debug, Default)]
pub(crate) struct Health {
    failures: AtomicU32,
    /// Left out until then.
    until: AtomicU64,
    /// Times left out since it last worked.
    times: AtomicU32,
}

impl Health {
    pub(crate) fn is_out(&self, now: u64) -> bool {
        now < self.until.load(Ordering::Relaxed)
    }

    /// It works. Reads before it writes: in good times the line stays shared between cores.
    pub(crate) fn succeeded(&self) {
        for counter in [&self.failures, &self.times] {
            if counter.load(Ordering::Relaxed) != 0 {
                counter.store(0, Ordering::Relaxed);
            }
        }
    }

    /// It failed; true if it should be left out now. Attempts that began before it was left out
    /// and fail afterwards say nothing new.
    pub(crate) fn failed(&self, settings: Ejection, now: u64) -> bool {
        if self.is_out(now) {
            return false;
        }
        let before = self.failures.fetch_add(1, Ordering::Relaxed);
        before.saturating_add(1) >= settings.failures
    }

    /// Leaves it out; says for how long.
    pub(crate) fn eject(&self, settings: Ejection, now: u64) -> Duration {
        let times = self
            .times
            .load(Ordering::Relaxed)
            .saturating_add(1)
            .min(LONGEST);
        self.times.store(times, Ordering::Relaxed);
        // One failure short of the limit: after its return it is on probation.
        self.failures
            .store(settings.failures.saturating_sub(1), Ordering::Relaxed);
        let time = settings.time.saturating_mul(times);
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.until
            .store(now.saturating_add(millis), Ordering::Relaxed);
        time
    }
}

/// Most times the configured time that a server is left out.
const LONGEST: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Ejection = Ejection {
        failures: 3,
        time: Duration::from_secs(10),
    };

    #[test]
    fn only_failures_in_a_row_count() {
        let health = Health::default();
        assert!(!health.failed(SETTINGS, 0));
        assert!(!health.failed(SETTINGS, 0));
        health.succeeded();
        assert!(!health.failed(SETTINGS, 0));
        assert!(!health.failed(SETTINGS, 0));
        assert!(health.failed(SETTINGS, 0));
    }

    #[test]
    fn a_server_that_fails_on_its_return_is_left_out_longer_and_one_that_works_starts_afresh() {
        let health = Health::default();
        assert_eq!(health.eject(SETTINGS, 0), Duration::from_secs(10));
        assert!(health.is_out(9_999));
        assert!(!health.failed(SETTINGS, 9_999), "an old attempt");
        assert!(!health.is_out(10_000));
        assert!(health.failed(SETTINGS, 10_000), "on probation");
        assert_eq!(health.eject(SETTINGS, 10_000), Duration::from_secs(20));
        health.succeeded();
        assert!(!health.failed(SETTINGS, 40_000));
        assert_eq!(health.eject(SETTINGS, 40_000), Duration::from_secs(10));
    }

    #[test]
    fn the_time_has_an_upper_bound() {
        let health = Health::default();
        let longest = (0..50).map(|_| health.eject(SETTINGS, 0)).max();
        assert_eq!(longest, Some(Duration::from_secs(100)));
    }
}
