//! Chooses the server for a request and decides what a failure means.
//!
//! Needs the pipeline's permit. A connection failure may be retried on another server, because
//! nothing was sent; a failure after that only where the request is idempotent, the whole body can
//! be replayed and the connection was an old one that the server may just have closed.

use std::time::Instant;

use edge_core::{Exchange, Permit};
use pingora::proxy::Session;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType, Result};

use super::Context;
use crate::assemble::UpstreamState;
use crate::upstreams::Lease;

/// Picks a server of the route's group, for pingora.
pub(super) fn choose(session: &Session, ctx: &mut Context) -> Result<Box<HttpPeer>> {
    pick(ctx).map_err(|status| Error::explain(ErrorType::HTTPStatus(status), "no upstream"))?;
    let (Some(permit), Some(route), Some(lease)) = (&ctx.permit, &ctx.route, &ctx.lease) else {
        return Err(Error::explain(
            ErrorType::HTTPStatus(500),
            "no permit for an upstream",
        ));
    };
    let mut peer = peer_for(permit, lease, &route.upstream);
    if session.as_downstream().is_upgrade_req() {
        // A tunnel may be silent for long; the listener's `tunnel_idle` ends it.
        peer.options.read_timeout = None;
        peer.options.write_timeout = None;
    }
    Ok(Box::new(peer))
}

/// Leases a server for the next attempt.
///
/// # Errors
/// The status that says why there is none: 503, or 500 without a permit.
pub(crate) fn pick(ctx: &mut Context) -> Result<(), u16> {
    let (Some(_), Some(route), Some(exchange)) = (&ctx.permit, &ctx.route, &mut ctx.exchange)
    else {
        return Err(500);
    };
    let now = Instant::now();
    let lease = route.upstream.group.pick(now, ctx.lease.take());
    let lease = lease.ok_or(503_u16)?;
    exchange.attempts += 1;
    exchange.upstream = Some(lease.address().to_string());
    ctx.forwarded = 0;
    ctx.sent = Some(now);
    ctx.lease = Some(lease);
    Ok(())
}

/// A connection could not be made: try another server, within the budget.
pub(super) fn connect_failed(ctx: &mut Context, mut error: Box<Error>) -> Box<Error> {
    error.set_retry(unreachable(ctx));
    error
}

/// The leased server could not be reached; true if another one may be tried.
pub(crate) fn unreachable(ctx: &Context) -> bool {
    let (Some(lease), Some(route), Some(exchange)) = (&ctx.lease, &ctx.route, &ctx.exchange) else {
        return false;
    };
    let upstream = &route.upstream;
    upstream.metrics.connect_failed.inc();
    lease.failed(Instant::now());
    if exchange.attempts >= upstream.group.max_attempts() || !lease.has_alternative() {
        return false;
    }
    let allowed = upstream.group.may_retry(Instant::now());
    if !allowed {
        upstream.metrics.retries_denied.inc();
    }
    allowed
}

/// Something broke after the connection stood.
pub(super) fn exchange_failed(
    session: &Session,
    ctx: &mut Context,
    mut error: Box<Error>,
    reused: bool,
) -> Box<Error> {
    if *error.esource() == ErrorSource::Upstream {
        let late = matches!(
            error.etype(),
            ErrorType::ReadTimedout | ErrorType::WriteTimedout
        );
        broke(ctx, late);
    }
    let resend = reused
        && !session.as_downstream().retry_buffer_truncated()
        && session.response_written().is_none()
        && may_resend(ctx, session.req_header().method.as_str().as_bytes());
    if resend {
        error.retry.decide_reuse(true);
    } else {
        error.set_retry(false);
    }
    error
}

/// Counts a server that broke off, or was `late`. Only connections that cannot be made leave a server
/// out: a request that makes a server slow or crash must not let its sender take servers away from
/// everybody.
pub(crate) fn broke(ctx: &Context, late: bool) {
    if let Some(route) = &ctx.route {
        let metrics = &route.upstream.metrics;
        let counter = if late {
            &metrics.timed_out
        } else {
            &metrics.broken
        };
        counter.inc();
    }
}

/// Whether a request may go out again whose old connection was closed without a word: a server may
/// close an idle one in the moment we use it, so once is no fault. The server is not to blame; it may
/// be picked again.
pub(crate) fn may_resend(ctx: &mut Context, method: &[u8]) -> bool {
    let first = |exchange: &Exchange| exchange.attempts == 1;
    let may = ctx.exchange.as_deref().is_some_and(first) && is_idempotent(method);
    if may {
        ctx.lease = None;
    }
    may
}

/// The only place that names a server to pingora; whoever gets here has passed the pipeline.
fn peer_for(_proof: &Permit, lease: &Lease, upstream: &UpstreamState) -> HttpPeer {
    let mut peer = HttpPeer::new(lease.address(), lease.tls(), lease.name().to_owned());
    let dial = upstream.group.dial();
    let options = &mut peer.options;
    options.connection_timeout = Some(dial.connect);
    options.total_connection_timeout = Some(dial.connect);
    options.read_timeout = Some(dial.read);
    options.write_timeout = Some(dial.write);
    options.idle_timeout = Some(dial.idle);
    options.verify_cert = dial.verify;
    options.verify_hostname = dial.verify;
    if dial.http2 {
        options.set_http_version(2, 2);
        options.max_h2_streams = MAX_UPSTREAM_STREAMS;
    }
    peer
}

/// RFC 9110 section 9.2.2.
fn is_idempotent(method: &[u8]) -> bool {
    matches!(
        method,
        b"GET" | b"HEAD" | b"OPTIONS" | b"PUT" | b"DELETE" | b"TRACE"
    )
}

/// pingora opens a connection a request unless told otherwise.
const MAX_UPSTREAM_STREAMS: usize = 100;
