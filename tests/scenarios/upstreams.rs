//! Servers: reached by TLS and sockets, checked, chosen, tried again, spared.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use harness::gateway::eventually;
use harness::h2c::H2cUpstream;
use harness::relay::{self, Authority};
use harness::{Answer, Client, Gateway, Message, Upstream};

/// A gateway with one upstream of this YAML and no protection in the way.
fn gateway(upstream: &str) -> Gateway {
    Gateway::routing(&configuration(upstream)).start()
}

fn configuration(upstream: &str) -> String {
    format!(
        "profiles: {{ default: {{ waf: {{ mode: off }} }} }}\nupstreams:\n  app:\n{}\nroutes: [{{ upstream: app }}]\n",
        upstream
            .lines()
            .map(|line| format!("    {line}"))
            .collect::<Vec<_>>()
            .join("\n")
    )
}

fn get(gateway: &Gateway, target: &str) -> Message {
    Client::request(&gateway.address, "GET", target, &[], b"")
}

fn named(name: &'static str) -> Upstream {
    Upstream::answering(move |_| Answer::text(name))
}

fn answering(status: u16) -> Upstream {
    Upstream::answering(move |_| Answer::status(status))
}

#[test]
fn a_server_with_tls_must_be_who_it_says_and_gets_our_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let own = clients.issue("gateway");
    let (ca, certificate, key) = (
        file("ca.pem", servers.pem()),
        file("own.pem", &own.certificate),
        file("own.key", &own.key),
    );
    let app = named("behind TLS");
    let to = app.address();
    let good = relay::tls(&to, &servers.issue("app.test"), Some(&clients), &[]);
    let material = format!("ca: {ca}, certificate: {certificate}, key: {key}");

    let trusted = gateway(&format!(
        "servers: [\"https://{good}\"]\ntls: {{ server_name: app.test, {material} }}"
    ));
    for _ in 0..3 {
        assert_eq!(get(&trusted, "/").text(), "behind TLS");
    }

    for (what, tls) in [
        (
            "another name",
            format!("server_name: other.test, {material}"),
        ),
        ("no authority", "server_name: app.test".to_owned()),
        ("no certificate", format!("server_name: app.test, ca: {ca}")),
    ] {
        let gateway = gateway(&format!("servers: [\"https://{good}\"]\ntls: {{ {tls} }}"));
        assert_eq!(get(&gateway, "/").status, 502, "{what}");
        let record = gateway.record_of("/");
        let error = record.text("/error").to_owned();
        if what != "no certificate" {
            assert!(
                error.contains("TLS to the upstream failed"),
                "{what}: {error}"
            );
            assert!(error.to_lowercase().contains("cert"), "{what}: {error}");
        }
    }
}

#[test]
fn a_new_authority_in_the_file_takes_effect_without_a_signal() {
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    fs::write(&ca, old.pem()).unwrap();
    let app = named("fine");
    let server = relay::tls(&app.address(), &new.issue("app.test"), None, &[]);
    let gateway = gateway(&format!(
        "servers: [\"https://{server}\"]\ntls: {{ server_name: app.test, ca: {} }}",
        ca.display()
    ));
    assert_eq!(get(&gateway, "/").status, 502);
    fs::write(&ca, new.pem()).unwrap();
    eventually("the new authority", || {
        (get(&gateway, "/").status == 200).then_some(())
    });
    fs::write(&ca, "nonsense").unwrap();
    eventually("the refusal", || {
        gateway.log().contains("holds no certificate").then_some(())
    });
    assert_eq!(get(&gateway, "/").status, 200, "the old one stays");
}

#[test]
fn http_2_over_tls_is_agreed_by_alpn() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("servers");
    let ca = folder.path().join("ca.pem");
    fs::write(&ca, authority.pem()).unwrap();
    let app = H2cUpstream::start();
    let to = app.address.to_string();
    let server = relay::tls(&to, &authority.issue("app.test"), None, &["h2"]);
    for protocol in ["h2", "auto"] {
        let gateway = gateway(&format!(
            "servers: [\"https://{server}\"]\nprotocol: {protocol}\ntls: {{ server_name: app.test, ca: {} }}",
            ca.display()
        ));
        let body = protocol.as_bytes();
        let answer = Client::request(&gateway.address, "POST", "/", &[], body);
        assert_eq!((answer.status, answer.body.as_slice()), (200, body));
    }
}

#[test]
fn a_server_may_be_a_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let app = Upstream::echo();
    relay::socket(&path, &app.address());
    let gateway = gateway(&format!(
        "servers: [\"unix:{}\"]\nhost: server\nhealth: {{ interval: 100ms }}",
        path.display()
    ));
    for _ in 0..3 {
        assert_eq!(get(&gateway, "/over").status, 200);
    }
    let seen = app.requests();
    let seen = seen.iter().find(|seen| seen.message.target() == "/over");
    assert_eq!(seen.unwrap().message.header("host"), Some("localhost"));
}

#[test]
fn checks_take_servers_away_and_bring_them_back() {
    let fine = Arc::new(AtomicBool::new(true));
    let state = fine.clone();
    let app = Upstream::answering(move |seen| match seen.message.target() {
        "/healthz" if !state.load(Ordering::SeqCst) => Answer::status(500),
        _ => Answer::text("app"),
    });
    let upstream = format!(
        "servers: [\"{}\"]\nhealth: {{ path: /healthz, interval: 100ms, healthy: 1, unhealthy: 2 }}",
        app.url()
    );
    let gateway = gateway(&upstream);
    assert_eq!(get(&gateway, "/").status, 200);
    fine.store(false, Ordering::SeqCst);
    let answer = eventually("503", || {
        let answer = get(&gateway, "/");
        (answer.status == 503).then_some(answer)
    });
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert!((gateway.metric("palisade_upstream_down{") - 1.0).abs() < 0.1);
    let servers = gateway.admin("/api/v1/upstreams/app").text();
    assert!(servers.contains("\"state\":\"down\""), "{servers}");
    assert!(servers.contains("status 500"), "{servers}");

    // A reload that changes the group must not forget what is known about its servers.
    gateway.write_config(&format!(
        "{}{}",
        harness::gateway::LISTENER,
        configuration(&format!("{upstream}\nlimits: {{ requests: 100 }}"))
    ));
    gateway.signal("HUP");
    eventually("the reload", || {
        gateway
            .log()
            .contains("configuration reloaded")
            .then_some(())
    });
    assert_eq!(get(&gateway, "/").status, 503);
    fine.store(true, Ordering::SeqCst);
    eventually("the return", || {
        (get(&gateway, "/").status == 200).then_some(())
    });
}

#[test]
fn answers_of_a_failing_server_are_asked_for_elsewhere_but_only_where_that_is_safe() {
    let (bad, good) = (answering(503), named("good"));
    let gateway = gateway(&format!(
        "servers: [\"{}\", \"{}\"]\nretries: {{ attempts: 2, budget: 100%, on: [\"503\"] }}",
        bad.url(),
        good.url()
    ));
    for _ in 0..6 {
        assert_eq!(get(&gateway, "/get").text(), "good");
        let put = Client::request(&gateway.address, "PUT", "/put", &[], b"whole body");
        assert_eq!(put.text(), "good");
    }
    let bodies = good.requests();
    let mut puts = bodies.iter().filter(|seen| seen.message.method() == "PUT");
    assert!(puts.all(|seen| seen.message.body == b"whole body"));
    let posts: BTreeSet<u16> = (0..6)
        .map(|_| Client::request(&gateway.address, "POST", "/post", &[], b"x").status)
        .collect();
    assert_eq!(posts, [200, 503].into(), "a POST is not repeated");
    assert!(gateway.metric("palisade_upstream_retries_total{reason=\"503\"") >= 6.0);
}

#[test]
fn a_try_and_all_tries_have_their_time() {
    let slow = Upstream::answering(|_| {
        Answer::Later(Duration::from_secs(20), Box::new(Answer::text("late")))
    });
    let quick = named("quick");
    let hurried = gateway(&format!(
        "servers: [\"{}\", \"{}\"]\nretries: {{ budget: 100%, on: [per_try_timeout], per_try: 300ms }}",
        slow.url(),
        quick.url()
    ));
    for _ in 0..4 {
        assert_eq!(get(&hurried, "/").text(), "quick");
    }
    assert!(hurried.metric("palisade_upstream_attempts_total{result=\"per_try_timeout\"") >= 1.0);

    let bounded = gateway(&format!(
        "servers: [\"{}\"]\ntimeouts: {{ total: 500ms }}",
        slow.url()
    ));
    let started = Instant::now();
    assert_eq!(get(&bounded, "/total").status, 504);
    assert!(started.elapsed() < Duration::from_secs(10));
    let error = bounded.record_of("/total").text("/error").to_owned();
    assert_eq!(error, "time for the upstream is over");

    let single = gateway(&format!(
        "servers: [\"{}\"]\nretries: {{ per_try: 300ms }}",
        slow.url()
    ));
    assert_eq!(get(&single, "/try").status, 504);
    let error = single.record_of("/try").text("/error").to_owned();
    assert_eq!(error, "upstream did not answer one try in time");
}

#[test]
fn a_long_answer_outlives_the_time_of_a_try() {
    let pause = Duration::from_millis(400);
    let app = Upstream::answering(move |_| Answer::Paced {
        headers: Vec::new(),
        chunks: vec![(pause, b"a".to_vec()), (pause, b"b".to_vec())],
    });
    let gateway = gateway(&format!(
        "servers: [\"{}\"]\nretries: {{ per_try: 300ms }}\ntimeouts: {{ total: 20s }}",
        app.url()
    ));
    let answer = get(&gateway, "/");
    assert_eq!((answer.status, answer.text()), (200, "ab".to_owned()));
}

#[test]
fn a_cookie_keeps_a_client_on_its_server_until_that_one_goes() {
    let (a, b) = (named("a"), named("b"));
    let gateway = gateway(&format!(
        "servers: [\"{}\", \"{}\"]\nsticky: {{ cookie: s, secret: 0123456789abcdef }}",
        a.url(),
        b.url()
    ));
    let first = get(&gateway, "/");
    let cookie = first.header("set-cookie").unwrap().to_owned();
    assert!(
        cookie.ends_with("; Path=/; Secure; HttpOnly; SameSite=Lax"),
        "{cookie}"
    );
    let value = cookie.split(';').next().unwrap();
    for _ in 0..6 {
        let again = Client::request(&gateway.address, "GET", "/", &[("Cookie", value)], b"");
        assert_eq!(again.text(), first.text());
        assert_eq!(again.header("set-cookie"), None);
    }
    let (gone, stays) = if first.text() == "a" { (a, b) } else { (b, a) };
    let address = gone.address();
    drop(gone);
    eventually("the end of the server", || {
        TcpStream::connect(&address).is_err().then_some(())
    });
    let moved = Client::request(&gateway.address, "GET", "/", &[("Cookie", value)], b"");
    assert_eq!(moved.status, 200);
    assert_ne!(moved.text(), first.text());
    assert_ne!(moved.header("set-cookie"), Some(cookie.as_str()));
    drop(stays);
}

#[test]
fn a_hash_sends_the_same_key_to_the_same_server() {
    let apps: Vec<Upstream> = (0..4).map(|_| Upstream::echo()).collect();
    let urls: Vec<String> = apps
        .iter()
        .map(|app| format!("\"{}\"", app.url()))
        .collect();
    let gateway = gateway(&format!(
        "servers: [{}]\nbalance: hash\nhash_by: header:x-tenant",
        urls.join(", ")
    ));
    for tenant in 0..24 {
        apps.iter().for_each(Upstream::forget);
        for _ in 0..4 {
            let tenant = tenant.to_string();
            let fields = [("X-Tenant", tenant.as_str())];
            let answer = Client::request(&gateway.address, "GET", "/", &fields, b"");
            assert_eq!(answer.status, 200);
        }
        let counts: BTreeSet<usize> = apps.iter().map(Upstream::count).collect();
        assert_eq!(counts, [0, 4].into(), "tenant {tenant}");
    }
}

#[test]
fn a_group_takes_no_more_than_its_limit_and_lets_a_few_wait() {
    let most = Arc::new(AtomicUsize::new(0));
    let (inside, seen) = (Arc::new(AtomicUsize::new(0)), most.clone());
    let app = Upstream::answering(move |_| {
        let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
        seen.fetch_max(now, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(700));
        inside.fetch_sub(1, Ordering::SeqCst);
        Answer::text("fine")
    });
    let gateway = gateway(&format!(
        "servers: [\"{}\"]\nlimits: {{ requests: 2, pending: 2, pending_time: 10s, retry_after: 7s }}",
        app.url()
    ));
    let answers: Vec<Message> = thread::scope(|scope| {
        let asked: Vec<_> = (0..8).map(|_| scope.spawn(|| get(&gateway, "/"))).collect();
        asked.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let fine = answers.iter().filter(|answer| answer.status == 200).count();
    assert!((2..=4).contains(&fine), "{fine}");
    let refused: Vec<_> = answers
        .iter()
        .filter(|answer| answer.status == 503)
        .collect();
    assert_eq!(refused.len(), 8 - fine);
    assert!(
        refused
            .iter()
            .all(|answer| answer.header("retry-after") == Some("7"))
    );
    assert!(most.load(Ordering::SeqCst) <= 2);
    assert!(gateway.metric("palisade_upstream_refused_total{reason=\"limit\"") >= 4.0);
}

#[test]
fn servers_that_answer_errors_are_left_out_where_the_operator_said_so() {
    let (bad, good) = (answering(502), named("good"));
    let gateway = gateway(&format!(
        "servers: [\"{}\", \"{}\"]\nejection: {{ gateway_errors: 3, time: 1m }}",
        bad.url(),
        good.url()
    ));
    let statuses: Vec<u16> = (0..20).map(|_| get(&gateway, "/").status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 502).count(), 3);
    assert_eq!(bad.count(), 3);
}

#[test]
fn grpc_servers_are_asked_by_their_own_protocol() {
    // `HealthCheckResponse` with the status SERVING, and with NOT_SERVING.
    let serving = H2cUpstream::saying(&[0, 0, 0, 0, 2, 8, 1]);
    let other = H2cUpstream::saying(&[0, 0, 0, 0, 2, 8, 2]);
    let gateway = gateway(&format!(
        "servers: [\"http://{}\", \"http://{}\"]\nprotocol: h2c\ngrpc: true\n\
         health: {{ kind: grpc, interval: 100ms, service: app }}",
        serving.address, other.address
    ));
    eventually("the server that does not serve to be down", || {
        let down = gateway.metric("palisade_upstream_down{") > 0.5;
        let servers = gateway.admin("/api/v1/upstreams/app").text();
        (down && servers.contains("not serving (status 2)")).then_some(())
    });
    assert!((gateway.metric("palisade_upstream_up{") - 1.0).abs() < 0.1);
    let asked = eventually("a check", || serving.bodies().first().cloned());
    assert_eq!(asked.as_slice(), &b"\0\0\0\0\x05\x0a\x03app"[..]);
}

#[test]
fn how_many_connections_are_kept_changes_with_a_reload() {
    let app = Upstream::echo();
    let yaml = |connections: u32| {
        // A deadline for all tries keeps requests on the engine's way, whose connections are meant.
        configuration(&format!(
            "servers: [\"{}\"]\nkeepalive: {{ connections: {connections} }}\ntimeouts: {{ total: 20s }}",
            app.url()
        ))
    };
    let gateway = Gateway::routing(&yaml(0)).start();
    for _ in 0..4 {
        assert_eq!(get(&gateway, "/").status, 200);
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(app.connections(), 4, "each is closed after use");
    gateway.write_config(&format!("{}{}", harness::gateway::LISTENER, yaml(8)));
    gateway.signal("HUP");
    eventually("the reload", || {
        gateway
            .log()
            .contains("configuration reloaded")
            .then_some(())
    });
    for _ in 0..12 {
        assert_eq!(get(&gateway, "/").status, 200);
    }
    let more = app.connections() - 4;
    assert!(more < 12, "{more} connections for 12 requests");
}

#[test]
fn checks_by_http_speak_http_2_where_servers_do() {
    let server = H2cUpstream::start();
    let gateway = gateway(&format!(
        "servers: [\"http://{}\"]\nprotocol: h2c\nhealth: {{ path: /healthz, interval: 100ms, unhealthy: 1 }}",
        server.address
    ));
    thread::sleep(Duration::from_millis(400));
    let servers = gateway.admin("/api/v1/upstreams/app").text();
    assert!(servers.contains("\"state\":\"up\""), "{servers}");
}
