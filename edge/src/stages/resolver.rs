//! Resolves the names that rules ask lists for (`@rbl`): a stub that asks one resolver by UDP.
//!
//! A request waits for it, so everything is bounded: the time, the questions under way, the answers
//! remembered. Requests that ask for the same
//! name at the same time wait for one question. What cannot be found out in time is not listed: a list that is down must not stop the
//! site. Each question has a socket of its own, with a port the system picks and an identifier nobody
//! can guess, and hears only the resolver it asked.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use edge_conn::dns;
use tokio::net::UdpSocket;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout_at;

/// Most questions under way.
const QUESTIONS: usize = 256;
/// Most names that are remembered.
const NAMES: usize = 20_000;
/// Shortest an answer is believed: one that lives no time would be asked for again by every request.
const SHORTEST: Duration = Duration::from_secs(1);
/// Longest an answer is believed.
const LONGEST: Duration = Duration::from_secs(3600);
/// How long it is remembered that a name is not listed.
const UNLISTED: Duration = Duration::from_secs(60);
/// How long a name that could not be found out is left alone.
const UNANSWERED: Duration = Duration::from_secs(5);

/// Asks one resolver.
pub(crate) struct Resolver {
    address: SocketAddr,
    patience: Duration,
    names: Arc<Names>,
    under_way: Arc<Semaphore>,
}

/// The addresses of a name; none where nobody answered.
type Addresses = Option<Vec<Ipv4Addr>>;

/// What a question under way comes to.
type Pending = watch::Receiver<Option<Addresses>>;

/// Every name that is known or asked for.
#[derive(Default)]
struct Names(Mutex<HashMap<String, Name>>);

#[derive(Clone)]
enum Name {
    Known {
        until: Instant,
        addresses: Addresses,
    },
    Asked(Pending),
}

impl Resolver {
    /// Asks the resolver at `address` and waits for `patience` at most, for all names together.
    pub(crate) fn new(address: SocketAddr, patience: Duration) -> Self {
        Self {
            address,
            patience,
            names: Arc::default(),
            under_way: Arc::new(Semaphore::new(QUESTIONS)),
        }
    }

    /// The addresses of those `names` that are found out in time.
    pub(crate) async fn resolve(&self, names: Vec<String>) -> Vec<(String, Vec<Ipv4Addr>)> {
        let mut found = Vec::new();
        let mut waiting = Vec::new();
        let deadline = tokio::time::Instant::now() + self.patience;
        for name in names {
            match self.look(&name, deadline) {
                None => {}
                Some(Name::Known { addresses, .. }) => {
                    found.extend(addresses.map(|addresses| (name, addresses)));
                }
                Some(Name::Asked(pending)) => waiting.push((name, pending)),
            }
        }
        for (name, mut pending) in waiting {
            let heard = timeout_at(deadline, pending.wait_for(Option::is_some)).await;
            let addresses = heard.ok().and_then(|heard| heard.ok()?.clone()?);
            found.extend(addresses.map(|addresses| (name, addresses)));
        }
        found
    }

    /// What is known of `name`, or who asks for it: somebody else, or from now on a task of its own,
    /// which a request that goes away takes nobody else's answer from. Nothing if too many are asked
    /// for.
    fn look(&self, name: &str, deadline: tokio::time::Instant) -> Option<Name> {
        let mut names = self.names.lock();
        match names.get(name) {
            Some(Name::Known { until, .. }) if *until <= Instant::now() => {}
            Some(known) => return Some(known.clone()),
            None => {}
        }
        let turn = Arc::clone(&self.under_way).try_acquire_owned().ok()?;
        let (tell, pending) = watch::channel(None);
        names.insert(name.to_owned(), Name::Asked(pending.clone()));
        drop(names);
        let question = Question {
            name: name.to_owned(),
            names: Arc::clone(&self.names),
            heard: None,
            tell,
            _turn: turn,
        };
        tokio::spawn(question.ask(self.address, deadline));
        Some(Name::Asked(pending))
    }
}

/// A question under way. However it ends, what it came to is remembered and told.
struct Question {
    name: String,
    names: Arc<Names>,
    heard: Option<dns::Answer>,
    tell: watch::Sender<Option<Addresses>>,
    _turn: OwnedSemaphorePermit,
}

impl Question {
    async fn ask(mut self, resolver: SocketAddr, deadline: tokio::time::Instant) {
        let answer = timeout_at(deadline, ask(resolver, &self.name)).await;
        self.heard = answer.ok().and_then(Result::ok);
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        self.names.remember(&self.name, self.heard.as_ref());
        let addresses = self.heard.take().map(|answer| answer.addresses);
        self.tell.send_replace(Some(addresses));
    }
}

impl Names {
    fn remember(&self, name: &str, answer: Option<&dns::Answer>) {
        let lifetime = match answer {
            None => UNANSWERED,
            Some(answer) => answer.lifetime.map_or(UNLISTED, |seconds| {
                Duration::from_secs(seconds.into()).clamp(SHORTEST, LONGEST)
            }),
        };
        let now = Instant::now();
        let mut names = self.lock();
        if names.len() >= NAMES {
            names.retain(|_, name| match name {
                Name::Known { until, .. } => *until > now,
                Name::Asked(_) => true,
            });
        }
        if names.len() >= NAMES {
            names.retain(|_, name| matches!(name, Name::Asked(_)));
        }
        let known = Name::Known {
            until: now + lifetime,
            addresses: answer.map(|answer| answer.addresses.clone()),
        };
        names.insert(name.to_owned(), known);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Name>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks for one name; datagrams that are no answer to it are passed over.
async fn ask(resolver: SocketAddr, name: &str) -> io::Result<dns::Answer> {
    let any: IpAddr = match resolver {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(resolver).await?;
    let random = getrandom::u32().map_err(io::Error::other)?;
    let id = u16::try_from(random >> 16).unwrap_or(0);
    let Some(question) = dns::question(id, name) else {
        return Err(io::Error::other("no name of the DNS"));
    };
    socket.send(&question).await?;
    let mut buffer = [0; dns::MESSAGE];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let message = buffer.get(..length).unwrap_or_default();
        if let Ok(answer) = dns::answer(&question, message) {
            return Ok(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// A server that lists `2.0.0.127.bad.example` and lets every other name wait.
    async fn server() -> (SocketAddr, Arc<UdpSocket>) {
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        (socket.local_addr().unwrap(), socket)
    }

    async fn serve(socket: Arc<UdpSocket>, asked: Arc<AtomicUsize>) {
        let mut buffer = [0; 512];
        loop {
            let (length, client) = socket.recv_from(&mut buffer).await.unwrap();
            asked.fetch_add(1, Ordering::Relaxed);
            let mut message = buffer[..length].to_vec();
            if !message.windows(3).any(|part| part == b"bad") {
                continue;
            }
            // Somebody else's answer comes first.
            socket.send_to(b"\0\0nonsense", client).await.unwrap();
            message[2] = 0x81;
            message[7] = 1;
            message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 0, 0, 4, 127, 0, 0, 2]);
            socket.send_to(&message, client).await.unwrap();
        }
    }

    #[tokio::test]
    async fn names_are_found_out_in_time_or_not_at_all_and_remembered() {
        let (address, socket) = server().await;
        let asked = Arc::new(AtomicUsize::new(0));
        tokio::spawn(serve(socket, Arc::clone(&asked)));
        let patience = Duration::from_secs(5);
        let mut resolver = Resolver::new(address, patience);
        let [bad, slow] = ["1.bad.example", "1.slow.example"].map(str::to_owned);
        let listed = [(bad.clone(), vec![Ipv4Addr::new(127, 0, 0, 2)])];
        assert_eq!(resolver.resolve(vec![bad.clone()]).await, listed);
        resolver.patience = Duration::from_millis(50);
        assert_eq!(resolver.resolve(vec![slow.clone()]).await, []);
        // Nobody is asked again.
        resolver.patience = patience;
        assert_eq!(resolver.resolve(vec![bad, slow]).await, listed);
        assert!(asked.load(Ordering::Relaxed) <= 2);
    }

    /// Lists every name for no time, after a while; tells how often it was asked.
    async fn count(socket: Arc<UdpSocket>, asked: Arc<AtomicUsize>) {
        let mut buffer = [0; 512];
        loop {
            let (length, client) = socket.recv_from(&mut buffer).await.unwrap();
            asked.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(30)).await;
            let mut message = buffer[..length].to_vec();
            message[2] = 0x81;
            message[7] = 1;
            message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 2]);
            socket.send_to(&message, client).await.unwrap();
        }
    }

    #[tokio::test]
    async fn requests_that_ask_for_one_name_at_a_time_share_the_question() {
        let (address, socket) = server().await;
        let asked = Arc::new(AtomicUsize::new(0));
        let serving = tokio::spawn(count(socket, Arc::clone(&asked)));
        let resolver = Arc::new(Resolver::new(address, Duration::from_secs(5)));
        let resolve = |name: &str| {
            let (resolver, names) = (Arc::clone(&resolver), vec![name.to_owned()]);
            tokio::spawn(async move { resolver.resolve(names).await.len() })
        };
        // The one that asked first goes away; the others hear the answer all the same.
        let first = resolve("1.example");
        tokio::task::yield_now().await;
        let others: Vec<_> = (0..20).map(|_| resolve("1.example")).collect();
        tokio::time::sleep(Duration::from_millis(5)).await;
        first.abort();
        for other in others {
            assert_eq!(other.await.unwrap(), 1);
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        // An answer that lives no time is believed for a moment.
        assert_eq!(resolve("1.example").await.unwrap(), 1);
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        assert_eq!(resolve("2.example").await.unwrap(), 1);
        assert_eq!(asked.load(Ordering::Relaxed), 2);
        serving.abort();
    }

    #[tokio::test]
    async fn where_nobody_answers_nothing_is_listed() {
        let (address, socket) = server().await;
        drop(socket);
        let resolver = Resolver::new(address, Duration::from_millis(50));
        assert!(
            resolver
                .resolve(vec!["1.bad.example".to_owned()])
                .await
                .is_empty()
        );
    }
}
