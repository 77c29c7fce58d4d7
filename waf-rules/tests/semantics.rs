//! What rules mean where ModSecurity's documentation is silent and its engine is not.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod common;

use common::rules;
use waf_rules::{Event, Intervention, Loader, Outcome, Problem, RequestLine, Skip, Transaction};

const FORM: (&[u8], &[u8]) = (b"Content-Type", b"application/x-www-form-urlencoded");

fn begin(text: &str) -> Transaction {
    common::begin(&rules(text))
}

fn send(
    transaction: &mut Transaction,
    target: &str,
    headers: &[(&[u8], &[u8])],
    body: &str,
) -> Option<Intervention> {
    let line = RequestLine {
        method: b"POST",
        target: target.as_bytes(),
        protocol: b"HTTP/1.1",
    };
    transaction
        .request_headers(line, headers.iter().copied())
        .or_else(|| transaction.request_body(body.as_bytes(), true))
}

/// The status a request to `target` is refused with.
fn status(text: &str, target: &str) -> Option<u16> {
    send(&mut begin(text), target, &[], "").map(|found| found.status)
}

fn finish(text: &str, target: &str) -> Outcome {
    let mut transaction = begin(text);
    send(&mut transaction, target, &[], "");
    transaction.finish()
}

fn ids(text: &str, target: &str) -> Vec<u64> {
    let outcome = finish(text, target);
    outcome.matches.iter().map(|found| found.rule_id).collect()
}

fn message(text: &str, target: &str) -> String {
    finish(text, target).matches.remove(0).msg
}

fn problems(text: &str) -> Vec<Problem> {
    let loaded = Loader::new().text("test.conf", text).load();
    loaded.map_or_else(|problems| problems, |_| Vec::new())
}

fn warnings(text: &str) -> Vec<String> {
    let loaded = Loader::new().text("test.conf", text).load().unwrap();
    loaded.warnings.into_iter().map(|it| it.message).collect()
}

#[test]
fn what_a_default_action_names_is_done_by_block_only() {
    let defaults = "SecDefaultAction \"phase:2,deny,status:499,tag:'mine'\"\n";
    let rule = |action: &str| format!("{defaults}SecRule ARGS x \"id:1{action}\"");
    assert_eq!(status(&rule(",block"), "/?a=x"), Some(499));
    assert_eq!(status(&rule(""), "/?a=x"), None);
    assert_eq!(status(&rule(",pass"), "/?a=x"), None);
    assert_eq!(status(&rule(",block"), "/?a=y"), None);
    assert!(warnings(&rule(""))[0].contains("`block` only"));
    assert!(warnings(&rule(",block")).is_empty());
    let found = finish(&rule(",block"), "/?a=x").matches.remove(0);
    assert_eq!(*found.tags, ["mine".to_owned()]);
}

#[test]
fn a_default_action_speaks_once_a_phase_and_of_no_single_rule() {
    for (text, reason) in [
        ("phase:2,log", "must name a disruptive action"),
        ("phase:2,block", "must name a disruptive action"),
        ("phase:2,t:none,pass", "t:none does not fit"),
        ("phase:2,id:7,pass", "id does not fit"),
    ] {
        let found = problems(&format!("SecDefaultAction \"{text}\""));
        assert!(found[0].message.contains(reason), "{text}: {found:?}");
    }
    let twice = "SecDefaultAction \"phase:1,pass\"\nSecDefaultAction \"phase:1,deny\"";
    assert!(problems(twice)[0].message.contains("phase 1 already"));
    let phases = "SecDefaultAction \"phase:1,pass\"\nSecDefaultAction \"phase:2,deny,block\"";
    assert!(problems(phases).is_empty());
}

#[test]
fn any_rule_of_a_chain_may_say_how_it_ends_but_only_the_first_that_it_does() {
    let chain = |first: &str, second: &str| {
        format!("SecRule ARGS:a x \"id:1,{first},chain\"\nSecRule ARGS:b x \"{second}\"")
    };
    assert_eq!(status(&chain("deny", "status:437"), "/?a=x&b=x"), Some(437));
    assert_eq!(
        status(&chain("deny,status:438", "status:437"), "/?a=x&b=x"),
        Some(438)
    );
    assert_eq!(status(&chain("deny", "status:437"), "/?a=x&b=y"), None);
    assert!(!problems(&chain("pass", "deny")).is_empty());
    let skip = chain("pass", "skip:1") + "\nSecRule ARGS x \"id:2,deny\"";
    assert_eq!(status(&skip, "/?a=x&b=x"), None);
    assert_eq!(status(&skip, "/?a=x&b=y"), Some(403));
}

#[test]
fn matched_vars_are_those_of_all_links_of_this_chain() {
    let text = "SecRule ARGS:a one \"id:1,deny,chain\"\n\
                SecRule ARGS:b two \"chain\"\n\
                SecRule MATCHED_VARS \"@streq one\" \"\"";
    assert_eq!(status(text, "/?a=one&b=two"), Some(403));
    let before = "SecRule ARGS:a one \"id:1,pass\"\n\
                  SecRule ARGS:b two \"id:2,deny,chain\"\n\
                  SecRule MATCHED_VARS \"@streq one\" \"\"";
    assert_eq!(status(before, "/?a=one&b=two"), None);
}

#[test]
fn an_action_needs_no_identifier_and_a_rule_does() {
    assert_eq!(
        status("SecAction \"phase:1,pass\"\nSecAction deny", "/"),
        Some(403)
    );
    assert!(problems("SecRule ARGS x deny")[0].message.contains("no id"));
    assert!(
        problems("SecRule ARGS x \"id:0,deny\"")[0]
            .message
            .contains("no id")
    );
}

#[test]
fn a_dot_and_a_comma_do_for_colon_and_bar_in_targets() {
    let text = "SecAction \"id:1,phase:1,pass,nolog,setvar:tx.a=5\"\n\
                SecRule REQUEST_URI,TX.a \"@streq 5\" \"id:2,phase:1,deny\"";
    assert_eq!(status(text, "/"), Some(403));
}

#[test]
fn macros_take_regular_expressions_and_swallow_a_percent_sign() {
    let message = |text: &str| {
        let rule = format!("SecRule ARGS:user . \"id:1,pass,msg:'{text}'\"");
        message(&rule, "/?user=eve")
    };
    assert_eq!(message("by %{ARGS:/^us/}"), "by eve");
    assert_eq!(message("by %{ARGS.user}% now"), "by eve now");
    assert_eq!(message("%{ARGS.user}%{ARGS.user}"), "eveeve");
    assert_eq!(message("50% of %{ARGS.none}"), "50% of ");
}

#[test]
fn rule_holds_its_message_with_macros_expanded() {
    let text = "SecRule ARGS:a . \"id:1,phase:1,pass,nolog\"\n\
                SecRule RULE:msg \"@contains eve\" \"id:2,phase:1,deny,msg:'by %{ARGS.a}'\"";
    assert_eq!(status(text, "/?a=eve"), Some(403));
    assert_eq!(status(text, "/?a=bob"), None);
    let endless = "SecRule RULE:msg . \"id:1,phase:1,deny,msg:'%{RULE.msg}'\"";
    assert_eq!(status(endless, "/"), None);
}

#[test]
fn a_count_is_reported_under_the_key_it_counts() {
    let text = "SecRule &ARGS:a \"@eq 2\" \"id:1,pass,msg:'%{MATCHED_VAR_NAME}'\"";
    assert_eq!(message(text, "/?a=1&a=2"), "ARGS:a");
    let all = "SecRule &ARGS \"@eq 2\" \"id:1,pass,msg:'%{MATCHED_VAR_NAME}'\"";
    assert_eq!(message(all, "/?a=1&a=2"), "ARGS");
}

#[test]
fn arguments_of_query_and_body_share_one_limit() {
    let text = "SecArgumentsLimit 3\nSecRule REQBODY_ERROR \"@eq 1\" \"id:1,deny,status:400\"";
    let post = |target, body| send(&mut begin(text), target, &[FORM], body).map(|it| it.status);
    assert_eq!(post("/?a=1&b=2", "c=3"), None);
    assert_eq!(post("/?a=1&b=2", "c=3&d=4"), Some(400));
}

#[test]
fn blanks_at_the_end_of_a_cookie_header_belong_to_no_cookie() {
    let text = "SecRule REQUEST_COOKIES:b \"@streq 2\" \"id:1,phase:1,deny\"";
    let cookie = |value: &[u8]| send(&mut begin(text), "/", &[(b"Cookie", value)], "").is_some();
    assert!(cookie(b"a=1; b=2  "));
    assert!(!cookie(b"a=1; b=2 x"));
}

#[test]
fn a_quote_that_is_never_closed_ends_with_its_line_and_a_warning() {
    let text = "SecRule ARGS x \"id:1,deny\nSecRule ARGS y \"id:2,deny\"";
    assert_eq!(status(text, "/?a=x"), Some(403));
    assert_eq!(warnings(text).len(), 1);
    assert!(warnings(text)[0].contains("never closed"));
}

#[test]
fn updates_take_several_rules_and_may_ask_for_the_default() {
    let text = "SecRuleUpdateTargetById 1 3-4 \"!ARGS:a\"\n\
                SecRule ARGS x \"id:1,pass\"\nSecRule ARGS x \"id:2,pass\"\n\
                SecRule ARGS x \"id:3,pass\"";
    assert_eq!(ids(text, "/?a=x"), [2]);
    assert_eq!(ids(text, "/?b=x"), [1, 2, 3]);
    let block = "SecDefaultAction \"phase:2,deny,status:499\"\n\
                 SecRule ARGS x \"id:1,pass\"\nSecRuleUpdateActionById 1 \"block\"";
    assert_eq!(status(block, "/?a=x"), Some(499));
}

#[test]
fn a_record_tells_what_every_rule_did_and_exists_only_on_demand() {
    let text = "SecRule ARGS:a \"@rx ^(b)\" \"id:1,phase:1,pass,capture,t:lowercase,skip:1\"\n\
                SecRule ARGS c \"id:2,phase:1,deny\"\nSecRule ARGS c \"id:3,phase:1,deny\"";
    assert!(finish(text, "/?a=BC").events.is_empty());
    let mut transaction = begin(text);
    transaction.record();
    send(&mut transaction, "/?a=BC", &[], "");
    let events = transaction.finish().events;
    let tested = events.iter().find_map(|event| match event {
        Event::Tested {
            variable,
            value,
            steps,
            matched: true,
        } => Some((variable.as_str(), value.as_str(), steps.len())),
        _ => None,
    });
    assert_eq!(tested, Some(("ARGS:a", "bc", 1)));
    let set = |event: &Event| matches!(event, Event::Set { name, .. } if name == "TX:1");
    assert!(events.iter().any(set));
    assert!(events.contains(&Event::Skipped {
        rule_id: 2,
        cause: Skip::Skip
    }));
    assert!(events.contains(&Event::Returned {
        rule_id: 3,
        matched: false
    }));
}
