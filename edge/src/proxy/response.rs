//! The response side: phase 3 on the head, and the decision whether to hold the body for phase 4.

use edge_core::{Decision, Layer, Refusal, Verdict};
use http::header;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};

use super::Context;
use super::decode::decode_limits;
use super::hold::{Hold, HoldLimits};
use super::intercept::Handle;
use crate::stages::inspect;
use crate::stages::waf::Inspection;

/// Runs phase 3 on a response head that is about to be written.
///
/// # Errors
/// The refusal, which `failure::answer` sends in place of the response.
pub(super) fn inspect(
    session: &mut Session,
    response: &ResponseHeader,
    ctx: &mut Context,
) -> Result<()> {
    succeeded(response, ctx);
    let interim = response.status.is_informational() && response.status.as_u16() != 101;
    let (Some(inspection), Some(exchange)) = (&mut ctx.inspection, &mut ctx.exchange) else {
        return Ok(());
    };
    if interim {
        return Ok(());
    }
    let started = std::time::Instant::now();
    let on_fault = inspection.on_fault();
    let fields = response
        .headers
        .iter()
        .map(|(name, value)| (name.as_ref(), value.as_bytes()));
    let verdict = inspection.response_head(response.status.as_u16(), PROTOCOL, fields);
    let verdict = inspect::settle(verdict, on_fault, exchange);
    exchange.timings.add(Layer::Response, started.elapsed());
    match verdict {
        Verdict::Continue => {}
        Verdict::Respond(refusal) => return refuse(ctx, refusal),
        Verdict::Drop => return refuse(ctx, Refusal::new(403, "response dropped by rule")),
    }
    hold(session, response, ctx);
    Ok(())
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

/// Holds the response if the rules want its body.
fn hold(session: &mut Session, response: &ResponseHeader, ctx: &mut Context) {
    let Some(limit) = ctx.inspection.as_ref().and_then(Inspection::holds_response) else {
        return;
    };
    let Some(route) = &ctx.route else { return };
    let Some(mode) = route.profile.waf.as_ref().map(|waf| waf.mode) else {
        return;
    };
    if response.status.as_u16() == 101 || never_ends(response) || route.profile.hold.bytes == 0 {
        return;
    }
    let Some(inspection) = ctx.inspection.take() else {
        return;
    };
    let encoding = response
        .headers
        .get(header::CONTENT_ENCODING)
        .map(|v| v.as_bytes().to_vec());
    let HoldLimits { bytes, deadline } = route.profile.hold;
    let limits = HoldLimits {
        bytes: bytes.min(limit),
        deadline,
    };
    let hold = Hold::new(
        inspection,
        mode,
        limits,
        decode_limits(&route.profile.body),
        encoding,
    );
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

/// What upstreams are spoken to with, as `RESPONSE_PROTOCOL` shows it.
const PROTOCOL: &str = "HTTP/1.1";
