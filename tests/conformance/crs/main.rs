//! The regression suite of the OWASP CRS through the live gateway.
//!
//! The gateway runs with `deploy/examples/crs-regression.yaml` before the reflecting backend the
//! suite is written for. Every case is sent as the reference runner (go-ftw) sends it and judged by the
//! decision record as that runner judges by a log. What fails is printed by name and fails the run;
//! `overrides.yaml` lists the few cases that expect another HTTP server, with the reason.
//!
//! Needs the cases (`CRS_TESTS`) and the rules (`CRS_DIR`) of one release; skipped aloud without.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and prints what it found"
)]

mod judge;
mod request;
mod suite;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use harness::{Client, Gateway, Record, albedo, corpus, skipped};

use judge::{Outcome, judge};
use suite::{Case, Output, Override, Stage};

/// Cases that expect another HTTP server before the rules.
const OVERRIDES: &str = include_str!("overrides.yaml");

/// More overrides than this would hide something.
const MOST_OVERRIDES: usize = 13;

/// Cases of the folder beside the project; a whole release has more.
const FEWEST_CASES: usize = 4250;

/// A request that only marks a place in the record file.
const MARKER_HEADER: &str = "X-CRS-Marker";

#[test]
fn the_crs_regression_suite_passes() {
    let (Some(cases), Some(rules)) = (corpus("CRS_TESTS", "crs4-tests"), corpus("CRS_DIR", "crs4"))
    else {
        return skipped(
            "crs-regression",
            "set CRS_TESTS and CRS_DIR to an OWASP CRS checkout",
        );
    };
    let cases = suite::load(&cases);
    assert!(
        cases.len() >= FEWEST_CASES,
        "only {} cases found",
        cases.len()
    );
    let upstream = albedo::start();
    let gateway = Gateway::example("crs-regression")
        .with("CRS_DIR", rules.to_string_lossy())
        .before(&upstream)
        .start();

    let overrides = suite::overrides(OVERRIDES);
    let only = std::env::var("CRS_ONLY").unwrap_or_default();
    let mut runner = Runner::new(&gateway);
    let mut groups: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut failures = Vec::new();
    for case in cases.iter().filter(|case| case.name.starts_with(&only)) {
        let counts = groups.entry(&case.group).or_default();
        let replaced = overrides
            .iter()
            .find(|entry| entry.cases().any(|name| name == case.name));
        match runner.judge(case, replaced) {
            Ok(()) => counts.0 += 1,
            Err(reason) => {
                counts.1 += 1;
                failures.push(format!("{:<14} {reason}", case.name));
            }
        }
    }
    for (group, (passed, failed)) in &groups {
        println!("{group:<46} passed {passed:4} failed {failed:3}");
    }
    for failure in &failures {
        println!("failed: {failure}");
    }
    let passed: usize = groups.values().map(|(passed, _)| passed).sum();
    let total = passed + failures.len();
    println!(
        "measured: CRS regression: {passed} of {total} passed, {} failed, 0 skipped",
        failures.len()
    );
    assert!(failures.is_empty(), "{} of {total} failed", failures.len());
}

#[test]
fn every_override_says_why_and_they_are_few() {
    let overrides = suite::overrides(OVERRIDES);
    let count: usize = overrides.iter().map(|entry| entry.cases().count()).sum();
    assert!((1..=MOST_OVERRIDES).contains(&count), "{count} overrides");
    for entry in &overrides {
        let cases: Vec<String> = entry.cases().collect();
        assert!(entry.reason.len() > 40, "{cases:?} need a reason");
        assert!(
            entry.output != Output::default(),
            "{cases:?} expect nothing"
        );
    }
}

/// Sends cases one after the other and finds the records they leave.
struct Runner<'a> {
    gateway: &'a Gateway,
    records: RecordFile,
    sent: usize,
}

impl<'a> Runner<'a> {
    fn new(gateway: &'a Gateway) -> Self {
        Self {
            gateway,
            records: RecordFile::open(gateway.record_file()),
            sent: 0,
        }
    }

    /// Runs a case, under its override if it has one; an override that is not needed is a failure.
    fn judge(&mut self, case: &Case, replaced: Option<&Override>) -> Result<(), String> {
        let Some(replaced) = replaced else {
            return self.run(case, None);
        };
        if self.run(case, None).is_ok() {
            return Err("passes without its override".to_owned());
        }
        self.run(case, Some(&replaced.output))
    }

    fn run(&mut self, case: &Case, replaced: Option<&Output>) -> Result<(), String> {
        for stage in &case.stages {
            let expected = replaced.unwrap_or(&stage.output);
            let mut verdict = self.stage(stage, expected);
            if verdict.is_err() && expected.retry_once {
                verdict = self.stage(stage, expected);
            }
            verdict?;
        }
        Ok(())
    }

    fn stage(&mut self, stage: &Stage, expected: &Output) -> Result<(), String> {
        self.sent += 1;
        let name = format!("case-{}", self.sent);
        let bytes = request::build(&stage.input, &name);
        let mut client = Client::connect(&self.gateway.address);
        client.send(&bytes);
        let method = if bytes.starts_with(b"HEAD ") {
            "HEAD"
        } else {
            "GET"
        };
        let answer = client.try_answer(method).ok().flatten();
        let status = answer
            .map(|answer| answer.status)
            .filter(|status| *status > 0);
        let records = self.records_of(stage, &name, status);
        judge(&Outcome { status, records }, expected)
    }

    /// The record that repeats the request's name. Ready-made requests carry none, and a refused head
    /// may have lost it: then every nameless record before a marker belongs to the request.
    fn records_of(&mut self, stage: &Stage, name: &str, status: Option<u16>) -> Vec<Record> {
        if stage.input.encoded_request.is_none() {
            let patience = match status {
                Some(400 | 505) | None => Duration::from_millis(50),
                Some(_) => Duration::from_secs(2),
            };
            let named =
                |record: &Record| record.header(request::NAME_HEADER).as_deref() == Some(name);
            if let Some(at) = self.records.wait(patience, named) {
                let record = self.records.pending.remove(at);
                self.records.pending.clear();
                return vec![record];
            }
        }
        self.records_before_marker()
    }

    fn records_before_marker(&mut self) -> Vec<Record> {
        self.sent += 1;
        let mark = format!("marker-{}", self.sent);
        let answer = Client::request(
            &self.gateway.address,
            "GET",
            "/status/200",
            &[(MARKER_HEADER, &mark), ("Host", "localhost")],
            b"",
        );
        assert_eq!(answer.status, 200, "a marker is let through");
        let marks = |record: &Record| record.header(MARKER_HEADER).as_deref() == Some(&mark);
        let at = self.records.wait(Duration::from_secs(5), marks);
        let at = at.expect("every exchange leaves a record, the marker too");
        let mut before: Vec<Record> = self.records.pending.drain(..=at).collect();
        before.pop();
        before.retain(nameless);
        // Workers write independently: the marker's record may overtake the one before it.
        let overtaken = Duration::from_millis(300);
        if before.is_empty()
            && let Some(at) = self.records.wait(overtaken, nameless)
        {
            before.push(self.records.pending.remove(at));
        }
        before
    }
}

fn nameless(record: &Record) -> bool {
    record.header(request::NAME_HEADER).is_none() && record.header(MARKER_HEADER).is_none()
}

/// Follows the record file.
struct RecordFile {
    file: File,
    line: Vec<u8>,
    pending: Vec<Record>,
}

impl RecordFile {
    fn open(path: PathBuf) -> Self {
        // The gateway has answered /readyz, so the file is there; it may hold older records.
        let mut file = File::open(path).expect("the gateway writes decision records");
        file.seek(SeekFrom::End(0)).unwrap();
        Self {
            file,
            line: Vec::new(),
            pending: Vec::new(),
        }
    }

    /// Waits for a record; gives its place among the pending ones.
    fn wait(&mut self, patience: Duration, wanted: impl Fn(&Record) -> bool) -> Option<usize> {
        let deadline = Instant::now() + patience;
        loop {
            self.read();
            if let Some(at) = self.pending.iter().position(&wanted) {
                return Some(at);
            }
            if Instant::now() > deadline {
                return None;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn read(&mut self) {
        let mut buffer = [0; 64 << 10];
        loop {
            let count = self
                .file
                .read(&mut buffer)
                .expect("the record file can be read");
            if count == 0 {
                return;
            }
            for &byte in &buffer[..count] {
                if byte != b'\n' {
                    self.line.push(byte);
                    continue;
                }
                let value = serde_json::from_slice(&self.line).expect("each record is JSON");
                self.pending.push(Record(value));
                self.line.clear();
            }
        }
    }
}
