//! The addresses requests go to at present, and what is computed from them once: the sequence of the
//! round, the ring of the hash, the names in cookies.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use edge_config::{Balance, Upstream};

use super::balance::Schedule;
use super::endpoint::Endpoint;
use super::ring::Ring;
use super::sticky::{self, Token};

/// An address, and what it is in its group.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) endpoint: Arc<Endpoint>,
    /// Index of the server in the configuration.
    pub(crate) server: usize,
    pub(crate) weight: u16,
    /// Its name in cookies.
    pub(crate) token: Option<Token>,
}

/// The addresses requests go to at present.
#[derive(Debug)]
pub(crate) struct Members {
    pub(crate) list: Box<[Member]>,
    schedule: Schedule,
    ring: Option<Ring>,
    /// Names in cookies and whom they name, sorted.
    tokens: Box<[(Token, u32)]>,
    /// Checks are not believed: too few are up.
    pub(crate) panicking: bool,
}

impl Members {
    /// Prepares `list` for `upstream`.
    pub(crate) fn of(mut list: Vec<Member>, upstream: &Upstream) -> Self {
        // Stable: addresses of one server keep their order.
        list.sort_by_key(|member| member.server);
        if let Some(sticky) = upstream.sticky() {
            for member in &mut list {
                member.token = sticky::token(sticky, upstream.name(), &member.endpoint.address);
            }
        }
        let weights: Vec<u16> = list.iter().map(|member| member.weight).collect();
        let ring = (upstream.balance() == Balance::Hash).then(|| {
            let named = |member: &Member| (member.endpoint.address.to_string(), member.weight);
            Ring::new(&list.iter().map(named).collect::<Vec<_>>())
        });
        let tokens = (0..).zip(&list);
        let mut tokens: Vec<(Token, u32)> = tokens
            .filter_map(|(index, member)| Some((member.token?, index)))
            .collect();
        tokens.sort_unstable();
        let members = Self {
            list: list.into(),
            schedule: Schedule::new(&weights),
            ring,
            tokens: tokens.into(),
            panicking: false,
        };
        Self {
            panicking: members.panics(upstream),
            ..members
        }
    }

    /// Whether too few are up for checks to be believed.
    pub(crate) fn panics(&self, upstream: &Upstream) -> bool {
        let percent = upstream.health().map_or(0, |health| health.panic_percent);
        let up = self.list.iter().filter(|member| member.endpoint.is_up());
        up.count() * 100 < self.list.len() * usize::from(percent)
    }

    /// The one whose turn it is.
    pub(crate) fn at(&self, ticket: u64) -> Option<&Member> {
        self.list.get(self.schedule.at(ticket)?)
    }

    /// Those that take over `key`, in this order; none without a ring.
    pub(crate) fn walk(&self, key: u64) -> impl Iterator<Item = &Member> {
        let walk = self.ring.iter().flat_map(move |ring| ring.walk(key));
        walk.filter_map(|index| self.list.get(index))
    }

    /// The one a cookie names.
    pub(crate) fn named(&self, token: &Token) -> Option<&Member> {
        let found = self.tokens.binary_search_by(|(other, _)| other.cmp(token));
        let (_, index) = self.tokens.get(found.ok()?)?;
        self.list.get(*index as usize)
    }

    /// All, beginning somewhere else each time.
    pub(crate) fn rotated(&self, ticket: u64) -> impl Iterator<Item = &Member> + Clone {
        let length = u64::try_from(self.list.len()).unwrap_or(u64::MAX);
        let start = ticket.checked_rem(length).unwrap_or(0);
        let start = usize::try_from(start).unwrap_or(0);
        let (before, after) = self.list.split_at_checked(start).unwrap_or_default();
        after.iter().chain(before)
    }

    /// How many are left out.
    pub(crate) fn out(&self, now: u64) -> usize {
        let out = |member: &&Member| member.endpoint.ejector.is_out(now);
        self.list.iter().filter(out).count()
    }
}

impl Member {
    /// Requests in flight for its share, counting the one to come.
    pub(crate) fn load(&self, slow_start: u64, now: u64) -> u64 {
        let load = u64::from(self.endpoint.in_flight.load(Ordering::Relaxed)) + 1;
        (load << 16) / self.share(slow_start, now)
    }

    /// What one more request would cost there: the time it took lately, for each in flight.
    pub(crate) fn cost(&self, slow_start: u64, now: u64) -> f64 {
        let in_flight = f64::from(self.endpoint.in_flight.load(Ordering::Relaxed));
        let micros = self.endpoint.latency.micros(now);
        // Of a server nobody knows, one request finds out; until it does, it counts as slow.
        let micros = if micros < 0.5 && in_flight > 0.0 {
            UNKNOWN
        } else {
            micros
        };
        #[expect(clippy::cast_precision_loss, reason = "at most 65,535,000")]
        let share = self.share(slow_start, now) as f64;
        (micros + 1.0) * (in_flight + 1.0) / share
    }

    fn share(&self, slow_start: u64, now: u64) -> u64 {
        u64::from(self.weight.max(1)) * self.endpoint.ramp(slow_start, now)
    }
}

/// Microseconds.
const UNKNOWN: f64 = 1_000_000.0;
