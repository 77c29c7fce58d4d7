//! How many retries a group may see: a share of its requests, so that a failing group is not flooded.
//!
//! A token bucket: every request adds its share of a token, every retry takes a whole one. A few
//! tokens a second come by themselves, or a quiet group could never retry. A share of 0 allows none.

use std::sync::atomic::{AtomicU64, Ordering};

/// The retry budget of a group. Times are milliseconds of the group's clock.
#[derive(Debug)]
pub(crate) struct Budget {
    /// Thousandths of a token that a request adds.
    share: u64,
    /// Thousandths of a token.
    tokens: AtomicU64,
    /// When the tokens that come by themselves were last added.
    refilled: AtomicU64,
}

impl Budget {
    /// Retries may add `percent` to the requests.
    pub(crate) fn new(percent: u8) -> Self {
        Self {
            share: u64::from(percent) * TOKEN / 100,
            tokens: AtomicU64::new(TOKEN * PER_SECOND),
            refilled: AtomicU64::new(0),
        }
    }

    /// A request arrived.
    pub(crate) fn request(&self) {
        // In good times the bucket is full, and a look at it is all that is needed.
        if self.share > 0 && self.tokens.load(Ordering::Relaxed) < FULL {
            self.tokens.fetch_add(self.share, Ordering::Relaxed);
        }
    }

    /// Takes the token of one retry; false if there is none.
    pub(crate) fn retry(&self, now: u64) -> bool {
        if self.share == 0 {
            return false;
        }
        self.refill(now);
        let take = |tokens: u64| tokens.checked_sub(TOKEN);
        let order = Ordering::Relaxed;
        self.tokens.fetch_update(order, order, take).is_ok()
    }

    /// Adds what came by itself since the last time; of two that try at once, one does.
    fn refill(&self, now: u64) {
        let order = Ordering::Relaxed;
        let last = self.refilled.load(order);
        // A second is a thousand milliseconds and a token a thousand thousandths.
        let due = now.saturating_sub(last).saturating_mul(PER_SECOND);
        if due == 0
            || self
                .refilled
                .compare_exchange(last, now, order, order)
                .is_err()
        {
            return;
        }
        let add = |tokens: u64| (tokens < FULL).then(|| tokens.saturating_add(due).min(FULL));
        // An error means that the bucket was full.
        let _ = self.tokens.fetch_update(order, order, add);
    }
}

/// One token, in thousandths.
const TOKEN: u64 = 1000;
/// Tokens that come by themselves.
const PER_SECOND: u64 = 3;
/// Most that is kept, in thousandths: the longest burst of retries.
const FULL: u64 = 100 * TOKEN;

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(budget: &Budget, retries: usize, now: u64) -> usize {
        (0..retries).filter(|_| budget.retry(now)).count()
    }

    #[test]
    fn retries_stay_within_their_share_of_the_requests() {
        let budget = Budget::new(20);
        allowed(&budget, 10, 0);
        let mut retries = 0;
        for _ in 0..1000 {
            budget.request();
            retries += allowed(&budget, 1, 0);
        }
        assert_eq!(retries, 200);
    }

    #[test]
    fn a_quiet_group_may_retry_a_little_and_an_idle_one_saves_up_no_flood() {
        let budget = Budget::new(20);
        assert_eq!(allowed(&budget, 10, 0), 3);
        assert_eq!(allowed(&budget, 10, 1000), 3);
        assert_eq!(allowed(&budget, 1000, 3_600_000), 100);
    }

    #[test]
    fn a_long_good_time_saves_up_no_flood() {
        let budget = Budget::new(100);
        (0..100_000).for_each(|_| budget.request());
        assert!(allowed(&budget, 1000, 0) <= 101);
    }

    #[test]
    fn a_budget_of_nothing_allows_nothing() {
        let budget = Budget::new(0);
        budget.request();
        assert_eq!(allowed(&budget, 10, 10_000), 0);
    }

    #[test]
    fn a_clock_that_stands_still_or_goes_back_gives_nothing() {
        let budget = Budget::new(20);
        assert_eq!(allowed(&budget, 10, 5000), 3 + 7);
        let left = allowed(&budget, 1000, 5000);
        assert!(left <= 8, "{left}");
        assert_eq!(allowed(&budget, 10, 1000), 0);
    }
}
