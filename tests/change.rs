//! Change at the size it is made for, and under load: `make bench-change`, `make soak-upgrade`, `make soak`.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and prints what it measured"
)]

use std::fmt::Write as _;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use harness::client::request;
use harness::gateway::{LISTENER, eventually};
use harness::{Answer, Client, Gateway, Upstream};

const TOKEN: &str = "a-token-of-some-length";

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// A host with an upstream of its own; each `version` answers under another path.
fn host(number: usize, version: usize) -> String {
    format!(
        "upstreams: {{ u{number}: {{ servers: [\"${{UPSTREAM}}\"] }} }}\n\
         routes:\n  - {{ hosts: [h{number}.example], paths: [{{ prefix: /v{version} }}], upstream: u{number} }}\n"
    )
}

fn many(count: usize, upstream: &Upstream) -> Gateway {
    let main = LISTENER.replace(
        "admin: { address: \"${ADMIN}\" }",
        "admin: { address: \"${ADMIN}\", write: { token: \"${TOKEN}\" } }",
    );
    let main = format!(
        "{main}upstreams: {{ app: {{ servers: [\"${{UPSTREAM}}\"] }} }}\n\
         routes: [{{ hosts: [main.example], upstream: app }}]\n"
    );
    let mut plan = Gateway::configured(&main)
        .before(upstream)
        .with("TOKEN", TOKEN)
        .with("MIMALLOC_ALLOW_THP", "0");
    for number in 0..count {
        plan = plan.file(&format!("conf.d/h{number}.yaml"), &host(number, 0));
    }
    plan.start()
}

fn status(gateway: &Gateway, number: usize, version: usize) -> u16 {
    let (host, path) = (format!("h{number}.example"), format!("/v{version}"));
    Client::request(&gateway.address, "GET", &path, &[("Host", &host)], b"").status
}

/// Asks on one connection until the new route answers; the time since `begin`.
fn live_after(gateway: &Gateway, begin: Instant, number: usize, version: usize) -> Duration {
    while status(gateway, number, version) != 200 {
        assert!(begin.elapsed() < Duration::from_secs(20), "never live");
        thread::sleep(Duration::from_micros(500));
    }
    begin.elapsed()
}

fn percentiles(what: &str, mut times: Vec<Duration>) -> Duration {
    times.sort();
    let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
    println!(
        "measured: {what}: median {:.1} ms, p99 {:.1} ms, longest {:.1} ms of {}",
        at(50).as_secs_f64() * 1e3,
        at(99).as_secs_f64() * 1e3,
        at(100).as_secs_f64() * 1e3,
        times.len()
    );
    at(99)
}

/// Milliseconds the process spent on the processor.
fn processor_millis(gateway: &Gateway) -> u64 {
    gateway.processor_millis()
}

#[test]
#[ignore = "large: make bench-change"]
fn a_host_among_twenty_thousand_is_live_in_fifty_milliseconds() {
    let hosts = number("HOSTS", 20_000);
    let changes = number("CHANGES", 200);
    let upstream = Upstream::answering(|_| Answer::text("here"));
    let begin = Instant::now();
    let gateway = many(hosts, &upstream);
    println!(
        "measured: {hosts} hosts: ready after {:.2} s (files written in that time, too), {} MiB resident, {} ms of processor",
        begin.elapsed().as_secs_f64(),
        gateway.resident_kib() >> 10,
        processor_millis(&gateway),
    );
    assert_eq!(status(&gateway, hosts - 1, 0), 200);
    let folder = gateway.folder().join("conf.d");
    let mut by_file = Vec::new();
    for change in 0..changes {
        // Every second one is a host that was not there.
        let place = if change % 2 == 0 {
            change * 7 % hosts
        } else {
            hosts + change
        };
        let aside = folder.join(".new");
        fs::write(&aside, host(place, change + 1)).unwrap();
        let begin = Instant::now();
        fs::rename(&aside, folder.join(format!("h{place}.yaml"))).unwrap();
        by_file.push(live_after(&gateway, begin, place, change + 1));
    }
    let by_file = percentiles("live after a file was written", by_file);
    let mut by_api = Vec::new();
    let token = format!("Bearer {TOKEN}");
    for change in 0..changes {
        let place = if change % 2 == 0 {
            change * 11 % hosts
        } else {
            hosts * 2 + change
        };
        let text = host(place, change + 1000);
        let path = format!("/api/v1/fragments/h{place}");
        let headers = [("Host", gateway.admin.as_str()), ("Authorization", &token)];
        let begin = Instant::now();
        let answer = Client::request(&gateway.admin, "PUT", &path, &headers, text.as_bytes());
        assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
        by_api.push(live_after(&gateway, begin, place, change + 1000));
    }
    let by_api = percentiles("live after an API write", by_api);
    let reloads = || gateway.metric("palisade_config_reload_success_total");
    let mut full = Vec::new();
    for round in 0..5 {
        // The main file too, so that nothing is left out.
        let text = fs::read_to_string(gateway.config()).unwrap();
        let before = reloads();
        let begin = Instant::now();
        gateway.write_config(&format!("{text}# {round}\n"));
        gateway.signal("HUP");
        eventually("a reload", || (reloads() > before).then_some(()));
        full.push(begin.elapsed());
    }
    let full = percentiles("full reload", full);
    let begin = Instant::now();
    let size = gateway.admin("/metrics").text().len();
    println!(
        "measured: /metrics: {:.1} ms, {} KiB",
        begin.elapsed().as_secs_f64() * 1e3,
        size >> 10
    );
    thread::sleep(Duration::from_secs(2));
    let resident = gateway.resident_kib() >> 10;
    println!("measured: {resident} MiB resident at the end");
    if hosts == 20_000 {
        assert!(by_file < Duration::from_millis(50), "{by_file:?}");
        assert!(by_api < Duration::from_millis(50), "{by_api:?}");
        assert!(full < Duration::from_secs(2), "{full:?}");
        assert!(resident <= 150, "{resident} MiB");
    }
}

#[test]
#[ignore = "large: make bench-change"]
fn one_big_file_reloads_in_two_seconds() {
    let hosts = number("HOSTS", 20_000);
    let upstream = Upstream::answering(|_| Answer::text("here"));
    let text = |version: usize| {
        let mut upstreams = String::from("upstreams:\n");
        let mut routes = String::from("routes:\n");
        for number in 0..hosts {
            let _ = writeln!(upstreams, "  u{number}: {{ servers: [\"${{UPSTREAM}}\"] }}");
            let version = if number == 7 { version } else { 0 };
            let _ = writeln!(
                routes,
                "  - {{ hosts: [h{number}.example], paths: [{{ prefix: /v{version} }}], upstream: u{number} }}"
            );
        }
        format!("{LISTENER}{upstreams}{routes}")
    };
    let gateway = Gateway::configured(&text(0)).before(&upstream).start();
    let mut times = Vec::new();
    for version in 1..=10 {
        let text = text(version);
        let begin = Instant::now();
        gateway.write_config(&text);
        times.push(live_after(&gateway, begin, 7, version));
    }
    let longest = percentiles("live after one file with all hosts was written", times);
    println!("measured: {} MiB resident", gateway.resident_kib() >> 10);
    assert!(longest < Duration::from_secs(2), "{longest:?}");
}

#[test]
#[ignore = "large: make bench-change"]
fn a_lookup_among_twenty_thousand_costs_what_it_costs_among_twenty() {
    let hosts = number("HOSTS", 20_000);
    let upstream = Upstream::answering(|_| Answer::text("here"));
    let (few, many) = (many(20, &upstream), many(hosts, &upstream));
    // Answered by the gateway alone, so that no upstream is measured.
    let cost = |gateway: &Gateway, last: usize| {
        let name = format!("h{last}.example");
        let before = processor_millis(gateway);
        let mut client = Client::connect(&gateway.address);
        for _ in 0..20_000 {
            client.send(&request("GET", "/none", &[("Host", &name)], b""));
            let answer = client.answer();
            assert_eq!(answer.status, 404);
            if answer.header("connection") == Some("close") {
                client = Client::connect(&gateway.address);
            }
        }
        processor_millis(gateway) - before
    };
    let mut ratios = Vec::new();
    for _ in 0..5 {
        let (one, other) = (cost(&few, 19), cost(&many, hosts - 1));
        ratios.push(other as f64 / one.max(1) as f64);
    }
    ratios.sort_by(f64::total_cmp);
    println!("measured: processor time of 20,000 requests, {hosts} hosts to 20: {ratios:.2?}");
    assert!(ratios[2] < 1.25, "{ratios:?}");
}

/// Clients that ask without a pause. A connection that ends between two requests is made again.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    again: Arc<AtomicU64>,
    threads: Vec<thread::JoinHandle<Vec<String>>>,
}

impl Load {
    fn start(address: &str, host: &'static str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (answered, again) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let threads = (0..8)
            .map(|number| {
                let address = address.to_owned();
                let (stop, answered, again) = (stop.clone(), answered.clone(), again.clone());
                thread::spawn(move || {
                    ask(&address, host, number % 4 != 0, &stop, &answered, &again)
                })
            })
            .collect();
        Self {
            stop,
            answered,
            again,
            threads,
        }
    }

    fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Answered, connections that ended between requests, failures.
    fn finish(self) -> (u64, u64, Vec<String>) {
        self.stop.store(true, Ordering::SeqCst);
        let failures = self.threads.into_iter();
        let failures = failures.flat_map(|thread| thread.join().unwrap()).collect();
        let again = self.again.load(Ordering::Relaxed);
        (self.answered.load(Ordering::Relaxed), again, failures)
    }
}

fn ask(
    address: &str,
    host: &str,
    keep: bool,
    stop: &AtomicBool,
    answered: &AtomicU64,
    again: &AtomicU64,
) -> Vec<String> {
    let mut failures = Vec::new();
    let mut kept: Option<Client> = None;
    let connection = if keep { "keep-alive" } else { "close" };
    let text = request(
        "GET",
        "/",
        &[("Host", host), ("Connection", connection)],
        b"",
    );
    while !stop.load(Ordering::Relaxed) {
        let fresh = kept.is_none();
        let mut client = kept.take().unwrap_or_else(|| Client::connect(address));
        let sent = client.try_send(&text);
        match sent.and_then(|()| client.try_answer("GET")) {
            Ok(Some(answer)) if answer.status == 200 => {
                answered.fetch_add(1, Ordering::Relaxed);
                let stays = answer.header("connection") != Some("close");
                kept = (keep && stays).then_some(client);
            }
            Ok(None) | Err(_) if !fresh => {
                again.fetch_add(1, Ordering::Relaxed);
            }
            other => failures.push(format!("{other:?}")),
        }
    }
    failures
}

#[test]
#[ignore = "slow: make soak-upgrade"]
fn an_upgrade_under_load_loses_no_request() {
    let wanted = number("REQUESTS", 1_000_000) as u64;
    let upgrades = number("UPGRADES", 10) as u64;
    let upstream = Upstream::answering(|_| Answer::text("here"));
    let socket = tempfile::tempdir().unwrap();
    let path = socket.path().join("upgrade.sock");
    let config = format!(
        "{LISTENER}drain: 20s\nupstreams: {{ app: {{ servers: [\"${{UPSTREAM}}\"] }} }}\nroutes: [{{ upstream: app }}]\n"
    );
    let plan = Gateway::configured(&config).before(&upstream);
    let mut gateway = plan
        .with("PALISADE_UPGRADE_SOCKET", path.to_str().unwrap())
        .start();
    let load = Load::start(&gateway.address, "a.example");
    for number in 1..=upgrades {
        while load.answered() < wanted * number / (upgrades + 1) {
            thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(gateway.upgrade().code(), Some(0));
    }
    while load.answered() < wanted {
        thread::sleep(Duration::from_millis(20));
    }
    let (answered, again, failures) = load.finish();
    println!(
        "measured: {upgrades} upgrades: {answered} requests answered, {} failed, {again} idle connections closed between requests",
        failures.len()
    );
    assert!(
        failures.is_empty(),
        "{:?}",
        &failures[..failures.len().min(3)]
    );
}

#[test]
#[ignore = "slow: make soak"]
fn a_thousand_reloads_of_a_thousand_routes_cut_no_stream_and_lose_no_request() {
    let count = number("RELOADS", 1000);
    let upstream = Upstream::answering(|seen| match seen.message.target() {
        "/socket" => Answer::Upgrade("websocket".to_owned()),
        "/events" => Answer::Paced {
            headers: vec![("Content-Type".to_owned(), "text/event-stream".to_owned())],
            chunks: vec![(Duration::from_millis(100), b"data: x\n\n".to_vec()); 100_000],
        },
        _ => Answer::text("here"),
    });
    let config = |version: usize| {
        // Routes, profiles, an upstream and settings of the listener change in turn.
        let mut text = LISTENER.replace(
            "address: \"${LISTEN}\"",
            &format!(
                "address: \"${{LISTEN}}\", head: {{ deadline: {}s }}",
                10 + version % 4 / 2
            ),
        );
        let _ = writeln!(
            text,
            "upstreams: {{ app: {{ servers: [\"${{UPSTREAM}}\"], retries: {{ attempts: {} }} }} }}\n\
             profiles: {{ default: {{ body: {{ limit: {}MiB }}, waf: {{ directives: \"SecRule ARGS '@rx word{version}' 'id:1,phase:1,deny'\" }} }} }}\nroutes:",
            1 + version % 3,
            10 + version % 5,
        );
        for number in 0..1000 {
            let _ = writeln!(
                text,
                "  - {{ hosts: [h{number}.example], paths: [{{ prefix: /v{version} }}], upstream: app }}"
            );
        }
        text.push_str("  - { upstream: app }\n");
        text
    };
    let gateway = Gateway::configured(&config(0)).before(&upstream).start();
    let mut socket = Client::connect(&gateway.address);
    let upgrade = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    socket.send(&request("GET", "/socket", &upgrade, b""));
    assert_eq!(socket.head().unwrap().unwrap().status, 101);
    let mut events = Client::connect(&gateway.address);
    events.send(&request("GET", "/events", &[], b""));
    assert_eq!(events.head().unwrap().unwrap().status, 200);
    let load = Load::start(&gateway.address, "h999.example");
    let reloads = || gateway.metric("palisade_config_reload_success_total");
    let mut early = 0;
    for version in 1..=count {
        let before = reloads();
        gateway.write_config(&config(version));
        gateway.signal("HUP");
        eventually("a reload", || (reloads() > before).then_some(()));
        socket.send(format!("{version:08}").as_bytes());
        assert_eq!(socket.bytes(8), format!("{version:08}").as_bytes());
        assert!(!events.some_bytes().unwrap().is_empty());
        if version <= count.min(100) {
            early = early.max(gateway.resident_kib());
        }
    }
    let (answered, again, failures) = load.finish();
    let end = gateway.resident_kib();
    println!(
        "measured: {count} reloads of 1,000 routes: {answered} requests answered, {} failed, {again} idle \
         connections closed between requests, no stream cut, resident at most {early} KiB in the first \
         hundred, {end} KiB at the end",
        failures.len()
    );
    assert!(
        failures.is_empty(),
        "{:?}",
        &failures[..failures.len().min(3)]
    );
    assert!(end < early + early / 20, "{early} KiB grew to {end} KiB");
}
