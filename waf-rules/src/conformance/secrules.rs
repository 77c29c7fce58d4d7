//! secrules-language-tests: every operator and transformation, case by case.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::Value;

use super::{Outcome, Tally, corpus, files_with};
use crate::geo::sample::{Node, database};
use crate::operators::Operator;
use crate::transformations::Transformation;
use crate::{Loader, Origin, RequestLine, RuleSet};

/// Names this engine does not have, or whose cases lack what they are about.
const SKIPPED_NAMES: &[(&str, &str)] = &[
    (
        "fuzzyHash",
        "refused at load: needs a database of fuzzy hashes",
    ),
    ("inspectFile", "refused at load: starts a program"),
    ("phpArgsNames", "no engine implements it"),
    (
        "rbl",
        "asks live lists by DNS: the suite holds no answers of theirs",
    ),
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
    let mut files = files_with(&root.join("operators"), "json");
    files.extend(files_with(&root.join("transformations"), "json"));
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
    assert!(tally.passed >= 4110, "only {} cases ran", tally.passed);
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
    if name == "geoLookup" {
        let found = case.get("ret").and_then(Value::as_i64) == Some(1);
        return geo_case(text("param"), &input, found);
    }
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

/// Asks with a database of documentation addresses. The suite has none: which addresses of the world
/// were in the one it was written for cannot be told.
fn geo_case(argument: &str, input: &[u8], found: bool) -> Outcome {
    if found {
        return Outcome::Skipped("the database that has the address is not in the suite");
    }
    let place = Node::map(&[("country", Node::map(&[("iso_code", Node::Text("NO"))]))]);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("geo.mmdb");
    std::fs::write(&file, database(&[("192.0.2.0/24", &place)])).expect("a database");
    let text = format!(
        "SecGeoLookupDb {}\nSecRule REQUEST_HEADERS:X-Value \"@geoLookup {argument}\" \
         \"id:1,phase:1,pass\"",
        file.display()
    );
    let loaded = Loader::new().text("geo", &text).load().expect("the rule");
    let rules = Arc::new(loaded.rules);
    let asked = [&b"192.0.2.7"[..], input].map(|value| matches_header(&rules, value));
    match asked {
        [true, false] => Outcome::Passed,
        _ => Outcome::Failed(format!(
            "{}: known and asked: {asked:?}",
            input.escape_ascii()
        )),
    }
}

fn matches_header(rules: &Arc<RuleSet>, value: &[u8]) -> bool {
    let address = SocketAddr::from(([192, 0, 2, 1], 4000));
    let origin = Origin {
        client: address,
        server: address,
    };
    let mut transaction = rules.begin(origin, "geo", SystemTime::UNIX_EPOCH);
    let line = RequestLine {
        method: b"GET",
        target: b"/",
        protocol: b"HTTP/1.1",
    };
    transaction.request_headers(line, [(&b"X-Value"[..], value)].into_iter());
    !transaction.finish().matches.is_empty()
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
