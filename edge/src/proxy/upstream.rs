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

/// Picks a server of the route's group, for pingora.
pub(super) async fn choose(session: &mut Session, ctx: &mut Context) -> Result<Box<HttpPeer>> {
    let Some(route) = ctx.route.clone() else {
        return Err(none(500));
    };
    let state = &route.upstream;
    let upgrade = session.as_downstream().is_upgrade_req();
    if begin(ctx) {
        if let Some(gate) = state.group.gate() {
            ctx.trying.entry = gate.enter().await;
            if ctx.trying.entry.is_none() {
                ctx.refusal = Some(refuse(NoServer::Busy, state));
                return Err(none(503));
            }
        }
        if !upgrade {
            clock(session, ctx, state);
        }
    }
    rest(ctx).await;
    if ctx
        .trying
        .until
        .all
        .is_some_and(|end| end <= Instant::now())
    {
        state.metrics.total.inc();
        return Err(Error::explain(TOTAL, "no time for another try"));
    }
    pick(ctx).map_err(none)?;
    let (Some(permit), Some(lease), Some(now)) = (&ctx.permit, &ctx.lease, ctx.sent) else {
        return Err(none(500));
    };
    let mut peer = peer_for(permit, lease, state)?;
    if upgrade {
        // A tunnel may be silent for long; the listener's `tunnel_idle` ends it.
        peer.options.read_timeout = None;
        peer.options.write_timeout = None;
    } else {
        limit_time(&mut peer, ctx, now, state);
    }
    Ok(Box::new(peer))
}

/// Before the first try: what the request would like. False if it began before.
pub(crate) fn begin(ctx: &mut Context) -> bool {
    if ctx.trying.began.is_some() {
        return false;
    }
    ctx.trying.began = Some(Instant::now());
    if let (Some(route), Some(exchange)) = (&ctx.route, &ctx.exchange) {
        ctx.trying.wish = Wish::of(exchange, route.upstream.group.upstream());
    }
    true
}

/// Waits before another try, if that was decided.
pub(crate) async fn rest(ctx: &mut Context) {
    let pause = std::mem::take(&mut ctx.trying.pause);
    if !pause.is_zero() {
        tokio::time::sleep(pause).await;
    }
}

/// Leases a server for the next try.
///
/// # Errors
/// The status that says why there is none: 503, or 500 without a permit; the context holds the refusal.
pub(crate) fn pick(ctx: &mut Context) -> std::result::Result<(), u16> {
    let (Some(_), Some(route), Some(exchange)) = (&ctx.permit, &ctx.route, &mut ctx.exchange)
    else {
        return Err(500);
    };
    let (now, state) = (Instant::now(), &route.upstream);
    let lease = state.group.pick(now, &ctx.trying.wish, ctx.lease.take());
    let lease = lease.map_err(|why| {
        ctx.refusal = Some(refuse(why, state));
        503_u16
    })?;
    exchange.attempts += 1;
    exchange.upstream = Some(lease.address().to_string());
    ctx.forwarded = 0;
    ctx.sent = Some(now);
    ctx.lease = Some(lease);
    Ok(())
}

/// Starts the clock of all tries.
fn clock(session: &mut Session, ctx: &mut Context, state: &UpstreamState) {
    let upstream = state.group.upstream();
    let total = upstream.timeouts().total;
    if total.is_some() || upstream.retries().per_try.is_some() {
        ctx.trying.until.all = total.map(|total| Instant::now() + total);
        ctx.intercept
            .get_or_insert_with(|| Handle::install(&mut session.downstream_session, None));
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
fn refuse(why: NoServer, state: &UpstreamState) -> Refusal {
    state.metrics.refused(match why {
        NoServer::NoAddress => "no_address",
        NoServer::AllDown => "all_down",
        NoServer::Busy => "limit",
    });
    let after = state.group.upstream().limits().retry_after;
    Refusal {
        retry_after: Some(after.as_secs()).filter(|seconds| *seconds > 0),
        ..Refusal::new(503, why.to_string())
    }
}

fn none(status: u16) -> Box<Error> {
    Error::explain(ErrorType::HTTPStatus(status), "no upstream server")
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
        peer.options.idle_timeout = Some(SHORTEST);
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
/// pingora's clock does not take a timeout of 0.
const SHORTEST: Duration = Duration::from_millis(1);
