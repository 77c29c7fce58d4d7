//! What a failed try means: for the server, for the client, and whether there is another.
//!
//! A connection that could not be made, or a stream that was refused, may be tried again with any
//! request, because the server did not begin. Everything else only where the operator said so, where
//! the method may be repeated (RFC 9110 section 9.2.2), where the whole body is at hand, and where the
//! client has got nothing yet. Always within the group's budget.

use std::time::{Duration, Instant};

use edge_config::RetryOn;
use pingora::http::{Method, ResponseHeader};
use pingora::proxy::Session;
use pingora::{Error, ErrorSource, ErrorType, Result, RetryType};

use super::Context;
use super::intercept::{PER_TRY, TOTAL, Until};
use crate::upstreams::{AT_LIMIT, Outcome};

/// A connection could not be made: try another server.
pub(super) fn connect_failed(
    session: &Session,
    ctx: &mut Context,
    mut error: Box<Error>,
) -> Box<Error> {
    error.set_retry(false);
    let (Some(lease), Some(route)) = (&ctx.lease, &ctx.route) else {
        return error;
    };
    let metrics = &route.upstream.metrics;
    if *error.etype() == AT_LIMIT {
        metrics.refused("connections");
    } else {
        metrics.connect_failed.inc();
        lease.report(Outcome::ConnectFailed, waited(ctx), Instant::now());
    }
    let again = lease.has_alternative() && may_retry(session, ctx, RetryOn::ConnectFailure);
    error.set_retry(again);
    error
}

/// The head of an answer came: a sign of life, or a reason to ask another server.
///
/// # Errors
/// [`ANSWERED_BADLY`], which [`exchange_failed`] turns into another try.
pub(super) fn answered(
    session: &Session,
    response: &ResponseHeader,
    ctx: &mut Context,
) -> Result<()> {
    let status = response.status.as_u16();
    if response.status.is_informational() && status != 101 {
        return Ok(());
    }
    let (Some(lease), Some(route)) = (&ctx.lease, &ctx.route) else {
        return Ok(());
    };
    lease.report(Outcome::Answered(status), waited(ctx), Instant::now());
    route.upstream.metrics.answered.inc();
    if ctx.trying.until.one.take().is_some()
        && let Some(handle) = &ctx.intercept
    {
        handle.set_until(ctx.trying.until);
    }
    let on = match status {
        502 => RetryOn::BadGateway,
        503 => RetryOn::Unavailable,
        504 => RetryOn::GatewayTimeout,
        _ => return Ok(()),
    };
    if may_retry(session, ctx, on) {
        return Err(Error::explain(ANSWERED_BADLY, "another server is asked"));
    }
    Ok(())
}

/// Something broke after the connection stood.
pub(super) fn exchange_failed(
    session: &Session,
    ctx: &mut Context,
    mut error: Box<Error>,
    reused: bool,
) -> Box<Error> {
    if *error.etype() == ANSWERED_BADLY {
        error.set_retry(true);
        return error;
    }
    let on = blame(ctx, &error);
    // An idle connection may be closed by the server in the moment we use it: once is no fault.
    let first = ctx
        .exchange
        .as_ref()
        .is_some_and(|exchange| exchange.attempts == 1);
    let stale = reused && first && matches!(on, None | Some(RetryOn::Reset));
    if stale && *error.etype() != TOTAL && replays(session) && repeatable(session) {
        error.retry.decide_reuse(true);
        if error.retry() {
            // The server is not to blame: it may be picked again.
            ctx.lease = None;
            return error;
        }
    }
    error.set_retry(on.is_some_and(|on| may_retry(session, ctx, on)));
    error
}

/// Counts what went wrong and tells the server's health; says after what a retry would be.
fn blame(ctx: &Context, error: &Error) -> Option<RetryOn> {
    let (Some(route), Some(lease)) = (&ctx.route, &ctx.lease) else {
        return None;
    };
    let metrics = &route.upstream.metrics;
    // Our own clocks run in the client's session, so pingora takes their errors for the client's.
    let on = match error.etype() {
        etype if *etype == PER_TRY => {
            metrics.per_try.inc();
            Some(RetryOn::PerTryTimeout)
        }
        etype if *etype == TOTAL => {
            metrics.total.inc();
            None
        }
        _ if *error.esource() != ErrorSource::Upstream => return None,
        ErrorType::ReadTimedout | ErrorType::WriteTimedout => {
            metrics.timed_out.inc();
            None
        }
        ErrorType::H2Error if matches!(error.retry, RetryType::Decided(true)) => {
            metrics.broken.inc();
            return Some(RetryOn::RefusedStream);
        }
        _ => {
            metrics.broken.inc();
            Some(RetryOn::Reset)
        }
    };
    lease.report(Outcome::Broken, waited(ctx), Instant::now());
    on
}

/// Decides on another try, and prepares it.
fn may_retry(session: &Session, ctx: &mut Context, on: RetryOn) -> bool {
    let (Some(route), Some(exchange)) = (&ctx.route, &ctx.exchange) else {
        return false;
    };
    let state = &route.upstream;
    let retries = state.group.upstream().retries();
    let begun = !matches!(on, RetryOn::ConnectFailure | RetryOn::RefusedStream);
    let now = Instant::now();
    let wanted = retries.on.contains(&on)
        && exchange.attempts < u32::from(retries.attempts)
        && (!begun || retries.any_method || repeatable(session))
        && replays(session)
        && ctx.trying.until.all.is_none_or(|end| now < end);
    if !wanted {
        return false;
    }
    if !state.group.may_retry(now) {
        state.metrics.retries_denied.inc();
        return false;
    }
    state.metrics.retried(word(on));
    ctx.trying.pause = pause(retries.backoff, retries.max_backoff, exchange.attempts);
    // The pause is not part of a try.
    let all = ctx.trying.until.all;
    ctx.trying.until = Until { one: None, all };
    true
}

/// The pause after the n-th try: doubled each time, then drawn between its half and the whole.
fn pause(first: Duration, most: Duration, tries: u32) -> Duration {
    let doubled = 1_u32
        .checked_shl(tries.saturating_sub(1))
        .unwrap_or(u32::MAX);
    let whole = first.saturating_mul(doubled).min(most);
    let drawn = getrandom::u32().unwrap_or(u32::MAX / 2);
    whole.mul_f64(0.5 + f64::from(drawn) / f64::from(u32::MAX) / 2.0)
}

/// Whether the whole request can be sent again, and the client has got nothing yet.
fn replays(session: &Session) -> bool {
    !session.as_downstream().retry_buffer_truncated() && session.response_written().is_none()
}

/// RFC 9110 section 9.2.2.
fn repeatable(session: &Session) -> bool {
    matches!(
        session.req_header().method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE | Method::TRACE
    )
}

fn waited(ctx: &Context) -> Duration {
    ctx.sent.map_or(Duration::ZERO, |sent| sent.elapsed())
}

const fn word(on: RetryOn) -> &'static str {
    match on {
        RetryOn::ConnectFailure => "connect_failure",
        RetryOn::RefusedStream => "refused_stream",
        RetryOn::Reset => "reset",
        RetryOn::BadGateway => "502",
        RetryOn::Unavailable => "503",
        RetryOn::GatewayTimeout => "504",
        RetryOn::PerTryTimeout => "per_try_timeout",
    }
}

/// An answer that is not passed on, because another server is asked.
const ANSWERED_BADLY: ErrorType = ErrorType::Custom("answered badly");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_and_are_drawn() {
        let (first, most) = (Duration::from_millis(20), Duration::from_millis(100));
        for (tries, whole) in [(1, 20), (2, 40), (3, 80), (4, 100), (40, 100)] {
            for _ in 0..20 {
                let pause = pause(first, most, tries);
                let whole = Duration::from_millis(whole);
                assert!(whole / 2 <= pause && pause <= whole, "{tries}: {pause:?}");
            }
        }
    }
}
