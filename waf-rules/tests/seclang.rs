//! Words of the rule language, from the text of a rule to what it does.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod common;

use common::{begin, rules};
use waf_rules::{Intervention, Loaded, Loader, Outcome, RequestLine};

/// A request and what the rules say to it.
struct Asked {
    refused: Option<Intervention>,
    outcome: Outcome,
}

fn load(text: &str) -> Loaded {
    match Loader::new().text("t.conf", text).load() {
        Ok(loaded) => loaded,
        Err(problems) => panic!("{problems:#?}"),
    }
}

fn ask(text: &str, target: &str, kind: &str, body: &str) -> Asked {
    let mut transaction = begin(&rules(text));
    let line = RequestLine {
        method: b"POST",
        target: target.as_bytes(),
        protocol: b"HTTP/1.1",
    };
    let headers = [("Host", "a.example"), ("Content-Type", kind)];
    let headers = headers
        .iter()
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let refused = transaction
        .request_headers(line, headers)
        .or_else(|| transaction.request_body(body.as_bytes(), true));
    Asked {
        refused,
        outcome: transaction.finish(),
    }
}

fn ids(text: &str, target: &str) -> Vec<u64> {
    matched(&ask(text, target, FORM, ""))
}

fn matched(asked: &Asked) -> Vec<u64> {
    asked
        .outcome
        .matches
        .iter()
        .map(|found| found.rule_id)
        .collect()
}

const FORM: &str = "application/x-www-form-urlencoded";

#[test]
fn the_whole_request_is_one_value_where_a_rule_asks_for_it() {
    let text = "SecRequestBodyAccess On\n\
        SecRule FULL_REQUEST \"@rx ^Host: a.example\\n(?s:.*)\\n\\n\\nbody$\" \
        \"id:1,phase:2,pass\"\n\
        SecRule FULL_REQUEST_LENGTH \"@gt 40\" \"id:2,phase:2,pass,msg:'%{FULL_REQUEST_LENGTH}'\"\n";
    assert_eq!(matched(&ask(text, "/p", "text/plain", "body")), [1, 2]);
}

#[test]
fn the_content_of_an_upload_is_looked_at_in_memory() {
    let body = "--b\r\nContent-Disposition: form-data; name=\"up\"; filename=\"a.txt\"\r\n\r\n\
        MZ evil\r\n--b\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nMZ\r\n--b--\r\n";
    let text = "SecRule FILES_TMP_CONTENT:up \"@beginsWith MZ\" \
        \"id:1,phase:2,pass,msg:'%{MATCHED_VAR}'\"\n\
        SecRule &FILES_TMPNAMES \"@eq 1\" \"id:2,phase:2,pass\"\n\
        SecRule &FILES_TMP_CONTENT:note \"@eq 0\" \"id:3,phase:2,pass\"\n";
    let asked = ask(text, "/", "multipart/form-data; boundary=b", body);
    assert_eq!(matched(&asked), [1, 2, 3]);
    assert_eq!(asked.outcome.matches[0].msg, "MZ evil");
}

#[test]
fn detection_tells_of_a_body_over_its_limit_and_lets_it_pass() {
    let text = |engine| {
        format!(
            "SecRuleEngine {engine}\nSecRequestBodyLimit 8\nSecRequestBodyLimitAction Reject\n\
             SecRule ARGS:a \"@streq 12\" \"id:1,phase:2,pass\"\n\
             SecRule INBOUND_DATA_ERROR \"@eq 1\" \"id:2,phase:2,pass\"\n"
        )
    };
    let over = ask(&text("On"), "/", FORM, "a=12&b=345678");
    assert_eq!(over.refused.unwrap().status, 413);
    let told = ask(&text("DetectionOnly"), "/", FORM, "a=12&b=345678");
    assert_eq!(told.refused, None);
    assert_eq!(matched(&told), [1, 2]);
    assert_eq!(told.outcome.would_block.unwrap().status, 413);
    let within = ask(&text("DetectionOnly"), "/", FORM, "a=12&b=3");
    assert_eq!(within.outcome.would_block, None);
}

#[test]
fn updates_and_removals_reach_rules_before_and_after_them() {
    let rule =
        |id| format!("SecRule ARGS \"@rx x\" \"id:{id},phase:1,pass,tag:'T/{id}',msg:'M {id}'\"\n");
    let rules: String = (1..=9).map(rule).collect();
    for (directive, left) in [
        ("SecRuleRemoveById 2-4 9", &[1, 5, 6, 7, 8][..]),
        ("SecRuleRemoveById \"2-4,9\" 1", &[5, 6, 7, 8]),
        ("SecRuleRemoveByTag T/3", &[1, 2, 4, 5, 6, 7, 8, 9]),
        ("SecRuleRemoveByMsg \"M 3\"", &[1, 2, 4, 5, 6, 7, 8, 9]),
        ("SecRuleUpdateTargetById 1-8 !ARGS:a", &[9]),
        ("SecRuleUpdateTargetById 1-8 \"!ARGS:/^a/\"", &[9]),
        (
            "SecRuleUpdateTargetByTag T/9 \"!ARGS:a,REQUEST_URI\"",
            &[1, 2, 3, 4, 5, 6, 7, 8, 9],
        ),
        (
            "SecRuleUpdateTargetByMsg \"M 9\" !ARGS",
            &[1, 2, 3, 4, 5, 6, 7, 8],
        ),
    ] {
        assert_eq!(
            ids(&format!("{directive}\n{rules}"), "/?a=x"),
            left,
            "before: {directive}"
        );
        assert_eq!(
            ids(&format!("{rules}{directive}\n"), "/?a=x"),
            left,
            "after: {directive}"
        );
    }
}

#[test]
fn an_updated_action_takes_the_place_of_the_old_one() {
    let rules = "SecRuleUpdateActionById 1 \"pass,nolog,auditlog,msg:'new',setvar:tx.a=1\"\n\
        SecRule ARGS:a \"@rx x\" \"id:1,phase:1,deny,msg:'old'\"\n\
        SecRule TX:a \"@eq 1\" \"id:2,phase:1,deny,status:451\"\n";
    let asked = ask(rules, "/?a=x", FORM, "");
    assert_eq!(asked.refused.unwrap().status, 451);
    assert_eq!(asked.outcome.matches[0].msg, "new");
}

#[test]
fn controls_take_ranges_tags_messages_patterns_and_trees() {
    let rules = "SecRule ARGS \"@rx x\" \"id:5,phase:2,pass,tag:'T',msg:'M 5'\"\n\
        SecRule ARGS_GET \"@rx x\" \"id:6,phase:2,pass,msg:'M 6'\"\n";
    for (control, target, left) in [
        ("ruleRemoveById=5-6", "/?a=x", &[][..]),
        ("ruleRemoveByTag=T", "/?a=x", &[6]),
        ("ruleRemoveByMsg=M 6", "/?a=x", &[5]),
        ("ruleRemoveTargetById=5;ARGS:a", "/?A=x", &[6]),
        ("ruleRemoveTargetById=5;ARGS:a", "/?b=x", &[5, 6]),
        ("ruleRemoveTargetById=5-6;ARGS", "/?a=x", &[6]),
        (
            "ruleRemoveTargetByTag=T;ARGS:/^json\\./",
            "/?json.a=x",
            &[6],
        ),
        (
            "ruleRemoveTargetByTag=T;ARGS:/^json\\./",
            "/?jsonxa=x",
            &[5, 6],
        ),
        (
            "ruleRemoveTargetByMsg=M 5;ARGS:json.user.*",
            "/?json.user.name=x",
            &[6],
        ),
        (
            "ruleRemoveTargetByMsg=M 5;ARGS:json.user.*",
            "/?json.user=x",
            &[6],
        ),
        (
            "ruleRemoveTargetByMsg=M 5;ARGS:json.user.*",
            "/?json.username=x",
            &[5, 6],
        ),
    ] {
        let text = format!("SecAction \"id:1,phase:1,pass,nolog,ctl:'{control}'\"\n{rules}");
        assert_eq!(ids(&text, target), left, "{control} {target}");
    }
}

#[test]
fn rules_with_mistakes_are_left_out_aloud_where_that_is_asked_for() {
    let text = "SecIgnoreRuleCompilationErrors On\n\
        SecRule ARGS \"@rx (a\" \"id:1,phase:1,pass\"\n\
        SecRule ARGS:a \"@rx x\" \"id:2,phase:1,pass,chain\"\n\
        SecRule ARGZ \"@rx x\" \"chain\"\nSecRule ARGS \"@rx x\"\n\
        SecRule ARGS:a \"@rx x\" \"id:2,phase:1,pass\"\n\
        SecIgnoreRuleCompilationErrors Off\n";
    let warnings = load(text).warnings;
    let lines: Vec<_> = warnings.iter().map(|warning| warning.line).collect();
    assert_eq!(lines, [2, 4, 5], "{warnings:#?}");
    assert!(
        warnings
            .iter()
            .all(|warning| warning.message.contains("left out"))
    );
    assert_eq!(ids(text, "/?a=x"), [2]);
    let off = format!("{text}SecRule ARGZ \"@rx x\" \"id:9\"\n");
    assert!(Loader::new().text("t.conf", &off).load().is_err());
}

#[test]
fn what_only_older_engines_did_is_ignored_aloud() {
    for action in [
        "pause:100",
        "append:'x'",
        "prepend:'x'",
        "proxy:'http://x'",
        "deprecatevar:ip.a=1/2",
    ] {
        let loaded = load(&format!("SecAction \"id:1,phase:1,pass,{action}\"\n"));
        assert_eq!(loaded.warnings.len(), 1, "{action}");
    }
}

#[test]
fn what_cannot_be_done_here_is_refused_with_its_reason() {
    for (text, reason) in [
        ("SecRuleScript a.lua \"id:1\"", "scripts"),
        ("SecAction \"id:1,exec:/bin/x\"", "scripts"),
        ("SecRule ARGS \"@inspectFile /bin/x\" \"id:1\"", "program"),
        ("SecRule ARGS \"@gsbLookup x\" \"id:1\"", "no engine"),
        ("SecRule ARGS \"@rsub s/a/b/\" \"id:1\"", "no engine"),
        ("SecRule ARGS \"@validateHash x\" \"id:1\"", "no engine"),
        (
            "SecRule XML \"@validateSchema a.xsd\" \"id:1\"",
            "validating",
        ),
        ("SecRule XML \"@validateDTD a.dtd\" \"id:1\"", "validating"),
        ("SecRule ARGS \"@fuzzyHash a 6\" \"id:1\"", "ssdeep"),
        ("SecRemoteRules key https://a.example/", "local files"),
    ] {
        let problems = Loader::new().text("t.conf", text).load().unwrap_err();
        assert_eq!(problems.len(), 1, "{text}: {problems:#?}");
        assert!(
            problems[0].message.contains(reason),
            "{}",
            problems[0].message
        );
    }
}
