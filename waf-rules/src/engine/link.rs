//! One link of a chain: every value of its targets, transformed, against its operator.
//!
//! Captures, `MATCHED_VAR` and `setvar` happen at each matching value, at once, even if the chain
//! fails later: anomaly scores count values, not rules.

use super::cache::Transformed;
use super::collections::keep;
use super::lookups::finds;
use super::prefilter::{output_may_match, resolve};
use super::rule::{Assignment, Change, Check, Filter, Link, SetVar, VarName};
use super::ruleset::RuleSet;
use super::state::{Hit, State};
use super::target::{Item, TargetSet, collect, picks};
use super::trace;
use crate::operators::leading_number;

/// True if the link matched at least one value.
pub(crate) fn run_link(rules: &RuleSet, state: &mut State, link: &Link) -> bool {
    let Some(check) = &link.check else {
        set_variables(rules, state, &link.setvars);
        return true;
    };
    let Some(set) = rules.targets.get(link.targets as usize) else {
        return false;
    };
    let Some(template) = &check.template else {
        return ask(rules, state, link, check, check.argument.as_bytes(), set);
    };
    let mut argument = std::mem::take(&mut state.argument);
    argument.clear();
    template.expand_value(rules, state, &mut argument);
    let matched = ask(rules, state, link, check, &argument, set);
    state.argument = argument;
    matched
}

/// Asks the operator about every value of `set`; true if it matched at least one.
fn ask(
    rules: &RuleSet,
    state: &mut State,
    link: &Link,
    check: &Check,
    argument: &[u8],
    set: &TargetSet,
) -> bool {
    trace::asked(rules, state, check, set, argument);
    let before = state.current.len();
    if set.fixed {
        let (from, to) = resolve(rules, state, link.targets);
        for index in from..to {
            let Some(item) = state.cache.items.get(index as usize).copied() else {
                break;
            };
            let Filter::Candidate(place) = link.filter else {
                test_item(rules, state, link, check, argument, &item);
                continue;
            };
            let (place, hits) = (place as usize, state.current.len());
            if state.candidates.admits(item.id, place)
                && test_item(rules, state, link, check, argument, &item)
                && state.current.len() == hits
            {
                let memory = state.memory.as_mut();
                state.candidates.rule_out(memory, item.id, place);
            }
        }
    } else {
        let mut items = std::mem::take(&mut state.live_items);
        items.clear();
        collect(rules, state, set, &mut items);
        for item in &items {
            test_item(rules, state, link, check, argument, item);
        }
        state.live_items = items;
    }
    state.current.len() > before
}

/// False if the item is excluded and was not tested.
fn test_item(
    rules: &RuleSet,
    state: &mut State,
    link: &Link,
    check: &Check,
    argument: &[u8],
    item: &Item,
) -> bool {
    if !state.exclusions.is_empty() && excluded(rules, state, item) {
        return false;
    }
    if let Some(profile) = &state.profile
        && profile.withholds(state.running, item, state.arena.get(item.name))
    {
        return false;
    }
    if link.multi_match {
        let stages = state
            .cache
            .stages(rules, &mut state.arena, item, link.pipeline);
        for stage in stages {
            test_text(rules, state, link, check, argument, item, stage);
        }
    } else {
        let kept = state.arena.len();
        let hits = state.current.len();
        let transformed = state
            .cache
            .transform(rules, &mut state.arena, item, link.pipeline);
        test_text(rules, state, link, check, argument, item, transformed);
        if transformed.output.is_none() && state.current.len() == hits {
            state.arena.truncate(kept);
        }
    }
    true
}

fn test_text(
    rules: &RuleSet,
    state: &mut State,
    link: &Link,
    check: &Check,
    argument: &[u8],
    item: &Item,
    transformed: Transformed,
) {
    if let Filter::Side(filter) = link.filter {
        let side = state.side;
        if !output_may_match(rules, &state.cache, side, transformed.output, filter) {
            return;
        }
    }
    let capturing = link.capture && !check.negated;
    let found = if link.looks_up {
        finds(rules, state, check, item, transformed.text, capturing)
    } else {
        let value = state.arena.get(transformed.text);
        let captures = capturing.then_some(&mut state.captures);
        let budget = &mut state.budget;
        check
            .operator
            .matches_within(value, argument, captures, budget)
    };
    let matched = found != check.negated;
    trace::tested(rules, state, link, item, transformed, matched);
    if !matched {
        return;
    }
    let hit = Hit::of(item, transformed.text);
    state.current.push(hit);
    state.last = Some(hit);
    if capturing {
        keep_captures(state);
    }
    set_variables(rules, state, &link.setvars);
}

/// Makes the groups of the last match `TX:0` to `TX:9`; groups it did not have are unset.
fn keep_captures(state: &mut State) {
    state.tx.clear_captures();
    let mut captured = Vec::new();
    for (group, bytes) in state.captures.iter() {
        let value = state.arena.push(bytes);
        if state.events.is_some() {
            captured.push((group, value));
        }
        let Ok(slot) = u8::try_from(group) else {
            continue;
        };
        let name = [b'0'.saturating_add(slot)];
        state
            .tx
            .put(u32::from(slot), &name, Some(value), &mut state.arena);
    }
    state.captures.clear();
    for (group, value) in captured {
        trace::set(state, group.to_string().as_bytes(), Some(value));
    }
}

/// True if a `ctl` took this value from the running rule.
fn excluded(rules: &RuleSet, state: &State, item: &Item) -> bool {
    state.exclusions.iter().any(|number| {
        rules
            .exclusions
            .get(*number as usize)
            .is_some_and(|exclusion| {
                exclusion.rules.contains(state.running as usize)
                    && exclusion.variable == item.variable
                    && picks(rules, state, exclusion.pick, item)
            })
    })
}

/// Runs every assignment of a link.
pub(crate) fn set_variables(rules: &RuleSet, state: &mut State, assignments: &[Assignment]) {
    for assignment in assignments {
        match assignment {
            Assignment::Tx(setvar) => set_variable(rules, state, setvar),
            Assignment::Kept(kept) => keep(rules, state, kept),
        }
    }
}

fn set_variable(rules: &RuleSet, state: &mut State, setvar: &SetVar) {
    let mut text = std::mem::take(&mut state.expansion);
    text.clear();
    let built = match &setvar.name {
        VarName::Known { .. } => None,
        VarName::Built(template) => {
            let mut name = Vec::new();
            template.expand_value(rules, state, &mut name);
            Some(name)
        }
    };
    let value = match &setvar.change {
        Change::Remove => None,
        Change::Set(template) => Some(match template.literal() {
            Some(literal) => state.arena.push(literal),
            None => {
                template.expand_value(rules, state, &mut text);
                state.arena.push(&text)
            }
        }),
        Change::Add(template) | Change::Subtract(template) => {
            let by = if let Some(slot) = template.slot() {
                state.tx.get(slot).map_or(0, |set| set.number)
            } else {
                template.expand_value(rules, state, &mut text);
                leading_number(&text)
            };
            let old = match (&setvar.name, &built) {
                (VarName::Known { slot, .. }, _) => state.tx.get(*slot),
                (_, Some(name)) => state.tx.find(&rules.tx_names, name),
                _ => None,
            };
            let old = old.map_or(0, |old| old.number);
            let new = if matches!(setvar.change, Change::Add(_)) {
                old.saturating_add(by)
            } else {
                old.saturating_sub(by)
            };
            if let VarName::Known { slot, .. } = &setvar.name
                && rules.scores.count(*slot, state)
            {
                let change = new.saturating_sub(old);
                state.added = state.added.saturating_add(change);
            }
            Some(state.arena.push_number(new))
        }
    };
    if state.events.is_some() {
        let name = match (&setvar.name, &built) {
            (VarName::Known { name, .. }, _) => name,
            (_, built) => built.as_deref().unwrap_or_default(),
        };
        trace::set(state, name, value);
    }
    match (&setvar.name, built) {
        (VarName::Known { slot, name }, _) => {
            state.tx.put(*slot, name, value, &mut state.arena);
        }
        (_, Some(name)) => {
            state
                .tx
                .put_named(&rules.tx_names, &name, value, &mut state.arena);
        }
        _ => {}
    }
    state.expansion = text;
}
