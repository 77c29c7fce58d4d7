//! Whole entries: their form, when they are written, what cannot be forged, what is hidden.

mod below;
mod cost;
mod hidden;

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::*;
use crate::{Loader, Origin, RequestLine, RuleSet, Transaction};

thread_local! {
    /// Bytes that were walked.
    pub(super) static WALKED: Cell<usize> = const { Cell::new(0) };
}

/// How many bytes were walked since it was asked last.
fn walked() -> usize {
    WALKED.take()
}

/// Directives every log needs, in the order they are usually written.
const LOG: &str = "SecAuditEngine RelevantOnly\nSecAuditLogRelevantStatus \"^(?:5|4(?!04))\"\n\
    SecAuditLog /var/log/audit.log\nSecAuditLogParts ABCDEFGHIJKZ\n";

const RULE: &str = "SecRule ARGS \"@rx (at+ack)\" \"id:1001,phase:2,deny,status:403,capture,\
    t:lowercase,t:urlDecodeUni,msg:'An %{MATCHED_VAR_NAME}',\
    logdata:'Matched Data: %{TX.0} found within %{MATCHED_VAR_NAME}: %{MATCHED_VAR}',\
    severity:'CRITICAL',ver:'v/1',rev:'2',maturity:'5',accuracy:'6',tag:'one',\
    tag:'two %{REQUEST_METHOD}'\"\n";

fn rules(text: &str) -> Arc<RuleSet> {
    match Loader::new().text("test.conf", text).load() {
        Ok(loaded) => Arc::new(loaded.rules),
        Err(problems) => panic!("{problems:#?}"),
    }
}

/// What is sent, and what comes back.
struct Sent<'a> {
    target: &'a str,
    headers: &'a [(&'a str, &'a [u8])],
    body: &'a [u8],
    status: u16,
}

const GET: Sent<'static> = Sent {
    target: "/",
    headers: &[("Host", b"localhost")],
    body: b"",
    status: 200,
};

const FORM: (&str, &[u8]) = ("Content-Type", b"application/x-www-form-urlencoded");

fn run(text: &str, sent: &Sent<'_>) -> Transaction {
    let [client, server] = ["192.0.2.1:4000", "198.51.100.2:443"].map(|at| at.parse().unwrap());
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_794_017_370);
    let mut transaction = rules(text).begin(Origin { client, server }, "4f2a-1", now);
    let line = RequestLine {
        method: if sent.body.is_empty() {
            b"GET"
        } else {
            b"POST"
        },
        target: sent.target.as_bytes(),
        protocol: b"HTTP/1.1",
    };
    let headers = sent.headers.iter();
    let headers = headers.map(|(name, value)| (name.as_bytes(), *value));
    let refused = transaction
        .request_headers(line, headers)
        .or_else(|| transaction.request_body(sent.body, true));
    if refused.is_none() {
        let headers = [
            ("Content-Type", "text/html"),
            ("Set-Cookie", "sid=topsecret; Path=/"),
        ];
        let headers = headers.iter();
        let headers = headers.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        transaction.response_headers(sent.status, "HTTP/1.1", headers);
        transaction.response_body(b"<p>answer\n</p>", true);
    }
    transaction.finish();
    transaction
}

fn entry(text: &str, sent: &Sent<'_>) -> Option<Entry> {
    let transaction = run(text, sent);
    transaction.audit(&Ending {
        status: Some(sent.status),
        headers: &[],
        sent: 14,
        server: "gateway-1",
        redaction: &Redaction::default(),
    })
}

/// The entry as text, its boundary replaced.
fn native(text: &str, sent: &Sent<'_>) -> String {
    let entry = entry(text, sent).expect("an entry");
    let text = String::from_utf8(entry.text).expect("plain text");
    let boundary = text.get(3..11).expect("a boundary").to_owned();
    text.replace(&boundary, "BOUNDARY")
}

fn json(text: &str, sent: &Sent<'_>) -> Value {
    let text = format!("{text}SecAuditLogFormat JSON\n");
    let entry = entry(&text, sent).expect("an entry");
    assert!(!entry.text.contains(&b'\n'));
    serde_json::from_slice(&entry.text).expect("JSON")
}

/// A reader of Native entries after their documentation: sections by boundary, the fields of part H.
fn read(log: &str) -> Vec<(char, Vec<&str>)> {
    let mut sections: Vec<(char, Vec<&str>)> = Vec::new();
    let boundary = log.split("---").nth(1).expect("a boundary");
    for line in log.lines() {
        let opens = line
            .strip_prefix("---")
            .and_then(|line| line.strip_prefix(boundary)?.strip_prefix("---"))
            .and_then(|line| line.strip_suffix("--")?.chars().next());
        match (opens, sections.last_mut()) {
            (Some(part), _) => sections.push((part, Vec::new())),
            (None, Some((_, lines))) => lines.push(line),
            (None, None) => panic!("text before the first boundary: {line}"),
        }
    }
    sections
}

fn section<'a>(sections: &[(char, Vec<&'a str>)], part: char) -> Vec<&'a str> {
    let found = sections.iter().find(|(letter, _)| *letter == part);
    let lines = &found.unwrap_or_else(|| panic!("no part {part}")).1;
    lines
        .iter()
        .copied()
        .filter(|line| !line.is_empty())
        .collect()
}

/// The `[name "value"]` fields of a line.
fn fields(line: &str) -> Vec<(&str, &str)> {
    line.split(" [")
        .skip(1)
        .filter_map(|field| {
            let (name, rest) = field.split_once(" \"")?;
            Some((name, rest.split_once("\"]")?.0))
        })
        .collect()
}

#[test]
fn a_native_entry_has_the_sections_of_modsecurity() {
    let sent = Sent {
        target: "/path?q=1&x=AT%54ack",
        headers: &[("Host", b"localhost"), FORM],
        body: b"b=c",
        status: 403,
    };
    let expected = r#"---BOUNDARY---A--
[07/Nov/2026:02:09:30 +0000] 4f2a-1 192.0.2.1 4000 198.51.100.2 443
---BOUNDARY---B--
POST /path?q=1&x=AT%54ack HTTP/1.1
Host: localhost
Content-Type: application/x-www-form-urlencoded

---BOUNDARY---C--
b=c

---BOUNDARY---D--

---BOUNDARY---F--
HTTP/1.1 403

---BOUNDARY---G--

---BOUNDARY---H--
ModSecurity: Access denied with code 403 (phase 2). Matched "Operator `Rx' with parameter `(at+ack)' against variable `ARGS:x' (Value: `ATTack' ) [file "test.conf"] [line "5"] [id "1001"] [rev "2"] [msg "An ARGS:x"] [data "Matched Data: attack found within ARGS:x: attack"] [severity "2"] [ver "v/1"] [maturity "5"] [accuracy "6"] [tag "one"] [tag "two POST"] [hostname "198.51.100.2"] [uri "/path"] [unique_id "4f2a-1"] [ref "o0,6o0,6v17,6t:lowercase,t:urlDecodeUni"]

---BOUNDARY---I--
b=c

---BOUNDARY---J--

---BOUNDARY---K--

---BOUNDARY---Z--
"#;
    assert_eq!(native(&format!("{LOG}{RULE}"), &sent), expected);
}

#[test]
fn an_independent_reader_finds_every_part_and_field() {
    let text = format!(
        "{LOG}SecResponseBodyAccess On\nSecRule RESPONSE_BODY \"@contains answer\" \
        \"id:1,phase:4,pass,msg:'seen',tag:'a]b',tag:'c'\"\nSecAction \"id:2,phase:5,pass\"\n"
    );
    let log = native(&text, &GET);
    let sections = read(&log);
    let letters: String = sections.iter().map(|(letter, _)| *letter).collect();
    assert_eq!(letters, "ABDEFGHIJKZ");
    assert_eq!(section(&sections, 'E'), [r"<p>answer\x0a</p>"]);
    assert_eq!(
        section(&sections, 'F'),
        [
            "HTTP/1.1 200",
            "Content-Type: text/html",
            "Set-Cookie: sid=[redacted]; Path=/"
        ]
    );
    let lines = section(&sections, 'H');
    let names: Vec<_> = fields(lines[0]).iter().map(|(name, _)| *name).collect();
    assert_eq!(
        names,
        [
            "file",
            "line",
            "id",
            "rev",
            "msg",
            "data",
            "severity",
            "ver",
            "maturity",
            "accuracy",
            "tag",
            "tag",
            "hostname",
            "uri",
            "unique_id",
            "ref"
        ]
    );
    assert!(fields(lines[0]).contains(&("ref", "o3,6v31,14")));
    // A SecAction has no operator to speak of.
    assert!(lines[1].starts_with("ModSecurity: Warning.  [file \"test.conf\"]"));
}

#[test]
fn a_json_entry_has_the_members_of_modsecurity() {
    let sent = Sent {
        target: "/path?x=attack",
        headers: &[
            ("Host", b"localhost"),
            ("Accept", b"a"),
            ("accept", b"b"),
            FORM,
        ],
        body: b"b=c",
        status: 403,
    };
    let text = format!("{LOG}{RULE}SecComponentSignature \"OWASP_CRS/4.29.0\"\n");
    let entry = json(&text, &sent);
    let expected = serde_json::json!({"transaction": {
        "client_ip": "192.0.2.1",
        "time_stamp": "Sat Nov  7 02:09:30 2026",
        "server_id": entry["transaction"]["server_id"],
        "client_port": 4000,
        "host_ip": "198.51.100.2",
        "host_port": 443,
        "unique_id": "4f2a-1",
        "request": {
            "method": "POST", "http_version": 1.1, "uri": "/path?x=attack", "body": "b=c",
            "headers": {
                "Host": "localhost", "Accept": "a, b",
                "Content-Type": "application/x-www-form-urlencoded",
            },
        },
        "response": {"body": "", "http_code": 403, "headers": {}},
        "producer": {
            "modsecurity": entry::PRODUCER, "connector": "Palisade",
            "secrules_engine": "Enabled", "components": ["OWASP_CRS/4.29.0"],
        },
        "messages": [{"message": "An ARGS:x", "details": {
            "match": "Matched \"Operator `Rx' with parameter `(at+ack)' against variable \
                `ARGS:x' (Value: `attack' )",
            "reference": "o0,6o0,6v13,6t:lowercase,t:urlDecodeUni", "ruleId": "1001",
            "file": "test.conf", "lineNumber": "5",
            "data": "Matched Data: attack found within ARGS:x: attack", "severity": "2",
            "ver": "v/1", "rev": "2", "tags": ["one", "two POST"], "maturity": "5",
            "accuracy": "6",
        }}],
    }});
    assert_eq!(entry, expected);
    assert_eq!(
        entry["transaction"]["server_id"].as_str().map(str::len),
        Some(40)
    );
}

#[test]
fn values_cannot_forge_an_entry_a_field_or_an_escape() {
    let forged = [
        "attack%0d%0a---12345678---Z--%0d%0aModSecurity:%20Warning.%20[id%20%221%22]",
        "attack%22]%20[id%20%221%22]%20[msg%20%22",
        "attack%00%1b[31m",
        "attack%ff%fe%c3",
        "attack%5cx0d%5c",
    ];
    for value in forged {
        for target in [format!("/?x={value}"), format!("/?{value}=attack")] {
            let sent = Sent {
                target: &target,
                status: 403,
                ..GET
            };
            let log = native(&format!("{LOG}{RULE}"), &sent);
            assert!(
                log.bytes()
                    .all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte))
            );
            let sections = read(&log);
            let lines = section(&sections, 'H');
            assert_eq!(lines.len(), 1, "{target}");
            let ids: Vec<_> = fields(lines[0])
                .into_iter()
                .filter(|(name, _)| *name == "id")
                .collect();
            assert_eq!(ids, [("id", "1001")], "{target}");
            let messages = &json(&format!("{LOG}{RULE}"), &sent)["transaction"]["messages"];
            assert_eq!(messages.as_array().map(Vec::len), Some(1));
        }
    }
    // The innocent neighbour: quotes and brackets in text are told, and can be told apart.
    let sent = Sent {
        target: "/?x=attack%20\"quoted\"%20[one]%20it's",
        status: 403,
        ..GET
    };
    let log = native(&format!("{LOG}{RULE}"), &sent);
    assert!(log.contains(r"(Value: `attack \x22quoted\x22 [one] it's' )"));
}

#[test]
fn two_values_are_never_written_alike() {
    let line = |value: &str| {
        let target = format!("/?x=attack{value}");
        let sent = Sent {
            target: &target,
            status: 403,
            ..GET
        };
        let log = native(&format!("{LOG}{RULE}"), &sent);
        section(&read(&log), 'H')[0]
            .split_once("(Value:")
            .unwrap()
            .1
            .to_owned()
    };
    // A carriage return, and the four characters that stand for one.
    assert_ne!(line("%0d"), line("%5cx0d"));
    assert_ne!(line("%ff"), line("%5cxff"));
}

#[test]
fn a_body_cannot_close_its_section() {
    let body = b"b=attack\n---BOUNDARY---Z--\n\n---12345678---A--\n";
    let sent = Sent {
        headers: &[
            ("Host", b"localhost"),
            ("X", b"a\r\n---12345678---Z--"),
            FORM,
        ],
        body,
        status: 403,
        ..GET
    };
    let log = native(&format!("{LOG}{RULE}"), &sent);
    let sections = read(&log);
    assert_eq!(section(&sections, 'C').len(), 1);
    assert_eq!(section(&sections, 'B').len(), 4);
    let opens = |line: &&str| line.starts_with("---") && line.ends_with("---A--");
    assert_eq!(log.lines().filter(opens).count(), 1, "{log}");
}

#[test]
fn boundaries_differ_and_nobody_can_tell_them_beforehand() {
    let of = |id: &str| entry::boundary(id.as_bytes());
    assert_ne!(of("1"), of("2"));
    assert_eq!(of("1").len(), 8);
}

#[test]
fn relevant_is_what_a_rule_reported_or_whose_status_says_so() {
    let quiet = format!("{LOG}SecAction \"id:1,phase:1,pass,nolog\"\n");
    let with = |status| Sent { status, ..GET };
    assert_eq!(entry(&quiet, &with(200)), None);
    assert_eq!(entry(&quiet, &with(404)), None);
    assert!(entry(&quiet, &with(502)).is_some());
    let noisy = format!("{LOG}SecAction \"id:1,phase:1,pass,log\"\n");
    assert!(entry(&noisy, &with(200)).is_some());
    let unaudited = format!("{LOG}SecAction \"id:1,phase:1,pass,log,noauditlog\"\n");
    assert_eq!(entry(&unaudited, &with(200)), None);
    let audited = format!("{LOG}SecAction \"id:1,phase:1,pass,nolog,auditlog\"\n");
    assert!(entry(&audited, &with(200)).is_some());
    assert!(
        run(&audited, &with(200))
            .error_lines(&Redaction::default())
            .is_empty()
    );
    let lines = run(&unaudited, &with(200)).error_lines(&Redaction::default());
    assert_eq!(lines.len(), 1);
    let off = noisy.replace("RelevantOnly", "Off");
    assert_eq!(entry(&off, &with(500)), None);
    let on = quiet.replace("RelevantOnly", "On");
    assert!(entry(&on, &with(200)).is_some());
}

#[test]
fn in_detection_mode_the_status_that_was_held_back_counts() {
    let text = format!(
        "SecRuleEngine DetectionOnly\n{LOG}SecAction \"id:1,phase:1,deny,status:403,nolog\"\n"
    );
    assert!(entry(&text, &GET).is_some());
    assert_eq!(entry(&text.replace("403", "404"), &GET), None);
}

#[test]
fn rules_change_engine_and_parts_for_their_request() {
    let off = LOG.replace("RelevantOnly", "Off");
    let text = format!(
        "{off}SecRule ARGS:x \"@streq 1\" \
        \"id:1,phase:1,pass,nolog,ctl:auditEngine=On,ctl:auditLogParts=-K,ctl:auditLogParts=+K,\
        ctl:auditLogParts=-GIJ\"\n"
    );
    assert_eq!(entry(&text, &GET), None);
    let sent = Sent {
        target: "/?x=1",
        ..GET
    };
    let log = native(&text, &sent);
    let letters: String = read(&log).iter().map(|(letter, _)| *letter).collect();
    assert_eq!(letters, "ABDFHKZ");
    let on = "SecAction \"id:1,phase:1,pass,log,ctl:auditEngine=Off\"\n";
    assert_eq!(entry(&format!("{LOG}{on}"), &GET), None);
}

#[test]
fn a_concurrent_entry_is_a_file_of_its_own_and_an_index_line() {
    let text = format!(
        "{LOG}{RULE}SecAuditLogType Concurrent\nSecAuditLogStorageDir /var/log/audit\n\
        SecAuditLog2 /var/log/second.log\nSecAuditLogFileMode 0600\n"
    );
    let sent = Sent {
        target: "/..%2f..%2f?x=attack",
        headers: &[("Host", b"../../etc"), ("User-Agent", b"say \"hi\"\\")],
        status: 403,
        ..GET
    };
    let entry = entry(&text, &sent).unwrap();
    let file = entry.file.unwrap();
    let path = "/var/log/audit/20261107/20261107-0209/20261107-020930-4f2a-1";
    assert_eq!(file.path.to_str(), Some(path));
    assert_eq!((file.dir_mode, file.file_mode), (0o750, 0o600));
    assert!(file.content.ends_with(b"---Z--\n\n"));
    assert_eq!(entry.logs.len(), 2);
    let index = String::from_utf8(entry.text).unwrap();
    let expected = format!(
        "../../etc 192.0.2.1 - [07/Nov/2026:02:09:30 +0000] \"GET /..%2f..%2f?x=attack HTTP/1.1\" \
        403 14 - \"say \\x22hi\\x22\\x5c\" 4f2a-1 - {path} 0 {} md5:",
        file.content.len()
    );
    assert!(index.starts_with(&expected), "{index}");
    assert_eq!(index.len(), expected.len() + 32);
}

#[test]
fn bodies_files_and_messages_are_bounded() {
    let mut body = b"a=".to_vec();
    body.resize(trail::BODY + 100, b'x');
    let sent = Sent {
        headers: &[FORM],
        body: &body,
        status: 500,
        ..GET
    };
    let log = native(LOG, &sent);
    assert!(log.contains("x (100 characters omitted)"));
    let many: String = (1..1100)
        .map(|id| format!("SecAction \"id:{id},phase:1,pass,log,msg:'%{{ARGS.x}}'\"\n"))
        .collect();
    let target = format!("/?x={}", "y".repeat(4000));
    let sent = Sent {
        target: &target,
        ..GET
    };
    let log = native(&format!("{LOG}{many}"), &sent);
    assert!(log.contains(" messages omitted."), "{}", log.len());
    assert!(log.len() < 3 << 20, "{}", log.len());
}

#[test]
fn files_are_listed_and_their_contents_left_out_of_part_i() {
    let body = b"--B\r\nContent-Disposition: form-data; name=\"t\"\r\n\r\na b\r\n--B\r\n\
        Content-Disposition: form-data; name=\"f\"; filename=\"x.txt\"\r\n\r\ncontent\r\n--B--\r\n";
    let sent = Sent {
        headers: &[("Content-Type", b"multipart/form-data; boundary=B")],
        body,
        status: 500,
        ..GET
    };
    let log = native(LOG, &sent);
    let sections = read(&log);
    assert_eq!(section(&sections, 'I'), ["t=a%20b"]);
    assert_eq!(section(&sections, 'J'), ["1,7,\"x.txt\",\"f\"", "Total,7"]);
}

#[test]
fn the_checks_of_the_fuzz_target_hold_on_its_seeds() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/audit_log");
    for seed in std::fs::read_dir(seeds).expect("the corpus") {
        crate::fuzzing::audit_log(&std::fs::read(seed.expect("a seed").path()).expect("a seed"));
    }
    for request in crate::fuzzing::attacks() {
        crate::fuzzing::audit_log(request.as_bytes());
    }
}

#[test]
fn a_rule_set_without_an_audit_log_keeps_nothing() {
    let transaction = run(RULE, &GET);
    assert!(transaction.error_lines(&Redaction::default()).is_empty());
    assert_eq!(rules(RULE).audit_outputs(), None);
    let outputs = rules(LOG).audit_outputs().unwrap();
    assert_eq!(outputs.logs.len(), 1);
    assert_eq!((outputs.storage, outputs.file_mode), (None, 0o640));
}
