//! The OWASP Core Rule Set 4, unmodified (`CRS_DIR`): it loads, and at the highest paranoia level its
//! prefiltered evaluation is the plain one. Whether its rules find what they should is the business of
//! the regression suite, which runs against the whole gateway.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::{corpus, files_with};
use crate::engine::Literals;
use crate::fuzzing::{attacks, fast_and_plain_agree};
use crate::{Loader, RuleSet};

fn load(root: &Path) -> RuleSet {
    let paranoid = "SecAction \"id:1,phase:1,nolog,pass,setvar:tx.blocking_paranoia_level=4\"\n\
                    SecResponseBodyAccess On\nSecRuleEngine DetectionOnly";
    let rules = format!("Include {}/rules/*.conf", root.display());
    let loaded = Loader::new()
        .file(&root.join("crs-setup.conf.example"))
        .text("paranoid", paranoid)
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
    let rules = Arc::new(load(&root));
    assert!(rules.rule_count() > 600);
    for request in attacks() {
        fast_and_plain_agree(&rules, request.as_bytes());
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
    let rules = load(&root);
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

/// One in `STRIDE` payloads of the regression suite (`CRS_TESTS`), one after the other through one rule
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
    let rules = Arc::new(load(&root));
    let mut ran = 0;
    for payload in payloads(&suite).into_iter().step_by(STRIDE) {
        let head = format!("POST /x?q={payload} HTTP/1.1\nHost: a\nUser-Agent: {payload}");
        let request = format!("{head}\nCookie: a=b; c={payload}\n\nq={payload}");
        fast_and_plain_agree(&rules, request.as_bytes());
        ran += 1;
    }
    println!("{ran} payloads");
    assert!(ran > 200);
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
