//! The OWASP Core Rule Set 4, unmodified (`CRS_DIR`): it loads, and its evaluation with prefilters,
//! caches and remembered values is the plain one, over its own suite and over corpora of requests. Whether its rules find what they should is the business of
//! the regression suite, which runs against the whole gateway.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::{corpus, files_with};
use crate::engine::Literals;
use crate::fuzzing::{Sent, attacks, fast_and_plain_agree};
use crate::{Loader, RuleSet};

fn load(root: &Path, level: u8, engine: &str) -> RuleSet {
    let paranoid = format!(
        "SecAction \"id:1,phase:1,nolog,pass,setvar:tx.blocking_paranoia_level={level}\"\n\
         SecRequestBodyAccess On\nSecResponseBodyAccess On\nSecRuleEngine {engine}\n\
         SecRule REQUEST_HEADERS:Content-Type \"@rx (?i)^(?:application/(?:soap\\+)?|text/)xml\" \
         \"id:2,phase:1,pass,nolog,ctl:requestBodyProcessor=XML\"\n\
         SecRule REQUEST_HEADERS:Content-Type \"@rx (?i)^application/json\" \
         \"id:3,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON\""
    );
    let rules = format!("Include {}/rules/*.conf", root.display());
    let loaded = Loader::new()
        .file(&root.join("crs-setup.conf.example"))
        .text("paranoid", &paranoid)
        .text("rules", &rules)
        .load();
    match loaded {
        Ok(loaded) => loaded.rules,
        Err(problems) => panic!("{problems:#?}"),
    }
}

#[test]
fn the_core_rule_set_loads_and_its_prefilters_lose_nothing() {
    let Some(root) = corpus("CRS_DIR", "crs4") else {
        return;
    };
    let rules = Arc::new(load(&root, 4, "DetectionOnly"));
    assert!(rules.rule_count() > 600);
    for request in attacks() {
        fast_and_plain_agree(&rules, &Sent::of(request.as_bytes()));
    }
}

/// Every literal the rules need, in every payload of the suite and in a text of all of them at once.
#[test]
fn the_literals_of_the_rules_are_found_as_the_automaton_finds_them() {
    let Some(root) = corpus("CRS_DIR", "crs4") else {
        return;
    };
    let Some(suite) = corpus("CRS_TESTS", "crs4-tests") else {
        return;
    };
    let rules = load(&root, 4, "DetectionOnly");
    let links = rules.rules.iter().flat_map(|rule| &rule.links);
    let checks = links.filter_map(|link| link.check.as_ref());
    let filters = checks.filter_map(|check| check.operator.prefilter());
    let literals: BTreeSet<_> = filters
        .filter_map(|filter| filter.literals)
        .flatten()
        .collect();
    assert!(literals.len() > 5000, "{}", literals.len());
    let owned = literals.iter().zip(0..);
    let search = Literals::new(
        owned
            .map(|(one, owner)| (one.as_slice(), vec![owner]))
            .collect(),
    );
    let search = search.expect("thousands of literals");
    let mut values = payloads(&suite);
    values.push(values.join("&"));
    for value in values {
        let mut found = vec![0; literals.len().div_ceil(64)];
        let mut searched = found.clone();
        search.scan(value.as_bytes(), &mut found);
        search.search(value.as_bytes(), 0, &mut searched);
        assert_eq!(found, searched, "{value}");
    }
}

/// One in `STRIDE` payloads (all with `CONFORMANCE_ALL`) of the regression suite (`CRS_TESTS`), one after the other through one rule
/// set: what is remembered of one request meets the next.
#[test]
fn remembered_values_change_nothing_over_the_payloads_of_the_regression_suite() {
    const STRIDE: usize = 16;
    let Some(root) = corpus("CRS_DIR", "crs4") else {
        return;
    };
    let Some(suite) = corpus("CRS_TESTS", "crs4-tests") else {
        return;
    };
    let rules = Arc::new(load(&root, 4, "DetectionOnly"));
    let mut ran = 0;
    for payload in payloads(&suite).into_iter().step_by(stride(STRIDE)) {
        let head = format!("POST /x?q={payload} HTTP/1.1\nHost: a\nUser-Agent: {payload}");
        let request = format!("{head}\nCookie: a=b; c={payload}\n\nq={payload}");
        fast_and_plain_agree(&rules, &Sent::of(request.as_bytes()));
        ran += 1;
    }
    println!("{ran} payloads");
    assert!(ran > 200);
}

/// The corpora of requests (`ATTACK_CORPUS`, `LEGIT_CORPUS`) as a site at the lowest level meets them.
#[test]
fn fast_is_plain_over_the_corpora_at_paranoia_level_1() {
    fast_is_plain_over_the_corpora(1, "On");
}

/// At the highest level, refusing nothing, so that every rule of every phase runs.
#[test]
fn fast_is_plain_over_the_corpora_at_paranoia_level_4() {
    fast_is_plain_over_the_corpora(4, "DetectionOnly");
}

/// One in `STRIDE` requests (all with `CONFORMANCE_ALL`), one after the other through one rule set.
fn fast_is_plain_over_the_corpora(level: u8, engine: &str) {
    const STRIDE: usize = 13;
    let Some(root) = corpus("CRS_DIR", "crs4") else {
        return;
    };
    let corpora = [
        ("ATTACK_CORPUS", "attack-corpus"),
        ("LEGIT_CORPUS", "legit-corpus"),
    ];
    let rules = Arc::new(load(&root, level, engine));
    for (variable, name) in corpora {
        let Some(folder) = corpus(variable, name) else {
            continue;
        };
        let (mut ran, mut seen) = (0, 0);
        for request in requests(&folder).step_by(stride(STRIDE)) {
            seen += request.agrees(&rules);
            ran += 1;
        }
        println!("{name}: {ran} requests at paranoia level {level}, {seen} matches and variables");
        // The setup alone sets dozens of variables in each.
        assert!(ran > 300 && seen > 50 * ran);
    }
}

fn stride(usual: usize) -> usize {
    if std::env::var_os("CONFORMANCE_ALL").is_some() {
        1
    } else {
        usual
    }
}

/// A line of a corpus.
#[derive(Deserialize)]
struct Recorded {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
    body_b64: Option<String>,
}

impl Recorded {
    /// How much there was to compare.
    fn agrees(&self, rules: &Arc<RuleSet>) -> usize {
        let coded = self.body_b64.as_ref();
        let body = coded.map(|coded| STANDARD.decode(coded).expect("a body in base64"));
        let text = self.body.clone().unwrap_or_default();
        let body = body.unwrap_or_else(|| text.into_bytes());
        let length = body.len().to_string();
        let headers = self.headers.iter();
        let mut headers: Vec<_> = headers
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
            .collect();
        let framed = |(name, _): &(&[u8], &[u8])| name.eq_ignore_ascii_case(b"content-length");
        if !body.is_empty() && !headers.iter().any(framed) {
            headers.push((b"Content-Length", length.as_bytes()));
        }
        let request = Sent {
            method: self.method.as_bytes(),
            target: self.path.as_bytes(),
            headers,
            body: &body,
        };
        fast_and_plain_agree(rules, &request)
    }
}

/// Every request in the JSON lines of a folder, files in order.
fn requests(folder: &Path) -> impl Iterator<Item = Recorded> {
    let files = files_with(folder, "jsonl").into_iter();
    files.flat_map(|file| {
        let text = std::fs::read_to_string(file).expect("a file of requests");
        let lines = text.lines().map(serde_json::from_str);
        let lines: Result<Vec<Recorded>, _> = lines.collect();
        lines.expect("a request in each line")
    })
}

/// What stands behind `uri:` and `data:`, quotes off; which bytes exactly does not matter here.
fn payloads(suite: &Path) -> Vec<String> {
    let folders = std::fs::read_dir(suite).expect("the folder of the suite");
    let folders = folders.filter_map(|entry| Some(entry.ok()?.path()));
    let mut folders: Vec<_> = folders.filter(|path| path.is_dir()).collect();
    folders.sort();
    let mut found = Vec::new();
    for file in folders.iter().flat_map(|folder| files_with(folder, "yaml")) {
        let text = std::fs::read_to_string(&file).expect("a file of cases");
        for line in text.lines().map(str::trim) {
            let value = line.strip_prefix("uri: ").or(line.strip_prefix("data: "));
            found.extend(value.map(|value| value.trim_matches(['"', '\'']).to_owned()));
        }
    }
    found
}
