use super::*;

const LIMITS: HeadLimits = HeadLimits {
    bytes: 4096,
    fields: 16,
    target: 256,
    non_ascii_target: false,
};

fn admit_text(text: &str) -> Result<Admitted, Reason> {
    admit(Bytes::copy_from_slice(text.as_bytes()), &LIMITS).map_err(|(reason, _)| reason)
}

/// A POST with these lines after its Host.
fn post(lines: &str) -> Result<Framing, Reason> {
    admit_text(&format!("POST /a HTTP/1.1\r\nHost: q\r\n{lines}\r\n")).map(|a| a.framing)
}

/// A GET of this target with this Host.
fn get(target: &str, host: &str) -> Result<(), Reason> {
    admit_text(&format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")).map(drop)
}

#[test]
fn one_framing_is_read_as_it_is_written() {
    assert_eq!(post(""), Ok(Framing::None));
    assert_eq!(post("Content-Length: 0\r\n"), Ok(Framing::None));
    assert_eq!(post("content-length:3\r\n"), Ok(Framing::Length(3)));
    assert_eq!(post("Content-Length: \t3 \r\n"), Ok(Framing::Length(3)));
    assert_eq!(post("Transfer-Encoding: Chunked\r\n"), Ok(Framing::Chunked));
    let most = format!("Content-Length: {}\r\n", i64::MAX);
    assert_eq!(post(&most), Ok(Framing::Length(i64::MAX as u64)));
}

#[test]
fn a_length_is_plain_digits() {
    for value in [
        "",
        "+3",
        "-3",
        "-1",
        "0x3",
        "03",
        "00",
        "0_3",
        "3e0",
        "3.0",
        "3 bytes",
        "3, 3",
        "3,3",
        "3;",
        "3 3",
        "9223372036854775808",
        "18446744073709551616",
        "18446744073709551619",
        "\u{a0}3",
        "٣",
        "\"3\"",
    ] {
        let result = post(&format!("Content-Length: {value}\r\n"));
        assert_eq!(result, Err(Reason::ContentLength), "{value:?}");
    }
}

#[test]
fn a_coding_is_exactly_chunked() {
    for value in [
        "",
        "xchunked",
        "chunkedx",
        "chunked, identity",
        "identity, chunked",
        "chunked, chunked",
        "chunked,",
        ", chunked",
        "gzip, chunked",
        "cow",
        "\"chunked\"",
        "'chunked'",
        "chunked;a=b",
        "identity",
        "chunked cow",
        "\u{a0}chunked",
        "chu nked",
    ] {
        let result = post(&format!("Transfer-Encoding: {value}\r\n"));
        assert_eq!(result, Err(Reason::TransferEncoding), "{value:?}");
    }
}

#[test]
fn two_framings_are_none() {
    for lines in [
        "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
        "Transfer-Encoding: identity\r\nContent-Length: 6\r\n",
    ] {
        assert_eq!(post(lines), Err(Reason::TwoFramings), "{lines:?}");
    }
    let old = "POST / HTTP/1.0\r\nHost: q\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(admit_text(old), Err(Reason::TransferEncodingVersion));
    let old = "POST / HTTP/1.0\r\nContent-Length: 1\r\n\r\n";
    assert_eq!(admit_text(old).map(|a| a.framing), Ok(Framing::Length(1)));
}

#[test]
fn fields_with_one_value_occur_once() {
    for name in fields::SINGLETONS {
        let value = if *name == "host" { "q" } else { "1" };
        let lines = format!("{name}: {value}\r\n{}: {value}\r\n", name.to_uppercase());
        assert_eq!(post(&lines), Err(Reason::Duplicate(name)), "{name}");
    }
    for name in ["Cookie", "Accept", "X-Forwarded-For", "Via"] {
        assert!(
            post(&format!("{name}: 1\r\n{name}: 2\r\n")).is_ok(),
            "{name}"
        );
    }
}

#[test]
fn spellings_that_cgi_folds_together_are_refused() {
    for name in [
        "Transfer_Encoding",
        "content_length",
        "X_Forwarded_For",
        "X_Real_IP",
    ] {
        assert_eq!(
            post(&format!("{name}: 1\r\n")),
            Err(Reason::LookAlike),
            "{name}"
        );
    }
    assert!(post("X_Token: 1\r\nmy_field: 2\r\n").is_ok());
}

#[test]
fn strict_syntax_has_no_tolerance() {
    for lines in [
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding\t: chunked\r\n",
        " X: y\r\n",
        "X: y\r\n z\r\n",
        "X: a\rb\r\n",
        "X: a\0b\r\n",
        "X: a\x0bb\r\n",
        "X: \x7f\r\n",
        "X\x0b: y\r\n",
        "\"X\": y\r\n",
        "(X): y\r\n",
        "é: y\r\n",
        ": y\r\n",
        "X\r\n",
        "X: X\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding:\x0bchunked\r\n",
        "Transfer-Encoding: chunked\x0c\r\n",
    ] {
        let result = post(lines);
        assert!(
            matches!(result, Err(Reason::Syntax(_))),
            "{lines:?}: {result:?}"
        );
    }
    assert!(post("X: a\tb \"c\" (d) é\r\nY:\r\nZ!#$%&'*+-.^_`|~9: 1\r\n").is_ok());
}

#[test]
fn a_request_names_one_plain_host() {
    assert_eq!(
        admit_text("GET / HTTP/1.1\r\n\r\n"),
        Err(Reason::HostMissing)
    );
    assert!(admit_text("GET / HTTP/1.0\r\n\r\n").is_ok());
    for host in [
        "", "a, b", "u@a", "a/b", "a b", "a:", "a:99999", "a:x", "a@evil", "[::1", "a%00",
    ] {
        assert_eq!(get("/", host), Err(Reason::HostInvalid), "{host:?}");
    }
    for host in ["a", "a.example:8080", "127.0.0.1", "[::1]:80"] {
        assert_eq!(get("/", host), Ok(()), "{host:?}");
    }
}

#[test]
fn absolute_form_agrees_with_host() {
    assert_eq!(get("http://q/a?b", "q"), Ok(()));
    assert_eq!(get("http://q:80", "q:80"), Ok(()));
    assert_eq!(get("http://other/a", "q"), Err(Reason::HostMismatch));
    assert_eq!(get("http://Q/a", "q"), Err(Reason::HostMismatch));
    assert_eq!(get("http://q:80/a", "q"), Err(Reason::HostMismatch));
    for target in [
        "http://u@q/",
        "http:///a",
        "http://",
        "http://q\\@r/",
        "http://q,r/",
    ] {
        assert_eq!(get(target, "q"), Err(Reason::HostInvalid), "{target}");
    }
}

#[test]
fn targets_have_a_form_that_fits_the_method() {
    for target in [
        "ftp://q/",
        "q/a",
        "a",
        "*",
        "//",
        "http:/q",
        "?a",
        "javascript:1",
    ] {
        let expected = if target == "//" {
            Ok(())
        } else {
            Err(Reason::TargetForm)
        };
        assert_eq!(get(target, "q"), expected, "{target}");
    }
    assert_eq!(get("/a#b", "q"), Err(Reason::Fragment));
    assert!(admit_text("OPTIONS * HTTP/1.1\r\nHost: q\r\n\r\n").is_ok());
    for target in ["/é", "/a b", "/a\tb", "/\0", "/\x7f"] {
        assert!(
            matches!(get(target, "q"), Err(Reason::Syntax(HeadError::Target))),
            "{target:?}"
        );
    }
    // Odd, and still one meaning: the rules decide about these.
    for target in [
        "/%00",
        "/%zz",
        "/a/..;/b",
        "//evil",
        "/a\\b",
        "/<script>?a=\"b\"|{c}^`",
    ] {
        assert_eq!(get(target, "q"), Ok(()), "{target}");
    }
}

#[test]
fn request_lines_are_plain() {
    for line in [
        "GET  / HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET\t/\tHTTP/1.1",
        " GET / HTTP/1.1",
        "GET /",
        "GET / HTTP/1.2",
        "GET / HTTP/1.10",
        "GET / HTTP/2.0",
        "GET / http/1.1",
        "GET / HTTP/01.1",
        "G@T / HTTP/1.1",
        "GET / HTTP/1.1 x",
        "PRI * HTTP/2.0",
        "GET\0 / HTTP/1.1",
    ] {
        let result = admit_text(&format!("{line}\r\nHost: q\r\n\r\n"));
        assert!(
            matches!(result, Err(Reason::Syntax(_))),
            "{line:?}: {result:?}"
        );
    }
    let long = format!("{} / HTTP/1.1\r\nHost: q\r\n\r\n", "A".repeat(2000));
    assert_eq!(admit_text(&long), Err(Reason::MethodTooLong));
    for (method, allowed) in [
        ("CONNECT", false),
        ("TRACE", false),
        ("get", true),
        ("PROPFIND", true),
    ] {
        let result = admit_text(&format!("{method} / HTTP/1.1\r\nHost: q\r\n\r\n"));
        assert_eq!(result.is_ok(), allowed, "{method}");
    }
}

#[test]
fn a_tunnel_is_refused_and_what_asks_for_none_is_malformed() {
    let connect =
        |target: &str| admit_text(&format!("CONNECT {target} HTTP/1.1\r\nHost: q\r\n\r\n"));
    assert_eq!(connect("q:80"), Err(Reason::MethodForbidden));
    assert_eq!(connect("[::1]:80"), Err(Reason::MethodForbidden));
    for target in ["q", "/", "q:", "*"] {
        assert_eq!(connect(target), Err(Reason::TargetForm), "{target}");
    }
}

#[test]
fn bytes_beyond_ascii_stand_in_a_target_only_where_they_are_admitted() {
    let open = HeadLimits {
        non_ascii_target: true,
        ..LIMITS
    };
    let admitted = |target: &[u8]| {
        let raw = [b"GET ", target, b" HTTP/1.1\r\nHost: q\r\n\r\n"].concat();
        let admit_under =
            |limits| admit(Bytes::from(raw.clone()), limits).map_err(|(reason, _)| reason);
        (admit_under(&LIMITS).is_ok(), admit_under(&open).is_ok())
    };
    for target in ["/é", "/?q=①②⑦", "http://q/é"] {
        assert_eq!(admitted(target.as_bytes()), (false, true), "{target}");
    }
    assert_eq!(admitted(b"/\xff\xa0\x85"), (false, true));
    // Neighbours that the setting says nothing about.
    assert_eq!(admitted(b"/%C3%A9"), (true, true));
    for target in [
        &b"/\x7f\xe9"[..],
        b"/\xe9 b",
        b"/\xe9\t",
        b"http://\xe9/",
        b"\xe9",
    ] {
        assert_eq!(admitted(target), (false, false), "{target:?}");
    }
}

#[test]
fn a_refused_head_is_handed_back_where_the_bytes_were_one() {
    for (line, name) in [
        ("GET / HTTP/4.0", "version"),
        ("GET /é HTTP/1.1", "target"),
        ("TRACE / HTTP/1.1", "method_forbidden"),
    ] {
        let raw = Bytes::from(format!("{line}\r\nHost: q\r\n\r\n"));
        let (reason, head) = admit(raw, &LIMITS).unwrap_err();
        assert_eq!(reason.name(), name);
        assert!(
            head.is_some_and(|head| head.field("host") == Some(b"q")),
            "{line}"
        );
    }
    // A line end that one parser sees and another does not: no two rules would mean the same head.
    let raw = Bytes::from_static(b"GET / HTTP/1.1\r\nHost: q\r\nA: b\rC: d\r\n\r\n");
    assert!(admit(raw, &LIMITS).unwrap_err().1.is_none());
}

#[test]
fn connection_drops_nothing_that_was_inspected() {
    for value in [
        "close, X-Forwarded-For",
        "Authorization",
        "x",
        "Content-Length",
        "Host",
        "Cookie",
        "close, \"x\"",
        "x_",
        "transfer-encoding",
    ] {
        let result = post(&format!("Connection: {value}\r\nX: 1\r\nX_: 1\r\n"));
        assert_eq!(result, Err(Reason::Nomination), "{value}");
    }
    for value in [
        "close",
        "Keep-Alive",
        "Upgrade, HTTP2-Settings",
        "TE, close",
        ",close,",
        "absent",
    ] {
        let lines = format!(
            "Connection: {value}\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\nTE: trailers\r\n"
        );
        assert!(post(&lines).is_ok(), "{value}");
    }
}

#[test]
fn only_100_continue_may_be_expected() {
    assert!(post("Expect: 100-Continue\r\nContent-Length: 3\r\n").is_ok());
    for value in ["y 100-continue", "100-continue, x", "", "200-ok"] {
        assert_eq!(
            post(&format!("Expect: {value}\r\n")),
            Err(Reason::Expectation),
            "{value:?}"
        );
    }
}

#[test]
fn an_offered_upgrade_is_noticed_and_changes_no_framing() {
    let request = |version: &str| {
        let text = format!(
            "POST / HTTP/{version}\r\nHost: q\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Content-Length: 5\r\n\r\n"
        );
        admit_text(&text).map(|admitted| (admitted.framing, admitted.upgrade))
    };
    assert_eq!(request("1.1"), Ok((Framing::Length(5), true)));
    assert_eq!(request("1.0"), Ok((Framing::Length(5), false)));
}

#[test]
fn size_and_number_are_bounded() {
    assert_eq!(post(&"X: y\r\n".repeat(15)), Ok(Framing::None));
    assert_eq!(
        post(&"X: y\r\n".repeat(16)),
        Err(Reason::Syntax(HeadError::TooManyFields))
    );
    assert_eq!(get(&format!("/{}", "a".repeat(255)), "q"), Ok(()));
    assert_eq!(
        get(&format!("/{}", "a".repeat(256)), "q"),
        Err(Reason::TargetTooLong)
    );
    assert_eq!(
        post(&format!("X: {}\r\n", "y".repeat(4096))),
        Err(Reason::HeadTooLarge)
    );
}

/// Feeds `text` in pieces of `size`; the heads found, and how it ended.
fn read(text: &[u8], size: usize) -> (Vec<Vec<u8>>, Option<Reason>) {
    let (mut reader, mut buffer, mut heads) = (HeadReader::default(), BytesMut::new(), Vec::new());
    for piece in text.chunks(size) {
        buffer.extend_from_slice(piece);
        loop {
            match reader.take(&mut buffer, &LIMITS) {
                Ok(Some(head)) => heads.push(head.to_vec()),
                Ok(None) => break,
                Err(reason) => return (heads, Some(reason)),
            }
            reader = HeadReader::default();
        }
    }
    (heads, None)
}

#[test]
fn heads_are_cut_off_wherever_the_reads_end() {
    let (one, two) = (
        &b"GET /1 HTTP/1.1\r\nHost: q\r\n\r\n"[..],
        &b"GET /2 HTTP/1.1\r\n\r\n"[..],
    );
    let text = [one, b"\r\n", two, b"GET"].concat();
    for size in 1..text.len() {
        assert_eq!(
            read(&text, size),
            (vec![one.to_vec(), two.to_vec()], None),
            "{size}"
        );
    }
}

#[test]
fn what_cannot_become_a_head_is_refused_without_waiting() {
    for (text, reason) in [
        (
            "GET / HTTP/1.1\nHost: q\n",
            Reason::Syntax(HeadError::BareLf),
        ),
        ("\n", Reason::Syntax(HeadError::RequestLine)),
        ("\r\n\r\n", Reason::Syntax(HeadError::RequestLine)),
        ("\u{16}\u{3}\u{1}", Reason::Syntax(HeadError::RequestLine)),
        (" GET", Reason::Syntax(HeadError::RequestLine)),
    ] {
        for size in [1, 100] {
            assert_eq!(read(text.as_bytes(), size).1, Some(reason), "{text:?}");
        }
    }
    let target = format!("GET /{}", "a".repeat(1000));
    let field = format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(5000));
    let fields = format!("GET / HTTP/1.1\r\n{}", "X: y\r\n".repeat(5000));
    for size in [1, 100, 100_000] {
        assert_eq!(read(target.as_bytes(), size).1, Some(Reason::TargetTooLong));
        assert_eq!(read(field.as_bytes(), size).1, Some(Reason::HeadTooLarge));
        assert_eq!(read(fields.as_bytes(), size).1, Some(Reason::HeadTooLarge));
    }
    let one_read = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(5000));
    assert_eq!(
        read(one_read.as_bytes(), 100_000).1,
        Some(Reason::HeadTooLarge)
    );
}
