//! One exchange on its way through the five phases.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::SystemTime;

use super::blocklists;
use super::collections::tick;
use super::evaluate::run_phase;
use super::profile::Profile;
use super::report::{Disruption, Intervention, Outcome};
use super::rule::EngineMode;
use super::ruleset::RuleSet;
use super::state::State;
use super::tx::Slot;
use crate::audit::{self, Ending, Entry, Redaction, Trail};
use crate::operators::leading_number;
use crate::variables::{
    fill_body, fill_defaults, fill_full_request, fill_nested, fill_origin, fill_request,
    fill_response, fill_response_body,
};

/// The two ends of the connection.
#[derive(Debug, Clone, Copy)]
pub struct Origin {
    /// The client, as the host trusts it (behind proxies: the real one).
    pub client: SocketAddr,
    /// The address the request came in on.
    pub server: SocketAddr,
}

/// The parts of the request line, as received.
#[derive(Debug, Clone, Copy)]
pub struct RequestLine<'a> {
    /// Method.
    pub method: &'a [u8],
    /// Request target, raw.
    pub target: &'a [u8],
    /// Protocol, such as `HTTP/1.1`.
    pub protocol: &'a [u8],
}

/// Runs the rules over one exchange. Call the phases in order; [`Transaction::finish`] always.
#[derive(Debug)]
pub struct Transaction {
    rules: Arc<RuleSet>,
    state: State,
}

impl Transaction {
    pub(crate) fn new(
        rules: Arc<RuleSet>,
        profile: Option<Arc<Profile>>,
        origin: Origin,
        unique_id: &str,
        now: SystemTime,
    ) -> Self {
        let mut state = State::new(&rules, profile, now);
        fill_defaults(&mut state);
        fill_origin(&mut state, origin, unique_id);
        Self { rules, state }
    }

    /// Rules report what they would do instead of doing it.
    pub fn detection_only(&mut self) {
        self.state.detection_only = true;
        if self.state.engine == EngineMode::On {
            self.state.engine = EngineMode::DetectionOnly;
        }
    }

    /// True if the rules ask for the time: the host then tells it before each phase.
    #[must_use]
    pub fn watches_clock(&self) -> bool {
        self.rules.outside.clock
    }

    /// Tells the time, which stands still otherwise.
    pub fn tick(&mut self, now: SystemTime) {
        tick(&self.rules, &mut self.state, now);
    }

    /// True if some rule asks a list by DNS: the host then resolves names before each phase.
    #[must_use]
    pub fn asks_dns(&self) -> bool {
        !self.rules.outside.asks.is_empty() && self.state.engine != EngineMode::Off
    }

    /// Names whose IPv4 addresses the rules of `phase` would like to know; a few at most. Values that
    /// the phase itself brings (the head in phase 1, the body in phase 2) are not known yet.
    pub fn dns_names(&mut self, phase: u8) -> Vec<String> {
        blocklists::names(&self.rules, &mut self.state, phase)
    }

    /// Hands in what `name` resolved to; names that never come back are on no list.
    pub fn dns_answer(&mut self, name: String, addresses: Vec<Ipv4Addr>) {
        self.state.looked.answers.push((name, addresses));
    }

    /// Keeps the transformation steps of matching values.
    pub fn trace(&mut self) {
        self.state.traced = true;
    }

    /// Keeps everything the rules do, in [`Outcome::events`]. Every rule is then asked about every
    /// value it names, without caches and prefilters: slow, and for people only.
    pub fn record(&mut self) {
        self.state.traced = true;
        self.state.events = Some(Vec::new());
        self.state.cache.plain = true;
    }

    /// Looks at every value as if none had been seen before: for measurements.
    pub fn forget(&mut self) {
        self.state.forgetful = true;
    }

    /// Evaluates every rule on every value, without caches and prefilters: slow, and the measure of
    /// what they may change (nothing).
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn plainly(&mut self) {
        self.state.cache.plain = true;
    }

    /// What is set in `TX` and was matched last.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn variables(&self) -> Vec<String> {
        let state = &self.state;
        let text = |text| String::from_utf8_lossy(state.arena.get(text)).into_owned();
        let last = state.last.map(|hit| (hit.name, hit.value));
        let tx = state.tx.iter().map(|set| (set.name, set.value));
        tx.chain(last)
            .map(|(name, value)| format!("{}={}", text(name), text(value)))
            .collect()
    }

    /// Keeps what [`Transaction::error_lines`] tells, also where the rules write no audit log.
    pub fn keep_lines(&mut self) {
        let settings = &self.rules.settings.audit;
        self.state
            .trail
            .get_or_insert_with(|| Box::new(Trail::new(settings)));
    }

    /// Phase 1.
    pub fn request_headers<'h>(
        &mut self,
        line: RequestLine<'_>,
        headers: impl Iterator<Item = (&'h [u8], &'h [u8])>,
    ) -> Option<Intervention> {
        fill_request(&mut self.state, &self.rules.settings, line, headers);
        self.run(1)
    }

    /// True if the rules want to see the request body.
    #[must_use]
    pub fn inspects_request_body(&self) -> bool {
        self.state.engine != EngineMode::Off && self.state.request_body_access
    }

    /// Parses the body and runs phase 2; also called with an empty body. `whole` is false where the
    /// host cut the body at its inspection limit.
    pub fn request_body(&mut self, body: &[u8], whole: bool) -> Option<Intervention> {
        let settings = &self.rules.settings;
        let mut seen = body;
        if self.inspects_request_body() {
            let limit = settings.request_body_limit.unwrap_or(usize::MAX);
            if let Some(start) = body.get(..limit).filter(|_| body.len() > limit) {
                if !settings.request_body_partial {
                    refuse(
                        &mut self.state,
                        413,
                        "The request body is over SecRequestBodyLimit.",
                    );
                    if self.state.intervention.is_some() {
                        return self.state.intervention.clone();
                    }
                }
                seen = start;
            }
            let partial = !whole || seen.len() < body.len();
            if let Some(trail) = &mut self.state.trail {
                trail.keep_body(seen);
            }
            fill_body(&mut self.state, settings, seen, partial);
        }
        fill_nested(&mut self.state, settings);
        if settings.full_request {
            fill_full_request(&mut self.state, seen);
        }
        self.run(2)
    }

    /// Phase 3.
    pub fn response_headers<'h>(
        &mut self,
        status: u16,
        protocol: &str,
        headers: impl Iterator<Item = (&'h [u8], &'h [u8])>,
    ) -> Option<Intervention> {
        let settings = &self.rules.settings;
        fill_response(&mut self.state, settings, status, protocol, headers);
        self.run(3)
    }

    /// True if the rules want to see the response body, given the headers seen in phase 3.
    #[must_use]
    pub fn inspects_response_body(&self) -> bool {
        self.state.engine != EngineMode::Off
            && self.state.response_body_access
            && self.state.response_type_fits
    }

    /// How many bytes of the response body the rules look at.
    #[must_use]
    pub fn response_body_limit(&self) -> usize {
        self.rules.settings.response_body_limit
    }

    /// Phase 4; also called with an empty body where the rules do not look at it.
    pub fn response_body(&mut self, body: &[u8], whole: bool) -> Option<Intervention> {
        if self.inspects_response_body() {
            let settings = &self.rules.settings;
            let limit = settings.response_body_limit;
            let cut = body.len() > limit;
            if cut && !settings.response_body_partial {
                refuse(
                    &mut self.state,
                    500,
                    "The response body is over SecResponseBodyLimit.",
                );
                if self.state.intervention.is_some() {
                    return self.state.intervention.clone();
                }
            }
            let seen = body.get(..limit).unwrap_or(body);
            fill_response_body(&mut self.state, settings, seen, cut || !whole);
        }
        self.run(4)
    }

    /// Phase 5, and the result.
    pub fn finish(&mut self) -> Outcome {
        run_phase(&self.rules, &mut self.state, 5);
        if let Some(trail) = &mut self.state.trail {
            trail.would_be = self.state.would_block.as_ref().map(|would| would.status);
        }
        Outcome {
            matches: std::mem::take(&mut self.state.matches),
            inbound_score: self.score(&self.rules.scores.inbound),
            outbound_score: self.score(&self.rules.scores.outbound),
            would_block: self.state.would_block.take(),
            events: self.state.events.take().unwrap_or_default(),
        }
    }

    /// What is left of it, for suites that look inside.
    #[cfg(test)]
    pub(crate) fn into_state(self) -> State {
        self.state
    }

    /// True if an audit entry may come.
    #[must_use]
    pub fn audits(&self) -> bool {
        self.state.trail.is_some()
    }

    /// The audit entry of an exchange that is over, if one is to be written. To be asked after
    /// [`Transaction::finish`].
    #[must_use]
    pub fn audit(&self, ending: &Ending<'_>) -> Option<Entry> {
        audit::render(&self.rules, &self.state, ending)
    }

    /// ModSecurity's error log lines of the rules that matched, without time and place; nothing
    /// unless [`Transaction::keep_lines`] was called or the rules write an audit log.
    #[must_use]
    pub fn error_lines(&self, redaction: &Redaction) -> Vec<Vec<u8>> {
        audit::lines(&self.rules, &self.state, redaction)
    }

    fn run(&mut self, phase: u8) -> Option<Intervention> {
        if self.state.intervention.is_some() {
            return None;
        }
        run_phase(&self.rules, &mut self.state, phase);
        self.refuse_overflow(phase);
        self.state.intervention.clone()
    }

    /// What did not fit was not inspected, so it must not pass, unless a rule allowed it.
    fn refuse_overflow(&mut self, phase: u8) {
        let Some(message) = self.state.overflowed() else {
            return;
        };
        if self.state.intervention.is_some() || self.state.allowed.is_some() {
            return;
        }
        refuse(&mut self.state, if phase <= 2 { 400 } else { 500 }, message);
    }

    /// The highest of the scores that are kept.
    fn score(&self, slots: &[Slot]) -> Option<i64> {
        slots
            .iter()
            .filter_map(|slot| self.state.tx.get(*slot))
            .map(|score| leading_number(self.state.arena.get(score.value)))
            .max()
    }
}

/// Refuses by the engine's own decision; says in detection mode what it would have done.
fn refuse(state: &mut State, status: u16, message: &str) {
    let refusal = refusal(status, message);
    match state.engine {
        EngineMode::On => state.intervention = Some(refusal),
        EngineMode::DetectionOnly => {
            state.would_block.get_or_insert(refusal);
        }
        EngineMode::Off => {}
    }
}

/// The engine's own refusal, which no rule asked for.
fn refusal(status: u16, message: &str) -> Intervention {
    Intervention {
        status,
        action: Disruption::Deny,
        rule_id: 0,
        message: message.to_owned(),
    }
}
