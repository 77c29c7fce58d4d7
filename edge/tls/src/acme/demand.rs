//! Certificates for names that clients ask for.
//!
//! A handshake only leaves word here and goes on: it never waits, and never orders by itself.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use tokio::sync::mpsc;

use super::check::is_host;
use super::settings::OnDemand;

/// Where handshakes leave word of names that have no certificate.
pub struct Demand {
    allowed: ArcSwapOption<OnDemand>,
    words: mpsc::Sender<String>,
}

impl Demand {
    pub(crate) fn new() -> (Self, mpsc::Receiver<String>) {
        let (words, received) = mpsc::channel(MAX_WORDS);
        let demand = Self {
            allowed: ArcSwapOption::empty(),
            words,
        };
        (demand, received)
    }

    /// A client asked for `name` (lower case), and there is no certificate. Returns at once; what is
    /// not allowed, or too much, is dropped.
    pub fn ask(&self, name: &str) {
        let allowed = self.allowed.load();
        if let Some(allowed) = &*allowed
            && allowed.allows(name)
            && is_host(name)
        {
            let _ = self.words.try_send(name.to_owned());
        }
    }

    pub(crate) fn allow(&self, on_demand: Option<OnDemand>) {
        self.allowed.store(on_demand.map(Into::into));
    }
}

impl std::fmt::Debug for Demand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Demand")
    }
}

/// Counts names against the limits.
#[derive(Default)]
pub(crate) struct Limits {
    known: HashSet<String>,
    minute: Option<(Instant, u32)>,
}

impl Limits {
    /// A name that has a certificate already.
    pub(crate) fn know(&mut self, name: &str) {
        self.known.insert(name.to_owned());
    }

    /// True if `name` is new and may be ordered.
    pub(crate) fn admit(&mut self, on_demand: &OnDemand, name: &str, now: Instant) -> bool {
        if self.known.contains(name) || !on_demand.allows(name) {
            return false;
        }
        if self.known.len() >= on_demand.limit {
            tracing::warn!(
                name,
                limit = on_demand.limit,
                "too many names on demand; none ordered"
            );
            return false;
        }
        let minute = self.minute.get_or_insert((now, 0));
        if now.duration_since(minute.0) >= MINUTE {
            *minute = (now, 0);
        }
        if minute.1 >= on_demand.per_minute {
            tracing::warn!(
                name,
                per_minute = on_demand.per_minute,
                "too many new names on demand in a minute; it has to ask again"
            );
            return false;
        }
        minute.1 += 1;
        self.know(name);
        true
    }
}

const MAX_WORDS: usize = 256;
const MINUTE: Duration = Duration::from_secs(60);
