//! Upstream groups: servers, and how they are spoken to.

mod choice;
mod failure;
mod health;
mod resolver;
mod servers;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Complaints;
use crate::spec::{TimeoutsSpec, UpstreamSpec, UpstreamTlsSpec};
use crate::tree::Path;

pub use crate::spec::{
    AddressFamilies, Balance, CheckKind, HostHeader, Protocol, RetryOn, SameSite,
};
pub use choice::{HashBy, Sticky};
pub use failure::{Ejection, Limits, Retries};
pub use health::Health;
pub use resolver::Resolver;
pub(super) use resolver::build as resolver;

/// A group of servers that serve the same application.
#[derive(Debug, PartialEq, Eq)]
pub struct Upstream {
    name: Arc<str>,
    servers: Vec<Server>,
    balance: Balance,
    hash_by: Option<HashBy>,
    sticky: Option<Sticky>,
    slow_start: Duration,
    protocol: Protocol,
    grpc: bool,
    host_header: HostHeader,
    timeouts: Timeouts,
    retries: Retries,
    ejection: Option<Ejection>,
    health: Option<Health>,
    limits: Limits,
    keepalive: usize,
    tls: Tls,
}

/// One server; its name is not resolved yet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Server {
    /// Where it is.
    pub place: Place,
    /// Whether it is spoken to with TLS.
    pub tls: bool,
    /// Share of the requests; 0 gets none.
    pub weight: u16,
}

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// In the network.
    Net {
        /// Name or address; IPv6 without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// A socket of this machine.
    Socket(PathBuf),
}

/// How long each step with a server may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// Until the connection (and TLS) stands.
    pub connect: Duration,
    /// Between two reads.
    pub read: Duration,
    /// Between two writes.
    pub write: Duration,
    /// How long an unused connection is kept.
    pub idle: Duration,
    /// For all tries together, and the answer; `None`: no limit.
    pub total: Option<Duration>,
}

/// How TLS servers are verified.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tls {
    /// Whether the certificate must be valid.
    pub verify: bool,
    /// The name asked for and verified; `None`: the server's.
    pub server_name: Option<String>,
    /// The file of authorities; `None`: the system's.
    pub ca: Option<PathBuf>,
    /// The files of the certificate the gateway shows, and of its key.
    pub client: Option<(PathBuf, PathBuf)>,
}

impl Upstream {
    /// Its name in routes, logs and metrics.
    #[must_use]
    pub const fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Its servers; at least one has a weight.
    #[must_use]
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// How a server is chosen.
    #[must_use]
    pub const fn balance(&self) -> Balance {
        self.balance
    }

    /// What is hashed; only with [`Balance::Hash`].
    #[must_use]
    pub const fn hash_by(&self) -> Option<&HashBy> {
        self.hash_by.as_ref()
    }

    /// The cookie that keeps a client on its server.
    #[must_use]
    pub const fn sticky(&self) -> Option<&Sticky> {
        self.sticky.as_ref()
    }

    /// How long a new server takes to get its full share.
    #[must_use]
    pub const fn slow_start(&self) -> Duration {
        self.slow_start
    }

    /// What its servers speak.
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Whether gRPC calls pass as streams, with only their heads inspected.
    #[must_use]
    pub const fn grpc(&self) -> bool {
        self.grpc
    }

    /// The `Host` its servers see.
    #[must_use]
    pub const fn host_header(&self) -> HostHeader {
        self.host_header
    }

    /// How long each step may take.
    #[must_use]
    pub const fn timeouts(&self) -> Timeouts {
        self.timeouts
    }

    /// When a request is tried again.
    #[must_use]
    pub const fn retries(&self) -> &Retries {
        &self.retries
    }

    /// When a server is left out; `None`: never.
    #[must_use]
    pub const fn ejection(&self) -> Option<Ejection> {
        self.ejection
    }

    /// Checks that ask its servers; `None`: none.
    #[must_use]
    pub const fn health(&self) -> Option<&Health> {
        self.health.as_ref()
    }

    /// How much may be under way at once.
    #[must_use]
    pub const fn limits(&self) -> Limits {
        self.limits
    }

    /// Unused connections kept to each server.
    #[must_use]
    pub const fn keepalive(&self) -> usize {
        self.keepalive
    }

    /// How TLS servers are verified.
    #[must_use]
    pub const fn tls(&self) -> &Tls {
        &self.tls
    }
}

pub(crate) fn build(
    specs: BTreeMap<String, UpstreamSpec>,
    complaints: &mut Complaints,
) -> BTreeMap<Arc<str>, Arc<Upstream>> {
    let all = Path::default().key("upstreams");
    specs
        .into_iter()
        .map(|(name, spec)| {
            let name: Arc<str> = name.into();
            let path = all.key(&*name);
            super::profiles::check_name(&name, &path, complaints);
            let upstream = upstream(Arc::clone(&name), spec, &path, complaints);
            (name, Arc::new(upstream))
        })
        .collect()
}

fn upstream(
    name: Arc<str>,
    spec: UpstreamSpec,
    path: &Path,
    complaints: &mut Complaints,
) -> Upstream {
    let servers = servers::servers(&spec, path, complaints);
    if spec.grpc && !matches!(spec.protocol, Protocol::H2c | Protocol::H2) {
        complaints
            .error(path.key("grpc"), "gRPC needs `protocol: h2` or `h2c`")
            .help("calls are streams of HTTP/2; over HTTP/1.1 they cannot pass");
    }
    let hash_by = choice::hash_by(spec.balance, spec.hash_by.as_deref(), path, complaints);
    Upstream {
        name,
        servers,
        balance: spec.balance,
        hash_by,
        sticky: spec
            .sticky
            .and_then(|sticky| choice::sticky(sticky, &path.key("sticky"), complaints)),
        slow_start: spec.slow_start.0,
        protocol: spec.protocol,
        grpc: spec.grpc,
        host_header: spec.host,
        timeouts: timeouts(&spec.timeouts, &path.key("timeouts"), complaints),
        retries: failure::retries(spec.retries, &path.key("retries"), complaints),
        ejection: failure::ejection(&spec.ejection, &path.key("ejection"), complaints),
        health: spec
            .health
            .and_then(|health| health::health(health, &path.key("health"), complaints)),
        limits: failure::limits(&spec.limits, &path.key("limits"), complaints),
        keepalive: usize::try_from(spec.keepalive.connections).unwrap_or(usize::MAX),
        tls: tls(spec.tls, &path.key("tls"), complaints),
    }
}

fn timeouts(spec: &TimeoutsSpec, path: &Path, complaints: &mut Complaints) -> Timeouts {
    for (key, value) in [
        ("connect", spec.connect),
        ("read", spec.read),
        ("write", spec.write),
    ] {
        if value.0.is_zero() {
            complaints.error(path.key(key), "must be longer than 0");
        }
    }
    Timeouts {
        connect: spec.connect.0,
        read: spec.read.0,
        write: spec.write.0,
        idle: spec.idle.0,
        total: Some(spec.total.0).filter(|total| !total.is_zero()),
    }
}

fn tls(spec: UpstreamTlsSpec, path: &Path, complaints: &mut Complaints) -> Tls {
    if spec.server_name.as_deref().is_some_and(str::is_empty) {
        complaints.error(path.key("server_name"), "expected a name");
    }
    if !spec.verify {
        complaints
            .warn(
                path.key("verify"),
                "certificates of these servers are not verified",
            )
            .help("anyone on the way can read and change the traffic");
        if spec.ca.is_some() {
            complaints.warn(path.key("ca"), "is not used: `verify` is off");
        }
    }
    for (key, value) in [
        ("ca", &spec.ca),
        ("certificate", &spec.certificate),
        ("key", &spec.key),
    ] {
        if value.as_deref().is_some_and(str::is_empty) {
            complaints.error(path.key(key), "expected the path of a PEM file");
        }
    }
    let client = match (spec.certificate, spec.key) {
        (Some(certificate), Some(key)) => Some((certificate.into(), key.into())),
        (Some(_), None) => {
            complaints.error(path.key("certificate"), "needs `key`, its private key");
            None
        }
        (None, Some(_)) => {
            complaints.error(path.key("key"), "needs `certificate`");
            None
        }
        (None, None) => None,
    };
    Tls {
        verify: spec.verify,
        server_name: spec.server_name,
        ca: spec.ca.map(PathBuf::from),
        client,
    }
}

/// A share such as `20%`.
fn percent(text: &str, path: Path, complaints: &mut Complaints) -> u8 {
    let number = text
        .strip_suffix('%')
        .and_then(|number| number.parse().ok());
    number.filter(|n| *n <= 100).unwrap_or_else(|| {
        complaints.error(path, "expected a share such as `20%`");
        0
    })
}
