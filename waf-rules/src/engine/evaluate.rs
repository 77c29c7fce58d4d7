//! One phase: walks its rules in load order, runs chains, and follows skips and interventions.

use super::candidates::{prepare, prepare_all};
use super::link::{run_link, set_variables};
use super::log::report;
use super::memory::Memory;
use super::plan::Phase;
use super::prefilter::Side;
use super::quick::Quick;
use super::report::{Disruption, Intervention};
use super::rule::{Allow, Control, Disruptive, EngineMode, Next, Rule};
use super::ruleset::{Entry, RuleSet};
use super::state::State;
use super::trace::{self, Event, Skip};
use crate::audit;

/// Runs the rules of `phase`, 1 to 5.
pub(crate) fn run_phase(rules: &RuleSet, state: &mut State, phase: u8) {
    if state.engine == EngineMode::Off || skipped(state, phase) {
        return;
    }
    state.values.seal(&rules.selectors, &state.arena);
    state.cache.new_phase();
    state.side = Side::of_phase(phase);
    let program = rules.phases.get(usize::from(phase).wrapping_sub(1));
    let (Some(program), Some(plan)) = (program, rules.plan.phase(phase)) else {
        return;
    };
    if !state.cache.plain && !state.forgetful {
        state.memory = Some(Memory::take(&rules.key, rules.plan.width));
    }
    run_program(rules, state, phase, program, plan);
    if let Some(memory) = state.memory.take() {
        memory.put();
    }
    if state.allowed == Some(Allow::Phase) {
        state.allowed = None;
    }
}

fn run_program(rules: &RuleSet, state: &mut State, phase: u8, program: &[Entry], plan: &Phase) {
    prepare(rules, state, plan);
    let mut at = 0;
    while let Some(place) = state.candidates.next(at) {
        if state.candidates.is_unseen(place) {
            prepare_all(rules, state, plan);
            continue;
        }
        let Some(entry) = program.get(place) else {
            break;
        };
        at = place + 1;
        let quick = entry
            .quick
            .filter(|_| state.may_go_quick(rules, entry.rule));
        if quick.is_some_and(|quick| !quick.holds(state)) {
            continue;
        }
        let Some(rule) = rules.rules.get(entry.rule as usize) else {
            continue;
        };
        if state.removed.contains(entry.rule as usize) {
            trace::note(state, || Event::Skipped {
                rule_id: rule.id,
                cause: Skip::Removed,
            });
            continue;
        }
        if let Some(quick) = quick.filter(|quick| quick.silent) {
            quick.hit(rules, state);
            at = follow(rules, state, program, rule.next, at);
            continue;
        }
        state.running = entry.rule;
        if !run_chain(rules, state, rule, quick) {
            continue;
        }
        conclude(rules, state, rule);
        if phase < 5 && (state.intervention.is_some() || state.allowed.is_some()) {
            passed_over(rules, state, program.get(at..), Skip::Ended);
            break;
        }
        if state.engine == EngineMode::Off {
            break;
        }
        at = follow(rules, state, program, rule.next, at);
    }
}

/// Where evaluation goes on after a match, `at` being the place behind the rule.
fn follow(rules: &RuleSet, state: &mut State, program: &[Entry], next: Next, at: usize) -> usize {
    let (next, cause) = match next {
        Next::Following => return at,
        Next::Skip(count) => (at.saturating_add(count), Skip::Skip),
        Next::Jump(target) => (at.max(target), Skip::SkipAfter),
    };
    let over = program.get(at..next.min(program.len()));
    passed_over(rules, state, over, cause);
    next
}

/// Notes the rules that are not asked.
fn passed_over(rules: &RuleSet, state: &mut State, entries: Option<&[Entry]>, cause: Skip) {
    if state.events.is_none() {
        return;
    }
    for entry in entries.unwrap_or_default() {
        if let Some(rule) = rules.rules.get(entry.rule as usize) {
            trace::note(state, || Event::Skipped {
                rule_id: rule.id,
                cause,
            });
        }
    }
}

/// True if an earlier `allow` or intervention reaches into this phase.
fn skipped(state: &State, phase: u8) -> bool {
    let allowed = match state.allowed {
        Some(Allow::Request) => phase <= 2,
        Some(Allow::All) => true,
        Some(Allow::Phase) | None => false,
    };
    phase < 5 && (state.intervention.is_some() || allowed)
}

/// True if every link matched; `quick` is the first one, if it is known that it does.
fn run_chain(rules: &RuleSet, state: &mut State, rule: &Rule, quick: Option<Quick>) -> bool {
    state.previous.clear();
    state.chain.clear();
    state.added = 0;
    for (number, link) in rule.links.iter().enumerate() {
        state.current.clear();
        let matched = match quick.filter(|_| number == 0) {
            Some(quick) => {
                quick.hit(rules, state);
                set_variables(rules, state, &link.setvars);
                true
            }
            None => run_link(rules, state, link),
        };
        trace::note(state, || Event::Returned {
            rule_id: rule.id,
            matched,
        });
        if !matched {
            return false;
        }
        std::mem::swap(&mut state.previous, &mut state.current);
        state.chain.extend_from_slice(&state.previous);
        if number == 0 && rule.links.len() > 1 {
            state.starters.clone_from(&state.previous);
        }
        if let Some(trail) = &mut state.trail {
            trail.linked(number, &state.previous);
        }
    }
    true
}

/// Runs what happens once when a rule has matched.
fn conclude(rules: &RuleSet, state: &mut State, rule: &Rule) {
    for link in &rule.links {
        for control in &link.controls {
            trace::note(state, || Event::Acted {
                rule_id: rule.id,
                action: control.name(),
            });
            apply(state, control);
        }
        if let Some(severity) = link.severity {
            state.highest_severity = state.highest_severity.min(severity);
        }
    }
    trace::matched(rules, state, rule);
    let message = if rule.logged {
        report(rules, state, rule)
    } else {
        String::new()
    };
    if state.trail.is_some() {
        audit::note(rules, state, rule);
    }
    if rule.phase < 5
        && let Some(disruption) = &rule.disruption
    {
        disrupt(rules, state, rule, disruption, message);
    }
}

fn disrupt(
    rules: &RuleSet,
    state: &mut State,
    rule: &Rule,
    disruption: &Disruptive,
    message: String,
) {
    trace::note(state, || Event::Acted {
        rule_id: rule.id,
        action: disruption.name(),
    });
    let action = match disruption {
        Disruptive::Allow(reach) => {
            if state.engine == EngineMode::On {
                state.allowed = Some(*reach);
            }
            return;
        }
        Disruptive::Deny => Disruption::Deny,
        Disruptive::Drop => Disruption::Drop,
        Disruptive::Redirect(location) => {
            let mut text = Vec::new();
            location.expand_text(rules, state, &mut text);
            // A line break in a location would be a second header.
            text.retain(|byte| !byte.is_ascii_control());
            Disruption::Redirect(String::from_utf8_lossy(&text).into_owned())
        }
    };
    let intervention = Intervention {
        status: rule.status,
        action,
        rule_id: rule.id,
        message,
    };
    if state.engine == EngineMode::On {
        state.intervention = Some(intervention);
    } else if state.would_block.is_none() {
        state.would_block = Some(intervention);
    }
}

fn apply(state: &mut State, control: &Control) {
    match control {
        Control::AuditEngine(engine) => {
            if let Some(trail) = &mut state.trail {
                trail.engine = *engine;
            }
        }
        Control::AuditParts(change) => {
            if let Some(trail) = &mut state.trail {
                trail.change_parts(*change);
            }
        }
        // Rules may switch the engine down, never past what the host decided.
        Control::RuleEngine(EngineMode::On) => {
            if !state.detection_only {
                state.engine = EngineMode::On;
            }
        }
        Control::RuleEngine(mode) => state.engine = *mode,
        Control::RequestBodyAccess(on) => state.request_body_access = *on,
        Control::ResponseBodyAccess(on) => state.response_body_access = *on,
        Control::NestedArguments(kinds) => state.nested = *kinds,
        Control::RequestBodyProcessor(processor) => state.processor = Some(*processor),
        Control::ResponseBodyProcessor(processor) => {
            state.response_processor = Some(*processor);
        }
        Control::ForceRequestBody(on) => state.force_request_body = *on,
        Control::RemoveRules(removed) => state.removed.union(removed),
        Control::RemoveTarget(number) => {
            if !state.exclusions.contains(number) {
                state.exclusions.push(*number);
            }
        }
    }
}
