//! What runs: the configuration after every check.
//!
//! A [`Policy`] can only be made from a Spec, and only if nothing is wrong with it, so whoever holds
//! one need not check again. Names are resolved to what they name. Nothing here reads files or
//! resolves host names.

mod listeners;
mod places;
mod profiles;
mod routes;
mod tls;
mod upstreams;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use edge_audit::spec::Logs;
use edge_conn::spec::Listener;

use crate::client::TrustedProxies;
use crate::routes::RouteTable;
use crate::spec::Spec;
use crate::tree::Path;

pub use places::Places;
pub(crate) use profiles::Origins;
pub use profiles::{BodyLimits, HeadBounds, Origin, Profile, ResponseLimits, Tuning, Waf};
pub use upstreams::{
    AddressFamilies, Balance, CheckKind, Ejection, HashBy, Health, HostHeader, Limits, Place,
    Protocol, Resolver, Retries, RetryOn, SameSite, Server, Sticky, Timeouts, Tls, Upstream,
};

/// The checked configuration.
#[derive(Debug)]
pub struct Policy {
    listeners: Vec<Listener>,
    tls: Arc<edge_tls::Settings>,
    admin: Option<SocketAddr>,
    admin_hosts: Vec<String>,
    logs: Logs,
    trusted_proxies: TrustedProxies,
    workers: Option<NonZeroUsize>,
    drain: Duration,
    resolver: Resolver,
    upstreams: BTreeMap<Arc<str>, Arc<Upstream>>,
    profiles: BTreeMap<Arc<str>, Arc<Profile>>,
    routes: Arc<RouteTable>,
}

impl Policy {
    /// Where the gateway listens; at least one.
    #[must_use]
    pub fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    /// Certificates and TLS policies.
    #[must_use]
    pub const fn tls(&self) -> &Arc<edge_tls::Settings> {
        &self.tls
    }

    /// Where the admin listener listens, if there is one.
    #[must_use]
    pub const fn admin(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// Names the admin listener answers to, besides addresses and `localhost`.
    #[must_use]
    pub fn admin_hosts(&self) -> &[String] {
        &self.admin_hosts
    }

    /// Decision record and access log.
    #[must_use]
    pub const fn logs(&self) -> &Logs {
        &self.logs
    }

    /// Whose word about the client's address counts; see [`client_address`](crate::client_address).
    #[must_use]
    pub const fn trusted_proxies(&self) -> &TrustedProxies {
        &self.trusted_proxies
    }

    /// Worker threads; `None`: one for each processor.
    #[must_use]
    pub const fn workers(&self) -> Option<NonZeroUsize> {
        self.workers
    }

    /// How long requests in flight may take when the gateway stops.
    #[must_use]
    pub const fn drain(&self) -> Duration {
        self.drain
    }

    /// How names of servers become addresses.
    #[must_use]
    pub const fn resolver(&self) -> &Resolver {
        &self.resolver
    }

    /// All upstream groups, by name.
    #[must_use]
    pub const fn upstreams(&self) -> &BTreeMap<Arc<str>, Arc<Upstream>> {
        &self.upstreams
    }

    /// All profiles, by name.
    #[must_use]
    pub const fn profiles(&self) -> &BTreeMap<Arc<str>, Arc<Profile>> {
        &self.profiles
    }

    /// All routes.
    #[must_use]
    pub const fn routes(&self) -> &Arc<RouteTable> {
        &self.routes
    }
}

/// Something that is wrong (or doubtful) with a value that has the right form.
#[derive(Debug)]
pub(crate) struct Complaint {
    pub(crate) path: Path,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
    pub(crate) warning: bool,
    /// The name that was not found, where the complaint is about one.
    pub(crate) missing: Option<(&'static str, String)>,
}

/// Collects complaints; messages never repeat a value, which may have come from the environment.
#[derive(Debug, Default)]
pub(crate) struct Complaints(pub(crate) Vec<Complaint>);

impl Complaints {
    pub(crate) fn error(&mut self, path: Path, message: impl Into<String>) -> &mut Complaint {
        self.push(path, message.into(), false)
    }

    pub(crate) fn warn(&mut self, path: Path, message: impl Into<String>) -> &mut Complaint {
        self.push(path, message.into(), true)
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "an element was pushed on the line before"
    )]
    fn push(&mut self, path: Path, message: String, warning: bool) -> &mut Complaint {
        self.0.push(Complaint {
            path,
            message,
            help: None,
            warning,
            missing: None,
        });
        let last = self.0.len() - 1;
        &mut self.0[last]
    }

    fn has_errors(&self) -> bool {
        self.0.iter().any(|complaint| !complaint.warning)
    }
}

impl Complaint {
    pub(crate) fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help = Some(help.into());
        self
    }
}

/// Checks everything and resolves names; `None` if `complaints` holds an error.
pub(crate) fn build(
    spec: Spec,
    mut origins: Origins,
    complaints: &mut Complaints,
) -> Option<Policy> {
    let root = Path::default();
    let admin = listeners::admin(&spec, complaints);
    let admin_hosts = listeners::admin_hosts(&spec, complaints);
    let trusted_proxies = listeners::trusted_proxies(&spec, complaints);
    let listeners = listeners::build(spec.listeners, complaints);
    let tls = tls::build(spec.tls, &listeners, complaints);
    let logs = match Logs::try_from((spec.audit, spec.access_log)) {
        Ok(logs) => Some(logs),
        Err(errors) => {
            for error in errors {
                complaints.error(root.below(error.key), error.message);
            }
            None
        }
    };
    let resolver = upstreams::resolver(&spec.resolver, complaints);
    let upstreams = upstreams::build(spec.upstreams, complaints);
    let profiles = profiles::build(spec.profiles, &mut origins, complaints);
    let named = routes::Named {
        upstreams: &upstreams,
        profiles: &profiles,
    };
    let routes = routes::build(&spec.routes, &named, &mut origins, complaints);
    if complaints.has_errors() {
        return None;
    }
    Some(Policy {
        listeners,
        tls: Arc::new(tls?),
        admin,
        admin_hosts,
        logs: logs?,
        trusted_proxies,
        workers: listeners::workers(spec.workers),
        drain: spec.drain.0,
        resolver,
        upstreams,
        profiles,
        routes: Arc::new(routes),
    })
}
