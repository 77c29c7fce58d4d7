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
    /// When one is left out; `None`: never.
    pub(crate) ejection: Option<Ejection>,
    /// Tries in all for one request.
    pub(crate) attempts: u32,
    /// By how much retries may add to the requests, in percent.
    pub(crate) retry_percent: u8,
    /// How its servers are spoken to; carried along for who connects.
    pub(crate) dial: Dial,
}

/// A server as it was configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    /// A name or an address literal (IPv6 without brackets).
    pub(crate) host: String,
    /// Its port.
    pub(crate) port: u16,
    /// Whether it is spoken to with TLS.
    pub(crate) tls: bool,
    /// Its share; 0 sends it nothing. Each address of a name gets this share.
    pub(crate) weight: u16,
}

/// How the servers of a group are spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dial {
    /// Time until the connection (and TLS) stands.
    pub(crate) connect: Duration,
    /// Time between two reads.
    pub(crate) read: Duration,
    /// Time between two writes.
    pub(crate) write: Duration,
    /// How long an unused connection is kept.
    pub(crate) idle: Duration,
    /// Whether they speak HTTP/2 without being asked.
    pub(crate) http2: bool,
    /// Whether their certificates must be valid.
    pub(crate) verify: bool,
    /// The name asked for and verified in TLS; `None`: the server's own.
    pub(crate) server_name: Option<String>,
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

/// A server was picked for one attempt; it counts as busy until this is dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    group: Arc<Group>,
    endpoint: Arc<Endpoint>,
    /// Addresses of earlier attempts for the same request.
    tried: Vec<SocketAddr>,
}

impl Lease {
    /// Where to connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.endpoint.address
    }

    /// The server as it was configured.
    pub(crate) fn server(&self) -> Option<&Server> {
        self.group.settings.servers.get(self.endpoint.server)
    }

    /// Whether it is spoken to with TLS.
    pub(crate) fn tls(&self) -> bool {
        self.server().is_some_and(|server| server.tls)
    }

    /// The name to ask for and to verify in TLS.
    pub(crate) fn name(&self) -> &str {
        let own = || self.server().map_or("", |server| &server.host);
        let dial = &self.group.settings.dial;
        dial.server_name.as_deref().unwrap_or_else(own)
    }

    /// The server could be reached.
    pub(crate) fn succeeded(&self) {
        self.endpoint.health.succeeded();
    }

    /// The server could not be reached; true if it is left out from now on.
    pub(crate) fn failed(&self, now: Instant) -> bool {
        let Some(time) = self.group.failed(&self.endpoint, now) else {
            return false;
        };
        let (group, address) = (self.group.name(), self.address());
        tracing::warn!(%group, %address, ?time, "server left out: it cannot be reached");
        true
    }

    /// Whether the group has a server that this request has not been sent to.
    pub(crate) fn has_alternative(&self) -> bool {
        let members = self.group.members.load();
        members
            .endpoints
            .iter()
            .any(|other| other.address != self.address() && !self.tried.contains(&other.address))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.endpoint.in_flight.fetch_sub(1, Ordering::Relaxed);
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

    /// How they are spoken to.
    pub(crate) fn dial(&self) -> &Dial {
        &self.settings.dial
    }

    /// Tries in all for one request.
    pub(crate) fn max_attempts(&self) -> u32 {
        self.settings.attempts
    }

    /// Picks a server: for the first attempt of a request, or for another one after `tried`.
    ///
    /// Prefers one that is neither left out nor tried, then one that was not tried (a server left
    /// out may have recovered), then any: a request that goes nowhere has surely failed. `None` only
    /// if the group has no address at all.
    pub(crate) fn pick(self: &Arc<Self>, now: Instant, tried: Option<Lease>) -> Option<Lease> {
        let tried = match tried {
            None => {
                self.budget.request();
                Vec::new()
            }
            Some(mut last) => {
                let mut tried = std::mem::take(&mut last.tried);
                tried.push(last.address());
                tried
            }
        };
        let endpoint = self.choose(self.millis(now), &tried)?;
        endpoint.in_flight.fetch_add(1, Ordering::Relaxed);
        Some(Lease {
            group: Arc::clone(self),
            endpoint,
            tried,
        })
    }

    /// Takes one retry from the budget; false if it is used up.
    pub(crate) fn may_retry(&self, now: Instant) -> bool {
        self.budget.retry(self.millis(now))
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

    /// At most half of the addresses are left out: if more fail, the fault is more likely on our
    /// side, or the rest would be crushed. A group of one therefore always keeps its only server.
    fn failed(&self, endpoint: &Endpoint, now: Instant) -> Option<Duration> {
        let (now, settings) = (self.millis(now), self.settings.ejection?);
        if !endpoint.health.failed(settings, now) {
            return None;
        }
        let _alone = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let members = self.members.load();
        let out = members.out(now) + 1;
        (out * 2 <= members.endpoints.len() && !endpoint.health.is_out(now))
            .then(|| endpoint.health.eject(settings, now))
    }

    fn choose(&self, now: u64, tried: &[SocketAddr]) -> Option<Arc<Endpoint>> {
        let members = self.members.load();
        let untried = |endpoint: &&Arc<Endpoint>| !tried.contains(&endpoint.address);
        let usable = |endpoint: &&Arc<Endpoint>| !endpoint.health.is_out(now) && untried(endpoint);
        let found = match self.settings.balance {
            Balance::RoundRobin => (0..DRAWS)
                .filter_map(|_| members.at(self.tickets.next()))
                .find(usable),
            Balance::LeastRequests if members.endpoints.len() <= SCAN => {
                least(members.rotated(self.tickets.next()).filter(usable))
            }
            Balance::LeastRequests => {
                let draw = |_| members.at(scatter(self.tickets.next()));
                least((0..SAMPLE).filter_map(draw).filter(usable))
            }
        };
        if found.is_some() {
            return found.cloned();
        }
        let all = members.rotated(self.tickets.next());
        let any = || all.clone().next();
        let found = all
            .clone()
            .find(usable)
            .or_else(|| all.clone().find(untried));
        found.or_else(any).cloned()
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

/// The one with the fewest requests in flight for its weight, counting the one to come.
fn least<'a>(of: impl Iterator<Item = &'a Arc<Endpoint>>) -> Option<&'a Arc<Endpoint>> {
    of.min_by_key(|endpoint| {
        let load = u64::from(endpoint.in_flight.load(Ordering::Relaxed)) + 1;
        (load << 16) / u64::from(endpoint.weight.max(1))
    })
}

/// Places of the schedule that are looked at before the servers are gone through one by one.
const DRAWS: usize = 16;

#[cfg(test)]
pub(crate) mod tests;
