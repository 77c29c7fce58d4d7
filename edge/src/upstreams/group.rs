//! A group of servers that serve the same application.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use edge_config::{Balance, Place, Server, Upstream};

use super::balance::{SAMPLE, SCAN, Tickets, scatter};
use super::budget::Budget;
use super::endpoint::{Endpoint, FULL};
use super::gate::Gate;
use super::lease::Lease;
use super::members::{Member, Members};
use super::sticky::Token;
use super::tls::Material;
use super::{Address, Outcome};

/// Picks servers. Shared by all requests of a configuration.
#[derive(Debug)]
pub(crate) struct Group {
    upstream: Arc<Upstream>,
    material: Material,
    members: ArcSwap<Members>,
    tickets: Tickets,
    budget: Budget,
    gate: Option<Arc<Gate>>,
    /// The moment from which the group's milliseconds count; handed on with the endpoints.
    epoch: Instant,
    /// Milliseconds.
    slow_start: u64,
    /// Held while servers are left out or addresses change; never while one is picked.
    change: Mutex<()>,
}

/// What a request would like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Wish {
    /// The hash of what decides.
    pub(crate) key: Option<u64>,
    /// The server its cookie names.
    pub(crate) token: Option<Token>,
}

impl Wish {
    /// Nothing in particular.
    pub(crate) const NONE: Self = Self {
        key: None,
        token: None,
    };
}

/// Why there is no server for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoServer {
    /// No name could be resolved yet.
    #[error("no upstream server has an address")]
    NoAddress,
    /// Checks say that none works.
    #[error("no upstream server is up")]
    AllDown,
    /// Each has as many requests as it may.
    #[error("upstream is at its limit")]
    Busy,
}

impl Group {
    /// A group whose address literals and sockets can be used at once; names wait for the
    /// [keeper](super::keeper), unless `before` knew them. Of servers that were in `before`, nothing
    /// is forgotten.
    pub(crate) fn new(
        upstream: Arc<Upstream>,
        material: Material,
        before: Option<&Self>,
        now: Instant,
    ) -> Self {
        let known = before.map(|before| before.members.load_full());
        let known = known.as_ref().map(|members| members.list.as_ref());
        let known = known.unwrap_or_default();
        let epoch = before.map_or(now, |before| before.epoch);
        let limits = upstream.limits();
        let gate = before.and_then(|before| before.gate.clone());
        let gate = gate.filter(|gate| gate.serves(limits));
        let group = Self {
            budget: Budget::new(upstream.retries().budget_percent),
            members: ArcSwap::from_pointee(Members::of(Vec::new(), &upstream)),
            tickets: Tickets::default(),
            gate: gate.or_else(|| Gate::new(limits).map(Arc::new)),
            epoch,
            slow_start: millis(upstream.slow_start()),
            change: Mutex::new(()),
            upstream,
            material,
        };
        let by_address: HashMap<&Address, &Member> = known
            .iter()
            .map(|member| (&member.endpoint.address, member))
            .collect();
        // Those that come with the first configuration have their full share at once.
        let since = before.map_or(0, |_| group.millis(now).max(1));
        let mut list = Vec::with_capacity(group.upstream.servers().len());
        for (server, settings) in group.upstream.servers().iter().enumerate() {
            if settings.weight == 0 {
                continue;
            }
            for address in before_resolved(settings, before, known) {
                let endpoint = by_address.get(&address).map_or_else(
                    || Endpoint::new(address.clone(), since),
                    |member| Arc::clone(&member.endpoint),
                );
                if group.upstream.health().is_none() && endpoint.was_checked() {
                    endpoint.unchecked();
                }
                list.push(member(endpoint, server, settings.weight));
            }
        }
        let members = Members::of(list, &group.upstream);
        group.members.store(Arc::new(members));
        group
    }

    /// The group's name.
    pub(crate) fn name(&self) -> &Arc<str> {
        self.upstream.name()
    }

    /// What it was built from.
    pub(crate) const fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    /// Authorities and certificate for its connections.
    pub(crate) const fn material(&self) -> &Material {
        &self.material
    }

    /// The gate of a group with a limit.
    pub(crate) fn gate(&self) -> Option<&Gate> {
        self.gate.as_deref()
    }

    /// Addresses of the moment.
    pub(crate) fn members(&self) -> Arc<Members> {
        self.members.load_full()
    }

    /// Picks a server: for the first attempt of a request, or for another one after `tried`.
    ///
    /// Prefers one that is neither left out nor tried, then one that was not tried (a server left
    /// out may have recovered), then any that is up: a request that goes nowhere has surely failed.
    ///
    /// # Errors
    /// There is no such server.
    pub(crate) fn pick(
        self: &Arc<Self>,
        now: Instant,
        wish: &Wish,
        tried: Option<Lease>,
    ) -> Result<Lease, NoServer> {
        let tried = match tried {
            None => {
                self.budget.request();
                Vec::new()
            }
            Some(mut last) => {
                let mut tried = std::mem::take(&mut last.tried);
                tried.push(last.address().clone());
                tried
            }
        };
        let now = self.millis(now);
        let members = self.members.load();
        let limit = self.upstream.limits().requests_per_server;
        // Others may take the last place of a server between our look and our step.
        for _ in 0..RACES {
            let Some(member) = self.choose(&members, now, wish, &tried) else {
                break;
            };
            if member.endpoint.enter(limit) {
                return Ok(Lease {
                    group: Arc::clone(self),
                    endpoint: Arc::clone(&member.endpoint),
                    server: member.server,
                    cookie: member.token.filter(|token| wish.token != Some(*token)),
                    tried,
                });
            }
        }
        Err(if members.list.is_empty() {
            NoServer::NoAddress
        } else if members.list.iter().any(|member| member.endpoint.is_up()) {
            NoServer::Busy
        } else {
            NoServer::AllDown
        })
    }

    /// Takes one retry from the budget; false if it is used up.
    pub(crate) fn may_retry(&self, now: Instant) -> bool {
        self.budget.retry(self.millis(now))
    }

    /// Sets the addresses of one server; what is known about those that stay is kept. True if
    /// anything changed.
    pub(crate) fn relocate(&self, server: usize, addresses: &[Address], now: Instant) -> bool {
        let Some(settings) = self.upstream.servers().get(server) else {
            return false;
        };
        let _alone = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let members = self.members.load();
        let known = members.list.iter().filter(|other| other.server == server);
        let wanted: &[Address] = if settings.weight == 0 { &[] } else { addresses };
        if known
            .clone()
            .map(|member| &member.endpoint.address)
            .eq(wanted)
        {
            return false;
        }
        // The first addresses of a server are not "new": there is nobody else to relieve it.
        let first = known.clone().next().is_none();
        let since = if first { 0 } else { self.millis(now).max(1) };
        let made = |address: &Address| {
            let known = known.clone().find(|m| m.endpoint.address == *address);
            let endpoint = known.map(|member| Arc::clone(&member.endpoint));
            let endpoint = endpoint.unwrap_or_else(|| Endpoint::new(address.clone(), since));
            member(endpoint, server, settings.weight)
        };
        let others = members.list.iter().filter(|other| other.server != server);
        let list = others.cloned().chain(wanted.iter().map(made)).collect();
        self.members
            .store(Arc::new(Members::of(list, &self.upstream)));
        true
    }

    /// Notes the result of a check; true if the server came or went by it.
    pub(crate) fn check(
        &self,
        endpoint: &Endpoint,
        result: Result<(), String>,
        now: Instant,
    ) -> bool {
        let Some(health) = self.upstream.health() else {
            return false;
        };
        if !endpoint.check(result, health, self.millis(now)) {
            return false;
        }
        let _alone = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let members = self.members.load();
        let panicking = members.panics(&self.upstream);
        if panicking != members.panicking {
            if panicking {
                let group = self.name();
                tracing::warn!(%group, "too few servers are up: requests go to all of them");
            }
            let list = members.list.to_vec();
            self.members
                .store(Arc::new(Members::of(list, &self.upstream)));
        }
        true
    }

    /// Notes what became of an attempt; says for how long the server is left out, if it is.
    pub(super) fn note(&self, endpoint: &Endpoint, outcome: Outcome, now: u64) -> Option<Duration> {
        let settings = self.upstream.ejection()?;
        if settings.success_rate > 0 {
            let [all, good] = &endpoint.answers;
            all.fetch_add(1, Ordering::Relaxed);
            if matches!(outcome, Outcome::Answered(..500)) {
                good.fetch_add(1, Ordering::Relaxed);
            }
        }
        if !endpoint.ejector.note(outcome, settings, now) {
            return None;
        }
        self.eject(endpoint, now)
    }

    /// Leaves a server out, unless too many are: if more fail, the fault is more likely on our side,
    /// or the rest would be crushed. A group of one always keeps its only server.
    pub(super) fn eject(&self, endpoint: &Endpoint, now: u64) -> Option<Duration> {
        let settings = self.upstream.ejection()?;
        let _alone = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let members = self.members.load();
        let (count, out) = (members.list.len(), members.out(now));
        let enough = u32::try_from(count).unwrap_or(u32::MAX) >= settings.min_servers;
        let few = (out + 1) * 100 <= count * usize::from(settings.max_percent);
        let one = out == 0 && settings.max_percent > 0 && count > 1;
        (enough && (few || one) && !endpoint.ejector.is_out(now))
            .then(|| endpoint.ejector.eject(settings, now))
    }

    /// Whether there is an address besides these.
    pub(super) fn has_other(&self, current: &Address, tried: &[Address]) -> bool {
        let members = self.members.load();
        let other = |member: &Member| {
            let address = &member.endpoint.address;
            address != current && !tried.contains(address)
        };
        members.list.iter().any(other)
    }

    fn choose<'a>(
        &self,
        members: &'a Members,
        now: u64,
        wish: &Wish,
        tried: &[Address],
    ) -> Option<&'a Member> {
        let limit = self.upstream.limits().requests_per_server;
        let free = |member: &&Member| {
            let endpoint = &member.endpoint;
            let full = limit > 0 && endpoint.in_flight.load(Ordering::Relaxed) >= limit;
            !full && (members.panicking || endpoint.is_up())
        };
        let untried = |member: &&Member| !tried.contains(&member.endpoint.address);
        let usable = |member: &&Member| {
            free(member) && !member.endpoint.ejector.is_out(now) && untried(member)
        };
        let named = wish.token.and_then(|token| members.named(&token));
        if let Some(member) = named.filter(usable) {
            return Some(member);
        }
        let found = match (self.upstream.balance(), wish.key) {
            (Balance::Hash, Some(key)) => members.walk(key).find(usable),
            (Balance::RoundRobin, _) | (Balance::Hash, None) => {
                let draw = |_| {
                    let ticket = self.tickets.next();
                    let member = members.at(ticket)?;
                    let ramp = member.endpoint.ramp(self.slow_start, now);
                    (ramp >= FULL || scatter(ticket) % FULL < ramp).then_some(member)
                };
                (0..DRAWS).filter_map(draw).find(usable)
            }
            (Balance::LeastRequests, _) => {
                let load = |member: &&Member| member.load(self.slow_start, now);
                if members.list.len() <= SCAN {
                    let all = members.rotated(self.tickets.next());
                    all.filter(usable).min_by_key(load)
                } else {
                    let draw = |_| members.at(scatter(self.tickets.next()));
                    let drawn = (0..SAMPLE).filter_map(draw);
                    drawn.filter(usable).min_by_key(load)
                }
            }
            (Balance::Latency, _) => self.quicker(members, now, usable),
        };
        if found.is_some() {
            return found;
        }
        let all = members.rotated(self.tickets.next());
        let found = all.clone().find(usable);
        found
            .or_else(|| all.clone().find(|member| free(member) && untried(member)))
            .or_else(|| all.clone().find(free))
    }

    /// The cheaper of two servers that are drawn by weight (power of two choices).
    fn quicker<'a>(
        &self,
        members: &'a Members,
        now: u64,
        usable: impl Fn(&&Member) -> bool,
    ) -> Option<&'a Member> {
        let drawn = (0..DRAWS).filter_map(|_| members.at(scatter(self.tickets.next())));
        let mut drawn = drawn.filter(usable);
        let first = drawn.next()?;
        let other = |member: &&Member| !Arc::ptr_eq(&member.endpoint, &first.endpoint);
        let Some(second) = drawn.find(other) else {
            return Some(first);
        };
        // The draw was by weight already, the comparison is by what each can bear.
        let cost = |member: &Member| member.cost(self.slow_start, now);
        Some(if cost(second) < cost(first) {
            second
        } else {
            first
        })
    }

    pub(super) fn millis(&self, now: Instant) -> u64 {
        millis(now.saturating_duration_since(self.epoch))
    }
}

/// Where a server can be reached without asking anybody: a literal, a socket, or what was known.
fn before_resolved(server: &Server, before: Option<&Group>, known: &[Member]) -> Vec<Address> {
    let (host, port) = match &server.place {
        Place::Socket(path) => return vec![Address::Unix(path.as_path().into())],
        Place::Net { host, port } => (host, *port),
    };
    if let Ok(ip) = host.parse::<IpAddr>() {
        return vec![SocketAddr::new(ip, port).into()];
    }
    let servers = before.map_or(&[][..], |before| before.upstream.servers());
    let same = servers.iter().position(|other| other.place == server.place);
    let mine = known.iter().filter(|member| Some(member.server) == same);
    mine.map(|member| member.endpoint.address.clone()).collect()
}

const fn member(endpoint: Arc<Endpoint>, server: usize, weight: u16) -> Member {
    Member {
        endpoint,
        server,
        weight,
        token: None,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Draws before the servers are gone through one by one.
const DRAWS: usize = 16;
/// Times a server is chosen that is full when it is entered.
const RACES: usize = 4;

#[cfg(test)]
pub(crate) mod tests;
