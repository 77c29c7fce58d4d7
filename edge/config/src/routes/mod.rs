//! Which route a request takes.
//!
//! Among the routes that match, the most specific wins, in the order of the Gateway API: exact host
//! before longer wildcard before shorter wildcard before every host; exact path before longer prefix
//! before shorter prefix before regular expression; then a route with a method, with more header
//! conditions, with more query conditions; then the one that stands first in the file. A route whose
//! conditions do not hold is passed over, also in favour of a less specific host.
//!
//! Cost: one hash lookup for each label of the host and each segment of the path, whatever the
//! number of routes; regular expressions are tried one by one, in the order of the file. A path that
//! could mean two things is refused unless both lead to the same route (see [`path`]).

mod conditions;
mod host;
mod path;
mod table;
mod trie;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use edge_core::Head;

use crate::policy::{Profile, Upstream, Waf};

pub(crate) use conditions::{Conditions, Matcher, whole};
pub(crate) use host::HostPattern;
pub use host::host_names;
use path::Readings;
pub use table::RouteTable;
pub(crate) use trie::PathPattern;

/// One route: where a request goes and what it has to pass.
#[derive(Debug)]
pub struct Route {
    /// Unique in the process.
    id: u64,
    name: Arc<str>,
    upstream: Arc<Upstream>,
    profile: Arc<Profile>,
    /// If it is not the profile's.
    waf: Option<Box<Waf>>,
    conditions: Conditions,
    hosts: Box<[HostPattern]>,
    paths: Box<[PathPattern]>,
    order: Order,
}

/// Where a route stands among all: by the file, then by its number in it. The main file is first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Order {
    pub(crate) file: FileOrder,
    pub(crate) number: usize,
}

/// Which of the files: by the pattern that found it, then by its path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FileOrder {
    pub(crate) pattern: usize,
    pub(crate) path: Arc<std::path::Path>,
}

/// What a route asks for, and in which order it stands.
#[derive(Debug)]
pub(crate) struct Asks {
    pub(crate) conditions: Conditions,
    pub(crate) hosts: Vec<HostPattern>,
    pub(crate) paths: Vec<PathPattern>,
    pub(crate) order: Order,
}

/// What of a request decides about its route.
#[derive(Debug, Clone, Copy)]
pub struct RouteQuery<'a> {
    host: &'a [u8],
    head: &'a Head,
}

/// The path means different things to different servers, and they lead to different routes. To be
/// answered with 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("ambiguous path: its readings lead to different routes")]
pub struct AmbiguousPath;

impl<'a> RouteQuery<'a> {
    /// The query of a request. The host is that of an absolute-form target or the `Host` field; that
    /// they agree and stand there once is the gate's business.
    #[must_use]
    pub fn new(head: &'a Head) -> Self {
        let host = host::of_target(head.target()).or_else(|| head.field("host"));
        Self::for_host(host.unwrap_or_default(), head)
    }

    /// The query of a request to `host` (an authority; its port is left out of account).
    #[must_use]
    pub const fn for_host(host: &'a [u8], head: &'a Head) -> Self {
        Self { host, head }
    }

    /// The host as it is compared with others: without port, in lower case.
    #[must_use]
    pub fn host(&self) -> Cow<'a, [u8]> {
        host::normalised(self.host)
    }
}

impl Route {
    /// A route; no host or no path means every one.
    pub(crate) fn new(
        name: Arc<str>,
        upstream: Arc<Upstream>,
        profile: Arc<Profile>,
        waf: Option<Waf>,
        asks: Asks,
    ) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let Asks {
            conditions,
            mut hosts,
            mut paths,
            order,
        } = asks;
        if hosts.is_empty() {
            hosts.push(HostPattern::Any);
        }
        if paths.is_empty() {
            paths.push(PathPattern::Prefix("/".into()));
        }
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            name,
            upstream,
            profile,
            waf: waf.map(Box::new),
            conditions,
            hosts: hosts.into(),
            paths: paths.into(),
            order,
        }
    }

    /// The same route with what its names mean now; `None` if its own firewall would change with that.
    pub(crate) fn pointed_at(
        &self,
        upstream: &Arc<Upstream>,
        profile: &Arc<Profile>,
    ) -> Option<Self> {
        if self.waf.is_some() && !Arc::ptr_eq(&self.profile, profile) {
            return None;
        }
        Some(Self::new(
            Arc::clone(&self.name),
            Arc::clone(upstream),
            Arc::clone(profile),
            self.waf.as_deref().cloned(),
            Asks {
                conditions: self.conditions.clone(),
                hosts: self.hosts.to_vec(),
                paths: self.paths.to_vec(),
                order: self.order.clone(),
            },
        ))
    }

    /// A number that no other route of this process has, of this configuration or another.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// The hosts it is for, as they are written: `example.com`, `*.example.com`, `*`.
    pub fn hosts(&self) -> impl Iterator<Item = String> {
        self.hosts.iter().map(ToString::to_string)
    }

    /// Its name in logs and metrics.
    #[must_use]
    pub const fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Where requests go.
    #[must_use]
    pub const fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    /// What they have to pass.
    #[must_use]
    pub const fn profile(&self) -> &Arc<Profile> {
        &self.profile
    }

    /// The route's own firewall, where it changes the profile's.
    #[must_use]
    pub fn waf(&self) -> Option<&Waf> {
        self.waf.as_deref()
    }
}

#[cfg(test)]
mod tests;
