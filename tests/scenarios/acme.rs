//! Certificates that renew themselves, from a real authority (Pebble) that asks our own listeners.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use harness::gateway::{Plan, palisade};
use harness::pebble::{Authority, Pebble, await_port, on_path};
use harness::places::free_address;
use harness::{Client, Gateway, Upstream, skipped};
use serde_json::Value;

/// A gateway whose second listener is where the authority looks; `acme` stands under `tls.acme`.
fn gateway(pebble: &Pebble, acme: &str) -> Plan {
    Gateway::configured(&format!(
        "
listeners:
  - address: \"${{LISTEN}}\"
  - address: \"${{HTTP}}\"
admin: {{ address: \"${{ADMIN}}\" }}
audit: {{ output: \"${{AUDIT_LOG}}\" }}
upstreams: {{ app: {{ servers: [\"${{UPSTREAM}}\"] }} }}
routes: [{{ name: app, upstream: app }}]
tls:
  acme:
    state: \"${{STATE}}\"
    retry: {{ first: 500ms, longest: 2s }}
{acme}"
    ))
    .with("HTTP", &pebble.http)
    .with("DIRECTORY", &pebble.directory)
    .with("CA", pebble.ca())
    .with("DNS", &pebble.dns)
    .with("STATE", pebble.folder().join("state").display().to_string())
}

const ACCOUNT: &str = "    accounts:
      test: { directory: \"${DIRECTORY}\", ca: \"${CA}\", agree_to_terms: true }
";

/// The state of every certificate.
fn certificates(gateway: &Gateway) -> Vec<Value> {
    let answer = gateway.admin("/api/v1/acme");
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    body["certificates"].as_array().unwrap().clone()
}

/// Waits until every certificate answers the question.
fn until(gateway: &Gateway, what: &str, question: impl Fn(&Value) -> bool) -> Vec<Value> {
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        let all = certificates(gateway);
        if !all.is_empty() && all.iter().all(&question) {
            return all;
        }
        assert!(Instant::now() < deadline, "{what}: {all:#?}");
        thread::sleep(Duration::from_millis(100));
    }
}

fn issued(certificate: &Value) -> bool {
    certificate["issued_total"].as_u64() > Some(0)
}

#[test]
fn a_certificate_is_issued_by_http_01_and_kept_safely() {
    let Some(pebble) = Authority::default().start("acme http-01") else {
        return;
    };
    let acme = format!(
        "{ACCOUNT}    certificates:
      - {{ names: [b.gw.test, a.gw.test] }}
      - {{ names: [a.gw.test], key: rsa-2048 }}
      - {{ names: [c.gw.test], key: ecdsa-p384 }}
"
    );
    let upstream = Upstream::echo();
    let gateway = gateway(&pebble, &acme).before(&upstream).start();
    let all = until(&gateway, "issued", issued);
    assert_eq!(all.len(), 3);
    let state = pebble.folder().join("state");
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&state), 0o700);
    for certificate in &all {
        let id = certificate["id"].as_str().unwrap();
        let file = state.join(format!("certificates/{id}.pem"));
        assert_eq!(mode(&file), 0o600);
        let text = fs::read_to_string(file).unwrap();
        assert!(text.contains("PRIVATE KEY") && text.contains("BEGIN CERTIFICATE"));
        assert_eq!(certificate["last_failure"], Value::Null);
        // At two thirds of the lifetime, or up to a twentieth of it before.
        let ends = certificate["not_after"].as_u64().unwrap();
        let lifetime = 90 * 24 * 3600;
        let next = certificate["next_attempt"].as_u64().unwrap();
        let left = ends - next;
        assert!(
            (lifetime / 3 - 60..lifetime / 3 + lifetime / 20 + 60).contains(&left),
            "{left}"
        );
    }
    assert!(gateway.metric("palisade_acme_issued_total") >= 3.0);
    // The proofs were answered by us, recorded, and never came to the upstream.
    let proof = gateway.record(|record| {
        record
            .text("/request/target")
            .starts_with("/.well-known/acme-challenge/")
    });
    assert_eq!(proof.status(), 200);
    assert!(upstream.requests().is_empty());
    // A token that nobody waits for goes the way of every request.
    let answer = Client::get(&gateway.address, "/.well-known/acme-challenge/unknown");
    assert_eq!(answer.status, 200);
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn a_restart_with_state_orders_nothing() {
    let Some(pebble) = Authority::default().start("acme restart") else {
        return;
    };
    let acme = format!("{ACCOUNT}    certificates: [{{ names: [a.gw.test] }}]\n");
    let first = gateway(&pebble, &acme).start();
    until(&first, "issued", issued);
    let before = certificates(&first);
    drop(first);
    // Killed without warning; half a file is left, and one that is no journal at all.
    let folder = pebble.folder().join("state/certificates");
    let id = before[0]["id"].as_str().unwrap();
    fs::write(folder.join(format!(".{id}.pem.new")), "-----BEGIN PRIV").unwrap();
    fs::write(folder.join(format!("{id}.json")), "{\"names\": [").unwrap();
    let count = pebble.issued();
    let second = gateway(&pebble, &acme).start();
    let after = until(&second, "taken up", |one| one["next_attempt"].is_u64());
    assert_eq!(after[0]["not_after"], before[0]["not_after"]);
    assert_eq!(after[0]["issued_total"], 0);
    thread::sleep(Duration::from_secs(2));
    assert_eq!(pebble.issued(), count);
    assert!(folder.join(format!("{id}.json.bad")).exists());
}

#[test]
fn a_wildcard_is_proven_by_a_hook_that_sees_nothing_else() {
    let Some(pebble) = Authority::default().start("acme dns-01") else {
        return;
    };
    let acme = format!(
        "{ACCOUNT}    dns:
      script:
        hook: {{ command: [{}], environment: {{ TOKEN: abc }} }}
        resolvers: [\"${{DNS}}\"]
    certificates: [{{ names: [gw.test, '*.gw.test'], challenge: dns-01 }}]
",
        pebble.hook()
    );
    let gateway = gateway(&pebble, &acme)
        .with("GATEWAY_SECRET", "must not leak")
        .start();
    until(&gateway, "issued", issued);
    let log = fs::read_to_string(pebble.folder().join("hook.log")).unwrap();
    assert_eq!(
        log.matches("present gw.test _acme-challenge.gw.test")
            .count(),
        2
    );
    assert_eq!(
        log.matches("cleanup gw.test _acme-challenge.gw.test")
            .count(),
        2
    );
    let seen = fs::read_to_string(pebble.folder().join("hook.env")).unwrap();
    assert!(seen.contains("TOKEN=abc") && !seen.contains("GATEWAY_SECRET"));
}

#[test]
fn an_account_is_bound_to_an_external_one() {
    let key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let authority = Authority {
        external: Some(("kid-1", key)),
        ..Authority::default()
    };
    let Some(pebble) = authority.start("acme eab") else {
        return;
    };
    let bare = gateway(
        &pebble,
        &format!("{ACCOUNT}    certificates: [{{ names: [a.gw.test] }}]\n"),
    )
    .start();
    let refused = until(&bare, "refused", |one| one["failures"].as_u64() > Some(0));
    let failure = &refused[0]["last_failure"];
    assert_eq!(
        failure["problem"]["type"],
        "urn:ietf:params:acme:error:externalAccountRequired"
    );
    assert!(bare.log().contains("externalAccountRequired"));
    drop(bare);
    let acme = format!(
        "    accounts:
      test:
        directory: \"${{DIRECTORY}}\"
        ca: \"${{CA}}\"
        agree_to_terms: true
        external_account: {{ key_id: kid-1, secret: \"${{EAB}}\" }}
    certificates: [{{ names: [a.gw.test] }}]
"
    );
    let bound = gateway(&pebble, &acme).with("EAB", key).start();
    until(&bound, "issued", issued);
    assert!(!bound.log().contains(key));
}

#[test]
fn an_authority_that_is_away_is_asked_again() {
    let Some(mut pebble) = Authority::default().start("acme outage") else {
        return;
    };
    let acme = format!("{ACCOUNT}    certificates: [{{ names: [a.gw.test] }}]\n");
    let first = gateway(&pebble, &acme).start();
    until(&first, "issued", issued);
    pebble.stop();
    // Another name while the authority is away: the first certificate is untouched.
    let more = acme.replace("[a.gw.test] }", "[a.gw.test] }, { names: [b.gw.test] }");
    drop(first);
    let second = gateway(&pebble, &more).start();
    let failed = |one: &Value| one["names"][0] == "a.gw.test" || one["failures"].as_u64() > Some(1);
    let all = until(&second, "failing", failed);
    assert!(all[0]["not_after"].is_u64() && all[0]["failures"] == 0);
    let message = all[1]["last_failure"]["message"].as_str().unwrap();
    assert!(message.contains("onnect"), "{message}");
    // It comes back and knows nobody: the account is made anew.
    pebble.run();
    until(&second, "issued", |one| one["not_after"].is_u64());
    assert!(second.metric("palisade_acme_failures_total") >= 2.0);
}

#[test]
fn staging_has_to_issue_first() {
    let Some(staging) = Authority::default().start("acme staging") else {
        return;
    };
    let Some(pebble) = Authority::default().start("acme staging") else {
        return;
    };
    // One trust bundle for both, as with two directories of one authority.
    let both = pebble.folder().join("both.pem");
    let text = [staging.ca(), pebble.ca()].map(|path| fs::read_to_string(path).unwrap());
    fs::write(&both, text.concat()).unwrap();
    let acme = "    accounts:
      test: { directory: \"${DIRECTORY}\", staging: \"${STAGING}\", ca: \"${BOTH}\", agree_to_terms: true }
    certificates: [{ names: [a.gw.test] }]
";
    let plan = |http: &str| {
        gateway(&pebble, acme)
            .with("STAGING", &staging.directory)
            .with("BOTH", both.display().to_string())
            .with("HTTP", http)
    };
    // Staging cannot reach us: production is never asked.
    let first = plan(&pebble.http).start();
    let failed = until(&first, "failing", |one| one["failures"].as_u64() > Some(0));
    let step = failed[0]["last_failure"]["step"].as_str().unwrap();
    assert!(step.starts_with("at staging"), "{step}");
    assert_eq!(pebble.issued(), 0);
    drop(first);
    // Now both look at the same place.
    let config = fs::read_to_string(staging.folder().join("pebble.json")).unwrap();
    assert!(config.contains("httpPort"));
    let second = plan(&staging.http).start();
    let deadline = Instant::now() + Duration::from_secs(60);
    while staging.issued() == 0 {
        assert!(Instant::now() < deadline, "staging never issued");
        thread::sleep(Duration::from_millis(100));
    }
    let failed = until(&second, "at production", |one| {
        let step = one["last_failure"]["step"].as_str();
        step.is_some_and(|step| !step.starts_with("at staging"))
    });
    assert!(failed[0]["failures"].as_u64() > Some(0));
    drop(second);
    // Once is enough: what staging has issued is not asked for again.
    let third = plan(&pebble.http).start();
    until(&third, "issued", issued);
    assert_eq!(staging.issued(), 1);
}

#[test]
fn check_says_what_is_wrong_with_the_section() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("palisade.yaml");
    let check = |acme: &str| {
        let yaml = format!(
            "listeners: [{{ address: '127.0.0.1:0' }}]
audit: {{ output: stderr }}
upstreams: {{ app: {{ servers: ['http://127.0.0.1:9'] }} }}
routes: [{{ name: app, upstream: app }}]
tls:
  acme:
{acme}"
        );
        fs::write(&file, yaml).unwrap();
        palisade(
            &["check", "--config", &file.display().to_string()],
            &[],
            b"",
        )
    };
    let said = check(
        "    state: /tmp
    accounts:
      one: { directory: 'http://ca.test/dir', agree_to_terms: false }
    certificates: [{ names: ['*.gw.test'] }, { names: [a.gw.test], challenge: dns-01 }]
",
    );
    assert_eq!(said.code, 1);
    for expected in [
        "expected an `https` URL",
        "without `true` the authority makes no account",
        "a wildcard can only be proven by DNS",
        "there is no entry in `tls.acme.dns`",
    ] {
        assert!(said.err.contains(expected), "{expected}:\n{}", said.err);
    }
    let said = check(
        "    state: /proc/acme
    accounts:
      one: { directory: 'https://ca.test/dir', ca: /nowhere.pem, agree_to_terms: true }
    certificates: [{ names: [a.gw.test] }]
",
    );
    assert_eq!(said.code, 1);
    for expected in ["tls.acme.state: /proc/acme", "/nowhere.pem"] {
        assert!(said.err.contains(expected), "{expected}:\n{}", said.err);
    }
}

#[test]
fn short_lived_certificates_are_renewed_in_time() {
    let authority = Authority {
        lifetime: 60,
        ..Authority::default()
    };
    let Some(pebble) = authority.start("acme renewal") else {
        return;
    };
    let acme = format!("{ACCOUNT}    certificates: [{{ names: [a.gw.test] }}]\n");
    let gateway = gateway(&pebble, &acme).start();
    let first = until(&gateway, "issued", issued);
    let ends = first[0]["not_after"].as_u64().unwrap();
    let next = first[0]["next_attempt"].as_u64().unwrap();
    assert!((ends - 27..ends - 12).contains(&next), "{next} for {ends}");
    let second = until(&gateway, "renewed", |one| one["issued_total"] == 2);
    let success = second[0]["last_success"].as_u64().unwrap();
    assert!(success < ends, "renewed {} s too late", success - ends);
    assert!(second[0]["not_after"].as_u64() > Some(ends));
}

#[test]
fn records_are_published_by_a_signed_update() {
    let Some(knotd) = on_path("knotd") else {
        return skipped("acme rfc2136", "knotd is not installed: apt install knot");
    };
    let folder = tempfile::tempdir().unwrap();
    let address = free_address();
    let (host, port) = address.split_once(':').unwrap();
    let secret = "c2VjcmV0IG9mIHRoZSB0c2lnIGtleSBmb3IgdGVzdHM=";
    let at = folder.path().display();
    fs::write(
        folder.path().join("dyn.test.zone"),
        "$ORIGIN dyn.test.\n@ 60 SOA ns hostmaster 1 60 60 600 60\n@ 60 NS ns\nns 60 A 127.0.0.1\n",
    )
    .unwrap();
    fs::write(
        folder.path().join("knot.conf"),
        format!(
            "server:\n  rundir: \"{at}\"\n  listen: {host}@{port}\nlog:\n  - target: stderr\n    any: warning\n\
             database:\n  storage: \"{at}/db\"\n\
             key:\n  - id: palisade\n    algorithm: hmac-sha256\n    secret: {secret}\n\
             acl:\n  - id: update\n    key: palisade\n    action: update\n\
             template:\n  - id: default\n    storage: \"{at}\"\n\
             zone:\n  - domain: dyn.test\n    file: dyn.test.zone\n    acl: update\n"
        ),
    )
    .unwrap();
    let mut knot = Command::new(knotd)
        .arg("-c")
        .arg(folder.path().join("knot.conf"))
        .stdout(Stdio::null())
        .spawn()
        .expect("knotd starts");
    await_port(&address);
    let authority = Authority {
        dns: Some(address.clone()),
        ..Authority::default()
    };
    let pebble = authority.start("acme rfc2136");
    if let Some(pebble) = &pebble {
        let acme = |secret: &str| {
            format!(
                "{ACCOUNT}    dns:
      zone: {{ update: {{ server: \"{address}\", zone: dyn.test, key: palisade, secret: {secret} }}, propagation: 10s }}
    certificates: [{{ names: [dyn.test, '*.dyn.test'], challenge: dns-01 }}]
"
            )
        };
        let wrong = gateway(pebble, &acme("d3Jvbmc=")).start();
        let failed = until(&wrong, "refused", |one| one["failures"].as_u64() > Some(0));
        let message = failed[0]["last_failure"]["message"].as_str().unwrap();
        assert!(message.contains("refused the update"), "{message}");
        drop(wrong);
        let right = gateway(pebble, &acme(secret)).start();
        until(&right, "issued", issued);
    }
    let _ = knot.kill();
    let _ = knot.wait();
}

#[test]
fn two_instances_order_once_and_share() {
    let Some(server) = on_path("redis-server") else {
        return skipped("acme redis", "redis-server is not installed: apt install redis-server");
    };
    let Some(pebble) = Authority::default().start("acme redis") else {
        return;
    };
    let redis = free_address();
    let start = || {
        let child = Command::new(&server)
            .args(["--port", redis.rsplit(':').next().unwrap(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server starts");
        await_port(&redis);
        child
    };
    let mut child = start();
    let acme = format!(
        "{ACCOUNT}    certificates: [{{ names: [a.gw.test] }}, {{ names: [b.gw.test] }}]
    share: {{ redis: \"redis://{redis}/0\", key: \"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\" }}
"
    );
    // Only the first is where the authority looks; the second's proofs have to be answered by it.
    let first = gateway(&pebble, &acme).start();
    let elsewhere = pebble.folder().join("second").display().to_string();
    let second = gateway(&pebble, &acme)
        .with("HTTP", free_address())
        .with("STATE", elsewhere)
        .start();
    let has = |one: &Value| one["not_after"].is_u64();
    let ours = until(&first, "held by the first", has);
    let theirs = until(&second, "held by the second", has);
    assert_eq!(pebble.issued(), 2, "one order for each certificate");
    for (one, other) in ours.iter().zip(&theirs) {
        assert_eq!(one["not_after"], other["not_after"]);
        assert_eq!(one["id"], other["id"]);
    }
    // Keys are not there to be read.
    let mut client = Client::connect(&redis);
    let id = ours[0]["id"].as_str().unwrap();
    client.send(format!("GET palisade:acme:certificate:{id}\r\n").as_bytes());
    let kept = client.some_bytes().unwrap();
    assert!(kept.len() > 500 && !String::from_utf8_lossy(&kept).contains("PRIVATE KEY"));
    // Without Redis both serve on, and a third starts with what lies in its state.
    let _ = child.kill();
    let _ = child.wait();
    drop(second);
    let third = gateway(&pebble, &acme)
        .with("HTTP", free_address())
        .with("STATE", pebble.folder().join("second").display().to_string())
        .start();
    until(&third, "held without Redis", has);
    assert_eq!(pebble.issued(), 2);
}
