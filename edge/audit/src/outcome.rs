//! The one word that says how an exchange ended: `verdict` in records, metrics and the access log.
//!
//! It is derived from the exchange alone, so that the three can never disagree.

use edge_core::{Exchange, Layer, Verdict};

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// No layer objected.
    Allowed,
    /// A protection layer refused the request or the response.
    Blocked,
    /// A layer would have refused, but its mode is `detect`.
    Detected,
    /// Not served for what it is rather than for what it attempts: malformed, too large, no route.
    Refused,
    /// The connection was closed without a word.
    Dropped,
    /// The gateway or its upstream failed and the client got no answer, or a 5xx of ours.
    Error,
}

impl Outcome {
    /// Every outcome; the index of an outcome here is its `as usize`.
    pub const ALL: [Self; 6] = [
        Self::Allowed,
        Self::Blocked,
        Self::Detected,
        Self::Refused,
        Self::Dropped,
        Self::Error,
    ];

    /// How `exchange` ended.
    ///
    /// A decision that was carried out outranks faults: a request that a later layer blocked was
    /// blocked, even if an earlier layer broke and its profile let the request go on.
    #[must_use]
    pub fn of(exchange: &Exchange) -> Self {
        let Some(decision) = &exchange.decision else {
            return Self::without_decision(exchange);
        };
        match (&decision.verdict, decision.enforced) {
            (Verdict::Continue, _) => Self::without_decision(exchange),
            (_, false) => Self::Detected,
            (Verdict::Drop, true) => Self::Dropped,
            (Verdict::Respond(_), true) => match decision.layer {
                Layer::Waf | Layer::Response => Self::Blocked,
                Layer::Gate | Layer::Route | Layer::Body | Layer::Upstream => Self::Refused,
            },
        }
    }

    /// A fault that the profile forgave leaves an ordinary answer behind, and so does a client that
    /// left before the end of one.
    fn without_decision(exchange: &Exchange) -> Self {
        let failed = exchange.response_status.is_none_or(|status| status >= 500);
        if failed && (!exchange.faults.is_empty() || exchange.error.is_some()) {
            Self::Error
        } else {
            Self::Allowed
        }
    }

    /// The word used in records, metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Blocked => "blocked",
            Self::Detected => "detected",
            Self::Refused => "refused",
            Self::Dropped => "dropped",
            Self::Error => "error",
        }
    }
}

#[cfg(test)]
mod tests {
    use edge_core::{Decision, Fault, Refusal};

    use super::*;
    use crate::record::tests::exchange;

    fn decided(layer: Layer, verdict: Verdict, enforced: bool) -> Outcome {
        let mut exchange = exchange();
        exchange.decision = Some(Decision {
            layer,
            verdict,
            enforced,
        });
        Outcome::of(&exchange)
    }

    #[test]
    fn the_word_follows_from_layer_verdict_and_mode() {
        let refusal = || Verdict::Respond(Refusal::new(403, "x"));
        for (layer, verdict, enforced, outcome) in [
            (Layer::Waf, refusal(), true, Outcome::Blocked),
            (Layer::Response, refusal(), true, Outcome::Blocked),
            (Layer::Waf, refusal(), false, Outcome::Detected),
            (Layer::Gate, refusal(), true, Outcome::Refused),
            (Layer::Route, refusal(), true, Outcome::Refused),
            (Layer::Waf, Verdict::Drop, true, Outcome::Dropped),
            (Layer::Waf, Verdict::Continue, true, Outcome::Allowed),
        ] {
            assert_eq!(decided(layer, verdict, enforced), outcome, "{layer}");
        }
    }

    #[test]
    fn a_fault_is_an_error_only_if_the_client_felt_it() {
        let mut exchange = exchange();
        exchange.faults.push(Fault {
            layer: Layer::Waf,
            what: "x".into(),
        });
        exchange.response_status = Some(200);
        assert_eq!(Outcome::of(&exchange), Outcome::Allowed);
        exchange.response_status = Some(502);
        assert_eq!(Outcome::of(&exchange), Outcome::Error);
        exchange.response_status = None;
        assert_eq!(Outcome::of(&exchange), Outcome::Error);
    }

    #[test]
    fn an_upstream_that_cannot_be_reached_is_an_error_and_a_client_that_left_is_not() {
        let mut exchange = exchange();
        exchange.error = Some("connection refused".to_owned());
        exchange.response_status = Some(502);
        assert_eq!(Outcome::of(&exchange), Outcome::Error);
        exchange.response_status = Some(200);
        assert_eq!(Outcome::of(&exchange), Outcome::Allowed);
    }

    #[test]
    fn an_upstreams_own_error_is_no_error_of_the_gateway() {
        let mut exchange = exchange();
        exchange.response_status = Some(500);
        assert_eq!(Outcome::of(&exchange), Outcome::Allowed);
    }

    #[test]
    fn every_outcome_stands_at_its_own_index() {
        for (index, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, index);
        }
    }
}
