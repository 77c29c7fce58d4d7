//! What the admin listener tells about this process.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use edge_admin::{Live, Page, Readiness, Sort, Status};
use edge_audit::Metrics;
use edge_audit::metrics::AcmeRow;
use edge_audit::metrics::HostOrder;
use edge_tls::acme::CertificateStatus;
use serde_json::json;

use crate::shared::Shared;

/// Asks for the state of every certificate that is ordered by ACME.
pub(crate) type Acme = Arc<dyn Fn() -> Vec<CertificateStatus> + Send + Sync>;

/// The state of the process, as others may see it.
pub(crate) struct State {
    metrics: Arc<Metrics>,
    shared: Arc<Shared>,
    acme: Acme,
    started: Instant,
    now: ArcSwap<Snapshot>,
}

#[derive(Clone)]
struct Snapshot {
    readiness: Readiness,
    generation: u64,
    last_error: Option<String>,
}

impl State {
    /// A process that is starting.
    pub(crate) fn new(metrics: Arc<Metrics>, shared: Arc<Shared>, acme: Acme) -> Self {
        let now = Snapshot {
            readiness: Readiness::NotReady("starting".into()),
            generation: 1,
            last_error: None,
        };
        Self {
            metrics,
            shared,
            acme,
            started: Instant::now(),
            now: ArcSwap::from_pointee(now),
        }
    }

    /// Every listener is served.
    pub(crate) fn ready(&self) {
        self.update(|now| now.readiness = Readiness::Ready);
    }

    /// No new connections are taken.
    pub(crate) fn draining(&self) {
        self.update(|now| now.readiness = Readiness::NotReady("draining".into()));
    }

    /// A configuration took effect.
    pub(crate) fn reloaded(&self, generation: u64) {
        self.update(|now| (now.generation, now.last_error) = (generation, None));
    }

    /// A configuration was refused.
    pub(crate) fn reload_failed(&self, why: &str) {
        self.update(|now| now.last_error = Some(why.to_owned()));
    }

    fn update(&self, change: impl Fn(&mut Snapshot)) {
        self.now.rcu(|now| {
            let mut next = Snapshot::clone(now);
            change(&mut next);
            next
        });
    }
}

impl Live for State {
    fn readiness(&self) -> Readiness {
        self.now.load().readiness.clone()
    }

    fn status(&self) -> Status {
        let now = self.now.load();
        let gateway = self.shared.gateway();
        Status {
            version: Cow::Borrowed(env!("CARGO_PKG_VERSION")),
            uptime_seconds: self.started.elapsed().as_secs(),
            config_generation: now.generation,
            config_checksum: gateway.checksum().to_string(),
            routes: gateway.route_count(),
            last_reload_error: now.last_error.clone(),
        }
    }

    fn acme(&self) -> serde_json::Value {
        serde_json::to_value((self.acme)()).unwrap_or_default()
    }

    fn upstreams(&self, group: Option<&str>) -> serde_json::Value {
        let gateway = self.shared.gateway();
        let wanted = gateway
            .upstreams()
            .filter(|upstream| group.is_none_or(|group| **upstream.group.name() == *group));
        let now = Instant::now();
        wanted
            .map(|upstream| {
                let servers = serde_json::to_value(upstream.group.report(now));
                (
                    upstream.group.name().to_string(),
                    servers.unwrap_or_default(),
                )
            })
            .collect::<serde_json::Map<_, _>>()
            .into()
    }

    fn metrics(&self) -> String {
        self.shared.refresh_gauges();
        let rows: Vec<AcmeRow> = (self.acme)().into_iter().map(row).collect();
        self.metrics.acme.show(&rows);
        self.metrics.text()
    }

    fn hosts(&self, page: &Page) -> serde_json::Value {
        let order = match page.sort {
            Sort::Host => HostOrder::Host,
            Sort::Requests => HostOrder::Requests,
            Sort::Errors => HostOrder::Errors,
            Sort::Bytes => HostOrder::Bytes,
            Sort::Time => HostOrder::Time,
        };
        let limit = page.limit.min(MAX_PAGE);
        let hosts = &self.metrics.hosts;
        let (total, hosts) = hosts.page(&page.q, order, page.offset, limit);
        json!({"total": total, "offset": page.offset, "hosts": hosts})
    }
}

/// Hosts in one answer.
const MAX_PAGE: usize = 1000;

fn row(status: CertificateStatus) -> AcmeRow {
    AcmeRow {
        id: status.id,
        last_success: status.last_success,
        next_order: status.next_attempt,
        not_after: status.not_after,
        failures: status.failures_total,
        issued: status.issued_total,
    }
}
