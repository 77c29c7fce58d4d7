//! Chooses the server for a request and decides what a failure means.
//!
//! Needs the pipeline's permit. A connection failure may be retried on another server, because
//! nothing was sent; a failure after that only where the request is idempotent, the whole body can
//! be replayed and the connection was an old one that the server may just have closed.

use std::time::Instant;

use pingora::http::Method;
use pingora::proxy::Session;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};

use super::Context;
use crate::assemble::RouteState;
use crate::upstreams::Lease;

/// Picks a server of the route's group.
pub(super) fn choose(ctx: &mut Context) -> Result<Box<HttpPeer>> {
    let (Some(_permit), Some(route), Some(exchange)) =
        (&ctx.permit, &ctx.route, &mut ctx.exchange)
    else {
        return Err(Error::explain(ErrorType::HTTPStatus(500), "no permit for an upstream"));
    };
    let tried = ctx.lease.take();
    let lease = route
        .group
        .pick(Instant::now(), tried.as_ref().map(Lease::index))
        .ok_or_else(|| Error::explain(ErrorType::HTTPStatus(503), "no upstream server"))?;
    exchange.attempts += 1;
    exchange.upstream = Some(lease.address().to_string());
    ctx.forwarded = 0;
    let peer = peer_for(&lease, route);
    ctx.lease = Some(lease);
    Ok(Box::new(peer))
}

/// A connection could not be made.
pub(super) fn connect_failed(ctx: &mut Context, mut error: Box<Error>) -> Box<Error> {
    error.set_retry(false);
    let (Some(lease), Some(route), Some(exchange)) = (&ctx.lease, &ctx.route, &ctx.exchange)
    else {
        return error;
    };
    lease.failed(Instant::now());
    let again = exchange.attempts < route.group.max_attempts() && route.group.may_retry();
    error.set_retry(again);
    error
}

/// Something broke after the connection stood.
pub(super) fn exchange_failed(
    session: &Session,
    ctx: &mut Context,
    mut error: Box<Error>,
    reused: bool,
) -> Box<Error> {
    let from_upstream = matches!(error.esource(), pingora::ErrorSource::Upstream);
    if let (true, false, Some(lease)) = (from_upstream, reused, &ctx.lease) {
        lease.failed(Instant::now());
    }
    let attempts = ctx.exchange.as_ref().map_or(u32::MAX, |exchange| exchange.attempts);
    let allowed = ctx.route.as_ref().is_some_and(|route| {
        reused && attempts < route.group.max_attempts().max(2) && route.group.may_retry()
    });
    let safe = is_idempotent(&session.req_header().method)
        && !session.as_downstream().retry_buffer_truncated()
        && session.response_written().is_none();
    if allowed && safe {
        error.retry.decide_reuse(true);
    } else {
        error.set_retry(false);
    }
    error
}

fn peer_for(lease: &Lease, route: &RouteState) -> HttpPeer {
    let mut peer = HttpPeer::new(lease.address(), lease.tls(), lease.name().to_owned());
    let timeouts = route.group.timeouts();
    let options = &mut peer.options;
    options.connection_timeout = Some(timeouts.connect);
    options.total_connection_timeout = Some(timeouts.connect);
    options.read_timeout = Some(timeouts.read);
    options.write_timeout = Some(timeouts.write);
    options.idle_timeout = Some(timeouts.idle);
    if route.group.speaks_http2() {
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
