//! What the rules did, event by event, for those who ask why a rule did or did not match.
//!
//! Kept only in a transaction that records ([`super::Transaction::record`]), which also evaluates
//! every rule on every value: nothing here runs otherwise.

use super::arena::Text;
use super::cache::Transformed;
use super::live::full_name;
use super::log::{VALUE, expanded, printable, steps};
use super::report::Step;
use super::rule::{Check, Link, Rule};
use super::ruleset::RuleSet;
use super::selector::Selector;
use super::state::{Hit, State};
use super::target::{Item, Pick, Target, TargetSet};
use crate::variables::Variable;

/// Most events one transaction keeps.
const EVENTS: usize = 100_000;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A link of a rule asks its operator about the values of its targets.
    Asked {
        /// The rule (the chain's starter).
        rule_id: u64,
        /// The operator as ModSecurity prints it, with `!` where it is negated.
        operator: String,
        /// Its parameter, macros expanded.
        parameter: String,
        /// What it looks at, as a rule writes it: `ARGS:q`, `TX:/score/`.
        targets: Vec<String>,
    },
    /// It asked about this value.
    Tested {
        /// Full name, such as `ARGS:q`.
        variable: String,
        /// The value after the last transformation.
        value: String,
        /// The value after each of them.
        steps: Vec<Step>,
        /// The answer, negation applied.
        matched: bool,
    },
    /// The link is done.
    Returned {
        /// The rule.
        rule_id: u64,
        /// True if any value matched.
        matched: bool,
    },
    /// A rule set a variable of its own; `None` removed it.
    Set {
        /// Full name, such as `TX:score`.
        name: String,
        /// The new value.
        value: Option<String>,
    },
    /// A rule matched, its whole chain did.
    Matched {
        /// The rule.
        rule_id: u64,
        /// Its message, macros expanded; also where the rule is not to be logged.
        msg: String,
        /// Its tags, macros expanded.
        tags: Vec<String>,
    },
    /// A rule was not asked.
    Skipped {
        /// The rule.
        rule_id: u64,
        /// Why.
        cause: Skip,
    },
    /// A rule's disruptive action or control ran, or would have in detection mode.
    Acted {
        /// The rule.
        rule_id: u64,
        /// The action, such as `deny` or `ctl:ruleEngine=Off`.
        action: &'static str,
    },
}

/// Why a rule was not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skip {
    /// A `ctl` removed it.
    Removed,
    /// `skip` went over it.
    Skip,
    /// `skipAfter` went over it.
    SkipAfter,
    /// An `allow` or an intervention ended the phase before it.
    Ended,
}

/// Notes `event` if the transaction records.
pub(crate) fn note(state: &mut State, event: impl FnOnce() -> Event) {
    if let Some(events) = &mut state.events
        && events.len() < EVENTS
    {
        events.push(event());
    }
}

pub(crate) fn asked(
    rules: &RuleSet,
    state: &mut State,
    check: &Check,
    set: &TargetSet,
    argument: &[u8],
) {
    let running = state.running as usize;
    note(state, || {
        let targets = set.includes.iter().map(|target| written(rules, target));
        let mark = if check.negated { "!" } else { "" };
        Event::Asked {
            rule_id: rules.rules.get(running).map_or(0, |rule| rule.id),
            operator: format!("{mark}{}", check.operator.name()),
            parameter: printable(argument, VALUE),
            targets: targets.collect(),
        }
    });
}

/// A target as a rule writes it.
fn written(rules: &RuleSet, target: &Target) -> String {
    let name = target.variable.name();
    let selector = match target.pick {
        Pick::All => return name.to_owned(),
        Pick::Slot(slot) => {
            return format!("{name}:{}", printable(rules.tx_names.name(slot), VALUE));
        }
        Pick::Selector(number) => rules.selectors.of(target.variable).get(number as usize),
    };
    let key: &[u8] = match selector {
        Some(Selector::Regex(pattern, _)) => return format!("{name}:/{}/", pattern.text()),
        Some(Selector::Key(key) | Selector::Path(key) | Selector::Subtree(key)) => key,
        None => &[],
    };
    format!("{name}:{}", printable(key, VALUE))
}

pub(crate) fn tested(
    rules: &RuleSet,
    state: &mut State,
    link: &Link,
    item: &Item,
    transformed: Transformed,
    matched: bool,
) {
    if state.events.is_none() {
        return;
    }
    let hit = Hit::of(item, transformed.text);
    let name = full_name(state, &hit);
    let mut variable = printable(state.arena.get(name), VALUE);
    if matches!(
        hit.variable,
        Variable::MatchedVars | Variable::MatchedVarsNames
    ) {
        variable = format!("{}:{variable}", hit.variable.name());
    }
    let event = Event::Tested {
        variable,
        value: printable(state.arena.get(hit.value), VALUE),
        steps: steps(rules, state, link.pipeline, &hit),
        matched,
    };
    note(state, || event);
}

pub(crate) fn set(state: &mut State, name: &[u8], value: Option<Text>) {
    let event = Event::Set {
        name: format!("TX:{}", printable(name, VALUE)),
        value: value.map(|value| printable(state.arena.get(value), VALUE)),
    };
    note(state, || event);
}

/// As [`set`], for a variable of another collection.
pub(crate) fn kept(state: &mut State, collection: Variable, name: &[u8], value: Option<Text>) {
    if state.events.is_none() {
        return;
    }
    let event = Event::Set {
        name: format!("{}:{}", collection.name(), printable(name, VALUE)),
        value: value.map(|value| printable(state.arena.get(value), VALUE)),
    };
    note(state, || event);
}

pub(crate) fn matched(rules: &RuleSet, state: &mut State, rule: &Rule) {
    if state.events.is_none() {
        return;
    }
    let msg = expanded(rules, state, rule.meta.msg.as_ref());
    let tags = match &rule.meta.tag_templates {
        None => rule.meta.tags.to_vec(),
        Some(templates) => templates
            .iter()
            .map(|template| expanded(rules, state, Some(template)))
            .collect(),
    };
    let rule_id = rule.id;
    note(state, || Event::Matched { rule_id, msg, tags });
}
