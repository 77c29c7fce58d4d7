//! When to renew, when to try again, how many orders are allowed: plain arithmetic.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use super::material::Material;
use super::settings::Retry;

/// When a certificate is renewed without word from its authority: at two thirds of its lifetime, up to
/// a twentieth of it earlier, so that certificates of one day are not renewed in one second.
pub(crate) fn renewal(material: &Material) -> SystemTime {
    let lifetime = material.lifetime();
    let jitter = (lifetime / 20).mul_f64(material.fraction);
    material.not_before + (lifetime * 2 / 3).saturating_sub(jitter)
}

/// A point of the window the authority suggests (RFC 9773 section 4.2), the same each time it is asked
/// for. A window that ends beyond nine tenths of the lifetime is not believed that far.
pub(crate) fn within(start: SystemTime, end: SystemTime, material: &Material) -> SystemTime {
    let latest = material.not_before + material.lifetime() * 9 / 10;
    let length = end.duration_since(start).unwrap_or_default();
    (start + length.mul_f64(material.fraction)).min(latest)
}

/// The wait after that many failures in a row. What is left of the certificate's life counts: a
/// short-lived one is tried more often, though never more than once in the shortest wait.
pub(crate) fn wait(retry: &Retry, failures: u32, left: Option<Duration>) -> Duration {
    let doubled = 1_u32
        .checked_shl(failures.saturating_sub(1))
        .unwrap_or(u32::MAX);
    let wait = retry.first.saturating_mul(doubled).min(retry.longest);
    match left {
        Some(left) => wait.min((left / 8).max(retry.first.min(SHORTEST))),
        None => wait,
    }
}

/// Orders of the last hour.
#[derive(Debug, Default)]
pub(crate) struct Hour(VecDeque<SystemTime>);

impl Hour {
    pub(crate) fn new(times: impl IntoIterator<Item = SystemTime>) -> Self {
        let mut times: Vec<_> = times.into_iter().collect();
        times.sort();
        Self(times.into())
    }

    /// Takes one; else how long to wait.
    pub(crate) fn take(&mut self, now: SystemTime, limit: usize) -> Result<(), Duration> {
        while self
            .0
            .front()
            .is_some_and(|first| now.duration_since(*first).is_ok_and(|age| age >= HOUR))
        {
            self.0.pop_front();
        }
        match self.0.front() {
            Some(first) if self.0.len() >= limit => {
                let age = now.duration_since(*first).unwrap_or_default();
                Err(HOUR.saturating_sub(age).max(Duration::from_secs(1)))
            }
            _ => {
                self.0.push_back(now);
                Ok(())
            }
        }
    }

    pub(crate) fn times(&self) -> impl Iterator<Item = SystemTime> {
        self.0.iter().copied()
    }
}

const HOUR: Duration = Duration::from_secs(3600);
const SHORTEST: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    const RETRY: Retry = Retry {
        first: Duration::from_secs(60),
        longest: Duration::from_secs(4 * 3600),
    };

    #[test]
    fn waits_double_up_to_a_bound() {
        let minutes = |failures| wait(&RETRY, failures, None).as_secs() / 60;
        assert_eq!(
            [
                minutes(1),
                minutes(2),
                minutes(4),
                minutes(30),
                minutes(200)
            ],
            [1, 2, 8, 240, 240]
        );
    }

    #[test]
    fn a_certificate_about_to_end_is_tried_more_often() {
        let left = |seconds| wait(&RETRY, 5, Some(Duration::from_secs(seconds))).as_secs();
        assert_eq!(
            [left(0), left(16), left(240), left(1 << 20)],
            [5, 5, 30, 960]
        );
    }

    #[test]
    fn orders_beyond_the_hours_limit_wait_for_the_oldest() {
        let start = SystemTime::UNIX_EPOCH + HOUR * 1000;
        let mut hour = Hour::default();
        assert!(hour.take(start, 2).is_ok());
        assert!(hour.take(start + HOUR / 2, 2).is_ok());
        assert_eq!(hour.take(start + HOUR / 2, 2), Err(HOUR / 2));
        assert!(hour.take(start + HOUR, 2).is_ok());
    }
}
