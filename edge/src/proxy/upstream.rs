//! Chooses the server for a request and says how it is reached.
//!
//! Needs the pipeline's permit. What a failure means is decided in `retry.rs`.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use edge_core::{Permit, Refusal};
use http::header;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};

use super::Context;
use super::intercept::{Handle, TOTAL, Until};
use crate::assemble::UpstreamState;
use crate::upstreams::{self, Entry, Lease, NoServer, Wish};

/// What all tries of a request have in common.
pub(super) struct Trying {
    /// Set with the first try.
    pub(super) began: Option<Instant>,
    wish: Wish,
    /// Its place in a group with a limit.
    entry: Option<Entry>,
    pub(super) until: Until,
    /// To be waited before the next try.
    pub(super) pause: Duration,
}

impl Trying {
    /// No try yet.
    pub(super) const NONE: Self = Self {
        began: None,
        wish: Wish::NONE,
        entry: None,
        until: Until::NONE,
        pause: Duration::ZERO,
    };
}

/// Picks a server of the route's group.
pub(super) async fn choose(session: &mut Session, ctx: &mut Context) -> Result<Box<HttpPeer>> {
    let (Some(permit), Some(route)) = (&ctx.permit, ctx.route.clone()) else {
        let why = "no permit for an upstream";
        return Err(Error::explain(ErrorType::HTTPStatus(500), why));
    };
    let state = &route.upstream;
    let group = &state.group;
    if ctx.trying.began.is_none() {
        if let Some(gate) = group.gate() {
            ctx.trying.entry = gate.enter().await;
            if ctx.trying.entry.is_none() {
                return Err(refuse(NoServer::Busy, state, &mut ctx.refusal));
            }
        }
        begin(
            session,
            &mut ctx.trying,
            &mut ctx.intercept,
            ctx.exchange.as_deref(),
            state,
        );
    } else if !ctx.trying.pause.is_zero() {
        tokio::time::sleep(std::mem::take(&mut ctx.trying.pause)).await;
    }
    let now = Instant::now();
    if ctx.trying.until.all.is_some_and(|end| end <= now) {
        state.metrics.total.inc();
        return Err(Error::explain(TOTAL, "no time for another try"));
    }
    let lease = group
        .pick(now, &ctx.trying.wish, ctx.lease.take())
        .map_err(|why| refuse(why, state, &mut ctx.refusal))?;
    let mut peer = peer_for(permit, &lease, state)?;
    if let Some(exchange) = &mut ctx.exchange {
        exchange.attempts += 1;
        exchange.upstream = Some(lease.address().to_string());
    }
    ctx.forwarded = 0;
    ctx.sent = Some(now);
    if session.as_downstream().is_upgrade_req() {
        // A tunnel may be silent for long; the listener's `tunnel_idle` ends it.
        peer.options.read_timeout = None;
        peer.options.write_timeout = None;
    } else {
        limit_time(&mut peer, ctx, now, state);
    }
    ctx.lease = Some(lease);
    Ok(Box::new(peer))
}

/// Before the first try: what the request would like, and how long all may take.
fn begin(
    session: &mut Session,
    trying: &mut Trying,
    intercept: &mut Option<Handle>,
    exchange: Option<&edge_core::Exchange>,
    state: &UpstreamState,
) {
    let upstream = state.group.upstream();
    let now = Instant::now();
    trying.began = Some(now);
    trying.wish = exchange.map_or(Wish::NONE, |exchange| Wish::of(exchange, upstream));
    let total = upstream.timeouts().total;
    let timed = total.is_some() || upstream.retries().per_try.is_some();
    if timed && !session.as_downstream().is_upgrade_req() {
        trying.until.all = total.map(|total| now + total);
        intercept.get_or_insert_with(|| Handle::install(&mut session.downstream_session, None));
    }
}

/// Starts the clocks of a try.
fn limit_time(peer: &mut HttpPeer, ctx: &mut Context, now: Instant, state: &UpstreamState) {
    let until = &mut ctx.trying.until;
    until.one = state
        .group
        .upstream()
        .retries()
        .per_try
        .map(|time| now + time);
    let first = [until.one, until.all].into_iter().flatten().min();
    let Some(first) = first else {
        return;
    };
    let left = first.saturating_duration_since(now).max(SHORTEST);
    let shorter = |time: Option<Duration>| Some(time.map_or(left, |time| time.min(left)));
    let options = &mut peer.options;
    options.connection_timeout = shorter(options.connection_timeout);
    options.total_connection_timeout = shorter(options.total_connection_timeout);
    if let Some(handle) = &ctx.intercept {
        handle.set_until(*until);
    }
}

/// Lets the client keep its server.
pub(super) fn stick(response: &mut ResponseHeader, ctx: &Context) -> Result<()> {
    let cookie = ctx.lease.as_ref().and_then(Lease::set_cookie);
    match cookie {
        Some(cookie) if !response.status.is_informational() => {
            response.append_header(header::SET_COOKIE, cookie)?;
            Ok(())
        }
        _ => Ok(()),
    }
}

/// No server for a request: 503, and when to come again.
fn refuse(why: NoServer, state: &UpstreamState, refusal: &mut Option<Refusal>) -> Box<Error> {
    state.metrics.refused(match why {
        NoServer::NoAddress => "no_address",
        NoServer::AllDown => "all_down",
        NoServer::Busy => "limit",
    });
    let after = state.group.upstream().limits().retry_after;
    *refusal = Some(Refusal {
        retry_after: Some(after.as_secs()).filter(|seconds| *seconds > 0),
        ..Refusal::new(503, why.to_string())
    });
    Error::explain(ErrorType::HTTPStatus(503), "no upstream server")
}

/// The only place that names a server to pingora for a request; whoever gets here has passed the
/// pipeline.
fn peer_for(_proof: &Permit, lease: &Lease, state: &UpstreamState) -> Result<HttpPeer> {
    let upstream = state.group.upstream();
    let material = state.group.material();
    let mut peer = upstreams::peer(
        lease.address(),
        lease.tls(),
        lease.name(),
        upstream,
        material,
    )?;
    peer.options.max_h2_streams = MAX_UPSTREAM_STREAMS;
    // How many connections stay open is decided by how long each may be idle: those that only a busy
    // time needed go soon after it.
    let busy = lease.endpoint().in_flight.load(Ordering::Relaxed) as usize;
    let keep = upstream.keepalive();
    if keep == 0 {
        peer.options.idle_timeout = Some(Duration::ZERO);
    } else if busy > keep {
        peer.options.idle_timeout = peer.options.idle_timeout.map(|idle| idle.min(AFTER_PEAK));
    }
    let connections = upstream.limits().connections_per_server;
    if connections > 0 {
        upstreams::limit_connections(&mut peer, lease.endpoint(), connections);
    }
    Ok(peer)
}

/// pingora opens a connection a request unless told otherwise.
const MAX_UPSTREAM_STREAMS: usize = 100;
/// How long connections beyond `keepalive.connections` stay.
const AFTER_PEAK: Duration = Duration::from_secs(1);
/// A timeout of 0 would be none.
const SHORTEST: Duration = Duration::from_millis(1);
