//! How many requests a group takes at once (circuit breaking), and how many wait for their turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use edge_config::Limits;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// The door of a group with a limit.
#[derive(Debug)]
pub(crate) struct Gate {
    places: Arc<Semaphore>,
    limits: Limits,
    waiting: AtomicU32,
}

/// A place inside; given back when dropped.
#[derive(Debug)]
pub(crate) struct Entry(#[expect(dead_code, reason = "held, not read")] OwnedSemaphorePermit);

impl Gate {
    /// The gate for these limits; `None` if they do not bound the group.
    pub(crate) fn new(limits: Limits) -> Option<Self> {
        let places = usize::try_from(limits.requests).ok().filter(|n| *n > 0)?;
        Some(Self {
            places: Arc::new(Semaphore::new(places)),
            limits,
            waiting: AtomicU32::new(0),
        })
    }

    /// Whether it was made for these limits.
    pub(crate) fn serves(&self, limits: Limits) -> bool {
        self.limits == limits
    }

    /// Takes a place, at once or after waiting; `None` if there is none.
    pub(crate) async fn enter(&self) -> Option<Entry> {
        if let Ok(place) = self.places.clone().try_acquire_owned() {
            return Some(Entry(place));
        }
        let _turn = Turn::take(&self.waiting, self.limits.pending)?;
        self.wait(self.limits.pending_time).await
    }

    async fn wait(&self, patience: Duration) -> Option<Entry> {
        let place = timeout(patience, self.places.clone().acquire_owned()).await;
        place.ok()?.ok().map(Entry)
    }
}

/// A place in the queue; given back when dropped, also by a client that goes away.
struct Turn<'a>(&'a AtomicU32);

impl<'a> Turn<'a> {
    fn take(waiting: &'a AtomicU32, most: u32) -> Option<Self> {
        let order = Ordering::Relaxed;
        let more = |count: u32| (count < most).then_some(count + 1);
        waiting.fetch_update(order, order, more).ok()?;
        Some(Self(waiting))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::super::group::tests::upstream;
    use super::*;

    fn gate(keys: &str) -> Gate {
        let yaml = format!("servers: [http://127.0.0.1]\nlimits: {{ {keys} }}\n");
        Gate::new(upstream(&yaml).limits()).unwrap()
    }

    #[tokio::test]
    async fn no_more_than_the_limit_are_inside_and_none_waits_unless_it_may() {
        let gate = gate("requests: 2");
        let (first, _second) = (gate.enter().await.unwrap(), gate.enter().await.unwrap());
        assert!(gate.enter().await.is_none());
        drop(first);
        assert!(gate.enter().await.is_some());
    }

    #[tokio::test]
    async fn a_few_wait_and_one_more_does_not() {
        let gate = Arc::new(gate("requests: 1, pending: 1, pending_time: 5s"));
        let inside = gate.enter().await.unwrap();
        let waits = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.enter().await.is_some() }
        });
        while gate.waiting.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        assert!(gate.enter().await.is_none());
        drop(inside);
        assert!(waits.await.unwrap());
        assert_eq!(gate.waiting.load(Ordering::Relaxed), 0);
    }
}
