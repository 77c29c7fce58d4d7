//! Everything that changes while one exchange runs through the rules.

use std::sync::Arc;
use std::time::SystemTime;

use super::arena::{Arena, Text};
use super::bits::Bits;
use super::cache::Cache;
use super::candidates::Candidates;
use super::collections::Collections;
use super::lookups::Looked;
use super::memory::Memory;
use super::prefilter::Side;
use super::profile::Profile;
use super::report::{Intervention, Match};
use super::room::Room;
use super::rule::{Allow, EngineMode, Processor};
use super::ruleset::RuleSet;
use super::target::Item;
use super::trace::Event;
use super::tx::Tx;
use super::values::Values;
use crate::audit::Trail;
use crate::body::nested::Kinds;
use crate::operators::Captures;
use crate::regex::Budget;
use crate::variables::Variable;

/// One value a link matched on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hit {
    pub(crate) variable: Variable,
    /// The value is a count, not a member.
    pub(crate) counted: bool,
    pub(crate) name: Text,
    /// After transformations.
    pub(crate) value: Text,
    /// Before them.
    pub(crate) raw: Text,
}

impl Hit {
    /// `item`, and what the transformations made of its value.
    pub(crate) fn of(item: &Item, value: Text) -> Self {
        Self {
            variable: item.variable,
            counted: item.counted,
            name: item.name,
            value,
            raw: item.value,
        }
    }
}

/// The state of one transaction.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the rule language"
)]
pub(crate) struct State {
    pub(crate) arena: Arena,
    pub(crate) values: Values,
    pub(crate) tx: Tx,
    pub(crate) cache: Cache,
    pub(crate) candidates: Candidates,
    /// Lent by the thread while a phase runs.
    pub(crate) memory: Option<Memory>,
    /// Look at every value as if it were the first of its kind.
    pub(crate) forgetful: bool,
    pub(crate) collections: Collections,
    pub(crate) looked: Looked,
    pub(crate) started: SystemTime,
    pub(crate) now: SystemTime,

    pub(crate) side: Side,
    /// The rule being evaluated.
    pub(crate) running: u32,
    /// Hits of the link before this one.
    pub(crate) previous: Vec<Hit>,
    /// Hits of all links before this one: `MATCHED_VARS`.
    pub(crate) chain: Vec<Hit>,
    /// Hits of the running chain's first link.
    pub(crate) starters: Vec<Hit>,
    /// Hits of this link.
    pub(crate) current: Vec<Hit>,
    /// The last hit of all: `MATCHED_VAR`.
    pub(crate) last: Option<Hit>,
    pub(crate) captures: Captures,
    /// What look-around and back-references may still cost.
    pub(crate) budget: Budget,
    pub(crate) highest_severity: u8,
    /// What the running rule has added to the anomaly score.
    pub(crate) added: i64,

    /// What is laid over the rules; `None`: nothing.
    pub(crate) profile: Option<Arc<Profile>>,
    /// Rules the profile or a `ctl` took out.
    pub(crate) removed: Bits,
    /// Numbers of the exclusions a `ctl` put in force.
    pub(crate) exclusions: Vec<u32>,
    pub(crate) engine: EngineMode,
    pub(crate) processor: Option<Processor>,
    pub(crate) force_request_body: bool,
    pub(crate) nested: Kinds,
    pub(crate) response_processor: Option<Processor>,
    /// Why the response body could not be parsed to its end.
    pub(crate) response_error: Option<String>,
    pub(crate) request_body_access: bool,
    pub(crate) response_body_access: bool,
    pub(crate) response_type_fits: bool,
    pub(crate) traced: bool,
    /// Present in a transaction that records what its rules did.
    pub(crate) events: Option<Vec<Event>>,
    /// The host asked for detection only: no rule may turn blocking on.
    pub(crate) detection_only: bool,
    pub(crate) allowed: Option<Allow>,

    pub(crate) matches: Vec<Match>,
    /// Only where an audit entry may come to be written.
    pub(crate) trail: Option<Box<Trail>>,
    pub(crate) intervention: Option<Intervention>,
    pub(crate) would_block: Option<Intervention>,
    /// The first thing that did not fit and so was not inspected.
    overflow: Option<&'static str>,

    // Buffers that are reused from rule to rule.
    pub(crate) live_items: Vec<Item>,
    pub(crate) macro_items: Vec<Item>,
    pub(crate) expansion: Vec<u8>,
    pub(crate) argument: Vec<u8>,
}

impl Drop for State {
    fn drop(&mut self) {
        Room::put(self);
    }
}

impl State {
    pub(crate) fn new(rules: &RuleSet, profile: Option<Arc<Profile>>, now: SystemTime) -> Self {
        let room = Room::take(rules);
        let (mut arena, mut tx) = (room.arena, room.tx);
        let [previous, chain, starters, current] = room.hits;
        let [live_items, macro_items] = room.items;
        let [expansion, argument] = room.texts;
        let mut removed = Bits::default();
        if let Some(profile) = &profile {
            profile.pin_all(&mut tx, &mut arena);
            removed.clone_from(&profile.removed);
        }
        let audit = &rules.settings.audit;
        Self {
            arena,
            values: room.values,
            tx,
            cache: room.cache,
            candidates: room.candidates,
            memory: None,
            forgetful: false,
            collections: Collections::default(),
            looked: Looked::default(),
            started: now,
            now,
            side: Side::Request,
            running: 0,
            previous,
            chain,
            starters,
            current,
            last: None,
            captures: Captures::default(),
            budget: Budget::default(),
            highest_severity: 255,
            added: 0,
            profile,
            removed,
            exclusions: Vec::new(),
            engine: rules.settings.engine,
            processor: None,
            force_request_body: false,
            response_processor: None,
            response_error: None,
            nested: rules.settings.nested_arguments,
            request_body_access: rules.settings.request_body_access,
            response_body_access: rules.settings.response_body_access,
            response_type_fits: false,
            traced: false,
            events: None,
            detection_only: false,
            allowed: None,
            matches: Vec::new(),
            trail: audit.awaited().then(|| Box::new(Trail::new(audit))),
            intervention: None,
            would_block: None,
            overflow: None,
            live_items,
            macro_items,
            expansion,
            argument,
        }
    }

    /// True if no `TX` variable is kept from `rule`, so that a comparison may be answered without
    /// looking for exclusions.
    pub(crate) fn may_go_quick(&self, rules: &RuleSet, rule: u32) -> bool {
        let withheld = |profile: &Arc<Profile>| profile.withholds_any(rule);
        let about_tx = |number: &u32| {
            let exclusion = rules.exclusions.get(*number as usize);
            exclusion.is_none_or(|exclusion| exclusion.variable == Variable::Tx)
        };
        !self.cache.plain
            && !self.exclusions.iter().any(about_tx)
            && !self.profile.as_ref().is_some_and(withheld)
    }

    /// Notes that something was left out of inspection: the transaction is refused for it.
    pub(crate) fn overflow(&mut self, reason: &'static str) {
        self.overflow.get_or_insert(reason);
    }

    /// What was left out of inspection, if anything was.
    pub(crate) fn overflowed(&self) -> Option<&'static str> {
        if self.arena.is_cut() {
            return Some("The exchange needs more memory than the rules may use.");
        }
        if self.tx.is_full() {
            return Some("The rules made more variables than a transaction may have.");
        }
        self.overflow
    }

    /// Adds a member of `variable`.
    pub(crate) fn add(&mut self, variable: Variable, name: &[u8], value: &[u8]) {
        let name = self.arena.push(name);
        let value = self.arena.push(value);
        self.values.add(variable, name, value);
    }

    /// Sets a variable without keys.
    pub(crate) fn set(&mut self, variable: Variable, value: &[u8]) {
        let value = self.arena.push(value);
        self.values.set(variable, value);
    }

    /// Sets a variable without keys to a number.
    pub(crate) fn set_number(&mut self, variable: Variable, number: usize) {
        let value = self
            .arena
            .push_number(i64::try_from(number).unwrap_or(i64::MAX));
        self.values.set(variable, value);
    }
}
