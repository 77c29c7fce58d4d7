//! Runs the cases of `baseline/tests/*.jsonl` through the public interface, as a host would.
//!
//! For each rule that scores, an attack must match it and be refused, and its innocent neighbour must
//! pass. `baseline/README.md` describes the format. The run fails if a rule has no case, if fewer
//! cases ran than are known to exist, or if any of them fails; it never stops at the first failure.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what ran"
)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::Value;
use waf_rules::{Loader, Origin, RequestLine, RuleSet};

/// How many cases the files hold; a case that gets lost must not go unnoticed.
const CASES: usize = 181;

#[test]
fn every_baseline_rule_stops_its_attack_and_lets_its_innocent_neighbour_pass() {
    let rules = Levels::load();
    let mut covered = BTreeSet::new();
    let mut failures = Vec::new();
    let mut ran = 0;
    for path in files("baseline/tests", "jsonl") {
        let text = fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            let case = Case::read(line);
            covered.insert(case.rule);
            ran += 1;
            if let Err(reason) = case.run(&rules) {
                let file = path.file_name().unwrap().to_string_lossy();
                failures.push(format!("{} ({file}:{}): {reason}", case.rule, number + 1));
            }
        }
    }
    println!(
        "baseline cases: {ran} ran, {} passed, {} failed",
        ran - failures.len(),
        failures.len()
    );
    let without: Vec<u64> = scoring_rules().difference(&covered).copied().collect();
    assert!(without.is_empty(), "rules without a case: {without:?}");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(
        ran, CASES,
        "cases were lost, or added without counting them"
    );
}

#[test]
fn a_payload_behind_many_cookies_is_refused() {
    let rules = Levels::load();
    let refused = |crumbs: usize, last: &str| {
        let cookies = format!("{} q={last}", "a;".repeat(crumbs));
        let request = Request::plain("GET", "/").header("Cookie", &cookies);
        request.run(&rules.request[0], "").refused
    };
    assert!(refused(10_001, "1' or '1'='1"));
    assert!(refused(999, "1' or '1'='1"));
    assert!(!refused(999, "o'hara"));
}

#[test]
fn a_long_harmless_body_passes_and_a_payload_at_its_end_does_not() {
    let rules = Levels::load();
    let body = |last: &str| {
        let text = "the quick brown fox ".repeat(1_300_000 / 20);
        let body = format!(r#"{{"text":"{text}","last":"{last}"}}"#);
        Request::post("application/json", &body).run(&rules.request[0], "")
    };
    let harmless = body("o'hara");
    assert!(!harmless.refused, "{:?}", harmless.matched);
    assert!(body("1' or '1'='1").refused);
}

#[test]
fn documents_with_the_usual_namespaces_pass_at_every_level() {
    let rules = Levels::load();
    let soap = r#"<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:u="urn:schemas-upnp-org:service:ContentDirectory:1"><s:Body><u:Browse/></s:Body></s:Envelope>"#;
    let svg = r#"<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"><path/></svg>"#;
    for document in [soap, svg] {
        for rules in &rules.request {
            let seen = Request::post("text/xml", document).run(rules, "");
            assert!(seen.matched.is_empty(), "{:?}", seen.matched);
        }
    }
}

/// The rule sets a case may ask for.
struct Levels {
    /// Level 1 and level 2.
    request: [Arc<RuleSet>; 2],
    /// Level 1 with the rules for answers.
    response: Arc<RuleSet>,
}

impl Levels {
    fn load() -> Self {
        let level = |level: u64| {
            Loader::new().text(
                "level.conf",
                &format!("SecAction \"id:1,phase:1,pass,nolog,setvar:tx.baseline_level={level}\""),
            )
        };
        let load = |loader: Loader| Arc::new(loader.load().unwrap().rules);
        let response = root().join("baseline/optional/95-response.conf");
        Self {
            request: [load(level(1).baseline()), load(level(2).baseline())],
            response: load(level(1).baseline().file(&response)),
        }
    }
}

/// One line of a case file.
struct Case {
    rule: u64,
    at: String,
    attack: String,
    innocent_at: String,
    innocent: String,
    level: u64,
    /// A finding too weak to refuse by itself.
    weak: bool,
}

impl Case {
    fn read(line: &str) -> Self {
        let case: Value = serde_json::from_str(line).unwrap();
        let known = [
            "rule",
            "at",
            "attack",
            "innocent_at",
            "innocent",
            "level",
            "weak",
        ];
        for key in case.as_object().unwrap().keys() {
            assert!(known.contains(&key.as_str()), "unknown key {key}: {line}");
        }
        let text = |key: &str| {
            case.get(key)
                .map(|value| value.as_str().unwrap().to_owned())
        };
        let at = text("at").unwrap();
        Self {
            rule: case["rule"].as_u64().unwrap(),
            attack: text("attack").unwrap(),
            innocent_at: text("innocent_at").unwrap_or_else(|| at.clone()),
            innocent: text("innocent").unwrap(),
            level: case.get("level").map_or(1, |level| level.as_u64().unwrap()),
            weak: case.get("weak").is_some_and(|weak| weak.as_bool().unwrap()),
            at,
        }
    }

    fn run(&self, rules: &Levels) -> Result<(), String> {
        let attack = self.exchange(rules, &self.at, &self.attack);
        let innocent = self.exchange(rules, &self.innocent_at, &self.innocent);
        if !attack.matched.contains(&self.rule) {
            return Err(format!("attack not matched, but by {:?}", attack.matched));
        }
        if attack.refused == self.weak {
            return Err(format!("attack refused: {}", attack.refused));
        }
        let guilty = match self.level {
            1 => !innocent.matched.is_empty(),
            _ => innocent.matched.contains(&self.rule),
        };
        if guilty || (self.level == 1 && innocent.refused) {
            return Err(format!("innocent matched by {:?}", innocent.matched));
        }
        Ok(())
    }

    fn exchange(&self, rules: &Levels, at: &str, value: &str) -> Seen {
        if at == "response" {
            return Request::plain("GET", "/").run(&rules.response, value);
        }
        let rules = match self.level {
            1 => &rules.request[0],
            2 => &rules.request[1],
            level => panic!("no level {level}"),
        };
        Request::with(at, value).run(rules, "")
    }
}

/// What came of an exchange.
struct Seen {
    matched: BTreeSet<u64>,
    refused: bool,
}

/// A request as a client would send it.
struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Request {
    fn plain(method: &str, target: &str) -> Self {
        let headers = [
            ("Host", "shop.test"),
            (
                "User-Agent",
                "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            ),
            ("Accept", "*/*"),
        ];
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: headers
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
            body: String::new(),
        }
    }

    /// The request that carries `value` where `at` says.
    fn with(at: &str, value: &str) -> Self {
        match at {
            "arg" => Self::plain("GET", &format!("/?v={}", percent_coded(value))),
            "query" => Self::plain("GET", &format!("/?{value}")),
            "path" => Self::plain("GET", value),
            "method" => Self::plain(value, "/"),
            "cookie" => Self::plain("GET", "/").header("Cookie", &format!("v={value}")),
            "json" => Self::post("application/json", value),
            "xml" => Self::post("application/xml", value),
            "text" => Self::post("text/plain", value),
            "multipart" => Self::post("multipart/form-data; boundary=frontier", value),
            "file" => Self::post(
                "multipart/form-data; boundary=frontier",
                &format!(
                    "--frontier\r\nContent-Disposition: form-data; name=\"up\"; filename=\"{value}\"\r\n\
                     Content-Type: application/octet-stream\r\n\r\nhi\r\n--frontier--\r\n"
                ),
            ),
            "raw" => Self::raw(value),
            _ => match at.split_once(':') {
                Some(("header", name)) => Self::plain("GET", "/").header(name, value),
                _ => panic!("unknown place {at}"),
            },
        }
    }

    fn post(content_type: &str, body: &str) -> Self {
        let mut request = Self::plain("POST", "/")
            .header("Content-Type", content_type)
            .header("Content-Length", &body.len().to_string());
        body.clone_into(&mut request.body);
        request
    }

    /// Puts a header in the place of one of the same name.
    fn header(mut self, name: &str, value: &str) -> Self {
        self.headers
            .retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A request written out, of which nothing is added or repaired.
    fn raw(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let mut lines = head.split("\r\n");
        let mut line = lines.next().unwrap().split(' ');
        let mut request = Self::plain(line.next().unwrap(), line.next().unwrap());
        let header = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_owned(), value.to_owned())
        };
        request.headers = lines.map(header).collect();
        let chunked = request
            .headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("Transfer-Encoding"));
        if chunked {
            assert_eq!(body, "0\r\n\r\n", "a chunked body would have to be decoded");
        } else {
            body.clone_into(&mut request.body);
        }
        request
    }

    /// Runs all phases; `answer` is the body of the answer.
    fn run(&self, rules: &Arc<RuleSet>, answer: &str) -> Seen {
        let origin = Origin {
            client: SocketAddr::from(([192, 0, 2, 7], 40000)),
            server: SocketAddr::from(([192, 0, 2, 1], 80)),
        };
        let line = RequestLine {
            method: self.method.as_bytes(),
            target: self.target.as_bytes(),
            protocol: b"HTTP/1.1",
        };
        let headers = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let content_type: [(&[u8], &[u8]); 1] = [(b"Content-Type", b"text/html; charset=utf-8")];
        let mut transaction = rules.begin(origin, "case", SystemTime::now());
        let refused = transaction.request_headers(line, headers).is_some()
            || transaction
                .request_body(self.body.as_bytes(), true)
                .is_some()
            || transaction
                .response_headers(200, "HTTP/1.1", content_type.into_iter())
                .is_some()
            || transaction.response_body(answer.as_bytes(), true).is_some();
        let outcome = transaction.finish();
        Seen {
            matched: outcome.matches.iter().map(|found| found.rule_id).collect(),
            refused,
        }
    }
}

fn percent_coded(value: &str) -> String {
    let mut coded = String::new();
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() {
            coded.push(char::from(byte));
        } else {
            write!(coded, "%{byte:02x}").unwrap();
        }
    }
    coded
}

/// Every rule of the set that adds to a score, by the text of the files.
fn scoring_rules() -> BTreeSet<u64> {
    let mut scoring = BTreeSet::new();
    for path in [
        files("baseline", "conf"),
        files("baseline/optional", "conf"),
    ]
    .concat()
    {
        let mut rule = 0;
        for line in fs::read_to_string(path).unwrap().lines() {
            if let Some((_, rest)) = line.split_once("\"id:") {
                rule = rest.split(',').next().unwrap().parse().unwrap();
            }
            if line.contains("bound_score=+") {
                scoring.insert(rule);
            }
        }
    }
    scoring
}

/// Files of a folder of this package, sorted by name.
fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(root().join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    found.sort();
    found
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
