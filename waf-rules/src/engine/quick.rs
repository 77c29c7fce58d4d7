//! Comparisons of one `TX` variable with a number, answered without text.
//!
//! A third of the Core Rule Set's rules start with one. A comparison that fails has no effect at all,
//! so it is asked before anything else; one that holds leaves behind what the long way would.

use super::rule::{Link, Rule};
use super::ruleset::RuleSet;
use super::state::{Hit, State};
use super::target::{Pick, TargetSet};
use super::tx::Slot;
use crate::operators::{Number, leading_number};
use crate::variables::Variable;

/// `TX:slot "@number argument"` or `&TX:slot "@number argument"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quick {
    pub(crate) slot: Slot,
    counted: bool,
    number: Number,
    argument: i64,
    negated: bool,
    /// All that can come of it is a jump.
    pub(crate) silent: bool,
}

impl Quick {
    /// The comparison that `rule` starts with, if it starts with one.
    pub(crate) fn of(rule: &Rule, targets: &[TargetSet]) -> Option<Self> {
        let link = rule.links.first()?;
        let check = link.check.as_ref()?;
        let number = check.operator.number()?;
        let set = targets.get(link.targets as usize)?;
        let ([target], []) = (&*set.includes, &*set.excludes) else {
            return None;
        };
        let (Variable::Tx, Pick::Slot(slot)) = (target.variable, target.pick) else {
            return None;
        };
        let plain = link.pipeline == 0 && !link.multi_match && !link.capture;
        let plain = plain && check.template.is_none();
        plain.then(|| Self {
            slot,
            counted: target.counted,
            number,
            argument: leading_number(check.argument.as_bytes()),
            negated: check.negated,
            silent: !target.counted && does_nothing(rule, link),
        })
    }

    /// True if the link it stands for matches.
    pub(crate) fn holds(&self, state: &State) -> bool {
        let value = state.tx.get(self.slot);
        if self.counted {
            return self.compare(i64::from(value.is_some()));
        }
        value.is_some_and(|value| self.compare(value.number))
    }

    /// True if `number` is what the rule asks for.
    pub(crate) fn compare(&self, number: i64) -> bool {
        self.number.compare(number, self.argument) != self.negated
    }

    /// What a match leaves behind: an entry in `MATCHED_VARS`, and `MATCHED_VAR`.
    pub(crate) fn hit(&self, rules: &RuleSet, state: &mut State) {
        let set = state.tx.get(self.slot);
        let (name, value) = if self.counted {
            let count = state.arena.push_number(i64::from(set.is_some()));
            (state.arena.push(rules.tx_names.name(self.slot)), count)
        } else {
            set.map_or_else(Default::default, |set| (set.name, set.value))
        };
        let hit = Hit {
            variable: Variable::Tx,
            counted: self.counted,
            name,
            value,
            raw: value,
        };
        state.current.push(hit);
        state.last = Some(hit);
    }

    /// True if the variable is counted, not read.
    pub(crate) fn is_counted(&self) -> bool {
        self.counted
    }
}

fn does_nothing(rule: &Rule, link: &Link) -> bool {
    rule.links.len() == 1
        && link.setvars.is_empty()
        && link.controls.is_empty()
        && link.severity.is_none()
        && rule.disruption.is_none()
        && !rule.logged
}
