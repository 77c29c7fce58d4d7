//! Whose figures a request counts in: of the hosts its route names, the one that fits it.

use std::collections::HashMap;
use std::sync::Arc;

use edge_audit::Metrics;
use edge_audit::metrics::HostFigures;
use edge_config::{Route, host_names};
use edge_core::Exchange;

/// The figures of a route's hosts.
pub(crate) enum Hosts {
    /// It names one.
    One(Arc<HostFigures>),
    /// It names several.
    Several {
        by_name: HashMap<Box<[u8]>, Arc<HostFigures>>,
        other: Arc<HostFigures>,
    },
}

impl Hosts {
    /// For `route`; at most `limit` hosts of the gateway have figures of their own.
    pub(crate) fn new(route: &Route, metrics: &Metrics, limit: usize) -> Self {
        let figures = |host: &str| match host {
            // Whoever may send any name must not be counted under one.
            "*" => metrics.hosts.other().clone(),
            host => metrics.hosts.admit(host, limit),
        };
        let mut hosts: Vec<String> = route.hosts().collect();
        match (hosts.pop(), hosts.is_empty()) {
            (Some(host), true) => Self::One(figures(&host)),
            (last, _) => Self::Several {
                by_name: hosts
                    .into_iter()
                    .chain(last)
                    .map(|host| (host.as_bytes().into(), figures(&host)))
                    .collect(),
                other: metrics.hosts.other().clone(),
            },
        }
    }

    /// The figures an exchange of this route counts in.
    pub(crate) fn of(&self, exchange: &Exchange) -> &HostFigures {
        let (by_name, other) = match self {
            Self::One(figures) => return figures,
            Self::Several { by_name, other } => (by_name, other),
        };
        let head = exchange.head.as_ref();
        let names = head.into_iter().flat_map(host_names);
        let mut found = names.filter_map(|name| by_name.get(&*name));
        found.next().unwrap_or(other)
    }
}
