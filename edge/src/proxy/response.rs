//! The response side: phase 3 on the head, and the decision whether to hold the body for phase 4.

use std::time::Instant;

use edge_core::{Decision, Fault, Layer, Mode, Refusal, Verdict};
use http::header;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};

use super::Context;
use super::decode::{DecodeLimits, decode_limits};
use super::hold::{Hold, HoldLimits};
use super::intercept::Handle;
use crate::stages::inspect;
use crate::stages::waf::Inspection;

/// Runs phase 3 on a response head that is about to be written; then holds the body for phase 4, or
/// runs phase 4 without it where nobody wants to see it.
///
/// # Errors
/// The refusal, which `failure::answer` sends in place of the response.
pub(super) fn inspect(
    session: &mut Session,
    response: &ResponseHeader,
    ctx: &mut Context,
) -> Result<()> {
    succeeded(response, ctx);
    waited(ctx);
    if response.status.is_informational() && response.status.as_u16() != 101 {
        return interim(ctx);
    }
    if response.status.as_u16() == 101 && !session.as_downstream().is_upgrade_req() {
        return broken("101 that was not asked for");
    }
    ask(ctx, |inspection| {
        let fields = response.headers.iter();
        let fields = fields.map(|(name, value)| (name.as_ref(), value.as_bytes()));
        inspection.response_head(response.status.as_u16(), PROTOCOL, fields)
    })?;
    if let Some(limits) = hold_limits(response, ctx) {
        hold(session, response, limits, ctx);
        return Ok(());
    }
    ask(ctx, Inspection::no_response_body)?;
    // For the record of a request that is cut; otherwise what was written in fact replaces it.
    if let Some(exchange) = &mut ctx.exchange {
        exchange.response_status = Some(response.status.as_u16());
    }
    Ok(())
}

/// Lets an interim response pass, as long as there are not too many of them: they may go on for ever,
/// and none of them is an answer.
fn interim(ctx: &mut Context) -> Result<()> {
    ctx.interim += 1;
    if ctx.interim <= INTERIM_MAX {
        return Ok(());
    }
    broken("too many interim responses")
}

/// The answer is the upstream's fault.
fn broken(why: &'static str) -> Result<()> {
    let error = Error::explain(ErrorType::InvalidHTTPHeader, why);
    Err(error.into_up())
}

/// Notes how long the server took to its first word.
fn waited(ctx: &mut Context) {
    if let (Some(sent), Some(exchange)) = (ctx.sent.take(), &mut ctx.exchange) {
        exchange.timings.add(Layer::Upstream, sent.elapsed());
    }
}

/// Asks the rules and carries out what they say.
fn ask(
    ctx: &mut Context,
    question: impl FnOnce(&mut Inspection) -> Result<Verdict, Fault>,
) -> Result<()> {
    let (Some(inspection), Some(exchange)) = (&mut ctx.inspection, &mut ctx.exchange) else {
        return Ok(());
    };
    let started = Instant::now();
    let on_fault = inspection.on_fault();
    let verdict = inspect::settle(question(inspection), on_fault, exchange);
    exchange.timings.add(Layer::Response, started.elapsed());
    match verdict {
        Verdict::Continue => Ok(()),
        Verdict::Respond(refusal) => refuse(ctx, refusal),
        Verdict::Drop => refuse(ctx, Refusal::new(403, "response dropped by rule")),
    }
}

/// An answer is a sign of life, whatever it says.
fn succeeded(response: &ResponseHeader, ctx: &Context) {
    if let Some(lease) = &ctx.lease
        && !response.status.is_informational()
    {
        lease.succeeded();
        if let Some(route) = &ctx.route {
            route.upstream.metrics.answered.inc();
        }
    }
}

fn refuse(ctx: &mut Context, refusal: Refusal) -> Result<()> {
    if let Some(exchange) = &mut ctx.exchange {
        exchange.decision = Some(Decision {
            layer: Layer::Response,
            verdict: Verdict::Respond(refusal.clone()),
            enforced: true,
        });
    }
    let status = refusal.status;
    ctx.refusal = Some(refusal);
    Err(Error::explain(
        ErrorType::HTTPStatus(status),
        "response refused",
    ))
}

/// How much of the response the rules want to see before it is sent; `None` if nothing.
fn hold_limits(response: &ResponseHeader, ctx: &Context) -> Option<HoldLimits> {
    let wanted = ctx
        .inspection
        .as_ref()
        .and_then(Inspection::holds_response)?;
    let HoldLimits { bytes, deadline } = ctx.route.as_ref()?.profile.hold;
    let bytes = bytes.min(wanted);
    let streams = response.status.as_u16() == 101 || never_ends(response);
    (bytes > 0 && !streams).then_some(HoldLimits { bytes, deadline })
}

/// Holds the response until phase 4 has seen its body.
fn hold(session: &mut Session, response: &ResponseHeader, limits: HoldLimits, ctx: &mut Context) {
    let (Some(route), Some(inspection)) = (&ctx.route, ctx.inspection.take()) else {
        return;
    };
    let mode = route
        .profile
        .waf
        .as_ref()
        .map_or(Mode::Block, |waf| waf.mode);
    let codings = response.headers.get_all(header::CONTENT_ENCODING);
    let codings: Vec<&[u8]> = codings.iter().map(http::HeaderValue::as_bytes).collect();
    let encoding = (!codings.is_empty()).then(|| codings.join(&b','));
    let decode = DecodeLimits {
        strict: false,
        ..decode_limits(&route.profile.body, limits.bytes)
    };
    let hold = Hold::new(inspection, mode, limits, decode, encoding);
    ctx.intercept
        .get_or_insert_with(|| Handle::install(&mut session.downstream_session, None))
        .hold_response(hold);
}

/// Streams that live as long as the client listens are never held, whatever a rule set asks.
fn never_ends(response: &ResponseHeader) -> bool {
    response
        .headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| {
            let value = value.as_bytes().to_ascii_lowercase();
            value.starts_with(b"text/event-stream") || value.starts_with(b"application/grpc")
        })
}

/// 100, a few 102 while work goes on, a few 103.
const INTERIM_MAX: u32 = 16;
/// What upstreams are spoken to with, as `RESPONSE_PROTOCOL` shows it.
const PROTOCOL: &str = "HTTP/1.1";
