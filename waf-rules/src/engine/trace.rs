//! What the rules did, event by event, for those who ask why a rule did or did not match.
//!
//! Kept only in a transaction that records ([`super::Transaction::record`]), which also evaluates
//! every rule on every value: nothing here runs otherwise.

use super::arena::Text;
use super::cache::Transformed;
use super::live::full_name;
use super::log::{VALUE, printable, steps};
use super::report::Step;
use super::rule::{Check, Link};
use super::ruleset::RuleSet;
use super::state::{Hit, State};
use super::target::{Item, TargetSet};
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
        /// Names of the variables it looks at, separated by `|`.
        targets: String,
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
        let names: Vec<_> = set
            .includes
            .iter()
            .map(|target| target.variable.name())
            .collect();
        let mark = if check.negated { "!" } else { "" };
        Event::Asked {
            rule_id: rules.rules.get(running).map_or(0, |rule| rule.id),
            operator: format!("{mark}{}", check.operator.name()),
            parameter: printable(argument, VALUE),
            targets: names.join("|"),
        }
    });
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
    let hit = Hit {
        variable: item.variable,
        counted: item.counted,
        name: item.name,
        value: transformed.text,
        raw: item.value,
    };
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
