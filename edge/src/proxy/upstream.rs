//! Chooses the server for a request and decides what a failure means.
//!
//! Needs the pipeline's permit. A connection failure may be retried on another server, because
//! nothing was sent; a failure after that only where the request is idempotent, the whole body can
//! be replayed and the connection was an old one that the server may just have closed.

use std::time::Instant;

use pingora::http::Method;
use pingora::proxy::Session;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType, Result};

use super::Context;
use crate::assemble::{RouteState, UpstreamState};
use crate::upstreams::Lease;

/// Picks a server of the route's group.
pub(super) fn choose(ctx: &mut Context) -> Result<Box<HttpPeer>> {
    let (Some(_permit), Some(route), Some(exchange)) = (&ctx.permit, &ctx.route, &mut ctx.exchange)
    else {
        return Err(Error::explain(ErrorType::HTTPStatus(500), "no permit for an upstream"));
    };
    // A retry has picked its server already, within the budget.
    let lease = ctx.next.take().or_else(|| route.upstream.group.pick(Instant::now()));
    let Some(lease) = lease else {
        return Err(Error::explain(ErrorType::HTTPStatus(503), "no upstream server"));
    };
    exchange.attempts += 1;
    exchange.upstream = Some(lease.address().to_string());
    ctx.forwarded = 0;
    ctx.tried.push(lease.address());
    let peer = peer_for(&lease, route);
    ctx.lease = Some(lease);
    Ok(Box::new(peer))
}

/// A connection could not be made: try another server, within the budget.
pub(super) fn connect_failed(ctx: &mut Context, mut error: Box<Error>) -> Box<Error> {
    error.set_retry(false);
    let (Some(lease), Some(route)) = (ctx.lease.take(), &ctx.route) else { return error };
    let upstream = &route.upstream;
    upstream.metrics.connect_failed.inc();
    note_failure(upstream, &lease);
    let attempts = usize::from(upstream.settings.retries().attempts);
    if ctx.tried.len() < attempts {
        ctx.next = upstream.group.pick_again(Instant::now(), &ctx.tried);
        if ctx.next.is_none() {
            upstream.metrics.retries_denied.inc();
        }
        error.set_retry(ctx.next.is_some());
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
    if *error.esource() == ErrorSource::Upstream
        && let Some(lease) = &ctx.lease
    {
        match error.etype() {
            ErrorType::ReadTimedout | ErrorType::WriteTimedout => {
                route.upstream.metrics.timed_out.inc();
            }
            _ => route.upstream.metrics.broken.inc(),
        }
        if !reused {
            note_failure(&route.upstream, lease);
        }
    }
    // An idle connection may be closed by the server in the moment we use it: once is no fault.
    let safe = reused
        && ctx.tried.len() == 1
        && is_idempotent(&session.req_header().method)
        && !session.as_downstream().retry_buffer_truncated()
        && session.response_written().is_none();
    if safe {
        error.retry.decide_reuse(true);
        if error.retry() {
            ctx.next = ctx.lease.take();
        }
    } else {
        error.set_retry(false);
    }
    error
}

/// Tells the group, which may leave the server out for a while.
fn note_failure(upstream: &UpstreamState, lease: &Lease) {
    let now = Instant::now();
    if let Some(time) = upstream.group.failed(lease, now) {
        let (ejected, _) = upstream.group.census(now);
        upstream.metrics.ejected.set(i64::try_from(ejected).unwrap_or(i64::MAX));
        tracing::warn!(
            group = %upstream.group.name(), server = %lease.address(), ?time, "server left out"
        );
    }
}

fn peer_for(lease: &Lease, route: &RouteState) -> HttpPeer {
    let settings = &route.upstream.settings;
    let server = settings.servers().get(lease.server());
    let tls = server.is_some_and(|server| server.tls);
    let name = match (&settings.tls().server_name, server) {
        (Some(name), _) => name.clone(),
        (None, Some(server)) => server.host.clone(),
        (None, None) => String::new(),
    };
    let mut peer = HttpPeer::new(lease.address(), tls, name);
    let timeouts = settings.timeouts();
    let options = &mut peer.options;
    options.connection_timeout = Some(timeouts.connect);
    options.total_connection_timeout = Some(timeouts.connect);
    options.read_timeout = Some(timeouts.read);
    options.write_timeout = Some(timeouts.write);
    options.idle_timeout = Some(timeouts.idle);
    options.verify_cert = settings.tls().verify;
    options.verify_hostname = settings.tls().verify;
    if route.upstream.speaks_http2() {
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
