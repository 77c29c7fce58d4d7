//! What every worker thread shares: the running configuration, the recorder, the metrics.
//!
//! The configuration is one `Arc` behind an atomic swap, taken once for each request; nothing here
//! locks on the request path.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use edge_audit::{Metrics, Recorder};
use edge_core::{Connection, Decision, Exchange, Layer, Refusal, RequestId, Verdict};
use edge_conn::{GateRefusal, Observer};

use crate::assemble::Gateway;

/// Shared by all workers for the life of the process.
pub(crate) struct Shared {
    current: ArcSwap<Gateway>,
    recorder: Recorder,
    metrics: Metrics,
    /// Upper half of every request's name: random, so that names of two processes never meet.
    process: u64,
    requests: AtomicU64,
}

impl Shared {
    /// Starts with `gateway`.
    ///
    /// # Errors
    /// The system has no randomness to give.
    pub(crate) fn new(
        gateway: Gateway,
        recorder: Recorder,
        metrics: Metrics,
    ) -> Result<Self, getrandom::Error> {
        Ok(Self {
            current: ArcSwap::from_pointee(gateway),
            recorder,
            metrics,
            process: getrandom::u64()?,
            requests: AtomicU64::new(0),
        })
    }

    /// The configuration of this moment; a request keeps the one it began with.
    pub(crate) fn gateway(&self) -> Arc<Gateway> {
        self.current.load_full()
    }

    /// Swaps the configuration; requests in flight finish on the old one.
    pub(crate) fn replace(&self, gateway: Gateway) {
        self.current.store(Arc::new(gateway));
    }

    /// A name for the next exchange.
    pub(crate) fn next_id(&self) -> RequestId {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        RequestId::new((u128::from(self.process) << 64) | u128::from(number))
    }

    /// Counts and records a finished exchange.
    pub(crate) fn record(&self, exchange: Box<Exchange>) {
        self.metrics.count(&exchange);
        self.recorder.record(exchange);
    }

    /// The recorder, to be reopened or flushed.
    pub(crate) const fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// The metrics.
    pub(crate) const fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}
