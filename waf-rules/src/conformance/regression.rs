//! ModSecurity's regression suite (`MODSECURITY_TESTS`): whole exchanges with their rules, in the
//! order in which its own runner calls the engine.
//!
//! Statuses, redirects, load errors, error and audit lines are compared as they are. What its debug
//! log must say is searched in a text that [`wording`] makes of what our engine records. A case that
//! is left out stands in [`exceptions`] with its reason, and one that would pass must not stand there.

mod case;
mod exceptions;
mod wording;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use self::case::Case;
use super::{Outcome, Tally, corpus, files_with};
use crate::engine::State;
use crate::regex::Pattern;
use crate::{
    Disruption, Ending, Intervention, Loader, Origin, Problem, Redaction, RequestLine, RuleSet,
};

/// Without a word about the engine libmodsecurity detects only; leaves of JSON have its names.
const DEFAULTS: &str = "SecRuleEngine DetectionOnly\nSecRequestBodyJsonNaming ModSecurity";
/// Where the rules of the suite look for their data.
const DATA: &str = "test-cases/data/";
/// Cases that pass at least.
const PASSED: usize = 480;
/// Of a hundred cases that many may be left out.
const LEFT_OUT: usize = 15;
/// The corpus beside the project: its cases, and how many of them are left out.
const KNOWN: (usize, usize) = (545, 62);

#[test]
fn modsecurity_regression() {
    let Some(root) = corpus("MODSECURITY_TESTS", "modsecurity-regression") else {
        return;
    };
    let data = data_files(&root.join("data"));
    let mut tally = Tally::default();
    let mut kinds: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut needless = Vec::new();
    for file in files_with(&root, "json") {
        let name = file.file_name().and_then(|name| name.to_str());
        let name = name.unwrap_or_default().to_owned();
        let text = std::fs::read_to_string(&file).expect("a readable case file");
        for (number, case) in case::parse(&text).iter().enumerate() {
            let found = judge(case, &name, data.path());
            let label = format!("{name} #{number}");
            if let Some(reason) = exceptions::reason(&name, number) {
                if found.is_ok() {
                    needless.push(label.clone());
                }
                tally.count(Outcome::Skipped(reason), &label);
                continue;
            }
            let (ran, passed) = kinds.entry(kind(case)).or_default();
            *ran += 1;
            *passed += usize::from(found.is_ok());
            tally.count(
                found.map_or_else(Outcome::Failed, |()| Outcome::Passed),
                &label,
            );
        }
    }
    tally.report("modsecurity-regression");
    for (kind, (ran, passed)) in &kinds {
        println!("  {kind}: ran {ran}, passed {passed}");
    }
    assert!(needless.is_empty(), "listed, but passes: {needless:#?}");
    assert!(
        tally.failed.is_empty(),
        "{} cases failed",
        tally.failed.len()
    );
    let left_out: usize = tally.skipped.values().sum();
    let cases = tally.passed + left_out;
    assert!(
        left_out * 100 <= cases * LEFT_OUT,
        "{left_out} of {cases} are left out"
    );
    if cases == KNOWN.0 {
        assert_eq!(left_out, KNOWN.1, "cases left out");
    }
    assert!(tally.passed >= PASSED, "only {} passed", tally.passed);
}

/// A copy of the suite's data files in which what they include is found.
fn data_files(folder: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a folder");
    let inside = format!("{}/", copy.path().display());
    for entry in std::fs::read_dir(folder).expect("data files") {
        let path = entry.expect("a data file").path();
        let Some(name) = path.file_name().filter(|_| path.is_file()) else {
            continue;
        };
        let bytes = std::fs::read(&path).expect("a data file");
        let bytes = match String::from_utf8(bytes) {
            Ok(text) => text.replace(DATA, &inside).into_bytes(),
            Err(binary) => binary.into_bytes(),
        };
        std::fs::write(copy.path().join(name), bytes).expect("a copy");
    }
    copy
}

/// The strongest expectation of a case.
fn kind(case: &Case) -> &'static str {
    match case.http_code {
        _ if case.parser_error.is_some() => "load error",
        Some(200) => "passes",
        Some(_) => "refused",
        None if case.error_log.is_some() => "error line",
        None if case.audit_log.is_some() => "audit entry",
        None if case.debug_log.is_some() => "trace",
        None => "runs",
    }
}

/// Runs a case and compares; what differs.
fn judge(case: &Case, file: &str, data: &Path) -> Result<(), String> {
    let rules = match load(case, file, data) {
        Ok(rules) if case.parser_error.is_none() => Arc::new(rules),
        Ok(_) => return Err("it loads".to_owned()),
        Err(problems) => return load_error(case.parser_error.as_deref(), &problems),
    };
    let fast = exchange(case, &rules, false);
    let slow = exchange(case, &rules, true);
    let verdicts = [&fast, &slow].map(|run| run.intervention.clone());
    if verdicts[0] != verdicts[1] {
        return Err(format!("fast and plain differ: {verdicts:?}"));
    }
    let status = fast.intervention.as_ref().map_or(200, |found| found.status);
    if let Some(wanted) = case.http_code
        && wanted != status
    {
        return Err(format!("status {status}, not {wanted}"));
    }
    if let Some(wanted) = &case.redirect_url {
        let action = fast.intervention.map(|found| found.action);
        if !matches!(&action, Some(Disruption::Redirect(to)) if to == wanted) {
            return Err(format!("{action:?}, not a redirect to {wanted}"));
        }
    }
    let debug = wording::debug_log(case, &rules, &slow);
    search("trace", case.debug_log.as_deref(), &debug)?;
    search("error line", case.error_log.as_deref(), &slow.error_log)?;
    search("audit entry", case.audit_log.as_deref(), &slow.audit_log)
}

fn load(case: &Case, file: &str, data: &Path) -> Result<RuleSet, Vec<Problem>> {
    let data = format!("{}/", data.display());
    let text = case.rules.replace(DATA, &data);
    compile(file, &text).or_else(|problems| {
        // libmodsecurity loads a chain without an end, which never matches.
        let open = |problem: &Problem| problem.message.contains("no rule follows");
        if !problems.iter().all(open) {
            return Err(problems);
        }
        compile(file, &format!("{text}\nSecRule REMOTE_ADDR @noMatch"))
    })
}

fn compile(file: &str, text: &str) -> Result<RuleSet, Vec<Problem>> {
    Loader::new()
        .text("default", DEFAULTS)
        .text(file, text)
        .load()
        .map(|loaded| loaded.rules)
}

/// The first problem must mean what libmodsecurity says, where it says it.
fn load_error(wanted: Option<&str>, problems: &[Problem]) -> Result<(), String> {
    let Some(wanted) = wanted else {
        return Err(format!("does not load: {}", problems[0]));
    };
    if problems
        .iter()
        .any(|problem| wording::same_error(wanted, problem))
    {
        return Ok(());
    }
    Err(format!("{}, not {wanted}", problems[0]))
}

/// What an exchange amounted to.
struct Run {
    intervention: Option<Intervention>,
    outcome: crate::Outcome,
    error_log: String,
    audit_log: String,
    state: State,
}

fn exchange(case: &Case, rules: &Arc<RuleSet>, slow: bool) -> Run {
    let origin = Origin {
        client: case.client,
        server: case.server,
    };
    let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let mut transaction = rules.begin(origin, "1700000000.1", now);
    transaction.keep_lines();
    if slow {
        transaction.record();
    }
    let line = RequestLine {
        method: case.method.as_bytes(),
        target: case.target.as_bytes(),
        protocol: case.protocol.as_bytes(),
    };
    let mut intervention = transaction.request_headers(line, bytes(&case.request_headers));
    let mut keep = |found: Option<Intervention>| {
        intervention = intervention.take().or(found);
    };
    keep(transaction.request_body(case.request_body.as_bytes(), true));
    let headers = bytes(&case.response_headers);
    keep(transaction.response_headers(200, &case.response_protocol, headers));
    keep(transaction.response_body(case.response_body.as_bytes(), true));
    let outcome = transaction.finish();
    let redaction = Redaction::new([], false, []);
    let lines = transaction.error_lines(&redaction);
    let entry = transaction.audit(&Ending {
        status: Some(intervention.as_ref().map_or(200, |found| found.status)),
        headers: &[],
        sent: 0,
        server: "",
        redaction: &redaction,
    });
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Run {
        intervention,
        outcome,
        error_log: text(lines.join(&b'\n')),
        audit_log: text(entry.map(|entry| entry.text).unwrap_or_default()),
        state: transaction.into_state(),
    }
}

fn bytes(pairs: &[(String, String)]) -> impl Iterator<Item = (&[u8], &[u8])> {
    pairs
        .iter()
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
}

fn search(what: &str, pattern: Option<&str>, text: &str) -> Result<(), String> {
    let Some(pattern) = pattern else {
        return Ok(());
    };
    let regex = Pattern::new(pattern).map_err(|reason| format!("{pattern}: {reason}"))?;
    if regex.is_match(text.as_bytes()) {
        return Ok(());
    }
    if std::env::var_os("MODSECURITY_TESTS_SHOW").is_some() {
        println!("--- {what} without {pattern}\n{text}");
    }
    Err(format!("the {what} lacks {pattern}"))
}
