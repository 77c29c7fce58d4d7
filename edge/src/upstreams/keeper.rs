//! Keeps the groups up to date: looks names up when their answers expire, checks servers, judges their
//! success rates. One task for all groups, however many; groups without names and checks cost nothing.
//!
//! A name that cannot be resolved keeps the addresses it had: an outage of the name service must not
//! become one of the gateway. What runs at one time is bounded.

mod schedule;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use edge_config::{Place, Resolver};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::resolve::{Found, Names};
use super::{Address, Group};

/// The handle of the task.
#[derive(Clone)]
pub(crate) struct Keeper {
    orders: mpsc::UnboundedSender<Order>,
    book: Arc<Book>,
}

/// What the task shall look after from now on; nothing else.
struct Order {
    groups: Vec<Weak<Group>>,
    resolver: Resolver,
}

/// What is known about names; shared by the task and whoever prepares a configuration.
#[derive(Default)]
pub(super) struct Book {
    names: Names,
    answers: Mutex<HashMap<String, Found>>,
}

impl Keeper {
    /// Starts the task; it ends with the last handle.
    pub(crate) fn start() -> Self {
        let (orders, received) = mpsc::unbounded_channel();
        let book = Arc::new(Book::default());
        tokio::spawn(schedule::run(received, Arc::clone(&book)));
        Self { orders, book }
    }

    /// Looks up names that have no address yet, before the first request needs them. A name without
    /// an address is no reason not to start: it may get one.
    pub(crate) async fn prepare(&self, groups: &[Arc<Group>], resolver: &Resolver) {
        let now = Instant::now();
        let mut missing: HashMap<String, Vec<(Arc<Group>, usize, u16)>> = HashMap::new();
        for group in groups {
            let members = group.members();
            for (server, host, port) in names(group) {
                if members.list.iter().all(|member| member.server != server) {
                    let users = missing.entry(host.to_owned()).or_default();
                    users.push((Arc::clone(group), server, port));
                }
            }
        }
        let mut missing = missing.into_iter();
        let mut running = JoinSet::new();
        loop {
            while running.len() < LOOK_UPS {
                let Some((host, users)) = missing.next() else {
                    break;
                };
                let (book, resolver) = (Arc::clone(&self.book), resolver.clone());
                running.spawn(async move {
                    let found = book.known_or_asked(&host, &resolver, now).await;
                    (host, users, found)
                });
            }
            let Some(done) = running.join_next().await else {
                return;
            };
            match done {
                Ok((host, users, Ok(found))) => {
                    for (group, server, port) in users {
                        settle(&group, server, port, &host, &found.addresses);
                    }
                }
                Ok((host, _, Err(error))) => {
                    tracing::warn!(host, error, "server has no address yet");
                }
                Err(error) => tracing::error!(%error, "name look-up ended abnormally"),
            }
        }
    }

    /// Looks after exactly these groups from now on.
    pub(crate) fn tend(&self, groups: &[Arc<Group>], resolver: &Resolver) {
        let order = Order {
            groups: groups.iter().map(Arc::downgrade).collect(),
            resolver: resolver.clone(),
        };
        // The task ends only after its handles.
        let _ = self.orders.send(order);
    }
}

impl Group {
    /// Whether anything has to be done for it from time to time.
    pub(crate) fn needs_keeper(&self) -> bool {
        let judged = self
            .upstream()
            .ejection()
            .is_some_and(|e| e.success_rate > 0);
        judged || self.upstream().health().is_some() || names(self).next().is_some()
    }
}

impl Book {
    async fn known_or_asked(
        &self,
        host: &str,
        resolver: &Resolver,
        now: Instant,
    ) -> Result<Found, String> {
        match self.answer(host).filter(|found| found.until > now) {
            Some(found) => Ok(found),
            None => self.ask(host, resolver).await,
        }
    }

    /// Asks, and remembers the answer.
    pub(super) async fn ask(&self, host: &str, resolver: &Resolver) -> Result<Found, String> {
        let found = self.names.look_up(host, resolver).await?;
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.insert(host.to_owned(), found.clone());
        Ok(found)
    }

    /// What was said last.
    pub(super) fn answer(&self, host: &str) -> Option<Found> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.get(host).cloned()
    }

    /// Forgets names nobody uses.
    pub(super) fn keep_only(&self, used: impl Fn(&str) -> bool) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.retain(|host, _| used(host));
    }
}

/// Gives a server the addresses of its name.
pub(super) fn settle(
    group: &Group,
    server: usize,
    port: u16,
    host: &str,
    found: &[IpAddr],
) -> bool {
    let addresses = found.iter().map(|ip| SocketAddr::new(*ip, port).into());
    let addresses: Vec<Address> = addresses.collect();
    let changed = group.relocate(server, &addresses, Instant::now());
    if changed {
        tracing::info!(group = %group.name(), host, ?found, "server addresses");
    }
    changed
}

/// Servers that are names: index, host, port.
pub(super) fn names(group: &Group) -> impl Iterator<Item = (usize, &str, u16)> {
    let servers = group.upstream().servers().iter().enumerate();
    servers.filter_map(|(index, server)| match &server.place {
        Place::Net { host, port } if host.parse::<IpAddr>().is_err() => {
            Some((index, host.as_str(), *port))
        }
        Place::Net { .. } | Place::Socket(_) => None,
    })
}

/// Names looked up at one time.
pub(super) const LOOK_UPS: usize = 16;
/// Checks and look-ups at one time.
pub(super) const AT_ONCE: usize = 256;
/// Time before a name that failed is asked for again, at least.
pub(super) const AGAIN: Duration = Duration::from_secs(5);
/// Time from one judgement of success rates to the next.
pub(super) const JUDGE: Duration = Duration::from_secs(10);
