//! Resolves the names that rules ask lists for (`@rbl`): a stub that asks one resolver by UDP.
//!
//! A request waits for it, so everything is bounded: the time, the questions under way, the answers
//! remembered. What cannot be found out in time is not listed: a list that is down must not stop the
//! site. Each question has a socket of its own, with a port the system picks and an identifier nobody
//! can guess, and hears only the resolver it asked.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use edge_conn::dns;
use tokio::net::UdpSocket;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout_at;

/// Most questions under way.
const QUESTIONS: usize = 256;
/// Most names that are remembered.
const NAMES: usize = 20_000;
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
    known: Mutex<HashMap<String, Known>>,
    under_way: Arc<Semaphore>,
}

/// What is remembered of a name; no addresses where nobody answered.
#[derive(Clone)]
struct Known {
    until: Instant,
    addresses: Option<Vec<Ipv4Addr>>,
}

impl Resolver {
    /// Asks the resolver at `address` and waits for `patience` at most, for all names together.
    pub(crate) fn new(address: SocketAddr, patience: Duration) -> Self {
        Self {
            address,
            patience,
            known: Mutex::default(),
            under_way: Arc::new(Semaphore::new(QUESTIONS)),
        }
    }

    /// The addresses of those `names` that are found out in time.
    pub(crate) async fn resolve(&self, names: Vec<String>) -> Vec<(String, Vec<Ipv4Addr>)> {
        let mut found = Vec::new();
        let mut tasks = JoinSet::new();
        let deadline = tokio::time::Instant::now() + self.patience;
        for name in names {
            match self.remembered(&name) {
                Some(addresses) => found.extend(addresses.map(|addresses| (name, addresses))),
                None => {
                    let Ok(turn) = Arc::clone(&self.under_way).try_acquire_owned() else {
                        continue;
                    };
                    let resolver = self.address;
                    tasks.spawn(async move {
                        let answer = timeout_at(deadline, ask(resolver, &name)).await;
                        drop(turn);
                        (name, answer.ok().and_then(Result::ok))
                    });
                }
            }
        }
        while let Some(done) = tasks.join_next().await {
            let Ok((name, answer)) = done else { continue };
            self.remember(&name, answer.as_ref());
            found.extend(answer.map(|answer| (name, answer.addresses)));
        }
        found
    }

    /// What is known of `name`, without asking.
    fn remembered(&self, name: &str) -> Option<Option<Vec<Ipv4Addr>>> {
        let known = self.known().get(name).cloned()?;
        (known.until > Instant::now()).then_some(known.addresses)
    }

    fn remember(&self, name: &str, answer: Option<&dns::Answer>) {
        let lifetime = match answer {
            None => UNANSWERED,
            Some(answer) => answer.lifetime.map_or(UNLISTED, |seconds| {
                Duration::from_secs(seconds.into()).min(LONGEST)
            }),
        };
        let now = Instant::now();
        let mut known = self.known();
        if known.len() >= NAMES {
            known.retain(|_, known| known.until > now);
        }
        if known.len() >= NAMES {
            known.clear();
        }
        let fresh = Known {
            until: now + lifetime,
            addresses: answer.map(|answer| answer.addresses.clone()),
        };
        known.insert(name.to_owned(), fresh);
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
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
    use super::*;

    /// A server that lists `2.0.0.127.bad.example` and lets every other name wait.
    async fn server() -> (SocketAddr, Arc<UdpSocket>) {
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        (socket.local_addr().unwrap(), socket)
    }

    async fn serve(socket: Arc<UdpSocket>) {
        let mut buffer = [0; 512];
        loop {
            let (length, client) = socket.recv_from(&mut buffer).await.unwrap();
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
        let serving = tokio::spawn(serve(socket));
        let resolver = Resolver::new(address, Duration::from_millis(300));
        let names = || vec!["1.bad.example".to_owned(), "1.slow.example".to_owned()];
        let listed = [(
            "1.bad.example".to_owned(),
            vec![Ipv4Addr::new(127, 0, 0, 2)],
        )];
        assert_eq!(resolver.resolve(names()).await, listed);
        serving.abort();
        // Nobody is asked again, nor waited for.
        let before = Instant::now();
        assert_eq!(resolver.resolve(names()).await, listed);
        assert!(before.elapsed() < Duration::from_millis(250));
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
