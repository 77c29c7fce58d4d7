//! The task of the keeper: what is due next, and what to do with the results.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use edge_config::Resolver;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};

use super::{AGAIN, AT_ONCE, Book, JUDGE, Order, names, settle};
use crate::upstreams::balance::scatter;
use crate::upstreams::check::Checker;
use crate::upstreams::group::Group;
use crate::upstreams::resolve::Found;
use crate::upstreams::{Address, judge};

/// Works until nobody can give orders any more.
pub(super) async fn run(mut orders: mpsc::UnboundedReceiver<Order>, book: Arc<Book>) {
    let mut desk = Desk::new(book);
    loop {
        let due = desk.next_due();
        tokio::select! {
            order = orders.recv() => match order {
                Some(order) => desk.adopt(order),
                None => return,
            },
            Some(done) = desk.running.join_next(), if !desk.running.is_empty() => desk.settle(done),
            () = sleep_until(due), if due.is_some() && desk.running.len() < AT_ONCE => desk.start(),
        }
    }
}

async fn sleep_until(due: Option<Instant>) {
    if let Some(due) = due {
        tokio::time::sleep_until(due.into()).await;
    }
}

/// Something that has to be done again and again.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Task {
    /// The success rates of a group.
    Judge(Arc<str>),
    /// A name.
    Name(String),
    /// A server of a group.
    Check(Arc<str>, Address),
}

/// A task that has ended.
enum Done {
    Name(String, Result<Found, String>),
    Check(Task, Weak<Group>, Result<(), String>),
}

/// A use of a name.
struct User {
    group: Weak<Group>,
    server: usize,
    port: u16,
}

struct Desk {
    book: Arc<Book>,
    resolver: Option<Resolver>,
    checker: Arc<Checker>,
    groups: HashMap<Arc<str>, Weak<Group>>,
    names: HashMap<String, Vec<User>>,
    /// Every task once: either here, with its time, or running.
    queue: BinaryHeap<Reverse<(Instant, Task)>>,
    known: HashSet<Task>,
    running: JoinSet<Done>,
    /// Makes draws differ.
    draws: u64,
}

impl Desk {
    fn new(book: Arc<Book>) -> Self {
        Self {
            book,
            resolver: None,
            checker: Arc::default(),
            groups: HashMap::new(),
            names: HashMap::new(),
            queue: BinaryHeap::new(),
            known: HashSet::new(),
            running: JoinSet::new(),
            draws: getrandom::u64().unwrap_or(0),
        }
    }

    fn next_due(&self) -> Option<Instant> {
        self.queue.peek().map(|Reverse((due, _))| *due)
    }

    /// Takes over what is to be tended; tasks that stay keep their time.
    fn adopt(&mut self, order: Order) {
        let before = self.resolver.as_ref();
        let asks_anew = before.is_some_and(|before| *before != order.resolver);
        if asks_anew {
            self.known.retain(|task| !matches!(task, Task::Name(_)));
            self.queue
                .retain(|Reverse((_, task))| !matches!(task, Task::Name(_)));
        }
        self.resolver = Some(order.resolver);
        self.groups.clear();
        self.names.clear();
        let now = Instant::now();
        for weak in order.groups {
            let Some(group) = weak.upgrade() else {
                continue;
            };
            for (server, host, port) in names(&group) {
                let group = weak.clone();
                let users = self.names.entry(host.to_owned()).or_default();
                users.push(User {
                    group,
                    server,
                    port,
                });
            }
            if group
                .upstream()
                .ejection()
                .is_some_and(|e| e.success_rate > 0)
            {
                self.add(now + JUDGE, Task::Judge(group.name().clone()));
            }
            self.groups.insert(group.name().clone(), weak);
            self.add_checks(&group);
        }
        let names = &self.names;
        self.book.keep_only(|host| names.contains_key(host));
        let hosts: Vec<String> = self.names.keys().cloned().collect();
        for host in hosts {
            let due = match self.book.answer(&host) {
                Some(_) if asks_anew => now,
                Some(found) => found.until,
                None => now + AGAIN,
            };
            self.add(due, Task::Name(host));
        }
    }

    fn add(&mut self, due: Instant, task: Task) {
        if self.known.insert(task.clone()) {
            self.queue.push(Reverse((due, task)));
        }
    }

    /// Checks of servers that are not checked yet begin at once, but not all in one moment.
    fn add_checks(&mut self, group: &Group) {
        let Some(health) = group.upstream().health() else {
            return;
        };
        let spread = health.interval.min(FIRST);
        for member in &group.members().list {
            let wait = spread.mul_f64(self.draw());
            let task = Task::Check(group.name().clone(), member.endpoint.address.clone());
            self.add(Instant::now() + wait, task);
        }
    }

    /// Starts everything that is due.
    fn start(&mut self) {
        let now = Instant::now();
        while self.running.len() < AT_ONCE && self.next_due().is_some_and(|due| due <= now) {
            let Some(Reverse((_, task))) = self.queue.pop() else {
                return;
            };
            self.begin(task, now);
        }
    }

    fn begin(&mut self, task: Task, now: Instant) {
        match &task {
            Task::Name(host) => {
                let (Some(resolver), true) = (&self.resolver, self.names.contains_key(host)) else {
                    self.known.remove(&task);
                    return;
                };
                let (book, host, resolver) = (self.book.clone(), host.clone(), resolver.clone());
                self.running.spawn(async move {
                    let found = book.ask(&host, &resolver).await;
                    Done::Name(host, found)
                });
            }
            Task::Check(name, address) => {
                let group = self.groups.get(name).and_then(Weak::upgrade);
                let checked = group.filter(|group| group.upstream().health().is_some());
                let found = checked.and_then(|group| {
                    let members = group.members();
                    let mut list = members.list.iter();
                    let member = list.find(|member| member.endpoint.address == *address)?;
                    Some((group, member.clone()))
                });
                let Some((group, member)) = found else {
                    self.known.remove(&task);
                    return;
                };
                let checker = Arc::clone(&self.checker);
                self.running.spawn(async move {
                    let result = checker.check(&group, &member).await;
                    Done::Check(task, Arc::downgrade(&group), result)
                });
            }
            Task::Judge(name) => {
                let Some(group) = self.groups.get(name).and_then(Weak::upgrade) else {
                    self.known.remove(&task);
                    return;
                };
                judge::success_rates(&group, now);
                self.queue.push(Reverse((now + JUDGE, task)));
            }
        }
    }

    fn settle(&mut self, done: Result<Done, JoinError>) {
        match done {
            Ok(Done::Name(host, found)) => self.resolved(host, found),
            Ok(Done::Check(task, group, result)) => self.checked(task, &group, result),
            Err(error) => tracing::error!(%error, "a check or look-up ended abnormally"),
        }
    }

    fn resolved(&mut self, host: String, found: Result<Found, String>) {
        let due = match &found {
            Ok(found) => found.until,
            Err(error) => {
                tracing::warn!(host, error, "server addresses stay as they are");
                Instant::now() + AGAIN
            }
        };
        let mut changed = Vec::new();
        if let (Ok(found), Some(users)) = (found, self.names.get(&host)) {
            for user in users {
                let Some(group) = user.group.upgrade() else {
                    continue;
                };
                if settle(&group, user.server, user.port, &host, &found.addresses) {
                    changed.push(group);
                }
            }
        }
        for group in changed {
            self.add_checks(&group);
        }
        self.queue.push(Reverse((due, Task::Name(host))));
    }

    fn checked(&mut self, task: Task, asked: &Weak<Group>, result: Result<(), String>) {
        let Task::Check(name, address) = &task else {
            return;
        };
        // A reload may have put another group in its place, with the same servers.
        let group = self.groups.get(name).and_then(Weak::upgrade);
        let Some(group) = group.or_else(|| asked.upgrade()) else {
            self.known.remove(&task);
            return;
        };
        let members = group.members();
        let mut list = members.list.iter();
        let member = list.find(|member| member.endpoint.address == *address);
        let (Some(member), Some(health)) = (member, group.upstream().health()) else {
            self.known.remove(&task);
            return;
        };
        let why = result.as_ref().err().cloned();
        if group.check(&member.endpoint, result, Instant::now()) {
            match why {
                Some(why) => {
                    tracing::warn!(group = %name, %address, why, "server is down: its check fails");
                }
                None => tracing::info!(group = %name, %address, "server is up"),
            }
        }
        let share = f64::from(health.jitter_percent) / 100.0;
        let wait = health
            .interval
            .mul_f64(1.0 + share * (2.0 * self.draw() - 1.0));
        let due = Instant::now() + wait.max(SHORTEST);
        self.queue.push(Reverse((due, task)));
    }

    /// A number from 0 to 1.
    fn draw(&mut self) -> f64 {
        self.draws = self.draws.wrapping_add(1);
        let drawn = u32::try_from(scatter(self.draws) >> 32).unwrap_or(0);
        f64::from(drawn) / f64::from(u32::MAX)
    }
}

/// New servers are checked within this time.
const FIRST: Duration = Duration::from_secs(1);
const SHORTEST: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests;
