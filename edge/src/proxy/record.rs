//! The end of a request: phase 5, then exactly one decision record.
//!
//! Also for a request that is cut before pingora's last phase: because a drain took too long, or
//! because its connection went away. Whoever takes the exchange out of the context writes it.

use edge_core::{Decision, Layer, Verdict};
use pingora::Error;
use pingora::proxy::Session;

use super::Context;
use super::intercept::Handle;
use crate::stages::waf::Inspection;

/// Finishes the exchange and hands it to the recorder.
pub(super) fn write(session: &mut Session, error: Option<&Error>, ctx: &mut Context) {
    if let Some(handle) = ctx.intercept.take() {
        take_off(&handle, session, ctx);
    }
    // A request that pingora refused before the pipeline has no exchange; it made no record yet.
    let Some(exchange) = &mut ctx.exchange else {
        return;
    };
    exchange.response_status = session
        .response_written()
        .map(|response| response.status.as_u16());
    exchange.bytes_in = exchange.bytes_in.max(session.body_bytes_read() as u64);
    exchange.bytes_out = session.body_bytes_sent() as u64;
    if let Some(error) = error {
        exchange
            .error
            .get_or_insert_with(|| error.reason_str().to_owned());
    }
    let headers: Vec<(&[u8], &[u8])> = match session.response_written() {
        Some(response) if audits(ctx) => {
            let headers = response.headers.iter();
            let headers = headers.map(|(name, value)| (name.as_ref(), value.as_bytes()));
            headers.collect()
        }
        _ => Vec::new(),
    };
    finish(ctx, &headers);
}

/// True if an audit entry may come, which shows what was sent.
fn audits(ctx: &Context) -> bool {
    ctx.inspection.as_ref().is_some_and(Inspection::audits)
}

/// Finishes an exchange that never came to pingora's last phase. What was sent of an answer is not
/// known any more, so the record names no sizes.
pub(super) fn write_cut(ctx: &mut Context) {
    let Some(exchange) = &mut ctx.exchange else {
        return;
    };
    let why = ctx.shared.cut();
    exchange.error.get_or_insert_with(|| why.to_owned());
    if let Some(judged) = ctx.intercept.take().and_then(|handle| handle.judged()) {
        exchange.faults.extend(judged.fault);
        ctx.inspection = Some(judged.inspection);
    }
    finish(ctx, &[]);
}

fn finish(ctx: &mut Context, headers: &[(&[u8], &[u8])]) {
    let (Some(mut exchange), Some(gateway)) = (ctx.exchange.take(), ctx.gateway.take()) else {
        return;
    };
    if let Some(mut inspection) = ctx.inspection.take() {
        let shared = &ctx.shared;
        shared.conclude(&gateway, &mut inspection, &mut exchange, headers);
    }
    exchange.timings.total = exchange.started.elapsed();
    ctx.shared.record(&gateway, ctx.route.as_deref(), exchange);
}

/// Takes the intercept off and notes what became of a held response.
fn take_off(handle: &Handle, session: &mut Session, ctx: &mut Context) {
    handle.remove(&mut session.downstream_session);
    let Some(judged) = handle.judged() else {
        return;
    };
    ctx.inspection = Some(judged.inspection);
    let Some(exchange) = &mut ctx.exchange else {
        return;
    };
    exchange.faults.extend(judged.fault);
    if let Some(refusal) = judged.refusal {
        exchange.decision = Some(Decision {
            layer: Layer::Response,
            verdict: Verdict::Respond(refusal),
            enforced: true,
        });
    }
}
