//! How long and how slowly a peer may keep us waiting.
//!
//! Only time spent waiting counts towards the rate, so a slow upstream is never held against the
//! client. The timer exists only once a wait begins.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::spec::Pacing;

/// Watches one direction of one message.
#[derive(Debug)]
pub(crate) struct Pace {
    deadline: Option<Instant>,
    min_rate: Option<u64>,
    /// Waiting that is still allowed; bytes buy more of it.
    patience: Duration,
    /// A fast start must not buy an hour of silence.
    most: Duration,
    since: Option<Instant>,
    alarm: Alarm,
}

/// What was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Late {
    Deadline,
    TooSlow,
}

impl Pace {
    /// For a request body that starts now.
    pub(crate) fn reading(pacing: Pacing) -> Self {
        let deadline = pacing.deadline.map(|time| Instant::now() + time);
        Self {
            deadline,
            ..Self::new(pacing, READ_GRACE, READ_PATIENCE_MAX)
        }
    }

    /// For a response; it may last as long as the client keeps reading.
    pub(crate) fn writing(pacing: Pacing) -> Self {
        Self::new(pacing, WRITE_PATIENCE, WRITE_PATIENCE)
    }

    fn new(pacing: Pacing, patience: Duration, most: Duration) -> Self {
        let (min_rate, alarm) = (pacing.min_rate, Alarm::default());
        Self {
            deadline: None,
            min_rate,
            patience,
            most,
            since: None,
            alarm,
        }
    }

    /// The peer moved on by `bytes`.
    pub(crate) fn moved(&mut self, bytes: usize) {
        let Some(rate) = self.min_rate else {
            return;
        };
        if let Some(since) = self.since.take() {
            self.patience = self.patience.saturating_sub(since.elapsed());
        }
        let millis = (bytes as u64).saturating_mul(1000) / rate.max(1);
        self.patience = (self.patience + Duration::from_millis(millis)).min(self.most);
    }

    /// The peer makes us wait; ready once it has done so for too long.
    pub(crate) fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<Late> {
        let since = *self.since.get_or_insert_with(Instant::now);
        let too_slow = self.min_rate.map(|_| since + self.patience);
        let (when, late) = match (self.deadline, too_slow) {
            (Some(deadline), Some(slow)) if slow < deadline => (slow, Late::TooSlow),
            (Some(deadline), _) => (deadline, Late::Deadline),
            (None, Some(slow)) => (slow, Late::TooSlow),
            (None, None) => return Poll::Pending,
        };
        self.alarm.poll_at(when, cx).map(|()| late)
    }
}

/// A timer that is moved forward lazily: ringing early costs one more look at the clock, moving it on
/// every read would cost more.
#[derive(Debug, Default)]
pub struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Ready at `when`.
    pub fn poll_at(&mut self, when: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(when)));
        if when < sleep.deadline() {
            sleep.as_mut().reset(when);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= when {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(when);
        }
        Poll::Pending
    }
}

/// Before this much waiting no rate is judged: connections start slowly.
const READ_GRACE: Duration = Duration::from_secs(5);
const READ_PATIENCE_MAX: Duration = Duration::from_secs(30);
/// Readers pause for honest reasons, a stopped video for example.
const WRITE_PATIENCE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::time::timeout;

    async fn drip(bytes: usize, every: Duration, pacing: Pacing) -> (Late, Duration) {
        let (start, mut pace) = (Instant::now(), Pace::reading(pacing));
        loop {
            let wait = poll_fn(|cx| pace.poll_late(cx));
            match timeout(every, wait).await {
                Ok(late) => return (late, start.elapsed()),
                Err(_) => pace.moved(bytes),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn drips_are_cut_after_the_grace_and_honest_speed_at_the_deadline() {
        let pacing = Pacing {
            deadline: Some(Duration::from_secs(300)),
            min_rate: Some(240),
        };
        let (late, time) = drip(1, Duration::from_secs(1), pacing).await;
        assert!(
            late == Late::TooSlow && time < Duration::from_secs(7),
            "{late:?} {time:?}"
        );
        let (late, time) = drip(500, Duration::from_secs(1), pacing).await;
        assert!(
            late == Late::Deadline && time.as_secs() == 300,
            "{late:?} {time:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_fast_start_buys_only_a_little_silence() {
        let pacing = Pacing {
            deadline: None,
            min_rate: Some(240),
        };
        let mut pace = Pace::reading(pacing);
        pace.moved(1 << 30);
        let start = Instant::now();
        assert_eq!(poll_fn(|cx| pace.poll_late(cx)).await, Late::TooSlow);
        assert_eq!(start.elapsed(), READ_PATIENCE_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_may_pause_but_not_crawl() {
        let pacing = Pacing {
            deadline: None,
            min_rate: Some(240),
        };
        let mut pace = Pace::writing(pacing);
        for _ in 0..10 {
            pace.moved(1 << 20);
            let pause = timeout(Duration::from_secs(50), poll_fn(|cx| pace.poll_late(cx)));
            assert!(pause.await.is_err());
        }
        let start = Instant::now();
        while timeout(Duration::from_secs(1), poll_fn(|cx| pace.poll_late(cx)))
            .await
            .is_err()
        {
            pace.moved(1);
        }
        assert!(
            start.elapsed() < Duration::from_secs(62),
            "{:?}",
            start.elapsed()
        );
    }
}
