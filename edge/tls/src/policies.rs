//! Which policy holds for which host, and on which connections a host may be asked for.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::settings::{HostPattern, HostPolicy, Settings};
use crate::store::Store;
use crate::terminate::Scope;

/// The policy of every host.
#[derive(Debug, Default)]
pub(crate) struct Policies {
    /// Whether any host asks clients for certificates.
    pub(crate) asks_clients: bool,
    /// Tells one state of the configuration from another.
    pub(crate) generation: u64,
    /// The first holds for hosts without one of their own.
    pub(crate) distinct: Vec<Arc<HostPolicy>>,
    exact: HashMap<Box<str>, usize>,
    below: HashMap<Box<str>, usize>,
}

impl Policies {
    pub(crate) fn new(settings: &Settings, generation: u64) -> Self {
        let mut policies = Self {
            generation,
            asks_clients: settings.asks_clients(),
            distinct: vec![Arc::clone(&settings.defaults)],
            ..Self::default()
        };
        let mut known = HashMap::from([(Arc::clone(&settings.defaults), 0)]);
        for (pattern, policy) in &settings.hosts {
            let index = *known.entry(Arc::clone(policy)).or_insert_with(|| {
                policies.distinct.push(Arc::clone(policy));
                policies.distinct.len() - 1
            });
            match pattern {
                HostPattern::Exact(name) => policies.exact.insert(name.clone(), index),
                HostPattern::Below(parent) => policies.below.insert(parent.clone(), index),
            };
        }
        policies
    }

    /// The place of the policy for `host` among the distinct ones: its own, else that of the nearest
    /// name it is below of.
    pub(crate) fn index(&self, host: Option<&str>) -> usize {
        let Some(host) = host else {
            return 0;
        };
        if let Some(index) = self.exact.get(host) {
            return *index;
        }
        if self.below.is_empty() {
            return 0;
        }
        let mut rest = host;
        while let Some((_, parent)) = rest.split_once('.') {
            if let Some(index) = self.below.get(parent) {
                return *index;
            }
            rest = parent;
        }
        0
    }

    /// The policy for `host`.
    pub(crate) fn of(&self, host: Option<&str>) -> Option<&Arc<HostPolicy>> {
        self.distinct.get(self.index(host))
    }
}

/// What is true right now, for connections that were made under what was true before.
#[derive(Debug, Default)]
pub(crate) struct Live {
    pub(crate) policies: ArcSwap<Policies>,
    pub(crate) store: Arc<Store>,
}

/// The hosts that may be asked for on connections whose handshake satisfied one policy.
#[derive(Debug)]
pub(crate) struct PolicyScope {
    pub(crate) live: Arc<Live>,
    pub(crate) policy: Arc<HostPolicy>,
    /// Of the configuration when the handshake was.
    pub(crate) generation: u64,
}

impl Scope for PolicyScope {
    /// A host that was not the one asked for in the handshake is served only if a handshake for it would
    /// have been the same. A connection that named no host contradicts none, but the policy still
    /// counts. A reload counts, too: what a host asks of clients today holds on connections of yesterday.
    fn covers(&self, server_name: Option<&str>, host: &str) -> bool {
        let policies = self.live.policies.load();
        let same_host = server_name == Some(host);
        if same_host && policies.generation == self.generation {
            return true;
        }
        if policies
            .of(Some(host))
            .is_none_or(|now| *now != self.policy)
        {
            return false;
        }
        same_host || server_name.is_none_or(|asked| self.live.store.shows_the_same(asked, host))
    }
}
