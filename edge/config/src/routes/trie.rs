//! Paths of one host: a trie over segments, and expressions in order.
//!
//! A walk goes down at most as far as the configured paths are deep, whatever a request sends.

use std::collections::HashMap;
use std::sync::Arc;

use edge_core::Head;
use regex_automata::meta::Regex;

use super::Route;

/// What a route says about the path; prefix and exact paths are decoded and start with `/`.
#[derive(Debug, Clone)]
pub(crate) enum PathPattern {
    Prefix(String),
    Exact(String),
    Regex(Regex),
}

/// The routes of one host.
#[derive(Debug, Default)]
pub(crate) struct Paths {
    root: Segment,
    regexes: Vec<(Regex, Arc<Route>)>,
}

/// One node of the trie; `/a/` has the segments `a` and an empty one.
#[derive(Debug, Default)]
struct Segment {
    children: HashMap<Box<[u8]>, Self>,
    exact: Vec<Arc<Route>>,
    prefix: Vec<Arc<Route>>,
}

impl Paths {
    pub(crate) fn add(&mut self, pattern: &PathPattern, route: &Arc<Route>) {
        match pattern {
            PathPattern::Regex(regex) => {
                let rank = route.conditions.rank();
                let before = |(_, other): &(Regex, Arc<Route>)| other.conditions.rank() >= rank;
                let at = self.regexes.partition_point(before);
                self.regexes.insert(at, (regex.clone(), Arc::clone(route)));
            }
            PathPattern::Exact(path) => insert(&mut self.root.node(path).exact, route),
            PathPattern::Prefix(path) => {
                insert(
                    &mut self.root.node(path.trim_end_matches('/')).prefix,
                    route,
                );
            }
        }
    }

    /// Exact path, then prefixes from long to short, then expressions.
    pub(crate) fn find(&self, path: &[u8], head: &Head, steps: &mut usize) -> Option<&Arc<Route>> {
        let mut way = vec![&self.root];
        let mut whole = true;
        for segment in path.split(|b| *b == b'/').skip(1) {
            *steps += 1;
            match way.last().and_then(|node| node.children.get(segment)) {
                Some(child) => way.push(child),
                None => {
                    whole = false;
                    break;
                }
            }
        }
        let holds = |route: &&Arc<Route>| route.conditions.hold(head);
        let exact = way.last().filter(|_| whole);
        if let Some(route) = exact.and_then(|node| node.exact.iter().find(holds)) {
            return Some(route);
        }
        for node in way.iter().rev() {
            if let Some(route) = node.prefix.iter().find(holds) {
                return Some(route);
            }
        }
        let fits = |(regex, route): &&(Regex, Arc<Route>)| {
            regex.is_match(path) && route.conditions.hold(head)
        };
        self.regexes.iter().find(fits).map(|(_, route)| route)
    }
}

impl Segment {
    fn node(&mut self, path: &str) -> &mut Self {
        let mut node = self;
        for segment in path.split('/').skip(1) {
            node = node.children.entry(segment.as_bytes().into()).or_default();
        }
        node
    }
}

/// Keeps the more specific first, and the order of the file among equals.
fn insert(routes: &mut Vec<Arc<Route>>, route: &Arc<Route>) {
    let rank = route.conditions.rank();
    let at = routes.partition_point(|other| other.conditions.rank() >= rank);
    routes.insert(at, Arc::clone(route));
}
