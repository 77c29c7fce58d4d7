//! The steps of the pipeline that feed the rule engine: head, body, judgement.
//!
//! Faults of the engine are written into the exchange here and turned into a verdict by the
//! profile's `on_fault`; nothing else of the pipeline knows of them.

use bytes::Bytes;
use edge_config::BodyLimits;
use edge_core::{Exchange, Fault, Inspected, Refusal, Verdict};

use super::waf::{FaultRule, Inspection};
use crate::assemble::RouteState;
use crate::proxy::body::{Source, Taken};
use crate::proxy::decode::{self, DecodeError, Decoded, decode_limits};
use crate::proxy::intercept::Replay;
use crate::proxy::stream;

/// What was seen of a request body.
#[derive(Default)]
pub(crate) struct Looked {
    /// What was taken from the client, to be given to the upstream.
    pub(crate) replay: Option<Replay>,
    /// What the rules may look at.
    pub(crate) inspected: Option<Inspected>,
}

/// Phase 1.
pub(crate) fn head(inspection: &mut Option<Inspection>, exchange: &mut Exchange) -> Verdict {
    let (Some(inspection), Some(head)) = (inspection, &exchange.head) else {
        return Verdict::Continue;
    };
    let on_fault = inspection.on_fault();
    let verdict = inspection.request_head(head);
    settle(verdict, on_fault, exchange)
}

/// What lists say about the request, before the rules of `phase` ask.
pub(crate) async fn look_up(inspection: &mut Option<Inspection>, phase: u8) {
    if let Some(inspection) = inspection {
        inspection.look_up(phase).await;
    }
}

/// Takes and decodes the body if a layer wants it; otherwise it will stream.
pub(crate) async fn body(
    source: &mut Source<'_>,
    exchange: &mut Exchange,
    inspection: Option<&Inspection>,
    route: &RouteState,
) -> Result<Looked, Refusal> {
    let limits = &route.profile.body;
    let Some(head) = &exchange.head else {
        return Ok(Looked::default());
    };
    if let Some(refusal) = source.check_length(head.field("content-length"), limits.limit) {
        return Err(refusal);
    }
    let wanted = inspection.is_some_and(Inspection::wants_request_body);
    if !wanted || source.is_empty() || stream::is_grpc(head, route) {
        return Ok(Looked::default());
    }
    let taken = source.take(limits).await?;
    exchange.bytes_in = taken.bytes.len() as u64;
    let codings: Vec<&[u8]> = head.values("content-encoding").collect();
    let plain = decoded(codings.join(&b','), &taken, limits).await?;
    if plain.opaque && !plain.whole {
        return Err(Refusal::new(
            413,
            "coded body longer than the inspected part",
        ));
    }
    let whole = plain.whole && plain.bytes.len() <= limits.inspect;
    exchange.truncated = !whole;
    let bytes = plain.bytes.slice(..plain.bytes.len().min(limits.inspect));
    let replayed = if plain.opaque {
        plain.bytes
    } else {
        taken.bytes
    };
    Ok(Looked {
        replay: Some(Replay {
            bytes: replayed,
            whole: taken.whole,
            recoded: plain.opaque,
        }),
        inspected: Some(Inspected { bytes, whole }),
    })
}

/// Undoes content codings, away from the event loop.
async fn decoded(
    encoding: Vec<u8>,
    taken: &Taken,
    limits: &BodyLimits,
) -> Result<Decoded, Refusal> {
    let (body, whole) = (taken.bytes.clone(), taken.whole);
    if encoding.is_empty() {
        return Ok(Decoded {
            bytes: body,
            whole,
            opaque: false,
        });
    }
    let bounds = decode_limits(limits, limits.inspect);
    tokio::task::spawn_blocking(move || decode::decode(&encoding, &body, whole, bounds))
        .await
        .map_err(|_| Refusal::new(500, "the decoder failed"))?
        .map_err(refusal_for)
}

/// Phase 2.
pub(crate) async fn judge(
    slot: &mut Option<Inspection>,
    exchange: &mut Exchange,
    body: Option<Inspected>,
) -> Verdict {
    let Some(inspection) = slot.take() else {
        return Verdict::Continue;
    };
    let on_fault = inspection.on_fault();
    let body = body.unwrap_or(Inspected {
        bytes: Bytes::new(),
        whole: true,
    });
    let (inspection, verdict) = inspection.request_body(body.bytes, body.whole).await;
    *slot = Some(inspection);
    settle(verdict, on_fault, exchange)
}

/// Records a fault and asks the profile what it means.
pub(crate) fn settle(
    verdict: Result<Verdict, Fault>,
    on_fault: FaultRule,
    exchange: &mut Exchange,
) -> Verdict {
    verdict.unwrap_or_else(|fault| {
        exchange.faults.push(fault);
        on_fault
            .refusal()
            .map_or(Verdict::Continue, Verdict::Respond)
    })
}

fn refusal_for(error: DecodeError) -> Refusal {
    match error {
        DecodeError::Unsupported => Refusal::new(415, "unsupported content coding"),
        DecodeError::Malformed => Refusal::new(400, "body does not match its content coding"),
        DecodeError::TooLarge => Refusal::new(413, "decoded body is too large"),
    }
}
