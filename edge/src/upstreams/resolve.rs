//! Names of servers to addresses, when the gateway starts and again while it runs.
//!
//! A name that cannot be resolved keeps the addresses it had: an outage of the name service must not
//! become one of the gateway. Look-ups are bounded in time, number at once and addresses taken.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::Group;

/// A name that has no address at present.
#[derive(Debug, thiserror::Error)]
#[error("cannot resolve `{host}`: {error}")]
pub(crate) struct ResolveError {
    /// The name.
    pub(crate) host: String,
    /// What the system said.
    pub(crate) error: io::Error,
}

/// Looks up every name of the group once; names that fail keep their addresses and are returned.
pub(crate) async fn resolve(group: &Group) -> Vec<ResolveError> {
    let mut names = names(group);
    let mut running = JoinSet::new();
    let mut failed = Vec::new();
    loop {
        while running.len() < AT_ONCE {
            let Some((server, host, port)) = names.next() else {
                break;
            };
            let host = host.to_owned();
            running.spawn(async move {
                let found = look_up(&host, port).await;
                (server, host, found)
            });
        }
        match running.join_next().await {
            None => return failed,
            Some(Ok((server, _, Ok(addresses)))) => {
                if group.relocate(server, &addresses) {
                    tracing::info!(group = %group.name(), server, ?addresses, "server addresses");
                }
            }
            Some(Ok((_, host, Err(error)))) => failed.push(ResolveError { host, error }),
            Some(Err(error)) => tracing::error!(%error, "name look-up ended abnormally"),
        }
    }
}

/// Looks up the group's names every `pause`, until the group is gone. Ends at once for a group
/// without names.
pub(crate) async fn refresh(group: Weak<Group>, pause: Duration) {
    loop {
        let nameless = |group: Arc<Group>| names(&group).next().is_none();
        if group.upgrade().is_none_or(nameless) {
            return;
        }
        sleep(pause).await;
        let Some(group) = group.upgrade() else {
            return;
        };
        for error in resolve(&group).await {
            tracing::warn!(group = %group.name(), %error, "server addresses stay as they are");
        }
    }
}

/// Whether there is a name to look up.
pub(crate) fn has_names(group: &Group) -> bool {
    names(group).next().is_some()
}

/// Servers that are names: index, host, port.
fn names(group: &Group) -> impl Iterator<Item = (usize, &str, u16)> {
    let servers = group.servers().iter().enumerate();
    servers
        .filter(|(_, server)| server.host.parse::<IpAddr>().is_err())
        .map(|(index, server)| (index, server.host.as_str(), server.port))
}

async fn look_up(host: &str, port: u16) -> io::Result<Arc<[SocketAddr]>> {
    let found = timeout(PATIENCE, lookup_host((host, port))).await??;
    let mut addresses: Vec<_> = found.take(MOST).collect();
    // Name servers rotate their answers; the same set in another order is no change.
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "no addresses"));
    }
    Ok(addresses.into())
}

/// Time for one look-up.
const PATIENCE: Duration = Duration::from_secs(5);
/// Look-ups at one time.
const AT_ONCE: usize = 16;
/// Addresses taken of one name.
const MOST: usize = 64;

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::super::group::tests::settings;
    use super::super::{Balance, Server};
    use super::*;

    fn group(hosts: &[&str]) -> Arc<Group> {
        let server = |host: &&str| Server {
            host: (*host).to_owned(),
            port: 8000,
            tls: false,
            weight: 1,
        };
        let mut settings = settings(&[], Balance::RoundRobin);
        settings.servers = hosts.iter().map(server).collect();
        Arc::new(Group::new(settings, Instant::now()))
    }

    #[tokio::test]
    async fn a_name_becomes_addresses_and_one_that_fails_does_not_stop_the_others() {
        let group = group(&["localhost", "does-not-exist.invalid", "127.0.0.9"]);
        let failed = resolve(&group).await;
        let failed: Vec<_> = failed.iter().map(|error| error.host.as_str()).collect();
        assert_eq!(failed, ["does-not-exist.invalid"]);
        let now = Instant::now();
        let picked: Vec<_> = (0..20).filter_map(|_| group.pick(now, None)).collect();
        let hosts: Vec<_> = picked.iter().map(super::super::Lease::name).collect();
        assert!(
            hosts.contains(&"localhost") && hosts.contains(&"127.0.0.9"),
            "{hosts:?}"
        );
        assert!(
            picked
                .iter()
                .all(|lease| lease.address().ip().is_loopback())
        );
        assert!(!hosts.contains(&"does-not-exist.invalid"));
    }

    #[tokio::test]
    async fn the_refresher_ends_with_its_group_and_has_nothing_to_do_for_literals() {
        let literal = group(&["127.0.0.1"]);
        refresh(Arc::downgrade(&literal), Duration::from_secs(3600)).await;
        let named = group(&["localhost"]);
        let weak = Arc::downgrade(&named);
        let task = tokio::spawn(refresh(weak, Duration::from_millis(10)));
        sleep(Duration::from_millis(100)).await;
        assert!(!task.is_finished());
        assert!(
            named.pick(Instant::now(), None).is_some(),
            "resolved by the refresher"
        );
        drop(named);
        timeout(Duration::from_secs(5), task)
            .await
            .unwrap()
            .unwrap();
    }
}
