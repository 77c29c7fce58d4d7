//! How long a server took to answer lately: a moving average in which peaks count at once and fade
//! (peak EWMA, after Finagle). One atomic word; of two samples at the same moment one may be lost.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The average of one server. Times are milliseconds of the group's clock.
#[derive(Debug, Default)]
pub(crate) struct Latency {
    /// Microseconds in the upper half, the moment of the last sample in the lower.
    word: AtomicU64,
}

impl Latency {
    /// A request took this long.
    pub(crate) fn sample(&self, took: Duration, now: u64) {
        let sample = u32::try_from(took.as_micros()).unwrap_or(u32::MAX).max(1);
        let (average, last) = self.read();
        let kept = fading(last, now);
        let average = if average == 0 || f64::from(sample) > f64::from(average) * kept {
            sample
        } else {
            let mixed = f64::from(average) * kept + f64::from(sample) * (1.0 - kept);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between two numbers of 32 bits"
            )]
            let mixed = mixed as u32;
            mixed.max(1)
        };
        let word = (u64::from(average) << 32) | (now & LOW);
        self.word.store(word, Ordering::Relaxed);
    }

    /// Microseconds now; 0 if nothing is known.
    pub(crate) fn micros(&self, now: u64) -> f64 {
        let (average, last) = self.read();
        f64::from(average) * fading(last, now)
    }

    fn read(&self) -> (u32, u64) {
        let word = self.word.load(Ordering::Relaxed);
        (u32::try_from(word >> 32).unwrap_or(u32::MAX), word & LOW)
    }
}

/// What is left of a sample after the time since then.
fn fading(last: u64, now: u64) -> f64 {
    let passed = (now & LOW).wrapping_sub(last) & LOW;
    // A sample from the "future" of another core is as old as none.
    let passed = if passed > LOW / 2 { 0 } else { passed };
    #[expect(clippy::cast_precision_loss, reason = "below 2^32")]
    let passed = passed as f64;
    (-passed / FADES).exp()
}

const LOW: u64 = u32::MAX as u64;
/// Milliseconds in which a sample fades to about a third.
const FADES: f64 = 10_000.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_counts_at_once_and_fades() {
        let latency = Latency::default();
        assert!(latency.micros(5) < 0.5);
        latency.sample(Duration::from_millis(10), 0);
        latency.sample(Duration::from_millis(200), 1);
        assert!(latency.micros(1) > 199_000.0);
        latency.sample(Duration::from_millis(10), 2);
        assert!(
            latency.micros(2) > 190_000.0,
            "one good answer proves little"
        );
        for second in 1..60 {
            latency.sample(Duration::from_millis(10), second * 1000);
        }
        let now = latency.micros(59_000);
        assert!((9_000.0..12_000.0).contains(&now), "{now}");
    }

    #[test]
    fn a_clock_that_goes_back_does_no_harm() {
        let latency = Latency::default();
        latency.sample(Duration::from_millis(10), 1000);
        assert!(latency.micros(900) > 9_900.0);
    }
}
