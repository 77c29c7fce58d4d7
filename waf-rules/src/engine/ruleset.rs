//! The compiled, immutable rule set.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::cache::Pipeline;
use super::evaluate::run_phase;
use super::memory::Key;
use super::outside::Outside;
use super::plan::Plan;
use super::prefilter::Scanner;
use super::quick::Quick;
use super::rule::{EngineMode, Exclusion, Rule};
use super::selector::Selectors;
use super::state::State;
use super::target::TargetSet;
use super::transaction::{Origin, Transaction};
use super::tx::{Slot, TxNames};
use crate::audit::{AuditOutputs, AuditSettings};
use crate::body::json::Naming;
use crate::body::nested::Kinds;
use crate::body::xml::XPath;
use crate::operators::leading_number;
use crate::variables::fill_defaults;

/// Compiled rules; shared by all transactions.
#[derive(Debug, Default)]
pub struct RuleSet {
    pub(crate) settings: Settings,
    pub(crate) rules: Vec<Rule>,
    /// The rules of each phase in load order.
    pub(crate) phases: [Vec<Entry>; 5],
    pub(crate) plan: Plan,
    pub(crate) selectors: Selectors,
    pub(crate) tx_names: TxNames,
    /// The known `TX` names that each selector means.
    pub(crate) tx_selected: Vec<Box<[Slot]>>,
    /// Number 0 is the empty pipeline.
    pub(crate) pipelines: Vec<Pipeline>,
    pub(crate) targets: Vec<TargetSet>,
    pub(crate) scanners: [Scanner; 2],
    pub(crate) exclusions: Vec<Exclusion>,
    pub(crate) scores: Scores,
    pub(crate) key: Key,
    pub(crate) outside: Outside,
}

/// A rule's place in the program of its phase.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) rule: u32,
    /// What has to hold for the rule to be worth running.
    pub(crate) quick: Option<Quick>,
}

/// Where the rules keep their anomaly scores, best first.
#[derive(Debug, Default)]
pub(crate) struct Scores {
    pub(crate) inbound: Vec<Slot>,
    pub(crate) outbound: Vec<Slot>,
    /// The sums the Core Rule Set adds up to its score, each with its paranoia level.
    pub(crate) parts: Vec<(Slot, i64)>,
    /// Up to which level it adds them up: CRS 4, CRS 3.
    pub(crate) levels: [Slot; 2],
}

impl Scores {
    /// True if `slot` holds a score or a part of one.
    pub(crate) fn hold(&self, slot: Slot) -> bool {
        self.inbound.contains(&slot)
            || self.outbound.contains(&slot)
            || self.parts.iter().any(|(part, _)| *part == slot)
    }

    /// True if what is added to `slot` ends up in a score that is reported.
    pub(crate) fn count(&self, slot: Slot, state: &State) -> bool {
        if self.inbound.contains(&slot) || self.outbound.contains(&slot) {
            return true;
        }
        let part = self.parts.iter().find(|(part, _)| *part == slot);
        part.is_some_and(|(_, level)| *level <= self.blocking_level(state))
    }

    fn blocking_level(&self, state: &State) -> i64 {
        let set = self.levels.iter().find_map(|slot| state.tx.get(*slot));
        set.map_or(1, |level| leading_number(state.arena.get(level.value)))
    }
}

/// What the configuration directives set.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) engine: EngineMode,
    pub(crate) request_body_access: bool,
    pub(crate) response_body_access: bool,
    pub(crate) request_body_limit: Option<usize>,
    pub(crate) request_body_partial: bool,
    pub(crate) request_body_no_files_limit: Option<usize>,
    pub(crate) response_body_limit: usize,
    pub(crate) response_body_partial: bool,
    pub(crate) response_body_types: Vec<String>,
    pub(crate) json_depth: usize,
    pub(crate) response_json_depth: usize,
    pub(crate) json_naming: Naming,
    /// What rules ask of XML beyond `/*` and `//@*`.
    pub(crate) xml_paths: Vec<XPath>,
    pub(crate) arguments: usize,
    pub(crate) nested_arguments: Kinds,
    pub(crate) argument_separator: u8,
    pub(crate) upload_files: usize,
    pub(crate) audit: AuditSettings,
    /// Some rule looks at `FULL_REQUEST`.
    pub(crate) full_request: bool,
    /// Some rule looks at the content of uploads.
    pub(crate) file_contents: bool,
    /// `SecHttpBlKey`.
    pub(crate) http_bl_key: String,
    /// `SecWebAppId`.
    pub(crate) application: String,
    /// How long a record of a persistent collection lives after its last change.
    pub(crate) collection_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            engine: EngineMode::On,
            request_body_access: true,
            response_body_access: false,
            request_body_limit: None,
            request_body_partial: false,
            request_body_no_files_limit: None,
            response_body_limit: 512 << 10,
            response_body_partial: true,
            response_body_types: ["text/plain", "text/html", "text/xml"]
                .map(str::to_owned)
                .to_vec(),
            json_depth: 1024,
            response_json_depth: 1024,
            json_naming: Naming::default(),
            xml_paths: Vec::new(),
            arguments: 1000,
            nested_arguments: Kinds::default(),
            argument_separator: b'&',
            upload_files: 100,
            audit: AuditSettings::default(),
            full_request: false,
            file_contents: false,
            http_bl_key: String::new(),
            application: String::new(),
            collection_timeout: Duration::from_secs(3600),
        }
    }
}

impl RuleSet {
    /// Starts a transaction with the rules as they are; see [`Profile`](super::Profile).
    #[must_use]
    pub fn begin(
        self: &Arc<Self>,
        origin: Origin,
        unique_id: &str,
        now: SystemTime,
    ) -> Transaction {
        Transaction::new(Arc::clone(self), None, origin, unique_id, now)
    }

    /// The known `TX` names that selector `number` means.
    pub(crate) fn tx_selected(&self, number: u32) -> &[Slot] {
        let selected = self.tx_selected.get(number as usize);
        selected.map_or(&[], |slots| slots)
    }

    /// Finds out what the rules themselves set in phase 1, for the guards to expect: a request
    /// without anything in it is run once. What is expected wrongly costs time and nothing else.
    pub(crate) fn foresee(&mut self) {
        let mut state = State::new(self, None, SystemTime::UNIX_EPOCH);
        fill_defaults(&mut state);
        run_phase(self, &mut state, 1);
        self.plan
            .expect(|quick| state.tx.get(quick.slot).map(|value| value.number));
    }

    /// What a host must open for the audit log; `None` if no entry can come.
    #[must_use]
    pub fn audit_outputs(&self) -> Option<AuditOutputs> {
        self.settings.audit.outputs()
    }

    /// How many rules there are; a chain counts as one.
    #[must_use]
    pub fn rule_count(&self) -> usize {
        self.rules.len()
    }

    /// Identifiers of the rules, in load order.
    pub fn rule_ids(&self) -> impl Iterator<Item = u64> {
        self.rules.iter().map(|rule| rule.id)
    }
}
