//! Exactly one decision record for every exchange, and numbers that agree with it.

use std::thread;
use std::time::Duration;

use harness::gateway::eventually;
use harness::{Client, Gateway, Upstream};
use serde_json::Value;

#[test]
fn every_exchange_leaves_exactly_one_record() {
    let upstream = Upstream::echo();
    let gateway = Gateway::example("waf").before(&upstream).start();
    assert_eq!(Client::get(&gateway.address, "/fine").status, 200);
    assert_eq!(
        Client::get(&gateway.address, "/?q=%3Cscript%3Ealert(1)%3C/script%3E").status,
        403
    );
    let mut client = Client::connect(&gateway.address);
    client.send(b"GET /bad HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    assert_eq!(client.answer().status, 400);
    let mut client = Client::connect(&gateway.address);
    client.send(b"\x16\x03\x01 not HTTP at all\r\n\r\n");
    let _ = client.outcome(Duration::from_secs(5));

    // A record is written when its exchange is over, which may be a moment after the answer.
    eventually("four records", || {
        (gateway.records().len() >= 4).then_some(())
    });
    thread::sleep(Duration::from_millis(300));
    let records = gateway.records();
    let shown: Vec<String> = records
        .iter()
        .map(|record| {
            format!(
                "{} {} {}",
                record.text("/request/target"),
                record.status(),
                record.text("/verdict")
            )
        })
        .collect();
    assert_eq!(records.len(), 4, "{shown:#?}");
    let of = |status: u64| {
        records
            .iter()
            .filter(|record| record.status() == status)
            .count()
    };
    assert_eq!((of(200), of(403), of(400)), (1, 1, 2), "{shown:#?}");
}

#[test]
fn a_record_has_the_fields_that_tools_rely_on() {
    let upstream = Upstream::echo();
    let gateway = Gateway::example("waf").before(&upstream).start();
    let _ = Client::request(&gateway.address, "GET", "/r?a=b", &[("X-Two", "1")], b"");
    let Value::Object(record) = gateway.record_of("/r?a=b").0 else {
        panic!("a record is an object");
    };
    for field in [
        "request_id",
        "unique_id",
        "time",
        "client",
        "request",
        "response_status",
        "verdict",
        "layer",
        "messages",
        "timings",
    ] {
        assert!(record.contains_key(field), "{field} is missing");
    }
    assert_eq!(record["request"]["method"], "GET");
    assert_eq!(record["request"]["protocol"], "HTTP/1.1");
    assert_eq!(record["response_status"], 200);
    assert_eq!(record["verdict"], "allowed");
    assert!(record["messages"].is_array());
    assert!(record["timings"].is_object());
    let id = record["request_id"].as_str().unwrap();
    assert!(id.len() >= 16, "{id}");
}

#[test]
fn records_hold_no_secrets() {
    let upstream = Upstream::echo();
    let gateway = Gateway::example("waf").before(&upstream).start();
    let headers = [
        ("Authorization", "Bearer secret-token-1"),
        ("Cookie", "session=secret-cookie-2"),
        ("X-Api-Key", "secret-key-3"),
    ];
    let _ = Client::request(
        &gateway.address,
        "GET",
        "/private?password=secret-4&x=1",
        &headers,
        b"",
    );
    let record = gateway.record(|record| record.text("/request/target").starts_with("/private"));
    let text = record.0.to_string();
    for secret in [
        "secret-token-1",
        "secret-cookie-2",
        "secret-key-3",
        "secret-4",
    ] {
        assert!(!text.contains(secret), "{secret} stands in {text}");
    }
    assert!(text.contains("x=1"), "what is harmless stays readable");
}

#[test]
fn whatever_a_client_sends_a_record_stays_one_line_of_json() {
    let upstream = Upstream::echo();
    let gateway = Gateway::example("plain").before(&upstream).start();
    let mut client = Client::connect(&gateway.address);
    let nasty = b"GET /%0a%22}?\"\\{}='\xc3\xa9\xff HTTP/1.1\r\nHost: q\r\nX-Evil: \"},\\\"{\xff\xfe\r\nConnection: close\r\n\r\n";
    client.send(nasty);
    let _ = client.outcome(Duration::from_secs(5));
    assert_eq!(Client::get(&gateway.address, "/after").status, 200);
    eventually("both records", || {
        (gateway.records().len() >= 2).then_some(())
    });
    let text = std::fs::read(gateway.record_file()).unwrap();
    let lines: Vec<&[u8]> = text
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .collect();
    assert_eq!(lines.len(), 2);
    for line in lines {
        let parsed: Result<Value, _> = serde_json::from_slice(line);
        assert!(parsed.is_ok(), "{}", String::from_utf8_lossy(line));
    }
}

#[test]
fn health_readiness_and_metrics_are_told_on_the_admin_listener_alone() {
    let upstream = Upstream::echo();
    let gateway = Gateway::example("waf").before(&upstream).start();
    assert_eq!(gateway.admin("/healthz").status, 200);
    assert_eq!(gateway.admin("/readyz").status, 200);
    let _ = Client::get(&gateway.address, "/healthz");
    assert_eq!(
        upstream.only_request().target(),
        "/healthz",
        "the application's paths are its own"
    );

    for _ in 0..5 {
        assert_eq!(Client::get(&gateway.address, "/counted").status, 200);
    }
    let hostile = "/?q=%3Cscript%3Ealert(1)%3C/script%3E";
    assert_eq!(Client::get(&gateway.address, hostile).status, 403);
    let reaches = |metric: &str, count: f64| {
        eventually(metric, || (gateway.metric(metric) >= count).then_some(()));
    };
    reaches("palisade_requests_total", 7.0);
    reaches("palisade_rule_matches_total", 1.0);
    let text = gateway.admin("/metrics").text();
    let blocked = "palisade_requests_total{route=\"app\",verdict=\"blocked\"} 1";
    assert!(text.contains(blocked), "per route and verdict:\n{text}");
    assert!(text.contains("palisade_layer_seconds"), "per layer");
}

#[test]
fn a_record_file_that_cannot_be_written_is_counted_and_stops_nothing() {
    let upstream = Upstream::echo();
    let gateway = Gateway::example("plain")
        .before(&upstream)
        .with("AUDIT_LOG", "/dev/full")
        .start();
    for _ in 0..20 {
        assert_eq!(Client::get(&gateway.address, "/").status, 200);
    }
    eventually("the counted loss", || {
        (gateway.metric("palisade_record_errors_total") >= 1.0).then_some(())
    });
}
