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
use harness::gateway::eventually;
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
