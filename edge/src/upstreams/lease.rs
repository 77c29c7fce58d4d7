//! A server that was picked for one attempt.

use std::sync::Arc;
use std::time::{Duration, Instant};

use edge_config::{Balance, Place, Server};

use super::endpoint::Endpoint;
use super::group::Group;
use super::sticky::Token;
use super::{Address, Outcome};

/// A server was picked for one attempt; it counts as busy until this is dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(super) group: Arc<Group>,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) server: usize,
    /// What the client's cookie has to say from now on, if it does not yet.
    pub(super) cookie: Option<Token>,
    /// Addresses of earlier attempts for the same request.
    pub(super) tried: Vec<Address>,
}

impl Lease {
    /// Where to connect.
    pub(crate) fn address(&self) -> &Address {
        &self.endpoint.address
    }

    /// The server's address and its state.
    pub(crate) const fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// The server as it was configured.
    pub(crate) fn server(&self) -> Option<&Server> {
        self.group.upstream().servers().get(self.server)
    }

    /// Whether it is spoken to with TLS.
    pub(crate) fn tls(&self) -> bool {
        self.server().is_some_and(|server| server.tls)
    }

    /// The name to ask for and to verify in TLS.
    pub(crate) fn name(&self) -> &str {
        let own = || match self.server().map(|server| &server.place) {
            Some(Place::Net { host, .. }) => host.as_str(),
            Some(Place::Socket(_)) | None => "",
        };
        let name = self.group.upstream().tls().server_name.as_deref();
        name.unwrap_or_else(own)
    }

    /// The cookie value the client has to get, if it is to stay and has not got it.
    pub(crate) fn set_cookie(&self) -> Option<String> {
        let sticky = self.group.upstream().sticky()?;
        Some(super::sticky::set_cookie(sticky, self.cookie.as_ref()?))
    }

    /// Notes what became of the attempt, after `took`; true if the server is left out from now on.
    pub(crate) fn report(&self, outcome: Outcome, took: Duration, now: Instant) -> bool {
        let millis = self.group.millis(now);
        if self.group.upstream().balance() == Balance::Latency {
            // Quick failures must not look like quick answers.
            let took = match outcome {
                Outcome::Answered(_) => took,
                Outcome::ConnectFailed | Outcome::Broken => took.max(PENALTY),
            };
            self.endpoint.latency.sample(took, millis);
        }
        let Some(time) = self.group.note(&self.endpoint, outcome, millis) else {
            return false;
        };
        let (group, address) = (self.group.name(), self.address());
        tracing::warn!(%group, %address, ?time, ?outcome, "server left out: it fails");
        true
    }

    /// Whether the group has a server that this request has not been sent to.
    pub(crate) fn has_alternative(&self) -> bool {
        self.group.has_other(self.address(), &self.tried)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.endpoint.leave();
    }
}

/// The time a failed attempt counts as, at least.
const PENALTY: Duration = Duration::from_secs(1);
