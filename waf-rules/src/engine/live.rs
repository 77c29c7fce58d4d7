//! Variables that are read at the moment a rule asks: `TX`, what matched before, the time.

use super::arena::Text;
use super::collections;
use super::lookups;
use super::ruleset::RuleSet;
use super::state::{Hit, State};
use super::target::{Item, Pick, picks};
use crate::variables::{Variable, calendar};

/// Appends the members of the live variable `variable` that `pick` means.
pub(crate) fn members(
    rules: &RuleSet,
    state: &mut State,
    variable: Variable,
    pick: Pick,
    items: &mut Vec<Item>,
) {
    match variable {
        Variable::Tx => tx(rules, state, pick, items),
        Variable::MatchedVar => {
            if let Some(hit) = state.last {
                items.push(live(variable, Text::default(), hit.value));
            }
        }
        Variable::MatchedVarName => {
            if let Some(hit) = state.last {
                let name = full_name(state, &hit);
                items.push(live(variable, Text::default(), name));
            }
        }
        Variable::MatchedVars | Variable::MatchedVarsNames => {
            matched(rules, state, variable, pick, items);
        }
        Variable::Rule => rule(rules, state, pick, items),
        Variable::Global
        | Variable::Ip
        | Variable::Resource
        | Variable::Session
        | Variable::User => collections::members(rules, state, variable, pick, items),
        Variable::SessionId => opened(state, variable, Variable::Session, items),
        Variable::UserId => opened(state, variable, Variable::User, items),
        Variable::ArgsPath | Variable::Geo => lookups::members(rules, state, variable, pick, items),
        Variable::Env => collections::environment(rules, state, pick, items),
        _ => {
            let value = scalar(rules, state, variable);
            items.push(live(variable, Text::default(), value));
        }
    }
}

fn live(variable: Variable, name: Text, value: Text) -> Item {
    Item {
        variable,
        name,
        value,
        id: Item::LIVE,
        counted: false,
    }
}

/// The key of a collection, if it is open.
fn opened(state: &State, variable: Variable, collection: Variable, items: &mut Vec<Item>) {
    let key = collections::key(state, collection);
    items.extend(key.map(|key| live(variable, Text::default(), key)));
}

fn tx(rules: &RuleSet, state: &State, pick: Pick, items: &mut Vec<Item>) {
    match pick {
        Pick::Slot(slot) => items.extend(
            state
                .tx
                .get(slot)
                .map(|entry| live(Variable::Tx, entry.name, entry.value)),
        ),
        Pick::Selector(number) if !state.cache.plain => {
            let known = rules.tx_selected(number).iter();
            items.extend(
                known
                    .filter_map(|slot| state.tx.get(*slot))
                    .map(|entry| live(Variable::Tx, entry.name, entry.value)),
            );
            items.extend(
                state
                    .tx
                    .invented()
                    .map(|entry| live(Variable::Tx, entry.name, entry.value))
                    .filter(|item| picks(rules, state, pick, item)),
            );
        }
        _ => items.extend(
            state
                .tx
                .iter()
                .map(|entry| live(Variable::Tx, entry.name, entry.value))
                .filter(|item| picks(rules, state, pick, item)),
        ),
    }
}

/// The hits of all links before this one, as in ModSecurity and Coraza.
fn matched(
    rules: &RuleSet,
    state: &mut State,
    variable: Variable,
    pick: Pick,
    items: &mut Vec<Item>,
) {
    for index in 0..state.chain.len() {
        let Some(hit) = state.chain.get(index).copied() else {
            return;
        };
        let name = full_name(state, &hit);
        let value = match variable {
            Variable::MatchedVars => hit.value,
            _ => name,
        };
        let item = live(variable, name, value);
        if picks(rules, state, pick, &item) {
            items.push(item);
        }
    }
}

/// `ARGS:name`, or the bare name of a variable without keys.
pub(crate) fn full_name(state: &mut State, hit: &Hit) -> Text {
    // A hit in MATCHED_VARS keeps the name of the variable that matched first.
    if matches!(
        hit.variable,
        Variable::MatchedVars | Variable::MatchedVarsNames
    ) {
        return hit.name;
    }
    let mut name = hit.variable.name().as_bytes().to_vec();
    let key = state.arena.get(hit.name);
    if hit.variable.keyed() && !(hit.counted && key.is_empty()) {
        name.push(b':');
        name.extend_from_slice(key);
    }
    state.arena.push(&name)
}

/// `RULE`: what the running rule says about itself.
fn rule(rules: &RuleSet, state: &mut State, pick: Pick, items: &mut Vec<Item>) {
    let Some(rule) = rules.rules.get(state.running as usize) else {
        return;
    };
    let id = state.arena.push_number(i64::try_from(rule.id).unwrap_or(0));
    let severity = rule
        .meta
        .severity
        .map(|severity| state.arena.push_number(i64::from(severity)));
    let rev = rule
        .meta
        .rev
        .as_ref()
        .map(|rev| state.arena.push(rev.as_bytes()));
    let [msg, logdata] = [&rule.meta.msg, &rule.meta.logdata].map(|template| {
        let mut text = Vec::new();
        // A message may name RULE, but not through RULE: that would have no end.
        match template.as_ref()? {
            template if template.names(Variable::Rule) => {}
            template => template.expand_value(rules, state, &mut text),
        }
        Some(state.arena.push(&text))
    });
    for (name, value) in [
        ("id", Some(id)),
        ("severity", severity),
        ("rev", rev),
        ("msg", msg),
        ("logdata", logdata),
    ] {
        let Some(value) = value else { continue };
        let name = state.arena.push(name.as_bytes());
        let item = live(Variable::Rule, name, value);
        if picks(rules, state, pick, &item) {
            items.push(item);
        }
    }
}

fn scalar(rules: &RuleSet, state: &mut State, variable: Variable) -> Text {
    match variable {
        Variable::HighestSeverity => state.arena.push_number(i64::from(state.highest_severity)),
        Variable::ReqbodyProcessor => match state.processor {
            Some(processor) => state.arena.push(processor.name().as_bytes()),
            None => Text::default(),
        },
        Variable::ResBodyProcessor => match state.response_processor {
            Some(processor) => state.arena.push(processor.name().as_bytes()),
            None => Text::default(),
        },
        Variable::ResBodyError | Variable::ResBodyProcessorError => state
            .arena
            .push_number(i64::from(state.response_error.is_some())),
        Variable::ResBodyErrorMsg | Variable::ResBodyProcessorErrorMsg => {
            let message = state.response_error.as_deref().unwrap_or_default();
            state.arena.push(message.as_bytes())
        }
        Variable::ModsecBuild => state.arena.push(b"030000000"),
        Variable::MscPcreError | Variable::MscPcreLimitsExceeded => state.arena.push(b"0"),
        Variable::WebAppId => state.arena.push(rules.settings.application.as_bytes()),
        Variable::Duration => {
            let passed = state.now.duration_since(state.started).unwrap_or_default();
            state
                .arena
                .push_number(i64::try_from(passed.as_millis()).unwrap_or(i64::MAX))
        }
        _ => {
            let text = calendar(state.now, rules.outside.zone.as_ref(), variable);
            state.arena.push(text.as_bytes())
        }
    }
}
