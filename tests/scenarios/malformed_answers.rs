//! Upstreams that answer malformed: the client gets one answer that means one thing, and nothing that
//! follows is mistaken for the answer to somebody else's request.
#![expect(clippy::too_many_lines, reason = "a table of cases")]

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use harness::client::request;
use harness::frames::{self, Raw};
use harness::{Client, Gateway, Message};

const PATIENCE: Duration = Duration::from_secs(6);
const FINE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine";

/// What is said to a request for `/evil/N`, and the statuses the client may see.
fn answers() -> Vec<(&'static str, Vec<u8>, &'static [u16])> {
    let raw = |text: &str| text.as_bytes().to_vec();
    let head = |fields: &str| raw(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n"));
    let poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    let chunked = |body: &str| {
        raw(&format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}"
        ))
    };
    let begun: &[u16] = &[200, 0, 502];
    vec![
        (
            "bytes behind the answer",
            raw(&format!(
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok{poison}"
            )),
            &[200],
        ),
        (
            "bytes behind an answer without content",
            raw(&format!("HTTP/1.1 204 No Content\r\n\r\n{poison}")),
            &[204, 502],
        ),
        (
            "bytes behind 304",
            raw(&format!("HTTP/1.1 304 Not Modified\r\n\r\n{poison}")),
            &[304, 502],
        ),
        (
            "Content-Length and Transfer-Encoding",
            raw(
                "HTTP/1.1 200 OK\r\nContent-Length: 40\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            ),
            &[200, 502],
        ),
        (
            "two Content-Length",
            head("Content-Length: 2\r\nContent-Length: 9\r\n"),
            &[502],
        ),
        (
            "Content-Length +2",
            [head("Content-Length: +2\r\n"), raw("ok")].concat(),
            &[502],
        ),
        ("Content-Length -2", head("Content-Length: -2\r\n"), &[502]),
        (
            "a status line of another protocol",
            raw("ICY 200 OK\r\n\r\n"),
            &[502],
        ),
        ("no version", raw("200 OK\r\n\r\n"), &[502]),
        (
            "two digits",
            raw("HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n"),
            &[502],
        ),
        (
            "four digits",
            raw("HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n"),
            &[502],
        ),
        (
            "letters for digits",
            raw("HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n"),
            &[502],
        ),
        (
            "status 99",
            raw("HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n"),
            &[502],
        ),
        ("not HTTP at all", raw("\x16\x03\x01 hello\r\n\r\n"), &[502]),
        (
            "a field without a colon",
            head("Content-Length: 0\r\nbroken\r\n"),
            &[502],
        ),
        (
            "a blank in a field name",
            head("Content-Length: 0\r\na b: c\r\n"),
            &[502],
        ),
        (
            "a blank before the colon",
            head("Content-Length : 0\r\n"),
            &[200, 502],
        ),
        (
            "NUL in a value",
            head("Content-Length: 0\r\nX: a\0b\r\n"),
            &[502],
        ),
        (
            "a bare CR in a value",
            head("Content-Length: 0\r\nX: a\rSet-Cookie: b\r\n"),
            &[502],
        ),
        (
            "a head of 2 MB",
            head(&format!("X: {}\r\n", "a".repeat(2 << 20))),
            &[502],
        ),
        (
            "1,000 fields",
            head(
                &(0..1000)
                    .map(|n| format!("x{n}: y\r\n"))
                    .collect::<String>(),
            ),
            &[502],
        ),
        (
            "interim responses without end",
            raw("HTTP/1.1 100 Continue\r\n\r\n").repeat(5000),
            &[502],
        ),
        (
            "early hints without end",
            raw("HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n").repeat(5000),
            &[502],
        ),
        (
            "101 that nobody asked for",
            raw(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\npoison",
            ),
            &[502],
        ),
        (
            "a chunk size that is none",
            chunked("zz\r\nok\r\n0\r\n\r\n"),
            begun,
        ),
        (
            "a chunk longer than it says",
            chunked("2\r\nokay\r\n0\r\n\r\n"),
            begun,
        ),
        (
            "a chunk size that overflows",
            chunked("fffffffffffffffff\r\nok"),
            begun,
        ),
        (
            "a chunked answer and bytes behind it",
            chunked(&format!("2\r\nok\r\n0\r\n\r\n{poison}")),
            &[200],
        ),
        ("nothing", Vec::new(), &[502, 504]),
    ]
}

/// Answers `/evil/N` as told and keeps the connection; everything else is fine.
fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            thread::spawn(move || serve(&socket));
        }
    });
    address
}

fn serve(socket: &TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(socket.try_clone()?);
    let mut writer = socket.try_clone()?;
    let answers = answers();
    while let Some(message) = Message::read_head(&mut reader)? {
        let evil = message.target().strip_prefix("/evil/");
        let number: Option<usize> = evil.and_then(|number| number.parse().ok());
        match number.and_then(|number| answers.get(number)) {
            Some((_, bytes, _)) => writer.write_all(bytes)?,
            None => writer.write_all(FINE)?,
        }
    }
    Ok(())
}

fn gateway() -> Gateway {
    Gateway::routing(
        "upstreams: { app: { servers: [\"${APP}\"], timeouts: { read: 2s } } }
profiles: { default: { waf: { mode: off } } }
routes: [{ upstream: app }]
",
    )
    .with("APP", format!("http://{}", upstream()))
    .start()
}

#[test]
fn malformed_answers_poison_nobody() {
    let mut gateway = gateway();
    let mut wrong = Vec::new();
    for (number, (name, _, expected)) in answers().iter().enumerate() {
        let mut client = Client::connect(&gateway.address);
        let target = format!("/evil/{number}");
        client.send(&request(
            "GET",
            &target,
            &[("Connection", "keep-alive")],
            b"",
        ));
        let status = client.outcome(PATIENCE).status();
        if !expected.contains(&status) {
            wrong.push(format!("{name}: {status}"));
        }
        // What is left of it must not answer the next request: of this client, or of others.
        client.send(&request(
            "GET",
            "/fine",
            &[("Connection", "keep-alive")],
            b"",
        ));
        let own = client.outcome(PATIENCE);
        if let harness::Outcome::Answer(answer) = own
            && answer.body != b"fine"
        {
            wrong.push(format!("{name}: then {}", answer.text()));
        }
        for _ in 0..3 {
            let other = Client::get(&gateway.address, "/fine");
            if other.status != 200 || other.body != b"fine" {
                wrong.push(format!(
                    "{name}: others got {} {}",
                    other.status,
                    other.text()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(gateway.runs());
}

#[test]
fn nor_do_they_over_http_2() {
    let mut gateway = gateway();
    let mut wrong = Vec::new();
    for (number, (name, _, expected)) in answers().iter().enumerate() {
        let mut client = Raw::connect(&gateway.address);
        client.ask(1, &frames::get(&format!("/evil/{number}")));
        let interim = |status: &u16| (100..200).contains(status);
        let status = (0..40)
            .map(|_| client.status(1, PATIENCE))
            .find(|status| !interim(status))
            .unwrap_or(1);
        if !expected.contains(&status) {
            wrong.push(format!("{name}: {status}"));
        }
        client.ask(3, &frames::get("/fine"));
        let status = client.status(3, PATIENCE);
        if status != 200 {
            wrong.push(format!("{name}: then {status}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(gateway.runs());
}
