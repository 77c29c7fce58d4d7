//! A request waits for its offsets: what is walked for one match is not walked again for the next.

use super::*;

/// As many rules that match on `targets`.
fn matching(count: usize, targets: &str) -> String {
    let rule = |id: usize| {
        format!(
            "SecRule {targets} \"@rx attack\" \"id:{},phase:2,pass\"\n",
            id + 10
        )
    };
    let processor = "SecRule REQUEST_HEADERS:Content-Type \"xml\" \
        \"id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=XML\"\n";
    let rules: String = (0..count).map(rule).collect();
    format!(
        "{LOG}SecRequestBodyLimit 2000000\nSecRequestBodyNoFilesLimit 2000000\n{processor}{rules}"
    )
}

/// The log, and how many bytes were walked for it.
fn told(rules: &str, target: &str, kind: &str, body: &str) -> (String, usize) {
    let sent = Sent {
        target,
        headers: &[("Content-Type", kind.as_bytes())],
        body: body.as_bytes(),
        status: 200,
    };
    walked();
    let log = native(rules, &sent);
    (log, walked())
}

fn multipart(filler: usize) -> String {
    let part = |name: &str, value: &str| {
        format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let file = "--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"attack\"\r\n\r\n";
    let (a, x) = (part("a", "attack"), "x\n".repeat(filler));
    format!("{a}{file}{x}\r\n--B--\r\n")
}

#[test]
fn thirty_matches_walk_no_more_than_one() {
    let form = format!("a=attack&pad={}", "x".repeat(100_000));
    let xml = format!("<a>attack<b>{}</b></a>", "x".repeat(100_000));
    let files = multipart(50_000);
    let url = "application/x-www-form-urlencoded";
    for (targets, target, kind, body) in [
        ("ARGS_GET", "/?a=attack&b=1", "text/plain", ""),
        ("ARGS_POST", "/", url, form.as_str()),
        ("REQUEST_BODY", "/", url, &form),
        (
            "ARGS_POST|FILES|MULTIPART_FILENAME",
            "/",
            "multipart/form-data; boundary=B",
            &files,
        ),
        ("XML:/*", "/", "text/xml", &xml),
        (
            "REQUEST_URI|QUERY_STRING",
            "/?a=attack&b=1",
            "text/plain",
            "",
        ),
    ] {
        let (log, one) = told(&matching(1, targets), target, kind, body);
        assert!(one > 0, "{targets}:\n{log}");
        let (log, thirty) = told(&matching(30, targets), target, kind, body);
        assert_eq!(
            log.matches("ModSecurity: Warning.").count(),
            30,
            "{targets}"
        );
        assert_eq!(one, thirty, "{targets}");
    }
}

#[test]
fn a_large_body_is_walked_as_far_as_it_is_shown() {
    let filler = format!("p={}&", "x".repeat(1000)).repeat(900);
    let form = format!("a=attack&{filler}b=attack");
    let url = "application/x-www-form-urlencoded";
    let rules = matching(30, "ARGS_POST:a|REQUEST_BODY");
    let (log, bytes) = told(&rules, "/", url, &form);
    assert!(bytes <= 2 * trail::BODY, "{bytes}");
    // What stands in the part that was kept has its place all the same.
    let head = "POST / HTTP/1.1\n".len() + format!("Content-Type: {url}\n\n").len();
    assert!(
        log.contains(&format!("[ref \"o0,6v{},6", head + 2)),
        "{log}"
    );
    // Without a part that shows the body, that of the form is not walked to its end either.
    let bare = rules.replace("ABCDEFGHIJKZ", "ABHZ");
    let (log, bytes) = told(&bare, "/", url, &form);
    assert!(bytes <= 2 * trail::BODY, "{bytes}:\n{log}");
    assert!(
        log.contains(&format!("[ref \"o0,6v{},6", head + 2)),
        "{log}"
    );
}

#[test]
fn every_match_keeps_its_own_place() {
    let rules = matching(3, "ARGS_GET|ARGS_POST");
    let url = "application/x-www-form-urlencoded";
    let (log, _) = told(&rules, "/?x=1&a=attack&b=attack", url, "y=2&c=attack");
    // `POST /?x=1&a=attack&b=attack HTTP/1.1`, a header line, an empty line, the body.
    let head =
        "POST /?x=1&a=attack&b=attack HTTP/1.1\n".len() + format!("Content-Type: {url}\n\n").len();
    let places = format!("o0,6v13,6o0,6v22,6o0,6v{},6", head + 6);
    assert_eq!(
        log.matches(&format!("[ref \"{places}\"]")).count(),
        3,
        "{log}"
    );
    let (log, _) = told(
        &matching(2, "FILES|ARGS_POST"),
        "/",
        "multipart/form-data; boundary=B",
        &multipart(3),
    );
    let body = multipart(3);
    let head =
        "POST / HTTP/1.1\n".len() + "Content-Type: multipart/form-data; boundary=B\n\n".len();
    let at = |text: &str| head + body.find(text).unwrap();
    let places = format!("o0,6v{},6o0,6v{},6", at("attack\"\r"), at("attack\r"));
    assert_eq!(
        log.matches(&format!("[ref \"{places}\"]")).count(),
        2,
        "{log}"
    );
}
