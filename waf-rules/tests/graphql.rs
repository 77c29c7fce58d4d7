//! What is gained where a rule says that a path speaks GraphQL: plain queries that the rule sets take for
//! attacks pass, and attacks in their literals and variables are still refused.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it skipped"
)]

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{begin, rules};
use waf_rules::{Loader, RequestLine, RuleSet};

/// What a site writes to opt in, before the built-in rules or the Core Rule Set.
const OPT_IN: &str = "SecRule REQUEST_FILENAME \"@streq /graphql\" \
    \"id:1,phase:1,pass,nolog,t:none,ctl:requestBodyProcessor=GRAPHQL\"";

const JSON: &str = "SecRule REQUEST_HEADERS:Content-Type \"@rx ^application/json\" \
    \"id:2,phase:1,pass,nolog,t:none,ctl:requestBodyProcessor=JSON\"";

/// Queries of ordinary clients whose text looks like a shell command, SQL or a template.
const PLAIN: &[&str] = &[
    "query SystemInfo { id: node { uname ls: files { name } time: updatedAt ping } }",
    "query GetUser($id: ID!) { user(id: $id) { id name orders(first: 10, orderBy: {field: DATE, direction: DESC}) { edges { node { id total } } pageInfo { hasNextPage } } } }",
    "mutation UpdatePost($input: PostInput!) { updatePost(input: $input) { post { id body } errors { field message } } }",
    "{ select(from: USERS, where: {id: 1}, limit: 5) { id } union { all } }",
    "query { process { env { path } exec { cat id } } }",
];

const ATTACKS: &[&str] = &[
    r#"{"query": "{ user(name: \"1' UNION SELECT password FROM users--\") { id } }"}"#,
    r#"{"query": "query($n: String) { user(name: $n) { id } }", "variables": {"n": "<script>alert(1)</script>"}}"#,
    r#"{"query": "{ user(name: \"\"\"; cat /etc/passwd\"\"\") { id } }"}"#,
    r#"[{"query": "{a}"}, {"query": "{ a(b: [{c: \"<script>alert(1)</script>\"}]) }"}]"#,
    r#"{"query": "{ a(b: \"\\u003cscript\\u003ealert(1)\\u003c/script\\u003e\") }"}"#,
    // Not GraphQL, and so inspected as the text it is.
    r#"{"query": "1' UNION SELECT password FROM users--"}"#,
];

fn refused(rules: &Arc<RuleSet>, method: &str, target: &str, kind: &str, body: &str) -> bool {
    let mut transaction = begin(rules);
    let length = body.len().to_string();
    let headers = [
        ("Host", "shop.test"),
        (
            "User-Agent",
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        ),
        ("Accept", "application/json"),
        ("Content-Type", kind),
        ("Content-Length", &length),
    ];
    let headers = headers
        .iter()
        .filter(|(name, _)| method != "GET" || !name.starts_with("Content-"))
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let line = RequestLine {
        method: method.as_bytes(),
        target: target.as_bytes(),
        protocol: b"HTTP/1.1",
    };
    let refused = transaction.request_headers(line, headers).is_some()
        || transaction.request_body(body.as_bytes(), true).is_some();
    transaction.finish();
    refused
}

fn post(rules: &Arc<RuleSet>, body: &str) -> bool {
    refused(rules, "POST", "/graphql", "application/json", body)
}

fn envelope(query: &str) -> String {
    format!(
        r#"{{"operationName": null, "query": "{query}", "variables": {{"id": "VXNlcjozMTU="}}}}"#
    )
}

fn baseline(opt_in: &str) -> Arc<RuleSet> {
    let loader = Loader::new().text("site", &format!("{JSON}\n{opt_in}"));
    Arc::new(loader.baseline().load().unwrap().rules)
}

fn core_rule_set(root: &Path, opt_in: &str) -> Arc<RuleSet> {
    let loader = Loader::new()
        .text("site", &format!("{JSON}\n{opt_in}"))
        .file(&root.join("crs-setup.conf.example"))
        .files(&root.join("rules/*.conf").display().to_string(), true);
    Arc::new(loader.load().unwrap().rules)
}

fn judge(opted_in: &Arc<RuleSet>, without: &Arc<RuleSet>) {
    for query in PLAIN {
        assert!(!post(opted_in, &envelope(query)), "{query}");
        let target = format!("/graphql?query={}", query.replace(' ', "+"));
        assert!(!refused(opted_in, "GET", &target, "", ""), "{target}");
    }
    let before = PLAIN.iter().filter(|query| post(without, &envelope(query)));
    println!("plain queries refused without: {}", before.count());
    for attack in ATTACKS {
        assert!(post(opted_in, attack), "{attack}");
    }
    let target = "/graphql?query={a(b:\"%3Cscript%3Ealert(1)%3C/script%3E\")}";
    assert!(refused(opted_in, "GET", target, "", ""));
    let target = "/graphql?query={a}&variables={\"b\":\"%3Cscript%3Ealert(1)%3C/script%3E\"}";
    assert!(refused(opted_in, "GET", target, "", ""));
    let form = "query=%7Ba(b%3A%22%3Cscript%3Ealert(1)%3C%2Fscript%3E%22)%7D";
    let kind = "application/x-www-form-urlencoded";
    assert!(refused(opted_in, "POST", "/graphql", kind, form));
    assert!(!refused(
        opted_in,
        "POST",
        "/graphql",
        kind,
        "query=%7Ba%7D"
    ));
    let upload = |operations: &str| {
        format!(
            "--b\r\nContent-Disposition: form-data; name=\"operations\"\r\n\r\n{operations}\r\n\
             --b\r\nContent-Disposition: form-data; name=\"0\"; filename=\"a.txt\"\r\n\r\nhi\r\n\
             --b--\r\n"
        )
    };
    let kind = "multipart/form-data; boundary=b";
    let attack = upload(r#"{"query":"{a}","variables":{"b":"<script>alert(1)</script>"}}"#);
    assert!(refused(opted_in, "POST", "/graphql", kind, &attack));
    // JSON in a field is text to the Core Rule Set, and some of it looks like an attack.
    assert!(!refused(
        opted_in,
        "POST",
        "/graphql",
        kind,
        &upload("a field")
    ));
}

#[test]
fn the_baseline_lets_plain_queries_pass_and_refuses_attacks_in_them() {
    judge(&baseline(OPT_IN), &baseline(""));
}

#[test]
fn the_core_rule_set_lets_plain_queries_pass_and_refuses_attacks_in_them() {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpora/crs4");
    let root = std::env::var_os("CRS_DIR").map_or(beside, PathBuf::from);
    if !root.is_dir() {
        println!("skipped: crs4 (set CRS_DIR to its folder)");
        return;
    }
    judge(&core_rule_set(&root, OPT_IN), &core_rule_set(&root, ""));
}

#[test]
fn counts_and_names_are_variables() {
    let text = format!(
        "{OPT_IN}\n\
        SecRule GRAPHQL:depth \"@eq 2\" \"id:10,phase:2,pass\"\n\
        SecRule GRAPHQL:fields \"@eq 6\" \"id:11,phase:2,pass\"\n\
        SecRule GRAPHQL:aliases \"@eq 1\" \"id:12,phase:2,pass\"\n\
        SecRule GRAPHQL:batch \"@eq 2\" \"id:13,phase:2,pass\"\n\
        SecRule GRAPHQL:directives \"@eq 1\" \"id:14,phase:2,pass\"\n\
        SecRule GRAPHQL:operations \"@eq 2\" \"id:15,phase:2,pass\"\n\
        SecRule GRAPHQL_OPERATIONS:Two \"@streq mutation\" \"id:16,phase:2,pass\"\n\
        SecRule GRAPHQL_FIELDS \"@streq user\" \"id:17,phase:2,pass\"\n\
        SecRule ARGS:graphql.1.rename.to \"@streq x\" \"id:18,phase:2,pass\"\n\
        SecRule REQBODY_PROCESSOR \"@streq GRAPHQL\" \"id:19,phase:2,pass\"\n\
        SecRule ARGS:json.0.variables.id \"@streq 7\" \"id:20,phase:2,pass\"\n\
        SecRule ARGS \"@contains rename\" \"id:99,phase:2,deny\"\n\
        SecRule REQBODY_ERROR \"@eq 1\" \"id:98,phase:2,deny\""
    );
    let rules = rules(&text);
    let body = r#"[{"query": "{user{...F}} fragment F on User {name me:age}", "variables": {"id": 7}},
        {"query": "mutation Two {rename(to:\"x\") @live {ok} done}"}]"#;
    let mut transaction = begin(&rules);
    let line = RequestLine {
        method: b"POST",
        target: b"/graphql",
        protocol: b"HTTP/1.1",
    };
    let headers = [(b"Content-Type".as_slice(), b"application/json".as_slice())];
    assert!(
        transaction
            .request_headers(line, headers.into_iter())
            .is_none()
    );
    assert!(transaction.request_body(body.as_bytes(), true).is_none());
    let matched: Vec<_> = transaction
        .finish()
        .matches
        .iter()
        .map(|m| m.rule_id)
        .collect();
    assert_eq!(matched, (10..=20).collect::<Vec<_>>());
}

#[test]
fn a_batch_has_one_bound_for_all_its_documents() {
    let text = format!(
        "SecRuleEngine On\nSecRequestBodyAccess On\n{OPT_IN}\n\
        SecRule REQBODY_ERROR_MSG \"@contains too many GraphQL\" \"id:98,phase:2,deny\""
    );
    let rules = Arc::new(Loader::new().text("test", &text).load().unwrap().rules);
    let batch = |documents: usize, fields: usize| {
        let document = format!(r#"{{"query":"{{{}}}"}}"#, "a ".repeat(fields));
        let body = format!("[{}]", vec![document; documents].join(","));
        refused(&rules, "POST", "/graphql", "application/json", &body)
    };
    assert!(batch(100, 900));
    assert!(!batch(10, 900));
}
