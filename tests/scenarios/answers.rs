//! What servers answer: passed on as it is where it means one thing, refused where two readers could
//! disagree, and never a byte of one answer in another.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use harness::client::request;
use harness::{Answer, Client, Gateway, Upstream};

const OK: &str = "HTTP/1.1 200 OK\r\n";

/// Answers to a GET, and the content the client gets.
fn sane() -> Vec<(&'static str, String, &'static str)> {
    vec![
        ("length", format!("{OK}Content-Length: 3\r\n\r\nabc"), "abc"),
        ("nothing", format!("{OK}Content-Length: 0\r\n\r\n"), ""),
        (
            "chunks",
            format!(
                "{OK}Transfer-Encoding: chunked\r\n\r\n1;x=y\r\na\r\n2\r\nbc\r\n0\r\nA: b\r\n\r\n"
            ),
            "abc",
        ),
        ("until close", format!("{OK}\r\nabc"), "abc"),
        ("HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\nabc".to_owned(), "abc"),
        (
            "100 first",
            format!("HTTP/1.1 100 Continue\r\n\r\n{OK}Content-Length: 3\r\n\r\nabc"),
            "abc",
        ),
        (
            "no reason",
            "HTTP/1.1 200 \r\nContent-Length: 3\r\n\r\nabc".to_owned(),
            "abc",
        ),
    ]
}

/// Answers that are none: the client gets 502.
fn broken() -> Vec<(&'static str, String)> {
    let folded = format!("{OK}Content-Length: 3\r\nX: a\r\n b\r\n\r\nabc");
    let huge = format!("{OK}X: {}\r\n\r\n", "a".repeat(300_000));
    let interim = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(40);
    let mut cases = vec![
        ("no head", "hello\r\n\r\n".to_owned()),
        ("half a head", format!("{OK}Content-Length: 3\r\n")),
        ("folded", folded),
        ("huge", huge),
        (
            "101 unasked",
            "HTTP/1.1 101 Switching Protocols\r\n\r\n".to_owned(),
        ),
        (
            "status",
            "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n".to_owned(),
        ),
        (
            "interim without end",
            format!("{interim}{OK}Content-Length: 0\r\n\r\n"),
        ),
    ];
    for (name, framing) in [
        (
            "length and coding",
            "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        ),
        ("two lengths", "Content-Length: 3\r\nContent-Length: 4\r\n"),
        ("list of lengths", "Content-Length: 3, 3\r\n"),
        ("signed length", "Content-Length: +3\r\n"),
        ("no length", "Content-Length: \r\n"),
        ("huge length", "Content-Length: 99999999999999999999\r\n"),
        ("other coding", "Transfer-Encoding: gzip\r\n"),
        (
            "two codings",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        ),
        ("blank before colon", "Content-Length : 3\r\n"),
    ] {
        cases.push((name, format!("{OK}{framing}\r\nabc")));
    }
    cases
}

/// The gateway before a server that says `bytes` to whoever asks.
fn before(bytes: &str) -> (Gateway, Upstream) {
    let bytes = bytes.as_bytes().to_vec();
    let upstream = Upstream::answering(move |_| Answer::Raw(bytes.clone()));
    let gateway = Gateway::example("plain").before(&upstream).start();
    (gateway, upstream)
}

#[test]
fn sane_answers_pass_and_the_connection_stays_in_step() {
    for (name, bytes, content) in sane() {
        let (gateway, _upstream) = before(&bytes);
        let mut client = Client::connect(&gateway.address);
        for _ in 0..2 {
            client.send(&request("GET", "/a", &[("Connection", "keep-alive")], b""));
            let answer = client.answer();
            assert_eq!((answer.status, &*answer.text()), (200, content), "{name}");
        }
    }
}

#[test]
fn an_answer_that_reads_two_ways_is_none() {
    let cases = broken();
    let answer = Arc::new(AtomicUsize::new(0));
    let (current, bytes) = (Arc::clone(&answer), cases.clone());
    let upstream = Upstream::answering(move |_| {
        let (_, bytes) = &bytes[current.load(Ordering::SeqCst)];
        Answer::Raw(bytes.clone().into_bytes())
    });
    let gateway = Gateway::example("plain").before(&upstream).start();
    for (index, (name, _)) in cases.iter().enumerate() {
        answer.store(index, Ordering::SeqCst);
        let mut client = Client::connect(&gateway.address);
        client.send(&request("GET", &format!("/{index}"), &[], b""));
        let mut status = client.answer().status;
        while status == 103 {
            status = client.answer().status;
        }
        assert_eq!(status, 502, "{name}");
        let record = gateway.record_of(&format!("/{index}"));
        assert_eq!(record.text("/error"), "upstream failed", "{name}");
    }
}

#[test]
fn hints_reach_the_client_before_the_answer() {
    let hint = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n";
    let (gateway, _upstream) = before(&format!("{hint}{OK}Content-Length: 3\r\n\r\nabc"));
    let mut client = Client::connect(&gateway.address);
    client.send(&request("GET", "/", &[], b""));
    let first = client.head().unwrap().unwrap();
    assert_eq!(first.status, 103);
    assert_eq!(first.header("link"), Some("</a.css>"));
    let answer = client.answer();
    assert_eq!((answer.status, &*answer.text()), (200, "abc"));
}

#[test]
fn content_that_breaks_off_or_is_no_chunk_breaks_the_connection() {
    for bytes in [
        format!("{OK}Content-Length: 9\r\n\r\nabc"),
        format!("{OK}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0x2\r\nde\r\n0\r\n\r\n"),
    ] {
        let (gateway, _upstream) = before(&bytes);
        let mut client = Client::connect(&gateway.address);
        client.send(&request("GET", "/", &[], b""));
        assert_eq!(client.head().unwrap().unwrap().status, 200);
        let mut rest = Vec::new();
        while let Ok(more @ [_, ..]) = client.some_bytes().as_deref() {
            rest.extend_from_slice(more);
        }
        assert!(
            !rest.ends_with(b"0\r\n\r\n"),
            "the client can tell that it is not whole"
        );
        assert_eq!(gateway.record_of("/").text("/error"), "upstream failed");
    }
}

/// What a server says on a connection beyond its answer is nobody's answer.
#[test]
fn bytes_nobody_asked_for_reach_nobody() {
    for pause in [Duration::ZERO, Duration::from_millis(300)] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            for socket in listener.incoming() {
                let mut socket = socket.unwrap();
                thread::spawn(move || {
                    let mut bytes = [0; 4096];
                    while let Ok(1..) = socket.read(&mut bytes) {
                        let mut answer = format!("{OK}Content-Length: 2\r\n\r\nok");
                        let mut poison = format!("{OK}Content-Length: 6\r\n\r\npoison");
                        if pause.is_zero() {
                            answer.push_str(&std::mem::take(&mut poison));
                        }
                        let _ = socket.write_all(answer.as_bytes());
                        thread::sleep(pause);
                        let _ = socket.write_all(poison.as_bytes());
                    }
                });
            }
        });
        let gateway = Gateway::example("plain").with("UPSTREAM", url).start();
        for _ in 0..4 {
            assert_eq!(Client::get(&gateway.address, "/").text(), "ok");
            thread::sleep(pause * 2);
        }
    }
}

#[test]
fn a_server_may_close_its_idle_connections() {
    let upstream = Upstream::answering(|seen| match seen.message.target() {
        "/last" => Answer::Raw(format!("{OK}Content-Length: 2\r\n\r\nok").into_bytes()),
        _ => Answer::text("ok"),
    });
    let gateway = Gateway::example("plain").before(&upstream).start();
    let mut client = Client::connect(&gateway.address);
    for target in ["/", "/last", "/", "/last", "/last", "/"] {
        client.send(&request(
            "GET",
            target,
            &[("Connection", "keep-alive")],
            b"",
        ));
        assert_eq!(client.answer().text(), "ok");
    }
}

#[test]
fn answers_without_content_have_none() {
    let upstream = Upstream::answering(|seen| match seen.message.target() {
        "/204" => Answer::status(204),
        "/304" => Answer::status(304),
        _ => Answer::text("four"),
    });
    let gateway = Gateway::example("plain").before(&upstream).start();
    let mut client = Client::connect(&gateway.address);
    for (method, target, status) in [
        ("GET", "/204", 204),
        ("GET", "/304", 304),
        ("HEAD", "/", 200),
        ("OPTIONS", "/", 200),
    ] {
        client.send(&request(
            method,
            target,
            &[("Connection", "keep-alive")],
            b"",
        ));
        let answer = client.answer_to(method);
        let content = if method == "OPTIONS" { "four" } else { "" };
        assert_eq!(
            (answer.status, &*answer.text()),
            (status, content),
            "{method} {target}"
        );
    }
}
