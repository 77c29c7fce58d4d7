//! The collections that outlive a request, and what else rules write beside `TX`: expiry times, the
//! environment.
//!
//! `initcol`, `setsid`, `setuid` and `setrsc` open a collection: its record is read from the store
//! once. From then on a change goes to the store at once and what the store answers is what rules
//! see. A collection that is not open has no members, and a change of it does nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::arena::Text;
use super::rule::Change;
use super::ruleset::RuleSet;
use super::state::State;
use super::target::{Item, Pick, pick_live};
use super::template::Template;
use super::trace;
use crate::operators::leading_number;
use crate::store::{Full, Member, MemberChange, Store, StoreKey};
use crate::variables::Variable;

/// Most variables of the environment a transaction may set.
const ENVIRONMENT: usize = 256;
/// Longest key of a collection.
const KEY: usize = 4 << 10;

/// An action that writes somewhere else than into `TX`, or says when a variable goes.
#[derive(Debug)]
pub(crate) enum Keep {
    /// Opens a collection under this key.
    Open { collection: Variable, key: Template },
    /// `setvar` of a member of a collection.
    Change {
        collection: Variable,
        name: Template,
        change: Change,
    },
    /// `expirevar`; of `TX` too.
    Expire {
        collection: Variable,
        name: Template,
        seconds: Template,
    },
    /// `setenv`.
    Environment { name: Template, value: Template },
}

/// What a transaction has opened and set.
#[derive(Debug, Default)]
pub(crate) struct Collections {
    open: Vec<Open>,
    environment: Vec<(Text, Text)>,
    /// Names of `TX` with the time they go.
    expiring: HashMap<Box<[u8]>, SystemTime>,
}

/// An open collection.
#[derive(Debug)]
struct Open {
    collection: Variable,
    key: Text,
    members: Vec<Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    name: Text,
    value: Text,
    expires: Option<SystemTime>,
}

/// Carries out `keep` at a match.
pub(crate) fn keep(rules: &RuleSet, state: &mut State, keep: &Keep) {
    match keep {
        Keep::Open { collection, key } => {
            let key = expanded(rules, state, key);
            if let Some(store) = &rules.outside.store {
                open(rules, state, &**store, *collection, &key);
            }
        }
        Keep::Change {
            collection,
            name,
            change,
        } => {
            let name = expanded(rules, state, name).to_ascii_lowercase();
            let (text, by);
            let change = match change {
                Change::Remove => MemberChange::Remove,
                Change::Set(value) => {
                    text = expanded(rules, state, value);
                    MemberChange::Set(&text)
                }
                Change::Add(value) | Change::Subtract(value) => {
                    by = leading_number(&expanded(rules, state, value));
                    let adds = matches!(change, Change::Add(_));
                    MemberChange::Add(if adds { by } else { by.saturating_neg() })
                }
            };
            alter(rules, state, *collection, &name, change);
        }
        Keep::Expire {
            collection,
            name,
            seconds,
        } => {
            let name = expanded(rules, state, name).to_ascii_lowercase();
            let seconds = leading_number(&expanded(rules, state, seconds));
            let after = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
            let Some(at) = state.now.checked_add(after) else {
                return;
            };
            if *collection == Variable::Tx {
                expire_tx(rules, state, &name, at);
            } else {
                alter(rules, state, *collection, &name, MemberChange::Expire(at));
            }
        }
        Keep::Environment { name, value } => {
            let name = expanded(rules, state, name);
            let value = expanded(rules, state, value);
            set_environment(state, &name, &value);
        }
    }
}

fn expanded(rules: &RuleSet, state: &mut State, template: &Template) -> Vec<u8> {
    let mut text = Vec::new();
    template.expand_value(rules, state, &mut text);
    text
}

/// Opens `collection` under `key`; a second key takes the place of the first.
fn open(rules: &RuleSet, state: &mut State, store: &dyn Store, collection: Variable, key: &[u8]) {
    if key.len() > KEY {
        return state.overflow("The key of a collection is too long.");
    }
    let loaded = store.load(&store_key(rules, collection, key), state.now);
    let key = state.arena.push(key);
    let mut members = Vec::with_capacity(loaded.len());
    for member in &loaded {
        members.push(entry(state, member));
    }
    state
        .collections
        .open
        .retain(|open| open.collection != collection);
    state.collections.open.push(Open {
        collection,
        key,
        members,
    });
}

/// Sends a change of an open collection to the store and takes over its answer.
fn alter(
    rules: &RuleSet,
    state: &mut State,
    collection: Variable,
    name: &[u8],
    change: MemberChange<'_>,
) {
    let Some(store) = &rules.outside.store else {
        return;
    };
    let open = &state.collections.open;
    let Some(number) = open.iter().position(|open| open.collection == collection) else {
        return;
    };
    let key = open.get(number).map_or(Text::default(), |open| open.key);
    let key = store_key(rules, collection, state.arena.get(key));
    let timeout = rules.settings.collection_timeout;
    let changed = match store.change(&key, name, change, state.now, timeout) {
        Ok(changed) => changed.map(|member| entry(state, &member)),
        Err(Full) => return state.overflow("The rules keep more than a collection may hold."),
    };
    trace::kept(state, collection, name, changed.map(|entry| entry.value));
    let State {
        arena, collections, ..
    } = state;
    if let Some(open) = collections.open.get_mut(number) {
        let found = open
            .members
            .iter_mut()
            .find(|entry| arena.get(entry.name).eq_ignore_ascii_case(name));
        match (changed, found) {
            (Some(changed), Some(found)) => *found = changed,
            (Some(changed), None) => open.members.push(changed),
            (None, _) => open
                .members
                .retain(|entry| !arena.get(entry.name).eq_ignore_ascii_case(name)),
        }
    }
}

fn store_key<'a>(rules: &'a RuleSet, collection: Variable, key: &'a [u8]) -> StoreKey<'a> {
    StoreKey {
        application: &rules.settings.application,
        collection: collection.name(),
        key,
    }
}

fn entry(state: &mut State, member: &Member) -> Entry {
    Entry {
        name: state.arena.push(&member.name),
        value: state.arena.push(&member.value),
        expires: member.expires,
    }
}

fn expire_tx(rules: &RuleSet, state: &mut State, name: &[u8], at: SystemTime) {
    // Only what is set can go; that bounds the list.
    if state.tx.find(&rules.tx_names, name).is_none() {
        return;
    }
    state.collections.expiring.insert(name.into(), at);
}

/// Tells the transaction the time: `TX` variables whose time has come go.
pub(crate) fn tick(rules: &RuleSet, state: &mut State, now: SystemTime) {
    state.now = now;
    let mut expiring = std::mem::take(&mut state.collections.expiring);
    expiring.retain(|name, at| {
        let stays = *at > now;
        if !stays {
            state
                .tx
                .put_named(&rules.tx_names, name, None, &mut state.arena);
        }
        stays
    });
    state.collections.expiring = expiring;
}

fn set_environment(state: &mut State, name: &[u8], value: &[u8]) {
    let value = state.arena.push(value);
    trace::kept(state, Variable::Env, name, Some(value));
    let State {
        arena, collections, ..
    } = state;
    let environment = &mut collections.environment;
    let known = environment
        .iter_mut()
        .find(|(known, _)| arena.get(*known) == name);
    if let Some((_, old)) = known {
        *old = value;
    } else if environment.len() < ENVIRONMENT {
        environment.push((arena.push(name), value));
    } else {
        state.overflow("The rules set more of the environment than they may.");
    }
}

/// What an open collection was opened with: `SESSIONID`, `USERID`.
pub(crate) fn key(state: &State, collection: Variable) -> Option<Text> {
    let open = &state.collections.open;
    let open = open.iter().find(|open| open.collection == collection)?;
    Some(open.key)
}

/// Appends the members of an open collection that `pick` means.
pub(crate) fn members(
    rules: &RuleSet,
    state: &State,
    collection: Variable,
    pick: Pick,
    items: &mut Vec<Item>,
) {
    let open = &state.collections.open;
    let Some(open) = open.iter().find(|open| open.collection == collection) else {
        return;
    };
    let there = |entry: &&Entry| entry.expires.is_none_or(|expires| expires > state.now);
    let members = open.members.iter().filter(there);
    let pairs = members.map(|entry| (entry.name, entry.value));
    pick_live(rules, state, collection, pick, pairs, items);
}

/// Appends the variables of the environment that `pick` means: what the rules set, then what the
/// process had when they were loaded.
pub(crate) fn environment(rules: &RuleSet, state: &mut State, pick: Pick, items: &mut Vec<Item>) {
    let inherited = Arc::clone(&rules.outside.environment);
    let mut list = state.collections.environment.clone();
    for (name, value) in inherited.iter() {
        let arena = &state.arena;
        if !list.iter().any(|(known, _)| arena.get(*known) == &**name) {
            list.push((state.arena.push(name), state.arena.push(value)));
        }
    }
    pick_live(rules, state, Variable::Env, pick, list, items);
}

#[cfg(test)]
mod tests;
