//! Hidden names in paths, in decodings and in responses, each beside a name that is none.

use super::*;

/// What every rule below tells of a match.
const TELL: &str = "\"@rx .\" \"id:7,phase:2,pass,msg:'m',logdata:'%{MATCHED_VAR}'\"\n";

/// The log of a `POST` to `target`.
fn posted(text: &str, target: &str, kind: &str, body: &str) -> String {
    let sent = Sent {
        target,
        headers: &[("Content-Type", kind.as_bytes())],
        body: body.as_bytes(),
        status: 200,
    };
    native(&format!("{LOG}{text}"), &sent)
}

/// The log of a transaction with this response.
fn answered(text: &str, kind: &str, body: &[u8]) -> String {
    let [client, server] = ["192.0.2.1:4000", "198.51.100.2:443"].map(|at| at.parse().unwrap());
    let text = format!(
        "{LOG}SecAuditEngine On\nSecResponseBodyAccess On\n\
        SecResponseBodyMimeType application/json text/html\n{text}"
    );
    let now = SystemTime::UNIX_EPOCH;
    let mut transaction = rules(&text).begin(Origin { client, server }, "1", now);
    let line = RequestLine {
        method: b"GET",
        target: b"/",
        protocol: b"HTTP/1.1",
    };
    transaction.request_headers(line, std::iter::empty());
    transaction.request_body(b"", true);
    let headers = [(&b"Content-Type"[..], kind.as_bytes())];
    transaction.response_headers(200, "HTTP/1.1", headers.into_iter());
    transaction.response_body(body, true);
    transaction.finish();
    let entry = transaction.audit(&Ending {
        status: Some(200),
        headers: &[],
        sent: 0,
        server: "gateway-1",
        redaction: &Redaction::default(),
    });
    String::from_utf8(entry.expect("an entry").text).expect("plain text")
}

#[test]
fn what_stands_below_a_hidden_name_is_hidden() {
    let on_json = "SecRule REQUEST_HEADERS:Content-Type \"json\" \
        \"id:9,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON\"\n";
    let chained = "SecRule ARGS \"@rx .\" \"id:7,phase:2,pass,chain\"\n\
        SecRule MATCHED_VARS \"@rx .\" \"t:none\"\n";
    let body = r#"{"password":{"value":"hunter2"},"list":[{"secret":["abc"]}],"user":"innocent"}"#;
    for told in [
        format!("SecRule ARGS {TELL}"),
        format!("SecRule ARGS_POST|ARGS_JSON {TELL}"),
        chained.to_owned(),
    ] {
        let text = format!("{on_json}{told}");
        let log = posted(&text, "/", "application/json", body);
        assert!(!log.contains("hunter2") && !log.contains("abc"), "{log}");
        assert!(log.contains("innocent"), "{log}");
    }
    // Short values are looked for nowhere else: their names alone hide them.
    let told = format!("SecRule ARGS_GET {TELL}");
    for name in [
        "password[current]",
        "password%5bcurrent%5d",
        "a[pwd][0][x]",
        "secret[]",
    ] {
        let log = posted(&told, &format!("/?{name}=abc&q=innocent"), "text/plain", "");
        assert!(!log.contains("abc"), "{log}");
        assert!(log.contains("q=innocent"), "{log}");
    }
}

#[test]
fn a_hidden_name_that_is_only_part_of_a_word_hides_nothing() {
    let told = format!("SecRule ARGS_GET {TELL}");
    for name in [
        "password_hint[a]",
        "no.secrets.here",
        "pwd-x",
        "xpassword[0]",
    ] {
        let log = posted(&told, &format!("/?{name}=told"), "text/plain", "");
        assert!(log.contains("[data \"told\"]"), "{log}");
        assert!(log.contains(&format!("/?{name}=told ")), "{log}");
    }
    // A name of several words that a rule hides is hidden with what stands below it, and nothing else.
    let text = format!(
        "SecAction \"id:1,phase:1,pass,nolog,sanitiseArg:card.number\"\n\
        SecRule ARGS_GET:card.x.number {TELL}"
    );
    let log = posted(
        &text,
        "/?card.number.x=abc&card.x.number=told",
        "text/plain",
        "",
    );
    assert!(!log.contains("abc"), "{log}");
    assert!(log.contains("[data \"told\"]"), "{log}");
}

#[test]
fn what_was_decoded_from_a_hidden_value_is_hidden() {
    let text = format!(
        "SecNestedArguments Json Base64 Url\nSecRule ARGS {TELL}\
        SecRule ARGS:note.base64 \"@rx .\" \"id:8,phase:2,pass,logdata:'%{{MATCHED_VAR}}'\"\n"
    );
    let cases = [
        // The base64 of "hunter2-hunter2".
        "/?password=aHVudGVyMi1odW50ZXIy",
        "/?password=%2568unter2",
        "/?password=%7B%22x%22%3A%22hunter2%22%7D",
        // The value that holds the hidden one is hidden too, or the secret could be decoded from it.
        "/?q=%7B%22password%22%3A%22hunter2%22%7D",
        "/?q=eyJwYXNzd29yZCI6Imh1bnRlcjIifQ==",
    ];
    for target in cases {
        let target = format!("{target}&note=aW5ub2NlbnQgdGV4dA==");
        let log = posted(&text, &target, "text/plain", "");
        for secret in ["hunter2", "%68unter2", "aHVudGVy", "eyJwYXNz"] {
            assert!(!log.contains(secret), "{target} {secret}:\n{log}");
        }
        assert!(log.contains("innocent text"), "{log}");
        assert!(log.contains("note=aW5ub2NlbnQgdGV4dA"), "{log}");
    }
}

#[test]
fn arguments_of_a_path_are_hidden_by_name() {
    let text = format!(
        "SecRule REQUEST_FILENAME \"@restpath /reset/{{password}}/{{what}}\" \
        \"id:1,phase:2,pass,nolog\"\nSecRule ARGS_PATH:WHICH {TELL}"
    );
    let of = |name: &str| {
        let log = posted(
            &text.replace("WHICH", name),
            "/reset/abc/told",
            "text/plain",
            "",
        );
        let sections = read(&log);
        section(&sections, 'H').join("\n")
    };
    let lines = of("password");
    assert!(
        lines.contains("ARGS_PATH:password' (Value: `[redacted]"),
        "{lines}"
    );
    assert!(of("what").contains("[data \"told\"]"));
}

#[test]
fn a_token_in_a_json_response_is_hidden() {
    let text = "SecRule RESPONSE_HEADERS:Content-Type \"json\" \
        \"id:8,phase:3,pass,nolog,ctl:responseBodyProcessor=JSON\"\n\
        SecRule RESPONSE_ARGS \"@rx .\" \"id:7,phase:4,pass,logdata:'%{MATCHED_VAR}'\"\n\
        SecRule RESPONSE_BODY \"@rx token\" \"id:6,phase:4,pass,logdata:'%{MATCHED_VAR}'\"\n";
    for format in ["", "SecAuditLogFormat JSON\n"] {
        let text = format!("{text}{format}");
        for kind in ["application/json", "text/html"] {
            let body = br#"{"a":{"access_token":"hunter2"},"list":[{"secret":{"x":"abc"}}],"n":7}"#;
            let log = answered(&text, kind, body);
            assert!(!log.contains("hunter2") && !log.contains("abc"), "{log}");
            assert!(log.contains("[redacted]"), "{log}");
        }
        let log = answered(
            &text,
            "application/json",
            br#"{"next_token":"page2","n":7}"#,
        );
        assert!(
            log.contains("page2") && !log.contains("[redacted]"),
            "{log}"
        );
    }
}

#[test]
fn a_long_response_is_walked_no_further_than_it_is_shown() {
    let mut body = br#"{"access_token":"hunter2","x":""#.to_vec();
    body.resize(trail::BODY + 500, b'x');
    walked();
    let log = answered("", "application/json", &body);
    assert!(!log.contains("hunter2"), "{log}");
    assert!(log.contains("x (500 characters omitted)"), "{}", log.len());
}

#[test]
fn xml_of_which_only_the_start_was_kept_is_not_told() {
    let text = format!(
        "SecAction \"id:9,phase:1,pass,nolog,ctl:requestBodyProcessor=XML\"\nSecRule XML:/* {TELL}"
    );
    let innocent = format!("<a><b>told</b>{}</a>", " ".repeat(100));
    assert!(posted(&text, "/", "text/xml", &innocent).contains("[data \"told"));
    let late = format!("<a>{}<password>abc</password></a>", " ".repeat(trail::BODY));
    assert!(!posted(&text, "/", "text/xml", &late).contains("abc"));
}

#[test]
fn an_excerpt_is_the_start_of_the_text_without_what_is_hidden() {
    let text = "SecRule ARGS:q \"@rx .\" \"id:7,phase:2,pass\"\n";
    let value = |q: &str| {
        let target = format!("/?password=hunter2&q={q}");
        let log = posted(text, &target, "text/plain", "");
        let (_, rest) = log.split_once("`ARGS:q' (Value: `").expect("a value");
        rest.split_once("' )").expect("its end").0.to_owned()
    };
    // The hidden value begins before the cut and ends behind it.
    let long = format!("{}hunter2{}", "x".repeat(98), "y".repeat(10));
    assert_eq!(
        value(&long),
        format!("{}[redacted] (10 characters omitted)", "x".repeat(98))
    );
    assert_eq!(value("hunter"), "hunter");
    assert_eq!(value(&"x".repeat(100)), "x".repeat(100));
    assert_eq!(
        value(&format!("{}hunter2", "x".repeat(100))),
        format!("{} (7 characters omitted)", "x".repeat(100))
    );
}
