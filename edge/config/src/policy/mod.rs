//! What runs: the configuration after every check.
//!
//! A [`Policy`] can only be made from a Spec, and only if nothing is wrong with it, so whoever holds
//! one need not check again. Names are resolved to what they name. Nothing here reads files or
//! resolves host names.

mod listeners;
mod places;
pub(crate) mod profiles;
pub(crate) mod routes;
mod tls;
pub(crate) mod upstreams;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use edge_audit::spec::Logs;
use edge_conn::spec::Listener;
use edge_core::Secret;

use crate::client::TrustedProxies;
use crate::routes::{FileOrder, RouteTable};
use crate::shards::Shards;
use crate::spec::Spec;
use crate::tree::Path;
use crate::tree::digest::Checksum;

pub use places::Places;
pub(crate) use profiles::Origins;
pub use profiles::{BodyLimits, HeadBounds, Origin, Profile, ResponseLimits, Tuning, Waf};
use routes::Shadows;
pub use upstreams::{
    AddressFamilies, Balance, CheckKind, Ejection, HashBy, Health, HostHeader, Limits, Place,
    Protocol, Resolver, Retries, RetryOn, SameSite, Server, Sticky, Timeouts, Tls, Upstream,
};

/// The checked configuration.
#[derive(Debug, Clone)]
pub struct Policy {
    listeners: Vec<Listener>,
    tls: Arc<edge_tls::Settings>,
    admin: Option<SocketAddr>,
    admin_hosts: Vec<String>,
    admin_token: Option<Secret<String>>,
    logs: Logs,
    trusted_proxies: TrustedProxies,
    workers: Option<NonZeroUsize>,
    drain: Duration,
    metrics_hosts: usize,
    resolver: Resolver,
    upstreams: Shards<Arc<str>, Arc<Upstream>>,
    profiles: BTreeMap<Arc<str>, Arc<Profile>>,
    routes: Arc<RouteTable>,
    checksum: Checksum,
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

    /// What allows to change the configuration through the admin listener; `None`: nothing does.
    #[must_use]
    pub const fn admin_token(&self) -> Option<&Secret<String>> {
        self.admin_token.as_ref()
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

    /// How many hosts have figures of their own.
    #[must_use]
    pub const fn metrics_hosts(&self) -> usize {
        self.metrics_hosts
    }

    /// How names of servers become addresses.
    #[must_use]
    pub const fn resolver(&self) -> &Resolver {
        &self.resolver
    }

    /// All upstream groups, by name.
    #[must_use]
    pub const fn upstreams(&self) -> &Shards<Arc<str>, Arc<Upstream>> {
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

    /// What all files say, as a number; values of the environment and rule files are not part of it.
    #[must_use]
    pub const fn checksum(&self) -> Checksum {
        self.checksum
    }

    /// This configuration with these sites instead of its own.
    pub(crate) fn with_sites(&self, sites: &Sites) -> Self {
        Self {
            upstreams: sites.upstreams.clone(),
            profiles: sites.profiles.clone(),
            routes: Arc::new(sites.routes.clone()),
            checksum: sites.checksum,
            ..self.clone()
        }
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

    pub(crate) fn has_errors(&self) -> bool {
        self.0.iter().any(|complaint| !complaint.warning)
    }
}

impl Complaint {
    pub(crate) fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help = Some(help.into());
        self
    }
}

/// What may stand in any file: where requests go, and what they have to pass.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sites {
    pub(crate) upstreams: Shards<Arc<str>, Arc<Upstream>>,
    pub(crate) profiles: BTreeMap<Arc<str>, Arc<Profile>>,
    pub(crate) routes: RouteTable,
    pub(crate) checksum: Checksum,
}

/// Checks everything and resolves names; `None` if `complaints` holds an error.
pub(crate) fn build(
    mut spec: Spec,
    mut origins: Origins,
    checksum: Checksum,
    complaints: &mut Complaints,
) -> Option<Policy> {
    let upstreams = std::mem::take(&mut spec.upstreams);
    let mut profiles = std::mem::take(&mut spec.profiles);
    profiles.entry(profiles::DEFAULT.to_owned()).or_default();
    let routes = std::mem::take(&mut spec.routes);
    let frame = frame(spec, complaints);
    let upstreams = upstreams::build(upstreams, complaints)
        .into_iter()
        .collect();
    let profiles = profiles::build(profiles, &mut origins, complaints);
    let mut sites = Sites {
        upstreams,
        profiles,
        routes: RouteTable::default(),
        checksum,
    };
    let mut names = HashMap::new();
    let mut shadows = Shadows::default();
    let file = FileOrder {
        pattern: 0,
        path: FilePath::new("").into(),
    };
    let built = routes::build(
        &routes,
        &sites,
        &file,
        &mut origins,
        &mut shadows,
        complaints,
    );
    routes::check_names(&routes, &mut names, complaints);
    routes::warn_of_unused(&routes, &sites.upstreams, complaints);
    if routes.is_empty() {
        routes::complain_of_none(complaints);
    }
    sites.routes.replace(&[], &built);
    if complaints.has_errors() {
        return None;
    }
    Some(frame?.with_sites(&sites))
}

/// Everything but the sites.
pub(crate) fn frame(spec: Spec, complaints: &mut Complaints) -> Option<Policy> {
    let root = Path::default();
    let admin = listeners::admin(&spec, complaints);
    let admin_hosts = listeners::admin_hosts(&spec, complaints);
    let admin_token = listeners::admin_token(&spec, complaints);
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
    Some(Policy {
        listeners,
        tls: Arc::new(tls?),
        admin,
        admin_hosts,
        admin_token,
        logs: logs?,
        trusted_proxies,
        workers: listeners::workers(spec.workers),
        drain: spec.drain.0,
        resolver,
        metrics_hosts: usize::try_from(spec.metrics.hosts).unwrap_or(usize::MAX),
        upstreams: Shards::default(),
        profiles: BTreeMap::new(),
        routes: Arc::default(),
        checksum: Checksum::default(),
    })
}
