//! Operators that ask more than the value, or leave more behind than captures: `@geoLookup` fills
//! `GEO`, `@restpath` fills `ARGS_PATH`, `@rbl` reads what the host found out.

use super::arena::Text;
use super::blocklists;
use super::rule::Check;
use super::ruleset::RuleSet;
use super::state::State;
use super::target::{Item, Pick, pick_live};
use crate::operators::Lookup;
use crate::variables::Variable;

/// What lookups left behind.
#[derive(Debug, Default)]
pub(crate) struct Looked {
    geo: Vec<(&'static str, String)>,
    path: Vec<(Box<str>, Vec<u8>)>,
    pub(crate) answers: blocklists::Answers,
}

/// True if the operator, which [looks something up](crate::operators::Operator::lookup), finds it.
pub(crate) fn finds(
    rules: &RuleSet,
    state: &mut State,
    check: &Check,
    item: &Item,
    text: Text,
    capturing: bool,
) -> bool {
    let value = state.arena.get(text);
    match check.operator.lookup() {
        None => false,
        Some(Lookup::Geo) => {
            let found = rules.outside.geo.as_ref().and_then(|geo| {
                let address = std::str::from_utf8(value).ok()?.trim().parse().ok()?;
                geo.look_up(address)
            });
            let listed = found.is_some();
            state.looked.geo = found.unwrap_or_default();
            listed
        }
        Some(Lookup::Path(path)) => match path.find(value) {
            Some(members) => {
                state.looked.path = members;
                true
            }
            None => false,
        },
        Some(Lookup::Blocklist(list)) => {
            let found = blocklists::finds(rules, state, list, item, text);
            if let (Some(told), true) = (&found, capturing) {
                state.captures.set(0, told.as_bytes());
            }
            found.is_some()
        }
    }
}

/// Appends the members of `GEO` or `ARGS_PATH` that `pick` means.
pub(crate) fn members(
    rules: &RuleSet,
    state: &mut State,
    variable: Variable,
    pick: Pick,
    items: &mut Vec<Item>,
) {
    let State { arena, looked, .. } = state;
    let mut pairs: Vec<(Text, Text)> = Vec::new();
    if variable == Variable::Geo {
        let fields = looked.geo.iter();
        pairs.extend(
            fields.map(|(name, value)| (arena.push(name.as_bytes()), arena.push(value.as_bytes()))),
        );
    } else {
        let parts = looked.path.iter();
        pairs.extend(parts.map(|(name, value)| (arena.push(name.as_bytes()), arena.push(value))));
    }
    pick_live(rules, state, variable, pick, pairs, items);
}

#[cfg(test)]
mod tests;
