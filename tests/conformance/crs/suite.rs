//! The regression cases of the OWASP CRS: YAML files after the ftw-tests-schema (version 2).
//!
//! A key of a request or an expectation that is not known here ends the run: a case judged by less
//! than it asks for would be a lie.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// One named case.
#[derive(Debug)]
pub(crate) struct Case {
    /// Rule and number, such as `942100-3`.
    pub(crate) name: String,
    /// Folder of the case, such as `REQUEST-942-APPLICATION-ATTACK-SQLI`.
    pub(crate) group: String,
    /// Requests sent one after the other.
    pub(crate) stages: Vec<Stage>,
}

/// One request and what is expected of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stage {
    pub(crate) input: Input,
    #[serde(default)]
    pub(crate) output: Output,
}

/// A request. Scalars are read as the text that stands in the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Input {
    dest_addr: String,
    port: String,
    pub(crate) method: Option<String>,
    pub(crate) uri: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) data: Option<String>,
    pub(crate) autocomplete_headers: Option<bool>,
    pub(crate) encoded_request: Option<String>,
}

/// What has to come of it.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Output {
    pub(crate) status: Option<u16>,
    pub(crate) expect_error: bool,
    pub(crate) retry_once: bool,
    pub(crate) log: Log,
}

/// What has to stand in the log, and what must not.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Log {
    pub(crate) expect_ids: Vec<u64>,
    pub(crate) no_expect_ids: Vec<u64>,
    pub(crate) match_regex: Option<String>,
    pub(crate) no_match_regex: Option<String>,
}

/// An expectation that stands in place of a case's own, and why.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Override {
    rule_id: u64,
    test_ids: Vec<u64>,
    pub(crate) reason: String,
    pub(crate) output: Output,
}

impl Override {
    /// The cases it is for, such as `920100-4`.
    pub(crate) fn cases(&self) -> impl Iterator<Item = String> {
        self.test_ids
            .iter()
            .map(|test_id| format!("{}-{test_id}", self.rule_id))
    }
}

/// The overrides of a file in go-ftw's form.
pub(crate) fn overrides(text: &str) -> Vec<Override> {
    #[derive(Deserialize)]
    struct Overrides {
        test_overrides: Vec<Override>,
    }
    let overrides: Overrides =
        serde_norway::from_str(text).unwrap_or_else(|error| panic!("overrides: {error}"));
    overrides.test_overrides
}

#[derive(Deserialize)]
struct Document {
    rule_id: u64,
    tests: Vec<Test>,
}

#[derive(Deserialize)]
struct Test {
    test_id: u64,
    stages: Vec<Stage>,
}

/// All cases under a folder, in the order of their paths.
pub(crate) fn load(folder: &Path) -> Vec<Case> {
    let mut files = Vec::new();
    collect(folder, &mut files);
    files.sort();
    files.iter().flat_map(|path| read(path)).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder of cases can be read") {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path
            .extension()
            .is_some_and(|ending| ending == "yaml" || ending == "yml")
        {
            files.push(path);
        }
    }
}

/// The cases of a file; none if it holds something else (overrides, a compose file, comments).
fn read(path: &Path) -> Vec<Case> {
    let text = fs::read_to_string(path).unwrap();
    if !text.lines().any(|line| line == "tests:") {
        return Vec::new();
    }
    let document: Document =
        serde_norway::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let group = path.parent().and_then(Path::file_name);
    let group = group.map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let cases = document.tests.into_iter().map(|test| Case {
        name: format!("{}-{}", document.rule_id, test.test_id),
        group: group.clone(),
        stages: test.stages,
    });
    cases.collect()
}
