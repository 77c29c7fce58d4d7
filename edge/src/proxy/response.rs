//! The response side: phase 3 on the head, and the decision whether to hold the body for phase 4.

use std::time::Instant;

use edge_core::{Decision, Fault, Layer, Mode, Refusal, Verdict};
use http::HeaderValue;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};

use super::Context;
use super::decode::{DecodeLimits, decode_limits};
use super::hold::{Hold, HoldLimits, Judge, Judged};
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
    let status = response.status.as_u16();
    waited(ctx);
    if response.status.is_informational() && status != 101 {
        return interim(ctx);
    }
    if status == 101 && !session.as_downstream().is_upgrade_req() {
        return broken("101 that was not asked for");
    }
    let fields = response.headers.iter();
    let fields = fields.map(|(name, value)| (name.as_ref(), value.as_bytes()));
    ask_head(ctx, status, fields)?;
    let values = |name| {
        let values = response.headers.get_all(name).into_iter();
        values.map(HeaderValue::as_bytes)
    };
    if let Some(judge) = judge(ctx, status, values) {
        ctx.intercept
            .get_or_insert_with(|| Handle::install(&mut session.downstream_session, None))
            .hold_response(Hold::new(judge));
        return Ok(());
    }
    ask_nothing(ctx)?;
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

/// Phase 3 on the head.
///
/// # Errors
/// The refusal, which is in the context.
pub(crate) fn ask_head<'a>(
    ctx: &mut Context,
    status: u16,
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) -> Result<()> {
    ask(ctx, |inspection| {
        inspection.response_head(status, PROTOCOL, fields)
    })
}

/// Phase 4 where nobody wants to see the body.
///
/// # Errors
/// The refusal, which is in the context.
pub(crate) fn ask_nothing(ctx: &mut Context) -> Result<()> {
    ask(ctx, Inspection::no_response_body)
}

/// Notes how long the server took to its first word.
pub(crate) fn waited(ctx: &mut Context) {
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

/// The judge of phase 4, where the rules want to see the body of this response before it is sent.
/// `values` are the response's, by lower-case name.
pub(crate) fn judge<'a, V: Iterator<Item = &'a [u8]>>(
    ctx: &mut Context,
    status: u16,
    values: impl Fn(&'static str) -> V,
) -> Option<Judge> {
    let inspection = ctx.inspection.as_ref();
    let wanted = inspection.and_then(Inspection::holds_response)?;
    let route = ctx.route.as_ref()?;
    let HoldLimits { bytes, deadline } = route.profile.hold;
    let bytes = bytes.min(wanted);
    if bytes == 0 || status == 101 || values("content-type").next().is_some_and(never_ends) {
        return None;
    }
    let mode = route.profile.waf.as_ref();
    let mode = mode.map_or(Mode::Block, |waf| waf.mode);
    let codings: Vec<&[u8]> = values("content-encoding").collect();
    let encoding = (!codings.is_empty()).then(|| codings.join(&b','));
    let decode = DecodeLimits {
        strict: false,
        ..decode_limits(&route.profile.body, bytes)
    };
    let limits = HoldLimits { bytes, deadline };
    let inspection = ctx.inspection.take()?;
    Some(Judge::new(inspection, mode, limits, decode, encoding))
}

/// Notes what became of a held response; the refusal is to be sent in its place.
pub(crate) fn judged(ctx: &mut Context, judged: Judged) -> Option<Refusal> {
    ctx.inspection = Some(judged.inspection);
    let exchange = ctx.exchange.as_mut()?;
    exchange.faults.extend(judged.fault);
    let refusal = judged.refusal?;
    exchange.decision = Some(Decision {
        layer: Layer::Response,
        verdict: Verdict::Respond(refusal.clone()),
        enforced: true,
    });
    Some(refusal)
}

/// Streams that live as long as the client listens are never held, whatever a rule set asks.
fn never_ends(media: &[u8]) -> bool {
    let begins = |start: &[u8]| {
        let beginning = media.get(..start.len());
        beginning.is_some_and(|media| media.eq_ignore_ascii_case(start))
    };
    begins(b"text/event-stream") || begins(b"application/grpc")
}

/// 100, a few 102 while work goes on, a few 103.
const INTERIM_MAX: u32 = 16;
/// What upstreams are spoken to with, as `RESPONSE_PROTOCOL` shows it.
const PROTOCOL: &str = "HTTP/1.1";
