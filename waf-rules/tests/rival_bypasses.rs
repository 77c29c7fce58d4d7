//! What broke other engines in 2025 and 2026, class by class, from their advisories: each bypass is seen
//! here, and its nearest innocent neighbour passes. Where the gateway answers before the rules do (two
//! Content-Type headers), the case stands in `tests/testdata/framing.toml`; forged log lines are the
//! business of the audit log's tests; case folding that of the prefilters'.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::begin;
use waf_rules::{Loader, RequestLine, RuleSet};

/// Choices of the processor and refusals that stand under every rule set.
const DEFAULTS: &str = "SecArgumentsLimit 1000\n\
    SecRule REQUEST_HEADERS:Content-Type \"@rx ^application/json\" \
    \"id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON\"\n\
    SecRule REQBODY_ERROR \"!@eq 0\" \"id:2,phase:2,deny,status:400\"\n\
    SecRule MULTIPART_STRICT_ERROR \"!@eq 0\" \"id:3,phase:2,deny,status:400\"\n";

struct Asked {
    status: Option<u16>,
    matched: Vec<u64>,
}

impl Asked {
    fn passed(&self) -> bool {
        self.status.is_none()
    }
}

fn rules(text: &str) -> Arc<RuleSet> {
    let text = format!("{DEFAULTS}{text}");
    common::rules(&text)
}

fn ask(rules: &Arc<RuleSet>, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Asked {
    let mut transaction = begin(rules);
    let line = RequestLine {
        method: if body.is_empty() { b"GET" } else { b"POST" },
        target: target.as_bytes(),
        protocol: b"HTTP/1.1",
    };
    let headers = headers
        .iter()
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let refusal = transaction
        .request_headers(line, headers)
        .or_else(|| transaction.request_body(body, true));
    Asked {
        status: refusal.map(|refusal| refusal.status),
        matched: transaction
            .finish()
            .matches
            .iter()
            .map(|found| found.rule_id)
            .collect(),
    }
}

fn json(rules: &Arc<RuleSet>, body: &[u8]) -> Asked {
    ask(rules, "/", &[("Content-Type", "application/json")], body)
}

fn form(rules: &Arc<RuleSet>, body: &[u8]) -> Asked {
    let kind = "application/x-www-form-urlencoded";
    ask(rules, "/", &[("Content-Type", kind)], body)
}

fn upload(rules: &Arc<RuleSet>, parts: &[&str]) -> Asked {
    let mut body = String::new();
    for head in parts {
        body += &format!("--b\r\n{head}\r\n\r\nhi\r\n");
    }
    body += "--b--\r\n";
    let kind = "multipart/form-data; boundary=b";
    ask(rules, "/", &[("Content-Type", kind)], body.as_bytes())
}

/// GHSA-3wr7-993q-jrff, GHSA-5pww-8rfg-9crf: the decoy `filename` was inspected, the backend used the other.
#[test]
fn a_file_name_in_a_strange_charset_is_inspected_beside_its_decoy() {
    let rules = rules(
        "SecRule FILES \"@endsWith .php\" \"id:10,phase:1,pass\"\n\
         SecRule FILES \"@endsWith .php\" \"id:11,phase:2,pass\"\n\
         SecRule MULTIPART_FILENAME \"@endsWith .php\" \"id:12,phase:2,pass\"\n\
         SecRule &FILES \"@eq 2\" \"id:13,phase:2,pass\"\n\
         SecRule MULTIPART_FILENAME_CHARSET \"@streq iso-8859-1\" \"id:14,phase:2,pass\"",
    );
    let disposition = "Content-Disposition: form-data; name=\"f\"; filename=\"a.txt\"";
    let attack = upload(
        &rules,
        &[&format!("{disposition}; filename*=iso-8859-1''shell.php")],
    );
    assert_eq!(attack.matched, [11, 12, 13, 14]);
    let twice = upload(
        &rules,
        &[&format!(
            "{disposition}\r\ncontent-disposition: form-data; filename=x.php"
        )],
    );
    assert_eq!(twice.status, Some(400));
    let quoting = upload(
        &rules,
        &["Content-Disposition: form-data; name='f'; filename=\"a.txt\""],
    );
    assert_eq!(quoting.status, Some(400));
    let innocent = upload(
        &rules,
        &[&format!("{disposition}; filename*=UTF-8''caf%C3%A9.txt")],
    );
    assert!(innocent.passed());
    assert_eq!(innocent.matched, [13]);
}

/// GHSA-5gj4-9gm7-2fx2: the flattened name collided, and the last value won.
#[test]
fn json_names_that_collide_keep_every_value() {
    for naming in ["Coraza", "ModSecurity"] {
        let rules = rules(&format!(
            "SecRequestBodyJsonNaming {naming}\n\
             SecRule ARGS:json.a.b \"@streq evil\" \"id:10,phase:2,deny\"\n\
             SecRule &ARGS:json.a.b \"@eq 2\" \"id:11,phase:2,pass\""
        ));
        for body in [
            r#"{"a":{"b":"evil"},"a.b":"safe"}"#,
            r#"{"a.b":"evil","a":{"b":"safe"}}"#,
            r#"{"a":{"b":"evil","b":"safe"}}"#,
        ] {
            assert_eq!(json(&rules, body.as_bytes()).status, Some(403), "{body}");
        }
        let innocent = json(&rules, br#"{"a":{"b":"safe"},"a.b":"safe"}"#);
        assert!(innocent.passed());
        assert_eq!(innocent.matched, [11]);
    }
}

/// GHSA-6gcq-wc29-5xf2: the argument cap ended one walk, then a recursive parser overflowed the stack.
#[test]
fn depth_behind_a_thousand_shallow_values_is_refused_and_not_walked() {
    let rules = rules("");
    let mut body = b"[".to_vec();
    body.extend_from_slice(&b"1,".repeat(1000));
    body.extend_from_slice(&b"[".repeat(4_000_000));
    assert_eq!(json(&rules, &body).status, Some(400));
    assert_eq!(json(&rules, &b"[".repeat(4_000_000)).status, Some(400));
    let innocent = format!("[{}[[[1]]]]", "1,".repeat(900));
    assert!(json(&rules, innocent.as_bytes()).passed());
}

/// GHSA-3c6w-j9xm-8h2h: response JSON had no depth limit, and 512 KiB of it cost twelve seconds.
#[test]
fn a_deep_response_is_limited_like_a_deep_request() {
    let rules = rules(
        "SecResponseBodyAccess On\nSecResponseBodyMimeType application/json\n\
         SecResponseBodyLimit 1048576\nSecResponseBodyJsonDepthLimit 20\n\
         SecAction \"id:10,phase:3,pass,nolog,ctl:responseBodyProcessor=JSON\"\n\
         SecRule RES_BODY_ERROR \"@eq 1\" \"id:11,phase:4,pass\"\n\
         SecRule RESPONSE_ARGS:json.a.b \"@streq secret\" \"id:12,phase:4,pass\"\n\
         SecRule RES_BODY_PROCESSOR \"@streq JSON\" \"id:13,phase:4,pass\"",
    );
    let answer = |body: &[u8]| {
        let mut transaction = begin(&rules);
        let headers = [(b"Content-Type".as_slice(), b"application/json".as_slice())];
        let refused = transaction
            .response_headers(200, "HTTP/1.1", headers.into_iter())
            .or_else(|| transaction.response_body(body, true));
        assert!(refused.is_none());
        let found = transaction.finish().matches;
        found.iter().map(|found| found.rule_id).collect::<Vec<_>>()
    };
    let start = Instant::now();
    assert_eq!(answer(&b"{\"a\":".repeat(87_000)), [11, 13]);
    let wide = [b"[".to_vec(), b"1,".repeat(260_000), b"1]".to_vec()].concat();
    assert_eq!(answer(&wide), [11, 13]);
    assert!(start.elapsed() < Duration::from_secs(10));
    assert_eq!(answer(br#"{"a":{"b":"secret"}}"#), [12, 13]);
    assert_eq!(answer(br#"{"a":{"b":"public"}}"#), [13]);
}

/// GHSA-3ww9-vw83-9w5x, GHSA-6r3q-mjv7-xr8m: millions of pairs were kept before the limit was looked at.
#[test]
fn the_argument_limit_stops_the_parser_and_counts_pairs() {
    let rules = rules("SecRule &ARGS \"@gt 1000\" \"id:10,phase:2,pass\"");
    let pairs = b"a=1&".repeat(2_000_000);
    let documents = [b"[".to_vec(), b"1,".repeat(2_000_000), b"1]".to_vec()].concat();
    let parts = vec!["Content-Disposition: form-data; name=\"a\""; 20_000];
    let start = Instant::now();
    for asked in [
        form(&rules, &pairs),
        json(&rules, &documents),
        upload(&rules, &parts),
        ask(&rules, &format!("/?{}", "a&".repeat(2000)), &[], b""),
    ] {
        assert!(asked.status.is_some_and(|status| status == 400));
        assert!(!asked.matched.contains(&10));
    }
    assert!(start.elapsed() < Duration::from_secs(20));
    // Values are counted, not distinct names; 1,000 are inspected.
    assert!(form(&rules, &b"a=1&".repeat(1000)).passed());
}

/// GHSA-w253-m66g-rx24: the engine read the body by another type than the backend.
#[test]
fn a_type_behind_a_unicode_blank_leaves_the_body_inspected() {
    let baseline = Arc::new(Loader::new().baseline().load().unwrap().rules);
    let head = |kind: &'static str| {
        [
            ("Host", "shop.test"),
            (
                "User-Agent",
                "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0",
            ),
            ("Accept", "*/*"),
            ("Content-Type", kind),
        ]
    };
    for kind in [
        "\u{85}application/json",
        "\u{a0}application/json",
        "\u{3000}application/json",
        "text/plain, application/json",
    ] {
        let attack = br#"{"a":"x' UNION SELECT password FROM users--"}"#;
        let seen = ask(&baseline, "/", &head(kind), attack);
        assert!(!seen.passed(), "{kind:?}");
    }
    let innocent = ask(
        &baseline,
        "/",
        &head("text/plain"),
        b"the union of both sets",
    );
    assert!(innocent.passed(), "{:?}", innocent.matched);
}

/// Of two types the first decides; the gateway refuses such a request before the rules run.
#[test]
fn of_two_types_the_first_decides() {
    let rules = rules("SecRule ARGS:json.a evil \"id:10,phase:2,deny\"");
    let types = [
        ("Content-Type", "application/json"),
        ("Content-Type", "text/plain"),
    ];
    assert_eq!(
        ask(&rules, "/", &types, br#"{"a":"evil"}"#).status,
        Some(403)
    );
    assert!(ask(&rules, "/", &types, br#"{"a":"fine"}"#).passed());
}

/// GHSA-x26q-wvhg-fh4m: a target that does not decode lost its query.
#[test]
fn a_target_that_does_not_decode_keeps_its_query() {
    let rules = rules(
        "SecRule ARGS:a \"@streq evil\" \"id:10,phase:1,deny\"\n\
         SecRule URLENCODED_ERROR \"@eq 1\" \"id:11,phase:1,pass\"",
    );
    for target in ["/foo%zz?a=evil", "/%?a=evil", "/foo%zz?b=%zz&a=evil"] {
        assert_eq!(ask(&rules, target, &[], b"").status, Some(403), "{target}");
    }
    assert_eq!(ask(&rules, "/foo%zz?a=fine", &[], b"").matched, [11]);
    let innocent = ask(&rules, "/foo%41?a=fine%41", &[], b"");
    assert!(innocent.passed() && innocent.matched.is_empty());
}

/// GHSA-g4qm-m288-5cp9: values without a name were dropped, or taken out by an exclusion for another.
#[test]
fn a_value_without_a_name_is_inspected_and_no_exclusion_takes_it_along() {
    let rules = rules(
        "SecRule REQUEST_COOKIES|!REQUEST_COOKIES:/^_ga/|!REQUEST_COOKIES:id \"@contains evil\" \"id:10,phase:1,deny\"\n\
         SecRule ARGS|!ARGS:/^utm_/|!ARGS:id \"@contains evil\" \"id:11,phase:2,deny\"",
    );
    for cookie in ["=evil", "\u{1}=evil", " =evil", "evil", "a=1; =evil"] {
        let seen = ask(&rules, "/", &[("Cookie", cookie)], b"");
        // A name is inspected as a name: `evil` alone is one.
        assert_eq!(seen.passed(), cookie == "evil", "{cookie:?}");
    }
    for target in ["/?=evil", "/?a=1&=evil", "/?%00=evil"] {
        assert_eq!(ask(&rules, target, &[], b"").status, Some(403), "{target}");
    }
    assert_eq!(form(&rules, b"=evil").status, Some(403));
    let innocent = ask(
        &rules,
        "/?utm_x=evil&id=evil&=",
        &[("Cookie", "_ga=evil; id=evil; =")],
        b"",
    );
    assert!(innocent.passed());
}

/// CVE-2026-21876: only the last member's capture reached the chained rule.
#[test]
fn a_bad_charset_in_any_part_is_seen_and_not_only_in_the_last() {
    let rules = rules(
        "SecRule MULTIPART_PART_HEADERS \"@rx ^content-type\\s*:\\s*(.*)$\" \
         \"id:10,phase:2,pass,nolog,capture,t:lowercase,\
         setvar:'tx.seen_%{MATCHED_VAR_NAME}_%{tx.count}=%{tx.1}',setvar:'tx.count=+1'\"\n\
         SecRule TX:/^seen_/ \"!@rx ^text/plain; charset=utf-8$\" \"id:11,phase:2,deny\"\n\
         SecRule MULTIPART_PART_HEADERS \"@rx charset=utf-7\" \"id:12,phase:2,pass,t:lowercase\"",
    );
    let part = |name: &str, charset: &str| {
        format!(
            "Content-Disposition: form-data; name=\"{name}\"\r\nContent-Type: text/plain; charset={charset}"
        )
    };
    let (good, bad) = (part("a", "utf-8"), part("b", "UTF-7"));
    for parts in [[&*bad, &*good], [&*good, &*bad]] {
        assert_eq!(upload(&rules, &parts).status, Some(403));
    }
    assert!(upload(&rules, &[&good, &part("c", "utf-8")]).passed());
}
