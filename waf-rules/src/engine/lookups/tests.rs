//! Rules that look something up.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::SystemTime;

use crate::geo::sample::{Node, database};
use crate::{Loaded, Loader, Origin, RequestLine, RuleSet, Transaction};

fn begin(rules: &Arc<RuleSet>, client: &str) -> Transaction {
    let origin = Origin {
        client: format!("{client}:4000").parse().unwrap(),
        server: "192.0.2.1:80".parse().unwrap(),
    };
    rules.begin(origin, "unique", SystemTime::UNIX_EPOCH)
}

fn head(transaction: &mut Transaction, target: &str) {
    let line = RequestLine {
        method: b"GET",
        target: target.as_bytes(),
        protocol: b"HTTP/1.1",
    };
    transaction.request_headers(line, std::iter::empty());
}

/// Identifier and message of every match.
fn told(transaction: &mut Transaction) -> Vec<(u64, String)> {
    let matches = transaction.finish().matches.into_iter();
    matches.map(|found| (found.rule_id, found.msg)).collect()
}

fn ask(loaded: Loaded, client: &str, target: &str) -> Vec<(u64, String)> {
    let rules = Arc::new(loaded.rules);
    let mut transaction = begin(&rules, client);
    head(&mut transaction, target);
    transaction.request_body(b"", true);
    told(&mut transaction)
}

fn load(text: &str) -> Loaded {
    Loader::new().dns(true).text("t.conf", text).load().unwrap()
}

fn refusal(loader: Loader, text: &str) -> String {
    let problems = loader.text("t.conf", text).load().unwrap_err();
    format!("{} {:?}", problems[0].message, problems[0].help)
}

const COUNTRY: &str = "SecRule REMOTE_ADDR \"@geoLookup\" \"id:1,phase:1,deny,\
    msg:'%{GEO.COUNTRY_CODE}',chain\"\n SecRule GEO:COUNTRY_CODE \"@streq NO\"\n\
    SecRule REMOTE_ADDR \"!@geoLookup\" \"id:2,phase:1,pass,msg:'%{GEO.COUNTRY_CODE}'\"\n\
    SecRule &GEO \"@eq 0\" \"id:3,phase:1,pass\"\n";

#[test]
fn a_country_is_refused_and_its_neighbour_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let country = |code| Node::map(&[("country", Node::map(&[("iso_code", Node::Text(code))]))]);
    let networks = [
        ("192.0.2.0/25", &country("NO")),
        ("192.0.2.128/25", &country("SE")),
    ];
    std::fs::write(folder.path().join("geo.mmdb"), database(&networks)).unwrap();
    let conf = folder.path().join("t.conf");
    // The database may be named after the rules.
    std::fs::write(&conf, format!("{COUNTRY}SecGeoLookupDb geo.mmdb\n")).unwrap();
    let load = || Loader::new().file(&conf).load().unwrap();
    let pair = |id, text: &str| (id, text.to_owned());
    assert_eq!(ask(load(), "192.0.2.7", "/"), [pair(1, "NO")]);
    assert_eq!(ask(load(), "192.0.2.200", "/"), []);
    let unknown = ask(load(), "198.51.100.1", "/");
    assert_eq!(unknown, [pair(2, ""), pair(3, "")]);
    assert_eq!(load().inputs.files().count(), 2);
}

#[test]
fn without_a_database_a_rule_loads_with_a_warning_and_a_bad_one_is_refused() {
    let loaded = Loader::new().text("t.conf", COUNTRY).load().unwrap();
    assert!(loaded.warnings[0].message.contains("SecGeoLookupDb"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("GeoIP.dat");
    std::fs::write(&path, "GEO-106FREE").unwrap();
    let text = format!("SecGeoLookupDb {}\n{COUNTRY}", path.display());
    let message = refusal(Loader::new(), &text);
    assert!(message.contains("legacy GeoIP format"), "{message}");
}

#[test]
fn parts_of_a_path_become_arguments() {
    let loaded = load(
        "SecRule REQUEST_FILENAME \"@restpath /users/{id}/{what}\" \"id:1,phase:1,pass,\
         msg:'%{ARGS_PATH.id}',chain\"\n SecRule ARGS_PATH:what \"@streq files\"\n\
         SecRule &ARGS_PATH \"@eq 2\" \"id:2,phase:1,pass\"\n",
    );
    let found = ask(loaded, "192.0.2.7", "/users/7/files");
    assert_eq!(found, [(1, "7".to_owned()), (2, String::new())]);
}

#[test]
fn data_sets_are_lists_in_the_rules() {
    let text = "SecDataset words `\n# a comment\nnikto\nsql map\n`\n\
        SecDataset nets `\n192.0.2.0/24\n2001:db8::/32\n`\n\
        SecRule ARGS:a \"@pmFromDataset words\" \"id:1,phase:1,pass\"\n\
        SecRule REMOTE_ADDR \"@ipMatchFromDataset nets\" \"id:2,phase:1,pass\"\n";
    let ids = |client, target| {
        let found = ask(load(text), client, target);
        found.into_iter().map(|(id, _)| id).collect::<Vec<_>>()
    };
    assert_eq!(ids("192.0.2.7", "/?a=xNIKTOx"), [1, 2]);
    assert_eq!(ids("198.51.100.1", "/?a=sqlmap"), [0; 0]);
    let late = "SecRule ARGS \"@pmFromDataset words\" \"id:1\"\nSecDataset words `\na\n`\n";
    assert!(refusal(Loader::new(), late).contains("no SecDataset words"));
}

#[test]
fn national_numbers_are_checked() {
    let text = "SecRule ARGS \"@validateNid cl \\d{1,2}\\.?\\d{3}\\.?\\d{3}-[\\dkK]\" \
        \"id:1,phase:1,pass,capture,msg:'%{TX.0}'\"\n\
        SecRule ARGS \"@validateNid us \\d{3}-\\d{2}-\\d{4}\" \"id:2,phase:1,pass\"\n";
    let found = |target| ask(load(text), "192.0.2.7", target);
    assert_eq!(found("/?a=12.345.678-5"), [(1, "12.345.678-5".to_owned())]);
    assert_eq!(found("/?a=12.345.678-6"), []);
    assert_eq!(found("/?a=078-05-1120"), [(2, String::new())]);
    assert_eq!(found("/?a=000-05-1120"), []);
    assert!(
        refusal(
            Loader::new(),
            "SecRule ARGS \"@validateNid de \\d\" \"id:1\""
        )
        .contains("de")
    );
}

const LIST: &str = "SecRule REMOTE_ADDR \"@rbl bad.example\" \"id:1,phase:1,deny,capture,\
    msg:'%{TX.0}'\"\n";

#[test]
fn a_client_on_a_list_is_refused_and_one_that_nobody_answered_for_is_not() {
    let rules = Arc::new(load(LIST).rules);
    let verdict = |answer: Option<Ipv4Addr>| {
        let mut transaction = begin(&rules, "192.0.2.7");
        assert!(transaction.asks_dns());
        let names = transaction.dns_names(1);
        assert_eq!(names, ["7.2.0.192.bad.example"]);
        for (name, answer) in names.into_iter().zip(answer) {
            transaction.dns_answer(name, vec![answer]);
        }
        assert!(transaction.dns_names(2).is_empty());
        head(&mut transaction, "/");
        told(&mut transaction)
    };
    let listed = verdict(Some(Ipv4Addr::new(127, 0, 0, 2)));
    let message = "RBL lookup of 7.2.0.192.bad.example succeeded at REMOTE_ADDR. \
        Answer: 127.0.0.2";
    assert_eq!(listed, [(1, message.to_owned())]);
    assert_eq!(verdict(Some(Ipv4Addr::new(198, 51, 100, 1))), []);
    assert_eq!(verdict(None), []);
}

#[test]
fn only_rules_that_may_match_ask() {
    let rules = Arc::new(
        load(
            "SecAction \"id:1,phase:1,pass,nolog,setvar:tx.client=%{REMOTE_ADDR}\"\n\
             SecRule QUERY_STRING \"@contains ask=1\" \"id:2,phase:2,deny,chain\"\n\
             SecRule TX:client \"@rbl a.example\"\n\
             SecRule ARGS:off \"@streq 1\" \"id:3,phase:1,pass,nolog,ctl:ruleRemoveById=2\"\n",
        )
        .rules,
    );
    let names = |target| {
        let mut transaction = begin(&rules, "192.0.2.7");
        head(&mut transaction, target);
        transaction.dns_names(2)
    };
    assert_eq!(names("/?ask=1"), ["7.2.0.192.a.example"]);
    assert_eq!(names("/?ask=2"), [""; 0]);
    assert_eq!(names("/"), [""; 0]);
    assert_eq!(names("/?ask=1&off=1"), [""; 0]);
}

#[test]
fn a_link_on_what_the_phase_brings_does_not_keep_a_list_from_being_asked() {
    const CLIENT: &str = "7.2.0.192.zen.example";
    let ids = |first: &str, phase: u8, method: &[u8], body: &[u8]| {
        let text = format!("{first}\nSecRule REMOTE_ADDR \"@rbl zen.example\"\n");
        let text = format!("SecRequestBodyAccess On\n{text}");
        let mut transaction = begin(&Arc::new(load(&text).rules), "192.0.2.7");
        let mut asked = Vec::new();
        let answer = |transaction: &mut Transaction, now: u8, asked: &mut Vec<String>| {
            if now == phase {
                for name in transaction.dns_names(now) {
                    asked.push(name.clone());
                    transaction.dns_answer(name, vec![Ipv4Addr::new(127, 0, 0, 2)]);
                }
            }
        };
        answer(&mut transaction, 1, &mut asked);
        let line = RequestLine {
            method,
            target: b"/",
            protocol: b"HTTP/1.1",
        };
        let form: [(&[u8], &[u8]); 1] = [(b"content-type", b"application/x-www-form-urlencoded")];
        transaction.request_headers(line, form.into_iter());
        answer(&mut transaction, 2, &mut asked);
        transaction.request_body(body, true);
        let ids: Vec<_> = told(&mut transaction).iter().map(|found| found.0).collect();
        (asked, ids)
    };
    let asked = vec![CLIENT.to_owned()];
    let method = "SecRule REQUEST_METHOD \"@streq POST\" \"id:1,phase:1,deny,chain\"";
    assert_eq!(ids(method, 1, b"POST", b""), (asked.clone(), vec![1]));
    assert_eq!(ids(method, 1, b"GET", b""), (asked.clone(), vec![]));
    let body = "SecRule ARGS:user \"@rx .\" \"id:1,phase:2,deny,chain\"";
    assert_eq!(ids(body, 2, b"POST", b"user=a"), (asked.clone(), vec![1]));
    assert_eq!(ids(body, 2, b"POST", b"other=a"), (asked.clone(), vec![]));
    // What was settled before the phase still spares the question.
    let early = "SecRule REQUEST_METHOD \"@streq POST\" \"id:1,phase:2,deny,chain\"";
    assert_eq!(ids(early, 2, b"POST", b""), (asked, vec![1]));
    assert_eq!(ids(early, 2, b"GET", b""), (vec![], vec![]));
}

#[test]
fn lists_are_asked_only_where_the_host_resolves() {
    let message = refusal(Loader::new(), LIST);
    assert!(message.contains("resolver"), "{message}");
    let early = "SecRule REQUEST_HEADERS:X \"@rbl bad.example\" \"id:1,phase:1,deny\"\n";
    let message = refusal(Loader::new().dns(true), early);
    assert!(message.contains("phase 2"), "{message}");
    // Without a key the honey pot is never asked: the CRS 3 holds such a rule.
    let keyless = "SecRule REMOTE_ADDR \"@rbl dnsbl.httpbl.org\" \"id:1,phase:2,deny\"\n";
    let loaded = Loader::new().text("t.conf", keyless).load().unwrap();
    assert!(loaded.warnings[0].message.contains("SecHttpBlKey"));
}

#[test]
fn a_list_that_is_asked_about_values_a_client_may_repeat_comes_with_a_warning() {
    let warnings = |target: &str| {
        let text = format!("SecRule {target} \"@rbl bad.example\" \"id:1,phase:2,deny\"\n");
        let loaded = Loader::new().dns(true).text("t.conf", &text).load();
        loaded.unwrap().warnings.len()
    };
    assert_eq!(warnings("ARGS"), 1);
    assert_eq!(warnings("REQUEST_HEADERS:X-Client"), 1);
    assert_eq!(warnings("REMOTE_ADDR"), 0);
    assert_eq!(warnings("TX:client"), 0);

    let text = "SecRule ARGS \"@rbl bad.example\" \"id:1,phase:2,deny\"\n";
    let loaded = Loader::new().dns(true).text("t.conf", text).load().unwrap();
    let rules = Arc::new(loaded.rules);
    let mut transaction = begin(&rules, "192.0.2.7");
    let query: Vec<_> = (0..40).map(|n| format!("h{n}=192.0.2.{n}")).collect();
    head(&mut transaction, &format!("/?{}", query.join("&")));
    assert_eq!(transaction.dns_names(2).len(), 16);
}

#[test]
fn the_key_of_the_honey_pot_is_asked_with_and_never_told() {
    let rules = load(
        "SecHttpBlKey abcdefghijkl\n\
         SecRule REMOTE_ADDR \"@rbl dnsbl.httpbl.org\" \"id:1,phase:2,deny,capture,msg:'%{TX.0}'\"\n",
    );
    let rules = Arc::new(rules.rules);
    let mut transaction = begin(&rules, "192.0.2.7");
    head(&mut transaction, "/");
    let name = transaction.dns_names(2).remove(0);
    assert_eq!(name, "abcdefghijkl.7.2.0.192.dnsbl.httpbl.org");
    transaction.dns_answer(name, vec![Ipv4Addr::new(127, 1, 9, 1)]);
    transaction.request_body(b"", true);
    let message = "RBL lookup of 7.2.0.192.dnsbl.httpbl.org succeeded at REMOTE_ADDR. \
        Suspicious IP: 1 days since last activity, threat score 9";
    assert_eq!(told(&mut transaction), [(1, message.to_owned())]);
}
