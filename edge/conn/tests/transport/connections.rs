//! The listener end to end: real sockets, pingora's engine, a small application behind it.

use std::time::{Duration, Instant};

use edge_conn::spec::ProxyProtocolSpec;
use edge_core::{ByteSize, HumanDuration};

use crate::harness::{Server, statuses};

const GET: &str = "GET /a HTTP/1.1\r\nHost: q\r\n\r\n";

fn millis(millis: u64) -> HumanDuration {
    HumanDuration(Duration::from_millis(millis))
}

fn post(path: &str, lines: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: q\r\n{lines}\r\n{body}")
}

#[tokio::test]
async fn requests_with_and_without_bodies_share_a_connection() {
    let server = Server::start(|_| ());
    let mut client = server.connect().await;
    client.send(GET).await;
    assert!(
        client
            .until("[127.0.0.1 /a ]")
            .await
            .contains("HTTP/1.1 200")
    );
    client
        .send(post("/b", "Content-Length: 3\r\n", "abc"))
        .await;
    client.until("[127.0.0.1 /b abc]").await;
    client
        .send(post("/c", "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n"))
        .await;
    client.send("2;x=y\r\nde\r\n0\r\nX-T: 1\r\n\r\n").await;
    client.until("[127.0.0.1 /c abcde]").await;
    client
        .send("\r\nGET /d HTTP/1.1\r\nHost: q\r\nConnection: close\r\n\r\n")
        .await;
    assert!(client.rest().await.ends_with("[127.0.0.1 /d ]"));
    tokio::time::sleep(Duration::from_millis(50)).await;
    let log = server.log.lines();
    assert_eq!(
        (log.first(), log.last()),
        (
            Some(&"opened 127.0.0.1".into()),
            Some(&"closed 127.0.0.1".into())
        )
    );
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_however_they_are_cut() {
    let server = Server::start(|_| ());
    let text = [
        &post("/1", "Content-Length: 3\r\n", "abc"),
        &post(
            "/2",
            "Transfer-Encoding: chunked\r\n",
            "3\r\ndef\r\n0\r\n\r\n",
        ),
        GET,
        "GET /end HTTP/1.1\r\nHost: q\r\nConnection: close\r\n\r\n",
    ]
    .concat();
    for size in [1, 7, 60, text.len()] {
        let mut client = server.connect().await;
        for piece in text.as_bytes().chunks(size) {
            client.send(piece).await;
            if size < 10 {
                tokio::task::yield_now().await;
            }
        }
        let answer = client.rest().await;
        let bodies: String = answer
            .split("127.0.0.1")
            .skip(1)
            .map(|s| s.split(']').next().unwrap())
            .collect();
        assert_eq!(bodies, " /1 abc /2 def /a  /end ", "{size}: {answer}");
    }
}

#[tokio::test]
async fn a_next_request_does_not_disturb_the_one_that_waits_for_its_upstream() {
    let server = Server::start(|_| ());
    let mut client = server.connect().await;
    client.send("GET /wait HTTP/1.1\r\nHost: q\r\n\r\n").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    client.send(GET).await;
    let answer = client.until("/a ]").await;
    assert!(answer.contains("/wait ]"), "{answer}");
}

/// Request, status and reason.
fn refused() -> Vec<(String, &'static str, &'static str)> {
    vec![
        (
            post(
                "/",
                "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n",
                "0\r\n\r\n",
            ),
            "400",
            "two_framings",
        ),
        (
            post("/", "Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
            "400",
            "transfer_encoding",
        ),
        (
            post("/", "Content-Length: 3\r\nContent-Length: 3\r\n", "abc"),
            "400",
            "duplicate_field",
        ),
        (
            post("/", "Content-Length: +3\r\n", "abc"),
            "400",
            "content_length",
        ),
        (
            post(
                "/",
                "Expect: y 100-continue\r\nContent-Length: 3\r\n",
                "abc",
            ),
            "417",
            "expectation",
        ),
        ("GET / HTTP/1.1\nHost: q\n\n".into(), "400", "bare_lf"),
        (
            "GET / HTTP/1.1\r\nX: y\r\n\r\n".into(),
            "400",
            "host_missing",
        ),
        ("GET /\r\n\r\n".into(), "400", "request_line"),
        (
            "CONNECT q:80 HTTP/1.1\r\nHost: q:80\r\n\r\n".into(),
            "405",
            "method_forbidden",
        ),
        (
            format!("GET /{} HTTP/1.1\r\nHost: q\r\n\r\n", "a".repeat(20_000)),
            "414",
            "target_too_long",
        ),
        (
            post("/", &format!("X: {}\r\n", "a".repeat(100_000)), ""),
            "431",
            "head_too_large",
        ),
        (
            post("/", &"X: y\r\n".repeat(200), ""),
            "431",
            "too_many_fields",
        ),
        ("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".into(), "400", "version"),
    ]
}

#[tokio::test]
async fn what_the_gate_refuses_is_answered_recorded_and_never_served() {
    let server = Server::start(|_| ());
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: q\r\n\r\n";
    for (request, status, reason) in refused() {
        let before = server.log.lines().len();
        let answer = server.ask(format!("{request}{smuggled}")).await;
        assert_eq!(statuses(&answer), [status], "{reason}: {answer}");
        assert!(answer.contains("Connection: close"), "{answer}");
        let log = server.log.lines()[before..].to_vec();
        assert!(
            log.contains(&format!("refused {status} {reason}")),
            "{log:?}"
        );
        assert!(
            !log.iter().any(|line| line.starts_with("request")),
            "{log:?}"
        );
    }
    assert_eq!(
        statuses(&server.ask(GET).await),
        ["200"],
        "the neighbour is served"
    );
}

#[tokio::test]
async fn odd_chunks_fail_the_body_and_close_the_connection() {
    let server = Server::start(|_| ());
    for body in [
        "3\nabc\r\n0\r\n\r\n",
        "3;a\nb\r\nabc\r\n0\r\n\r\n",
        "3\r\nabcXX0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "ffffffffffffffffff\r\nabc\r\n0\r\n\r\n",
        "3\r\nabc\r\n0\r\nContent-Length: 5\r\n\r\n",
        "3\r\nabc\r\n0\r\nX: y\n\r\n",
    ] {
        for size in [1, 1000] {
            let mut client = server.connect().await;
            let request = post("/", "Transfer-Encoding: chunked\r\n", body) + GET;
            for piece in request.as_bytes().chunks(size) {
                if client.0.try_write(piece).is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            assert_eq!(statuses(&client.rest().await), ["400"], "{body:?}");
        }
    }
    let log = server.log.lines();
    assert_eq!(
        log.iter().filter(|line| *line == "fault chunked").count(),
        14,
        "{log:?}"
    );
    assert!(!log.contains(&"request /a".into()), "{log:?}");
}

#[tokio::test]
async fn a_client_that_stops_in_the_middle_is_told_apart() {
    let server = Server::start(|_| ());
    let mut client = server.connect().await;
    client.send(post("/", "Content-Length: 5\r\n", "abc")).await;
    tokio::io::AsyncWriteExt::shutdown(&mut client.0)
        .await
        .unwrap();
    assert_eq!(statuses(&client.rest().await), ["400"]);
    assert!(server.log.lines().contains(&"fault incomplete_body".into()));
}

#[tokio::test]
async fn slow_heads_are_cut_at_the_total_deadline() {
    let server = Server::start(|spec| spec.head.deadline = millis(400));
    let mut client = server.connect().await;
    let start = Instant::now();
    for byte in GET.as_bytes() {
        let _ = client.0.try_write(&[*byte]);
        tokio::time::sleep(Duration::from_millis(50)).await;
        if start.elapsed() > Duration::from_millis(450) {
            break;
        }
    }
    assert_eq!(statuses(&client.rest().await), ["408"]);
    assert!(
        server
            .log
            .lines()
            .contains(&"refused 408 head_timeout".into())
    );
    let mut silent = server.connect().await;
    assert_eq!(silent.rest().await, "", "closed without a word");
    let mut brisk = server.connect().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    brisk.send(GET).await;
    brisk.until("/a ]").await;
}

#[tokio::test]
async fn slow_bodies_are_cut_at_the_total_deadline() {
    let server = Server::start(|spec| spec.body.deadline = millis(400));
    let mut client = server.connect().await;
    let start = Instant::now();
    client.send(post("/", "Content-Length: 100\r\n", "")).await;
    while start.elapsed() < Duration::from_millis(450) {
        let _ = client.0.try_write(b"x");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(statuses(&client.rest().await), ["408"]);
    assert!(server.log.lines().contains(&"fault body_timeout".into()));
}

#[tokio::test]
async fn bodies_that_drip_are_cut_by_their_rate() {
    let server = Server::start(|spec| spec.body.min_rate = ByteSize(1000));
    let mut client = server.connect().await;
    let start = Instant::now();
    client
        .send(post("/", "Content-Length: 100000\r\n", ""))
        .await;
    while start.elapsed() < Duration::from_millis(5500) {
        let _ = client.0.try_write(b"x");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(statuses(&client.rest().await), ["408"]);
    assert!(server.log.lines().contains(&"fault slow_body".into()));
}

#[tokio::test]
async fn answers_arrive_although_the_body_was_not_read() {
    let server = Server::start(|_| ());
    let body = "x".repeat(300_000);
    let answer = server
        .ask(post("/unread", "Content-Length: 300000\r\n", &body))
        .await;
    assert!(answer.ends_with("[127.0.0.1 /unread ]"), "{answer}");
}

#[tokio::test]
async fn idle_connections_are_closed_and_used_ones_after_their_last_request() {
    let server = Server::start(|spec| {
        spec.idle = millis(200);
        spec.requests_per_connection = 2;
    });
    let mut client = server.connect().await;
    client.send(GET).await;
    client.until("/a ]").await;
    let start = Instant::now();
    assert_eq!(client.rest().await, "");
    assert!(start.elapsed() >= Duration::from_millis(150));
    let answer = server.ask(GET.repeat(3)).await;
    assert_eq!(statuses(&answer), ["200", "200"]);
    assert!(
        answer.contains("onnection: keep-alive") && answer.contains("onnection: close"),
        "{answer}"
    );
}

#[tokio::test]
async fn only_a_101_opens_a_tunnel() {
    let server = Server::start(|spec| spec.tunnel_idle = millis(300));
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\n";
    let mut client = server.connect().await;
    client.send(post("/101", upgrade, "early")).await;
    assert!(client.until("early").await.contains("HTTP/1.1 101"));
    client.send("GET / HTTP/1.1\nnot http").await;
    client.until("not http").await;
    assert_eq!(client.rest().await, "", "closed when both sides are silent");

    // Refused: the framing rules hold and what follows is a request, strictly read.
    let answer = server
        .ask(post("/200", upgrade, "GET /a HTTP/1.1\nHost: q\n\n"))
        .await;
    assert_eq!(statuses(&answer), ["200", "400"]);
    let bogus = post(
        "/200",
        &format!("{upgrade}Transfer-Encoding: chunked\r\n"),
        "3\nabc\r\n0\r\n\r\n",
    );
    assert_eq!(statuses(&server.ask(bogus).await), ["400"]);
    // Not asked for: nothing is passed through.
    let answer = server.ask(post("/101", "", "raw bytes")).await;
    assert!(!answer.contains("raw bytes"), "{answer}");
}

#[tokio::test]
async fn an_address_has_its_share_of_connections() {
    let server = Server::start(|spec| spec.connections_per_address = 2);
    let (mut one, two) = (server.connect().await, server.connect().await);
    one.send(GET).await;
    one.until("/a ]").await;
    let answer = server.ask(GET).await;
    assert!(!answer.contains("HTTP"), "{answer}");
    assert!(
        server
            .log
            .lines()
            .contains(&"turned away 127.0.0.1 address_cap".into())
    );
    drop(two);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(statuses(&server.ask(GET).await), ["200"]);
    assert_eq!(server.shared.open(), 2);
}

#[tokio::test]
async fn all_addresses_share_the_total() {
    let server = Server::start(|spec| spec.connections = 1);
    let mut one = server.connect().await;
    one.send(GET).await;
    one.until("/a ]").await;
    assert!(!server.ask(GET).await.contains("HTTP"));
    assert!(
        server
            .log
            .lines()
            .contains(&"turned away 127.0.0.1 connection_cap".into())
    );
}

fn proxied(from: &str) -> Server {
    let from = vec![from.to_owned()];
    Server::start(|spec| {
        spec.proxy_protocol = Some(ProxyProtocolSpec {
            from,
            deadline: millis(300),
        });
        spec.connections_per_address = 2;
    })
}

#[tokio::test]
async fn a_listed_proxy_names_the_client_in_both_versions() {
    let server = proxied("127.0.0.0/8");
    let one = format!("PROXY TCP4 192.0.2.7 10.0.0.1 56324 443\r\n{GET}");
    assert!(server.ask(one).await.contains("[192.0.2.7 /a ]"));
    let two = [
        &b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0f"[..],
        &[192, 0, 2, 8, 10, 0, 0, 1, 0, 9, 0, 9],
        &[4, 0, 0],
        GET.as_bytes(),
    ]
    .concat();
    assert!(server.ask(two).await.contains("[192.0.2.8 /a ]"));
    let local = [&b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00"[..], GET.as_bytes()].concat();
    assert!(server.ask(local).await.contains("[127.0.0.1 /a ]"));
}

#[tokio::test]
async fn a_listed_proxy_must_send_its_header_in_time() {
    let server = proxied("127.0.0.1");
    assert!(!server.ask(GET).await.contains("HTTP"));
    let mut slow = server.connect().await;
    slow.send("PROXY TCP4 ").await;
    assert!(!slow.rest().await.ends_with("..."), "cut at the deadline");
    let log = server.log.lines();
    assert_eq!(log, ["turned away 127.0.0.1 proxy_header"; 2]);
}

#[tokio::test]
async fn others_are_refused_on_a_proxy_listener() {
    let server = proxied("192.0.2.0/24");
    let answer = server
        .ask(format!("PROXY TCP4 192.0.2.7 10.0.0.1 1 2\r\n{GET}"))
        .await;
    assert!(!answer.contains("HTTP"), "{answer}");
    assert_eq!(server.log.lines(), ["turned away 127.0.0.1 proxy_peer"]);
}

#[tokio::test]
async fn behind_a_proxy_clients_are_counted_not_the_proxy() {
    let server = proxied("127.0.0.1");
    let mut open = Vec::new();
    for host in 1..=5 {
        let mut client = server.connect().await;
        client
            .send(format!("PROXY TCP4 192.0.2.{host} 10.0.0.1 1 2\r\n{GET}"))
            .await;
        client.until("/a ]").await;
        open.push(client);
    }
    for expected in [true, false] {
        let mut client = server.connect().await;
        client
            .send(format!("PROXY TCP4 192.0.2.1 10.0.0.1 1 2\r\n{GET}"))
            .await;
        assert_eq!(client.rest().await.contains("HTTP/1.1 200"), expected);
        open.push(client);
    }
    assert!(
        server
            .log
            .lines()
            .contains(&"turned away 192.0.2.1 address_cap".into())
    );
}

#[tokio::test]
async fn draining_finishes_requests_and_closes_idle_connections_at_once() {
    let server = Server::start(|_| ());
    let mut idle = server.connect().await;
    idle.send(GET).await;
    idle.until("/a ]").await;
    let mut busy = server.connect().await;
    busy.send("GET /wait HTTP/1.1\r\nHost: q\r\n\r\n").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let start = Instant::now();
    server.stop.send(true).unwrap();
    assert_eq!(idle.rest().await, "");
    assert!(start.elapsed() < Duration::from_millis(200));
    assert!(busy.rest().await.ends_with("/wait ]"));
    drop(busy);
    tokio::time::timeout(Duration::from_secs(3), server.done)
        .await
        .unwrap()
        .unwrap();
    assert!(
        tokio::net::TcpStream::connect(server.address)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_request_the_engine_refuses_is_recorded_too() {
    let server = Server::start(|_| ());
    server
        .ask("GET /panic-less-refusal HTTP/1.1\r\nHost: q\r\n\r\n")
        .await;
    assert!(server.log.lines().contains(&"refused 400 engine".into()));
}

#[tokio::test]
async fn every_target_the_gate_admits_is_one_the_engine_can_read() {
    let server = Server::start(|_| ());
    let mut unread = Vec::new();
    for byte in (0x21..0x7f_u8).filter(|byte| *byte != b'#') {
        let (byte, path) = (char::from(byte), "/a");
        for target in [
            format!("{path}{byte}b"),
            format!("{path}?{byte}=1"),
            format!("/{byte}"),
            format!("/?a{byte}"),
        ] {
            let request = format!("GET {target} HTTP/1.1\r\nHost: q\r\nConnection: close\r\n\r\n");
            let answer = server.ask(request).await;
            if statuses(&answer) != ["200"] || !answer.contains(&format!(" {target} ")) {
                unread.push(target);
            }
        }
    }
    assert_eq!(unread, [""; 0]);
}

const FRAME_SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

/// The preface, and a GET of `/` on stream 1 (static table entries, literal authority `q`).
fn h2_get() -> Vec<u8> {
    let headers = [&[0x82, 0x86, 0x84, 0x01, 0x01][..], b"q"].concat();
    let frame = [&[0, 0, 6, 1, 5, 0, 0, 0, 1][..], &headers].concat();
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", FRAME_SETTINGS, &frame].concat()
}

#[tokio::test]
async fn http_2_is_told_by_its_preface_however_it_is_cut() {
    let server = Server::start(|_| ());
    for size in [1, 5, 18, 100] {
        let mut client = server.connect().await;
        for piece in h2_get().chunks(size) {
            client.send(piece).await;
            tokio::task::yield_now().await;
        }
        let answer = client.rest().await;
        assert!(answer.contains("[127.0.0.1 / ]"), "{size}: {answer:?}");
    }
    let closed = Server::start(|spec| spec.h2c = false);
    let answer = closed.ask(h2_get()).await;
    assert_eq!(statuses(&answer), ["400"], "{answer:?}");
}

#[tokio::test]
async fn floods_of_http_2_control_frames_end_the_connection() {
    let server = Server::start(|_| ());
    let ping = [&[0, 0, 8, 6, 0, 0, 0, 0, 0][..], b"12345678"].concat();
    let mut client = server.connect().await;
    client.send([h2_get(), ping.repeat(100)].concat()).await;
    assert!(
        client.rest().await.ends_with("..."),
        "a hundred are nothing"
    );
    let flood = ping.repeat(5000);
    let (mut read, mut write) = client.0.into_split();
    let sent = tokio::spawn(async move {
        let _ = tokio::io::AsyncWriteExt::write_all(&mut write, &flood).await;
        write
    });
    let mut answer = Vec::new();
    let end = tokio::io::AsyncReadExt::read_to_end(&mut read, &mut answer);
    let end = tokio::time::timeout(Duration::from_secs(5), end).await;
    assert!(end.is_ok(), "cut, not endured");
    let goaway = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 11];
    assert!(
        answer.windows(goaway.len()).any(|frame| frame == goaway),
        "and told so: GOAWAY, ENHANCE_YOUR_CALM"
    );
    let lines = server.log.lines();
    assert!(
        lines.contains(&"refused 400 http2_flood".to_owned()),
        "{lines:?}"
    );
    drop(sent.await);
}
