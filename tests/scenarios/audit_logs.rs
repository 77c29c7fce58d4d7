//! ModSecurity's audit logs, written where the rules say: form, rotation, several sites, forgeries.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use harness::gateway::{eventually, palisade};
use harness::{Answer, Client, Gateway, Upstream};
use serde_json::Value;

/// One site whose rules write an audit log; `log` are the directives about it.
fn site(log: &str) -> String {
    format!("{UPSTREAMS}\nprofiles:\n  default:\n{}", profile("", log))
}

/// A profile with the rules of these tests; two with other `rules` do not share a rule set.
fn profile(rules: &str, log: &str) -> String {
    let directives = format!("{RULES}{rules}{log}");
    let lines: String = directives
        .lines()
        .map(|line| format!("        {line}\n"))
        .collect();
    format!("    waf:\n      rules: []\n      directives: |\n{lines}")
}

const UPSTREAMS: &str = "upstreams: { app: { servers: [\"${UPSTREAM}\"] } }\n\
    routes: [{ name: app, upstream: app }]";

const RULES: &str = "\
SecRuleEngine On
SecRequestBodyAccess On
SecResponseBodyAccess On
SecAuditEngine RelevantOnly
SecAuditLogRelevantStatus \"^(?:5|4(?!04))\"
SecAuditLogParts ABCEFHZ
SecRule ARGS \"@contains attack\" \"id:1001,phase:2,deny,status:403,msg:'An attack',\
logdata:'Matched Data: %{MATCHED_VAR} found within %{MATCHED_VAR_NAME}',severity:CRITICAL\"
";

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Waits until `path` holds so many entries, counted by a word that stands in each once.
fn entries(path: &Path, word: &str, count: usize) -> String {
    eventually("the audit entries", || {
        let log = text(path);
        (log.matches(word).count() >= count).then_some(log)
    })
}

#[test]
fn a_native_log_shows_what_was_asked_and_answered_without_credentials() {
    let upstream = Upstream::echo();
    let gateway = Gateway::routing(&site("SecAuditLog audit.log"))
        .before(&upstream)
        .start();
    let headers = [
        ("Authorization", "Basic c2VjcmV0"),
        ("Cookie", "sid=topsecret"),
        ("Content-Type", "application/x-www-form-urlencoded"),
    ];
    let body = b"q=attack&password=hunter2secret";
    let answer = Client::request(
        &gateway.address,
        "POST",
        "/p?password=hunter2secret",
        &headers,
        body,
    );
    assert_eq!(answer.status, 403);
    assert_eq!(Client::get(&gateway.address, "/fine").status, 200);
    let log = entries(&gateway.folder().join("audit.log"), "---Z--", 1);
    for part in ["A", "B", "C", "F", "H", "Z"] {
        assert_eq!(
            log.matches(&format!("---{part}--\n")).count(),
            1,
            "{part}:\n{log}"
        );
    }
    for told in [
        "POST /p?password=[redacted] HTTP/1.1\n",
        "Authorization: [redacted]\n",
        "Cookie: sid=[redacted]\n",
        "q=attack&password=[redacted]\n",
        "HTTP/1.1 403\n",
        "ModSecurity: Access denied with code 403 (phase 2). Matched \"Operator `Contains' with \
         parameter `attack' against variable `ARGS:q' (Value: `attack' )",
        "[id \"1001\"]",
        "[msg \"An attack\"]",
        "[severity \"2\"]",
    ] {
        assert!(log.contains(told), "{told}\n{log}");
    }
    for secret in ["c2VjcmV0", "topsecret", "hunter2secret", "/fine"] {
        assert!(!log.contains(secret), "{secret}\n{log}");
    }
    // The same name as in the decision record and in what upstreams see.
    let record = gateway.record_of("/p?password=[redacted]");
    assert!(log.contains(record.text("/unique_id")), "{log}");
}

#[test]
fn a_json_log_is_one_object_a_line_with_the_answer_that_was_sent() {
    let upstream = Upstream::answering(|_| Answer::text("attack in the answer"));
    let log = "SecAuditLog audit.json\nSecAuditLogFormat JSON\nSecResponseBodyMimeType text/plain\n\
        SecRule RESPONSE_BODY \"@contains attack\" \"id:1002,phase:4,pass,msg:'leak'\"";
    let gateway = Gateway::routing(&site(log)).before(&upstream).start();
    assert_eq!(Client::get(&gateway.address, "/seen").status, 200);
    let _ = Client::get(&gateway.address, "/?q=attack%0d%0a%22%7d%5d");
    let log = entries(&gateway.folder().join("audit.json"), "\"transaction\"", 2);
    let mut entries: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).expect("one object a line"))
        .collect();
    // Entries are written after the answers, each by its worker.
    entries.sort_by_key(|entry| entry["transaction"]["response"]["http_code"].as_u64());
    let [seen, refused] = entries.as_slice() else {
        panic!("two entries: {log}");
    };
    let seen = &seen["transaction"];
    assert_eq!(seen["response"]["http_code"], 200);
    assert_eq!(seen["messages"][0]["details"]["ruleId"], "1002");
    assert_eq!(seen["request"]["uri"], "/seen");
    assert!(seen["client_port"].is_u64() && seen["request"]["http_version"].is_f64());
    let refused = &refused["transaction"];
    assert_eq!(refused["response"]["http_code"], 403);
    assert_eq!(
        refused["messages"][0]["details"]["data"],
        "Matched Data: attack\r\n\"}] found within ARGS:q"
    );
}

#[test]
fn a_forged_entry_stays_inside_its_field() {
    let upstream = Upstream::echo();
    let gateway = Gateway::routing(&site("SecAuditLog audit.log"))
        .before(&upstream)
        .start();
    let forged = "/?q=attack%0d%0a%0d%0a---12345678---A--%0aModSecurity:%20[id%20%22666%22]%00%ff";
    assert_eq!(Client::get(&gateway.address, forged).status, 403);
    let named = "/?attack%0d%0a[id%20%22666%22]=attack";
    assert_eq!(Client::get(&gateway.address, named).status, 403);
    let log = entries(&gateway.folder().join("audit.log"), "---Z--\n", 2);
    assert_eq!(log.matches("---A--\n").count(), 2, "{log}");
    assert_eq!(log.matches("[id \"").count(), 2, "{log}");
    assert!(
        !log.contains("666\"") && log.contains(r"[id \x22666\x22]"),
        "{log}"
    );
    assert!(
        log.bytes()
            .all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte))
    );
}

#[test]
fn two_sites_write_one_file_and_no_entry_is_torn_apart() {
    let upstream = Upstream::echo();
    let log = "SecAuditLog audit.log";
    let yaml = format!(
        "upstreams: {{ app: {{ servers: [\"${{UPSTREAM}}\"] }} }}\n\
        routes:\n  - {{ name: a, hosts: [a.example], upstream: app, profile: a }}\n  \
        - {{ name: b, hosts: [b.example], upstream: app, profile: b }}\n\
        profiles:\n  a:\n{}  b:\n{}",
        profile("", log),
        profile("SecAction \"id:7,phase:1,pass,nolog\"\n", log)
    );
    let gateway = Arc::new(Gateway::routing(&yaml).before(&upstream).start());
    let senders: Vec<_> = ["a.example", "b.example", "a.example", "b.example"]
        .into_iter()
        .map(|host| {
            let gateway = gateway.clone();
            thread::spawn(move || {
                for _ in 0..40 {
                    let headers = [("Host", host)];
                    let answer =
                        Client::request(&gateway.address, "GET", "/?q=attack", &headers, b"");
                    assert_eq!(answer.status, 403);
                }
            })
        })
        .collect();
    senders
        .into_iter()
        .for_each(|sender| sender.join().unwrap());
    let log = entries(&gateway.folder().join("audit.log"), "---Z--\n", 160);
    let mut boundaries = BTreeSet::new();
    for entry in log.split_inclusive("---Z--\n\n") {
        let boundary = entry.get(3..11).expect("a boundary");
        assert!(boundaries.insert(boundary.to_owned()));
        let sections = entry.lines().filter(|line| line.starts_with("---"));
        assert!(
            sections
                .clone()
                .all(|line| line.get(3..11) == Some(boundary)),
            "{entry}"
        );
        assert_eq!(sections.count(), 5, "{entry}");
    }
    assert_eq!(boundaries.len(), 160);
}

#[test]
fn a_renamed_log_is_followed_on_hangup_and_a_new_name_after_a_reload() {
    let upstream = Upstream::echo();
    let gateway = Gateway::routing(&site("SecAuditLog audit.log"))
        .before(&upstream)
        .start();
    let path = |name: &str| gateway.folder().join(name);
    let attack = |expected: u16| {
        assert_eq!(Client::get(&gateway.address, "/?q=attack").status, expected);
    };
    attack(403);
    entries(&path("audit.log"), "---Z--", 1);
    fs::rename(path("audit.log"), path("audit.log.1")).unwrap();
    gateway.signal("HUP");
    eventually("the new file", || path("audit.log").exists().then_some(()));
    attack(403);
    entries(&path("audit.log"), "---Z--", 1);
    assert_eq!(text(&path("audit.log.1")).matches("---Z--").count(), 1);

    let yaml = format!(
        "{}{}",
        harness::gateway::LISTENER,
        site("SecAuditLog other.log")
    );
    gateway.write_config(&yaml);
    eventually("the other file", || {
        path("other.log").exists().then_some(())
    });
    let moved = eventually("an entry in the other file", || {
        attack(403);
        Some(text(&path("other.log"))).filter(|log| !log.is_empty())
    });
    assert!(moved.contains("[id \"1001\"]"));
}

#[test]
fn a_concurrent_log_is_a_file_for_each_transaction_and_an_index() {
    let upstream = Upstream::echo();
    let log = "SecAuditLog index.log\nSecAuditLogType Concurrent\nSecAuditLogStorageDir store\n\
        SecAuditLogFileMode 0600";
    let gateway = Gateway::routing(&site(log))
        .before(&upstream)
        .file("store/.keep", "")
        .start();
    let headers = [("Host", "a.example"), ("User-Agent", "a \"quoted\" one")];
    let _ = Client::request(&gateway.address, "GET", "/a?q=attack", &headers, b"");
    let _ = Client::get(&gateway.address, "/?q=attack");
    let index = entries(&gateway.folder().join("index.log"), " md5:", 2);
    let mut stored = files(&gateway.folder().join("store"));
    stored.retain(|path| !path.ends_with(".keep"));
    assert_eq!(stored.len(), index.lines().count());
    for path in &stored {
        let relative = path.strip_prefix(gateway.folder()).unwrap();
        let line = index
            .lines()
            .find(|line| line.contains(relative.to_str().unwrap()));
        assert!(line.is_some(), "{relative:?} in {index}");
        assert_eq!(relative.components().count(), 4, "{relative:?}");
        assert!(text(path).contains("[id \"1001\"]"));
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let (folders, mut found): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    found.extend(folders.iter().flat_map(|folder| files(folder)));
    found
}

#[test]
fn check_names_audit_logs_that_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let check = |log: &str| {
        let path = folder.path().join("palisade.yaml");
        let yaml = format!("{}{}", harness::gateway::LISTENER, site(log));
        fs::write(&path, yaml).unwrap();
        let record = folder.path().join("decisions.jsonl");
        let variables = [
            ("LISTEN", "127.0.0.1:1"),
            ("ADMIN", "127.0.0.1:2"),
            ("UPSTREAM", "http://127.0.0.1:3"),
            ("AUDIT_LOG", record.to_str().unwrap()),
        ];
        palisade(
            &["check", "--config", path.to_str().unwrap()],
            &variables,
            b"",
        )
    };
    let said = check("SecAuditLog /no/such/folder/audit.log");
    assert_ne!(said.code, 0);
    assert!(
        said.err.contains("/no/such/folder/audit.log"),
        "{}",
        said.err
    );
    let fine = format!("SecAuditLog {}/audit.log", folder.path().display());
    let said = check(&fine);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(!folder.path().join("audit.log").exists());
    let said = check(&format!(
        "{fine}\nSecAuditLogType Concurrent\nSecAuditLogStorageDir /no/such/store"
    ));
    assert!(
        said.code != 0 && said.err.contains("/no/such/store"),
        "{}",
        said.err
    );
    let said = check(&format!(
        "SecAuditLog {}/decisions.jsonl",
        folder.path().display()
    ));
    assert!(
        said.code != 0 && said.err.contains("decision record"),
        "{}",
        said.err
    );
    let said = check("SecAuditLog |/usr/bin/mlogc");
    assert!(
        said.code != 0 && said.err.contains("never piped"),
        "{}",
        said.err
    );
}
