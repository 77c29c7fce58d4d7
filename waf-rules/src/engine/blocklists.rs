//! `@rbl`: lists of addresses and names that are asked by DNS.
//!
//! The engine asks nobody. Before a phase it tells the host which names the phase's rules would look
//! up; the host resolves them, as long as it cares to wait, and hands the answers in. A name without
//! an answer is not listed.

use std::net::Ipv4Addr;

use super::arena::Text;
use super::rule::{Check, Link, Rule};
use super::ruleset::RuleSet;
use super::state::State;
use super::target::{Item, collect};
use crate::operators::Blocklist;
use crate::regex::Budget;
use crate::variables::Variable;

/// Most names one phase asks for.
pub(crate) const NAMES: usize = 16;

/// Names with the addresses they led to.
pub(crate) type Answers = Vec<(String, Vec<Ipv4Addr>)>;

/// A link that asks a list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask {
    pub(crate) rule: u32,
    pub(crate) link: u32,
}

/// The names that the rules of `phase` would look up, as far as the values are known before it.
pub(crate) fn names(rules: &RuleSet, state: &mut State, phase: u8) -> Vec<String> {
    let mut names = Vec::new();
    for ask in &rules.outside.asks {
        let Some(rule) = rules.rules.get(ask.rule as usize) else {
            continue;
        };
        if rule.phase == phase && !state.removed.contains(ask.rule as usize) {
            rule_names(rules, state, rule, ask.link as usize, &mut names);
        }
    }
    names.retain(|name| state.looked.answers.iter().all(|(known, _)| known != name));
    names
}

fn rule_names(
    rules: &RuleSet,
    state: &mut State,
    rule: &Rule,
    number: usize,
    names: &mut Vec<String>,
) {
    state.values.seal(&rules.selectors, &state.arena);
    let before = rule.links.iter().take(number);
    if before
        .into_iter()
        .any(|link| is_settled(rules, link, rule.phase) && cannot_match(rules, state, link))
    {
        return;
    }
    let Some(link) = rule.links.get(number) else {
        return;
    };
    let list = link
        .check
        .as_ref()
        .and_then(|check| check.operator.blocklist());
    let Some(list) = list else {
        return;
    };
    for value in values(rules, state, link) {
        let name = list.query(&rules.settings.http_bl_key, &value);
        if let Some(name) = name.filter(|name| names.len() < NAMES && !names.contains(name)) {
            names.push(name);
        }
    }
}

/// True if all that `link` looks at is what it will be when the phase runs. Names are gathered before
/// the phase brings its values: a link on one of those sees nothing yet, which says nothing.
fn is_settled(rules: &RuleSet, link: &Link, phase: u8) -> bool {
    let Some(set) = rules.targets.get(link.targets as usize) else {
        return false;
    };
    let settled = |variable: &Variable| {
        CONNECTION.contains(variable) || (phase >= 2 && HEAD.contains(variable))
    };
    let mut includes = set.includes.iter();
    includes.all(|target| settled(&target.variable))
}

/// Known as soon as there is a transaction.
const CONNECTION: &[Variable] = &[
    Variable::RemoteAddr,
    Variable::RemoteHost,
    Variable::RemotePort,
    Variable::ServerAddr,
    Variable::ServerPort,
    Variable::UniqueId,
];

/// Known once phase 1 has run. Arguments are not among them: the body adds to them, and GraphQL and
/// nested arguments change those of the query string.
const HEAD: &[Variable] = &[
    Variable::AuthType,
    Variable::PathInfo,
    Variable::QueryString,
    Variable::RemoteUser,
    Variable::RequestBasename,
    Variable::RequestCookies,
    Variable::RequestCookiesNames,
    Variable::RequestFilename,
    Variable::RequestHeaders,
    Variable::RequestHeadersNames,
    Variable::RequestLine,
    Variable::RequestMethod,
    Variable::RequestProtocol,
    Variable::RequestUri,
    Variable::RequestUriRaw,
    Variable::ServerName,
];

/// True if an earlier link of the chain is a plain comparison that no value passes: there is then no
/// need to ask. May only err towards asking.
fn cannot_match(rules: &RuleSet, state: &mut State, link: &Link) -> bool {
    let Some(check) = &link.check else {
        return false;
    };
    if check.template.is_some() || link.multi_match || check.operator.lookup().is_some() {
        return false;
    }
    let argument = check.argument.as_bytes();
    let values = values(rules, state, link);
    let budget = &mut state.budget;
    !values
        .iter()
        .any(|value| passes(check, value, argument, budget))
}

fn passes(check: &Check, value: &[u8], argument: &[u8], budget: &mut Budget) -> bool {
    let operator = &check.operator;
    operator.matches_within(value, argument, None, budget) != check.negated
}

/// The values of the link's targets, transformed.
fn values(rules: &RuleSet, state: &mut State, link: &Link) -> Vec<Vec<u8>> {
    let Some(set) = rules.targets.get(link.targets as usize) else {
        return Vec::new();
    };
    let mut items = Vec::new();
    collect(rules, state, set, &mut items);
    let steps = rules.pipelines.get(link.pipeline as usize);
    let steps = steps.map_or(&[][..], |pipeline| &pipeline.steps);
    let mut values = Vec::with_capacity(items.len());
    for item in items {
        let mut value = state.arena.get(item.value).to_vec();
        let mut out = Vec::new();
        for step in steps {
            if step.apply(&value, &mut out) {
                std::mem::swap(&mut value, &mut out);
            }
        }
        values.push(value);
    }
    values
}

/// What the host found out about `text`, if it is on the list: `TX:0` where the rule captures.
pub(crate) fn finds(
    rules: &RuleSet,
    state: &State,
    list: &Blocklist,
    item: &Item,
    text: Text,
) -> Option<String> {
    let key = &rules.settings.http_bl_key;
    let name = list.query(key, state.arena.get(text))?;
    let (_, addresses) = state
        .looked
        .answers
        .iter()
        .find(|(known, _)| *known == name)?;
    let finding = list.finding(addresses)?;
    let mut variable = item.variable.name().to_owned();
    if item.variable.keyed() {
        variable.push(':');
        variable.push_str(&String::from_utf8_lossy(state.arena.get(item.name)));
    }
    let public = list.public_name(key, &name);
    Some(format!(
        "RBL lookup of {public} succeeded at {variable}. {finding}"
    ))
}
