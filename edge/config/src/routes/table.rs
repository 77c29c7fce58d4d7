//! All routes by host; a table that differs in a few hosts shares the rest with the one before.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use edge_core::Head;

use super::trie::Paths;
use super::{AmbiguousPath, HostPattern, Readings, Route, RouteQuery, host};
use crate::shards::Shards;

/// All routes, ready for lookup.
#[derive(Debug, Clone, Default)]
pub struct RouteTable {
    routes: Shards<u64, Arc<Route>>,
    exact: Shards<Box<[u8]>, Arc<Bucket>>,
    below: Shards<Box<[u8]>, Arc<Bucket>>,
    any: Arc<Bucket>,
}

/// The routes of one host.
#[derive(Debug, Default)]
struct Bucket {
    /// In their order.
    routes: Box<[Arc<Route>]>,
    paths: Paths,
}

impl Bucket {
    fn of(mut routes: Vec<Arc<Route>>) -> Arc<Self> {
        routes.sort_by(|a, b| a.order.cmp(&b.order));
        let mut paths = Paths::default();
        for route in &routes {
            for path in &route.paths {
                paths.add(path, route);
            }
        }
        Arc::new(Self {
            routes: routes.into(),
            paths,
        })
    }
}

impl RouteTable {
    /// Takes routes out and puts others in; hosts that none of them names are not touched.
    pub(crate) fn replace(&mut self, gone: &[Arc<Route>], come: &[Arc<Route>]) {
        let mut hosts: HashMap<&HostPattern, Vec<Arc<Route>>> = HashMap::new();
        for route in gone {
            self.routes.remove(&route.id);
            for host in &route.hosts {
                hosts.entry(host).or_default();
            }
        }
        for route in come {
            self.routes.insert(route.id, Arc::clone(route));
            let mut named = HashSet::new();
            for host in route.hosts.iter().filter(|host| named.insert(*host)) {
                hosts.entry(host).or_default().push(Arc::clone(route));
            }
        }
        let gone: HashSet<u64> = gone.iter().map(|route| route.id).collect();
        for (host, mut routes) in hosts {
            let before = self.bucket(host);
            let before = before.iter().flat_map(|bucket| bucket.routes.iter());
            routes.extend(before.filter(|route| !gone.contains(&route.id)).cloned());
            self.set(host, routes);
        }
    }

    fn bucket(&self, host: &HostPattern) -> Option<Arc<Bucket>> {
        match host {
            HostPattern::Any => Some(Arc::clone(&self.any)),
            HostPattern::Exact(name) => self.exact.get(name.as_bytes()).cloned(),
            HostPattern::Below(name) => self.below.get(name.as_bytes()).cloned(),
        }
    }

    fn set(&mut self, host: &HostPattern, routes: Vec<Arc<Route>>) {
        let (map, name) = match host {
            HostPattern::Any => {
                self.any = Bucket::of(routes);
                return;
            }
            HostPattern::Exact(name) => (&mut self.exact, name.as_bytes()),
            HostPattern::Below(name) => (&mut self.below, name.as_bytes()),
        };
        if routes.is_empty() {
            map.remove(name);
        } else {
            map.insert(name.into(), Bucket::of(routes));
        }
    }

    /// All routes, in no order.
    pub fn routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.routes.values()
    }

    /// All routes, in the order of the files.
    #[must_use]
    pub fn in_order(&self) -> Vec<&Arc<Route>> {
        let mut routes: Vec<&Arc<Route>> = self.routes().collect();
        routes.sort_by(|a, b| a.order.cmp(&b.order));
        routes
    }

    /// How many routes there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.routes.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The route of a request; `None` if none matches.
    ///
    /// # Errors
    /// [`AmbiguousPath`] if the path has several readings that do not agree on the route.
    pub fn find(&self, query: &RouteQuery<'_>) -> Result<Option<&Arc<Route>>, AmbiguousPath> {
        self.find_counted(query, &mut 0)
    }

    /// Counts hash lookups, so that a test can tell how the cost grows.
    pub(super) fn find_counted(
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
            if route.map(|route| route.id) != found.map(|route| route.id) {
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
        if let Some(route) = self
            .exact
            .get(host)
            .and_then(|bucket| bucket.paths.find(path, head, steps))
        {
            return Some(route);
        }
        if !self.below.is_empty() {
            for parent in host::parents(host) {
                *steps += 1;
                let bucket = self.below.get(parent);
                if let Some(route) = bucket.and_then(|bucket| bucket.paths.find(path, head, steps))
                {
                    return Some(route);
                }
            }
        }
        self.any.paths.find(path, head, steps)
    }
}
