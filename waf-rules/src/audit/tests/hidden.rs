//! What an entry must not tell, and what it must.

use super::*;

#[test]
fn credentials_are_hidden_wherever_they_stand() {
    let secret = "hunter2secret";
    let rules = format!(
        "{LOG}SecRule ARGS|REQUEST_URI|REQUEST_BODY|REQUEST_COOKIES|REQUEST_HEADERS \
        \"@rx hunter2.ecret\" \"id:1,phase:2,pass,capture,msg:'see %{{MATCHED_VAR}}',\
        logdata:'%{{MATCHED_VAR}} in %{{TX.0}}',tag:'v %{{MATCHED_VAR}}',chain\"\n\
        SecRule ARGS:q|REQUEST_HEADERS:Referer \"@rx .\" \"multiMatch\"\n\
        SecRule ARGS|REQUEST_URI|REQUEST_BODY|REQUEST_COOKIES|REQUEST_HEADERS \
        \"@rx hunter2.ecret\" \"id:2,phase:2,deny,msg:'see %{{MATCHED_VAR}}'\"\n"
    );
    let basic = format!("Basic {secret}");
    let cookie = format!("sid={secret}; b={secret}");
    let referer = format!("http://h/?access_token={secret}&q=1");
    let target = format!("/p?password={secret}&q=1&user%5Bpwd%5d={secret}");
    let headers: [(&str, &[u8]); 4] = [
        ("Authorization", basic.as_bytes()),
        ("Cookie", cookie.as_bytes()),
        ("Referer", referer.as_bytes()),
        ("X-Echo", secret.as_bytes()),
    ];
    let json_body =
        format!(r#"{{"q":1,"user":{{"p\u0061ssword" : "{secret}","n":2}},"secret":["{secret}"]}}"#);
    let multipart = format!(
        "--B\r\nContent-Disposition: form-data; name=\"pwd\"\r\n\r\n{secret}\r\n--B\r\n\
        Content-Disposition: form-data; name=\"q\"\r\n\r\nkept\r\n--B--\r\n"
    );
    let form = format!("a=1&passwd={secret}&b=2");
    let text = format!("my password is {secret}");
    for (kind, body, kept) in [
        ("application/x-www-form-urlencoded", &form, "b=2"),
        ("application/json", &json_body, r#""n":2"#),
        ("multipart/form-data; boundary=B", &multipart, "kept"),
        ("text/plain", &text, "[redacted]"),
    ] {
        let mut headers = headers.to_vec();
        headers.push(("Content-Type", kind.as_bytes()));
        let sent = Sent {
            target: &target,
            headers: &headers,
            body: body.as_bytes(),
            status: 403,
        };
        let on_json = "SecRule REQUEST_HEADERS:Content-Type \"json\" \
            \"id:9,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON\"\n";
        let rules = format!("{on_json}{rules}");
        let log = native(&rules, &sent);
        assert!(!log.contains(secret), "{kind}:\n{log}");
        assert!(log.contains(kept), "{kind}:\n{log}");
        assert!(log.contains("password=[redacted]&q=1"), "{log}");
        let written = json(&rules, &sent).to_string();
        assert!(!written.contains(secret), "{kind}:\n{written}");
    }
}

#[test]
fn a_match_on_more_than_one_value_does_not_tell_the_hidden_one() {
    // Neither name nor value stands in the request as rules on arguments see it.
    let sent = Sent {
        target: "/p?p%61ssword=hunt%65r2&q=1",
        headers: &[("Referer", b"http://h/?access_token=onlyhere&q=1")],
        status: 500,
        ..GET
    };
    let text = format!(
        "{LOG}SecRule REQUEST_URI_RAW|QUERY_STRING|REQUEST_LINE|REQUEST_HEADERS:Referer \"@contains q=1\" \
        \"id:1,phase:1,pass,multiMatch,logdata:'%{{MATCHED_VAR}}'\"\n\
        SecRule REQUEST_URI_RAW \"@contains q=1\" \"id:2,phase:1,pass,logdata:'%{{MATCHED_VAR}}'\"\n\
        SecRule REQUEST_HEADERS:Referer \"@contains q=1\" \"id:3,phase:1,pass,msg:'%{{MATCHED_VAR}}'\"\n"
    );
    let log = native(&text, &sent);
    for secret in ["hunt", "onlyhere"] {
        assert!(!log.contains(secret), "{secret}:\n{log}");
    }
    // The same request without a credential is told.
    let sent = Sent {
        target: "/p?word=hunt%65r2&q=1",
        headers: &[("Referer", b"http://h/?token=onlyhere&q=1")],
        ..sent
    };
    let log = native(&text, &sent);
    assert!(log.contains("(Value: `/p?word=hunt%65r2&q=1' )"), "{log}");
    assert!(
        log.contains("[msg \"http://h/?token=onlyhere&q=1\"]"),
        "{log}"
    );
}

#[test]
fn what_is_no_credential_is_told() {
    let sent = Sent {
        target: "/p?q=attack&passwords=many&author=me",
        headers: &[
            ("Host", b"localhost"),
            ("User-Agent", b"my password manager/1.0"),
        ],
        status: 403,
        ..GET
    };
    let log = native(&format!("{LOG}{RULE}"), &sent);
    assert!(!log.contains("[redacted]"), "{log}");
    assert!(log.contains("passwords=many&author=me"));
}

#[test]
fn rules_hide_what_they_name() {
    let hide = "SecAction \"id:1,phase:1,pass,nolog,sanitiseArg:card,\
        sanitiseRequestHeader:X-Token,sanitiseResponseHeader:Content-Type\"\n\
        SecRule ARGS:note \"@contains 4111\" \"id:2,phase:2,pass,nolog,sanitiseMatched\"\n";
    let sent = Sent {
        target: "/p?card=40128888&note=4111-attack&q=seen",
        headers: &[("X-Token", b"abcdefgh"), ("X-Other", b"told")],
        status: 200,
        ..GET
    };
    let pass = "SecRule ARGS \"@rx .\" \"id:3,phase:2,pass,msg:'m',logdata:'%{MATCHED_VAR}'\"\n";
    let log = native(&format!("{LOG}{hide}{pass}"), &sent);
    for secret in ["40128888", "4111-attack", "abcdefgh", "text/html"] {
        assert!(!log.contains(secret), "{secret}:\n{log}");
    }
    assert!(log.contains("X-Other: told") && log.contains("q=seen"));
}
