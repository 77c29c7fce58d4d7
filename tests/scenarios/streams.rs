//! What has no end is not waited for: event streams, upgrades, gRPC.

use std::thread;
use std::time::{Duration, Instant};

use harness::client::request;
use harness::h2c::{self, Call, H2cUpstream};
use harness::{Answer, Client, Gateway, Upstream};

const UPGRADE: [(&str, &str); 4] = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

#[test]
fn events_arrive_when_they_are_sent() {
    let pause = Duration::from_millis(700);
    let upstream = Upstream::answering(move |_| Answer::Paced {
        headers: vec![("Content-Type".to_owned(), "text/event-stream".to_owned())],
        chunks: (0..3)
            .map(|n| (pause * n.min(1), format!("data: {n}\n\n").into_bytes()))
            .collect(),
    });
    let gateway = Gateway::example("waf").before(&upstream).start();
    let mut client = Client::connect(&gateway.address);
    let begin = Instant::now();
    client.send(&request(
        "GET",
        "/events",
        &[("Accept", "text/event-stream")],
        b"",
    ));
    assert_eq!(client.head().unwrap().unwrap().status, 200);
    let mut received = String::new();
    while !received.contains("data: 0") {
        received.push_str(&String::from_utf8_lossy(&client.some_bytes().unwrap()));
    }
    assert!(
        begin.elapsed() < pause,
        "the first event came after {:?}",
        begin.elapsed()
    );
    while !received.contains("data: 2") {
        received.push_str(&String::from_utf8_lossy(&client.some_bytes().unwrap()));
    }
    assert!(begin.elapsed() >= pause * 2);
}

#[test]
fn a_web_socket_is_a_pipe_in_both_directions() {
    let upstream = Upstream::answering(|_| Answer::Upgrade("websocket".to_owned()));
    let gateway = Gateway::example("waf").before(&upstream).start();
    let mut client = Client::connect(&gateway.address);
    client.send(&request("GET", "/chat", &UPGRADE, b""));
    let head = client.head().unwrap().unwrap();
    assert_eq!(head.status, 101);
    assert_eq!(
        head.header("upgrade").map(str::to_lowercase).as_deref(),
        Some("websocket")
    );
    for frame in [&b"\x81\x05hello"[..], b"\x82\x03\x00\x01\x02"] {
        client.send(frame);
        assert_eq!(client.bytes(frame.len()), frame);
        // A pause must not end it.
        thread::sleep(Duration::from_millis(300));
    }
    assert!(
        upstream
            .only_request()
            .header("sec-websocket-key")
            .is_some()
    );
}

#[test]
fn a_silent_web_socket_outlives_the_read_timeout_of_its_upstream() {
    let upstream = Upstream::answering(|_| Answer::Upgrade("websocket".to_owned()));
    let gateway = Gateway::routing(
        "upstreams: { app: { servers: [\"${UPSTREAM}\"], timeouts: { read: 1s, write: 1s } } }
routes: [{ upstream: app }]
",
    )
    .before(&upstream)
    .start();
    let mut client = Client::connect(&gateway.address);
    client.send(&request("GET", "/chat", &UPGRADE, b""));
    assert_eq!(client.head().unwrap().unwrap().status, 101);
    thread::sleep(Duration::from_millis(2500));
    let frame = b"\x81\x05hello";
    client.send(frame);
    assert_eq!(client.bytes(frame.len()), frame);
}

#[test]
fn an_attack_in_the_head_of_an_upgrade_is_refused() {
    let upstream = Upstream::answering(|_| Answer::Upgrade("websocket".to_owned()));
    let gateway = Gateway::example("waf").before(&upstream).start();
    let target = "/chat?room=%3Cscript%3Ealert(document.cookie)%3C/script%3E";
    let answer = Client::request(&gateway.address, "GET", target, &UPGRADE, b"");
    assert_eq!(answer.status, 403);
    assert_eq!(upstream.count(), 0);
}

/// An upgrade that the upstream does not agree to leaves an ordinary connection; bytes sent ahead of
/// its answer must not become a second request (the shape of CVE-2026-2833).
#[test]
fn a_request_behind_a_refused_upgrade_is_inspected_like_any_other() {
    let upstream = Upstream::echo();
    let gateway = Gateway::example("waf").before(&upstream).start();
    let mut client = Client::connect(&gateway.address);
    let hidden = "/?q=%3Cscript%3Ealert(document.cookie)%3C/script%3E";
    let bytes = [
        request("GET", "/chat", &UPGRADE, b""),
        request("GET", hidden, &[], b""),
    ];
    client.send(&bytes.concat());
    let _ = client.outcome(Duration::from_secs(3));
    let _ = client.outcome(Duration::from_secs(3));
    let targets: Vec<String> = upstream
        .requests()
        .iter()
        .map(|seen| seen.message.target().to_owned())
        .collect();
    assert!(
        !targets.iter().any(|target| target == hidden),
        "{targets:?}"
    );
}

#[test]
fn grpc_passes_with_the_trailers_of_its_answer() {
    let upstream = H2cUpstream::start();
    let gateway = Gateway::routing(
        "upstreams: { greeter: { servers: [\"${UPSTREAM}\"], protocol: h2c, grpc: true } }
routes: [{ upstream: greeter }]
",
    )
    .with("UPSTREAM", format!("http://{}", upstream.address))
    .start();
    let call = Call::new("POST", "/greeter.Greeter/SayHello")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(&b"\0\0\0\0\x05hello"[..]);
    let replies = h2c::exchange(&gateway.address, vec![call]).unwrap();
    assert_eq!(replies[0].status, 200);
    assert_eq!(replies[0].body, b"\0\0\0\0\x05hello");
    let trailers = replies[0]
        .trailers
        .as_ref()
        .expect("the answer ends in trailers");
    assert_eq!(trailers["grpc-status"], "0");
    assert_eq!(upstream.bodies(), vec![b"\0\0\0\0\x05hello".to_vec()]);
}

#[test]
fn clients_that_leave_in_the_middle_do_no_harm() {
    let upstream = Upstream::answering(|_| Answer::Paced {
        headers: vec![("Content-Type".to_owned(), "text/event-stream".to_owned())],
        chunks: vec![(Duration::from_millis(50), b"data: x\n\n".to_vec()); 100],
    });
    let mut gateway = Gateway::example("plain").before(&upstream).start();
    for _ in 0..5 {
        let mut client = Client::connect(&gateway.address);
        client.send(&request("GET", "/events", &[], b""));
        assert_eq!(client.head().unwrap().unwrap().status, 200);
    }
    thread::sleep(Duration::from_millis(300));
    assert!(gateway.runs());
    assert_eq!(Client::get(&gateway.address, "/").status, 200);
}
