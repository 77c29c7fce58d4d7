//! HTTP/2 from clients that mean no good: malformed requests reach nothing and leave a record, floods
//! end with GOAWAY, and whoever dawdles is cut.

use std::time::{Duration, Instant};

use harness::frames::{
    self, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, Frame, GOAWAY, HEADERS,
    PING, PRIORITY, RST_STREAM, Raw, SETTINGS, WINDOW_UPDATE, fields, frame,
};
use harness::h2c::{self, Call};
use harness::{Answer, Client, Gateway, Upstream};

const PATIENCE: Duration = Duration::from_secs(5);

/// Replaces or adds a field of an ordinary request; pseudo fields stay in front.
fn with(name: &str, value: &[u8]) -> Vec<u8> {
    let mut all: Vec<(&[u8], &[u8])> = vec![
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":authority", b"app.example.com"),
        (b":path", b"/a"),
    ];
    match all.iter_mut().find(|(known, _)| *known == name.as_bytes()) {
        Some(field) => field.1 = value,
        None => all.push((name.as_bytes(), value)),
    }
    fields(&all)
}

/// An ordinary request without one of its pseudo fields.
fn without(name: &str) -> Vec<u8> {
    let all = [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "app.example.com"),
        (":path", "/a"),
    ];
    fields(
        &all.into_iter()
            .filter(|(known, _)| *known != name)
            .collect::<Vec<_>>(),
    )
}

/// Heads no upstream may see.
#[expect(clippy::too_many_lines, reason = "a table")]
fn malformed() -> Vec<(&'static str, Vec<u8>)> {
    let twice = |name: &str, value: &str| {
        [with("x", b"y"), fields(&[(name, value), (name, value)])].concat()
    };
    let doubled = |name: &'static str, value: &'static str| {
        let all = [
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "app.example.com"),
            (":path", "/a"),
            (name, value),
        ];
        fields(&all)
    };
    vec![
        ("CR LF in a value", with("x", b"a\r\nb: c")),
        ("LF in a value", with("x", b"a\nb")),
        ("NUL in a value", with("x", b"a\0b")),
        ("DEL in a value", with("x", b"a\x7fb")),
        ("a control byte in a value", with("x", b"a\x01b")),
        ("CR LF in the path", with(":path", b"/a\r\nx: y")),
        ("NUL in the path", with(":path", b"/a\0b")),
        ("a blank in the path", with(":path", b"/a b")),
        ("a tab in the path", with(":path", b"/a\tb")),
        (
            "bytes beyond ASCII in the path",
            with(":path", b"/\xc3\xa9"),
        ),
        (
            "a whole request line in the path",
            with(":path", b"/a HTTP/1.1\r\nHost: evil\r\n\r\n"),
        ),
        ("absolute form in the path", with(":path", b"http://evil/a")),
        (
            "a path that does not begin with a slash",
            with(":path", b"a"),
        ),
        ("an asterisk with GET", with(":path", b"*")),
        ("an empty path", with(":path", b"")),
        ("no path", without(":path")),
        ("two paths", doubled(":path", "/b")),
        ("no method", without(":method")),
        ("two methods", doubled(":method", "POST")),
        (
            "CR LF in the method",
            with(":method", b"GET / HTTP/1.1\r\nx: "),
        ),
        ("a blank in the method", with(":method", b"G T")),
        ("an empty method", with(":method", b"")),
        ("a method of 2,000 bytes", with(":method", &[b'A'; 2000])),
        ("no scheme", without(":scheme")),
        ("two schemes", doubled(":scheme", "https")),
        ("a URL as scheme", with(":scheme", b"http://evil/x?")),
        ("another scheme", with(":scheme", b"gopher")),
        ("no authority and no host", without(":authority")),
        ("two authorities", doubled(":authority", "evil")),
        ("CR LF in the authority", with(":authority", b"a\r\nx: y")),
        ("a path in the authority", with(":authority", b"a/b")),
        (
            "userinfo in the authority",
            with(":authority", b"user@app.example.com"),
        ),
        ("port 0", with(":authority", b"app.example.com:0")),
        ("an empty port", with(":authority", b"app.example.com:")),
        ("a comma in the authority", with(":authority", b"a,b")),
        ("another host than the authority", with("host", b"evil")),
        ("the host in other case", with("host", b"APP.example.com")),
        ("two hosts", twice("host", "app.example.com")),
        ("an upper-case name", with("X-Upper", b"y")),
        ("a colon in a name", with("a:b", b"y")),
        ("CR LF in a name", with("a\r\nb", b"y")),
        ("NUL in a name", with("a\0b", b"y")),
        ("a blank in a name", with("a b", b"y")),
        ("an empty name", with("", b"y")),
        ("an unknown pseudo field", with(":evil", b"y")),
        ("a pseudo field of responses", with(":status", b"200")),
        (
            "a pseudo field behind others",
            [with("x", b"y"), fields(&[(":path", "/b")])].concat(),
        ),
        (":protocol without CONNECT", with(":protocol", b"websocket")),
        (
            "Transfer-Encoding (h2.TE)",
            with("transfer-encoding", b"chunked"),
        ),
        ("Connection", with("connection", b"close")),
        (
            "Connection: Transfer-Encoding",
            with("connection", b"transfer-encoding"),
        ),
        ("Keep-Alive", with("keep-alive", b"timeout=5")),
        ("Proxy-Connection", with("proxy-connection", b"keep-alive")),
        ("Upgrade", with("upgrade", b"h2c")),
        ("TE other than trailers", with("te", b"gzip")),
        ("Content-Length with a sign", with("content-length", b"+3")),
        (
            "Content-Length in hexadecimal",
            with("content-length", b"0x0"),
        ),
        ("a list of Content-Length", with("content-length", b"0, 0")),
        ("two Content-Length", twice("content-length", "0")),
        (
            "a longer Content-Length than content",
            with("content-length", b"3"),
        ),
        (
            "a name that reads like Content-Length",
            with("content_length", b"3"),
        ),
        (
            "a name that reads like X-Forwarded-For",
            with("x_forwarded_for", b"6.6.6.6"),
        ),
        ("an unknown expectation", with("expect", b"y 100-continue")),
        ("two Content-Type", twice("content-type", "text/plain")),
        ("TRACE", with(":method", b"TRACE")),
        ("CONNECT with a path", with(":method", b"CONNECT")),
        (
            "CONNECT",
            fields(&[(":method", "CONNECT"), (":authority", "evil:25")]),
        ),
        (
            "CONNECT for another protocol",
            fields(&[
                (":method", "CONNECT"),
                (":protocol", "connect-udp"),
                (":scheme", "http"),
                (":authority", "app.example.com"),
                (":path", "/a"),
            ]),
        ),
        ("an index nobody defined", vec![0xff, 0xff, 0x03]),
    ]
}

#[test]
fn malformed_requests_reach_nothing_and_leave_a_record() {
    let upstream = Upstream::echo();
    let gateway = Gateway::example("plain").before(&upstream).start();
    let mut wrong = Vec::new();
    let cases = malformed();
    assert!(cases.len() > 60);
    for (number, (name, block)) in cases.iter().enumerate() {
        let mut client = Raw::connect(&gateway.address);
        client.ask(1, block);
        let status = client.status(1, PATIENCE);
        if !(status == 0 || (400..=501).contains(&status)) {
            wrong.push(format!("{name}: answered {status}"));
        }
        let recorded = harness::gateway::eventually("a record", || {
            Some(gateway.records().len()).filter(|count| *count > number)
        });
        if recorded != number + 1 {
            wrong.push(format!(
                "{name}: {recorded} records instead of {}",
                number + 1
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(upstream.count(), 0, "{:?}", upstream.requests());
    let gate = |record: &harness::Record| record.text("/layer") == "gate";
    assert!(gateway.records().iter().all(gate));
}

#[test]
fn innocent_neighbours_pass() {
    let upstream = Upstream::echo();
    let gateway = Gateway::example("plain").before(&upstream).start();
    let crumbs: Vec<u8> = (0..1000)
        .flat_map(|n| fields(&[("cookie", format!("c{n}=1"))]))
        .collect();
    let cases = [
        ("an ordinary request", with("x", b"y")),
        ("the host again", with("host", b"app.example.com")),
        ("a port", with(":authority", b"app.example.com:8443")),
        ("TE: trailers", with("te", b"trailers")),
        ("Content-Length 0", with("content-length", b"0")),
        ("two slashes", with(":path", b"//evil")),
        ("bytes beyond ASCII in a value", with("x", b"\xc3\xa9")),
        ("a thousand cookies", [with("x", b"y"), crumbs].concat()),
        ("OPTIONS of everything", {
            let all = [
                (":method", "OPTIONS"),
                (":scheme", "http"),
                (":authority", "app.example.com"),
                (":path", "*"),
            ];
            fields(&all)
        }),
    ];
    for (number, (name, block)) in cases.iter().enumerate() {
        let mut client = Raw::connect(&gateway.address);
        client.ask(1, block);
        assert_eq!(client.status(1, PATIENCE), 200, "{name}");
        assert_eq!(upstream.count(), number + 1, "{name}");
    }
    for seen in upstream.requests() {
        let host = seen.message.header("host").unwrap_or_default().to_owned();
        assert!(host.starts_with("app.example.com"), "{host}");
        let cookies: Vec<_> = seen.message.headers_named("cookie").collect();
        assert!(cookies.len() < 2, "crumbs are joined");
    }
}

/// Frames that break a connection or a stream, each answered with an error, none with silence.
#[test]
fn broken_frames_are_errors() {
    let upstream = Upstream::echo();
    let mut gateway = Gateway::example("plain").before(&upstream).start();
    let get = frames::get("/a");
    let head = |stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, &get);
    let window = |stream, by: u32| frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes());
    let cases = [
        ("an even stream", head(2)),
        ("stream 0", head(0)),
        ("a stream used again", [head(5), head(3)].concat()),
        ("DATA on a stream nobody opened", frame(DATA, 0, 1, b"x")),
        ("DATA on stream 0", frame(DATA, 0, 0, b"x")),
        (
            "CONTINUATION out of nowhere",
            frame(CONTINUATION, END_HEADERS, 1, &get),
        ),
        ("a frame between HEADERS and CONTINUATION", {
            [
                frame(HEADERS, END_STREAM, 1, &get),
                frame(PING, 0, 0, &[0; 8]),
            ]
            .concat()
        }),
        ("a frame of 20 kB", frame(DATA, 0, 1, &[0; 20_000])),
        ("a PING of 6 bytes", frame(PING, 0, 0, &[0; 6])),
        ("SETTINGS on a stream", frame(SETTINGS, 0, 1, &[])),
        ("SETTINGS of 5 bytes", frame(SETTINGS, 0, 0, &[0; 5])),
        (
            "a window of 2^31",
            [window(0, 0x7fff_ffff), window(0, 1)].concat(),
        ),
        ("a window that grows by nothing", window(0, 0)),
        (
            "padding longer than the frame",
            frame(DATA, 8 | END_STREAM, 1, &[200, 0]),
        ),
        ("PUSH_PROMISE", frame(5, END_HEADERS, 1, &[0, 0, 0, 2])),
        ("a priority that depends on itself", {
            frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 16])
        }),
    ];
    for (name, bytes) in &cases {
        let mut client = Raw::connect(&gateway.address);
        client.send(bytes);
        let failed = |frame: &Frame| matches!(frame.kind, GOAWAY | RST_STREAM);
        let frames = client.until(PATIENCE, failed);
        assert!(frames.last().is_some_and(failed), "{name}: {frames:?}");
    }
    assert!(gateway.runs());
    let whole = upstream
        .requests()
        .iter()
        .filter(|seen| seen.complete)
        .count();
    assert!(whole <= 1, "only the first of two streams may arrive");
}

/// What is sent again and again: the head of the connection first, then a unit that is repeated.
struct Flood {
    name: &'static str,
    first: Vec<u8>,
    unit: Box<dyn Fn(u32) -> Vec<u8>>,
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn floods() -> Vec<Flood> {
    let flood = |name, unit: Box<dyn Fn(u32) -> Vec<u8>>| Flood {
        name,
        first: Vec::new(),
        unit,
    };
    let id = |n: u32| 2 * n + 1;
    let reset = |stream| frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
    let get = frames::get("/slow");
    let whole = move |stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, &get);
    let open = |stream| {
        frame(
            HEADERS,
            END_HEADERS,
            stream,
            &frames::request("POST", "/slow"),
        )
    };
    let head = frame(HEADERS, END_STREAM, 1, &frames::get("/a"));
    vec![
        flood("rapid reset", {
            let whole = whole.clone();
            Box::new(move |n| [whole(id(n)), reset(id(n))].concat())
        }),
        flood("MadeYouReset by a window that grows by nothing", {
            Box::new(move |n| [open(id(n)), frame(WINDOW_UPDATE, 0, id(n), &[0; 4])].concat())
        }),
        flood("MadeYouReset by a window that overflows", {
            Box::new(move |n| {
                let all = 0x7fff_ffff_u32.to_be_bytes();
                [open(id(n)), frame(WINDOW_UPDATE, 0, id(n), &all)].concat()
            })
        }),
        flood("MadeYouReset by DATA after the end", {
            let whole = whole.clone();
            Box::new(move |n| [whole(id(n)), frame(DATA, 0, id(n), b"x")].concat())
        }),
        flood("MadeYouReset by a dependency on itself", {
            Box::new(move |n| {
                let own = [&id(n).to_be_bytes()[..], &[16]].concat();
                [open(id(n)), frame(PRIORITY, 0, id(n), &own)].concat()
            })
        }),
        flood("requests without a path", {
            let block = without(":path");
            Box::new(move |n| frame(HEADERS, END_HEADERS | END_STREAM, id(n), &block))
        }),
        flood("requests for another host", {
            let block = with("host", b"evil");
            Box::new(move |n| frame(HEADERS, END_HEADERS | END_STREAM, id(n), &block))
        }),
        Flood {
            name: "CONTINUATION",
            first: head.clone(),
            unit: Box::new(|n| {
                frame(
                    CONTINUATION,
                    0,
                    1,
                    &fields(&[(format!("x{n}"), vec![b'a'; 1000])]),
                )
            }),
        },
        Flood {
            name: "empty CONTINUATION",
            first: head,
            unit: Box::new(|_| frame(CONTINUATION, 0, 1, &[])),
        },
        flood(
            "SETTINGS",
            Box::new(|_| frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff])),
        ),
        flood("empty SETTINGS", Box::new(|_| frame(SETTINGS, 0, 0, &[]))),
        flood("PING", Box::new(|_| frame(PING, 0, 0, b"12345678"))),
        flood(
            "PRIORITY",
            Box::new(move |n| frame(PRIORITY, 0, id(n + 1), &[0, 0, 0, 1, 7])),
        ),
        flood(
            "WINDOW_UPDATE",
            Box::new(|_| frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ),
        flood("unknown frames", Box::new(|_| frame(0xbe, 0, 0, &[]))),
        Flood {
            name: "empty DATA",
            first: open(1),
            unit: Box::new(|_| frame(DATA, 0, 1, &[])),
        },
        flood("headers without name and value", {
            Box::new(move |n| {
                let nothing = fields(&[("", ""); 100]);
                frame(HEADERS, END_HEADERS | END_STREAM, id(n), &nothing)
            })
        }),
    ]
}

#[test]
fn floods_end_with_goaway_and_cost_little_memory() {
    // Slow enough that no answer explains the next frame.
    let late = Answer::Later(Duration::from_secs(3), Box::new(Answer::status(200)));
    let upstream = Upstream::answering(move |seen| match seen.message.target() {
        "/slow" => late.clone(),
        _ => Answer::status(200),
    });
    let mut gateway = Gateway::example("plain").before(&upstream).start();
    assert_eq!(Client::get(&gateway.address, "/").status, 200);
    let before = gateway.resident_kib();
    for Flood { name, first, unit } in floods() {
        let mut client = Raw::connect(&gateway.address);
        client.send(&first);
        let begin = Instant::now();
        let mut sent = 0;
        'sending: while sent < 20_000 {
            let batch: Vec<u8> = (sent..sent + 50).flat_map(&unit).collect();
            sent += 50;
            if !client.send(&batch) {
                break 'sending;
            }
        }
        let code = client.goaway(PATIENCE);
        // A frame that is an error by itself ends the connection with a code of its own.
        let broken = ["MadeYouReset", "headers without name"]
            .iter()
            .any(|start| name.starts_with(start));
        assert!(
            code == Some(ENHANCE_YOUR_CALM) || broken && code.is_some(),
            "{name}: {code:?}: after {sent}, {:?}",
            begin.elapsed()
        );
        while client.next(PATIENCE).is_some() {}
        assert!(client.closed, "{name}: left open");
        assert_eq!(Client::get(&gateway.address, "/").status, 200, "{name}");
    }
    assert!(gateway.runs());
    let grown = gateway.resident_kib().saturating_sub(before);
    assert!(grown < 32 << 10, "{grown} KiB more");
    let records = std::fs::read_to_string(gateway.record_file()).unwrap();
    let floods = records.matches("http2_flood").count();
    assert!(floods >= 10, "{floods}");
}

/// A small block that unfolds to megabytes: one long entry, then thousands of references to it.
#[test]
fn a_header_bomb_is_refused_unread() {
    let upstream = Upstream::echo();
    let mut gateway = Gateway::example("plain").before(&upstream).start();
    let long = "a".repeat(4000);
    let mut block = frames::get("/a");
    let mut entry = fields(&[("x", long.as_str())]);
    entry[0] = 0x40; // literal with indexing: 62 from now on
    block.extend(entry);
    block.extend([0x80 | 62; 10_000]);
    let before = gateway.resident_kib();
    let mut client = Raw::connect(&gateway.address);
    client.ask(1, &block);
    let status = client.status(1, PATIENCE);
    assert!(matches!(status, 0 | 431), "{status}");
    assert!(gateway.runs());
    assert_eq!(upstream.count(), 0);
    assert!(gateway.resident_kib().saturating_sub(before) < 16 << 10);
}

const QUICK: &str = r#"
listeners:
  - address: "${LISTEN}"
    head: { deadline: 1s }
    body: { deadline: 2s }
    h2: { idle: 1s }
admin: { address: "${ADMIN}" }
audit: { output: "${AUDIT_LOG}" }
upstreams:
  app: { servers: ["${UPSTREAM}"], timeouts: { read: 20s } }
routes: [{ upstream: app }]
"#;

#[test]
fn a_body_that_does_not_come_is_given_up_at_its_deadline() {
    let upstream = Upstream::echo();
    let gateway = Gateway::configured(QUICK).before(&upstream).start();
    let mut client = Raw::connect(&gateway.address);
    client.send(&frame(
        HEADERS,
        END_HEADERS,
        1,
        &frames::request("POST", "/late"),
    ));
    client.send(&frame(DATA, 0, 1, b"half"));
    let begin = Instant::now();
    assert_eq!(client.status(1, PATIENCE), 408);
    assert!(
        (1500..4000).contains(&begin.elapsed().as_millis()),
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(gateway.record_of("/late").status(), 408);
    assert!(!upstream.requests().iter().any(|seen| seen.complete));
    // The connection goes on.
    client.ask(3, &frames::get("/next"));
    assert_eq!(client.status(3, PATIENCE), 200);
}

#[test]
fn a_head_that_does_not_end_is_given_up_at_its_deadline() {
    let upstream = Upstream::echo();
    let gateway = Gateway::configured(QUICK).before(&upstream).start();
    let mut client = Raw::connect(&gateway.address);
    client.send(&frame(HEADERS, END_STREAM, 1, &frames::get("/a")));
    let begin = Instant::now();
    assert_eq!(client.goaway(PATIENCE), Some(ENHANCE_YOUR_CALM));
    assert!(
        (900..3000).contains(&begin.elapsed().as_millis()),
        "{:?}",
        begin.elapsed()
    );
    let record = gateway.record(|record| record.status() == 408);
    assert_eq!(record.text("/layer"), "gate");
}

#[test]
fn a_connection_without_streams_is_sent_away() {
    let upstream = Upstream::echo();
    let gateway = Gateway::configured(QUICK).before(&upstream).start();
    let mut client = Raw::connect(&gateway.address);
    client.ask(1, &frames::get("/a"));
    assert_eq!(client.status(1, PATIENCE), 200);
    let begin = Instant::now();
    assert_eq!(client.goaway(PATIENCE), Some(0));
    assert!(
        (800..3000).contains(&begin.elapsed().as_millis()),
        "{:?}",
        begin.elapsed()
    );
    while client.next(PATIENCE).is_some() {}
    assert!(client.closed);
}

#[test]
fn a_streams_answer_waits_for_the_window_of_its_client() {
    let upstream = Upstream::answering(|_| Answer::text(&"x".repeat(100_000)));
    let gateway = Gateway::example("plain").before(&upstream).start();
    let mut client = Raw::with_settings(&gateway.address, &[(4, 10)]);
    client.ask(1, &frames::get("/a"));
    let ends = |frame: &Frame| frame.kind == DATA;
    let seen = client.until(PATIENCE, ends);
    assert_eq!(
        seen.last().unwrap().payload.len(),
        10,
        "no more than the window"
    );
    client.send(&frame(WINDOW_UPDATE, 0, 1, &20_u32.to_be_bytes()));
    assert_eq!(
        client.until(PATIENCE, ends).last().unwrap().payload.len(),
        20
    );
}

#[test]
fn termination_says_goaway_and_lets_streams_finish() {
    let late = Answer::Later(Duration::from_secs(1), Box::new(Answer::text("done")));
    let upstream = Upstream::answering(move |_| late.clone());
    let mut gateway = Gateway::example("plain").before(&upstream).start();
    let mut client = Raw::connect(&gateway.address);
    client.ask(1, &frames::get("/late"));
    upstream.wait_for(1);
    gateway.signal("TERM");
    let frames = client.until(PATIENCE, |frame| frame.stream == 1 && frame.kind == HEADERS);
    assert!(
        frames
            .iter()
            .any(|frame| frame.kind == GOAWAY && frame.code() == 0),
        "{frames:?}"
    );
    assert_eq!(frames.last().unwrap().status(), 200);
    // Answers the PING that goes with it, as a client does.
    for ping in frames
        .iter()
        .filter(|frame| frame.kind == PING && frame.flags == 0)
    {
        client.send(&frame(PING, 1, 0, &ping.payload));
    }
    while client.next(PATIENCE).is_some() {}
    assert!(gateway.wait().success());
}

#[test]
fn interim_responses_reach_the_client() {
    let upstream = Upstream::answering(|_| {
        Answer::Raw(
            b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n\
              HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
                .to_vec(),
        )
    });
    let gateway = Gateway::example("plain").before(&upstream).start();
    let mut client = Raw::connect(&gateway.address);
    client.ask(1, &frames::get("/hints"));
    let frames = client.until(PATIENCE, Frame::ends_stream);
    let heads: Vec<u16> = frames
        .iter()
        .filter(|frame| frame.kind == HEADERS)
        .map(Frame::status)
        .collect();
    assert_eq!(heads, [103, 200]);
}

#[test]
fn a_client_that_expects_100_is_told_to_go_on() {
    let upstream = Upstream::echo();
    let gateway = Gateway::example("waf").before(&upstream).start();
    let mut client = Raw::connect(&gateway.address);
    let block = [
        frames::request("POST", "/up"),
        fields(&[
            ("expect", "100-continue"),
            ("content-type", "text/plain"),
            ("content-length", "2"),
        ]),
    ]
    .concat();
    client.send(&frame(HEADERS, END_HEADERS, 1, &block));
    assert_eq!(client.status(1, PATIENCE), 100);
    assert_eq!(upstream.count(), 0);
    client.send(&frame(DATA, END_STREAM, 1, b"ok"));
    assert_eq!(client.status(1, PATIENCE), 200);
    assert_eq!(upstream.only_request().body, b"ok");
}

fn websocket(path: &str) -> Vec<u8> {
    fields(&[
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":authority", "app.example.com"),
        (":path", path),
        ("sec-websocket-version", "13"),
        ("origin", "http://app.example.com"),
        (
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/140.0",
        ),
    ])
}

#[test]
fn a_web_socket_over_http_2_is_a_pipe_in_both_directions() {
    let upstream = Upstream::answering(|_| Answer::Upgrade("websocket".to_owned()));
    let gateway = Gateway::example("waf").before(&upstream).start();
    let mut client = Raw::connect(&gateway.address);
    client.send(&frame(HEADERS, END_HEADERS, 1, &websocket("/chat")));
    assert_eq!(client.status(1, PATIENCE), 200);
    for bytes in [&b"\x81\x05hello"[..], b"\x82\x03\x00\x01\x02"] {
        client.send(&frame(DATA, 0, 1, bytes));
        let seen = client.until(PATIENCE, |frame| frame.kind == DATA);
        assert_eq!(seen.last().unwrap().payload, bytes);
        std::thread::sleep(Duration::from_millis(200));
    }
    // Another stream of the same connection is served meanwhile, and the end is passed on.
    client.send(&frame(DATA, END_STREAM, 1, b""));
    let seen = client.until(PATIENCE, Frame::ends_stream);
    assert_eq!(seen.last().unwrap().stream, 1);
    let seen = upstream.only_request();
    assert_eq!(seen.method(), "GET");
    assert_eq!(seen.header("upgrade"), Some("websocket"));
    assert_eq!(seen.header("sec-websocket-key").map(str::len), Some(24));
    assert_eq!(
        gateway.record_of("/chat").text("/request/protocol"),
        "HTTP/2.0"
    );
}

#[test]
fn a_web_socket_over_http_2_is_inspected_and_needs_an_upstream_that_agrees() {
    let upstream = Upstream::answering(|_| Answer::text("no WebSocket here"));
    let gateway = Gateway::example("waf").before(&upstream).start();
    let attack = "/chat?room=%3Cscript%3Ealert(document.cookie)%3C/script%3E";
    for (path, status) in [(attack, 403), ("/chat", 502)] {
        let mut client = Raw::connect(&gateway.address);
        client.send(&frame(HEADERS, END_HEADERS, 1, &websocket(path)));
        assert_eq!(client.status(1, PATIENCE), status, "{path}");
    }
    assert_eq!(upstream.count(), 1, "the attack did not arrive");
}

#[test]
fn bytes_ahead_of_the_upstreams_consent_wait() {
    let late = Answer::Later(
        Duration::from_millis(500),
        Box::new(Answer::Upgrade("websocket".to_owned())),
    );
    let upstream = Upstream::answering(move |_| late.clone());
    let gateway = Gateway::example("plain").before(&upstream).start();
    let mut client = Raw::connect(&gateway.address);
    client.send(&frame(HEADERS, END_HEADERS, 1, &websocket("/chat")));
    let hidden = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    client.send(&frame(DATA, 0, 1, hidden));
    assert_eq!(client.status(1, PATIENCE), 200);
    let seen = client.until(PATIENCE, |frame| frame.kind == DATA);
    assert_eq!(
        seen.last().unwrap().payload,
        hidden,
        "bytes of the tunnel, echoed"
    );
    assert_eq!(upstream.count(), 1);
}

#[test]
fn calls_of_one_connection_are_balanced_one_by_one() {
    let servers = [h2c::H2cUpstream::start(), h2c::H2cUpstream::start()];
    let gateway = Gateway::routing(
        "upstreams: { greeter: { servers: [\"${A}\", \"${B}\"], protocol: h2c, grpc: true } }
routes: [{ upstream: greeter }]
",
    )
    .with("A", format!("http://{}", servers[0].address))
    .with("B", format!("http://{}", servers[1].address))
    .start();
    let calls = (0..20)
        .map(|n| {
            Call::new("POST", "/greeter.Greeter/SayHello")
                .header("content-type", "application/grpc")
                .header("te", "trailers")
                .body(format!("call {n}"))
        })
        .collect();
    let replies = h2c::exchange(&gateway.address, calls).unwrap();
    assert_eq!(replies.len(), 20);
    let trailers = replies.iter().filter_map(|reply| reply.trailers.as_ref());
    assert_eq!(
        trailers
            .filter(|fields| fields["grpc-status"] == "0")
            .count(),
        20
    );
    let counts = servers.each_ref().map(|server| server.bodies().len());
    assert_eq!(counts, [10, 10]);
}
