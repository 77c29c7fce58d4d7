//! When a failing server is left out for a while (passive ejection).
//!
//! By default only failures to connect count: an answer, whatever its status, shows that the server is
//! there, and a client that provokes 500s must not be able to take servers away from others. Whoever
//! trusts the clients may count more. How many servers may be out at once is the group's business. A
//! server that comes back and fails at once is left out again, each time longer.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use edge_config::Ejection;

/// What became of an attempt, as far as it tells something about the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// No connection.
    ConnectFailed,
    /// The connection broke, or time was over.
    Broken,
    /// An answer with this status.
    Answered(u16),
}

/// What is known about one server. Times are milliseconds of the group's clock.
#[derive(Debug, Default)]
pub(crate) struct Ejector {
    /// In a row: failed connections, errors of a gateway, errors of any kind.
    rows: [AtomicU32; 3],
    /// Left out until then.
    until: AtomicU64,
    /// Times left out since it last worked.
    times: AtomicU32,
}

impl Ejector {
    pub(crate) fn is_out(&self, now: u64) -> bool {
        now < self.until()
    }

    /// The moment its last time out ends; 0 if it never was out.
    pub(crate) fn until(&self) -> u64 {
        self.until.load(Ordering::Relaxed)
    }

    /// Notes what happened; true if it should be left out now. Attempts that began before it was
    /// left out and fail afterwards say nothing new. In good times it only reads, so that the line
    /// stays shared between cores.
    pub(crate) fn note(&self, outcome: Outcome, settings: Ejection, now: u64) -> bool {
        let failed = match outcome {
            Outcome::ConnectFailed => [true, true, true],
            Outcome::Broken | Outcome::Answered(502..=504) => [false, true, true],
            Outcome::Answered(500..) => [false, false, true],
            Outcome::Answered(_) => [false, false, false],
        };
        if failed.contains(&true) && self.is_out(now) {
            return false;
        }
        let mut out = false;
        for ((row, failed), limit) in self.rows.iter().zip(failed).zip(limits(settings)) {
            if failed {
                let length = row.fetch_add(1, Ordering::Relaxed).saturating_add(1);
                out |= limit > 0 && length >= limit;
            } else {
                clear(row);
            }
        }
        if !failed.contains(&true) {
            clear(&self.times);
        }
        out
    }

    /// Leaves it out; says for how long.
    pub(crate) fn eject(&self, settings: Ejection, now: u64) -> Duration {
        let times = self.times.load(Ordering::Relaxed).saturating_add(1);
        self.times.store(times, Ordering::Relaxed);
        // One failure short of the limit: after its return it is on probation.
        for (row, limit) in self.rows.iter().zip(limits(settings)) {
            row.store(limit.saturating_sub(1), Ordering::Relaxed);
        }
        let time = settings.time.saturating_mul(times).min(settings.max_time);
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.until
            .store(now.saturating_add(millis), Ordering::Relaxed);
        time
    }
}

const fn limits(settings: Ejection) -> [u32; 3] {
    [
        settings.failures,
        settings.gateway_errors,
        settings.server_errors,
    ]
}

fn clear(counter: &AtomicU32) {
    if counter.load(Ordering::Relaxed) != 0 {
        counter.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::super::group::tests::upstream;
    use super::Outcome::{Answered, Broken, ConnectFailed};
    use super::*;

    fn settings(keys: &str) -> Ejection {
        let yaml = format!("servers: [http://127.0.0.1]\nejection: {{ {keys} }}\n");
        upstream(&yaml).ejection().unwrap()
    }

    #[test]
    fn only_failures_in_a_row_count() {
        let (ejector, settings) = (Ejector::default(), settings("failures: 3"));
        assert!(!ejector.note(ConnectFailed, settings, 0));
        assert!(!ejector.note(ConnectFailed, settings, 0));
        ejector.note(Answered(500), settings, 0);
        assert!(!ejector.note(ConnectFailed, settings, 0));
        assert!(!ejector.note(ConnectFailed, settings, 0));
        assert!(ejector.note(ConnectFailed, settings, 0));
    }

    #[test]
    fn answers_count_only_where_the_operator_said_so() {
        let (ejector, plain) = (Ejector::default(), settings("failures: 1"));
        for _ in 0..1000 {
            assert!(!ejector.note(Answered(503), plain, 0));
            assert!(!ejector.note(Broken, plain, 0));
        }
        let (ejector, gateway) = (Ejector::default(), settings("gateway_errors: 2"));
        assert!(!ejector.note(Answered(500), gateway, 0));
        assert!(!ejector.note(Answered(503), gateway, 0));
        assert!(ejector.note(Broken, gateway, 0));
        let (ejector, any) = (Ejector::default(), settings("server_errors: 2"));
        assert!(!ejector.note(Answered(500), any, 0));
        assert!(ejector.note(Answered(501), any, 0));
    }

    #[test]
    fn a_server_that_fails_on_its_return_is_left_out_longer_and_one_that_works_starts_afresh() {
        let (ejector, settings) = (Ejector::default(), settings("failures: 3, time: 10s"));
        assert_eq!(ejector.eject(settings, 0), Duration::from_secs(10));
        assert!(ejector.is_out(9_999));
        assert!(
            !ejector.note(ConnectFailed, settings, 9_999),
            "an old attempt"
        );
        assert!(!ejector.is_out(10_000));
        assert!(
            ejector.note(ConnectFailed, settings, 10_000),
            "on probation"
        );
        assert_eq!(ejector.eject(settings, 10_000), Duration::from_secs(20));
        ejector.note(Answered(200), settings, 30_000);
        assert!(!ejector.note(ConnectFailed, settings, 40_000));
        assert_eq!(ejector.eject(settings, 40_000), Duration::from_secs(10));
    }

    #[test]
    fn the_time_has_an_upper_bound() {
        let (ejector, settings) = (Ejector::default(), settings("failures: 3, max_time: 100s"));
        let longest = (0..50).map(|_| ejector.eject(settings, 0)).max();
        assert_eq!(longest, Some(Duration::from_secs(100)));
    }
}
