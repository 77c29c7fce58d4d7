//! What our engine records, in the words of libmodsecurity's logs as far as the suite asks for them.

use std::fmt::Write;

use super::Run;
use super::case::Case;
use crate::engine::{EngineMode, State};
use crate::variables::Variable;
use crate::{Event, Problem, RuleSet, Skip, Step};

/// Bytes of a value that its debug log shows.
const SHOWN: usize = 80;

/// The debug log.
pub(super) fn debug_log(case: &Case, rules: &RuleSet, run: &Run) -> String {
    let mut out = String::new();
    arguments(&run.state, &mut out);
    errors(&run.state, &mut out);
    removed(case, rules, &mut out);
    if run.state.engine == EngineMode::Off {
        out.push_str("Rule engine disabled, returning...\n");
    }
    let mut link = Link::default();
    for event in &run.outcome.events {
        self::event(event, &mut link, rules, &mut out);
    }
    reported(rules, run, &mut out);
    out
}

/// What becomes of the matches: a line in the error log, a part of the audit log.
fn reported(rules: &RuleSet, run: &Run, out: &mut String) {
    if !run.error_log.is_empty() {
        out.push_str("Running action: log\n");
    }
    let audited = |id: u64| rules.rules.iter().any(|rule| rule.id == id && rule.audited);
    let matches = &run.outcome.matches;
    if matches.iter().any(|found| audited(found.rule_id)) {
        out.push_str("Request was relevant to be saved.\n");
    }
}

fn arguments(state: &State, out: &mut String) {
    for (variable, place) in [
        (Variable::ArgsGet, "GET"),
        (Variable::ArgsPost, "BODY"),
        (Variable::ArgsJson, "BODY"),
    ] {
        for (_, value) in state.values.of(variable) {
            // A line of a log has no line breaks.
            let [name, value] = [value.name, value.value].map(|text| {
                let text = String::from_utf8_lossy(state.arena.get(text));
                text.replace(['\r', '\n'], "")
            });
            let _ = writeln!(
                out,
                "Adding request argument ({place}): name \"{name}\", value \"{value}\""
            );
            let _ = writeln!(
                out,
                "Added data to variable: name: {name}, variable: {value}"
            );
        }
    }
}

/// What went wrong with the bodies.
fn errors(state: &State, out: &mut String) {
    let first = |variable| {
        let (_, value) = state.values.of(variable).next()?;
        Some(String::from_utf8_lossy(state.arena.get(value.value)))
    };
    if let Some(error) = first(Variable::ReqbodyErrorMsg) {
        let _ = writeln!(out, "{error}");
        for (theirs, _) in ERRORS.iter().filter(|(_, ours)| error.contains(ours)) {
            let _ = writeln!(out, "{theirs}");
        }
    }
    for (variable, words) in FLAGS {
        if first(*variable).is_some_and(|set| set == "1") {
            let _ = writeln!(out, "Multipart: Warning: {words}");
        }
    }
    if let Some(kind) = first(Variable::ResponseContentType)
        && !state.response_type_fits
    {
        let _ = writeln!(
            out,
            "Response Content-Type is {kind}. It is not marked to be inspected."
        );
    }
}

/// What its debug log says where the parser of forms sets a flag.
const FLAGS: &[(Variable, &str)] = &[
    (
        Variable::MultipartBoundaryWhitespace,
        "boundary whitespace in C-T header.",
    ),
    (Variable::MultipartBoundaryQuoted, "boundary was quoted."),
];

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

/// Where the events are: which link is being asked.
#[derive(Default)]
struct Link<'e> {
    operator: &'e str,
    asked: bool,
    /// The link before it matched, of this rule.
    chained: Option<u64>,
}

fn event<'e>(event: &'e Event, link: &mut Link<'e>, rules: &RuleSet, out: &mut String) {
    let _ = match event {
        Event::Asked {
            rule_id,
            operator,
            parameter,
            targets,
        } => {
            link.operator = operator.trim_start_matches('!');
            link.asked = true;
            asked(*rule_id, link, parameter, targets, out)
        }
        Event::Tested {
            variable,
            value,
            steps,
            ..
        } => {
            transformed(steps, out);
            let shown = shown(value);
            writeln!(out, "[9] Target value: \"{shown}\" (Variable: {variable})")
        }
        Event::Returned { rule_id, matched } => {
            if !link.asked {
                let _ = writeln!(out, "(Rule: {rule_id}) Executing unconditional rule...");
            }
            link.asked = false;
            link.chained = matched.then_some(*rule_id);
            let returned = u8::from(*matched);
            writeln!(out, "(Rule: {rule_id}) Rule returned {returned}.")
        }
        Event::Matched { msg, tags, .. } => {
            for tag in tags {
                let _ = writeln!(out, "Rule tag: {tag}");
            }
            writeln!(out, "Saving msg: {msg}")
        }
        Event::Set { name, value } => {
            let value = value.as_deref().unwrap_or_default();
            let operator = link.operator;
            if let Some(name) = name.strip_prefix("ENV:") {
                let _ = writeln!(out, "Setting environment variable: {name} to {value}");
            }
            if let Some(group) = name.strip_prefix("TX:") {
                let _ = match operator {
                    "Rx" | "RxGlobal" => {
                        writeln!(out, "Added regex subexpression TX.{group}: {value}")
                    }
                    _ => writeln!(out, "Added {operator} match TX.{group}: {value}"),
                };
            }
            writeln!(out, "Saving variable: {name} with value: {value}")
        }
        Event::Skipped { rule_id, cause } => skipped(*rule_id, *cause, rules, out),
        Event::Acted { action, .. } => acted(action, out),
    };
}

fn asked(
    rule_id: u64,
    link: &Link<'_>,
    parameter: &str,
    targets: &[String],
    out: &mut String,
) -> std::fmt::Result {
    // Its links but the first have no id.
    let shown = if link.chained == Some(rule_id) {
        0
    } else {
        rule_id
    };
    let targets: Vec<_> = targets
        .iter()
        .map(|target| match target.split_once(":/") {
            Some((name, pattern)) if !name.starts_with("XML") => {
                let pattern = pattern.strip_suffix('/').unwrap_or(pattern);
                format!("{name}:regex({pattern})")
            }
            _ => target.clone(),
        })
        .collect();
    let targets = targets.join("|");
    let operator = link.operator;
    let with = match parameter {
        "" => String::new(),
        parameter => format!("\" with param \"{parameter}\""),
    };
    writeln!(out, "[4] Rule: {rule_id}.")?;
    writeln!(
        out,
        "[4] (Rule: {shown}) Executing operator \"{operator}{with} against {targets}."
    )
}

/// Its transformations are numbered only with `multiMatch`, by how often the value changed.
fn transformed(steps: &[Step], out: &mut String) {
    let mut changes = 0;
    let mut last = None;
    for step in steps {
        changes += usize::from(
            last.replace(&step.value)
                .is_none_or(|last| *last != step.value),
        );
        let lower = step.transformation.to_ascii_lowercase();
        for number in [0, changes] {
            for name in [step.transformation, &lower] {
                let value = shown(&step.value);
                let _ = writeln!(out, "[9]  T ({number}) t:{name}: \"{value}\"");
            }
        }
    }
}

fn acted(action: &str, out: &mut String) -> std::fmt::Result {
    match action {
        "allow" => writeln!(
            out,
            "Dropping the evaluation of upcoming rules in favor of an `allow' action"
        ),
        "ctl:requestBodyAccess=Off" => writeln!(
            out,
            "Request body processing is enabled, but disabled to this transaction due to \
             ctl:requestBodyAccess action"
        ),
        _ => match action.strip_prefix("ctl:ruleEngine=") {
            Some(mode) => {
                let mode = match mode {
                    "On" => "Enabled",
                    "Off" => "Disabled",
                    other => other,
                };
                writeln!(
                    out,
                    "Setting SecRuleEngine to {mode} as requested by a ctl:ruleEngine action"
                )
            }
            None => writeln!(out, " Running action {action}"),
        },
    }
}

fn skipped(rule_id: u64, cause: Skip, rules: &RuleSet, out: &mut String) -> std::fmt::Result {
    match cause {
        Skip::Removed => writeln!(
            out,
            "Rule id: {rule_id} was skipped due to a ruleRemoveById action...\n\
             Skipped rule id '{rule_id}'. Skipped due to a ruleRemoveByTag action."
        ),
        Skip::Skip => writeln!(
            out,
            "[9] Skipped rule id '{rule_id}' due to a `skip' action."
        ),
        Skip::SkipAfter => writeln!(out, "Skipped rule id '{rule_id}' due to a SecMarker"),
        Skip::Ended => {
            let rule = rules.rules.iter().find(|rule| rule.id == rule_id);
            let place = rule.map(|rule| format!("{}:{}", rule.meta.file, rule.meta.line));
            for name in [rule_id.to_string(), place.unwrap_or_default()] {
                writeln!(
                    out,
                    "Skipped rule id '{name}' as request trough the utilization of an `allow' \
                     action"
                )?;
            }
            Ok(())
        }
    }
}

fn shown(value: &str) -> String {
    let count = value.chars().count();
    let start = value.chars().take(SHOWN);
    let mut out = String::new();
    for character in start {
        if character.is_ascii() {
            out.push(character);
        } else {
            for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
    if count > SHOWN {
        let _ = write!(out, " ({} characters omitted)", count - SHOWN);
    }
    out
}

/// Phrases of its errors, each with a phrase of ours that means the same.
const ERRORS: &[(&str, &str)] = &[
    (
        "SecDefaultAction must specify a disruptive action",
        "must name a disruptive action",
    ),
    (
        "SecDefaultActions can only be placed once per phase",
        "was written for phase",
    ),
    (
        "is not suitable to be part of the SecDefaultActions",
        "does not fit into SecDefaultAction",
    ),
    (
        "Disruptive actions can only be specified by chain starter rules",
        "disruptive actions belong on the first rule",
    ),
    ("Rules must have an ID", "has no id"),
    ("does not seems to be a valid rule id", "expected a number"),
    (
        "does not seems to be a valid rule id",
        "no rule identifier or range",
    ),
    ("Not a number or range", "no rule identifier or range"),
    ("Invalid range", "no rule identifier or range"),
    ("is duplicated", "exists already"),
    ("Unknown phase", "expected a phase"),
    ("is not a number", "expected a number"),
    ("Argument separator should be", "expected one character"),
    ("is not supported by libModSecurity", "is not served"),
    ("is not yet supported", "is not executed"),
    ("is not yet supported", "is served"),
    ("Not able to open file", "is not a file"),
    ("Looking at: 'test-cases", "is not a file"),
    (
        "Looking at: 'file-not-found.txt'",
        "cannot read file-not-found.txt",
    ),
    ("Failed to download", "rules are read from local files only"),
    ("exec: Expecting a Lua script", "exec is not executed"),
    (
        "Skipping request argument, over limit",
        "too many JSON arguments",
    ),
];

/// What it says of anything its grammar does not know; only the line tells more.
const SYNTAX: &[&str] = &[
    "Expecting a variable, got",
    "Expecting an action, got",
    "Invalid input",
    "syntax error",
];

/// True if `problem` says what libmodsecurity's `wanted` says, in the same line where it names one.
pub(super) fn same_error(wanted: &str, problem: &Problem) -> bool {
    // Its grammar's own complaints know their line, others tell the one before.
    let syntax = SYNTAX.iter().any(|phrase| wanted.contains(phrase));
    let line = wanted
        .split_once("Line: ")
        .and_then(|(_, rest)| rest.split_once('.'))
        .and_then(|(line, _)| line.parse::<usize>().ok());
    if syntax && line == Some(problem.line) {
        return true;
    }
    ERRORS
        .iter()
        .any(|(theirs, ours)| wanted.contains(theirs) && problem.message.contains(ours))
}
