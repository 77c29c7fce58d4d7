//! What our engine records, in the words of libmodsecurity's logs as far as the suite asks for them.

use std::fmt::Write;

use super::Run;
use super::case::Case;
use crate::engine::State;
use crate::variables::Variable;
use crate::{Event, Match, Problem, RuleSet, Skip};

/// Bytes of a value that its debug log shows.
const SHOWN: usize = 80;

/// The debug log.
pub(super) fn debug_log(case: &Case, rules: &RuleSet, run: &Run) -> String {
    let mut out = String::new();
    arguments(&run.state, &mut out);
    errors(&run.state, &mut out);
    removed(case, rules, &mut out);
    for event in &run.outcome.events {
        self::event(event, &mut out);
    }
    for found in &run.outcome.matches {
        let _ = writeln!(out, "Saving msg: {}", found.msg);
        for tag in found.tags.iter() {
            let _ = writeln!(out, "Rule tag: {tag}");
        }
    }
    out
}

/// The lines of the error log, one a match.
pub(super) fn error_log(run: &Run) -> String {
    let lines: Vec<_> = run
        .outcome
        .matches
        .iter()
        .map(|found| line(found, run))
        .collect();
    lines.join("\n")
}

fn line(found: &Match, run: &Run) -> String {
    let decided = run
        .intervention
        .as_ref()
        .filter(|decided| decided.rule_id == found.rule_id);
    let what = match decided {
        Some(decided) => format!(
            "Access denied with code {} (phase {}).",
            decided.status, found.phase
        ),
        None => "Warning.".to_owned(),
    };
    let mut out = format!("ModSecurity: {what} {}", found.matched);
    let severity = found.severity.unwrap_or(0);
    let _ = write!(
        out,
        " [file \"{}\"] [line \"{}\"] [id \"{}\"] [msg \"{}\"] [data \"{}\"] [severity \"{severity}\"]",
        found.file, found.line, found.rule_id, found.msg, found.data,
    );
    for tag in found.tags.iter() {
        let _ = write!(out, " [tag \"{tag}\"]");
    }
    out
}

fn arguments(state: &State, out: &mut String) {
    for (variable, place) in [(Variable::ArgsGet, "GET"), (Variable::ArgsPost, "BODY")] {
        for (_, value) in state.values.of(variable) {
            let [name, value] = [value.name, value.value]
                .map(|text| String::from_utf8_lossy(state.arena.get(text)).into_owned());
            let _ = writeln!(
                out,
                "Adding request argument ({place}): name \"{name}\", value \"{value}\""
            );
        }
    }
}

/// Flags and error texts of the body's parser.
fn errors(state: &State, out: &mut String) {
    for variable in [Variable::ReqbodyErrorMsg, Variable::ResponseContentType] {
        for (_, value) in state.values.of(variable) {
            let text = String::from_utf8_lossy(state.arena.get(value.value));
            let _ = writeln!(out, "{}: {text}", variable.name());
        }
    }
}

/// Rules that stand in the text and not in the rule set: a directive took them out.
fn removed(case: &Case, rules: &RuleSet, out: &mut String) {
    for line in case
        .rules
        .lines()
        .filter(|line| line.starts_with("SecRule"))
    {
        let Some((_, after)) = line.split_once("id:") else {
            continue;
        };
        let digits: String = after
            .trim_start_matches('\'')
            .chars()
            .take_while(char::is_ascii_digit)
            .collect();
        if let Ok(id) = digits.parse::<u64>()
            && !rules.rule_ids().any(|known| known == id)
        {
            for directive in [
                "an SecRuleRemove",
                "a SecRuleRemoveByMsg",
                "a SecRuleRemoveByTag",
            ] {
                let _ = writeln!(
                    out,
                    "Skipped rule id '{id}'. Removed by {directive} directive."
                );
            }
        }
    }
}

fn event(event: &Event, out: &mut String) {
    let _ = match event {
        Event::Asked {
            rule_id,
            operator,
            parameter,
            targets,
        } => writeln!(
            out,
            "(Rule: {rule_id}) Executing operator \"{operator}\" with param \"{parameter}\" against {targets}."
        ),
        Event::Tested {
            variable,
            value,
            steps,
            ..
        } => {
            for (number, step) in steps.iter().enumerate() {
                let _ = writeln!(
                    out,
                    "[9]  T ({number}) t:{}: \"{}\"",
                    step.transformation, step.value
                );
            }
            writeln!(
                out,
                "Target value: \"{}\" (Variable: {variable})",
                shown(value)
            )
        }
        Event::Returned { rule_id, matched } => writeln!(
            out,
            "(Rule: {rule_id}) Rule returned {}.",
            u8::from(*matched)
        ),
        Event::Set { name, value } => writeln!(
            out,
            "Saving variable: {name} with value: {}",
            value.as_deref().unwrap_or_default()
        ),
        Event::Skipped { rule_id, cause } => skipped(*rule_id, *cause, out),
        Event::Acted { action, .. } => writeln!(out, " Running action {action}"),
    };
}

fn skipped(rule_id: u64, cause: Skip, out: &mut String) -> std::fmt::Result {
    match cause {
        Skip::Removed => {
            writeln!(
                out,
                "Rule id: {rule_id} was skipped due to a ruleRemoveById action..."
            )?;
            writeln!(
                out,
                "Skipped rule id '{rule_id}'. Skipped due to a ruleRemoveByTag action."
            )
        }
        Skip::Skip => writeln!(
            out,
            "[9] Skipped rule id '{rule_id}' due to a `skip' action."
        ),
        Skip::SkipAfter => writeln!(out, "Skipped rule id '{rule_id}' due to a SecMarker"),
        Skip::Ended => writeln!(
            out,
            "Skipped rule id '{rule_id}' as request trough the utilization of an `allow' action"
        ),
    }
}

fn shown(value: &str) -> String {
    let count = value.chars().count();
    if count <= SHOWN {
        return value.to_owned();
    }
    let start: String = value.chars().take(SHOWN).collect();
    format!("{start} ({} characters omitted)", count - SHOWN)
}

/// Phrases of its load errors, each with a phrase of ours that means the same.
const ERRORS: &[(&str, &str)] = &[];

/// True if `problem` says what libmodsecurity's `wanted` says, in the same line where it names one.
pub(super) fn same_error(wanted: &str, problem: &Problem) -> bool {
    ERRORS
        .iter()
        .any(|(theirs, ours)| wanted.contains(theirs) && problem.message.contains(ours))
}
