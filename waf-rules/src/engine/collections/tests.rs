//! Rules that count across requests.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::{Kept, Loader, MemoryStore, Origin, RequestLine, RuleSet, Transaction};

const START: SystemTime = SystemTime::UNIX_EPOCH;
const NONE: [u64; 0] = [];

fn load(text: &str) -> Arc<RuleSet> {
    match Loader::new().text("test.conf", text).load() {
        Ok(loaded) => Arc::new(loaded.rules),
        Err(problems) => panic!("{problems:#?}"),
    }
}

fn begin(rules: &Arc<RuleSet>, client: &str, now: SystemTime) -> Transaction {
    let origin = Origin {
        client: format!("{client}:4000").parse().unwrap(),
        server: "192.0.2.1:80".parse().unwrap(),
    };
    rules.begin(origin, "unique", now)
}

/// What rules matched on a request for `target` from `client`.
fn ids(rules: &Arc<RuleSet>, client: &str, target: &str, now: SystemTime) -> Vec<u64> {
    let mut transaction = begin(rules, client, now);
    run(&mut transaction, target);
    let outcome = transaction.finish();
    outcome.matches.iter().map(|found| found.rule_id).collect()
}

fn run(transaction: &mut Transaction, target: &str) {
    let line = RequestLine {
        method: b"GET",
        target: target.as_bytes(),
        protocol: b"HTTP/1.1",
    };
    let cookie: [(&[u8], &[u8]); 1] = [(b"cookie", b"sid=s1; user=anna")];
    transaction.request_headers(line, cookie.into_iter());
    transaction.request_body(b"", true);
}

fn after(seconds: u64) -> SystemTime {
    START + Duration::from_secs(seconds)
}

const COUNTER: &str = "SecAction \"id:1,phase:1,pass,nolog,initcol:ip=%{REMOTE_ADDR},\
    setvar:ip.hits=+1,expirevar:ip.hits=60\"\n\
    SecRule IP:HITS \"@gt 2\" \"id:2,phase:1,deny,msg:'%{ip.hits}'\"\n";

#[test]
fn the_third_request_of_one_address_is_refused_and_its_neighbour_is_not() {
    let rules = load(COUNTER);
    assert_eq!(ids(&rules, "192.0.2.7", "/", START), NONE);
    assert_eq!(ids(&rules, "192.0.2.7", "/", after(1)), NONE);
    assert_eq!(ids(&rules, "192.0.2.8", "/", after(1)), NONE);
    assert_eq!(ids(&rules, "192.0.2.7", "/", after(2)), [2]);
    // A minute after the last hit all is forgiven.
    assert_eq!(ids(&rules, "192.0.2.7", "/", after(62)), NONE);
}

#[test]
fn a_store_of_the_host_outlives_the_rules_and_applications_do_not_share_a_record() {
    let store = Arc::new(MemoryStore::default());
    let kept = Arc::new(Kept::new(store.clone()));
    let load = |head: &str| {
        let text = format!("{head}\n{COUNTER}");
        let loader = Loader::new().kept(&kept).text("t.conf", &text);
        Arc::new(loader.load().unwrap().rules)
    };
    for _ in 0..2 {
        assert_eq!(ids(&load(""), "192.0.2.7", "/", START), NONE);
    }
    let other = load("SecWebAppId shop");
    assert_eq!(ids(&other, "192.0.2.7", "/", START), NONE);
    assert_eq!(ids(&load(""), "192.0.2.7", "/", START), [2]);
    assert_eq!(store.len(), 2);
}

#[test]
fn every_form_of_setvar_works_on_every_collection() {
    for (open, name) in [
        ("initcol:global=all", "global"),
        ("initcol:ip=%{REMOTE_ADDR}", "ip"),
        ("initcol:resource=%{REQUEST_FILENAME}", "resource"),
        ("setrsc:%{REQUEST_FILENAME}", "resource"),
        ("setsid:%{REQUEST_COOKIES.sid}", "session"),
        ("setuid:%{REQUEST_COOKIES.user}", "user"),
    ] {
        let rules = load(&format!(
            "SecAction \"id:1,phase:1,pass,nolog,{open},setvar:{name}.a=5,setvar:{name}.A=+3,\
             setvar:{name}.a=-1,setvar:{name}.b,setvar:'{name}.c_%{{REQUEST_METHOD}}=x',\
             setvar:!{name}.b\"\n\
             SecRule {name}:a \"@eq 7\" \"id:2,phase:1,pass\"\n\
             SecRule &{name}:b \"@eq 0\" \"id:3,phase:1,pass\"\n\
             SecRule {name}:/^c_/ \"@streq x\" \"id:4,phase:1,pass\"\n\
             SecRule &{name} \"@eq 2\" \"id:5,phase:1,pass\"\n"
        ));
        assert_eq!(ids(&rules, "192.0.2.7", "/", START), [2, 3, 4, 5], "{open}");
    }
}

#[test]
fn without_a_key_a_collection_has_no_members() {
    let rules = load(
        "SecAction \"id:1,phase:1,pass,nolog,setvar:ip.a=1\"\n\
         SecRule &IP \"@eq 0\" \"id:2,phase:1,pass\"\n\
         SecRule &SESSIONID \"@eq 0\" \"id:3,phase:1,pass\"\n\
         SecRule REQUEST_URI \"@unconditionalMatch\" \"id:4,phase:2,pass,nolog,initcol:ip=x\"\n",
    );
    assert_eq!(ids(&rules, "192.0.2.7", "/", START), [2, 3]);
}

#[test]
fn the_session_and_the_user_have_names() {
    let rules = load(
        "SecWebAppId shop\n\
         SecRule REQUEST_COOKIES:sid \"@unconditionalMatch\" \
         \"id:1,phase:1,pass,nolog,setsid:%{MATCHED_VAR}\"\n\
         SecAction \"id:2,phase:1,pass,nolog,setuid:%{REQUEST_COOKIES.user}\"\n\
         SecRule SESSIONID \"@streq s1\" \"id:3,phase:1,pass\"\n\
         SecRule USERID \"@streq anna\" \"id:4,phase:1,pass\"\n\
         SecRule WEBAPPID \"@streq shop\" \"id:5,phase:1,pass\"\n",
    );
    assert_eq!(ids(&rules, "192.0.2.7", "/", START), [3, 4, 5]);
}

#[test]
fn collections_expire_by_the_clock_of_the_transaction() {
    let rules = load(
        "SecCollectionTimeout 10\n\
         SecAction \"id:1,phase:1,pass,nolog,initcol:global=g\"\n\
         SecRule &GLOBAL:a \"@eq 1\" \"id:2,phase:1,pass\"\n\
         SecRule ARGS:set \"@unconditionalMatch\" \"id:3,phase:1,pass,nolog,setvar:global.a=1\"\n",
    );
    assert_eq!(ids(&rules, "192.0.2.7", "/?set=1", START), NONE);
    assert_eq!(ids(&rules, "192.0.2.7", "/", after(9)), [2]);
    assert_eq!(ids(&rules, "192.0.2.7", "/", after(10)), NONE);
}

#[test]
fn a_tx_variable_expires_within_a_long_transaction() {
    let rules = load(
        "SecAction \"id:1,phase:1,pass,nolog,setvar:tx.a=1,setvar:tx.b=1,expirevar:tx.a=5\"\n\
         SecRule TX:a|TX:b \"@eq 1\" \"id:2,phase:3,pass,msg:'%{MATCHED_VAR_NAME}'\"\n\
         SecRule DURATION \"@eq 6500\" \"id:3,phase:3,pass\"\n",
    );
    let mut transaction = begin(&rules, "192.0.2.7", START);
    assert!(transaction.watches_clock());
    run(&mut transaction, "/");
    transaction.tick(START + Duration::from_millis(6500));
    transaction.response_headers(200, "HTTP/1.1", std::iter::empty());
    let matches = transaction.finish().matches;
    let told: Vec<_> = matches.iter().map(|m| (m.rule_id, &*m.msg)).collect();
    assert_eq!(told, [(2, "TX:b"), (3, "")]);
}

#[test]
fn rules_see_the_environment_and_what_they_set_in_it_for_themselves() {
    let rules = load(
        "SecAction \"id:1,phase:1,pass,nolog,setenv:PALISADE_X=%{REQUEST_METHOD}\"\n\
         SecRule ENV:PALISADE_X \"@streq GET\" \"id:2,phase:1,pass\"\n\
         SecRule &ENV:PATH \"@eq 1\" \"id:3,phase:1,pass\"\n",
    );
    assert_eq!(ids(&rules, "192.0.2.7", "/", START), [2, 3]);
    assert!(std::env::var_os("PALISADE_X").is_none());
}

#[test]
fn a_key_without_end_is_refused() {
    let rules = load("SecAction \"id:1,phase:1,pass,nolog,initcol:ip=%{REQUEST_URI}\"\n");
    let mut transaction = begin(&rules, "192.0.2.7", START);
    let line = RequestLine {
        method: b"GET",
        target: &[b'a'; 8192],
        protocol: b"HTTP/1.1",
    };
    let refused = transaction.request_headers(line, std::iter::empty());
    assert_eq!(refused.map(|refused| refused.status), Some(400));
}

#[test]
fn mistakes_are_told_at_load() {
    for action in [
        "initcol:cookies=a",
        "initcol:ip",
        "setvar:args.a=1",
        "expirevar:ip=5",
        "setsid:",
        "setenv:=x",
    ] {
        let text = format!("SecAction \"id:1,{action}\"");
        let loaded = Loader::new().text("t.conf", &text).load();
        assert_eq!(loaded.map_err(|all| all.len()).err(), Some(1), "{action}");
    }
}

#[test]
fn rules_without_collections_have_no_store_and_no_clock() {
    let rules = load("SecAction \"id:1,phase:1,pass,nolog,setvar:tx.a=1\"\n");
    assert!(rules.outside.store.is_none() && !rules.outside.clock);
    assert!(rules.outside.environment.is_empty() && rules.outside.zone.is_none());
}

#[test]
fn loading_rules_counts_nothing() {
    let store = Arc::new(MemoryStore::default());
    let kept = Arc::new(Kept::new(store.clone()));
    let text = "SecAction \"id:1,phase:1,pass,nolog,initcol:global=g,setvar:global.n=+1\"\n";
    Loader::new()
        .kept(&kept)
        .text("t.conf", text)
        .load()
        .unwrap();
    assert_eq!(store.len(), 0);
}
