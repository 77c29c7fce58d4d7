//! Foreign suites against operators and transformations: secrules-language-tests (`SECRULES_TESTS`)
//! and libinjection's own corpus (`LIBINJECTION_TESTS`).
//!
//! Both are looked up in the environment, then under `../shared/corpora/` beside the workspace, and
//! skipped aloud otherwise. Every case left out stands in one list here with its reason, and every
//! run asserts how many cases passed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::operators::Operator;
use crate::transformations::Transformation;
use crate::{fuzzing, libinjection};

/// Names this engine does not have.
const SKIPPED_NAMES: &[(&str, &str)] = &[
    (
        "fuzzyHash",
        "refused at load: needs a database of fuzzy hashes",
    ),
    (
        "geoLookup",
        "refused at load: country rules belong to the gateway",
    ),
    ("inspectFile", "refused at load: starts a program"),
    ("phpArgsNames", "no engine implements it"),
    ("rbl", "refused at load: asks the DNS"),
    (
        "validateDTD",
        "refused at load: needs a validating XML parser",
    ),
    (
        "validateSchema",
        "refused at load: needs a validating XML parser",
    ),
];

/// Single cases whose expectation we do not share: name, argument or else start of the input, reason.
const SKIPPED_CASES: &[(&str, &str, &str)] = &[
    (
        "ipMatch",
        "10.0.0.0/100",
        "a prefix longer than the address is an error at load, not a network of nothing",
    ),
    (
        "rx",
        "<\\?(?!xml)",
        "look-ahead is refused at load: it cannot be matched in linear time",
    ),
    (
        "rxGlobal",
        "<\\?(?!xml)",
        "look-ahead is refused at load: it cannot be matched in linear time",
    ),
    (
        "urlDecodeUni",
        "+%u0000%u0001%u0002",
        "the suite runs without a Unicode map: we have code page 20127 built in",
    ),
    (
        "validateByteRange",
        "xxx",
        "an argument that is no list of bytes is an error at load, not an empty list",
    ),
];

#[test]
fn secrules_language_tests() {
    let Some(root) = corpus("SECRULES_TESTS", "secrules-language-tests") else {
        return;
    };
    let mut files = json_files(&root.join("operators"));
    files.extend(json_files(&root.join("transformations")));
    files.sort();
    let mut tally = Tally::default();
    for file in &files {
        let text = std::fs::read_to_string(file).expect("a readable case file");
        let cases: Vec<Value> = serde_json::from_str(&text).expect("a JSON array of cases");
        for (number, case) in cases.iter().enumerate() {
            let outcome = run_case(case, &root);
            tally.count(outcome, &format!("{} #{number}", file.display()));
        }
    }
    tally.report("secrules-language-tests");
    assert!(
        tally.failed.is_empty(),
        "{} cases failed",
        tally.failed.len()
    );
    assert!(tally.passed >= 4000, "only {} cases ran", tally.passed);
}

enum Outcome {
    Passed,
    Failed(String),
    Skipped(&'static str),
}

#[derive(Default)]
struct Tally {
    passed: usize,
    failed: Vec<String>,
    skipped: BTreeMap<&'static str, usize>,
}

impl Tally {
    fn count(&mut self, outcome: Outcome, label: &str) {
        match outcome {
            Outcome::Passed => self.passed += 1,
            Outcome::Failed(why) => self.failed.push(format!("{label}: {why}")),
            Outcome::Skipped(reason) => *self.skipped.entry(reason).or_default() += 1,
        }
    }

    fn report(&self, suite: &str) {
        let skipped: usize = self.skipped.values().sum();
        let ran = self.passed + self.failed.len();
        println!(
            "{suite}: ran {ran}, passed {}, skipped {skipped}",
            self.passed
        );
        for (reason, count) in &self.skipped {
            println!("  skipped {count}: {reason}");
        }
        for failure in self.failed.iter().take(40) {
            println!("  failed {failure}");
        }
    }
}

fn run_case(case: &Value, root: &Path) -> Outcome {
    let text = |key: &str| case.get(key).and_then(Value::as_str).unwrap_or_default();
    // The suite spells one name with an underscore.
    let name = &text("name").replace('_', "");
    if let Some((_, reason)) = SKIPPED_NAMES
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
    {
        return Outcome::Skipped(reason);
    }
    let skipped = SKIPPED_CASES.iter().find(|(known, start, _)| {
        let of_case = match text("type") {
            "tfn" => text("input").starts_with(start),
            _ => text("param") == *start,
        };
        known.eq_ignore_ascii_case(name) && of_case
    });
    if let Some((_, _, reason)) = skipped {
        return Outcome::Skipped(reason);
    }
    let input = bytes(text("input"));
    match text("type") {
        "tfn" => transformation_case(name, &input, &bytes(text("output"))),
        _ => {
            let matched = case.get("ret").and_then(Value::as_i64) == Some(1);
            operator_case(name, text("param"), &input, matched, root)
        }
    }
}

fn transformation_case(name: &str, input: &[u8], expected: &[u8]) -> Outcome {
    let Some(transformation) = Transformation::from_name(name) else {
        return Outcome::Failed(format!("unknown transformation {name}"));
    };
    let mut out = Vec::new();
    transformation.apply(input, &mut out);
    if out == expected {
        Outcome::Passed
    } else {
        let [input, out, expected] = [input, &out, expected].map(<[u8]>::escape_ascii);
        Outcome::Failed(format!("{input} became {out}, not {expected}"))
    }
}

fn operator_case(name: &str, argument: &str, input: &[u8], expected: bool, root: &Path) -> Outcome {
    let mut read = |path: &str| {
        let inside = path
            .rsplit_once("secrules-language-tests/")
            .map_or(path, |(_, inside)| inside);
        std::fs::read(root.join(inside)).map_err(|error| error.to_string())
    };
    let operator = match Operator::compile(name, argument, &mut read) {
        Ok(operator) => operator,
        Err(error) => return Outcome::Failed(error),
    };
    let matched = operator.matches(input, argument.as_bytes(), None);
    let admitted = operator
        .prefilter()
        .is_none_or(|filter| filter.admits(input));
    if matched == expected && (admitted || !matched) {
        Outcome::Passed
    } else {
        let input = input.escape_ascii();
        Outcome::Failed(format!(
            "@{name} {argument:?} on {input}: {matched} (admitted {admitted})"
        ))
    }
}

/// The bytes a case means: its text in UTF-8, with the `\xHH` and `\uHHHH` spelt in it as bytes.
/// Digits are read as C's `strtol` reads them, as the suite's own runner does.
fn bytes(text: &str) -> Vec<u8> {
    let once = unescape(text.as_bytes(), b'x', 2);
    unescape(&once, b'u', 4)
}

fn unescape(text: &[u8], letter: u8, digits: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let body = text.get(at + 2..at + 2 + digits);
        let escape = body.filter(|body| {
            text[at] == b'\\'
                && text[at + 1] == letter
                && body.iter().all(u8::is_ascii_alphanumeric)
        });
        if let Some(body) = escape {
            let number = body
                .iter()
                .map_while(|byte| char::from(*byte).to_digit(16))
                .fold(0, |number, digit| number * 16 + digit);
            out.push(number.to_le_bytes()[0]);
            at += 2 + digits;
        } else {
            out.push(text[at]);
            at += 1;
        }
    }
    out
}

/// Attacks of a thousand that must be found: the C code misses the same few, which the run prints.
const FOUND_OF_THOUSAND: usize = 998;
/// Harmless values that may be reported: the C code reports the same.
const FALSE_POSITIVES: usize = 21;

#[test]
fn libinjection_corpus() {
    let Some(root) = corpus("LIBINJECTION_TESTS", "libinjection-tests") else {
        return;
    };
    let mut attacks = Tally::default();
    let mut innocent = Tally::default();
    for file in files_with(&root.join("data"), "txt") {
        let name = file
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default()
            .to_owned();
        let content = std::fs::read(&file).expect("a readable data file");
        for line in content.split(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let mut value = Vec::new();
            Transformation::UrlDecode.apply(line, &mut value);
            let label = format!("{name}: {}", value.escape_ascii());
            if name.starts_with("sqli-") {
                attacks.count(expect(libinjection::sqli(&value).is_some()), &label);
            } else if name.starts_with("xss-") {
                attacks.count(expect(libinjection::xss(&value)), &label);
            } else if name.starts_with("false_positives") {
                innocent.count(expect(libinjection::sqli(&value).is_none()), &label);
            }
        }
    }
    attacks.report("libinjection attacks");
    innocent.report("libinjection false positives");
    let ran = attacks.passed + attacks.failed.len();
    assert!(ran > 1000, "only {ran} attacks ran");
    assert!(attacks.passed * 1000 >= ran * FOUND_OF_THOUSAND);
    assert!(innocent.failed.len() <= FALSE_POSITIVES);
}

#[test]
fn libinjection_fingerprints() {
    let Some(root) = corpus("LIBINJECTION_TESTS", "libinjection-tests") else {
        return;
    };
    let mut tally = Tally::default();
    for file in files_with(&root.join("tests"), "txt") {
        let content = std::fs::read(&file).expect("a readable test");
        let label = file.display().to_string();
        if !label.contains("test-sqli-") {
            tally.count(
                Outcome::Skipped("tests the port's tokeniser, which its own suite runs"),
                &label,
            );
            continue;
        }
        let section = |name: &str, end: &str| {
            let start = memchr::memmem::find(&content, name.as_bytes())? + name.len() + 1;
            let rest = content.get(start..)?;
            let length = memchr::memmem::find(rest, end.as_bytes()).unwrap_or(rest.len());
            rest.get(..length).map(<[u8]>::trim_ascii)
        };
        let input = section("--INPUT--", "--EXPECTED--").expect("an input");
        let expected = section("--EXPECTED--", "\0\0\0").expect("an expectation");
        let found = libinjection::sqli(input);
        let fingerprint = found
            .as_ref()
            .map_or(&b""[..], libinjection::Fingerprint::as_bytes);
        let outcome = if fingerprint == expected {
            Outcome::Passed
        } else {
            let [input, found, expected] = [input, fingerprint, expected].map(<[u8]>::escape_ascii);
            Outcome::Failed(format!("{input}: {found}, not {expected}"))
        };
        tally.count(outcome, &label);
    }
    tally.report("libinjection fingerprints");
    assert!(
        tally.failed.is_empty(),
        "{} fingerprints differ",
        tally.failed.len()
    );
    assert!(tally.passed >= 30, "only {} ran", tally.passed);
}

#[test]
fn the_checks_of_the_fuzz_targets_hold_on_their_seeds() {
    for (pattern, value) in [("(?i)a+b|c{2}", "xAAb"), ("^$", "\n"), ("[", "x")] {
        fuzzing::prefilter_agrees(pattern, value.as_bytes());
        fuzzing::transformations_keep_their_word(value.as_bytes());
        fuzzing::libinjection_quick_look_agrees(value.as_bytes());
    }
}

fn expect(right: bool) -> Outcome {
    if right {
        Outcome::Passed
    } else {
        Outcome::Failed("judged wrongly".to_owned())
    }
}

/// The folder of a foreign suite; none, said aloud, where it is not installed.
fn corpus(variable: &str, name: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/corpora")
        .join(name);
    let root = std::env::var_os(variable).map_or(beside, PathBuf::from);
    if root.is_dir() {
        return Some(root);
    }
    println!("skipped: {name} (set {variable} to its folder)");
    None
}

fn json_files(folder: &Path) -> Vec<PathBuf> {
    files_with(folder, "json")
}

fn files_with(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder of cases");
    let mut files: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files
}
