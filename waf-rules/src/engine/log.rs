//! What a matching rule reports: messages expanded, values cut and made printable.

use std::fmt::Write;
use std::sync::Arc;

use super::live::full_name;
use super::report::{Match, Step};
use super::rule::{Check, Link, Rule};
use super::ruleset::RuleSet;
use super::state::{Hit, State};
use super::template::{LOG_LIMIT, Template};

/// Most matches one transaction reports.
const MATCHES: usize = 1000;
/// Most bytes of a value in `matched`, as in ModSecurity.
const MATCHED_VALUE: usize = 100;
/// Most bytes of an operator's parameter in `matched`.
const MATCHED_PARAMETER: usize = 200;
/// Most bytes of a value in `value` and in steps.
pub(crate) const VALUE: usize = 4 << 10;

/// Adds a match of `rule` to the report and returns its message.
pub(crate) fn report(rules: &RuleSet, state: &mut State, rule: &Rule) -> String {
    let msg = expanded(rules, state, rule.meta.msg.as_ref());
    if state.matches.len() >= MATCHES {
        return msg;
    }
    let data = expanded(rules, state, rule.meta.logdata.as_ref());
    let tags = match &rule.meta.tag_templates {
        None => Arc::clone(&rule.meta.tags),
        Some(templates) => templates
            .iter()
            .map(|template| expanded(rules, state, Some(template)))
            .collect(),
    };
    let mut report = Match {
        rule_id: rule.id,
        phase: rule.phase,
        msg: msg.clone(),
        data,
        matched: "Unconditional match in SecAction.".to_owned(),
        variable: String::new(),
        value: String::new(),
        captured: String::new(),
        score: state.added,
        severity: rule.meta.severity,
        tags,
        file: Arc::clone(&rule.meta.file),
        line: rule.meta.line,
        steps: Vec::new(),
    };
    let last = told(rule.links.last(), state.previous.last().copied());
    let starter = starter(state, rule);
    if let Some((_, check, hit)) = starter {
        report.captured = captured(rules, state, check, &hit);
    }
    let told = match last {
        // A negated link at the end of a chain says what the value is not: an exclusion.
        Some((_, check, _)) if !check.negated => last,
        _ => starter.or(last),
    };
    if let Some((link, check, hit)) = told {
        let name = full_name(state, &hit);
        report.variable = printable(state.arena.get(name), VALUE);
        report.value = printable(state.arena.get(hit.value), VALUE);
        report.matched = matched(rules, state, check, &report.variable, &hit);
        if state.traced {
            report.steps = steps(rules, state, link.pipeline, &hit);
        }
    }
    state.matches.push(report);
    msg
}

/// A link with its operator and a value it matched on.
type Told<'r> = (&'r Link, &'r Check, Hit);

fn told(link: Option<&Link>, hit: Option<Hit>) -> Option<Told<'_>> {
    let link = link?;
    Some((link, link.check.as_ref()?, hit?))
}

/// The first link with the hit that the rest of the chain went on with, going by its name.
fn starter<'r>(state: &mut State, rule: &'r Rule) -> Option<Told<'r>> {
    let last = state.previous.last().copied();
    if rule.links.len() == 1 {
        return told(rule.links.first(), last);
    }
    let wanted = last.map(|hit| full_name(state, &hit));
    let mut found = state.starters.last().copied();
    for index in 0..state.starters.len() {
        let Some(hit) = state.starters.get(index).copied() else {
            break;
        };
        let name = full_name(state, &hit);
        if wanted.is_some_and(|wanted| state.arena.get(wanted) == state.arena.get(name)) {
            found = Some(hit);
        }
    }
    told(rule.links.first(), found)
}

/// What made the link match, by asking its operator once more: only rules that are logged pay.
fn captured(rules: &RuleSet, state: &mut State, check: &Check, hit: &Hit) -> String {
    let argument = argument(rules, state, check);
    let value = state.arena.get(hit.value);
    if check.negated {
        return printable(value, VALUE);
    }
    let budget = &mut state.budget;
    printable(&check.operator.evidence(value, &argument, budget), VALUE)
}

/// The operator's argument, macros expanded.
fn argument(rules: &RuleSet, state: &mut State, check: &Check) -> Vec<u8> {
    match &check.template {
        None => check.argument.as_bytes().to_vec(),
        Some(template) => {
            let mut text = Vec::new();
            template.expand_text(rules, state, &mut text);
            text
        }
    }
}

/// ModSecurity's sentence about a match.
fn matched(rules: &RuleSet, state: &mut State, check: &Check, variable: &str, hit: &Hit) -> String {
    let parameter = argument(rules, state, check);
    format!(
        "Matched \"Operator `{}' with parameter `{}' against variable `{variable}' (Value: `{}' )",
        check.operator.name(),
        printable(&parameter, MATCHED_PARAMETER),
        printable(state.arena.get(hit.value), MATCHED_VALUE),
    )
}

/// The value after every transformation.
pub(crate) fn steps(rules: &RuleSet, state: &State, pipeline: u32, hit: &Hit) -> Vec<Step> {
    let mut value = state.arena.get(hit.raw).to_vec();
    let mut out = Vec::new();
    let Some(pipeline) = rules.pipelines.get(pipeline as usize) else {
        return Vec::new();
    };
    pipeline
        .steps
        .iter()
        .map(|transformation| {
            transformation.apply(&value, &mut out);
            std::mem::swap(&mut value, &mut out);
            Step {
                transformation: transformation.name(),
                value: printable(&value, VALUE),
            }
        })
        .collect()
}

pub(crate) fn expanded(rules: &RuleSet, state: &mut State, template: Option<&Template>) -> String {
    let Some(template) = template else {
        return String::new();
    };
    let mut text = Vec::new();
    template.expand_text(rules, state, &mut text);
    printable(&text, LOG_LIMIT)
}

/// Text without control bytes, which become `\xHH`, as do bytes that are not UTF-8.
pub(crate) fn printable(bytes: &[u8], limit: usize) -> String {
    let cut = bytes.get(..limit);
    let mut out = String::with_capacity(bytes.len().min(limit));
    for chunk in cut.unwrap_or(bytes).utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() {
                let mut utf8 = [0; 4];
                for byte in character.encode_utf8(&mut utf8).bytes() {
                    // Writing to a string cannot fail.
                    let _ = write!(out, "\\x{byte:02x}");
                }
            } else {
                out.push(character);
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    if cut.is_some() && bytes.len() > limit {
        let _ = write!(out, " ({} characters omitted)", bytes.len() - limit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_breaks_cannot_forge_a_second_entry() {
        assert_eq!(printable(b"a\r\nb\x7f", 100), "a\\x0d\\x0ab\\x7f");
    }

    #[test]
    fn text_stays_readable_and_broken_utf8_is_shown() {
        assert_eq!(printable("grün".as_bytes(), 100), "grün");
        assert_eq!(printable(b"gr\xfcn", 100), "gr\\xfcn");
    }

    #[test]
    fn long_values_are_cut_and_say_so() {
        assert_eq!(printable(b"abcdef", 4), "abcd (2 characters omitted)");
    }
}
