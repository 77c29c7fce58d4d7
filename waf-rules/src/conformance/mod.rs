//! Foreign suites against operators and transformations: secrules-language-tests (`SECRULES_TESTS`)
//! and libinjection's own corpus (`LIBINJECTION_TESTS`).
//!
//! Both are looked up in the environment, then in a checkout beside the project, and skipped aloud
//! otherwise. Every case left out stands in a list with its reason, and every run
//! asserts how many cases passed.

mod crs;
mod libinjection;
mod regression;
mod secrules;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::fuzzing;

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
        for failure in self
            .failed
            .iter()
            .take(if std::env::var_os("CONFORMANCE_ALL").is_some() {
                usize::MAX
            } else {
                40
            })
        {
            println!("  failed {failure}");
        }
    }
}

#[test]
fn the_checks_of_the_fuzz_targets_hold_on_their_seeds() {
    for (pattern, value) in [("(?i)a+b|c{2}", "xAAb"), ("^$", "\n"), ("[", "x")] {
        fuzzing::prefilter_agrees(pattern, value.as_bytes());
        fuzzing::transformations_keep_their_word(value.as_bytes());
        fuzzing::libinjection_quick_look_agrees(value.as_bytes());
    }
}

/// Engines that fold case by Unicode match these with letters of ASCII, so no prefilter may rule them out.
#[test]
fn letters_that_fold_into_ascii_are_never_ruled_out() {
    for (pattern, value) in [
        ("(?i)script", "\u{17f}cript"),
        ("(?i)union\\s+select", "union \u{17f}elect"),
        ("(?i)link|kernel", "lin\u{212a}"),
        ("(?i)\u{17f}elect", "select"),
        ("(?i)[\u{212a}]ernel", "kernel"),
        ("(?i)kernel", "kernel"),
        ("(?i)select", "elect"),
    ] {
        fuzzing::prefilter_agrees(pattern, value.as_bytes());
        fuzzing::captures_agree(pattern, value.as_bytes());
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

fn files_with(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder of cases");
    let mut files: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files
}
