//! What many certificates cost: `cargo run --release -p edge-tls --example many -- 20000`.
//!
//! Makes a folder with that many pairs, reads it, changes one pair and reads it again, and chooses
//! certificates for names; prints time, processor time and memory.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement fails by panicking, and prints"
)]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use edge_tls::spec::{Problems, TlsSpec};
use edge_tls::{Settings, Terminate, Terminator};
use rcgen::{CertificateParams, Issuer, KeyPair};

fn main() {
    let count = std::env::args().nth(1).and_then(|text| text.parse().ok());
    let count: usize = count.unwrap_or(20_000);
    let folder = tempfile::tempdir().unwrap();
    let key = KeyPair::generate().unwrap();
    let authority = CertificateParams::new(vec!["authority".to_owned()]).unwrap();
    let chain = authority.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(authority, key);
    let start = Instant::now();
    for number in 0..count {
        pair(folder.path(), number, &issuer, &chain);
    }
    println!(
        "{count} pairs made in {:.1} s",
        start.elapsed().as_secs_f64()
    );

    let settings = settings(folder.path());
    let terminator = Terminator::new(Arc::default()).unwrap();
    let before = resident();
    read(&terminator, &settings, "first");
    let grown = resident().saturating_sub(before);
    println!(
        "memory: {} KiB more, {:.1} KiB a certificate",
        grown,
        grown as f64 / count as f64
    );
    // What was just written is not trusted to show by its time that it changed.
    std::thread::sleep(std::time::Duration::from_secs(3));
    read(&terminator, &settings, "again, files settled");
    read(&terminator, &settings, "nothing changed");
    pair(folder.path(), count / 2, &issuer, &chain);
    read(&terminator, &settings, "one changed");
    println!(
        "memory after reloads: {} KiB more",
        resident().saturating_sub(before)
    );

    let names: Vec<String> = (0..count).map(name).collect();
    for share in [20, count] {
        let (start, rounds) = (Instant::now(), 1_000_000);
        let names = names.iter().take(share).cycle().take(rounds);
        let found = names.filter(|name| terminator.choose(Some(name), &[]).is_some());
        assert_eq!(found.count(), rounds);
        let nanos = start.elapsed().as_nanos() / rounds as u128;
        println!("choice among {share} names: {nanos} ns");
    }
}

fn name(number: usize) -> String {
    format!("host-{number}.shop.example.com")
}

fn pair(folder: &Path, number: usize, issuer: &Issuer<'_, KeyPair>, chain: &str) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name(number)]).unwrap();
    let leaf = params.signed_by(&key, issuer).unwrap().pem();
    fs::write(folder.join(format!("{number}.crt")), leaf + chain).unwrap();
    fs::write(folder.join(format!("{number}.key")), key.serialize_pem()).unwrap();
}

fn settings(folder: &Path) -> Settings {
    let text = serde_json::json!({ "certificates": [{ "directory": folder }] });
    let spec: TlsSpec = serde_json::from_value(text).unwrap();
    spec.checked(&mut Problems::default()).unwrap()
}

fn read(terminator: &Terminator, settings: &Settings, what: &str) {
    let (start, used) = (Instant::now(), processor());
    let prepared = terminator.prepare(settings, &mut Vec::new()).unwrap();
    let warnings = prepared.warnings.len();
    terminator.adopt(prepared);
    let (wall, used) = (start.elapsed().as_millis(), processor() - used);
    println!("{what}: {wall} ms, {used} ms of processor time, {warnings} warnings");
}

/// Milliseconds of processor time used by this process.
fn processor() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks = |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok());
    (ticks(11).unwrap() + ticks(12).unwrap()) * 10
}

/// Resident memory in KiB.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.trim().trim_end_matches(" kB").trim().parse().ok())
        .unwrap()
}
