//! Cost grows with size and no faster, for bodies of every kind and for patterns that are slow elsewhere.
//!
//! Eight times the size may cost sixteen times the processor's time: machines are noisy, squares are
//! not. What it costs is measured by `examples/linear`.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::begin;
use waf_rules::{Loader, RequestLine, RuleSet};

#[test]
fn eight_times_the_body_costs_about_eight_times_the_time() {
    let limits = "SecRequestBodyLimit 13107200\nSecRequestBodyNoFilesLimit 13107200\n";
    let loaded = Loader::new().baseline().text("limits", limits).load();
    let rules = Arc::new(loaded.expect("the baseline loads").rules);
    let prose = "We stayed for a week and the breakfast was really good. ";
    for (content_type, head, part, tail) in [
        ("application/x-www-form-urlencoded", "a=", prose, ""),
        ("application/x-www-form-urlencoded", "", "name=value&", ""),
        ("application/json", "{\"text\": \"", prose, "\"}"),
        ("application/json", "[", "{\"a\": 1}, ", "{}]"),
        ("text/plain", "", prose, ""),
    ] {
        grows_linearly(content_type, |size| {
            let body = format!("{head}{}{tail}", part.repeat(size / part.len()));
            time(&rules, content_type, body.as_bytes())
        });
    }
    let part = "--limit\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nvalue\r\n";
    grows_linearly("multipart", |size| {
        let body = part.repeat(size / part.len()) + "--limit--\r\n";
        time(
            &rules,
            "multipart/form-data; boundary=limit",
            body.as_bytes(),
        )
    });
}

#[test]
fn patterns_that_are_slow_elsewhere_are_linear_here() {
    for (pattern, part) in [
        ("(a+)+$", "a"),
        ("(.*)*x", "ab"),
        (r"^(\w+\s?)*$", "word "),
        (r"for(?:/[dflr].*)* %+[^ ]+ in\(.*\)\s?do", "for/d"),
        (".{0,200}x", "abc"),
        (r"(?:x.{0,50}y){3}", "xxyx"),
        (r"[\s,]on[a-z]{3,50}[\s,]*?=[^=]", " on"),
        (r"@verifySSN \d+", "1"),
    ] {
        let operator = if pattern.starts_with('@') { "" } else { "@rx " };
        let rule = format!(
            "SecRuleEngine On\nSecRequestBodyAccess On\nSecRequestBodyLimit 13107200\n\
             SecRequestBodyNoFilesLimit 13107200\n\
             SecRule ARGS \"{operator}{pattern}\" \"id:1,phase:2,pass,nolog\"\n"
        );
        let loaded = Loader::new().text("slow", &rule).load();
        let rules = Arc::new(loaded.expect(pattern).rules);
        grows_linearly(pattern, |size| {
            let body = format!("a={}!", part.repeat(size / part.len()));
            time(&rules, "application/x-www-form-urlencoded", body.as_bytes())
        });
    }
}

fn grows_linearly(what: &str, time: impl Fn(usize) -> Duration) {
    // Others on the machine share its caches: one quiet round is enough.
    let ratio = || time(8 * SMALL).as_secs_f64() / time(SMALL).as_secs_f64();
    let ratios: Vec<_> = (0..4).map(|_| ratio()).collect();
    let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    assert!(least < 16.0, "{what}: {ratios:?}");
}

/// The processor time of the cheapest of some runs.
fn time(rules: &Arc<RuleSet>, content_type: &str, body: &[u8]) -> Duration {
    let run = |_| {
        let before = processor_time();
        exchange(rules, content_type, body);
        processor_time() - before
    };
    (0..4).map(run).min().unwrap_or_default()
}

/// What this thread has had of the processor. The kernel counts it on to the present when it hands the
/// processor over.
fn processor_time() -> Duration {
    std::thread::yield_now();
    let spent = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let nanoseconds = spent.split_whitespace().next().map(str::parse);
    Duration::from_nanos(nanoseconds.expect("a number").expect("a number"))
}

fn exchange(rules: &Arc<RuleSet>, content_type: &str, body: &[u8]) {
    let line = RequestLine {
        method: b"POST",
        target: b"/",
        protocol: b"HTTP/1.1",
    };
    let length = body.len().to_string();
    let headers: [(&[u8], &[u8]); 3] = [
        (b"Host", b"www.example.com"),
        (b"Content-Type", content_type.as_bytes()),
        (b"Content-Length", length.as_bytes()),
    ];
    let mut transaction = begin(rules);
    transaction.request_headers(line, headers.into_iter());
    transaction.request_body(body, true);
    transaction.finish();
}

const SMALL: usize = 16 << 10;
