//! What the byte stream under an HTTP/2 connection tells the loop above it.
//!
//! The `h2` crate owns the stream and talks to nobody else about it. A flood, a head that takes too
//! long, and errors `h2` sent on its own are noted here and found by the loop after its next look.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::frames::ErrorSent;

/// Shared by one connection's stream and its loop. The lock is taken only when there is something
/// to tell.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    news: AtomicBool,
    told: Mutex<Told>,
}

/// What was told since the last look.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// The client has to go, and why.
    pub(crate) stop: Option<Stop>,
    /// Errors that were sent to the client; no more than [`ERRORS_MAX`] are kept.
    pub(crate) errors: Vec<ErrorSent>,
}

/// Why a connection is ended from below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// More control frames than anything can explain.
    Flood,
    /// A request head did not arrive in time.
    SlowHead,
}

impl Notes {
    pub(crate) fn stop(&self, why: Stop) {
        self.tell(|told| told.stop = Some(why));
    }

    pub(crate) fn sent(&self, error: ErrorSent) {
        self.tell(|told| {
            if told.errors.len() < ERRORS_MAX {
                told.errors.push(error);
            }
        });
    }

    /// True if there is something to [`take`](Self::take).
    pub(crate) fn news(&self) -> bool {
        self.news.load(Ordering::Relaxed)
    }

    pub(crate) fn take(&self) -> Told {
        self.news.store(false, Ordering::Relaxed);
        std::mem::take(&mut *self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn tell(&self, act: impl FnOnce(&mut Told)) {
        act(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner));
        self.news.store(true, Ordering::Relaxed);
    }
}

/// More than a connection survives.
const ERRORS_MAX: usize = 64;
