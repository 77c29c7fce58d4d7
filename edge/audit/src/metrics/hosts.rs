//! Figures per host: requests by class of status, time, bytes.
//!
//! Only hosts that routes name have figures, a wildcard under its pattern; what fits none, and what
//! exceeds the bound, is counted under `other`. A request adds to a few atomics.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use edge_core::Exchange;
use serde::Serialize;

use super::{CLASSES, OTHER};

/// Answers by host and class of status.
pub const HOST_RESPONSES: &str = "palisade_host_responses_total";
/// Time from the complete head to the last byte sent, by host.
pub const HOST_SECONDS: &str = "palisade_host_request_seconds";
/// Body bytes by host and direction (`in`, `out`).
pub const HOST_BYTES: &str = "palisade_host_bytes_total";

/// Upper ends of the buckets of time, in microseconds, and as they are written.
const BUCKETS: [(u64, &str); 7] = [
    (1_000, "0.001"),
    (5_000, "0.005"),
    (25_000, "0.025"),
    (100_000, "0.1"),
    (500_000, "0.5"),
    (2_500_000, "2.5"),
    (10_000_000, "10"),
];

/// Counters of one host.
#[derive(Debug, Default)]
pub struct HostFigures {
    classes: [AtomicU64; CLASSES.len()],
    /// Not cumulative; the last one takes what is slower than all.
    times: [AtomicU64; BUCKETS.len() + 1],
    micros: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

impl HostFigures {
    /// Counts a finished exchange.
    pub fn observe(&self, exchange: &Exchange) {
        let class = exchange.response_status.map_or(0, |status| status / 100);
        let class = self.classes.get(usize::from(class));
        add(class.or(self.classes.first()), 1);
        let micros = exchange.timings.total.as_micros();
        let micros = u64::try_from(micros).unwrap_or(u64::MAX);
        let bucket = BUCKETS.partition_point(|(end, _)| *end < micros);
        add(self.times.get(bucket), 1);
        add(Some(&self.micros), micros);
        add(Some(&self.bytes_in), exchange.bytes_in);
        add(Some(&self.bytes_out), exchange.bytes_out);
    }

    fn summary(&self, host: &str) -> HostSummary {
        let classes = self.classes.each_ref().map(read);
        let requests: u64 = classes.iter().sum();
        let failed = classes.last().copied().unwrap_or_default()
            + classes.first().copied().unwrap_or_default();
        let micros = read(&self.micros);
        HostSummary {
            host: host.to_owned(),
            requests,
            responses: CLASSES.into_iter().zip(classes).collect(),
            success_rate: share(requests - failed, requests),
            mean_seconds: share(micros, requests) / 1e6,
            p50_seconds: self.quantile(50),
            p99_seconds: self.quantile(99),
            bytes_in: read(&self.bytes_in),
            bytes_out: read(&self.bytes_out),
        }
    }

    /// The upper end of the bucket that holds this share of the requests, in seconds.
    fn quantile(&self, percent: u64) -> f64 {
        let times = self.times.each_ref().map(read);
        let all: u64 = times.iter().sum();
        let wanted = (all * percent).div_ceil(100);
        let mut sum = 0;
        for (count, (end, _)) in times.iter().zip(BUCKETS) {
            sum += count;
            if sum >= wanted {
                return if all == 0 { 0.0 } else { share(end, 1_000_000) };
            }
        }
        f64::INFINITY
    }
}

/// What is told of one host.
#[derive(Debug, Clone, Serialize)]
pub struct HostSummary {
    /// As routes name it, or `other`.
    pub host: String,
    /// Finished exchanges.
    pub requests: u64,
    /// By class of status; `none` got no answer.
    pub responses: std::collections::BTreeMap<&'static str, u64>,
    /// The share that was answered, and not with 5xx; 0 if there was no request.
    pub success_rate: f64,
    /// Mean time of an exchange.
    pub mean_seconds: f64,
    /// The middle one is no slower (upper end of its bucket).
    pub p50_seconds: f64,
    /// 99 of 100 are no slower.
    pub p99_seconds: f64,
    /// Request body bytes.
    pub bytes_in: u64,
    /// Response body bytes.
    pub bytes_out: u64,
}

/// What hosts are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HostOrder {
    /// By name.
    #[default]
    Host,
    /// Most requests first.
    Requests,
    /// Most failures first.
    Errors,
    /// Most bytes sent first.
    Bytes,
    /// The slowest on average first.
    Time,
}

/// The figures of all hosts.
#[derive(Debug, Default)]
pub struct Hosts {
    /// Locked when a configuration is built and when figures are read, never by a request.
    known: Mutex<HashMap<Arc<str>, Arc<HostFigures>>>,
    other: Arc<HostFigures>,
}

impl Hosts {
    /// The figures of `host`, to be kept with its route: its own, or `other` if there are `limit`
    /// already. Figures of hosts that are gone make room.
    #[must_use]
    pub fn admit(&self, host: &str, limit: usize) -> Arc<HostFigures> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(figures) = known.get(host) {
            return Arc::clone(figures);
        }
        if known.len() >= limit {
            return Arc::clone(&self.other);
        }
        let figures = Arc::new(HostFigures::default());
        known.insert(host.into(), Arc::clone(&figures));
        figures
    }

    /// Forgets hosts that no configuration names any more.
    pub fn prune(&self) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, figures| Arc::strong_count(figures) > 1);
    }

    /// The figures of what fits no host.
    #[must_use]
    pub const fn other(&self) -> &Arc<HostFigures> {
        &self.other
    }

    fn all(&self) -> Vec<(Arc<str>, Arc<HostFigures>)> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = known
            .iter()
            .map(|(host, figures)| (Arc::clone(host), Arc::clone(figures)))
            .collect();
        drop(known);
        all.push((OTHER.into(), Arc::clone(&self.other)));
        all
    }

    /// Hosts whose name contains `text`, in `order`: how many there are, and `count` of them after
    /// `skip`.
    #[must_use]
    pub fn page(
        &self,
        text: &str,
        order: HostOrder,
        skip: usize,
        count: usize,
    ) -> (usize, Vec<HostSummary>) {
        let all = self.all();
        let fitting = all.iter().filter(|(host, _)| host.contains(text));
        let mut hosts: Vec<HostSummary> = fitting
            .map(|(host, figures)| figures.summary(host))
            .collect();
        hosts.sort_by(|a, b| {
            let errors = |host: &HostSummary| {
                let none = host.responses.get("none").copied().unwrap_or_default();
                none + host.responses.get("5xx").copied().unwrap_or_default()
            };
            let order = match order {
                HostOrder::Host => std::cmp::Ordering::Equal,
                HostOrder::Requests => b.requests.cmp(&a.requests),
                HostOrder::Errors => errors(b).cmp(&errors(a)),
                HostOrder::Bytes => b.bytes_out.cmp(&a.bytes_out),
                HostOrder::Time => b.mean_seconds.total_cmp(&a.mean_seconds),
            };
            order.then_with(|| a.host.cmp(&b.host))
        });
        let total = hosts.len();
        (total, hosts.into_iter().skip(skip).take(count).collect())
    }

    /// Hosts with at least one request, in Prometheus's text format.
    pub(super) fn text(&self, out: &mut String) {
        let all = self.all();
        let used = |(_, figures): &&(Arc<str>, Arc<HostFigures>)| {
            figures.classes.iter().any(|count| read(count) > 0)
        };
        let used: Vec<_> = all.iter().filter(used).collect();
        if used.is_empty() {
            return;
        }
        let _ = writeln!(
            out,
            "# HELP {HOST_RESPONSES} Answers by host and class of status.\n# TYPE {HOST_RESPONSES} counter"
        );
        for (host, figures) in &used {
            for (class, count) in CLASSES.into_iter().zip(&figures.classes) {
                let count = read(count);
                if count > 0 {
                    let _ = writeln!(
                        out,
                        "{HOST_RESPONSES}{{host=\"{host}\",class=\"{class}\"}} {count}"
                    );
                }
            }
        }
        let _ = writeln!(
            out,
            "# HELP {HOST_BYTES} Body bytes by host.\n# TYPE {HOST_BYTES} counter"
        );
        for (host, figures) in &used {
            let (bytes_in, bytes_out) = (read(&figures.bytes_in), read(&figures.bytes_out));
            let _ = writeln!(
                out,
                "{HOST_BYTES}{{host=\"{host}\",direction=\"in\"}} {bytes_in}\n\
                 {HOST_BYTES}{{host=\"{host}\",direction=\"out\"}} {bytes_out}"
            );
        }
        let _ = writeln!(
            out,
            "# HELP {HOST_SECONDS} Time of an exchange by host.\n# TYPE {HOST_SECONDS} histogram"
        );
        for (host, figures) in &used {
            let mut sum = 0;
            let ends = BUCKETS.iter().map(|(_, text)| *text).chain(["+Inf"]);
            for (end, count) in ends.zip(&figures.times) {
                sum += read(count);
                let _ = writeln!(
                    out,
                    "{HOST_SECONDS}_bucket{{host=\"{host}\",le=\"{end}\"}} {sum}"
                );
            }
            let seconds = share(read(&figures.micros), 1_000_000);
            let _ = writeln!(
                out,
                "{HOST_SECONDS}_sum{{host=\"{host}\"}} {seconds}\n{HOST_SECONDS}_count{{host=\"{host}\"}} {sum}"
            );
        }
    }
}

fn add(counter: Option<&AtomicU64>, number: u64) {
    if let Some(counter) = counter {
        counter.fetch_add(number, Ordering::Relaxed);
    }
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

#[expect(clippy::cast_precision_loss, reason = "shown to people and plotted")]
fn share(part: u64, of: u64) -> f64 {
    if of == 0 {
        return 0.0;
    }
    part as f64 / of as f64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::record::tests::exchange;

    fn finished(status: u16, millis: u64) -> Exchange {
        let mut exchange = exchange();
        exchange.response_status = Some(status);
        exchange.timings.total = Duration::from_millis(millis);
        (exchange.bytes_in, exchange.bytes_out) = (10, 1000);
        exchange
    }

    #[test]
    fn a_host_has_requests_success_time_and_bytes() {
        let hosts = Hosts::default();
        let shop = hosts.admit("shop.example", 10);
        for _ in 0..98 {
            shop.observe(&finished(200, 3));
        }
        shop.observe(&finished(503, 200));
        shop.observe(&finished(404, 200));
        let (total, page) = hosts.page("shop", HostOrder::Requests, 0, 10);
        assert_eq!((total, page[0].requests), (1, 100));
        assert!((page[0].success_rate - 0.99).abs() < 1e-9);
        assert_eq!((page[0].bytes_in, page[0].bytes_out), (1000, 100_000));
        assert!((page[0].p50_seconds - 0.005).abs() < 1e-9);
        assert!((page[0].p99_seconds - 0.5).abs() < 1e-9);
        let mut text = String::new();
        hosts.text(&mut text);
        for line in [
            "palisade_host_responses_total{host=\"shop.example\",class=\"5xx\"} 1",
            "palisade_host_bytes_total{host=\"shop.example\",direction=\"out\"} 100000",
            "palisade_host_request_seconds_bucket{host=\"shop.example\",le=\"0.005\"} 98",
            "palisade_host_request_seconds_bucket{host=\"shop.example\",le=\"+Inf\"} 100",
            "palisade_host_request_seconds_count{host=\"shop.example\"} 100",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(!text.contains("other"), "no request, no series");
    }

    #[test]
    fn what_exceeds_the_bound_is_other_and_hosts_that_are_gone_make_room() {
        let hosts = Hosts::default();
        let kept: Vec<_> = (0..3)
            .map(|n| hosts.admit(&format!("h{n}.example"), 2))
            .collect();
        assert!(Arc::ptr_eq(&kept[2], hosts.other()));
        assert!(Arc::ptr_eq(&kept[0], &hosts.admit("h0.example", 2)));
        drop(kept);
        hosts.prune();
        assert!(!Arc::ptr_eq(&hosts.admit("h9.example", 2), hosts.other()));
    }
}
