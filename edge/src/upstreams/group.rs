//! A group of servers that serve the same application.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::balance::{Balance, SAMPLE, SCAN, Schedule, Tickets, scatter};
use super::budget::Budget;
use super::eject::{Ejection, Health};

/// What a group is built from.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The group's name in the configuration.
    pub(crate) name: Arc<str>,
    /// Its servers, in the order of the configuration.
    pub(crate) servers: Vec<Server>,
    /// How one is chosen.
    pub(crate) balance: Balance,
    /// When one is left out.
    pub(crate) ejection: Ejection,
    /// By how much retries may add to the requests, in percent.
    pub(crate) retry_percent: u8,
}

/// A server as it was configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    /// A name or an address literal (IPv6 without brackets).
    pub(crate) host: String,
    /// Its port.
    pub(crate) port: u16,
    /// Its share; 0 sends it nothing. Each address of a name gets this share.
    pub(crate) weight: u16,
}

/// Picks servers. Shared by all requests of a configuration.
#[derive(Debug)]
pub(crate) struct Group {
    settings: Settings,
    members: ArcSwap<Members>,
    tickets: Tickets,
    budget: Budget,
    /// The moment from which the group's milliseconds count.
    epoch: Instant,
    /// Held while servers are left out or addresses change; never while one is picked.
    change: Mutex<()>,
}

/// The addresses requests go to at present.
#[derive(Debug)]
struct Members {
    endpoints: Box<[Arc<Endpoint>]>,
    schedule: Schedule,
}

/// One address of one server.
#[derive(Debug)]
struct Endpoint {
    address: SocketAddr,
    /// Index in [`Settings::servers`].
    server: usize,
    weight: u16,
    in_flight: AtomicU32,
    health: Health,
}

/// A server was picked; it counts as busy until this is dropped.
#[derive(Debug)]
pub(crate) struct Lease(Arc<Endpoint>);

impl Lease {
    /// Where to connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// Index of the server in the configuration.
    pub(crate) fn server(&self) -> usize {
        self.0.server
    }

    /// The server could be reached.
    pub(crate) fn succeeded(&self) {
        self.0.health.succeeded();
    }

    fn on(endpoint: &Arc<Endpoint>) -> Self {
        endpoint.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(endpoint))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Group {
    /// A group whose address literals can be used at once; names wait for
    /// [`resolve`](super::resolve).
    pub(crate) fn new(settings: Settings, now: Instant) -> Self {
        let group = Self {
            budget: Budget::new(settings.retry_percent),
            members: ArcSwap::from_pointee(Members::of(Vec::new())),
            tickets: Tickets::default(),
            epoch: now,
            change: Mutex::new(()),
            settings,
        };
        for (server, settings) in group.settings.servers.iter().enumerate() {
            if let Ok(ip) = settings.host.parse::<IpAddr>() {
                group.relocate(server, &[SocketAddr::new(ip, settings.port)]);
            }
        }
        group
    }

    /// The group's name.
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.settings.name
    }

    /// Its servers, in the order of the configuration.
    pub(crate) fn servers(&self) -> &[Server] {
        &self.settings.servers
    }

    /// Picks a server for the first attempt of a request.
    pub(crate) fn pick(&self, now: Instant) -> Option<Lease> {
        self.budget.request();
        self.choose(self.millis(now), &[])
    }

    /// Picks a server for a further attempt: one that was not tried, and only within the retry
    /// budget.
    pub(crate) fn pick_again(&self, now: Instant, tried: &[SocketAddr]) -> Option<Lease> {
        let now = self.millis(now);
        // Chosen first: a group that has no other server must not use up its budget.
        let lease = self.choose(now, tried)?;
        self.budget.retry(now).then_some(lease)
    }

    /// The server could not be reached. Says for how long it is left out, if this was once too often.
    ///
    /// At most half of the addresses are left out: if more fail, the fault is more likely on our
    /// side, or the rest would be crushed. A group of one therefore always keeps its only server.
    pub(crate) fn failed(&self, lease: &Lease, now: Instant) -> Option<Duration> {
        let (now, settings) = (self.millis(now), self.settings.ejection);
        let Endpoint { health, .. } = &*lease.0;
        if !health.failed(settings, now) {
            return None;
        }
        let _alone = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let members = self.members.load();
        let out = members.out(now) + 1;
        (out * 2 <= members.endpoints.len() && !health.is_out(now))
            .then(|| health.eject(settings, now))
    }

    /// Addresses that are left out at present, and all.
    pub(crate) fn census(&self, now: Instant) -> (usize, usize) {
        let members = self.members.load();
        (members.out(self.millis(now)), members.endpoints.len())
    }

    /// Sets the addresses of one server; what is known about those that stay is kept. True if
    /// anything changed.
    pub(crate) fn relocate(&self, server: usize, addresses: &[SocketAddr]) -> bool {
        let Some(weight) = self
            .settings
            .servers
            .get(server)
            .map(|server| server.weight)
        else {
            return false;
        };
        let _alone = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let members = self.members.load();
        let mine = |endpoint: &&Arc<Endpoint>| endpoint.server == server;
        let known = members.endpoints.iter().filter(mine);
        let wanted: &[SocketAddr] = if weight == 0 { &[] } else { addresses };
        if known.clone().map(|endpoint| &endpoint.address).eq(wanted) {
            return false;
        }
        let endpoint = |address: &SocketAddr| {
            let known = known.clone().find(|endpoint| endpoint.address == *address);
            known.map_or_else(|| Endpoint::new(*address, server, weight), Arc::clone)
        };
        let others = members
            .endpoints
            .iter()
            .filter(|endpoint| endpoint.server != server);
        let mut endpoints: Vec<_> = others.cloned().chain(wanted.iter().map(endpoint)).collect();
        // Stable: addresses of one server keep their order.
        endpoints.sort_by_key(|endpoint| endpoint.server);
        self.members.store(Arc::new(Members::of(endpoints)));
        true
    }

    /// A server that is neither left out nor tried; failing that, one that was not tried: a server
    /// left out may have recovered, and a request that goes nowhere has surely failed.
    fn choose(&self, now: u64, tried: &[SocketAddr]) -> Option<Lease> {
        let members = self.members.load();
        let usable = |endpoint: &&Arc<Endpoint>| {
            !endpoint.health.is_out(now) && !tried.contains(&endpoint.address)
        };
        let found = match self.settings.balance {
            Balance::RoundRobin => (0..DRAWS)
                .filter_map(|_| members.at(self.tickets.next()))
                .find(usable),
            Balance::LeastRequests if members.endpoints.len() <= SCAN => {
                members.least(members.rotated(self.tickets.next()).filter(usable))
            }
            Balance::LeastRequests => {
                let draw = |_| members.at(scatter(self.tickets.next()));
                members.least((0..SAMPLE).filter_map(draw).filter(usable))
            }
        };
        if let Some(endpoint) = found {
            return Some(Lease::on(endpoint));
        }
        let start = self.tickets.next();
        let untried = |endpoint: &&Arc<Endpoint>| !tried.contains(&endpoint.address);
        let mut all = members.rotated(start);
        all.clone()
            .find(usable)
            .or_else(|| all.find(untried))
            .map(Lease::on)
    }

    fn millis(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.epoch);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

impl Members {
    fn of(endpoints: Vec<Arc<Endpoint>>) -> Self {
        let weights: Vec<u16> = endpoints.iter().map(|endpoint| endpoint.weight).collect();
        Self {
            endpoints: endpoints.into(),
            schedule: Schedule::new(&weights),
        }
    }

    fn at(&self, ticket: u64) -> Option<&Arc<Endpoint>> {
        self.endpoints.get(self.schedule.at(ticket)?)
    }

    /// All, beginning somewhere else each time.
    fn rotated(&self, ticket: u64) -> impl Iterator<Item = &Arc<Endpoint>> + Clone {
        let length = u64::try_from(self.endpoints.len()).unwrap_or(u64::MAX);
        let start = ticket.checked_rem(length).unwrap_or(0);
        let start = usize::try_from(start).unwrap_or(0);
        let (before, after) = self.endpoints.split_at_checked(start).unwrap_or_default();
        after.iter().chain(before)
    }

    /// The one with the fewest requests in flight for its weight, counting the one to come.
    fn least<'a>(&self, of: impl Iterator<Item = &'a Arc<Endpoint>>) -> Option<&'a Arc<Endpoint>> {
        of.min_by_key(|endpoint| {
            let load = u64::from(endpoint.in_flight.load(Ordering::Relaxed)) + 1;
            (load << 16) / u64::from(endpoint.weight.max(1))
        })
    }

    fn out(&self, now: u64) -> usize {
        self.endpoints
            .iter()
            .filter(|endpoint| endpoint.health.is_out(now))
            .count()
    }
}

impl Endpoint {
    fn new(address: SocketAddr, server: usize, weight: u16) -> Arc<Self> {
        Arc::new(Self {
            address,
            server,
            weight,
            in_flight: AtomicU32::new(0),
            health: Health::default(),
        })
    }
}

/// Places of the schedule that are looked at before the servers are gone through one by one.
const DRAWS: usize = 16;

#[cfg(test)]
mod tests;
