//! The command line: check, explain, demo, and run without a file.

use std::fs;
use std::process::{Command, Stdio};

use harness::gateway::{eventually, palisade};
use harness::places::{binary, free_address};
use harness::{Client, Record, Upstream, workspace};

const VARIABLES: [(&str, &str); 3] = [
    ("LISTEN", "127.0.0.1:0"),
    ("UPSTREAM", "http://127.0.0.1:9"),
    ("AUDIT_LOG", "off"),
];

fn example(name: &str) -> String {
    let path = workspace().join(format!("deploy/examples/{name}.yaml"));
    path.to_str().unwrap().to_owned()
}

#[test]
fn check_shows_every_mistake_at_once_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.yaml");
    let yaml = "listeners: [{ address: nowhere }]\nupstreams:\n  app: { servers: [\"http://127.0.0.1:9\"], balnce: round_robin }\nroutes: [{ upstream: ap }]\n";
    fs::write(&path, yaml).unwrap();
    let said = palisade(&["check", "--config", path.to_str().unwrap()], &[], b"");
    assert_eq!(said.code, 1);
    for place in ["bad.yaml:1:", "bad.yaml:3:", "bad.yaml:4:"] {
        assert!(
            said.err.contains(place),
            "{place} is missing in:\n{}",
            said.err
        );
    }
    assert!(said.err.contains('^'), "a caret shows where:\n{}", said.err);
    assert!(said.err.contains("balance"), "did you mean:\n{}", said.err);
}

#[test]
fn check_says_what_a_rule_file_that_is_missing_should_be() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rules.yaml");
    let head = "listeners: [{ address: \"127.0.0.1:0\" }]\nupstreams: { app: { servers: [\"http://127.0.0.1:9\"] } }\nroutes: [{ upstream: app }]\n";
    for (waf, place, help) in [
        (
            "{ rules: [crs], crs_dir: /nonexistent }",
            "crs-setup.conf",
            "checkout of the OWASP CRS 4",
        ),
        (
            "{ files: [nothing-*.conf] }",
            "nothing-*.conf",
            "`files` names files",
        ),
    ] {
        fs::write(
            &path,
            format!("{head}profiles: {{ default: {{ waf: {waf} }} }}\n"),
        )
        .unwrap();
        let said = palisade(&["check", "--config", path.to_str().unwrap()], &[], b"");
        assert_eq!(said.code, 1);
        for word in [place, help] {
            assert!(
                said.err.contains(word),
                "{word} is missing in:\n{}",
                said.err
            );
        }
    }
}

#[test]
fn check_names_a_variable_that_is_not_set() {
    let said = palisade(&["check", "--config", &example("plain")], &[], b"");
    assert_eq!(said.code, 1);
    assert!(
        said.err.contains("UPSTREAM") || said.err.contains("LISTEN"),
        "{}",
        said.err
    );
}

#[test]
fn check_says_that_a_log_cannot_be_written_and_creates_none() {
    let folder = tempfile::tempdir().unwrap();
    let check = |log: &std::path::Path| {
        let variables = [
            VARIABLES[0],
            VARIABLES[1],
            ("AUDIT_LOG", log.to_str().unwrap()),
        ];
        palisade(&["check", "--config", &example("plain")], &variables, b"")
    };
    let bad = folder.path().join("missing/decisions.jsonl");
    let said = check(&bad);
    assert_eq!(said.code, 1);
    assert!(said.err.contains(bad.to_str().unwrap()), "{}", said.err);
    let good = folder.path().join("decisions.jsonl");
    assert_eq!(check(&good).code, 0);
    assert!(!good.exists());
}

#[test]
fn explain_shows_the_rule_the_variable_and_the_score() {
    let request = b"GET /item?id=1%27%20UNION%20SELECT%20password%20FROM%20users-- HTTP/1.1\nHost: app.example.com\nUser-Agent: Mozilla/5.0\nAccept: */*\n\n";
    let said = palisade(
        &["explain", "--config", &example("waf"), "-"],
        &VARIABLES,
        request,
    );
    assert_eq!(said.code, 1, "a refused request: {}", said.err);
    for word in ["ARGS:id", "403", "waf"] {
        assert!(
            said.out.contains(word),
            "{word} is missing in:\n{}",
            said.out
        );
    }
    assert!(!said.out.contains('\x1b'), "no colours without a terminal");
    assert!(
        !said.out.contains("1\\' UNION"),
        "steps and variables are written in one way:\n{}",
        said.out
    );

    let said = palisade(
        &["explain", "--json", "--config", &example("waf"), "-"],
        &VARIABLES,
        request,
    );
    let story: serde_json::Value = serde_json::from_str(&said.out).expect("one JSON document");
    assert!(story.to_string().contains("ARGS:id"));
}

#[test]
fn explain_says_that_an_innocent_request_passes() {
    let request = b"GET /garden?q=chairs HTTP/1.1\r\nHost: app.example.com\r\nUser-Agent: Mozilla/5.0\r\nAccept: */*\r\n\r\n";
    let said = palisade(
        &["explain", "--config", &example("waf"), "-"],
        &VARIABLES,
        request,
    );
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
}

#[test]
fn explain_shows_what_the_gate_refuses() {
    let request = b"POST / HTTP/1.1\r\nHost: q\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let said = palisade(
        &["explain", "--config", &example("waf"), "-"],
        &VARIABLES,
        request,
    );
    assert_eq!(said.code, 1);
    assert!(
        said.out.contains("gate") && said.out.contains("400"),
        "{}",
        said.out
    );
}

#[test]
fn explain_reads_a_body_as_run_reads_it() {
    let head = "POST /comment HTTP/1.1\r\nHost: app.example.com\r\nUser-Agent: Mozilla/5.0\r\nAccept: */*\r\nContent-Type: application/x-www-form-urlencoded\r\n";
    let hostile = "a=1' UNION SELECT password FROM users--";
    let (first, second) = hostile.split_at(9);
    let chunked = |first: &str, second: &str| {
        format!(
            "{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n",
            first.len(),
            second.len()
        )
    };
    let length =
        |length: usize, body: &str| format!("{head}Content-Length: {length}\r\n\r\n{body}");
    for (request, code, word) in [
        (chunked("a=garden", "+chairs"), 0, "would reach"),
        (chunked(first, second), 1, "ARGS:a"),
        (
            chunked("a=1", "b").replace("\r\n0\r\n", "\n0\r\n"),
            1,
            "chunked",
        ),
        (
            length(3, &format!("a=1{hostile}")),
            0,
            "belong to the next one",
        ),
        (length(99, "a=1"), 1, "incomplete_body"),
    ] {
        let said = palisade(
            &["explain", "--config", &example("waf"), "-"],
            &VARIABLES,
            request.as_bytes(),
        );
        assert_eq!(said.code, code, "{request}\n{}{}", said.out, said.err);
        assert!(
            said.out.contains(word),
            "{word} is missing in:\n{}",
            said.out
        );
    }
}

#[test]
fn explain_refuses_what_the_gate_refuses_of_an_upgrade() {
    let handshake = "GET /chat HTTP/1.1\r\nHost: a\r\nUser-Agent: Mozilla/5.0\r\nAccept: */*\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for (rest, code, word) in [
        ("\r\n", 0, "frames are not inspected"),
        ("Content-Length: 3\r\n\r\nabc", 1, "with a body"),
    ] {
        let said = palisade(
            &["explain", "--config", &example("waf"), "-"],
            &VARIABLES,
            format!("{handshake}{rest}").as_bytes(),
        );
        assert_eq!(said.code, code, "{}{}", said.out, said.err);
        assert!(
            said.out.contains(word),
            "{word} is missing in:\n{}",
            said.out
        );
    }
}

#[test]
fn explain_says_that_the_firewall_is_off_where_it_is() {
    let said = palisade(
        &["explain", "--config", &example("plain"), "-"],
        &VARIABLES,
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let waf = said.out.lines().find(|line| line.starts_with("waf"));
    assert!(
        waf.is_some_and(|line| line.ends_with("off")),
        "{}",
        said.out
    );
}

#[test]
fn explain_tells_a_refusal_from_an_error_by_its_exit_code() {
    let missing = palisade(&["explain", "--config", "/nonexistent.yaml", "-"], &[], b"");
    let unset = palisade(&["explain", "--config", &example("plain"), "-"], &[], b"");
    let unread = palisade(
        &["explain", "--config", &example("plain"), "/nonexistent"],
        &VARIABLES,
        b"",
    );
    assert_eq!((missing.code, unset.code, unread.code), (2, 2, 2));
    let help = palisade(&["explain", "--help"], &[], b"").out;
    assert!(help.contains("Exit codes"), "{help}");
}

/// What README promises: no file, one command.
#[test]
fn run_with_an_upstream_needs_no_file() {
    let upstream = Upstream::echo();
    let folder = tempfile::tempdir().unwrap();
    let (address, record) = (free_address(), folder.path().join("decisions.jsonl"));
    let mut process = Command::new(binary())
        .args([
            "run",
            "--upstream",
            &upstream.url(),
            "--listen",
            &address,
            "--audit-log",
        ])
        .arg(&record)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("the gateway", || {
        std::net::TcpStream::connect(&address).ok()
    });
    let harmless = Client::get(&address, "/search?q=garden+chairs").status;
    let hostile = Client::get(
        &address,
        "/search?q=1%27%20UNION%20SELECT%20password%20FROM%20users--",
    )
    .status;
    let records = eventually("the records", || {
        let records = Record::read(&record);
        (records.len() >= 2).then_some(records)
    });
    process.kill().unwrap();
    process.wait().unwrap();
    assert_eq!((harmless, hostile, upstream.count()), (200, 403, 1));
    let refused = records.iter().find(|record| record.status() == 403);
    assert!(!refused.expect("a record").rule_ids().is_empty());
}

#[test]
fn the_sample_application_has_something_to_attack() {
    let address = free_address();
    let mut process = Command::new(binary())
        .args(["demo", "--listen", &address])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("the sample application", || {
        std::net::TcpStream::connect(&address).ok()
    });
    let page = Client::get(&address, "/").text();
    let found = Client::get(&address, "/search?q=garden+chairs").status;
    process.kill().unwrap();
    process.wait().unwrap();
    assert_eq!(found, 200);
    for part in ["search", "login", "comment", "upload"] {
        assert!(page.to_lowercase().contains(part), "{part} is missing");
    }
}

#[test]
fn the_committed_schema_is_the_one_the_binary_prints() {
    let said = palisade(&["schema"], &[], b"");
    assert_eq!(said.code, 0, "{}", said.err);
    let committed = fs::read_to_string(workspace().join("docs/palisade.schema.json")).unwrap();
    assert!(
        said.out.trim() == committed.trim(),
        "palisade schema > docs/palisade.schema.json"
    );
}

#[test]
fn run_wants_a_file_or_an_upstream_and_not_half_of_each() {
    let said = palisade(&["run"], &[], b"");
    assert_eq!(said.code, 2);
    for option in ["--config", "--upstream"] {
        assert!(said.err.contains(option), "{}", said.err);
    }
    let plain = example("plain");
    for option in [["--listen", "127.0.0.1:0"], ["--audit-log", "off"]] {
        let arguments = [&["run", "--config", &plain][..], &option[..]].concat();
        let said = palisade(&arguments, &VARIABLES, b"");
        assert_eq!(said.code, 2, "{option:?} would be ignored");
        assert!(said.err.contains("cannot be used with"), "{}", said.err);
    }
}

#[test]
fn the_version_names_the_product() {
    let said = palisade(&["--version"], &[], b"");
    assert!(said.out.starts_with("palisade "), "{}", said.out);
}

#[test]
fn a_log_level_that_does_not_exist_is_told() {
    let said = palisade(&["--version"], &[("PALISADE_LOG", "inof")], b"");
    assert!(said.err.contains("PALISADE_LOG") && said.err.contains("inof"));
    let said = palisade(&["--version"], &[("PALISADE_LOG", "debug")], b"");
    assert_eq!(said.err, "", "a level that exists needs no words");
}
