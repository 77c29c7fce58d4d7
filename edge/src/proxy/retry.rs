//! What a failed try means: for the server, for the client, and whether there is another.
//!
//! A connection that could not be made, or a stream that was refused, may be tried again with any
//! request, because the server did not begin. Everything else only where the operator said so, where
//! the method may be repeated (RFC 9110 section 9.2.2), where the whole body is at hand, and where the
//! client has got nothing yet. Always within the group's budget.

use std::time::{Duration, Instant};

use edge_config::RetryOn;
use edge_core::Exchange;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use pingora::{Error, ErrorSource, ErrorType, Result, RetryType};

use super::Context;
use super::intercept::{PER_TRY, TOTAL, Until};
use crate::upstreams::{AT_LIMIT, Lease, Outcome};

/// A connection could not be made: try another server.
pub(super) fn connect_failed(
    session: &Session,
    ctx: &mut Context,
    mut error: Box<Error>,
) -> Box<Error> {
    let again = if *error.etype() == AT_LIMIT {
        if let Some(route) = &ctx.route {
            route.upstream.metrics.refused("connections");
        }
        has_alternative(ctx) && may_retry(ctx, RetryOn::ConnectFailure, true, replays(session))
    } else {
        unreachable(ctx, replays(session))
    };
    error.set_retry(again);
    error
}

/// The leased server could not be reached; true if another one may be tried.
pub(crate) fn unreachable(ctx: &mut Context, replays: bool) -> bool {
    if let (Some(lease), Some(route)) = (&ctx.lease, &ctx.route) {
        route.upstream.metrics.connect_failed.inc();
        lease.report(Outcome::ConnectFailed, waited(ctx), Instant::now());
    }
    has_alternative(ctx) && may_retry(ctx, RetryOn::ConnectFailure, true, replays)
}

/// The head of an answer came: a sign of life, whatever it says.
pub(crate) fn came(ctx: &Context, status: u16) {
    if let (Some(lease), Some(route)) = (&ctx.lease, &ctx.route)
        && (status == 101 || !(100..200).contains(&status))
    {
        lease.report(Outcome::Answered(status), waited(ctx), Instant::now());
        route.upstream.metrics.answered.inc();
    }
}

/// The server broke off, or was `late`.
pub(crate) fn broke(ctx: &Context, late: bool) {
    if let (Some(lease), Some(route)) = (&ctx.lease, &ctx.route) {
        let metrics = &route.upstream.metrics;
        let counter = if late {
            &metrics.timed_out
        } else {
            &metrics.broken
        };
        counter.inc();
        lease.report(Outcome::Broken, waited(ctx), Instant::now());
    }
}

/// Whether a request may go out again whose old connection was closed without a word: a server may
/// close an idle one in the moment we use it, so once is no fault. The server is not to blame; it may
/// be picked again.
pub(crate) fn may_resend(ctx: &mut Context, method: &[u8]) -> bool {
    let first = |exchange: &Exchange| exchange.attempts == 1;
    let may = ctx.exchange.as_deref().is_some_and(first) && repeatable(method);
    if may {
        ctx.lease = None;
    }
    may
}

/// The head of an answer came to the engine: perhaps a reason to ask another server.
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
    came(ctx, status);
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
    if may_retry(ctx, on, repeats(session), replays(session)) {
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
    // pingora knows whether the connection was old and closed without a word.
    let stale = reused && matches!(error.retry, RetryType::ReusedOnly);
    let method = session.req_header().method.as_str().as_bytes();
    if stale && replays(session) && may_resend(ctx, method) {
        error.retry.decide_reuse(true);
        return error;
    }
    let again = on.is_some_and(|on| may_retry(ctx, on, repeats(session), replays(session)));
    error.set_retry(again);
    error
}

/// Counts what went wrong and tells the server's health; says after what a retry would be.
fn blame(ctx: &Context, error: &Error) -> Option<RetryOn> {
    let metrics = &ctx.route.as_ref()?.upstream.metrics;
    // Our own clocks run in the client's session, so pingora takes their errors for the client's.
    let etype = error.etype();
    if *etype == PER_TRY || *etype == TOTAL {
        let (counter, on) = if *etype == PER_TRY {
            (&metrics.per_try, Some(RetryOn::PerTryTimeout))
        } else {
            (&metrics.total, None)
        };
        counter.inc();
        let lease = ctx.lease.as_ref()?;
        lease.report(Outcome::Broken, waited(ctx), Instant::now());
        return on;
    }
    if *error.esource() != ErrorSource::Upstream {
        return None;
    }
    match etype {
        ErrorType::ReadTimedout | ErrorType::WriteTimedout => {
            broke(ctx, true);
            None
        }
        ErrorType::H2Error if matches!(error.retry, RetryType::Decided(true)) => {
            metrics.broken.inc();
            Some(RetryOn::RefusedStream)
        }
        _ => {
            broke(ctx, false);
            Some(RetryOn::Reset)
        }
    }
}

/// Decides on another try, and prepares it.
fn may_retry(ctx: &mut Context, on: RetryOn, repeats: bool, replays: bool) -> bool {
    let (Some(route), Some(exchange)) = (&ctx.route, &ctx.exchange) else {
        return false;
    };
    let state = &route.upstream;
    let retries = state.group.upstream().retries();
    let begun = !matches!(on, RetryOn::ConnectFailure | RetryOn::RefusedStream);
    let now = Instant::now();
    let wanted = retries.on.contains(&on)
        && exchange.attempts < u32::from(retries.attempts)
        && (!begun || retries.any_method || repeats)
        && replays
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

fn repeats(session: &Session) -> bool {
    repeatable(session.req_header().method.as_str().as_bytes())
}

/// RFC 9110 section 9.2.2.
fn repeatable(method: &[u8]) -> bool {
    matches!(
        method,
        b"GET" | b"HEAD" | b"OPTIONS" | b"PUT" | b"DELETE" | b"TRACE"
    )
}

fn has_alternative(ctx: &Context) -> bool {
    ctx.lease.as_ref().is_some_and(Lease::has_alternative)
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
