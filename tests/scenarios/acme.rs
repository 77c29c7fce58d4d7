//! Certificates that renew themselves, from a real authority (Pebble) that asks our own listeners.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use harness::gateway::{Plan, palisade};
use harness::pebble::{Authority, Pebble, await_port, certify, on_path};
use harness::places::free_address;
use harness::tls::Https;
use harness::{Client, Gateway, Message, Upstream, skipped};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;

/// A gateway whose second listener is where the authority looks; `acme` stands under `tls.acme`.
fn gateway(pebble: &Pebble, acme: &str) -> Plan {
    Gateway::configured(&format!(
        "
listeners:
  - address: \"${{LISTEN}}\"
  - address: \"${{HTTP}}\"
  - address: \"${{TLS}}\"
    tls: {{}}
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
    .with("TLS", &pebble.tls)
    .with("DIRECTORY", &pebble.directory)
    .with("CA", pebble.ca())
    .with("DNS", &pebble.dns)
    .with("STATE", pebble.folder().join("state").display().to_string())
}

const ACCOUNT: &str = "    accounts:
      test: { directory: \"${DIRECTORY}\", ca: \"${CA}\", agree_to_terms: true }
";

/// A server that ends with the test, also with one that fails.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

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
    let acme = "    accounts:
      test:
        directory: \"${DIRECTORY}\"
        ca: \"${CA}\"
        agree_to_terms: true
        external_account: { key_id: kid-1, secret: \"${EAB}\" }
    certificates: [{ names: [a.gw.test] }]
";
    let bound = gateway(&pebble, acme).with("EAB", key).start();
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
            .with("TLS", free_address())
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
fn short_lived_certificates_are_renewed_under_load() {
    let authority = Authority {
        lifetime: 60,
        ..Authority::default()
    };
    let Some(pebble) = authority.start("acme renewal") else {
        return;
    };
    let acme = format!("{ACCOUNT}    certificates: [{{ names: [a.gw.test] }}]\n");
    let upstream = Upstream::echo();
    let gateway = gateway(&pebble, &acme).before(&upstream).start();
    let first = until(&gateway, "issued", issued);
    let ends = first[0]["not_after"].as_u64().unwrap();
    let next = first[0]["next_attempt"].as_u64().unwrap();
    assert!((ends - 27..ends - 12).contains(&next), "{next} for {ends}");
    let done = AtomicBool::new(false);
    let (shaken, serials) = thread::scope(|scope| {
        let load = scope.spawn(|| {
            let (mut shaken, mut serials) = (0, BTreeSet::new());
            while !done.load(Ordering::Relaxed) {
                // A client of its own each time: nothing is resumed.
                let mut connection = Https::to(&pebble.tls).connect("a.gw.test").unwrap();
                serials.insert(connection.agreed().serial);
                assert_eq!(connection.get("a.gw.test", "/").unwrap().status, 200);
                shaken += 1;
                thread::sleep(Duration::from_millis(20));
            }
            (shaken, serials)
        });
        let second = until(&gateway, "renewed", |one| one["issued_total"] == 2);
        let success = second[0]["last_success"].as_u64().unwrap();
        assert!(success < ends, "renewed after the end");
        assert!(second[0]["not_after"].as_u64() > Some(ends));
        thread::sleep(Duration::from_millis(500));
        done.store(true, Ordering::Relaxed);
        load.join().unwrap()
    });
    println!("{shaken} handshakes over a renewal, none failed");
    assert_eq!(serials.len(), 2, "the old certificate, then the new one");
}

#[test]
fn names_are_proven_by_tls_alpn_01() {
    let Some(pebble) = Authority::default().start("acme tls-alpn-01") else {
        return;
    };
    let acme = format!(
        "{ACCOUNT}    certificates: [{{ names: [a.gw.test, b.gw.test], challenge: tls-alpn-01 }}]\n"
    );
    let gateway = gateway(&pebble, &acme).start();
    until(&gateway, "issued", issued);
    assert!(Https::to(&pebble.tls).connect("b.gw.test").is_ok());
    assert!(Https::to(&pebble.tls).connect("c.gw.test").is_err());
    // Without a pending proof nobody gets one.
    let curious = Https::to(&pebble.tls).offering(&["acme-tls/1"]);
    assert!(curious.connect("c.gw.test").is_err());
}

#[test]
fn certificates_are_ordered_when_allowed_names_are_asked_for() {
    let Some(pebble) = Authority::default().start("acme on demand") else {
        return;
    };
    let acme = format!("{ACCOUNT}    on_demand: {{ names: ['*.shop.test'], per_minute: 2 }}\n");
    let running = gateway(&pebble, &acme).start();
    let client = Https::to(&pebble.tls);
    assert!(client.connect("other.test").is_err());
    assert!(client.connect("a.b.shop.test").is_err());
    // Asked for by many at once, ordered once.
    for _ in 0..20 {
        assert!(client.connect("one.shop.test").is_err() || pebble.issued() > 0);
    }
    until(&running, "issued", issued);
    let names = |gateway: &Gateway| -> Vec<String> {
        let all = certificates(gateway);
        all.iter()
            .map(|one| one["names"][0].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&running), ["one.shop.test"]);
    assert!(client.connect("one.shop.test").is_ok());
    assert_eq!(pebble.issued(), 1);
    // The second of this minute is ordered, the third has to ask again.
    for name in ["two.shop.test", "three.shop.test"] {
        let _ = client.connect(name);
    }
    until(&running, "issued", issued);
    assert_eq!(names(&running), ["one.shop.test", "two.shop.test"]);
    drop(running);
    // Known names are kept over a restart.
    let again = gateway(&pebble, &acme).start();
    assert!(client.connect("two.shop.test").is_ok());
    assert_eq!(names(&again).len(), 2);
}

#[test]
fn the_example_gets_its_certificate() {
    let Some(pebble) = Authority::default().start("acme example") else {
        return;
    };
    let upstream = Upstream::echo();
    let gateway = Gateway::example("acme")
        .before(&upstream)
        .with("LISTEN", &pebble.http)
        .with("LISTEN_TLS", &pebble.tls)
        .with("DOMAIN", "a.gw.test")
        .with("ACME_DIRECTORY", &pebble.directory)
        .with("ACME_CA", pebble.ca())
        .with(
            "STATE_DIR",
            pebble.folder().join("state").display().to_string(),
        )
        .start();
    until(&gateway, "issued", issued);
    let answer = Https::to(&pebble.tls).get("a.gw.test", "/").unwrap();
    assert_eq!(answer.status, 200);
}

#[test]
fn the_authority_says_when_to_renew_and_offers_profiles() {
    if std::env::var_os("PEBBLE").is_none() {
        return skipped(
            "acme ari and profiles",
            "Debian's pebble has neither: set PEBBLE to one of 2.8 or newer",
        );
    }
    let authority = Authority {
        profiles: true,
        ..Authority::default()
    };
    let Some(pebble) = authority.start("acme ari and profiles") else {
        return;
    };
    let acme = format!(
        "{ACCOUNT}    certificates:
      - {{ names: [a.gw.test] }}
      - {{ names: [b.gw.test], profile: shortlived }}
      - {{ names: [c.gw.test], profile: unheard-of }}
"
    );
    let gateway = gateway(&pebble, &acme).start();
    let all = until(&gateway, "settled", |one| {
        let failed = one["failures"].as_u64() > Some(0);
        failed || (issued(one) && one["next_attempt"].is_u64())
    });
    assert_eq!(all[0]["decided_by"], "authority");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let left = all[1]["not_after"].as_u64().unwrap() - now.as_secs();
    assert!((3000..=3600).contains(&left), "{left}");
    let message = all[2]["last_failure"]["message"].as_str().unwrap();
    assert!(
        message.contains("no profile `unheard-of`, only"),
        "{message}"
    );
}

#[test]
fn records_are_published_by_a_webhook() {
    let Some(pebble) = Authority::default().start("acme webhook") else {
        return;
    };
    fs::create_dir(pebble.folder().join("hook")).unwrap();
    certify(&pebble.folder().join("hook"));
    let service = free_address();
    let listener = TcpListener::bind(&service).unwrap();
    let read = |name: &str| fs::read_to_string(pebble.folder().join(name)).unwrap();
    let chain = vec![CertificateDer::from_pem_slice(read("hook/ca.pem").as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(read("hook/ca.key").as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let config = Arc::new(config);
    let asked = Mutex::new(Vec::new());
    thread::scope(|scope| {
        scope.spawn(|| {
            // Two records are published and taken back.
            for _ in 0..4 {
                let (tcp, _) = listener.accept().unwrap();
                let session = ServerConnection::new(config.clone()).unwrap();
                let mut reader = BufReader::new(StreamOwned::new(session, tcp));
                let mut message = Message::read_head(&mut reader).unwrap().unwrap();
                message.read_body(&mut reader, false).unwrap();
                assert_eq!(message.header("authorization"), Some("Bearer opensesame"));
                let body: Value = serde_json::from_slice(&message.body).unwrap();
                let text = |key: &str| body[key].as_str().unwrap().to_owned();
                if text("action") == "present" {
                    pebble.set_txt(&text("record"), &text("value"));
                }
                asked.lock().unwrap().push((text("action"), text("domain")));
                reader
                    .get_mut()
                    .write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
                    .unwrap();
                let _ = reader.get_mut().flush();
            }
        });
        let acme = format!(
            "{ACCOUNT}    dns:
      service:
        webhook: {{ url: \"https://{service}/dns\", bearer: \"${{BEARER}}\", ca: \"{}\" }}
        resolvers: [\"${{DNS}}\"]
    certificates: [{{ names: [gw.test, '*.gw.test'], challenge: dns-01 }}]
",
            pebble.folder().join("hook/ca.pem").display()
        );
        let gateway = gateway(&pebble, &acme).with("BEARER", "opensesame").start();
        until(&gateway, "issued", issued);
    });
    let asked = asked.into_inner().unwrap();
    let actions: Vec<&str> = asked.iter().map(|(action, _)| action.as_str()).collect();
    assert_eq!(actions, ["present", "present", "cleanup", "cleanup"]);
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
    fs::create_dir(folder.path().join("db")).unwrap();
    let knot = Command::new(knotd)
        .arg("-c")
        .arg(folder.path().join("knot.conf"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("knotd starts");
    let _knot = Ended(knot);
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
}

#[test]
fn two_instances_order_once_and_share() {
    let Some(program) = on_path("redis-server") else {
        return skipped(
            "acme redis",
            "redis-server is not installed: apt install redis-server",
        );
    };
    let Some(pebble) = Authority::default().start("acme redis") else {
        return;
    };
    let redis = free_address();
    let start = || {
        let child = Command::new(&program)
            .args([
                "--port",
                redis.rsplit(':').next().unwrap(),
                "--bind",
                "127.0.0.1",
            ])
            .args(["--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server starts");
        await_port(&redis);
        Ended(child)
    };
    let server = start();
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
        .with("TLS", free_address())
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
    drop(server);
    drop(second);
    let third = gateway(&pebble, &acme)
        .with("HTTP", free_address())
        .with("TLS", free_address())
        .with(
            "STATE",
            pebble.folder().join("second").display().to_string(),
        )
        .start();
    until(&third, "held without Redis", has);
    assert_eq!(pebble.issued(), 2);
}
