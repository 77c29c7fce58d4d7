//! Whether what came of a request is what its case expects, in the reference runner's order.

use harness::Record;
use regex_automata::meta::Regex;
use regex_automata::util::syntax;
use serde_json::Value;

use crate::suite::Output;

/// What came of one request.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The status, or `None` if there was no response that reads as one.
    pub(crate) status: Option<u16>,
    /// Every record that belongs to the request.
    pub(crate) records: Vec<Record>,
}

/// Judges an outcome; the error says what is missing.
pub(crate) fn judge(outcome: &Outcome, expected: &Output) -> Result<(), String> {
    let status = match (outcome.status, expected.expect_error) {
        (None, true) => return Ok(()),
        (Some(status), true) => return Err(format!("expected no response, got {status}")),
        (None, false) => return Err("no response".to_owned()),
        (Some(status), false) => status,
    };
    if let Some(wanted) = expected.status.filter(|wanted| *wanted != status) {
        return Err(format!("status {status}, not {wanted}"));
    }
    let ids: Vec<u64> = outcome.records.iter().flat_map(Record::rule_ids).collect();
    let lines: Vec<String> = outcome.records.iter().flat_map(log_lines).collect();
    if let Some(pattern) = &expected.log.match_regex
        && !matches(pattern, &lines)
    {
        return Err(format!("nothing matches {pattern:?}"));
    }
    if let Some(id) = expected.log.expect_ids.iter().find(|id| !ids.contains(id)) {
        let seen = outcome.records.len();
        return Err(format!(
            "rule {id} did not speak (status {status}, {seen} records)"
        ));
    }
    if let Some(pattern) = &expected.log.no_match_regex
        && matches(pattern, &lines)
    {
        return Err(format!("something matches {pattern:?}"));
    }
    if let Some(id) = expected
        .log
        .no_expect_ids
        .iter()
        .find(|id| ids.contains(id))
    {
        return Err(format!("rule {id} spoke"));
    }
    Ok(())
}

/// Messages in the shape of ModSecurity's error log, which the suite's patterns are written for.
fn log_lines(record: &Record) -> Vec<String> {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let line = |message: &Value| {
        format!(
            "ModSecurity: Warning. {} [id \"{}\"] [msg \"{}\"] [data \"{}\"]",
            text(&message["match"]),
            text(&message["rule_id"]),
            text(&message["msg"]),
            text(&message["data"]),
        )
        .chars()
        .map(|c| match c {
            '\0'..='\x1f' | '\x7f' => format!("\\x{:02x}", u32::from(c)),
            other => other.to_string(),
        })
        .collect()
    };
    record.messages().iter().map(line).collect()
}

fn matches(pattern: &str, lines: &[String]) -> bool {
    let regex = Regex::builder()
        .syntax(syntax::Config::new().unicode(false).utf8(false))
        .configure(Regex::config().utf8_empty(false))
        .build(pattern)
        .unwrap_or_else(|error| panic!("pattern {pattern:?}: {error}"));
    lines.iter().any(|line| regex.is_match(line))
}
