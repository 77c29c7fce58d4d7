//! Slow proofs that need minutes, many sockets or a release build: `make soak`.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and prints what it measured"
)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use harness::client::request;
use harness::gateway::{LISTENER, eventually};
use harness::places::{corpus, free_address, skipped};
use harness::tls::{Authority, Https, HttpsConnection, KeyKind};
use harness::{Answer, Client, Gateway, Upstream};

const UPLOADS: &str = r#"
upstreams: { app: { servers: ["${UPSTREAM}"] } }
profiles:
  uploads: { body: { inspect: 128KiB, limit: 2GiB } }
routes: [{ upstream: app, profile: uploads }]
"#;

#[test]
#[ignore = "slow: make soak"]
fn a_gigabyte_streams_through_without_staying() {
    let upstream = Upstream::answering(|seen| Answer::text(&seen.message.length.to_string()));
    let gateway = Gateway::routing(UPLOADS).before(&upstream).start();
    let before = gateway.resident_kib();
    let total: u64 = 1 << 30;
    let length = total.to_string();
    let headers = [
        ("Content-Length", length.as_str()),
        ("Content-Type", "application/octet-stream"),
    ];
    let mut client = Client::connect(&gateway.address);
    client.send(&request("PUT", "/disk.img", &headers, b""));
    let block = vec![b'z'; 1 << 20];
    let mut highest = 0;
    for number in 0..(total >> 20) {
        client
            .try_send(&block)
            .expect("the gateway takes the upload");
        if number % 16 == 0 {
            highest = highest.max(gateway.resident_kib());
        }
    }
    assert_eq!(client.answer().text(), length);
    let grown = highest.saturating_sub(before);
    println!("measured: 1 GiB upload: resident size {before} KiB before, at most {highest} KiB");
    assert!(grown < 48 << 10, "the upload cost {grown} KiB");
}

const SLOW: &str = r#"
listeners: [{ address: "${LISTEN}", connections_per_address: 0, head: { deadline: 10s } }]
admin: { address: "${ADMIN}" }
audit: { output: "${AUDIT_LOG}" }
upstreams: { app: { servers: ["${UPSTREAM}"] } }
routes: [{ upstream: app }]
"#;

#[test]
#[ignore = "slow: make soak"]
fn two_thousand_slow_clients_are_cut_and_good_ones_notice_nothing() {
    let upstream = Upstream::echo();
    let gateway = Gateway::configured(SLOW).before(&upstream).start();
    let before = gateway.resident_kib();
    let begin = Instant::now();
    let mut slow: Vec<Option<TcpStream>> = (0..2000)
        .map(|_| {
            let mut stream = TcpStream::connect(&gateway.address).expect("ulimit -n allows it");
            stream.write_all(b"GET / HTTP/1.1\r\n").unwrap();
            stream.set_nonblocking(true).unwrap();
            Some(stream)
        })
        .collect();
    let held = gateway.resident_kib().saturating_sub(before);
    let mut next_byte = Instant::now() + Duration::from_secs(10);
    let mut good = 0;
    while slow.iter().any(Option::is_some) {
        assert!(
            begin.elapsed() < Duration::from_secs(40),
            "slow clients are still there"
        );
        assert_eq!(Client::get(&gateway.address, "/good").status, 200);
        good += 1;
        let due = Instant::now() > next_byte;
        for slot in &mut slow {
            if slot.as_mut().is_some_and(|stream| ended(stream, due)) {
                *slot = None;
            }
        }
        if due {
            next_byte += Duration::from_secs(10);
        }
        thread::sleep(Duration::from_millis(20));
    }
    println!(
        "measured: 2,000 slow clients: all cut after {:.1} s, {:.1} KiB each, {good} good requests without an error",
        begin.elapsed().as_secs_f32(),
        held as f32 / 2000.0
    );
    assert!(begin.elapsed() < Duration::from_secs(20));
}

/// True once the gateway has closed the connection. Sends a byte first if one is due.
fn ended(stream: &mut TcpStream, due: bool) -> bool {
    if due && stream.write_all(b"x").is_err() {
        return true;
    }
    let mut answer = [0; 512];
    loop {
        match stream.read(&mut answer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != std::io::ErrorKind::WouldBlock,
        }
    }
}

const IDLE_TLS: &str = r#"
workers: 1
listeners:
  - { address: "${LISTEN}" }
  - { address: "${LISTEN_TLS}", connections_per_address: 0, idle: 10m, h2: { idle: 10m }, tls: {} }
tls: { certificates: [{ certificate: a.crt, key: a.key, default: true }] }
admin: { address: "${ADMIN}" }
audit: { output: "${AUDIT_LOG}" }
upstreams: { app: { servers: ["${UPSTREAM}"] } }
profiles: { default: { waf: { mode: off } } }
routes: [{ upstream: app }]
"#;

#[test]
#[ignore = "slow: make soak"]
fn an_idle_tls_connection_costs_at_most_24_kibibytes() {
    let pem = Authority::new("test").server(&["a.example"], KeyKind::Ecdsa, 1);
    let (upstream, address) = (Upstream::echo(), free_address());
    let gateway = Gateway::configured(IDLE_TLS)
        .before(&upstream)
        .with("LISTEN_TLS", &address)
        .file("a.crt", &pem.certificate)
        .file("a.key", &pem.key)
        .start();
    let client = Https::to(&address);
    let open = |count: usize| -> Vec<HttpsConnection> {
        (0..count)
            .map(|_| {
                let mut connection = client.connect("a.example").expect("ulimit -n allows it");
                assert_eq!(connection.get("a.example", "/").unwrap().status, 200);
                connection
            })
            .collect()
    };
    // What the first connections cost once is no matter of each.
    let warm = open(500);
    let before = gateway.resident_kib();
    let count: usize = 5000;
    let idle = open(count);
    thread::sleep(Duration::from_secs(2));
    let after = gateway.resident_kib();
    let each = (after.saturating_sub(before)) as f64 / count as f64;
    println!(
        "measured: {count} idle TLS connections: {before} KiB before, {after} KiB with them, {each:.1} KiB each"
    );
    drop((warm, idle));
    assert!(each <= 24.0, "{each:.1} KiB each");
}

#[test]
#[ignore = "slow: make soak"]
fn a_hundred_reloads_under_load_lose_nothing_and_do_not_grow() {
    let upstream = Upstream::answering(|_| Answer::text("here"));
    let gateway = Gateway::example("waf").before(&upstream).start();
    let address = gateway.address.clone();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let load = thread::spawn(move || {
        let (mut answered, mut lost) = (0_u32, 0_u32);
        while stopped.try_recv().is_err() {
            match Client::get(&address, "/").status {
                200 => answered += 1,
                _ => lost += 1,
            }
        }
        (answered, lost)
    });
    let reloads = || gateway.metric("palisade_config_reload_success_total");
    let mut after_ten = 0;
    for number in 1..=100 {
        let before = reloads();
        gateway.signal("HUP");
        eventually("a reload", || (reloads() > before).then_some(()));
        if number == 10 {
            after_ten = gateway.resident_kib();
        }
    }
    stop.send(()).unwrap();
    let (answered, lost) = load.join().unwrap();
    let end = gateway.resident_kib();
    println!(
        "measured: 100 reloads: {answered} answered, {lost} lost, resident {after_ten} KiB after ten, {end} KiB at the end"
    );
    assert_eq!(lost, 0);
    assert!(
        end < after_ten + after_ten / 5 + (8 << 10),
        "{after_ten} KiB grew to {end} KiB"
    );
}

/// As many sites, each with a profile of its own over the same rules.
fn sites(count: usize) -> String {
    use std::fmt::Write as _;
    let mut yaml = String::from(
        "upstreams: { app: { servers: [\"${UPSTREAM}\"] } }\nprofiles:\n  default: { waf: { mode: off } }\n",
    );
    for site in 0..count {
        let _ = writeln!(
            yaml,
            "  site-{site}: {{ waf: {{ rules: [crs], crs_dir: \"${{CRS_DIR}}\", crs: {{ paranoia: {} }}, \
             disabled_files: [\"REQUEST-93{}-*\"], \
             exclusions: [{{ tags: [attack-sqli], targets: [\"ARGS:field-{site}\"] }}] }} }}",
            site % 2 + 1,
            site % 4,
        );
    }
    yaml.push_str("routes:\n  - { hosts: [none.example], upstream: app }\n");
    for site in 0..count {
        let _ = writeln!(
            yaml,
            "  - {{ hosts: [site-{site}.example], upstream: app, profile: site-{site} }}"
        );
    }
    yaml
}

#[test]
#[ignore = "slow: make bench-memory"]
fn a_second_site_with_the_same_rules_costs_less_than_a_mebibyte() {
    let Some(crs) = corpus("CRS_DIR", "crs4") else {
        return skipped("memory", "set CRS_DIR to an OWASP CRS checkout");
    };
    let upstream = Upstream::answering(|_| Answer::text("here"));
    let plan = Gateway::routing(&sites(1)).before(&upstream);
    let gateway = plan.with("CRS_DIR", crs.to_str().unwrap()).start();
    // In one process, by reloads that keep the rules: from start to start the resident size differs by
    // more than ten MiB, because of what compiling left behind, and says nothing about a site.
    let resident = |count: usize| {
        gateway.write_config(&format!("{LISTENER}{}", sites(count)));
        gateway.signal("HUP");
        let last = format!("site-{}.example", count - 1);
        let status = |target: &str| {
            let headers = [("Host", last.as_str())];
            Client::request(&gateway.address, "GET", target, &headers, b"").status
        };
        eventually("the last site", || {
            (status("/?q=garden+chairs") == 200).then_some(())
        });
        assert_eq!(status("/?q=%3Cscript%3Ealert(1)%3C/script%3E"), 403);
        // The old configuration goes when its last request has.
        thread::sleep(Duration::from_secs(1));
        gateway.resident_kib()
    };
    let _ = [resident(2), resident(1)];
    let [one, two, many] = [1, 2, 200].map(resident);
    let each = many.saturating_sub(one) as f32 / 199.0;
    println!(
        "measured: resident size with the Core Rule Set: one site {one} KiB, two {two} KiB, \
         two hundred {many} KiB: {each:.1} KiB a further site"
    );
    let log = gateway.log();
    assert!(
        !log.contains("compiled=1"),
        "rules were compiled again:\n{log}"
    );
    assert!(
        two < one + 1024,
        "the second site took {one} KiB to {two} KiB"
    );
    assert!(each < 64.0, "a further site costs {each:.1} KiB");
}

#[test]
#[ignore = "slow: make soak"]
fn a_thousand_reloads_of_changed_rules_leave_the_resident_size_where_it_was() {
    const WAF: &str = "upstreams: { app: { servers: [\"${UPSTREAM}\"] } }\n\
        profiles: { default: { waf: { rules: [RULES], files: [extra.conf], crs_dir: \"${CRS_DIR}\" } } }\n\
        routes: [{ upstream: app }]\n";
    let crs = corpus("CRS_DIR", "crs4");
    let name = if crs.is_some() { "crs" } else { "baseline" };
    let upstream = Upstream::answering(|_| Answer::text("here"));
    let plan = Gateway::routing(&WAF.replace("RULES", name)).before(&upstream);
    let folder = crs.unwrap_or_default();
    let plan = plan.with("CRS_DIR", folder.to_str().unwrap());
    let gateway = plan.file("extra.conf", "").start();
    let count = std::env::var("RELOADS").map_or(1000, |count| count.parse().unwrap());
    // What compiling leaves behind comes and goes by tens of MiB: the start is its highest so far.
    let (mut early, mut highest) = (0, 0);
    for number in 1..=count {
        let rule = format!("SecRule ARGS \"@rx word{number}\" \"id:1,phase:1,deny\"");
        let aside = gateway.folder().join("extra.new");
        std::fs::write(&aside, rule).unwrap();
        std::fs::rename(&aside, gateway.folder().join("extra.conf")).unwrap();
        gateway.signal("HUP");
        eventually("the new rule", || {
            let target = format!("/?q=word{number}");
            (Client::get(&gateway.address, &target).status == 403).then_some(())
        });
        highest = highest.max(gateway.resident_kib());
        if number == count.min(100) {
            early = highest;
        }
    }
    let end = gateway.resident_kib();
    println!(
        "measured: {count} reloads of changed rules ({name}): resident at most {early} KiB in \
         the first hundred, {end} KiB at the end, at most {highest} KiB"
    );
    assert!(
        end < early + early / 10 + (8 << 10),
        "{early} KiB grew to {end} KiB"
    );
}
