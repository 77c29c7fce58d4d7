//! What every worker thread shares: the running configuration, the recorder, the metrics.
//!
//! The configuration is one `Arc` behind an atomic swap, taken once for each request; nothing here
//! locks on the request path.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use arc_swap::ArcSwap;
use edge_audit::{Metrics, Recorder};
use edge_conn::{GateRefusal, HandshakeFault, Observer, TurnedAway};
use edge_core::{Connection, Decision, Exchange, Layer, Refusal, RequestId, Verdict};
use edge_tls::Terminator;
use edge_tls::acme::Challenges;

use crate::assemble::{Gateway, RouteState};
use crate::pipeline;
use crate::stages::waf::Inspection;

/// Shared by all workers for the life of the process.
pub(crate) struct Shared {
    current: ArcSwap<Gateway>,
    tls: Arc<Terminator>,
    recorder: Recorder,
    metrics: Arc<Metrics>,
    /// Proofs that certificate authorities ask for right now.
    challenges: Arc<Challenges>,
    /// Upper half of every request's name: random, so that names of two processes never meet.
    process: u64,
    requests: AtomicU64,
    /// Whether the drain is over and what is left is being cut.
    aborting: AtomicBool,
    /// Requests the end of the drain cut.
    cut: AtomicU64,
}

impl Shared {
    /// Starts with `gateway`.
    ///
    /// # Errors
    /// The system has no randomness to give.
    pub(crate) fn new(
        gateway: Gateway,
        tls: Arc<Terminator>,
        recorder: Recorder,
        metrics: Arc<Metrics>,
        challenges: Arc<Challenges>,
    ) -> Result<Self, getrandom::Error> {
        Ok(Self {
            current: ArcSwap::from_pointee(gateway),
            tls,
            recorder,
            metrics,
            challenges,
            process: getrandom::u64()?,
            requests: AtomicU64::new(0),
            aborting: AtomicBool::new(false),
            cut: AtomicU64::new(0),
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

    /// Proofs that certificate authorities ask for right now.
    pub(crate) const fn challenges(&self) -> &Arc<Challenges> {
        &self.challenges
    }

    /// Certificates and TLS policies of this moment.
    pub(crate) const fn tls(&self) -> &Arc<Terminator> {
        &self.tls
    }

    /// Brings gauges that follow the clock or the certificates up to date, before they are read.
    pub(crate) fn refresh_gauges(&self) {
        self.gateway().refresh_gauges();
        let ends = self.tls.expiries();
        self.metrics.tls.certificates(ends.iter().map(|end| {
            let since = end.not_after.duration_since(UNIX_EPOCH).unwrap_or_default();
            let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
            (&*end.name, end.key, seconds)
        }));
    }

    /// A name for the next exchange.
    pub(crate) fn next_id(&self) -> RequestId {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        RequestId::new((u128::from(self.process) << 64) | u128::from(number))
    }

    /// Phase 5 of an exchange that is over, and its audit entry; `headers` are those that were sent
    /// to the client.
    pub(crate) fn conclude(
        &self,
        gateway: &Gateway,
        inspection: &mut Inspection,
        exchange: &mut Exchange,
        headers: &[(&[u8], &[u8])],
    ) {
        inspection.finish(exchange);
        if !inspection.audits() {
            return;
        }
        let audit = gateway.audit();
        if let Some(entry) = audit.entry(inspection, exchange, headers) {
            self.recorder.audit(entry);
        }
    }

    /// Counts and records a finished exchange; `gateway` is the configuration it began with.
    pub(crate) fn record(
        &self,
        gateway: &Gateway,
        route: Option<&RouteState>,
        exchange: Box<Exchange>,
    ) {
        gateway.observe(&exchange, route);
        self.recorder.record(exchange);
    }

    /// Says that requests which are cut from now on are cut by the end of the drain.
    pub(crate) fn abort(&self) {
        self.aborting.store(true, Ordering::Relaxed);
    }

    /// Counts a request that is cut, and says why it is.
    pub(crate) fn cut(&self) -> &'static str {
        if self.aborting.load(Ordering::Relaxed) {
            self.cut.fetch_add(1, Ordering::Relaxed);
            "drain deadline"
        } else {
            "cancelled"
        }
    }

    /// How many requests the end of the drain cut.
    pub(crate) fn cut_count(&self) -> u64 {
        self.cut.load(Ordering::Relaxed)
    }

    /// The recorder, to be reopened or flushed.
    pub(crate) const fn recorder(&self) -> &Recorder {
        &self.recorder
    }
}

impl Observer for Shared {
    fn refused(&self, refusal: GateRefusal) {
        let GateRefusal {
            connection,
            head,
            status,
            reason,
            ..
        } = refusal;
        let mut exchange = Box::new(Exchange::new(self.next_id(), connection, head));
        exchange.response_status = Some(status);
        exchange.decision = Some(Decision {
            layer: Layer::Gate,
            verdict: Verdict::Respond(Refusal::new(status, reason.name())),
            enforced: true,
        });
        let gateway = self.gateway();
        if let Some(mut inspection) = pipeline::witness(&gateway, &mut exchange, false) {
            self.conclude(&gateway, &mut inspection, &mut exchange, &[]);
        }
        self.record(&gateway, None, exchange);
    }

    fn turned_away(&self, _peer: SocketAddr, why: TurnedAway) {
        self.metrics.connections.refused(why.name()).inc();
    }

    fn handshake_failed(&self, _client: SocketAddr, why: HandshakeFault) {
        self.metrics.connections.refused("tls_handshake").inc();
        self.metrics.tls.failed(why.name());
    }

    fn opened(&self, connection: &Connection) {
        if let Some(tls) = &connection.tls {
            self.metrics.tls.succeeded(tls.version);
        }
        self.metrics.connections.accepted.inc();
        self.metrics.connections.active.inc();
    }

    fn closed(&self, _connection: &Connection) {
        self.metrics.connections.active.dec();
    }

    fn accept_failed(&self, _error: &io::Error) {
        self.metrics.connections.refused("accept_failed").inc();
    }
}
