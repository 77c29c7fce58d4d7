//! Target lists, compiled: which values a rule looks at.

use super::arena::Text;
use super::ruleset::RuleSet;
use super::state::State;
use super::tx::Slot;
use crate::variables::{Origin, Variable};

/// The targets of one or more links that were written alike.
#[derive(Debug, PartialEq, Eq, Hash, Clone)]
pub(crate) struct TargetSet {
    pub(crate) includes: Box<[Target]>,
    pub(crate) excludes: Box<[Exclude]>,
    /// The values cannot change while a phase runs.
    pub(crate) fixed: bool,
}

/// A target that is looked at.
#[derive(Debug, PartialEq, Eq, Hash, Clone, Copy)]
pub(crate) struct Target {
    pub(crate) variable: Variable,
    pub(crate) pick: Pick,
    pub(crate) counted: bool,
}

/// A target that is left out.
#[derive(Debug, PartialEq, Eq, Hash, Clone, Copy)]
pub(crate) struct Exclude {
    pub(crate) variable: Variable,
    pub(crate) pick: Pick,
}

/// Which members of a variable.
#[derive(Debug, PartialEq, Eq, Hash, Clone, Copy)]
pub(crate) enum Pick {
    All,
    /// The members that selector number n of the variable's family means.
    Selector(u32),
    /// One `TX` variable.
    Slot(Slot),
}

/// One value a link tests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Item {
    pub(crate) variable: Variable,
    pub(crate) name: Text,
    pub(crate) value: Text,
    /// Number among the fixed values, [`Item::LIVE`] for the others.
    pub(crate) id: u32,
    /// The value is how many members there are.
    pub(crate) counted: bool,
}

impl Item {
    pub(crate) const LIVE: u32 = u32::MAX;

    /// A member whose value may change from one rule to the next.
    pub(crate) fn live(variable: Variable, name: Text, value: Text) -> Self {
        Self {
            variable,
            name,
            value,
            id: Self::LIVE,
            counted: false,
        }
    }
}

/// Appends those of the live members `pairs` that `pick` means.
pub(crate) fn pick_live(
    rules: &RuleSet,
    state: &State,
    variable: Variable,
    pick: Pick,
    pairs: impl IntoIterator<Item = (Text, Text)>,
    items: &mut Vec<Item>,
) {
    let members = pairs.into_iter();
    let members = members.map(|(name, value)| Item::live(variable, name, value));
    items.extend(members.filter(|item| picks(rules, state, pick, item)));
}

impl TargetSet {
    pub(crate) fn new(includes: Vec<Target>, excludes: Vec<Exclude>) -> Self {
        let fixed = includes
            .iter()
            .all(|target| !target.counted && target.variable.origin() != Origin::Live);
        Self {
            includes: includes.into_boxed_slice(),
            excludes: excludes.into_boxed_slice(),
            fixed,
        }
    }
}

/// Appends the values `set` means to `items`.
pub(crate) fn collect(rules: &RuleSet, state: &mut State, set: &TargetSet, items: &mut Vec<Item>) {
    for target in &set.includes {
        let start = items.len();
        if target.variable.origin() == Origin::Live {
            super::live::members(rules, state, target.variable, target.pick, items);
            if !set.excludes.is_empty() {
                retain_from(items, start, |item| {
                    !excluded_by_name(rules, state, set, item)
                });
            }
        } else {
            fixed_members(state, set, *target, items);
        }
        if target.counted {
            let count = i64::try_from(items.len() - start).unwrap_or(i64::MAX);
            items.truncate(start);
            let name = match target.pick {
                Pick::Selector(number) => rules.selectors.key(target.variable, number),
                Pick::Slot(slot) => rules.tx_names.name(slot),
                Pick::All => &[],
            };
            items.push(Item {
                variable: target.variable,
                name: state.arena.push(name),
                value: state.arena.push_number(count),
                id: Item::LIVE,
                counted: true,
            });
        }
    }
}

fn fixed_members(state: &State, set: &TargetSet, target: Target, items: &mut Vec<Item>) {
    for (id, value) in state.values.of(target.variable) {
        let picked = match target.pick {
            Pick::All => true,
            Pick::Selector(number) => state.values.marked(value, number),
            Pick::Slot(_) => false,
        };
        let excluded = || {
            set.excludes.iter().any(|exclude| {
                exclude.variable == target.variable
                    && matches!(exclude.pick, Pick::Selector(number)
                        if state.values.marked(value, number))
            })
        };
        if picked && !excluded() {
            items.push(Item {
                variable: target.variable,
                name: value.name,
                value: value.value,
                id,
                counted: false,
            });
        }
    }
}

fn excluded_by_name(rules: &RuleSet, state: &State, set: &TargetSet, item: &Item) -> bool {
    set.excludes
        .iter()
        .any(|exclude| exclude.variable == item.variable && picks(rules, state, exclude.pick, item))
}

/// True if `pick` means `item`, going by its name.
pub(crate) fn picks(rules: &RuleSet, state: &State, pick: Pick, item: &Item) -> bool {
    let name = state.arena.get(item.name);
    match pick {
        Pick::All => true,
        Pick::Selector(number) => rules.selectors.matches(item.variable, number, name),
        Pick::Slot(slot) => rules.tx_names.find(name) == Some(slot),
    }
}

fn retain_from(items: &mut Vec<Item>, start: usize, mut keep: impl FnMut(&Item) -> bool) {
    let mut index = 0;
    items.retain(|item| {
        index += 1;
        index <= start || keep(item)
    });
}
