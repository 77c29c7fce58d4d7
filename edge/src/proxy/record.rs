//! The end of a request: phase 5, then exactly one decision record.
//!
//! Also for a request that is cut before pingora's last phase: because a drain took too long, or
//! because its connection went away. Whoever takes the exchange out of the context writes it.

use pingora::Error;
use pingora::proxy::Session;

use super::hold::Judge;
use super::intercept::Handle;
use super::{Context, response};
use crate::stages::waf::Inspection;

/// Finishes the exchange and hands it to the recorder.
pub(super) fn write(session: &mut Session, error: Option<&Error>, ctx: &mut Context) {
    if let Some(handle) = ctx.intercept.take() {
        take_off(&handle, session, ctx);
    }
    let response = session.response_written();
    let sent = Sent {
        status: response.map(|response| response.status.as_u16()),
        bytes_in: session.body_bytes_read() as u64,
        bytes_out: session.body_bytes_sent() as u64,
    };
    let headers: Vec<(&[u8], &[u8])> = match response {
        Some(response) if audits(ctx) => {
            let headers = response.headers.iter();
            let headers = headers.map(|(name, value)| (name.as_ref(), value.as_bytes()));
            headers.collect()
        }
        _ => Vec::new(),
    };
    close(ctx, sent, error.map(Error::reason_str), &headers);
}

/// What went over the client's connection.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Sent {
    /// Of the answer, if there was one.
    pub(crate) status: Option<u16>,
    /// Content of the request.
    pub(crate) bytes_in: u64,
    /// Content of the answer.
    pub(crate) bytes_out: u64,
}

/// Records an exchange that came to its end; `headers` are those of the answer, where
/// [`audits`] asks for them. A request that pingora refused before the pipeline has no exchange; it
/// made no record yet.
pub(crate) fn close(
    ctx: &mut Context,
    sent: Sent,
    error: Option<&str>,
    headers: &[(&[u8], &[u8])],
) {
    let Some(exchange) = &mut ctx.exchange else {
        return;
    };
    exchange.response_status = sent.status;
    exchange.bytes_in = exchange.bytes_in.max(sent.bytes_in);
    exchange.bytes_out = sent.bytes_out;
    if let Some(error) = error {
        exchange.error.get_or_insert_with(|| error.to_owned());
    }
    finish(ctx, headers);
}

/// True if an audit entry may come, which shows what was sent.
pub(crate) fn audits(ctx: &Context) -> bool {
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
    let held = ctx.judge.take().map(Judge::abandon);
    if let Some(mut inspection) = ctx.inspection.take().or(held) {
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
    response::judged(ctx, judged);
}
