//! A plain reverse proxy first: what comes in goes out, and no more.

use harness::client::request;
use harness::{Answer, Client, Gateway, Upstream};

#[test]
fn a_request_arrives_as_it_was_sent_and_the_answer_comes_back() {
    let upstream = Upstream::answering(|_| Answer::Whole {
        status: 201,
        headers: vec![("X-App".to_owned(), "yes".to_owned())],
        body: b"made".to_vec(),
    });
    let gateway = Gateway::example("plain").before(&upstream).start();

    let answer = Client::request(
        &gateway.address,
        "PUT",
        "/shelf/1?title=a%20b&x",
        &[("X-Mine", "one"), ("Content-Type", "text/plain")],
        b"a book",
    );

    assert_eq!(answer.status, 201);
    assert_eq!(answer.header("x-app"), Some("yes"));
    assert_eq!(answer.text(), "made");
    let seen = upstream.only_request();
    assert_eq!(seen.method(), "PUT");
    assert_eq!(seen.target(), "/shelf/1?title=a%20b&x");
    assert_eq!(seen.header("host"), Some("app.example.com"));
    assert_eq!(seen.header("x-mine"), Some("one"));
    assert_eq!(seen.body, b"a book");
}

#[test]
fn a_connection_serves_many_requests() {
    let upstream = Upstream::echo();
    let gateway = Gateway::example("plain").before(&upstream).start();
    let mut client = Client::connect(&gateway.address);
    for number in 0..20 {
        let target = format!("/{number}");
        client.send(&request(
            "GET",
            &target,
            &[("Connection", "keep-alive")],
            b"",
        ));
        assert_eq!(client.answer().status, 200);
    }
    assert_eq!(upstream.count(), 20);
    assert!(
        upstream.connections() < 20,
        "connections to the upstream are reused"
    );
}

#[test]
fn a_head_request_has_no_body_in_its_answer() {
    let upstream = Upstream::answering(|_| Answer::text("four"));
    let gateway = Gateway::example("plain").before(&upstream).start();
    let answer = Client::request(&gateway.address, "HEAD", "/", &[], b"");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-length"), Some("4"));
    assert!(answer.body.is_empty());
}

#[test]
fn the_client_cannot_forge_where_it_comes_from() {
    let upstream = Upstream::echo();
    let gateway = Gateway::example("plain").before(&upstream).start();
    let forged = [
        ("X-Forwarded-For", "203.0.113.9"),
        ("X-Real-IP", "203.0.113.9"),
        ("Forwarded", "for=203.0.113.9"),
    ];
    let _ = Client::request(&gateway.address, "GET", "/", &forged, b"");
    let seen = upstream.only_request();
    let last = |name: &str| {
        seen.headers_named(name)
            .last()
            .unwrap_or_default()
            .to_owned()
    };
    assert!(
        last("x-forwarded-for").ends_with("127.0.0.1"),
        "{:?}",
        seen.headers
    );
    assert_ne!(last("x-real-ip"), "203.0.113.9");
    assert!(!last("forwarded").ends_with("203.0.113.9"));
    assert_eq!(
        gateway.record_of("/").text("/client").split(':').next(),
        Some("127.0.0.1")
    );
}

#[test]
fn hop_by_hop_fields_stay_on_their_hop() {
    let upstream = Upstream::echo();
    let gateway = Gateway::example("plain").before(&upstream).start();
    let headers = [
        ("Connection", "close, TE"),
        ("TE", "trailers"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("X-End", "1"),
    ];
    let answer = Client::request(&gateway.address, "GET", "/", &headers, b"");
    assert_eq!(answer.status, 200);
    let seen = upstream.only_request();
    for name in ["te", "keep-alive", "proxy-connection"] {
        assert_eq!(seen.header(name), None, "{name} is for the next hop only");
    }
    assert_eq!(seen.header("x-end"), Some("1"));
}

/// `Connection` can name any field for removal: a way to strip what an inner system relies on.
#[test]
fn a_client_cannot_have_fields_removed() {
    let upstream = Upstream::echo();
    let gateway = Gateway::example("plain").before(&upstream).start();
    for name in ["Authorization", "X-Forwarded-For", "Cookie", "X-Consumer"] {
        let headers = [("Connection", &*format!("close, {name}")), (name, "1")];
        let answer = Client::request(&gateway.address, "GET", "/", &headers, b"");
        assert_eq!(answer.status, 400, "{name}");
    }
    assert_eq!(upstream.count(), 0);
}

#[test]
fn an_upstream_that_is_not_there_is_a_bad_gateway() {
    let gateway = Gateway::example("plain").start();
    let answer = Client::get(&gateway.address, "/nobody");
    assert_eq!(answer.status, 502);
    assert_eq!(gateway.record_of("/nobody").status(), 502);
}

#[test]
fn http_1_0_is_answered_and_closed() {
    let upstream = Upstream::echo();
    let gateway = Gateway::example("plain").before(&upstream).start();
    let mut client = Client::connect(&gateway.address);
    client.send(b"GET /old HTTP/1.0\r\nHost: app.example.com\r\n\r\n");
    assert_eq!(client.answer().status, 200);
    assert!(
        client.some_bytes().unwrap().is_empty(),
        "the connection ends"
    );
}

#[test]
fn a_large_answer_comes_through_whole() {
    let body: Vec<u8> = (0..8_000_000_u32).map(|n| (n % 251) as u8).collect();
    let sent = body.clone();
    let upstream = Upstream::answering(move |_| Answer::with("application/octet-stream", &sent));
    let gateway = Gateway::example("plain").before(&upstream).start();
    let answer = Client::get(&gateway.address, "/big");
    assert_eq!(answer.length, body.len() as u64);
    assert!(answer.body == body, "not one byte is changed");
}
