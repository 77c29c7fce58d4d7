//! Every Prometheus metric of the gateway, under constant names.
//!
//! Handles are resolved when a configuration is assembled ([`Metrics::route`], [`Metrics::rules`],
//! [`Metrics::upstream`]); the request path then adds to atomics and neither locks nor looks up a
//! label. Label values come from the configuration and from rule numbers only, never from a request,
//! and their number is bounded: what exceeds a bound is counted under `other`.

mod hosts;
mod tls;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use edge_core::{Exchange, Finding, Layer};
use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use crate::outcome::Outcome;
pub use hosts::{
    HOST_BYTES, HOST_RESPONSES, HOST_SECONDS, HostFigures, HostOrder, HostSummary, Hosts,
};

mod acme;

pub use acme::{AcmeMetrics, AcmeRow};
pub use tls::{TLS_CERTIFICATES, TLS_HANDSHAKES, TLS_NOT_AFTER, TlsMetrics};

/// Finished exchanges by route and verdict.
pub const REQUESTS: &str = "palisade_requests_total";
/// Answers by route and class of status (`2xx`, ..., `none`).
pub const RESPONSES: &str = "palisade_responses_total";
/// Time from the complete head to the last byte sent, by route.
pub const REQUEST_SECONDS: &str = "palisade_request_seconds";
/// Time spent in a layer.
pub const LAYER_SECONDS: &str = "palisade_layer_seconds";
/// Faults of a layer.
pub const FAULTS: &str = "palisade_faults_total";
/// Matches of a rule.
pub const RULE_MATCHES: &str = "palisade_rule_matches_total";
/// Lines written by log.
pub const RECORDS_WRITTEN: &str = "palisade_records_written_total";
/// Lines lost by log and reason (`queue` or `sink`).
pub const RECORDS_DROPPED: &str = "palisade_records_dropped_total";
/// Failed writes by log.
pub const RECORD_ERRORS: &str = "palisade_record_errors_total";
/// Connections open now.
pub const CONNECTIONS_ACTIVE: &str = "palisade_connections_active";
/// Connections accepted.
pub const CONNECTIONS: &str = "palisade_connections_total";
/// Connections closed before their first request, by reason.
pub const CONNECTIONS_REFUSED: &str = "palisade_connections_refused_total";
/// Attempts on an upstream group by result.
pub const UPSTREAM_ATTEMPTS: &str = "palisade_upstream_attempts_total";
/// Retries an upstream group's budget did not allow.
pub const RETRIES_DENIED: &str = "palisade_upstream_retries_denied_total";
/// Servers of an upstream group that are ejected now.
pub const UPSTREAM_EJECTED: &str = "palisade_upstream_ejected";
/// Servers of an upstream group that checks say do not work.
pub const UPSTREAM_DOWN: &str = "palisade_upstream_down";
/// Servers of an upstream group that take requests.
pub const UPSTREAM_UP: &str = "palisade_upstream_up";
/// Requests tried again, by what made it necessary.
pub const UPSTREAM_RETRIES: &str = "palisade_upstream_retries_total";
/// Requests refused with 503 before a server was tried, by reason.
pub const UPSTREAM_REFUSED: &str = "palisade_upstream_refused_total";
/// Reloads that took effect.
pub const RELOAD_SUCCESS: &str = "palisade_config_reload_success_total";
/// Reloads that were refused; the old configuration went on.
pub const RELOAD_FAILURE: &str = "palisade_config_reload_failure_total";
/// Unix time of the last reload that took effect.
pub const RELOAD_TIME: &str = "palisade_config_last_reload_success_timestamp_seconds";
/// 1, labelled with the checksum of the running configuration.
pub const CONFIG_INFO: &str = "palisade_config_info";
/// Unix time a certificate was last issued by ACME.
pub const ACME_LAST_SUCCESS: &str = "palisade_acme_last_success_timestamp_seconds";
/// Unix time a certificate is ordered next.
pub const ACME_NEXT_ORDER: &str = "palisade_acme_next_order_timestamp_seconds";
/// Unix time a certificate of ACME ends.
pub const ACME_NOT_AFTER: &str = "palisade_acme_not_after_timestamp_seconds";
/// Orders that failed.
pub const ACME_FAILURES: &str = "palisade_acme_failures_total";
/// Certificates that were issued.
pub const ACME_ISSUED: &str = "palisade_acme_issued_total";
/// 1, labelled with the version.
pub const BUILD_INFO: &str = "palisade_build_info";

/// All metrics of a process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    route_source: Arc<RouteSource>,
    rule_matches: IntCounterVec,
    upstream_attempts: IntCounterVec,
    retries_denied: IntCounterVec,
    upstream_ejected: IntGaugeVec,
    config_info: IntGaugeVec,
    upstream_down: IntGaugeVec,
    upstream_up: IntGaugeVec,
    upstream_retries: IntCounterVec,
    upstream_refused: IntCounterVec,
    rules: Known,
    upstreams: Known,
    /// Of the decision record and the access log.
    pub records: RecordCounters,
    /// Of the listeners.
    pub connections: Connections,
    /// Of TLS.
    pub tls: TlsMetrics,
    /// Of the configuration.
    pub reloads: Reloads,
    /// Of the hosts that routes name.
    pub hosts: Hosts,
    /// Of certificates that are ordered by ACME.
    pub acme: AcmeMetrics,
}

impl Metrics {
    /// Registers every metric; `version` is shown by [`BUILD_INFO`].
    ///
    /// # Errors
    /// Only if two metrics share a name, which a test rules out.
    pub fn new(version: &str) -> Result<Arc<Self>, prometheus::Error> {
        let r = Registry::new();
        let layer_seconds = histograms(&r, LAYER_SECONDS, "Time spent in a layer.", &["layer"])?;
        let faults = counters(&r, FAULTS, "Faults of a layer.", &["layer"])?;
        let build = gauges(&r, BUILD_INFO, "The running version.", &["version"])?;
        build.with_label_values(&[version]).set(1);
        Ok(Arc::new(Self {
            route_source: Arc::new(RouteSource {
                requests: counters(&r, REQUESTS, "Finished exchanges.", &["route", "verdict"])?,
                responses: counters(
                    &r,
                    RESPONSES,
                    "Answers by class of status.",
                    &["route", "class"],
                )?,
                request_seconds: histograms(
                    &r,
                    REQUEST_SECONDS,
                    "Time of an exchange.",
                    &["route"],
                )?,
                layers: Layer::ALL.map(|layer| layer_seconds.with_label_values(&[layer.name()])),
                faults: Layer::ALL.map(|layer| faults.with_label_values(&[layer.name()])),
                known: Known::up_to(MAX_ROUTES),
                other: OnceLock::new(),
            }),
            rule_matches: counters(&r, RULE_MATCHES, "Matches of a rule.", &["rule_id"])?,
            upstream_attempts: counters(
                &r,
                UPSTREAM_ATTEMPTS,
                "Attempts on an upstream group.",
                &["upstream", "result"],
            )?,
            retries_denied: counters(
                &r,
                RETRIES_DENIED,
                "Retries the budget of an upstream group did not allow.",
                &["upstream"],
            )?,
            upstream_ejected: gauges(
                &r,
                UPSTREAM_EJECTED,
                "Servers of an upstream group that are ejected.",
                &["upstream"],
            )?,
            config_info: gauges(&r, CONFIG_INFO, "The running configuration.", &["checksum"])?,
            hosts: Hosts::default(),
            upstream_down: gauges(
                &r,
                UPSTREAM_DOWN,
                "Servers of an upstream group that fail their checks.",
                &["upstream"],
            )?,
            upstream_up: gauges(
                &r,
                UPSTREAM_UP,
                "Servers of an upstream group that take requests.",
                &["upstream"],
            )?,
            upstream_retries: counters(
                &r,
                UPSTREAM_RETRIES,
                "Requests tried again.",
                &["upstream", "reason"],
            )?,
            upstream_refused: counters(
                &r,
                UPSTREAM_REFUSED,
                "Requests refused before a server was tried.",
                &["upstream", "reason"],
            )?,
            rules: Known::up_to(MAX_RULES),
            upstreams: Known::up_to(MAX_UPSTREAMS),
            records: RecordCounters::register(&r)?,
            connections: Connections::register(&r)?,
            tls: TlsMetrics::register(&r)?,
            reloads: Reloads::register(&r)?,
            acme: AcmeMetrics::register(&r)?,
            registry: r,
        }))
    }

    /// Handles of one route, to be kept with it. Its series appear with its first request.
    #[must_use]
    pub fn route(&self, route: &Arc<str>) -> RouteMetrics {
        RouteMetrics {
            source: Arc::clone(&self.route_source),
            name: Arc::clone(route),
            series: OnceLock::new(),
        }
    }

    /// Says which configuration runs.
    pub fn runs(&self, checksum: &str) {
        self.config_info.reset();
        self.config_info.with_label_values(&[checksum]).set(1);
    }

    /// Handles of the rules of a loaded rule set, to be kept with it.
    #[must_use]
    pub fn rules(&self, ids: impl IntoIterator<Item = u64>) -> RuleMetrics {
        let mut ids: Vec<u64> = ids.into_iter().collect();
        ids.sort_unstable();
        ids.dedup();
        let counter = |id: u64| {
            let id = id.to_string();
            let label = self.rules.admit(&id);
            (label != OTHER).then(|| (self.rule_matches.clone(), OnceLock::new()))
        };
        let slots = ids
            .into_iter()
            .filter_map(|id| counter(id).map(|(vec, cell)| Rule { id, vec, cell }));
        RuleMetrics {
            rules: slots.collect(),
            other: self.rule_matches.with_label_values(&[OTHER]),
        }
    }

    /// Handles of one upstream group, to be kept with it.
    #[must_use]
    pub fn upstream(&self, group: &str) -> UpstreamMetrics {
        let group = self.upstreams.admit(group);
        let attempt = |result| self.upstream_attempts.with_label_values(&[group, result]);
        UpstreamMetrics {
            answered: attempt("answered"),
            connect_failed: attempt("connect_failed"),
            broken: attempt("broken"),
            timed_out: attempt("timed_out"),
            per_try: attempt("per_try_timeout"),
            total: attempt("total_timeout"),
            retries_denied: self.retries_denied.with_label_values(&[group]),
            ejected: self.upstream_ejected.with_label_values(&[group]),
            down: self.upstream_down.with_label_values(&[group]),
            up: self.upstream_up.with_label_values(&[group]),
            retried: self.upstream_retries.clone(),
            refused: self.upstream_refused.clone(),
            group: group.into(),
        }
    }

    /// Everything in Prometheus's text format.
    #[must_use]
    pub fn text(&self) -> String {
        let text = TextEncoder::new().encode_to_string(&self.registry.gather());
        let mut text = text.unwrap_or_default();
        self.hosts.text(&mut text);
        text
    }
}

/// Metrics of one route.
#[derive(Debug)]
pub struct RouteMetrics {
    source: Arc<RouteSource>,
    name: Arc<str>,
    series: OnceLock<Arc<RouteSeries>>,
}

/// What series of routes are made from.
#[derive(Debug)]
struct RouteSource {
    requests: IntCounterVec,
    responses: IntCounterVec,
    request_seconds: HistogramVec,
    layers: [Histogram; Layer::ALL.len()],
    faults: [IntCounter; Layer::ALL.len()],
    known: Known,
    /// What all routes beyond the bound share.
    other: OnceLock<Arc<RouteSeries>>,
}

#[derive(Debug)]
struct RouteSeries {
    verdicts: [IntCounter; Outcome::ALL.len()],
    classes: [IntCounter; CLASSES.len()],
    seconds: Histogram,
}

impl RouteSource {
    fn series(&self, route: &str) -> Arc<RouteSeries> {
        let make = |route: &str| {
            Arc::new(RouteSeries {
                verdicts: Outcome::ALL
                    .map(|outcome| self.requests.with_label_values(&[route, outcome.name()])),
                classes: CLASSES.map(|class| self.responses.with_label_values(&[route, class])),
                seconds: self.request_seconds.with_label_values(&[route]),
            })
        };
        match self.known.admit(route) {
            OTHER => Arc::clone(self.other.get_or_init(|| make(OTHER))),
            route => make(route),
        }
    }
}

impl RouteMetrics {
    /// Counts a finished exchange.
    pub fn observe(&self, exchange: &Exchange) {
        let source = &*self.source;
        let series = self.series.get_or_init(|| source.series(&self.name));
        if let Some(counter) = series.verdicts.get(Outcome::of(exchange) as usize) {
            counter.inc();
        }
        let class = exchange.response_status.map_or(0, |status| status / 100);
        if let Some(counter) = series
            .classes
            .get(usize::from(class))
            .or(series.classes.first())
        {
            counter.inc();
        }
        series.seconds.observe(exchange.timings.total.as_secs_f64());
        for (layer, spent) in exchange.timings.iter() {
            if let Some(histogram) = source.layers.get(layer as usize) {
                histogram.observe(spent.as_secs_f64());
            }
        }
        for fault in &exchange.faults {
            if let Some(counter) = source.faults.get(fault.layer as usize) {
                counter.inc();
            }
        }
    }
}

/// Match counters of a rule set. A series appears with the first match.
#[derive(Debug)]
pub struct RuleMetrics {
    /// Sorted by number.
    rules: Box<[Rule]>,
    other: IntCounter,
}

#[derive(Debug)]
struct Rule {
    id: u64,
    vec: IntCounterVec,
    cell: OnceLock<IntCounter>,
}

impl RuleMetrics {
    /// Counts the rules that matched.
    pub fn observe(&self, findings: &[Finding]) {
        for finding in findings.iter().filter(|finding| finding.rule_id != 0) {
            self.counter(finding.rule_id).inc();
        }
    }

    fn counter(&self, id: u64) -> &IntCounter {
        let found = self.rules.binary_search_by_key(&id, |rule| rule.id);
        match found.ok().and_then(|at| self.rules.get(at)) {
            Some(Rule { id, vec, cell }) => {
                cell.get_or_init(|| vec.with_label_values(&[id.to_string().as_str()]))
            }
            None => &self.other,
        }
    }
}

/// Metrics of one upstream group.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields say what they count")]
pub struct UpstreamMetrics {
    pub answered: IntCounter,
    pub connect_failed: IntCounter,
    pub broken: IntCounter,
    pub timed_out: IntCounter,
    pub per_try: IntCounter,
    pub total: IntCounter,
    pub retries_denied: IntCounter,
    pub ejected: IntGauge,
    pub down: IntGauge,
    pub up: IntGauge,
    retried: IntCounterVec,
    refused: IntCounterVec,
    group: Arc<str>,
}

impl UpstreamMetrics {
    /// A request is tried again because of `reason`, a word of the program.
    pub fn retried(&self, reason: &'static str) {
        self.retried
            .with_label_values(&[&*self.group, reason])
            .inc();
    }

    /// A request was refused because of `reason`, a word of the program.
    pub fn refused(&self, reason: &'static str) {
        self.refused
            .with_label_values(&[&*self.group, reason])
            .inc();
    }
}

/// Metrics of the listeners.
#[derive(Debug, Clone)]
pub struct Connections {
    /// Open now.
    pub active: IntGauge,
    /// Accepted.
    pub accepted: IntCounter,
    refused: IntCounterVec,
}

impl Connections {
    /// The counter for connections closed for `reason`, a word of the program.
    #[must_use]
    pub fn refused(&self, reason: &'static str) -> IntCounter {
        self.refused.with_label_values(&[reason])
    }

    fn register(r: &Registry) -> Result<Self, prometheus::Error> {
        let help = "Connections closed before their first request.";
        Ok(Self {
            active: added(
                r,
                IntGauge::new(CONNECTIONS_ACTIVE, "Connections open now.")?,
            )?,
            accepted: added(r, IntCounter::new(CONNECTIONS, "Connections accepted.")?)?,
            refused: counters(r, CONNECTIONS_REFUSED, help, &["reason"])?,
        })
    }
}

/// Metrics of the configuration.
#[derive(Debug, Clone)]
pub struct Reloads {
    success: IntCounter,
    failure: IntCounter,
    last: IntGauge,
}

impl Reloads {
    /// A configuration took effect at `now`.
    pub fn succeeded(&self, now: SystemTime) {
        self.success.inc();
        let since = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        self.last
            .set(i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
    }

    /// A configuration was refused.
    pub fn failed(&self) {
        self.failure.inc();
    }

    fn register(r: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            success: added(
                r,
                IntCounter::new(RELOAD_SUCCESS, "Reloads that took effect.")?,
            )?,
            failure: added(
                r,
                IntCounter::new(RELOAD_FAILURE, "Reloads that were refused.")?,
            )?,
            last: added(
                r,
                IntGauge::new(RELOAD_TIME, "Time of the last good reload.")?,
            )?,
        })
    }
}

/// Metrics of both logs.
#[derive(Debug, Clone)]
pub struct RecordCounters {
    pub(crate) record: SinkCounters,
    pub(crate) access: SinkCounters,
    pub(crate) rules: SinkCounters,
    pub(crate) queue_full: IntCounter,
}

impl RecordCounters {
    /// Counters that no registry shows, for tests and commands without metrics.
    ///
    /// # Panics
    /// Never: the names are valid.
    #[must_use]
    pub fn unregistered() -> Self {
        Self {
            record: SinkCounters::unregistered(),
            access: SinkCounters::unregistered(),
            rules: SinkCounters::unregistered(),
            queue_full: unregistered(),
        }
    }

    fn register(r: &Registry) -> Result<Self, prometheus::Error> {
        let written = counters(r, RECORDS_WRITTEN, "Lines written.", &["log"])?;
        let dropped = counters(r, RECORDS_DROPPED, "Lines lost.", &["log", "reason"])?;
        let errors = counters(r, RECORD_ERRORS, "Failed writes.", &["log"])?;
        let sink = |log| SinkCounters {
            written: written.with_label_values(&[log]),
            dropped: dropped.with_label_values(&[log, "sink"]),
            errors: errors.with_label_values(&[log]),
        };
        Ok(Self {
            record: sink("decision"),
            access: sink("access"),
            rules: sink("rules"),
            queue_full: dropped.with_label_values(&["decision", "queue"]),
        })
    }
}

/// Metrics of one sink.
#[derive(Debug, Clone)]
pub(crate) struct SinkCounters {
    pub(crate) written: IntCounter,
    pub(crate) dropped: IntCounter,
    pub(crate) errors: IntCounter,
}

impl SinkCounters {
    pub(crate) fn unregistered() -> Self {
        Self {
            written: unregistered(),
            dropped: unregistered(),
            errors: unregistered(),
        }
    }
}

/// Label values seen so far: the first `limit` keep their name.
#[derive(Debug)]
struct Known {
    limit: usize,
    seen: Mutex<HashSet<String>>,
}

impl Known {
    fn up_to(limit: usize) -> Self {
        Self {
            limit,
            seen: Mutex::default(),
        }
    }

    fn admit<'a>(&self, name: &'a str) -> &'a str {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.contains(name) {
            return name;
        }
        if seen.len() >= self.limit {
            return OTHER;
        }
        seen.insert(name.to_owned());
        name
    }
}

fn counters(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntCounterVec, prometheus::Error> {
    added(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
}

fn gauges(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntGaugeVec, prometheus::Error> {
    added(registry, IntGaugeVec::new(Opts::new(name, help), labels)?)
}

fn histograms(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<HistogramVec, prometheus::Error> {
    let opts = HistogramOpts::new(name, help).buckets(BUCKETS.to_vec());
    added(registry, HistogramVec::new(opts, labels)?)
}

fn added<C: Collector + Clone + 'static>(
    registry: &Registry,
    collector: C,
) -> Result<C, prometheus::Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

#[expect(
    clippy::expect_used,
    reason = "a valid constant name is the only condition"
)]
fn unregistered() -> IntCounter {
    IntCounter::new("unregistered", "Not shown.").expect("the name is valid")
}

/// From the cost of a cheap layer to that of a slow upstream.
const BUCKETS: [f64; 14] = [
    0.000_01, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5,
    1.0, 10.0,
];
/// Classes of status; the index is the first digit.
const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];
/// Label of what exceeds a bound.
const OTHER: &str = "other";
/// Routes with series of their own; each has about thirty.
const MAX_ROUTES: usize = 1000;
/// Rules with a series of their own.
const MAX_RULES: usize = 5000;
/// Upstream groups with series of their own.
const MAX_UPSTREAMS: usize = 1000;

#[cfg(test)]
mod tests;
