//! The rule engine as a layer of the pipeline.
//!
//! Translates heads and bodies for `waf-rules`, turns interventions into verdicts, keeps a panic of
//! the engine from reaching the connection, and moves big bodies off the event loop. It must not
//! decide anything itself: rules do, and the profile's mode says whether they are obeyed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use edge_core::{
    Decision, Exchange, Fault, Finding, Head, Layer, Mode, OnFault, Refusal, Severity, Verdict,
};
use waf_rules::{
    Disruption, Ending, Entry, Intervention, Match, Origin, Profile, RequestLine, Transaction,
};

use super::resolver::Resolver;

/// A profile's rules and how far they may go.
#[derive(Clone)]
pub(crate) struct Waf {
    /// Settings of its own over a rule set that every profile with the same sources shares.
    pub(crate) rules: Arc<Profile>,
    /// Never [`Mode::Off`]: such a profile has no `Waf`.
    pub(crate) mode: Mode,
    /// Asks lists for the rules; `None` if no rule may ask.
    pub(crate) resolver: Option<Arc<Resolver>>,
    /// What a panic of the engine means for the request.
    pub(crate) on_fault: OnFault,
}

impl Waf {
    /// Starts a transaction for `exchange`.
    pub(crate) fn begin(&self, exchange: &Exchange, trace: bool) -> Inspection {
        let origin = Origin {
            client: exchange.client,
            server: exchange.connection.local,
        };
        let id = exchange.id.to_string();
        let mut transaction = self.rules.begin(origin, &id, exchange.received);
        if self.mode == Mode::Detect {
            transaction.detection_only();
        }
        if trace {
            transaction.trace();
        }
        Inspection {
            transaction: Some(Box::new(transaction)),
            resolver: self.resolver.clone(),
            on_fault: self.on_fault,
        }
    }
}

/// One exchange in the rule engine. After a fault every further question is answered with
/// [`Verdict::Continue`]: the fault itself has already been reported.
pub(crate) struct Inspection {
    transaction: Option<Box<Transaction>>,
    resolver: Option<Arc<Resolver>>,
    on_fault: OnFault,
}

impl Inspection {
    /// Finds out what the rules of `phase` want to ask lists by DNS.
    pub(crate) async fn look_up(&mut self, phase: u8) {
        let (Some(resolver), Some(transaction)) = (&self.resolver, &mut self.transaction) else {
            return;
        };
        if !transaction.asks_dns() {
            return;
        }
        let resolver = Arc::clone(resolver);
        let names = self.guarded(|transaction| transaction.dns_names(phase));
        let Ok(Some(names)) = names else { return };
        for (name, addresses) in resolver.resolve(names).await {
            if let Some(transaction) = &mut self.transaction {
                transaction.dns_answer(name, addresses);
            }
        }
    }

    /// Phase 1.
    pub(crate) fn request_head(&mut self, head: &Head) -> Result<Verdict, Fault> {
        let line = RequestLine {
            method: head.method(),
            target: head.target(),
            protocol: head.protocol(),
        };
        self.ask(|transaction| transaction.request_headers(line, head.fields()))
    }

    /// Whether the rules want the request body.
    pub(crate) fn wants_request_body(&self) -> bool {
        self.transaction
            .as_ref()
            .is_some_and(|transaction| transaction.inspects_request_body())
    }

    /// Phase 2; `whole` is false if the body goes on beyond `body`.
    pub(crate) async fn request_body(
        self,
        body: Bytes,
        whole: bool,
    ) -> (Self, Result<Verdict, Fault>) {
        self.off_loop(body, move |inspection, body| {
            inspection.ask(|transaction| transaction.request_body(body, whole))
        })
        .await
    }

    /// Phase 3.
    pub(crate) fn response_head<'a>(
        &mut self,
        status: u16,
        protocol: &str,
        fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<Verdict, Fault> {
        self.ask(|transaction| transaction.response_headers(status, protocol, fields))
    }

    /// How many bytes of the response body the rules want to see before it is sent; `None` if
    /// they do not look at it.
    pub(crate) fn holds_response(&self) -> Option<usize> {
        let transaction = self.transaction.as_ref()?;
        transaction
            .inspects_response_body()
            .then(|| transaction.response_body_limit())
    }

    /// Phase 4 on a response whose body nobody wants to see: rules about its head still run.
    pub(crate) fn no_response_body(&mut self) -> Result<Verdict, Fault> {
        self.ask(|transaction| transaction.response_body(&[], false))
    }

    /// Phase 4.
    pub(crate) async fn response_body(
        self,
        body: Bytes,
        whole: bool,
    ) -> (Self, Result<Verdict, Fault>) {
        self.off_loop(body, move |inspection, body| {
            inspection.ask(|transaction| transaction.response_body(body, whole))
        })
        .await
    }

    /// What a fault of the engine means.
    pub(crate) fn on_fault(&self) -> FaultRule {
        FaultRule(self.on_fault)
    }

    /// Phase 5; writes findings, score and a would-be refusal into the exchange. Returns the
    /// matches with their traces, for `explain`.
    pub(crate) fn finish(&mut self, exchange: &mut Exchange) -> Vec<Match> {
        let outcome = match self.guarded(Transaction::finish) {
            Ok(Some(outcome)) => outcome,
            Ok(None) => return Vec::new(),
            Err(fault) => {
                exchange.faults.push(fault);
                return Vec::new();
            }
        };
        exchange.score = outcome.inbound_score;
        exchange
            .findings
            .extend(outcome.matches.iter().map(finding));
        if let (None, Some(intervention)) = (&exchange.decision, outcome.would_block) {
            exchange.decision = Some(Decision {
                layer: Layer::Waf,
                verdict: verdict(Some(intervention)),
                enforced: false,
            });
        }
        outcome.matches
    }

    /// True if the rules may ask for an audit entry.
    pub(crate) fn audits(&self) -> bool {
        let transaction = self.transaction.as_ref();
        transaction.is_some_and(|transaction| transaction.audits())
    }

    /// The audit entry of a finished inspection.
    pub(crate) fn audit(&mut self, ending: &Ending<'_>) -> Result<Option<Entry>, Fault> {
        self.guarded(|transaction| transaction.audit(ending))
            .map(Option::flatten)
    }

    fn ask(
        &mut self,
        question: impl FnOnce(&mut Transaction) -> Option<Intervention>,
    ) -> Result<Verdict, Fault> {
        self.guarded(question)
            .map(|answer| verdict(answer.flatten()))
    }

    /// A panic in the engine must cost one request its inspection, not the process.
    fn guarded<T>(&mut self, act: impl FnOnce(&mut Transaction) -> T) -> Result<Option<T>, Fault> {
        let Some(transaction) = self.transaction.as_deref_mut() else {
            return Ok(None);
        };
        let told = AssertUnwindSafe(|| {
            if transaction.watches_clock() {
                transaction.tick(SystemTime::now());
            }
            act(transaction)
        });
        catch_unwind(told).map(Some).map_err(|_| {
            self.transaction = None;
            Fault {
                layer: Layer::Waf,
                what: "the rule engine panicked".into(),
            }
        })
    }

    /// Runs `act` here for small bodies, on the blocking pool for big ones: other connections of
    /// this thread must not wait for a rule set that reads 128 KiB.
    async fn off_loop(
        mut self,
        body: Bytes,
        act: impl FnOnce(&mut Self, &[u8]) -> Result<Verdict, Fault> + Send + 'static,
    ) -> (Self, Result<Verdict, Fault>) {
        if body.len() <= INLINE_BODY {
            let verdict = act(&mut self, &body);
            return (self, verdict);
        }
        let on_fault = self.on_fault;
        let task = tokio::task::spawn_blocking(move || {
            let verdict = act(&mut self, &body);
            (self, verdict)
        });
        task.await.unwrap_or_else(|_| {
            let fault = Fault {
                layer: Layer::Waf,
                what: "the inspection was cancelled".into(),
            };
            (
                Self {
                    transaction: None,
                    resolver: None,
                    on_fault,
                },
                Err(fault),
            )
        })
    }
}

/// A profile's word for faults, as an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FaultRule(OnFault);

impl FaultRule {
    /// The refusal a fault causes; `None` if the operator wrote `on_fault: allow`.
    pub(crate) fn refusal(self) -> Option<Refusal> {
        match self.0 {
            OnFault::Deny => Some(Refusal::new(500, "a protection layer failed")),
            OnFault::Allow => None,
        }
    }
}

fn verdict(intervention: Option<Intervention>) -> Verdict {
    let Some(Intervention {
        status,
        action,
        rule_id,
        ..
    }) = intervention
    else {
        return Verdict::Continue;
    };
    let location = match action {
        Disruption::Drop => return Verdict::Drop,
        Disruption::Deny => None,
        Disruption::Redirect(location) => Some(location),
    };
    Verdict::Respond(Refusal {
        location,
        ..Refusal::new(status, format!("rule {rule_id}"))
    })
}

fn finding(matched: &Match) -> Finding {
    Finding {
        rule_id: matched.rule_id,
        msg: matched.msg.clone(),
        data: matched.data.clone(),
        matched: matched.matched.clone(),
        variable: matched.variable.clone(),
        severity: matched.severity.and_then(Severity::from_number),
        tags: matched.tags.clone(),
    }
}

/// Bodies up to this size are inspected on the event loop: well under a millisecond.
const INLINE_BODY: usize = 16 * 1024;
