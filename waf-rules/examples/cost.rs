//! CPU time of the rules alone, for the requests in `examples/requests`.
//!
//! `cargo run --release -p waf-rules --example cost -- [--cold] RULES.conf [ROUNDS [NAME]]`, or
//! `baseline` instead of a file; `--cold` remembers nothing from one request to the next. Prints the
//! time to load, the memory held afterwards and microseconds of CPU a request; every phase runs, the
//! response is an HTML page without a body. `make bench-waf` sets it beside its peers.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "its output is what the example is for"
)]

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use waf_rules::{Loader, Origin, RequestLine, RuleSet};

/// A request as it stands in its file: head and body, lines ended by CR LF.
struct Sample {
    name: String,
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: String,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).peekable();
    let cold = arguments.next_if(|argument| argument == "--cold").is_some();
    let Some(rules) = arguments.next() else {
        eprintln!("usage: cost [--cold] RULES.conf|baseline [ROUNDS [NAME]]");
        return ExitCode::FAILURE;
    };
    let rounds: u32 = arguments
        .next()
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(2000);
    let Some(rules) = load(&rules) else {
        return ExitCode::FAILURE;
    };
    let samples = match samples() {
        Ok(samples) => samples,
        Err(error) => {
            eprintln!("examples/requests: {error}");
            return ExitCode::FAILURE;
        }
    };
    let only = arguments.next().unwrap_or_default();
    for sample in samples
        .into_iter()
        .filter(|sample| sample.name.contains(&only))
    {
        // Outside the measurement: regular expressions are compiled when first needed, and values
        // remembered when they are seen a second time.
        let blocked = exchange(&rules, &sample, cold);
        exchange(&rules, &sample, cold);
        exchange(&rules, &sample, cold);
        let spent = measure(&rules, &sample, rounds, cold);
        println!(
            "{} blocked={} cpu_us={:.2}",
            sample.name,
            u8::from(blocked),
            spent / 1e3 / f64::from(rounds)
        );
    }
    println!("resident after the run: {} KiB", resident());
    ExitCode::SUCCESS
}

/// Nanoseconds of CPU for `rounds` exchanges; a function of its own so that a profiler can start here.
#[inline(never)]
fn measure(rules: &Arc<RuleSet>, sample: &Sample, rounds: u32, cold: bool) -> f64 {
    let before = cpu_nanoseconds();
    for _ in 0..rounds {
        exchange(rules, sample, cold);
    }
    cpu_nanoseconds() - before
}

fn load(path: &str) -> Option<Arc<RuleSet>> {
    let before = resident();
    let started = cpu_nanoseconds();
    let loader = match path {
        "baseline" => Loader::new().baseline(),
        path => Loader::new().file(Path::new(path)),
    };
    match loader.load() {
        Ok(loaded) => {
            println!(
                "{} rules loaded in {:.0} ms of CPU, {} KiB more resident",
                loaded.rules.rule_count(),
                (cpu_nanoseconds() - started) / 1e6,
                resident().saturating_sub(before)
            );
            Some(Arc::new(loaded.rules))
        }
        Err(problems) => {
            for problem in problems {
                eprintln!("{problem}");
            }
            None
        }
    }
}

/// Runs one exchange through all phases; true if it was refused.
fn exchange(rules: &Arc<RuleSet>, sample: &Sample, cold: bool) -> bool {
    let origin = Origin {
        client: SocketAddr::from(([127, 0, 0, 1], 12345)),
        server: SocketAddr::from(([127, 0, 0, 1], 80)),
    };
    let line = RequestLine {
        method: sample.method.as_bytes(),
        target: sample.target.as_bytes(),
        protocol: b"HTTP/1.1",
    };
    let mut transaction = rules.begin(origin, "cost", SystemTime::now());
    if cold {
        transaction.forget();
    }
    let headers = sample.headers.iter();
    let headers = headers.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let mut refused = transaction.request_headers(line, headers).is_some();
    refused = refused
        || transaction
            .request_body(sample.body.as_bytes(), true)
            .is_some();
    if !refused {
        let answer: [(&[u8], &[u8]); 1] = [(b"Content-Type", b"text/html; charset=utf-8")];
        refused = transaction
            .response_headers(200, "HTTP/1.1", answer.into_iter())
            .is_some()
            || transaction.response_body(b"", true).is_some();
    }
    transaction.finish();
    refused
}

/// The requests, in the order of their files' names.
fn samples() -> std::io::Result<Vec<Sample>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/requests");
    let entries = std::fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    let mut files: Vec<_> = entries.into_iter().map(|entry| entry.path()).collect();
    files.sort();
    files.iter().map(|file| sample(file)).collect()
}

fn sample(file: &Path) -> std::io::Result<Sample> {
    let text = std::fs::read_to_string(file)?;
    let wrong = || std::io::Error::other(format!("{} is not a request", file.display()));
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(wrong)?;
    let mut lines = head.split("\r\n");
    let line = lines.next().ok_or_else(wrong)?;
    let mut words = line.split(' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Err(wrong());
    };
    let headers = lines.filter_map(|line| line.split_once(": "));
    Ok(Sample {
        name: file
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
        method: method.to_owned(),
        target: target.to_owned(),
        headers: headers
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        body: body.to_owned(),
    })
}

/// CPU time of this thread so far, from the kernel; wall time where it does not say.
fn cpu_nanoseconds() -> f64 {
    // The kernel counts up to the present when the processor is handed over, else up to its last tick.
    std::thread::yield_now();
    let spent = std::fs::read_to_string("/proc/self/schedstat")
        .ok()
        .and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    spent.unwrap_or_else(|| {
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        START.get_or_init(Instant::now).elapsed().as_secs_f64() * 1e9
    })
}

/// Resident memory in KiB; 0 where the kernel does not say.
fn resident() -> u64 {
    std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("VmRSS:"))?;
            line.split_whitespace().nth(1)?.parse().ok()
        })
        .unwrap_or(0)
}
