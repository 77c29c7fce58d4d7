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
mod trie;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use edge_core::Head;

use crate::policy::{Profile, Upstream, Waf};

pub(crate) use conditions::{Conditions, Matcher, whole};
pub(crate) use host::HostPattern;
use path::Readings;
pub(crate) use trie::PathPattern;
use trie::Paths;

/// One route: where a request goes and what it has to pass.
#[derive(Debug)]
pub struct Route {
    name: Arc<str>,
    upstream: Arc<Upstream>,
    profile: Arc<Profile>,
    /// If it is not the profile's.
    waf: Option<Waf>,
    conditions: Conditions,
    order: usize,
}

/// All routes, ready for lookup.
#[derive(Debug, Default)]
pub struct RouteTable {
    routes: Vec<Arc<Route>>,
    exact: HashMap<Box<[u8]>, Paths>,
    below: HashMap<Box<[u8]>, Paths>,
    any: Paths,
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
    pub(crate) fn new(
        name: Arc<str>,
        upstream: Arc<Upstream>,
        profile: Arc<Profile>,
        waf: Option<Waf>,
        conditions: Conditions,
    ) -> Self {
        Self {
            name,
            upstream,
            profile,
            waf,
            conditions,
            order: 0,
        }
    }

    /// Its place among all routes, from 0.
    #[must_use]
    pub const fn index(&self) -> usize {
        self.order
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
    pub const fn waf(&self) -> Option<&Waf> {
        self.waf.as_ref()
    }
}

impl RouteTable {
    /// Adds a route after all others; no host or no path means every one.
    pub(crate) fn add(&mut self, mut route: Route, hosts: &[HostPattern], paths: &[PathPattern]) {
        route.order = self.routes.len();
        let route = Arc::new(route);
        let hosts = if hosts.is_empty() {
            &[HostPattern::Any]
        } else {
            hosts
        };
        for host in hosts {
            let bucket = match host {
                HostPattern::Any => &mut self.any,
                HostPattern::Exact(name) => self.exact.entry(name.as_bytes().into()).or_default(),
                HostPattern::Below(name) => self.below.entry(name.as_bytes().into()).or_default(),
            };
            if paths.is_empty() {
                bucket.add(&PathPattern::Prefix("/".into()), &route);
            }
            for path in paths {
                bucket.add(path, &route);
            }
        }
        self.routes.push(route);
    }

    /// All routes, in the order of the file, which is that of [`Route::index`].
    pub fn routes(&self) -> impl ExactSizeIterator<Item = &Arc<Route>> {
        self.routes.iter()
    }

    /// The route of a request; `None` if none matches.
    ///
    /// # Errors
    /// [`AmbiguousPath`] if the path has several readings that do not agree on the route.
    pub fn find(&self, query: &RouteQuery<'_>) -> Result<Option<&Arc<Route>>, AmbiguousPath> {
        self.find_counted(query, &mut 0)
    }

    /// Counts hash lookups, so that a test can tell how the cost grows.
    fn find_counted(
        &self,
        query: &RouteQuery<'_>,
        steps: &mut usize,
    ) -> Result<Option<&Arc<Route>>, AmbiguousPath> {
        let RouteQuery { host, head } = *query;
        let host = host::normalised(host);
        let readings = Readings::of(head.path());
        let found = self.under(&host, &readings.plain, head, steps);
        for other in &readings.others {
            let route = self.under(&host, other, head, steps);
            if route.map(|route| route.order) != found.map(|route| route.order) {
                return Err(AmbiguousPath);
            }
        }
        Ok(found)
    }

    /// The route under one reading of the path.
    fn under(
        &self,
        host: &[u8],
        path: &[u8],
        head: &Head,
        steps: &mut usize,
    ) -> Option<&Arc<Route>> {
        *steps += 1;
        if let Some(route) = self.exact.get(host).and_then(|p| p.find(path, head, steps)) {
            return Some(route);
        }
        if !self.below.is_empty() {
            for parent in host::parents(host) {
                *steps += 1;
                let bucket = self.below.get(parent);
                if let Some(route) = bucket.and_then(|p| p.find(path, head, steps)) {
                    return Some(route);
                }
            }
        }
        self.any.find(path, head, steps)
    }
}

#[cfg(test)]
mod tests;
