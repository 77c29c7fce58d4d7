//! Metrics of TLS: handshakes, and when certificates end.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};

use super::{added, counters, gauges};

/// TLS handshakes by version and outcome (`ok`, or why they failed).
pub const TLS_HANDSHAKES: &str = "palisade_tls_handshakes_total";
/// Unix time at which a certificate ends, for those that end first.
pub const TLS_NOT_AFTER: &str = "palisade_tls_certificate_not_after_seconds";
/// Certificates that are served.
pub const TLS_CERTIFICATES: &str = "palisade_tls_certificates";

/// Metrics of TLS.
#[derive(Debug, Clone)]
pub struct TlsMetrics {
    handshakes: IntCounterVec,
    tls12: IntCounter,
    tls13: IntCounter,
    not_after: IntGaugeVec,
    certificates: IntGauge,
    shown: Arc<Mutex<BTreeSet<[String; 2]>>>,
}

impl TlsMetrics {
    pub(super) fn register(r: &Registry) -> Result<Self, prometheus::Error> {
        let labels = ["version", "outcome"];
        let handshakes = counters(r, TLS_HANDSHAKES, "TLS handshakes.", &labels)?;
        let help = "Unix time at which a certificate ends, for those that end first.";
        Ok(Self {
            tls12: handshakes.with_label_values(&["TLSv1.2", "ok"]),
            tls13: handshakes.with_label_values(&["TLSv1.3", "ok"]),
            handshakes,
            not_after: gauges(r, TLS_NOT_AFTER, help, &["name", "key"])?,
            certificates: added(
                r,
                IntGauge::new(TLS_CERTIFICATES, "Certificates that are served.")?,
            )?,
            shown: Arc::default(),
        })
    }

    /// Counts a handshake that succeeded.
    pub fn succeeded(&self, version: &str) {
        match version {
            "TLSv1.2" => self.tls12.inc(),
            _ => self.tls13.inc(),
        }
    }

    /// Counts a handshake that failed because of `outcome`, a word of the program.
    pub fn failed(&self, outcome: &'static str) {
        self.handshakes.with_label_values(&["none", outcome]).inc();
    }

    /// Shows when certificates end: name, kind of key and Unix time each, the first to end first. Only
    /// the first of them have series of their own; those that are gone lose theirs.
    pub fn certificates<'a>(&self, ends: impl ExactSizeIterator<Item = (&'a str, &'a str, i64)>) {
        self.certificates
            .set(i64::try_from(ends.len()).unwrap_or(i64::MAX));
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let mut now = BTreeSet::new();
        for (name, key, end) in ends.take(MAX_CERTIFICATES) {
            // Of several with one name, the first to end counts.
            if now.insert([name.to_owned(), key.to_owned()]) {
                self.not_after.with_label_values(&[name, key]).set(end);
            }
        }
        for [name, key] in shown.difference(&now) {
            let _ = self.not_after.remove_label_values(&[name, key]);
        }
        *shown = now;
    }
}

/// Certificates with a series of their own.
const MAX_CERTIFICATES: usize = 500;
