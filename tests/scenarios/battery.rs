//! The whole battery of odd HTTP/1 requests, family by family, judged by a strict lint of every byte
//! that reached the upstream: nothing ambiguous arrives, what must be refused gets a 4xx, nothing hangs,
//! and the gateway lives.
#![expect(clippy::too_many_lines, reason = "tables of cases")]

use std::thread;
use std::time::Duration;

use harness::lint::lint;
use harness::wire::Wire;
use harness::{Client, Gateway, Outcome};

/// Longer than the grace a silent body has; an honest answer is there at once.
const PATIENCE: Duration = Duration::from_secs(9);

/// What has to become of a case.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Want {
    /// A 4xx or 5xx of the gateway's own; nothing arrives.
    Refused,
    /// It arrives, once.
    Passes,
    /// Either, as long as what arrives is strict.
    Either,
}
use Want::{Either, Passes, Refused};

struct Case {
    name: String,
    bytes: Vec<u8>,
    want: Want,
}

fn case(want: Want, name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Case {
    Case {
        name: name.into(),
        bytes: bytes.into(),
        want,
    }
}

/// `/CASE` stands for a path of the case's own.
fn post(fields: &str, body: &str) -> String {
    format!("POST /CASE HTTP/1.1\r\nHost: q\r\n{fields}\r\n{body}")
}

fn get(fields: &str) -> String {
    format!("GET /CASE HTTP/1.1\r\nHost: q\r\n{fields}\r\n")
}

/// Each character is one byte.
fn latin1(text: &str) -> Vec<u8> {
    text.chars()
        .map(|c| u8::try_from(u32::from(c)).unwrap())
        .collect()
}

const CHUNKS: &str = "3\r\nabc\r\n0\r\n\r\n";
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: q\r\n\r\n";

fn lengths() -> Vec<Case> {
    let mut cases = vec![
        case(
            Refused,
            "CL.TE",
            post(
                "Content-Length: 40\r\nTransfer-Encoding: chunked\r\n",
                &format!("0\r\n\r\n{SMUGGLED}"),
            ),
        ),
        case(
            Refused,
            "TE.CL",
            post(
                "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
                &format!("22\r\n{SMUGGLED}\r\n0\r\n\r\n"),
            ),
        ),
        case(Passes, "CL.0, a request as body of GET", {
            let head = get(&format!("Content-Length: {}\r\n", SMUGGLED.len()));
            format!("{head}{SMUGGLED}")
        }),
        case(Passes, "0.CL, the body sent ahead of 100", {
            let fields = format!(
                "Expect: 100-continue\r\nContent-Length: {}\r\n",
                SMUGGLED.len()
            );
            post(&fields, SMUGGLED)
        }),
        case(Refused, "0.CL by an unknown expectation", {
            let fields = format!(
                "Expect: y 100-continue\r\nContent-Length: {}\r\n",
                SMUGGLED.len()
            );
            post(&fields, SMUGGLED)
        }),
        case(
            Refused,
            "two expectations",
            post(
                "Expect: 100-continue\r\nExpect: x\r\nContent-Length: 2\r\n",
                "ab",
            ),
        ),
        case(
            Refused,
            "TE on HTTP/1.0",
            format!("POST /CASE HTTP/1.0\r\nHost: q\r\nTransfer-Encoding: chunked\r\n\r\n{CHUNKS}"),
        ),
        case(
            Refused,
            "Content-Length hidden behind a bare LF",
            post("X: a\nContent-Length: 3\r\n", "abc"),
        ),
        case(
            Refused,
            "Content-Length that promises more than comes",
            post("Content-Length: 9\r\n", "abc"),
        ),
        case(
            Refused,
            "two Content-Length, one folded",
            post("Content-Length: 3\r\n Content-Length: 9\r\n", "abc"),
        ),
        case(
            Refused,
            "the length of a WebSocket handshake",
            get(
                "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nContent-Length: 3\r\n",
            ),
        ),
    ];
    for value in [
        "+3",
        "-3",
        "0x3",
        "03",
        "0_3",
        "3e0",
        "3.0",
        "",
        "18446744073709551616",
        "18446744073709551619",
        "9223372036854775808",
        "\u{a0}3",
        "\u{b}3",
        "\u{c}3",
        "\u{d9}\u{a3}",
        "3 bytes",
        "3;",
        "3,",
        ",3",
        "3, 3",
        "3,4",
        "3 3",
        "\"3\"",
        "3\u{0}",
        "\u{85}3",
        "3\u{a0}",
    ] {
        let bytes = latin1(&post(&format!("Content-Length: {value}\r\n"), "abc"));
        cases.push(case(Refused, format!("Content-Length {value:?}"), bytes));
    }
    for field in [
        "Content-Length : 3",
        "Content-Length\t: 3",
        " Content-Length: 3",
        "\tContent-Length: 3",
        "Content-Length: 3\r\nContent-Length: 3",
        "Content-Length: 3\r\nContent-Length: 4",
        "Content-Length: 3\r\ncontent-length: 3",
        "Content_Length: 3",
        "Content-Length\u{0}: 3",
        "Content Length: 3",
        "Content-Length",
        "Content-Length: 3\r\nConnection: Content-Length",
        "Content-Length: 3\r\nTransfer-Encoding: identity",
        "Content-Length: 3\r\nTransfer_Encoding: chunked",
    ] {
        cases.push(case(
            Refused,
            format!("{field:?}"),
            post(&format!("{field}\r\n"), "abc"),
        ));
    }
    cases
}

fn codings() -> Vec<Case> {
    let mut cases = Vec::new();
    let controls = (0..=0x20).chain([0x7f, 0x80, 0x85, 0xa0, 0xad, 0xff]);
    for byte in controls.map(char::from) {
        let blank = byte == ' ' || byte == '\t';
        for (place, field, harmless) in [
            (
                "before the name",
                format!("{byte}Transfer-Encoding: chunked"),
                false,
            ),
            (
                "in the name",
                format!("Transfer{byte}-Encoding: chunked"),
                false,
            ),
            (
                "after the name",
                format!("Transfer-Encoding{byte}: chunked"),
                false,
            ),
            (
                "after the colon",
                format!("Transfer-Encoding:{byte}chunked"),
                blank,
            ),
            (
                "in the value",
                format!("Transfer-Encoding: chu{byte}nked"),
                false,
            ),
            (
                "after the value",
                format!("Transfer-Encoding: chunked{byte}"),
                blank,
            ),
        ] {
            let name = format!("{:#04x} {place}", u32::from(byte));
            let want = if harmless { Passes } else { Refused };
            let bytes = latin1(&post(&format!("{field}\r\n"), CHUNKS));
            cases.push(case(want, name.clone(), bytes));
            // The same disguise beside a length: whoever sees through it reads another end.
            let bytes = latin1(&post(&format!("Content-Length: 4\r\n{field}\r\n"), CHUNKS));
            cases.push(case(Refused, format!("{name}, and a length"), bytes));
        }
    }
    for value in [
        "chunked, cow",
        "cow, chunked",
        "cow",
        "identity",
        "identity, chunked",
        "chunked, identity",
        "gzip, chunked",
        "chunked, chunked",
        "chunked,",
        ",chunked",
        "\"chunked\"",
        "'chunked'",
        "chunked;a=b",
        "chunked;",
        "xchunked",
        "chunkedx",
        "chunk",
        "",
        "chunked\r\n , cow",
        "\r\n chunked",
        "chunked\r\nTransfer-Encoding: chunked",
        "chunked\r\nTransfer-Encoding: cow",
        "cow\r\nTransfer-Encoding: chunked",
        "identity\r\nTransfer-Encoding: chunked",
        "x\nTransfer-Encoding: chunked",
        "chunked\r\nConnection: Transfer-Encoding",
        "chunked\r\nTE: chunked\r\nTransfer-Encoding: x",
        "CHUNKED, x",
        "ch\u{fc}nked",
    ] {
        let bytes = latin1(&post(&format!("Transfer-Encoding: {value}\r\n"), CHUNKS));
        cases.push(case(Refused, format!("Transfer-Encoding {value:?}"), bytes));
    }
    for field in [
        "Transfer_Encoding: chunked",
        "TRANSFER_ENCODING: chunked",
        "X: X\nTransfer-Encoding: chunked",
        "X: X\rTransfer-Encoding: chunked",
        "Transfer Encoding: chunked",
        "Transfer-Encoding chunked",
        "Transfer-Encoding",
        ":Transfer-Encoding: chunked",
        "Transfer-Encoding:: chunked",
        "\"Transfer-Encoding\": chunked",
        "Foo: bar\r\n\rTransfer-Encoding: chunked",
    ] {
        cases.push(case(
            Refused,
            format!("{field:?}"),
            post(&format!("{field}\r\n"), CHUNKS),
        ));
    }
    for value in ["chunked", "Chunked", "CHUNKED", "  chunked  "] {
        let bytes = post(&format!("Transfer-Encoding: {value}\r\n"), CHUNKS);
        cases.push(case(Passes, format!("Transfer-Encoding {value:?}"), bytes));
    }
    cases
}

fn chunks() -> Vec<Case> {
    let chunked = |want, name: &str, body: &str| {
        case(
            want,
            format!("chunks: {name}"),
            latin1(&post("Transfer-Encoding: chunked\r\n", body)),
        )
    };
    let mut cases = vec![
        chunked(Passes, "plain", CHUNKS),
        chunked(Passes, "upper-case size", "A\r\n0123456789\r\n0\r\n\r\n"),
        chunked(Either, "an extension", "3;a=b\r\nabc\r\n0\r\n\r\n"),
        chunked(
            Either,
            "a quoted extension",
            "3;a=\"b\"\r\nabc\r\n0\r\n\r\n",
        ),
        chunked(
            Refused,
            "an extension of 9 kB",
            &format!("3;{}\r\nabc\r\n0\r\n\r\n", "a".repeat(9000)),
        ),
        chunked(
            Refused,
            "CR LF in a quoted extension",
            "3;a=\"\r\nabc\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: q\r\nX: \"\r\nabc\r\n0\r\n\r\n",
        ),
        chunked(
            Refused,
            "400 leading zeros",
            &format!("{}3\r\nabc\r\n0\r\n\r\n", "0".repeat(400)),
        ),
        chunked(
            Refused,
            "ffffffffffffffff",
            "ffffffffffffffff\r\nabc\r\n0\r\n\r\n",
        ),
        chunked(
            Refused,
            "7fffffffffffffff that never comes",
            "7fffffffffffffff\r\nabc",
        ),
        chunked(Refused, "an end that never comes", "3\r\nabc\r\n"),
        chunked(Either, "two last chunks", "3\r\nabc\r\n0\r\n\r\n0\r\n\r\n"),
        chunked(
            Refused,
            "20,000 trailers",
            &format!("0\r\n{}\r\n", "x: y\r\n".repeat(20_000)),
        ),
        chunked(
            Refused,
            "a trailer of 64 kB",
            &format!("0\r\nx: {}\r\n\r\n", "y".repeat(65_536)),
        ),
    ];
    for body in [
        "3\nabc\r\n0\r\n\r\n",
        "3;a\nabc\r\n0\r\n\r\n",
        "3;\nabc\r\n0\r\n\r\n",
        "3\r\nabc\n0\r\n\r\n",
        "3\r\nabc\r\n0\n\r\n",
        "3\r\nabc\r\n0\r\n\n",
        "3\r\nabc\r\n0\r\nx: y\n\r\n",
        "3\rabc\r\n0\r\n\r\n",
        "3\r\nabcXX0\r\n\r\n",
        "3\r\nabc\r\r\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "3\r\nab\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "+3\r\nabc\r\n0\r\n\r\n",
        "-3\r\nabc\r\n0\r\n\r\n",
        "0_3\r\nabc\r\n0\r\n\r\n",
        " 3\r\nabc\r\n0\r\n\r\n",
        "3 \r\nabc\r\n0\r\n\r\n",
        "\t3\r\nabc\r\n0\r\n\r\n",
        "3\t\r\nabc\r\n0\r\n\r\n",
        "\r\nabc\r\n0\r\n\r\n",
        "g\r\nabc\r\n0\r\n\r\n",
        "3h\r\nabc\r\n0\r\n\r\n",
        "10000000000000003\r\nabc\r\n0\r\n\r\n",
        "3;a\rb\r\nabc\r\n0\r\n\r\n",
        "3;a=\"b\nc\"\r\nabc\r\n0\r\n\r\n",
        "3;a=\u{0}\r\nabc\r\n0\r\n\r\n",
        "3\u{0}\r\nabc\r\n0\r\n\r\n",
        "3 ;a\r\nabc\r\n0\r\n\r\n",
        "3; a\r\nabc\r\n0\r\n\r\n",
        "3;\r\nabc\r\n0\r\n\r\n",
        "3,3\r\nabc\r\n0\r\n\r\n",
        "\u{ff13}\r\nabc\r\n0\r\n\r\n".trim_start_matches('\u{ff13}'),
        "3\r\nabc\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "3\r\nabc\r\n0\r\nContent-Length: 5\r\n\r\n",
        "3\r\nabc\r\n0\r\nHost: evil\r\n\r\n",
        "3\r\nabc\r\n0\r\nAuthorization: x\r\n\r\n",
        "3\r\nabc\r\n0\r\nCookie: x\r\n\r\n",
        "3\r\nabc\r\n0\r\nX-Forwarded-For: x\r\n\r\n",
        "3\r\nabc\r\n0\r\nbad name: x\r\n\r\n",
        "3\r\nabc\r\n0\r\nx\r\n\r\n",
        "3\r\nabc\r\n0\r\n: x\r\n\r\n",
        "3\r\nabc\r\n0\r\n folded\r\n\r\n",
        "3\r\nabc\r\n0\r\nx: y\r\n z\r\n\r\n",
        "3\r\nabc\r\n0\r\nx: \u{0}\r\n\r\n",
        "3\r\nabc\r\n0\r\nx : y\r\n\r\n",
        "3\r\nabc\r\n0\r\nx: a\rb\r\n\r\n",
        "3\r\nabc\r\n0\r\ncontent_length: 5\r\n\r\n",
    ] {
        cases.push(chunked(
            Refused,
            &format!("{:?}", &body[..body.len().min(60)]),
            body,
        ));
    }
    cases.push(chunked(
        Passes,
        "a harmless trailer",
        "3\r\nabc\r\n0\r\nX-T: y\r\n\r\n",
    ));
    cases
}

fn fields() -> Vec<Case> {
    let mut cases = Vec::new();
    for byte in (0..0x20).chain([0x7f]).map(char::from) {
        let want = if byte == '\t' { Passes } else { Refused };
        let name = u32::from(byte);
        cases.push(case(
            want,
            format!("{name:#04x} in a value"),
            get(&format!("X: a{byte}b\r\n")),
        ));
    }
    for byte in "\u{0}\t \"(),/;<=>?@[]{}\\\u{7f}\u{80}\u{e9}\u{ff}".chars() {
        let bytes = latin1(&get(&format!("X{byte}Y: b\r\n")));
        cases.push(case(
            Refused,
            format!("{:#04x} in a name", u32::from(byte)),
            bytes,
        ));
    }
    for (name, fields) in [
        ("an empty name", ": b\r\n"),
        ("no colon", "Xb\r\n"),
        ("a folded line", "X: a\r\n b\r\n"),
        ("a line folded by a tab", "X: a\r\n\tb\r\n"),
        ("a blank line of blanks", "X: a\r\n \r\n"),
        ("a bare LF between fields", "X: a\nY: b\r\n"),
        ("a bare CR between fields", "X: a\rY: b\r\n"),
        ("LF LF", "X: a\n\nGET /smuggled HTTP/1.1\r\nHost: q\r\n"),
        ("CR CR LF", "X: a\r\r\n"),
        ("X_Forwarded_For", "X_Forwarded_For: 6.6.6.6\r\n"),
        ("X-Forwarded_For", "X-Forwarded_For: 6.6.6.6\r\n"),
        (
            "Connection: close, X-Forwarded-For, Authorization",
            "X-Forwarded-For: 6.6.6.6\r\nAuthorization: a\r\nConnection: close, X-Forwarded-For, Authorization\r\n",
        ),
        ("Connection: Host", "Connection: Host\r\n"),
        ("Connection: cookie", "Cookie: a\r\nConnection: cookie\r\n"),
        (
            "Connection with a quoted name",
            "Authorization: a\r\nConnection: \"Authorization\"\r\n",
        ),
        (
            "two Authorization",
            "Authorization: a\r\nAuthorization: b\r\n",
        ),
        (
            "two Content-Type",
            "Content-Type: a/b\r\nContent-Type: c/d\r\n",
        ),
        ("a second Host", "Host: evil\r\n"),
        ("a second equal Host", "Host: q\r\n"),
    ] {
        cases.push(case(Refused, name, get(fields)));
    }
    for (name, fields) in [
        ("spoofed X-Forwarded-For", "X-Forwarded-For: 6.6.6.6\r\n"),
        ("spoofed Forwarded", "Forwarded: for=6.6.6.6\r\n"),
        ("spoofed X-Real-IP", "X-Real-IP: 6.6.6.6\r\n"),
        ("spoofed True-Client-IP", "True-Client-IP: 6.6.6.6\r\n"),
        ("spoofed X-Original-URL", "X-Original-URL: /6.6.6.6\r\n"),
        ("an empty value", "X:\r\n"),
        ("obs-text in a value", "X: \u{e9}\r\n"),
        ("Connection: close", "Connection: close\r\n"),
        ("Connection: keep-alive, x", "Connection: keep-alive, x\r\n"),
        (
            "a bogus upgrade",
            "Connection: Upgrade\r\nUpgrade: bogus\r\n",
        ),
        (
            "an upgrade to h2c",
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
        ),
        (
            "a WebSocket of version 777",
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 777\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        ),
        (
            "a WebSocket without a key",
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
        ),
        ("an upgrade not nominated", "Upgrade: websocket\r\n"),
    ] {
        cases.push(case(Passes, name, latin1(&get(fields))));
    }
    let raw = |want, name: &str, text: &str| case(want, name, latin1(text));
    cases.extend([
        raw(
            Refused,
            "a folded first field",
            "GET /CASE HTTP/1.1\r\n Host: q\r\n\r\n",
        ),
        raw(Refused, "no Host", "GET /CASE HTTP/1.1\r\nX: a\r\n\r\n"),
        raw(Refused, "no field at all", "GET /CASE HTTP/1.1\r\n\r\n"),
        raw(
            Refused,
            "junk before the request line",
            "\u{1}\u{2}GET /CASE HTTP/1.1\r\nHost: q\r\n\r\n",
        ),
        raw(
            Refused,
            "a blank before the request line",
            " GET /CASE HTTP/1.1\r\nHost: q\r\n\r\n",
        ),
        raw(
            Refused,
            "two empty lines before the request line",
            "\r\n\r\nGET /CASE HTTP/1.1\r\nHost: q\r\n\r\n",
        ),
        raw(
            Refused,
            "a bare LF before the request line",
            "\nGET /CASE HTTP/1.1\r\nHost: q\r\n\r\n",
        ),
        raw(
            Passes,
            "an empty line before the request line",
            "\r\nGET /CASE HTTP/1.1\r\nHost: q\r\n\r\n",
        ),
        raw(
            Refused,
            "bare LF everywhere",
            "GET /CASE HTTP/1.1\nHost: q\n\n",
        ),
        raw(
            Refused,
            "bare LF after the request line",
            "GET /CASE HTTP/1.1\nHost: q\r\n\r\n",
        ),
        raw(
            Refused,
            "bare LF at the end",
            "GET /CASE HTTP/1.1\r\nHost: q\r\n\n",
        ),
    ]);
    cases
}

fn hosts() -> Vec<Case> {
    let mut cases = Vec::new();
    for host in [
        "",
        "a,b",
        "a@evil",
        "user:pass@q",
        "a/b",
        "a b",
        "a\tb",
        "q:",
        "q:abc",
        "q:0",
        "q:65536",
        "q:99999",
        "q:80:80",
        "q:-1",
        "q:+80",
        ":80",
        "[::1",
        "::1",
        "[::1]x",
        "[::g]",
        "a?b",
        "a#b",
        "a\\b",
        "a%2eb",
        "a%00",
        "http://q",
        "q\u{0}",
        "\u{e9}",
        "a..b/../c",
        ".",
        "a<b>",
        "a\"b",
        "a;b",
        "{q}",
        "a|b",
        "a^b",
        "a`b",
        "a'b",
    ] {
        let want = if host == "." { Either } else { Refused };
        let bytes = latin1(&format!("GET /CASE HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        cases.push(case(want, format!("Host {host:?}"), bytes));
    }
    for host in [
        "q",
        "q:8080",
        "Q.example.",
        "10.0.0.1",
        "[::1]",
        "[::1]:80",
        "a_b",
        "xn--bcher-kva.example",
    ] {
        cases.push(case(
            Passes,
            format!("Host {host}"),
            format!("GET /CASE HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        ));
    }
    for (target, want) in [
        ("http://q/CASE", Passes),
        ("http://evil/CASE", Refused),
        ("HTTP://q/CASE", Passes),
        ("https://q/CASE", Either),
        ("http://q:80/CASE", Refused),
        ("http://u@q/CASE", Refused),
        ("http:///CASE", Refused),
        ("http:/CASE", Refused),
        ("ftp://q/CASE", Refused),
        ("http://q\\@evil/CASE", Refused),
        ("http://q#@evil/CASE", Refused),
        ("//evil/CASE", Passes),
        ("q/CASE", Refused),
        ("http://q,evil/CASE", Refused),
        ("javascript:/CASE", Refused),
    ] {
        cases.push(case(
            want,
            format!("target {target}"),
            format!("GET {target} HTTP/1.1\r\nHost: q\r\n\r\n"),
        ));
    }
    cases
}

fn lines() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut line = |want, line: &str| {
        let bytes = latin1(&format!("{line}\r\nHost: q\r\n\r\n"));
        cases.push(case(
            want,
            format!("{:?}", &line[..line.len().min(50)]),
            bytes,
        ));
    };
    for refused in [
        "GET  /CASE HTTP/1.1",
        "GET /CASE  HTTP/1.1",
        "GET\t/CASE HTTP/1.1",
        "GET /CASE\tHTTP/1.1",
        "GET /CASE HTTP/1.1 ",
        "GET /CASE HTTP/1.1\t",
        "GET /CASE x HTTP/1.1",
        "GET /CASE",
        "GET /CASE HTTP/0.9",
        "GET /CASE HTTP/1.2",
        "GET /CASE HTTP/1.10",
        "GET /CASE HTTP/2.0",
        "GET /CASE HTTP/3",
        "GET /CASE HTTP/01.1",
        "GET /CASE HTTP/1.01",
        "GET /CASE HTTP/1",
        "GET /CASE HTTP/1.",
        "GET /CASE HTTP/.1",
        "GET /CASE HTTP/11",
        "GET /CASE HTTP/1,1",
        "GET /CASE HTTP/+1.1",
        "GET /CASE http/1.1",
        "GET /CASE HTTPS/1.1",
        "GET /CASE XTTP/1.1",
        "GET /CASE HTTP 1.1",
        "GET /CASE \u{0}HTTP/1.1",
        "GET /CASE HTTP/1.1\u{0}",
        "GET /CASE HTTP/1.1 HTTP/1.1",
        "GET /CASE HTTP/1.1\r",
        "PRI * HTTP/2.0",
        "CONNECT q:80 HTTP/1.1",
        "CONNECT /CASE HTTP/1.1",
        "connect q:80 HTTP/1.1",
        "TRACE /CASE HTTP/1.1",
        "GET * HTTP/1.1",
        "GET ** HTTP/1.1",
        "OPTIONS ** HTTP/1.1",
        "GET CASE HTTP/1.1",
        "GET ?CASE HTTP/1.1",
        "GET \\CASE HTTP/1.1",
        "G(T /CASE HTTP/1.1",
        "G\u{0}T /CASE HTTP/1.1",
        "G\u{e9}T /CASE HTTP/1.1",
        "\"GET\" /CASE HTTP/1.1",
        "GET, /CASE HTTP/1.1",
        " /CASE HTTP/1.1",
        "GET /CASE#x HTTP/1.1",
        "GET /CASE\u{0} HTTP/1.1",
        "GET /CASE\u{1} HTTP/1.1",
        "GET /CASE\u{7f} HTTP/1.1",
        "GET /CASE\u{b} HTTP/1.1",
        "GET /CASE\u{c3}\u{a9} HTTP/1.1",
        "GET /CASE\u{a0} HTTP/1.1",
        "GET /CASE\u{85} HTTP/1.1",
        "GET /CASE\rX HTTP/1.1",
        "GET /CASE\nX HTTP/1.1",
    ] {
        line(Refused, refused);
    }
    line(Refused, &format!("{} /CASE HTTP/1.1", "A".repeat(2000)));
    for passes in [
        "get /CASE HTTP/1.1",
        "FOO /CASE HTTP/1.1",
        "GET /CASE%00 HTTP/1.1",
        "GET /CASE%zz HTTP/1.1",
        "GET /CASE%2f..%2fadmin HTTP/1.1",
        "GET /CASE/..;/admin HTTP/1.1",
        "GET //CASE HTTP/1.1",
        "GET /CASE\\..\\admin HTTP/1.1",
        "GET /CASE%c0%ae%c0%ae HTTP/1.1",
        "GET /CASE/../../etc/passwd HTTP/1.1",
        "GET /CASE?a=<b> HTTP/1.1",
        "GET /CASE?a=\"b\" HTTP/1.1",
        "GET /CASE?a=[b]{c}|d HTTP/1.1",
        "HEAD /CASE HTTP/1.1",
        "OPTIONS /CASE HTTP/1.1",
        "GET /CASE:80 HTTP/1.1",
        "GET /CASE@x HTTP/1.1",
        "GET /CASE%0d%0aX:%20y HTTP/1.1",
    ] {
        line(Passes, passes);
    }
    line(Passes, "OPTIONS * HTTP/1.1");
    cases.push(case(
        Refused,
        "HTTP/0.9 without another line",
        "GET /CASE\r\n",
    ));
    cases.push(case(
        Refused,
        "an SSLv2 hello",
        &b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10"[..],
    ));
    cases.push(case(
        Refused,
        "a TLS hello",
        &b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03"[..],
    ));
    cases
}

fn sizes() -> Vec<Case> {
    let many = |count: usize| -> String { (0..count).map(|n| format!("x{n}: y\r\n")).collect() };
    vec![
        case(
            Passes,
            "a target of 15 kB",
            format!(
                "GET /CASE{} HTTP/1.1\r\nHost: q\r\n\r\n",
                "a".repeat(15_000)
            ),
        ),
        case(
            Refused,
            "a target of 17 kB",
            format!(
                "GET /CASE{} HTTP/1.1\r\nHost: q\r\n\r\n",
                "a".repeat(17_000)
            ),
        ),
        case(
            Refused,
            "a target of 1 MB",
            format!(
                "GET /CASE{} HTTP/1.1\r\nHost: q\r\n\r\n",
                "a".repeat(1 << 20)
            ),
        ),
        case(
            Refused,
            "a value of 64 kB",
            get(&format!("X: {}\r\n", "a".repeat(65_536))),
        ),
        case(
            Refused,
            "a value of 1 MB",
            get(&format!("X: {}\r\n", "a".repeat(1 << 20))),
        ),
        case(
            Refused,
            "a name of 64 kB",
            get(&format!("{}: a\r\n", "X".repeat(65_536))),
        ),
        case(Passes, "100 fields", get(&many(100))),
        case(Refused, "1,000 fields", get(&many(1000))),
        case(Refused, "100,000 fields", get(&many(100_000))),
        case(
            Either,
            "10,000 cookies",
            get(&format!("Cookie: {}\r\n", "a=b; ".repeat(10_000))),
        ),
        case(
            Passes,
            "1,300 ranges",
            get(&format!("Range: bytes={}\r\n", "0-,".repeat(1300))),
        ),
    ]
}

/// Runs a family and lists what went wrong.
fn run(cases: &[Case]) {
    let wire = Wire::start();
    let mut gateway = Gateway::example("plain")
        .with("UPSTREAM", wire.url())
        .start();
    let address = gateway.address.clone();
    let path = |number: usize| format!("case-{number}-");
    let numbered: Vec<(usize, &Case)> = cases.iter().enumerate().collect();
    // Cases that wait for a deadline should not wait for one another.
    let mut wrong: Vec<String> = thread::scope(|scope| {
        let size = numbered.len().div_ceil(8);
        let parts: Vec<_> = numbered
            .chunks(size)
            .map(|part| {
                let address = &address;
                scope.spawn(move || {
                    let tell = |(number, case): &(usize, &Case)| ask(address, &path(*number), case);
                    part.iter().filter_map(tell).collect::<Vec<_>>()
                })
            })
            .collect();
        parts
            .into_iter()
            .flat_map(|part| part.join().unwrap())
            .collect()
    });
    thread::sleep(Duration::from_millis(200));
    let mut arrived = Vec::new();
    for bytes in wire.connections() {
        match lint(&bytes) {
            Ok(requests) => arrived.extend(requests),
            Err(why) => wrong.push(format!("LEAK {why}")),
        }
    }
    let of = |number: usize| {
        arrived
            .iter()
            .filter(move |request| request.target.contains(&path(number)))
    };
    for (number, case) in &numbered {
        let count = of(*number).filter(|request| request.whole).count();
        let expected = match case.want {
            _ if !contains(&case.bytes, b"CASE") => continue,
            Refused => 0..=0,
            Passes => 1..=1,
            Either => 0..=1,
        };
        if !expected.contains(&count) {
            wrong.push(format!("{}: {count} arrived", case.name));
        }
        for (name, value) in of(*number).flat_map(|request| &request.fields) {
            if contains(value, b"6.6.6.6") || name.contains('_') {
                wrong.push(format!("{}: {name} arrived", case.name));
            }
        }
    }
    let strangers = arrived
        .iter()
        .filter(|request| !request.target.contains("case-") && request.target != "*");
    wrong.extend(strangers.map(|request| format!("SMUGGLED {}", request.target)));
    assert!(gateway.runs(), "the process died");
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}

/// Sends a case on a connection of its own and says what is wrong with the answer.
fn ask(address: &str, path: &str, case: &Case) -> Option<String> {
    let bytes = replaced(&case.bytes, b"CASE", path.as_bytes());
    let mut client = Client::connect(address);
    client.send(&bytes);
    let method = if bytes.starts_with(b"HEAD") {
        "HEAD"
    } else {
        "GET"
    };
    let outcome = client.outcome_to(method, PATIENCE);
    let status = outcome.status();
    let right = match case.want {
        Refused => (400..=505).contains(&status),
        Passes => status == 200,
        Either => status == 200 || (400..=505).contains(&status),
    };
    let said = match outcome {
        Outcome::Silence => "HANG".to_owned(),
        Outcome::Closed => "closed".to_owned(),
        Outcome::Answer(_) => status.to_string(),
    };
    (!right).then(|| format!("{}: {said}", case.name))
}

fn contains(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|window| window == what)
}

fn replaced(bytes: &[u8], what: &[u8], by: &[u8]) -> Vec<u8> {
    match bytes.windows(what.len()).position(|window| window == what) {
        Some(at) => [&bytes[..at], by, &bytes[at + what.len()..]].concat(),
        None => bytes.to_vec(),
    }
}

#[test]
fn lengths_mean_one_thing() {
    run(&lengths());
}

#[test]
fn transfer_codings_mean_one_thing() {
    run(&codings());
}

#[test]
fn chunks_mean_one_thing() {
    run(&chunks());
}

#[test]
fn fields_mean_one_thing() {
    run(&fields());
}

#[test]
fn hosts_mean_one_thing() {
    run(&hosts());
}

#[test]
fn request_lines_mean_one_thing() {
    run(&lines());
}

#[test]
fn sizes_are_bounded() {
    run(&sizes());
}

#[test]
fn the_battery_is_whole() {
    let families = [
        lengths(),
        codings(),
        chunks(),
        fields(),
        hosts(),
        lines(),
        sizes(),
    ];
    let count: usize = families.iter().map(Vec::len).sum();
    assert!(count > 800, "{count}");
}
