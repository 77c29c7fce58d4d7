//! TLS as its users meet it: certificates, policies by host, client certificates, changes while it runs.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use harness::gateway::{eventually, palisade};
use harness::h2c::Call;
use harness::places::free_address;
use harness::tls::{Authority, Https, KeyKind, Pem};
use harness::{Client, Gateway, Upstream};
use rustls::version::{TLS12, TLS13};

/// A gateway before an echoing upstream, and its TLS address.
struct Edge {
    gateway: Gateway,
    address: String,
    upstream: Upstream,
}

/// Files beside the configuration, and the section `tls` that names them.
fn edge(files: &[(&str, &str)], tls: &str) -> Edge {
    let upstream = Upstream::echo();
    let address = free_address();
    let mut plan = Gateway::configured(&config(tls))
        .before(&upstream)
        .with("LISTEN_TLS", &address);
    for (name, text) in files {
        plan = plan.file(name, text);
    }
    let gateway = plan.start();
    Edge {
        gateway,
        address,
        upstream,
    }
}

fn config(tls: &str) -> String {
    format!(
        "listeners:\n  - {{ address: \"${{LISTEN}}\" }}\n  - {{ address: \"${{LISTEN_TLS}}\", tls: {{}}, \
         connections_per_address: 4096 }}\n\
         admin: {{ address: \"${{ADMIN}}\" }}\naudit: {{ output: \"${{AUDIT_LOG}}\" }}\n\
         upstreams: {{ app: {{ servers: [\"${{UPSTREAM}}\"] }} }}\nprofiles: {{ default: {{ waf: {{ mode: off }} }} }}\n\
         routes: [{{ upstream: app }}]\ntls:\n{tls}"
    )
}

impl Edge {
    fn write(&self, name: &str, text: &str) {
        // Renamed into place, as tools that renew certificates do.
        let path = self.gateway.folder().join(name);
        let aside = path.with_extension("new");
        fs::write(&aside, text).unwrap();
        fs::rename(&aside, path).unwrap();
    }

    fn client(&self) -> Https {
        Https::to(&self.address)
    }

    fn serial(&self, host: &str) -> u64 {
        self.client()
            .connect(host)
            .map_or(0, |made| made.agreed().serial)
    }
}

const FILES: &str = "  certificates: [{ certificate: a.crt, key: a.key, default: true }]\n";

fn pair<'a>(pem: &'a Pem, certificate: &'a str, key: &'a str) -> [(&'a str, &'a str); 2] {
    [(certificate, &pem.certificate), (key, &pem.key)]
}

#[test]
fn the_example_serves_both_protocols_and_tells_the_upstream_so() {
    let authority = Authority::new("test");
    let pem = authority.server(&["shop.example"], KeyKind::Ecdsa, 7);
    let (upstream, address) = (Upstream::echo(), free_address());
    let gateway = Gateway::example("tls")
        .before(&upstream)
        .with("LISTEN_TLS", &address)
        .with("TLS_CERT", "a.crt")
        .with("TLS_KEY", "a.key")
        .file("a.crt", &pem.certificate)
        .file("a.key", &pem.key)
        .start();
    let client = Https::to(&address).offering(&["h2", "http/1.1"]);
    let agreed = client.connect("shop.example").unwrap().agreed();
    assert_eq!(agreed.protocol.as_deref(), Some("h2"));
    assert_eq!((agreed.serial, agreed.version.as_str()), (7, "TLSv1_3"));
    assert_eq!(agreed.exchange, "X25519MLKEM768");
    let http1 = Https::to(&address).offering(&["http/1.1"]);
    let mut connection = http1.connect("shop.example").unwrap();
    assert_eq!(connection.agreed().protocol.as_deref(), Some("http/1.1"));
    assert_eq!(connection.get("shop.example", "/one").unwrap().status, 200);
    assert_eq!(connection.get("shop.example", "/two").unwrap().status, 200);
    let replies = client.exchange(
        "shop.example",
        vec![Call::new("GET", "/h2").of("shop.example")],
    );
    assert_eq!(replies.unwrap()[0].status, 200);
    for target in ["/one", "/h2"] {
        let seen = upstream
            .requests()
            .into_iter()
            .find(|seen| seen.message.target() == target)
            .unwrap();
        assert_eq!(
            seen.message.header("x-forwarded-proto"),
            Some("https"),
            "{target}"
        );
        assert!(
            seen.message
                .header("forwarded")
                .unwrap()
                .ends_with("proto=https")
        );
    }
    let record = gateway.record_of("/one");
    assert_eq!(record.text("/tls/version"), "TLSv1.3");
    assert_eq!(record.text("/tls/server_name"), "shop.example");
    assert!(record.text("/tls/cipher").starts_with("TLS_AES_"));
    assert!(record.text("/tls/ja4").starts_with("t13d"));
    assert!(
        gateway.metric("palisade_tls_handshakes_total{outcome=\"ok\",version=\"TLSv1.3\"}") > 2.0
    );
    let end = "palisade_tls_certificate_not_after_seconds{key=\"ecdsa\",name=\"shop.example\"}";
    assert!(gateway.metric(end) > 1e9);
}

#[test]
fn a_client_gets_the_certificate_of_its_host_and_of_a_kind_it_can_verify() {
    let authority = Authority::new("test");
    let ecdsa = authority.server(&["a.example"], KeyKind::Ecdsa, 1);
    let rsa = authority.server(&["a.example"], KeyKind::Rsa, 2);
    let wild = authority.server(&["*.b.example"], KeyKind::Ecdsa, 3);
    let default = authority.server(&["c.example"], KeyKind::Ecdsa, 4);
    let files = [
        pair(&ecdsa, "certs/a-ec.crt", "certs/a-ec.key"),
        pair(&rsa, "certs/a-rsa/tls.crt", "certs/a-rsa/tls.key"),
        pair(&default, "c.crt", "c.key"),
    ]
    .concat();
    let both = format!("{}{}", wild.certificate, wild.key);
    let files = [files, vec![("certs/b.pem", both.as_str())]].concat();
    let tls = "  certificates:\n    - directory: certs\n    - { certificate: c.crt, key: c.key, default: true }\n";
    let edge = edge(&files, tls);
    for (host, serial) in [
        ("a.example", 1),
        ("x.b.example", 3),
        ("b.example", 4),
        ("x.y.b.example", 4),
        ("unknown.example", 4),
        ("127.0.0.1", 4),
    ] {
        assert_eq!(edge.serial(host), serial, "{host}");
    }
    let by = |kind| {
        Https::verifying(&edge.address, kind)
            .connect("a.example")
            .unwrap()
            .agreed()
            .serial
    };
    assert_eq!((by(KeyKind::Ecdsa), by(KeyKind::Rsa)), (1, 2));
    let tls12 = Https::speaking(&edge.address, &[&TLS12])
        .connect("a.example")
        .unwrap()
        .agreed();
    assert_eq!((tls12.serial, tls12.version.as_str()), (1, "TLSv1_2"));
    assert!(tls12.cipher.starts_with("TLS_ECDHE_ECDSA_WITH_"));
}

#[test]
fn without_a_default_certificate_unknown_names_and_none_are_refused() {
    let pem = Authority::new("test").server(&["a.example"], KeyKind::Ecdsa, 1);
    let tls = "  certificates: [{ certificate: a.crt, key: a.key }]\n";
    let edge = edge(&pair(&pem, "a.crt", "a.key"), tls);
    assert_eq!(edge.serial("a.example"), 1);
    for host in ["b.example", "127.0.0.1"] {
        let error = edge.client().connect(host).err().unwrap().to_string();
        assert!(error.contains("UnrecognisedName"), "{host}: {error}");
    }
    let failed = "palisade_tls_handshakes_total{outcome=\"unknown_name\",version=\"none\"}";
    eventually("the metric", || {
        (edge.gateway.metric(failed) >= 2.0).then_some(())
    });
}

#[test]
fn a_host_that_the_connection_is_not_for_is_misdirected() {
    let authority = Authority::new("test");
    let a = authority.server(&["a.example", "b.example"], KeyKind::Ecdsa, 1);
    let c = authority.server(&["c.example"], KeyKind::Ecdsa, 2);
    let files = [pair(&a, "a.crt", "a.key"), pair(&c, "c.crt", "c.key")].concat();
    let tls = "  certificates:\n    - { certificate: a.crt, key: a.key }\n    - { certificate: c.crt, key: c.key }\n";
    let edge = edge(&files, tls);
    let mut connection = edge.client().connect("a.example").unwrap();
    // The certificate is for both, and both have the same policy.
    for (host, status) in [
        ("a.example", 200),
        ("B.example:8443", 200),
        ("a.example.", 200),
    ] {
        assert_eq!(connection.get(host, "/").unwrap().status, status, "{host}");
    }
    assert_eq!(
        connection.get("c.example", "/misdirected").unwrap().status,
        421
    );
    let calls = ["a.example", "c.example", "b.example", "elsewhere.example"];
    let calls = calls
        .map(|host| Call::new("GET", "/h2").of(host))
        .into_iter();
    let replies = edge
        .client()
        .exchange("a.example", calls.collect())
        .unwrap();
    let statuses: Vec<u16> = replies.iter().map(|reply| reply.status).collect();
    assert_eq!(statuses, [200, 421, 200, 421]);
    let record = edge.gateway.record_of("/misdirected");
    assert_eq!((record.status(), record.text("/layer")), (421, "gate"));
    assert!(
        edge.upstream
            .requests()
            .iter()
            .all(|seen| seen.message.target() != "/misdirected")
    );
}

#[test]
fn versions_ciphers_and_protocols_follow_the_policy_of_the_host() {
    let authority = Authority::new("test");
    let pem = authority.server(&["*.example"], KeyKind::Ecdsa, 1);
    let tls = "  certificates: [{ certificate: a.crt, key: a.key }]\n  hosts:\n\
        \x20   - { names: [new.example], min_version: TLSv1.3, ciphers: [TLS_CHACHA20_POLY1305_SHA256], key_exchange: [secp384r1] }\n\
        \x20   - { names: ['*.example'], alpn: [http/1.1] }\n";
    let edge = edge(&pair(&pem, "a.crt", "a.key"), tls);
    let old = Https::speaking(&edge.address, &[&TLS12]);
    assert!(old.connect("old.example").is_ok());
    assert!(old.connect("new.example").is_err());
    let agreed = edge.client().connect("new.example").unwrap().agreed();
    assert_eq!(agreed.cipher, "TLS13_CHACHA20_POLY1305_SHA256");
    assert_eq!(agreed.exchange, "secp384r1");
    let both = edge.client().offering(&["h2", "http/1.1"]);
    assert_eq!(
        both.connect("new.example")
            .unwrap()
            .agreed()
            .protocol
            .as_deref(),
        Some("h2")
    );
    assert_eq!(
        both.connect("old.example")
            .unwrap()
            .agreed()
            .protocol
            .as_deref(),
        Some("http/1.1")
    );
    let error = edge
        .client()
        .offering(&["h2"])
        .connect("old.example")
        .err()
        .unwrap();
    assert!(
        error.to_string().contains("NoApplicationProtocol"),
        "{error}"
    );
}

/// `a.example` asks nobody, `m.example` asks everybody, `o.example` whoever likes to tell.
fn mutual(authority: &Authority, clients: &Authority, revoked: &[u64]) -> Edge {
    let pem = authority.server(&["*.example"], KeyKind::Ecdsa, 1);
    let list = clients.revoked(revoked);
    let files = [
        ("a.crt", pem.certificate.as_str()),
        ("a.key", &pem.key),
        ("clients.pem", &clients.certificate),
        ("clients.crl", &list),
    ];
    let tls = "  certificates: [{ certificate: a.crt, key: a.key }]\n  hosts:\n\
        \x20   - { names: [m.example], client_certificates: { ca: [clients.pem], crls: [clients.crl], forward: true } }\n\
        \x20   - { names: [o.example], client_certificates: { mode: optional, ca: [clients.pem] } }\n";
    edge(&files, tls)
}

/// The status of a request, or 0: with TLS 1.3 a client learns of a refusal only when it reads.
fn status(client: &Https, host: &str) -> u16 {
    client.get(host, "/").map_or(0, |answer| answer.status)
}

#[test]
fn a_host_with_mutual_tls_serves_only_clients_it_can_verify() {
    let (authority, clients, strangers) = (
        Authority::new("test"),
        Authority::new("clients"),
        Authority::new("clients"),
    );
    let edge = mutual(&authority, &clients, &[66]);
    let alice = Https::showing(&edge.address, &clients.client("alice", 11, false));
    let revoked = Https::showing(&edge.address, &clients.client("mallory", 66, false));
    let expired = Https::showing(&edge.address, &clients.client("old", 12, true));
    let stranger = Https::showing(&edge.address, &strangers.client("alice", 11, false));
    let nobody = edge.client();
    for (who, client, required, optional) in [
        ("alice", &alice, 200, 200),
        ("revoked", &revoked, 0, 200), // no list where it is optional
        ("expired", &expired, 0, 0),
        ("stranger", &stranger, 0, 0),
        ("nobody", &nobody, 0, 200),
    ] {
        assert_eq!(
            status(client, "m.example"),
            required,
            "{who} where it is required"
        );
        assert_eq!(
            status(client, "o.example"),
            optional,
            "{who} where it is optional"
        );
        assert_eq!(
            status(client, "a.example"),
            200,
            "{who} where nobody is asked"
        );
    }
    // What the client proved reaches record and upstream; what it claims does not.
    let mut connection = alice.connect("m.example").unwrap();
    let claims = [
        ("Client-Cert", ":forged:"),
        ("client_cert", ":forged:"),
        ("Client-Cert-Chain", "x"),
    ];
    assert_eq!(
        connection.ask("m.example", "/who", &claims).unwrap().status,
        200
    );
    let seen = edge
        .upstream
        .requests()
        .into_iter()
        .find(|seen| seen.message.target() == "/who")
        .unwrap();
    let proven = seen.message.header("client-cert").unwrap();
    assert!(
        proven.starts_with(":MII") && proven.ends_with(':'),
        "{proven}"
    );
    assert!(
        seen.message.header("client_cert").is_none()
            && seen.message.header("client-cert-chain").is_none()
    );
    let record = edge.gateway.record_of("/who");
    assert_eq!(record.text("/tls/client_subject"), "CN=alice");
    // Where it is not forwarded, nothing arrives, neither proven nor claimed.
    let mut connection = alice.connect("o.example").unwrap();
    connection.ask("o.example", "/quiet", &claims).unwrap();
    let seen = edge
        .upstream
        .requests()
        .into_iter()
        .find(|seen| seen.message.target() == "/quiet")
        .unwrap();
    assert!(seen.message.header("client-cert").is_none());
}

#[test]
fn no_other_host_and_no_session_leads_around_mutual_tls() {
    let (authority, clients) = (Authority::new("test"), Authority::new("clients"));
    let edge = mutual(&authority, &clients, &[]);
    // One certificate is for all hosts, but the policies differ.
    for host in ["m.example", "o.example"] {
        let mut connection = edge.client().connect("a.example").unwrap();
        assert_eq!(connection.get(host, "/").unwrap().status, 421, "{host}");
    }
    for versions in [[&TLS12], [&TLS13]] {
        // Sessions are resumed where nobody is asked, and nowhere else.
        let client = Https::speaking(&edge.address, &versions);
        assert_eq!(status(&client, "a.example"), 200);
        let again = client.connect("a.example").unwrap().agreed();
        assert!(again.resumed, "{versions:?}");
        assert_eq!(status(&client, "m.example"), 0);
    }
    // Nor does a listener without TLS, where nobody can prove anything.
    for (host, status) in [("m.example", 421), ("o.example", 200), ("a.example", 200)] {
        let mut plain = Client::connect(&edge.gateway.address);
        plain.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
        assert_eq!(plain.answer().status, status, "{host} without TLS");
    }
    let alice = Https::showing(&edge.address, &clients.client("alice", 11, false));
    for _ in 0..2 {
        assert_eq!(status(&alice, "m.example"), 200);
        let agreed = alice.connect("m.example").unwrap().agreed();
        assert!(!agreed.resumed, "an identity is proven anew each time");
    }
}

#[test]
fn a_session_outlives_a_reload_but_not_a_host_that_begins_to_ask() {
    let (authority, clients) = (Authority::new("test"), Authority::new("clients"));
    let pem = authority.server(&["a.example"], KeyKind::Ecdsa, 1);
    let files = [
        pair(&pem, "a.crt", "a.key").to_vec(),
        vec![("ca.pem", clients.certificate.as_str())],
    ]
    .concat();
    let edge = edge(&files, FILES);
    let client = edge.client();
    assert_eq!(status(&client, "a.example"), 200);
    let mut kept = client.connect("a.example").unwrap();
    assert_eq!(kept.get("a.example", "/").unwrap().status, 200);
    let renewed = authority.server(&["a.example"], KeyKind::Ecdsa, 2);
    edge.write("a.key", &renewed.key);
    edge.write("a.crt", &renewed.certificate);
    eventually("the new certificate", || {
        (edge.serial("a.example") == 2).then_some(())
    });
    assert!(client.connect("a.example").unwrap().agreed().resumed);
    assert_eq!(
        kept.get("a.example", "/").unwrap().status,
        200,
        "a connection lives on"
    );
    edge.gateway.write_config(&config(&format!(
        "{FILES}  hosts: [{{ names: [a.example], client_certificates: {{ ca: [ca.pem] }} }}]\n"
    )));
    eventually("the new policy", || {
        (status(&edge.client(), "a.example") == 0).then_some(())
    });
    assert_eq!(
        status(&client, "a.example"),
        0,
        "the old session is of no use"
    );
    assert_eq!(
        kept.get("a.example", "/").unwrap().status,
        421,
        "nor is the old connection"
    );
}

#[test]
fn certificates_are_renewed_under_load_without_a_failed_handshake() {
    let authority = Authority::new("test");
    let pems: Vec<Pem> = (1..=6)
        .map(|serial| authority.server(&["a.example"], KeyKind::Ecdsa, serial))
        .collect();
    let folder = |edge: &Edge, serial: usize| {
        let path = edge.gateway.folder().join(format!("certs/..{serial}"));
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("tls.crt"), &pems[serial - 1].certificate).unwrap();
        fs::write(path.join("tls.key"), &pems[serial - 1].key).unwrap();
        link(&path, &edge.gateway.folder().join("certs/site/..data"));
    };
    let edge = edge(&pair(&pems[0], "a.crt", "a.key"), FILES);
    // As Kubernetes mounts a secret: links into a folder that is swapped by a link.
    fs::create_dir_all(edge.gateway.folder().join("certs/site")).unwrap();
    folder(&edge, 1);
    for name in ["tls.crt", "tls.key"] {
        link(
            Path::new(&format!("..data/{name}")),
            &edge.gateway.folder().join("certs/site").join(name),
        );
    }
    edge.gateway
        .write_config(&config("  certificates: [{ directory: certs }]\n"));
    eventually("the folder", || {
        (edge.gateway.metric("palisade_config_reload_success_total") >= 2.0).then_some(())
    });
    let (stop, made) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let clients: Vec<_> = (0..3)
        .map(|_| {
            let (stop, made, address) = (stop.clone(), made.clone(), edge.address.clone());
            thread::spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    let answer = Https::to(&address).get("a.example", "/").unwrap();
                    assert_eq!(answer.status, 200);
                    made.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for serial in 2..=6 {
        folder(&edge, serial);
        eventually("the renewed certificate", || {
            (edge.serial("a.example") == serial as u64).then_some(())
        });
    }
    stop.store(true, Ordering::SeqCst);
    for client in clients {
        client.join().expect("no handshake and no request failed");
    }
    assert!(made.load(Ordering::SeqCst) > 20);
}

/// Replaces a symbolic link in one step.
fn link(target: &Path, at: &Path) {
    let mut aside = at.as_os_str().to_owned();
    aside.push(".aside");
    let _ = fs::remove_file(&aside);
    std::os::unix::fs::symlink(target, &aside).unwrap();
    fs::rename(&aside, at).unwrap();
}

#[test]
fn a_bad_new_certificate_leaves_the_old_one_serving_and_is_told() {
    let authority = Authority::new("test");
    let (one, two) = (
        authority.server(&["a.example"], KeyKind::Ecdsa, 1),
        authority.server(&["b.example"], KeyKind::Ecdsa, 2),
    );
    let files = [
        pair(&one, "a.crt", "a.key"),
        pair(&two, "certs/b.crt", "certs/b.key"),
    ]
    .concat();
    let edge = edge(
        &files,
        &format!("{FILES}    # and\n").replace(
            "key: a.key, default: true }",
            "key: a.key }, { directory: certs }",
        ),
    );
    // A file the configuration names: the reload is refused.
    edge.write(
        "a.crt",
        "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n",
    );
    eventually("the refusal", || {
        (edge.gateway.metric("palisade_config_reload_failure_total") >= 1.0).then_some(())
    });
    assert!(
        edge.gateway.log().contains("a.crt: error: "),
        "{}",
        edge.gateway.log()
    );
    assert_eq!((edge.serial("a.example"), edge.serial("b.example")), (1, 2));
    edge.write(
        "a.crt",
        &authority
            .server(&["a.example"], KeyKind::Ecdsa, 3)
            .certificate,
    );
    eventually("the mismatch", || {
        edge.gateway
            .log()
            .contains("the private key does not belong")
            .then_some(())
    });
    edge.write("a.crt", &one.certificate);
    // A pair in a folder: it stays as it was, everything else goes on.
    edge.write("certs/b.crt", "");
    eventually("the warning", || {
        edge.gateway
            .log()
            .contains("the certificate that was read before stays")
            .then_some(())
    });
    let three = authority.server(&["c.example"], KeyKind::Ecdsa, 3);
    edge.write("certs/c.key", &three.key);
    edge.write("certs/c.crt", &three.certificate);
    eventually("the new host", || {
        (edge.serial("c.example") == 3).then_some(())
    });
    assert_eq!((edge.serial("a.example"), edge.serial("b.example")), (1, 2));
}

#[test]
fn tickets_are_good_for_as_long_as_their_keys() {
    let pem = Authority::new("test").server(&["a.example"], KeyKind::Ecdsa, 1);
    let edge = edge(
        &pair(&pem, "a.crt", "a.key"),
        &format!("{FILES}  session_tickets: {{ rotate: 1s }}\n"),
    );
    let client = edge.client();
    assert_eq!(status(&client, "a.example"), 200);
    assert!(client.connect("a.example").unwrap().agreed().resumed);
    thread::sleep(Duration::from_secs(5));
    // Both keys that knew the first tickets are gone once others have made new ones.
    for _ in 0..2 {
        assert_eq!(status(&edge.client(), "a.example"), 200);
        thread::sleep(Duration::from_millis(2100));
    }
    assert!(!client.connect("a.example").unwrap().agreed().resumed);
}

#[test]
fn every_mistake_in_the_section_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("palisade.yaml");
    let check = |tls: &str| {
        let text = config(tls)
            .replace("${LISTEN_TLS}", "127.0.0.1:0")
            .replace("${LISTEN}", "127.0.0.1:0");
        let text = text
            .replace("${ADMIN}", "127.0.0.1:0")
            .replace("${AUDIT_LOG}", "off");
        fs::write(&path, text.replace("${UPSTREAM}", "http://127.0.0.1:9")).unwrap();
        palisade(&["check", "--config", path.to_str().unwrap()], &[], b"")
    };
    let said = check("  hosts: []\n");
    assert_eq!(said.code, 1);
    assert!(
        said.err
            .contains("no certificate: every handshake would be refused"),
        "{}",
        said.err
    );
    let said = check(
        "  certificates: [{ directory: none, key: k }]\n  defaults: { alpn: [h3], min_version: TLSv1.1 }\n\
         \x20 hosts: [{ names: [bad_, 'x..y'], client_certificates: {} }]\n",
    );
    for wrong in [
        "`h3`",
        "TLSv1.1",
        "expected a host name",
        "at least one file with authorities",
        "belong to a certificate",
    ] {
        assert!(said.err.contains(wrong), "{wrong}: {}", said.err);
    }
    let pem = Authority::new("test").server(&["a.example"], KeyKind::Ecdsa, 1);
    let other = Authority::new("test").server(&["a.example"], KeyKind::Ecdsa, 2);
    fs::write(folder.path().join("a.crt"), &pem.certificate).unwrap();
    fs::write(folder.path().join("a.key"), &other.key).unwrap();
    let said = check(&format!(
        "{FILES}  defaults: {{ client_certificates: {{ ca: [ca.pem, a.key] }} }}\n"
    ));
    for wrong in [
        "does not belong to the first certificate",
        "ca.pem: error: cannot be opened",
        "a.key: error: holds no certificate",
    ] {
        assert!(said.err.contains(wrong), "{wrong}: {}", said.err);
    }
    assert_eq!(said.code, 1);
}
