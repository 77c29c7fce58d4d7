//! Chooses the server for a request and decides what a failure means.
//!
//! Needs the pipeline's permit. A connection failure may be retried on another server, because
//! nothing was sent; a failure after that only where the request is idempotent, the whole body can
//! be replayed and the connection was an old one that the server may just have closed.

use std::time::Instant;

use edge_core::Permit;
use pingora::http::Method;
use pingora::proxy::Session;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType, Result};

use super::Context;
use crate::assemble::UpstreamState;
use crate::upstreams::Lease;

/// Picks a server of the route's group.
pub(super) fn choose(session: &Session, ctx: &mut Context) -> Result<Box<HttpPeer>> {
    let (Some(permit), Some(route), Some(exchange)) = (&ctx.permit, &ctx.route, &mut ctx.exchange)
    else {
        return Err(Error::explain(
            ErrorType::HTTPStatus(500),
            "no permit for an upstream",
        ));
    };
    let Some(lease) = route.upstream.group.pick(Instant::now(), ctx.lease.take()) else {
        return Err(Error::explain(
            ErrorType::HTTPStatus(503),
            "no upstream server",
        ));
    };
    exchange.attempts += 1;
    exchange.upstream = Some(lease.address().to_string());
    ctx.forwarded = 0;
    ctx.sent = Some(Instant::now());
    let mut peer = peer_for(permit, &lease, &route.upstream);
    if session.as_downstream().is_upgrade_req() {
        // A tunnel may be silent for long; the listener's `tunnel_idle` ends it.
        peer.options.read_timeout = None;
        peer.options.write_timeout = None;
    }
    ctx.lease = Some(lease);
    Ok(Box::new(peer))
}

/// A connection could not be made: try another server, within the budget.
pub(super) fn connect_failed(ctx: &mut Context, mut error: Box<Error>) -> Box<Error> {
    error.set_retry(false);
    let (Some(lease), Some(route), Some(exchange)) = (&ctx.lease, &ctx.route, &ctx.exchange) else {
        return error;
    };
    let upstream = &route.upstream;
    upstream.metrics.connect_failed.inc();
    lease.failed(Instant::now());
    if exchange.attempts < upstream.group.max_attempts() && lease.has_alternative() {
        let allowed = upstream.group.may_retry(Instant::now());
        if !allowed {
            upstream.metrics.retries_denied.inc();
        }
        error.set_retry(allowed);
    }
    error
}

/// Something broke after the connection stood.
pub(super) fn exchange_failed(
    session: &Session,
    ctx: &mut Context,
    mut error: Box<Error>,
    reused: bool,
) -> Box<Error> {
    let Some(route) = &ctx.route else {
        error.set_retry(false);
        return error;
    };
    // Only connections that cannot be made leave a server out: a request that makes a server slow
    // or crash must not let its sender take servers away from everybody.
    if *error.esource() == ErrorSource::Upstream {
        match error.etype() {
            ErrorType::ReadTimedout | ErrorType::WriteTimedout => {
                route.upstream.metrics.timed_out.inc();
            }
            _ => route.upstream.metrics.broken.inc(),
        }
    }
    // An idle connection may be closed by the server in the moment we use it: once is no fault.
    let safe = reused
        && ctx
            .exchange
            .as_ref()
            .is_some_and(|exchange| exchange.attempts == 1)
        && is_idempotent(&session.req_header().method)
        && !session.as_downstream().retry_buffer_truncated()
        && session.response_written().is_none();
    if safe {
        error.retry.decide_reuse(true);
        // The server is not to blame: it may be picked again.
        ctx.lease = None;
    } else {
        error.set_retry(false);
    }
    error
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
fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE | Method::TRACE
    )
}

/// pingora opens a connection a request unless told otherwise.
const MAX_UPSTREAM_STREAMS: usize = 100;
