//! What rules do, one rule of the language a test.

use std::sync::Arc;
use std::time::SystemTime;

use super::*;
use crate::Loader;

/// A request on its way through some rules.
struct Story {
    transaction: Transaction,
    intervention: Option<Intervention>,
}

fn rules(text: &str) -> Arc<RuleSet> {
    match Loader::new().text("test.conf", text).load() {
        Ok(loaded) => Arc::new(loaded.rules),
        Err(problems) => panic!("{problems:#?}"),
    }
}

fn begin(text: &str) -> Transaction {
    let address = "192.0.2.1:4000".parse().unwrap();
    let origin = Origin {
        client: address,
        server: address,
    };
    rules(text).begin(origin, "unique", SystemTime::UNIX_EPOCH)
}

fn request(text: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Story {
    let mut transaction = begin(text);
    let intervention = send(&mut transaction, target, headers, body);
    Story {
        transaction,
        intervention,
    }
}

fn send(
    transaction: &mut Transaction,
    target: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Option<Intervention> {
    let line = RequestLine {
        method: b"POST",
        target: target.as_bytes(),
        protocol: b"HTTP/1.1",
    };
    let headers = headers
        .iter()
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    transaction
        .request_headers(line, headers)
        .or_else(|| transaction.request_body(body.as_bytes(), true))
}

fn get(text: &str, target: &str) -> Story {
    request(text, target, &[("Host", "example.com")], "")
}

impl Story {
    /// Identifiers of the rules that matched.
    fn ids(mut self) -> Vec<u64> {
        let outcome = self.transaction.finish();
        outcome.matches.iter().map(|found| found.rule_id).collect()
    }

    /// The first match.
    fn first(mut self) -> Match {
        self.transaction.finish().matches.remove(0)
    }
}

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

#[test]
fn a_deny_stops_the_request_and_says_who_did_it() {
    let text = "SecRule ARGS:q \"@rx evil\" \"id:7,phase:1,deny,status:451,msg:'no %{MATCHED_VAR}'\"\n\
                SecAction \"id:8,phase:1\"\nSecAction \"id:9,phase:5\"";
    let story = get(text, "/?q=evil");
    let intervention = story.intervention.clone().unwrap();
    assert_eq!(intervention.status, 451);
    assert_eq!(intervention.rule_id, 7);
    assert_eq!(intervention.message, "no evil");
    assert_eq!(story.ids(), [7, 9]);
    assert!(get(text, "/?q=fine").intervention.is_none());
}

#[test]
fn setvar_runs_once_for_every_matching_value() {
    let text = "SecRule ARGS \"@contains x\" \"id:1,nolog,pass,setvar:tx.score=+5\"\n\
                SecRule TX:SCORE \"@eq 15\" \"id:2,log,pass,msg:'%{tx.score}'\"";
    assert_eq!(get(text, "/?a=x&b=x&c=y&d=x").first().msg, "15");
    assert!(get(text, "/?a=x&b=x").ids().is_empty());
}

#[test]
fn setvar_of_a_starter_runs_even_if_the_chain_fails() {
    let text = "SecRule ARGS:a \"@rx .\" \"id:1,pass,log,setvar:tx.n=+1,chain\"\n\
                SecRule ARGS:b \"@rx .\"\n\
                SecRule TX:n \"@eq 1\" \"id:2,pass,log\"";
    assert_eq!(get(text, "/?a=1").ids(), [2]);
    assert_eq!(get(text, "/?a=1&b=2").ids(), [1, 2]);
}

#[test]
fn matched_vars_are_the_hits_of_the_link_before() {
    let text = "SecRule ARGS \"@contains x\" \"id:1,pass,log,msg:'%{MATCHED_VAR_NAME}',chain\"\n\
                SecRule MATCHED_VARS \"@endsWith 2\"";
    assert_eq!(get(text, "/?a=x1&b=x2&c=2").first().msg, "ARGS:b");
    assert!(get(text, "/?a=x1&c=2").ids().is_empty());
}

#[test]
fn captures_are_kept_and_groups_that_took_no_part_are_unset() {
    let text = "SecRule ARGS:a \"@rx ^(x)?(y)\" \"id:1,pass,log,capture,logdata:'[%{TX.0}|%{tx.1}|%{TX.2}]'\"\n\
                SecRule &TX:1 \"@eq 0\" \"id:2,pass,log\"";
    let story = get(text, "/?a=yz");
    let found = story.transaction.finish_all();
    assert_eq!(found[0].data, "[y||y]");
    assert_eq!(found[1].rule_id, 2);
}

impl Transaction {
    fn finish_all(mut self) -> Vec<Match> {
        self.finish().matches
    }
}

#[test]
fn skip_after_goes_to_its_marker_in_the_same_phase() {
    let text = "SecAction \"id:1,phase:1,nolog,pass,skipAfter:END\"\n\
                SecAction \"id:2,phase:1,log,pass\"\n\
                SecAction \"id:3,phase:2,log,pass\"\n\
                SecMarker END\n\
                SecAction \"id:4,phase:1,log,pass\"";
    assert_eq!(get(text, "/").ids(), [4, 3]);
}

#[test]
fn skip_counts_rules_and_a_chain_is_one() {
    let text = "SecAction \"id:1,nolog,pass,skip:2\"\n\
                SecRule ARGS a \"id:2,log,pass,chain\"\nSecRule ARGS a\n\
                SecAction \"id:3,log,pass\"\n\
                SecAction \"id:4,log,pass\"";
    assert_eq!(get(text, "/?a=a").ids(), [4]);
}

#[test]
fn an_absent_value_is_not_tested_and_its_count_is_zero() {
    let text = "SecRule REQUEST_HEADERS:X-None \"!@rx y\" \"id:1,phase:1,log,pass\"\n\
                SecRule &REQUEST_HEADERS:X-None \"@eq 0\" \"id:2,phase:1,log,pass\"\n\
                SecRule &REQUEST_HEADERS:Host \"@eq 1\" \"id:3,phase:1,log,pass\"";
    assert_eq!(get(text, "/").ids(), [2, 3]);
}

#[test]
fn exclusions_take_out_what_they_name_and_nothing_else() {
    let text = "SecRule ARGS|!ARGS:token|!ARGS:/^csrf_/ \"@rx evil\" \"id:1,log,pass\"";
    assert!(get(text, "/?Token=evil&csrf_x=evil").ids().is_empty());
    assert_eq!(get(text, "/?token2=evil").ids(), [1]);
    // A value without a name is a value.
    assert_eq!(get(text, "/?=evil").ids(), [1]);
}

#[test]
fn target_updates_work_before_and_after_the_rule_and_on_ranges() {
    for text in [
        "SecRuleUpdateTargetById 1 \"!ARGS:ok\"\nSecRule ARGS \"@rx evil\" \"id:1,log,pass\"",
        "SecRule ARGS \"@rx evil\" \"id:1,log,pass\"\nSecRuleUpdateTargetById 1-9 \"!ARGS:/^ok$/\"",
        "SecRule ARGS \"@rx evil\" \"id:1,log,pass,tag:'t'\"\nSecRuleUpdateTargetByTag t \"!ARGS:ok\"",
        "SecRule ARGS \"@rx evil\" \"id:1,log,pass,msg:'m'\"\nSecRuleUpdateTargetByMsg m \"!ARGS:ok\"",
    ] {
        assert!(get(text, "/?ok=evil").ids().is_empty(), "{text}");
        assert_eq!(get(text, "/?no=evil").ids(), [1], "{text}");
    }
    let adds = "SecRule ARGS \"@rx evil\" \"id:1,phase:1,log,pass\"\n\
                SecRuleUpdateTargetById 1 REQUEST_HEADERS:Host";
    assert_eq!(request(adds, "/", &[("Host", "evil")], "").ids(), [1]);
}

#[test]
fn controls_remove_rules_and_targets_from_then_on() {
    let text = "SecAction \"id:1,phase:1,nolog,pass,ctl:ruleRemoveById=10-11,ctl:ruleRemoveByTag=gone,\
                    ctl:ruleRemoveTargetById=13;ARGS:ok,ctl:ruleRemoveTargetByTag=some;ARGS\"\n\
                SecAction \"id:10,log,pass\"\n\
                SecAction \"id:12,log,pass,tag:'gone'\"\n\
                SecRule ARGS evil \"id:13,log,pass\"\n\
                SecRule ARGS evil \"id:14,log,pass,tag:'some'\"";
    assert!(get(text, "/?ok=evil").ids().is_empty());
    assert_eq!(get(text, "/?no=evil").ids(), [13]);
}

#[test]
fn detection_reports_what_it_would_have_done() {
    let text = "SecRule ARGS evil \"id:1,deny\"\nSecAction \"id:2,log,pass\"";
    let mut transaction = begin(text);
    transaction.detection_only();
    assert_eq!(send(&mut transaction, "/?a=evil", &[], ""), None);
    let outcome = transaction.finish();
    assert_eq!(outcome.would_block.map(|would| would.rule_id), Some(1));
    assert_eq!(outcome.matches.len(), 2);
}

#[test]
fn a_rule_cannot_undo_the_hosts_detection_mode() {
    let text = "SecAction \"id:1,phase:1,nolog,pass,ctl:ruleEngine=On\"\nSecAction \"id:2,deny\"";
    let mut transaction = begin(text);
    transaction.detection_only();
    assert_eq!(send(&mut transaction, "/", &[], ""), None);
}

#[test]
fn allow_reaches_as_far_as_it_says() {
    let rest = "SecAction \"id:2,phase:1,log,pass\"\nSecAction \"id:3,phase:2,log,pass\"\n\
                SecAction \"id:4,phase:5,log,pass\"";
    let allow = |how: &str| {
        get(
            &format!("SecAction \"id:1,phase:1,nolog,{how}\"\n{rest}"),
            "/",
        )
    };
    assert_eq!(allow("allow:phase").ids(), [3, 4]);
    assert_eq!(allow("allow:request").ids(), [4]);
    assert_eq!(allow("allow").ids(), [4]);
}

#[test]
fn transformations_run_in_order_and_none_forgets_the_defaults() {
    let text = "SecDefaultAction \"phase:2,log,pass,t:lowercase\"\n\
                SecRule ARGS \"@streq EVIL\" \"id:1,t:none\"\n\
                SecRule ARGS \"@streq evil\" \"id:2\"\n\
                SecRule ARGS \"@streq 4\" \"id:3,t:none,t:length\"";
    assert_eq!(get(text, "/?a=EVIL").ids(), [1, 2, 3]);
}

#[test]
fn multi_match_tests_the_value_after_every_change() {
    let text =
        "SecRule ARGS \"@contains a%20b\" \"id:1,log,pass,multiMatch,t:urlDecode,t:lowercase\"";
    assert_eq!(get(text, "/?x=a%2520b").ids(), [1]);
    let plain = "SecRule ARGS \"@contains a%20b\" \"id:1,log,pass,t:urlDecode,t:lowercase\"";
    assert!(get(plain, "/?x=a%2520b").ids().is_empty());
}

#[test]
fn block_means_the_default_action_of_its_phase() {
    let text = "SecDefaultAction \"phase:2,log,deny,status:418\"\nSecRule ARGS x \"id:1,block\"";
    assert_eq!(get(text, "/?a=x").intervention.unwrap().status, 418);
    assert!(
        get("SecRule ARGS x \"id:1,block\"", "/?a=x")
            .intervention
            .is_none()
    );
}

#[test]
fn a_redirect_cannot_smuggle_a_header() {
    let text = "SecRule ARGS:u \"@rx .\" \"id:1,redirect:'https://e/%{ARGS.u}'\"";
    let intervention = get(text, "/?u=a%0d%0aSet-Cookie:x").intervention.unwrap();
    assert_eq!(
        intervention.action,
        Disruption::Redirect("https://e/aSet-Cookie:x".to_owned())
    );
    assert_eq!(intervention.status, 302);
}

#[test]
fn the_body_is_parsed_by_the_processor_the_rules_chose() {
    let text = "SecRule REQUEST_HEADERS:Content-Type \"@rx json\" \"id:1,phase:1,nolog,pass,ctl:requestBodyProcessor=JSON\"\n\
                SecRule ARGS:json.a \"@streq evil\" \"id:2,log,pass\"\n\
                SecRule REQBODY_PROCESSOR \"@streq JSON\" \"id:3,log,pass\"\n\
                SecRule REQBODY_ERROR \"!@eq 0\" \"id:4,log,pass,msg:'%{reqbody_error_msg}'\"";
    let json = [("Content-Type", "application/json")];
    assert_eq!(request(text, "/", &json, r#"{"a":"evil"}"#).ids(), [2, 3]);
    let broken = request(text, "/", &json, r#"{"a":"evil","#);
    assert_eq!(broken.ids(), [2, 3, 4]);
}

const JSON: &str = "SecRule REQUEST_HEADERS:Content-Type json \"id:1,phase:1,nolog,pass,ctl:requestBodyProcessor=JSON\"\n";

#[test]
fn the_names_of_json_are_modsecuritys_or_corazas() {
    let rules = "SecRule ARGS:json.c.array_0 x \"id:2,phase:2,pass\"\n\
                SecRule ARGS:json.c.0 x \"id:3,phase:2,pass\"\n\
                SecRule ARGS_POST x \"id:4,phase:2,pass\"\n\
                SecRule ARGS_NAMES \"@rx ^json.c.\" \"id:5,phase:2,pass\"\n\
                SecRule &ARGS \"@eq 2\" \"id:6,phase:2,pass\"";
    let ids = |naming: &str| {
        let text = format!("{naming}\n{JSON}{rules}");
        let headers = [("Content-Type", "application/json")];
        request(&text, "/", &headers, r#"{"c":["x"]}"#).ids()
    };
    assert_eq!(ids("SecRequestBodyJsonNaming ModSecurity"), [2, 5]);
    assert_eq!(ids("SecRequestBodyJsonNaming Coraza"), [3, 4, 5, 6]);
    assert_eq!(ids(""), [3, 4, 5, 6]);
}

#[test]
fn lines_of_json_and_raw_bodies_have_their_processors() {
    let text = "SecRule REQUEST_HEADERS:Content-Type ndjson \"id:1,phase:1,nolog,pass,ctl:requestBodyProcessor=NDJSON\"\n\
                SecRule REQUEST_HEADERS:Content-Type octet \"id:2,phase:1,nolog,pass,ctl:requestBodyProcessor=raw\"\n\
                SecRule ARGS:json.1.a evil \"id:3,phase:2,deny\"\n\
                SecRule REQUEST_BODY evil \"id:4,phase:2,deny\"\n\
                SecRule REQBODY_PROCESSOR \"@streq RAW\" \"id:5,phase:2,pass\"";
    let send = |kind, body| request(text, "/", &[("Content-Type", kind)], body).ids();
    assert_eq!(
        send("application/x-ndjson", "{\"a\":1}\n{\"a\":\"evil\"}\n"),
        [3]
    );
    assert!(send("application/x-ndjson", "{\"a\":1}\n{\"a\":\"fine\"}\n").is_empty());
    assert_eq!(send("application/octet-stream", "a=evil"), [4]);
    assert_eq!(send("application/octet-stream", "a=fine"), [5]);
}

#[test]
fn an_unknown_type_is_read_as_a_form_when_rules_force_the_body() {
    let text = "SecRule REQBODY_PROCESSOR \"!@rx ^[A-Z]\" \"id:1,phase:1,nolog,pass,ctl:forceRequestBodyVariable=On\"\n\
                SecRule REQUEST_BODY \"@streq a=evil\" \"id:2,log,pass\"\n\
                SecRule ARGS_POST:a \"@streq evil\" \"id:3,log,pass\"";
    assert_eq!(
        request(text, "/", &[("Content-Type", "text/odd")], "a=evil").ids(),
        [2, 3]
    );
}

#[test]
fn a_cut_body_is_no_error_but_a_broken_one_is() {
    let text = "SecRule REQUEST_HEADERS:Content-Type json \"id:1,phase:1,nolog,pass,ctl:requestBodyProcessor=JSON\"\n\
                SecRule REQBODY_ERROR \"@eq 1\" \"id:2,log,pass\"\n\
                SecRule INBOUND_DATA_ERROR \"@eq 1\" \"id:3,log,pass\"";
    let run = |body: &str| {
        let mut transaction = begin(text);
        let line = RequestLine {
            method: b"POST",
            target: b"/",
            protocol: b"HTTP/1.1",
        };
        let headers: [(&[u8], &[u8]); 1] = [(b"Content-Type", b"application/json")];
        transaction.request_headers(line, headers.into_iter());
        transaction.request_body(body.as_bytes(), false);
        let found = transaction.finish_all();
        found.iter().map(|found| found.rule_id).collect::<Vec<_>>()
    };
    assert_eq!(run(r#"{"a":"long te"#), [3]);
    assert_eq!(run(r#"{"a":x,"b":"long te"#), [2, 3]);
}

#[test]
fn a_body_over_the_limit_is_refused_or_cut_as_configured() {
    let refused = request("SecRequestBodyLimit 4", "/", &[FORM], "a=12345");
    assert_eq!(refused.intervention.unwrap().status, 413);
    let text = "SecRequestBodyLimit 4\nSecRequestBodyLimitAction ProcessPartial\n\
                SecRule ARGS:a \"@streq 12\" \"id:1,log,pass\"";
    assert_eq!(request(text, "/", &[FORM], "a=12345").ids(), [1]);
}

#[test]
fn too_many_arguments_of_a_body_are_an_error() {
    let text = "SecArgumentsLimit 2\nSecRule REQBODY_ERROR \"@eq 1\" \"id:1,log,pass\"";
    assert_eq!(request(text, "/", &[FORM], "a=1&b=2&c=3").ids(), [1]);
    assert!(request(text, "/", &[FORM], "a=1&b=2").ids().is_empty());
}

#[test]
fn the_response_is_seen_in_its_phases() {
    let text = "SecResponseBodyAccess On\nSecResponseBodyMimeType text/html\n\
                SecRule RESPONSE_STATUS \"@eq 500\" \"id:1,phase:3,log,pass\"\n\
                SecRule RESPONSE_BODY \"@contains secret\" \"id:2,phase:4,deny,status:502\"";
    let mut story = get(text, "/");
    let html: [(&[u8], &[u8]); 1] = [(b"Content-Type", b"Text/HTML; charset=utf-8")];
    let answer = &mut story.transaction;
    assert!(
        answer
            .response_headers(500, "HTTP/1.1", html.into_iter())
            .is_none()
    );
    assert!(answer.inspects_response_body());
    let denied = answer.response_body(b"a secret", true).unwrap();
    assert_eq!(denied.status, 502);
    assert_eq!(story.ids(), [1, 2]);
    let mut other = get(text, "/");
    let png: [(&[u8], &[u8]); 1] = [(b"Content-Type", b"image/png")];
    other
        .transaction
        .response_headers(200, "HTTP/1.1", png.into_iter());
    assert!(!other.transaction.inspects_response_body());
}

#[test]
fn a_match_is_worded_as_modsecurity_words_it() {
    let text = "SecRule ARGS:q \"@rx e(v)il\" \"id:1,log,pass,t:lowercase,severity:CRITICAL,tag:'a/%{TX.1}',capture\"";
    let found = get(text, "/?q=EVIL").first();
    assert_eq!(
        found.matched,
        "Matched \"Operator `Rx' with parameter `e(v)il' against variable `ARGS:q' (Value: `evil' )"
    );
    assert_eq!(found.variable, "ARGS:q");
    assert_eq!(found.severity, Some(2));
    assert_eq!(*found.tags, ["a/v".to_owned()]);
    assert_eq!((found.file.as_ref(), found.line), ("test.conf", 1));
}

#[test]
fn a_traced_match_shows_every_step() {
    let text = "SecRule ARGS:q \"@rx evil\" \"id:1,log,pass,t:urlDecode,t:lowercase\"";
    let mut transaction = begin(text);
    transaction.trace();
    send(&mut transaction, "/?q=%2545VIL", &[], "");
    let steps = transaction.finish_all().remove(0).steps;
    assert_eq!(steps.len(), 2);
    assert_eq!(steps[0].transformation, "urlDecode");
    assert_eq!(steps[0].value, "EVIL");
    assert_eq!(steps[1].value, "evil");
}

#[test]
fn scores_are_read_out() {
    let text = "SecAction \"id:1,nolog,pass,setvar:tx.blocking_inbound_anomaly_score=15\"";
    let outcome = get(text, "/").transaction.finish();
    assert_eq!(outcome.inbound_score, Some(15));
    assert_eq!(outcome.outbound_score, None);
}

#[test]
fn names_built_from_macros_are_found_by_regex() {
    let text = "SecRule ARGS_NAMES \"@rx .\" \"id:1,nolog,pass,setvar:'tx.count_%{MATCHED_VAR}=+1'\"\n\
                SecRule TX:/^count_/ \"@gt 1\" \"id:2,log,pass,msg:'%{MATCHED_VAR_NAME}'\"";
    assert_eq!(get(text, "/?a=1&a=2&b=3").first().msg, "TX:count_a");
    assert!(get(text, "/?a=1&b=3").ids().is_empty());
}

#[test]
fn cookies_without_a_name_are_values() {
    let text = "SecRule REQUEST_COOKIES \"@streq evil\" \"id:1,phase:1,log,pass\"";
    let story = request(text, "/", &[("Cookie", "a=b; =evil")], "");
    assert_eq!(story.ids(), [1]);
}

#[test]
fn a_target_that_does_not_decode_keeps_its_query() {
    let text = "SecRule ARGS:a \"@streq b\" \"id:1,log,pass\"\n\
                SecRule URLENCODED_ERROR \"@eq 1\" \"id:2,log,pass\"";
    assert_eq!(get(text, "/foo%zz?a=b").ids(), [1, 2]);
}

#[test]
fn json_names_that_collide_overwrite_nothing() {
    let text = "SecRule REQUEST_HEADERS:Content-Type json \"id:1,phase:1,nolog,pass,ctl:requestBodyProcessor=JSON\"\n\
                SecRule ARGS \"@streq evil\" \"id:2,log,pass\"";
    let body = r#"{"a":{"b":"evil"},"a.b":"safe"}"#;
    let story = request(text, "/", &[("Content-Type", "application/json")], body);
    assert_eq!(story.ids(), [2]);
}

#[test]
fn a_payload_behind_many_cookies_is_inspected_or_the_request_refused() {
    let text = "SecRule REQUEST_COOKIES \"@detectSQLi\" \"id:1,phase:1,deny\"";
    let refused_by = |crumbs: usize, last: &str| {
        let cookies = format!("{} q={last}", "a;".repeat(crumbs));
        let story = request(text, "/", &[("Cookie", &cookies)], "");
        story.intervention.map(|found| found.rule_id)
    };
    assert_eq!(refused_by(999, "1' or '1'='1"), Some(1));
    assert_eq!(refused_by(999, "o'hara"), None);
    assert_eq!(refused_by(10_001, "1' or '1'='1"), Some(0));
    // A limit spread over several headers is one limit.
    let (many, one) = ("a;".repeat(1000), "q=1' or '1'='1");
    let story = request(text, "/", &[("Cookie", &many), ("Cookie", one)], "");
    assert_eq!(story.intervention.map(|found| found.rule_id), Some(0));
}

#[test]
fn a_query_with_more_arguments_than_are_inspected_is_refused() {
    let text = "SecArgumentsLimit 10\nSecRule ARGS \"@streq evil\" \"id:1,phase:1,deny\"";
    let refusal = get(text, &format!("/?{}q=evil", "a=1&".repeat(10))).intervention;
    assert_eq!(
        refusal.map(|found| (found.status, found.rule_id)),
        Some((400, 0))
    );
    let fits = get(text, &format!("/?{}q=fine", "a=1&".repeat(9)));
    assert!(fits.intervention.is_none());
}

#[test]
fn what_was_not_inspected_passes_only_where_a_rule_allows_it_or_nothing_blocks() {
    let long = format!("/?{}q=x", "a=1&".repeat(10));
    let allowed = "SecArgumentsLimit 10\nSecAction \"id:1,phase:1,allow\"";
    assert!(get(allowed, &long).intervention.is_none());
    let watched = "SecArgumentsLimit 10\nSecRuleEngine DetectionOnly";
    let mut story = get(watched, &long);
    assert!(story.intervention.is_none());
    let would = story.transaction.finish().would_block;
    assert_eq!(would.map(|found| found.status), Some(400));
    assert!(
        get("SecArgumentsLimit 10\nSecRuleEngine Off", &long)
            .intervention
            .is_none()
    );
}

#[test]
fn a_value_too_long_to_be_kept_is_refused() {
    let text = "SecRule ARGS:a \"@rx .\" \"id:1,nolog,pass,setvar:'tx.kept=%{MATCHED_VAR}'\"";
    let body = |length| format!("a={}", "x".repeat(length));
    let story = request(text, "/", &[FORM], &body((1 << 20) + 1));
    assert_eq!(story.intervention.map(|found| found.rule_id), Some(0));
    assert!(
        request(text, "/", &[FORM], &body(1 << 20))
            .intervention
            .is_none()
    );
}

#[test]
fn a_match_says_what_matched() {
    let captured = |rule: &str, target| {
        let text = format!("SecRule ARGS \"{rule}\" \"id:1,log,pass\"");
        get(&text, target).first().captured
    };
    assert_eq!(captured("@rx (?i)ev(i)l", "/?a=so+EVIL+x"), "EVIL");
    assert_eq!(captured("@pm sqlmap nikto", "/?a=xNIKTOx"), "nikto");
    assert_eq!(
        captured("@detectSQLi", "/?a=1%27+or+%271%27%3D%271"),
        "s&sos"
    );
    assert_eq!(captured("@rx a.b|(?s)c.d", "/?a=xc%0Adx"), "c\\x0ad");
    assert_eq!(captured("!@rx ^[0-9]", "/?a=word"), "word");
    assert_eq!(get("SecAction \"id:1,log,pass\"", "/").first().captured, "");
}

#[test]
fn a_chain_is_told_by_its_starter_where_its_end_is_an_exclusion() {
    let text = "SecRule ARGS \"@rx ev.l\" \"id:1,log,pass,chain\"\n\
                SecRule MATCHED_VARS \"!@rx ok$\"";
    let found = get(text, "/?a=1&b=xevilx&c=evil+ok").first();
    assert_eq!((&*found.variable, &*found.value), ("ARGS:b", "xevilx"));
    assert_eq!(found.captured, "evil");
    assert!(
        found
            .matched
            .contains("with parameter `ev.l' against variable `ARGS:b'")
    );
    assert!(get(text, "/?c=evil+ok").ids().is_empty());
    // An end that finds something is what the match is about; its starter says what began it.
    let text = "SecRule ARGS:a \"@rx ev.l\" \"id:1,log,pass,chain\"\nSecRule ARGS:b \"@rx x\"";
    let found = get(text, "/?a=evil&b=x").first();
    assert_eq!((&*found.variable, &*found.captured), ("ARGS:b", "evil"));
}

#[test]
fn a_match_says_what_it_added_to_the_score_that_is_reported() {
    let text = "SecAction \"id:1,nolog,pass,setvar:tx.five=5,setvar:tx.blocking_paranoia_level=2\"\n\
                SecRule ARGS x \"id:2,log,pass,setvar:tx.inbound_anomaly_score_pl1=+%{tx.five},setvar:tx.sql_score=+9\"\n\
                SecRule ARGS x \"id:3,log,pass,setvar:tx.inbound_anomaly_score_pl3=+5\"\n\
                SecRule ARGS x \"id:4,log,pass,chain\"\n\
                SecRule ARGS y \"setvar:tx.baseline_inbound_score=+3\"\n\
                SecRule ARGS x \"id:5,log,pass\"\n\
                SecAction \"id:6,nolog,pass,setvar:tx.blocking_inbound_anomaly_score=+%{tx.inbound_anomaly_score_pl1}\"";
    let outcome = get(text, "/?a=x&b=xy").transaction.finish();
    let scores: Vec<_> = outcome
        .matches
        .iter()
        .map(|found| (found.rule_id, found.score))
        .collect();
    assert_eq!(scores, [(2, 10), (3, 0), (4, 3), (5, 0)]);
    assert_eq!(outcome.inbound_score, Some(10));
}
