//! What is known of every certificate, for people and for metrics.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::failure::Failure;
use super::settings::Certificate;
use super::spec::Challenge;

/// The state of one certificate. Times are Unix seconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct CertificateStatus {
    /// Names its files in the state folder.
    pub id: String,
    /// The names it certifies.
    pub names: Vec<String>,
    /// The account that orders it.
    pub account: String,
    /// How control of the names is proven.
    pub challenge: &'static str,
    /// The kind of its key.
    pub key: &'static str,
    /// Ordered because a client asked for it.
    pub on_demand: bool,
    /// When it was last issued.
    pub last_success: Option<u64>,
    /// When it ends.
    pub not_after: Option<u64>,
    /// When it is ordered next.
    pub next_attempt: Option<u64>,
    /// Who decided that: `authority` (RFC 9773), `lifetime`, `failure`, `limit`, or `leader` while
    /// another instance orders.
    pub decided_by: &'static str,
    /// Failed orders in a row.
    pub failures: u32,
    /// Failed orders since the start of the process.
    pub failures_total: u64,
    /// Certificates that were issued since the start of the process.
    pub issued_total: u64,
    /// Why the last order failed; `None` once one succeeds.
    pub last_failure: Option<Failure>,
}

/// Every certificate.
#[derive(Debug, Default)]
pub(crate) struct Board(Mutex<BTreeMap<String, CertificateStatus>>);

impl Board {
    pub(crate) fn add(&self, certificate: &Certificate) {
        self.with(|board| {
            let status = board.entry(certificate.id.clone()).or_default();
            status.id.clone_from(&certificate.id);
            status.names.clone_from(&certificate.names);
            status.account.clone_from(&certificate.account.name);
            status.challenge = match certificate.proof.kind() {
                Challenge::Http01 => "http-01",
                Challenge::TlsAlpn01 => "tls-alpn-01",
                Challenge::Dns01 => "dns-01",
            };
            status.key = certificate.key.name();
            status.on_demand = certificate.on_demand;
        });
    }

    pub(crate) fn remove(&self, id: &str) {
        self.with(|board| board.remove(id));
    }

    pub(crate) fn update(&self, id: &str, change: impl FnOnce(&mut CertificateStatus)) {
        self.with(|board| board.get_mut(id).map(change));
    }

    pub(crate) fn all(&self) -> Vec<CertificateStatus> {
        self.with(|board| board.values().cloned().collect())
    }

    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<String, CertificateStatus>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Unix seconds.
pub(crate) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

pub(crate) fn time(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.min(253_402_300_799))
}
