//! What a reader of the decision record may rely on.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use edge_core::{Connection, Decision, Layer, Refusal, RequestId, Severity, Verdict, Version};
use serde_json::{Value, json};

use super::*;
use crate::spec::{AccessLogSpec, AuditSpec};

/// An ordinary exchange that was served.
pub(crate) fn exchange() -> Exchange {
    with_fields(&[(b"Host", b"shop.example"), (b"User-Agent", b"test")])
}

pub(crate) fn with_fields(fields: &[(&[u8], &[u8])]) -> Exchange {
    let connection = Connection {
        peer: "10.0.0.1:4000".parse().unwrap(),
        client: "203.0.113.7:5000".parse().unwrap(),
        local: "10.0.0.2:443".parse().unwrap(),
        tls: None,
    };
    let head = Head::from_parts(b"GET", b"/a?b=c", Version::Http11, fields.iter().copied());
    let mut exchange = Exchange::new(RequestId::new(0xabc), Arc::new(connection), Some(head));
    exchange.received = UNIX_EPOCH + Duration::new(951_782_400, 1_000);
    exchange.response_status = Some(200);
    exchange.route = Some("shop".into());
    exchange
}

pub(crate) fn logs(change: impl FnOnce(&mut AuditSpec)) -> Logs {
    let mut spec = AuditSpec::default();
    change(&mut spec);
    Logs::try_from((spec, AccessLogSpec::default())).unwrap()
}

fn record(exchange: &Exchange) -> Value {
    record_with(exchange, |_| ())
}

fn record_with(exchange: &Exchange, change: impl FnOnce(&mut AuditSpec)) -> Value {
    let line = document(exchange, &logs(change));
    assert!(line.iter().all(|b| *b >= b' ' && *b != 0x7f), "one line");
    serde_json::from_slice(&line).unwrap()
}

fn finding(variable: &str, data: &str) -> Finding {
    Finding {
        rule_id: 942_100,
        msg: "SQL injection".into(),
        data: data.into(),
        matched: format!("Matched against variable `{variable}' (Value: `{data}')"),
        variable: variable.into(),
        severity: Some(Severity::Critical),
        tags: Arc::from(["attack-sqli".to_owned()]),
    }
}

#[test]
fn a_served_request_is_told_in_full() {
    let mut exchange = exchange();
    exchange
        .timings
        .add(Layer::Waf, Duration::from_nanos(1_550));
    exchange.timings.total = Duration::from_micros(20);
    exchange.upstream = Some("10.1.1.1:80".into());
    exchange.attempts = 1;
    let id = "00000000000000000000000000000abc";
    assert_eq!(
        record(&exchange),
        json!({
            "request_id": id, "unique_id": id, "time": "2000-02-29T00:00:00.000001Z",
            "client": "203.0.113.7", "client_port": 5000,
            "peer": "10.0.0.1:4000", "local": "10.0.0.2:443",
            "request": {"method": "GET", "target": "/a?b=c", "protocol": "HTTP/1.1",
                "headers": {"Host": "shop.example", "User-Agent": "test"}},
            "response_status": 200, "verdict": "allowed", "layer": null, "route": "shop",
            "upstream": "10.1.1.1:80", "attempts": 1, "bytes_in": 0, "bytes_out": 0,
            "timings": {"waf": 1.5, "total": 20.0}, "messages": [],
        })
    );
}

#[test]
fn a_blocked_request_names_layer_reason_score_and_rules() {
    let mut exchange = exchange();
    exchange.findings.push(finding("ARGS:b", "1' or '1'='1"));
    exchange.score = Some(5);
    exchange.decision = Some(Decision {
        layer: Layer::Waf,
        verdict: Verdict::Respond(Refusal::new(403, "score 5")),
        enforced: true,
    });
    exchange.response_status = Some(403);
    let record = record(&exchange);
    assert_eq!(record["verdict"], "blocked");
    assert_eq!(record["layer"], "waf");
    assert_eq!(record["reason"], "score 5");
    assert_eq!(record["score"], 5);
    let message = &record["messages"][0];
    assert_eq!(
        message,
        &serde_json::to_value(&exchange.findings[0]).unwrap()
    );
    assert_eq!(message["severity"], "CRITICAL");
}

#[test]
fn bytes_that_are_no_head_still_leave_a_record() {
    let mut exchange = exchange();
    exchange.head = None;
    exchange.response_status = None;
    exchange.decision = Some(Decision {
        layer: Layer::Gate,
        verdict: Verdict::Respond(Refusal::new(400, "bare LF")),
        enforced: true,
    });
    let record = record(&exchange);
    assert_eq!(record["request"], Value::Null);
    assert_eq!(record["verdict"], "refused");
    assert_eq!(record["response_status"], Value::Null);
}

#[test]
fn repeated_names_become_an_array_under_the_first_spelling() {
    let record = record(&with_fields(&[
        (b"X-A", b"1"),
        (b"b", b"2"),
        (b"x-a", b"3"),
        (b"X-a", b"4"),
    ]));
    let headers = &record["request"]["headers"];
    assert_eq!(*headers, json!({"X-A": ["1", "3", "4"], "b": "2"}));
}

#[test]
fn credentials_never_reach_the_record_unless_the_operator_says_so() {
    let mut exchange = with_fields(&[
        (b"AUTHORIZATION", b"Bearer hunter2"),
        (b"Cookie", b"sid=hunter2; theme=hunter2"),
        (b"x-api-key", b"hunter2"),
        (b"X-Other", b"fine"),
    ]);
    exchange.findings.push(finding("ARGS:password", "hunter2"));
    let shown = record(&exchange);
    assert!(!shown.to_string().contains("hunter2"), "{shown}");
    assert_eq!(shown["request"]["headers"]["X-Other"], "fine");
    let headers = &shown["request"]["headers"];
    assert_eq!(headers["Cookie"], "sid=[redacted]; theme=[redacted]");
    let open = record_with(&exchange, |spec| {
        spec.redact.headers.clear();
        spec.redact.cookies = false;
        spec.redact.parameters.clear();
    });
    assert_eq!(open["request"]["headers"]["x-api-key"], "hunter2");
    assert_eq!(open["messages"][0]["data"], "hunter2");
}

#[test]
fn hostile_bytes_are_shown_reversibly_and_stay_inside_their_value() {
    let fields: &[(&[u8], &[u8])] = &[(b"X", b"\xff\x1b[2J\"}\\x"), (b"__proto__", b"a")];
    let record = record(&with_fields(fields));
    let headers = &record["request"]["headers"];
    assert_eq!(headers["X"], "\\xff\\x1b[2J\"}\\\\x");
    assert_eq!(headers.as_object().unwrap().len(), 2);
}

#[test]
fn long_values_are_cut_and_announced() {
    let long = vec![b'a'; 100];
    let record = record_with(&with_fields(&[(b"X", &long)]), |spec| spec.max_value = 64);
    let value = record["request"]["headers"]["X"].as_str().unwrap();
    assert!(value.ends_with("a[+36 bytes]"), "{value}");
    assert_eq!(record["truncated"], true);
}

#[test]
fn a_flood_of_findings_is_bounded_and_counted() {
    let mut exchange = exchange();
    exchange.findings = vec![finding("ARGS:b", &"x".repeat(500)); 100];
    let line = document(&exchange, &logs(|spec| spec.max_record = 8192));
    assert!(line.len() < 8192 + 64, "{}", line.len());
    let record: Value = serde_json::from_slice(&line).unwrap();
    let shown = record["messages"].as_array().unwrap().len();
    assert!(shown > 1);
    assert_eq!(record["messages_omitted"], 100 - shown);
}

#[test]
fn a_flood_of_fields_is_bounded_and_counted() {
    let names: Vec<String> = (0..300).map(|n| format!("h{n}")).collect();
    let fields: Vec<_> = names.iter().map(|n| (n.as_bytes(), &b"v"[..])).collect();
    let record = record(&with_fields(&fields));
    assert_eq!(record["request"]["headers"].as_object().unwrap().len(), 256);
    assert_eq!(record["request"]["headers_omitted"], 44);
}

#[test]
fn faults_name_their_layer() {
    let mut exchange = exchange();
    exchange.faults.push(Fault {
        layer: Layer::Upstream,
        what: "connection refused".into(),
    });
    exchange.error = Some("no server answered".to_owned());
    exchange.response_status = Some(502);
    let record = record(&exchange);
    assert_eq!(record["error"], "no server answered");
    assert_eq!(record["verdict"], "error");
    let faults = json!([{"layer": "upstream", "what": "connection refused"}]);
    assert_eq!(record["faults"], faults);
}
