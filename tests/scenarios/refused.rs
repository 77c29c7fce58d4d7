//! What the gate refuses never reaches the upstream, and its record still says what the rules saw.

use harness::{Client, Gateway, Record, Upstream};

/// One profile with two rules of its own; `HEAD` stands for settings of a head.
const RULES: &str = r#"
listeners: [{ address: "${LISTEN}", head: { HEAD } }]
admin: { address: "${ADMIN}" }
audit: { output: "${AUDIT_LOG}" }
upstreams: { app: { servers: ["${UPSTREAM}"] } }
profiles:
  default:
    waf:
      rules: []
      files: [probe.conf]
routes: [{ name: app, upstream: app }]
"#;

const PROBE: &str = r#"
SecRuleEngine On
SecRule REQUEST_HEADERS:X-Probe "@streq hit" "id:1001,phase:1,allow,log,msg:'probe'"
SecRule REQUEST_PROTOCOL "@streq HTTP/4.0" "id:1002,phase:1,deny,status:403,log,msg:'protocol'"
SecRule ARGS:q "@contains é" "id:1003,phase:1,pass,log,msg:'raw'"
"#;

fn gateway(head: &str, upstream: &Upstream) -> Gateway {
    Gateway::configured(&RULES.replace("HEAD", head))
        .file("probe.conf", PROBE)
        .before(upstream)
        .start()
}

/// Sends the bytes; the status and the record of that target.
fn sent(gateway: &Gateway, target: &str, bytes: &str) -> (u16, Record) {
    let mut client = Client::connect(&gateway.address);
    client.send(bytes.as_bytes());
    let status = client.answer().status;
    (status, gateway.record_of(target))
}

#[test]
fn rules_see_a_refused_head_and_cannot_let_it_pass() {
    let upstream = Upstream::echo();
    let gateway = gateway("fields: 64", &upstream);
    let cases = [
        (
            "/1",
            "HTTP/1.1\r\nHost: a\r\nHost: b\r\nX-Probe: hit",
            "duplicate_field",
            vec![1001],
        ),
        ("/2", "HTTP/1.1\r\nX-Probe: hit", "host_missing", vec![1001]),
        ("/3", "HTTP/4.0\r\nHost: a", "version", vec![1002]),
        // Refused as well, and nothing in it that a rule looks for.
        (
            "/4",
            "HTTP/1.1\r\nHost: a\r\nHost: b\r\nX-Probe: miss",
            "duplicate_field",
            vec![],
        ),
    ];
    for (target, rest, reason, rules) in cases {
        let bytes = format!("GET {target} {rest}\r\n\r\n");
        let (status, record) = sent(&gateway, target, &bytes);
        assert_eq!(status, 400, "{target}: the gate's word stands");
        assert_eq!(record.text("/layer"), "gate", "{target}");
        assert_eq!(record.text("/reason"), reason, "{target}");
        assert_eq!(record.rule_ids(), rules, "{target}");
    }
    assert_eq!(upstream.count(), 0);
    let admitted = "GET /5 HTTP/1.1\r\nHost: a\r\nX-Probe: hit\r\n\r\n";
    let (status, record) = sent(&gateway, "/5", admitted);
    assert_eq!((status, record.rule_ids()), (200, vec![1001]));
}

#[test]
fn bytes_beyond_ascii_in_a_target_are_a_400_unless_the_listener_admits_them() {
    let upstream = Upstream::echo();
    let target = "/caf\u{e9}?q=\u{e9}";
    let bytes = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");

    let strict = gateway("fields: 64", &upstream);
    let (status, record) = sent(&strict, target, &bytes);
    assert_eq!((status, record.text("/reason")), (400, "target"));
    assert_eq!(upstream.count(), 0);
    assert_eq!(Client::get(&strict.address, "/caf%C3%A9").status, 200);
    upstream.forget();

    let open = gateway("non_ascii_target: true", &upstream);
    let (status, record) = sent(&open, target, &bytes);
    assert_eq!(status, 200);
    assert_eq!(
        record.rule_ids(),
        [1003],
        "rules see the bytes as they were sent"
    );
    let seen = upstream.only_request();
    assert_eq!(seen.target(), "/caf%C3%A9?q=%C3%A9", "and servers never do");
}
