//! THE ORDER: what a request passes before it may reach an upstream, on one screen.
//!
//! Every request takes this way, whatever its protocol; `explain` takes it too. A step that refuses
//! ends it. Only this file makes a [`Permit`], and no upstream is contacted without one.

use std::sync::Arc;
use std::time::Instant;

use edge_core::{Decision, Exchange, Head, Layer, Passage, Permit, Refusal, Verdict};
use edge_tls::acme::Challenges;

use crate::assemble::{Gateway, RouteState};
use crate::proxy::body::Source;
use crate::proxy::intercept::Replay;
use crate::stages::inspect::{self, Looked};
use crate::stages::waf::Inspection;

/// The request may go on.
pub(crate) struct Admitted {
    /// Proof for the upstream call.
    pub(crate) permit: Permit,
    /// What was taken of the body, to be replayed.
    pub(crate) replay: Option<Replay>,
}

/// The request was refused; the exchange says by whom.
pub(crate) enum Refused {
    /// Answer with this.
    Respond(Refusal),
    /// Close without a word.
    Drop,
}

/// Whether somebody may be asking for a proof; such requests do not take the short way.
pub(crate) fn asks_for_proof(head: &Head) -> bool {
    head.target().starts_with(CHALLENGE)
}

/// What a certificate authority asks for, to see that we control a name: answered before any layer, or
/// a rule or a missing route could cost the certificate. Only tokens that are pending right now, only
/// on plain connections; everything else goes on. Such an exchange is recorded like any other.
pub(crate) fn proof(challenges: &Challenges, exchange: &Exchange) -> Option<String> {
    let head = exchange.head.as_ref()?;
    let token = head.path().strip_prefix(CHALLENGE)?;
    if token.len() > MAX_TOKEN
        || exchange.connection.tls.is_some()
        || !matches!(head.method(), b"GET" | b"HEAD")
    {
        return None;
    }
    challenges.http(std::str::from_utf8(token).ok()?)
}

/// Runs the layers in order. `inspection` and the route `found` are left behind for the response
/// phases and the record.
pub(crate) async fn admit(
    gateway: &Gateway,
    exchange: &mut Exchange,
    body: &mut Source<'_>,
    inspection: &mut Option<Inspection>,
    found: &mut Option<Arc<RouteState>>,
    trace: bool,
) -> Result<Admitted, Refused> {
    let passage = Passage::begin();

    // Route first: the route names the profile, and the profile says what all other layers do.
    let route = timed(exchange, Layer::Route, |exchange| route(gateway, exchange))?;
    *found = Some(route.clone());
    let profile = &route.profile;

    // Bounds of this route's heads, where they are narrower than the listener's: before any work on them.
    let bounds = |head| profile.head.refusal(head);
    if let Some((status, reason)) = exchange.head.as_ref().and_then(bounds) {
        return Err(refuse(exchange, Layer::Route, Refusal::new(status, reason)));
    }

    // (Access, bots, replay protection and limits stand here: cheap, and they need no body.)

    // Rules of phase 1 before the body is read: a hostile head must not cost us an upload.
    if let Some(waf) = &profile.waf {
        *inspection = Some(waf.begin(exchange, trace));
        inspect::look_up(inspection, 1).await;
        let verdict = timed(exchange, Layer::Waf, |exchange| {
            inspect::head(inspection, exchange)
        });
        settle(exchange, Layer::Waf, verdict)?;
    }

    // The body is read, decoded and bounded before anybody upstream hears of the request.
    let started = Instant::now();
    let looked = inspect::body(body, exchange, inspection.as_ref(), &route).await;
    exchange.timings.add(Layer::Body, started.elapsed());
    let Looked { replay, inspected } = settle_body(exchange, looked)?;

    // Rules of phase 2 on the parsed body; also without a body, as SecLang asks.
    if inspection.is_some() {
        let started = Instant::now();
        inspect::look_up(inspection, 2).await;
        let verdict = inspect::judge(inspection, exchange, inspected).await;
        exchange.timings.add(Layer::Waf, started.elapsed());
        settle(exchange, Layer::Waf, verdict)?;
    }

    // (Authentication and guardrails stand here: they may look at a body that is known to be sane.)

    let permit = passage.complete(route.name.clone());
    Ok(Admitted { permit, replay })
}

/// Lets the rules read a head that the gate refused, so that the record says what they saw in it.
/// Nothing they say changes the answer: no body is read, no permit made. It costs what phase 1 of any
/// admitted request costs.
pub(crate) fn witness(
    gateway: &Gateway,
    exchange: &mut Exchange,
    trace: bool,
) -> Option<Inspection> {
    let route = gateway.route(exchange.head.as_ref()?).ok()??;
    let mut inspection = Some(route.profile.waf.as_ref()?.begin(exchange, trace));
    let _ = timed(exchange, Layer::Waf, |exchange| {
        inspect::head(&mut inspection, exchange)
    });
    inspection
}

/// Finds the route; a request that fits none is nobody's business.
fn route(gateway: &Gateway, exchange: &mut Exchange) -> Result<Arc<RouteState>, Refused> {
    let found = exchange
        .head
        .as_ref()
        .map_or(Ok(None), |head| gateway.route(head));
    let found = found.and_then(|route| route.ok_or(Refusal::new(404, "no route matches")));
    let route = found.map_err(|refusal| refuse(exchange, Layer::Route, refusal))?;
    exchange.route = Some(route.name.clone());
    Ok(route)
}

/// Writes a layer's verdict into the exchange and carries it out.
fn settle(exchange: &mut Exchange, layer: Layer, verdict: Verdict) -> Result<(), Refused> {
    match verdict {
        Verdict::Continue => Ok(()),
        Verdict::Respond(refusal) => Err(refuse(exchange, layer, refusal)),
        Verdict::Drop => {
            exchange.decision = Some(Decision {
                layer,
                verdict: Verdict::Drop,
                enforced: true,
            });
            Err(Refused::Drop)
        }
    }
}

/// Bounds of a body hold in every mode: they protect the gateway itself.
fn settle_body(
    exchange: &mut Exchange,
    looked: Result<Looked, Refusal>,
) -> Result<Looked, Refused> {
    looked.map_err(|refusal| refuse(exchange, Layer::Body, refusal))
}

/// Writes a refusal into the exchange.
pub(crate) fn refuse(exchange: &mut Exchange, layer: Layer, refusal: Refusal) -> Refused {
    exchange.decision = Some(Decision {
        layer,
        verdict: Verdict::Respond(refusal.clone()),
        enforced: true,
    });
    Refused::Respond(refusal)
}

fn timed<T>(exchange: &mut Exchange, layer: Layer, step: impl FnOnce(&mut Exchange) -> T) -> T {
    let started = Instant::now();
    let answer = step(exchange);
    exchange.timings.add(layer, started.elapsed());
    answer
}

const CHALLENGE: &[u8] = b"/.well-known/acme-challenge/";
const MAX_TOKEN: usize = 256;
