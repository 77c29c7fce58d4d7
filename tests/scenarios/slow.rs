//! Clients that dawdle are cut off at a deadline for the whole, not for each byte.

use std::thread;
use std::time::{Duration, Instant};

use harness::client::request;
use harness::{Answer, Client, Gateway, Upstream};

const CONFIG: &str = r#"
listeners:
  - address: "${LISTEN}"
    head: { deadline: 1s }
    body: { deadline: 2s }
    idle: 1s
admin: { address: "${ADMIN}" }
audit: { output: "${AUDIT_LOG}" }
upstreams:
  app: { servers: ["${UPSTREAM}"], timeouts: { read: 1s } }
routes: [{ upstream: app }]
"#;

/// Sends a byte every tenth of a second until the gateway has had enough, and says when that was.
fn dribble(client: &mut Client, bytes: &[u8]) -> Duration {
    let begin = Instant::now();
    for byte in bytes.iter().cycle() {
        if client.try_send(&[*byte]).is_err() || begin.elapsed() > Duration::from_secs(15) {
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
    begin.elapsed()
}

#[test]
fn a_head_that_comes_byte_by_byte_is_cut_at_its_deadline() {
    let upstream = Upstream::echo();
    let gateway = Gateway::configured(CONFIG).before(&upstream).start();
    let mut client = Client::connect(&gateway.address);
    client.send(b"GET / HTTP/1.1\r\nHost: app.example.com\r\nX-Slow: ");
    let took = dribble(&mut client, b"a");
    assert!(took > Duration::from_millis(900), "cut too early: {took:?}");
    assert!(took < Duration::from_secs(4), "cut too late: {took:?}");
    assert_eq!(upstream.count(), 0);
}

#[test]
fn a_body_that_comes_byte_by_byte_is_cut_at_its_deadline() {
    let upstream = Upstream::echo();
    let gateway = Gateway::configured(CONFIG).before(&upstream).start();
    let mut client = Client::connect(&gateway.address);
    client.send(&request("POST", "/", &[("Content-Length", "100000")], b""));
    let took = dribble(&mut client, b"a");
    assert!(
        took > Duration::from_millis(1500),
        "cut too early: {took:?}"
    );
    assert!(took < Duration::from_secs(6), "cut too late: {took:?}");
    assert!(!upstream.requests().iter().any(|seen| seen.complete));
}

#[test]
fn a_slow_head_is_told_so_and_recorded() {
    let upstream = Upstream::echo();
    let gateway = Gateway::configured(CONFIG).before(&upstream).start();
    let mut client = Client::connect(&gateway.address);
    client.send(b"GET / HTTP/1.1\r\nHost: app.example.com\r\n");
    let begin = Instant::now();
    assert_eq!(client.outcome(Duration::from_secs(5)).status(), 408);
    assert!(begin.elapsed() < Duration::from_secs(3));
    assert_eq!(
        gateway
            .record(|record| record.status() == 408)
            .text("/layer"),
        "gate"
    );
}

#[test]
fn a_connection_without_a_request_is_closed_without_a_word() {
    let upstream = Upstream::echo();
    let gateway = Gateway::configured(CONFIG).before(&upstream).start();
    let mut client = Client::connect(&gateway.address);
    let bytes = client.some_bytes().unwrap_or_default();
    assert!(bytes.is_empty(), "{}", String::from_utf8_lossy(&bytes));
}

#[test]
fn good_clients_notice_nothing_of_slow_ones() {
    let upstream = Upstream::echo();
    let gateway = Gateway::configured(CONFIG).before(&upstream).start();
    let mut slow: Vec<Client> = (0..100)
        .map(|_| {
            let mut client = Client::connect(&gateway.address);
            client.send(b"GET / HTTP/1.1\r\n");
            client
        })
        .collect();
    for _ in 0..50 {
        assert_eq!(Client::get(&gateway.address, "/").status, 200);
    }
    for client in &mut slow {
        let status = client.outcome(Duration::from_secs(5)).status();
        assert!(matches!(status, 408 | 0), "{status}");
    }
}

#[test]
fn an_upstream_that_says_nothing_is_given_up() {
    let late = Answer::Later(Duration::from_secs(20), Box::new(Answer::status(200)));
    let upstream = Upstream::answering(move |_| late.clone());
    let gateway = Gateway::configured(CONFIG).before(&upstream).start();
    let begin = Instant::now();
    let answer = Client::get(&gateway.address, "/never");
    assert!(matches!(answer.status, 502 | 504), "{}", answer.status);
    assert!(begin.elapsed() < Duration::from_secs(6));
    assert_eq!(
        gateway.record_of("/never").status(),
        u64::from(answer.status)
    );
}
