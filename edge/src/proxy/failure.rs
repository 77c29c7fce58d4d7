//! Turns what went wrong into the one HTTP status that tells the client whose turn it is.

use edge_core::{Decision, Layer, Refusal, Verdict};
use pingora::proxy::{FailToProxy, Session};
use pingora::{Error, ErrorSource, ErrorType};

use super::body::{self, CLIENT_GONE};
use super::intercept::{PER_TRY, TOTAL};
use super::{Context, answer};
use crate::upstreams::{AT_LIMIT, reason};

/// Answers a request that failed after the pipeline.
pub(super) async fn answer(session: &mut Session, error: &Error, ctx: &mut Context) -> FailToProxy {
    let refusal = ctx.refusal.take().unwrap_or_else(|| refusal_for(error));
    let status = refusal.status;
    // Our clocks run in the client's session, but what they end is the upstream's.
    let by_clock = [PER_TRY, TOTAL].contains(error.etype());
    let downstream = *error.esource() == ErrorSource::Downstream && !by_clock;
    let by_body = downstream && status != CLIENT_GONE;
    note(ctx, &refusal, by_body || status == 413);
    if status != CLIENT_GONE {
        let id = ctx.exchange.as_ref().map(|exchange| exchange.id);
        // The client may be gone by now; the record says what was meant for it.
        let _ = answer::refuse(&mut session.downstream_session, &refusal, id).await;
    }
    FailToProxy {
        error_code: status,
        can_reuse_downstream: false,
    }
}

/// Writes a failure after the pipeline into the exchange; `by_body`: it is a verdict on the body.
pub(crate) fn note(ctx: &mut Context, refusal: &Refusal, by_body: bool) {
    let Some(exchange) = &mut ctx.exchange else {
        return;
    };
    exchange
        .error
        .get_or_insert_with(|| refusal.reason.clone().into_owned());
    if exchange.decision.is_none() && by_body {
        exchange.decision = Some(Decision {
            layer: Layer::Body,
            verdict: Verdict::Respond(refusal.clone()),
            enforced: true,
        });
    }
}

fn refusal_for(error: &Error) -> Refusal {
    use ErrorType::{
        ConnectTimedout, HTTPStatus, InvalidCert, ReadTimedout, TLSHandshakeFailure,
        TLSHandshakeTimedout, WriteTimedout,
    };
    match (error.etype(), error.esource()) {
        (etype, _) if *etype == PER_TRY => {
            Refusal::new(504, "upstream did not answer one try in time")
        }
        (etype, _) if *etype == TOTAL => Refusal::new(504, "time for the upstream is over"),
        (etype, _) if *etype == AT_LIMIT => {
            Refusal::new(503, "connections to the upstream are at their limit")
        }
        (HTTPStatus(code), _) => Refusal::new(*code, "refused by the proxy"),
        (_, ErrorSource::Downstream) => match error.etype() {
            ErrorType::WriteError | WriteTimedout => {
                Refusal::new(CLIENT_GONE, "client stopped reading")
            }
            _ => body::refusal_for(error),
        },
        (ConnectTimedout | TLSHandshakeTimedout, _) => {
            Refusal::new(504, "upstream did not accept the connection in time")
        }
        (ReadTimedout | WriteTimedout, _) => Refusal::new(504, "upstream did not answer in time"),
        (TLSHandshakeFailure | InvalidCert, _) => {
            let why = reason(error);
            Refusal::new(502, format!("TLS to the upstream failed: {why}"))
        }
        (_, ErrorSource::Upstream) => Refusal::new(502, "upstream failed"),
        (_, ErrorSource::Internal | ErrorSource::Unset) => Refusal::new(500, "gateway failed"),
    }
}
