//! Metrics of certificates that are ordered by ACME, written anew each time they are read.

use prometheus::{IntCounterVec, IntGaugeVec, Registry};

use super::{
    ACME_FAILURES, ACME_ISSUED, ACME_LAST_SUCCESS, ACME_NEXT_ORDER, ACME_NOT_AFTER, counters,
    gauges,
};

/// One certificate; times are Unix seconds.
#[derive(Debug, Clone, Default)]
pub struct AcmeRow {
    /// Names it.
    pub id: String,
    /// When it was last issued.
    pub last_success: Option<u64>,
    /// When it is ordered next.
    pub next_order: Option<u64>,
    /// When it ends.
    pub not_after: Option<u64>,
    /// Orders that failed.
    pub failures: u64,
    /// Certificates that were issued.
    pub issued: u64,
}

/// By certificate; those beyond a bound have no series of their own.
#[derive(Debug)]
pub struct AcmeMetrics {
    last_success: IntGaugeVec,
    next_order: IntGaugeVec,
    not_after: IntGaugeVec,
    failures: IntCounterVec,
    issued: IntCounterVec,
}

impl AcmeMetrics {
    pub(super) fn register(r: &Registry) -> Result<Self, prometheus::Error> {
        let label = &["certificate"];
        Ok(Self {
            last_success: gauges(
                r,
                ACME_LAST_SUCCESS,
                "When a certificate was last issued by ACME.",
                label,
            )?,
            next_order: gauges(
                r,
                ACME_NEXT_ORDER,
                "When a certificate is ordered next.",
                label,
            )?,
            not_after: gauges(r, ACME_NOT_AFTER, "When a certificate of ACME ends.", label)?,
            failures: counters(r, ACME_FAILURES, "Orders by ACME that failed.", label)?,
            issued: counters(
                r,
                ACME_ISSUED,
                "Certificates that were issued by ACME.",
                label,
            )?,
        })
    }

    /// Shows exactly these certificates.
    pub fn show(&self, rows: &[AcmeRow]) {
        self.last_success.reset();
        self.next_order.reset();
        self.not_after.reset();
        self.failures.reset();
        self.issued.reset();
        for row in rows.iter().take(MAX_CERTIFICATES) {
            let label = &[row.id.as_str()];
            for (gauge, value) in [
                (&self.last_success, row.last_success),
                (&self.next_order, row.next_order),
                (&self.not_after, row.not_after),
            ] {
                if let Some(value) = value {
                    let value = i64::try_from(value).unwrap_or(i64::MAX);
                    gauge.with_label_values(label).set(value);
                }
            }
            self.failures.with_label_values(label).inc_by(row.failures);
            self.issued.with_label_values(label).inc_by(row.issued);
        }
    }
}

const MAX_CERTIFICATES: usize = 1000;
