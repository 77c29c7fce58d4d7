//! Is every cost linear, and how large? Two tables.
//!
//! `cargo run --release -p waf-rules --features fuzzing --example linear -- RULES.conf [sizes [KIND]|values]`
//!
//! `sizes`: benign bodies of each kind from 1 kB to 1 MB through all five phases: microseconds, MB/s,
//! and how much twice the size costs. `values`: every operator of the rules, and the patterns that are
//! slow elsewhere, on values of 1 MB made to be slow for it; the slowest come first. CPU time of the
//! one thread it has.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a measurement: it prints, and stops where it cannot go on"
)]

mod adversary;

use std::collections::HashSet;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use waf_rules::fuzzing::{Question, questions};
use waf_rules::{Loader, Origin, RequestLine, RuleSet};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(path) = arguments.next() else {
        eprintln!("usage: linear RULES.conf [sizes [KIND]|values]");
        return ExitCode::FAILURE;
    };
    let table = arguments.next();
    let only = arguments.next();
    let loader = Loader::new().text("before", ANY_TYPE);
    let loader = loader.file(Path::new(&path)).text("after", LIMITS);
    let rules = match loader.load() {
        Ok(loaded) => Arc::new(loaded.rules),
        Err(problems) => {
            problems.iter().for_each(|problem| eprintln!("{problem}"));
            return ExitCode::FAILURE;
        }
    };
    if table.as_deref() != Some("values") {
        sizes(&rules, only.as_deref());
    }
    if table.as_deref() != Some("sizes") {
        values(&rules);
    }
    ExitCode::SUCCESS
}

fn sizes(rules: &Arc<RuleSet>, only: Option<&str>) {
    println!(
        "{:<12} {:>9} {:>12} {:>8} {:>6}",
        "body", "bytes", "us", "MB/s", "x2"
    );
    for (kind, content_type, make) in KINDS
        .iter()
        .filter(|(kind, ..)| only.is_none_or(|only| only == *kind))
    {
        let mut before = None;
        for power in 10..=20 {
            let body = make(1 << power);
            exchange(rules, content_type, &body);
            let best = spent(|| exchange(rules, content_type, &body));
            let ratio = before.map_or(String::new(), |before| format!("{:.2}", best / before));
            let rate = body.len() as f64 / best;
            println!(
                "{kind:<12} {:>9} {best:>12.1} {rate:>8.1} {ratio:>6}",
                body.len()
            );
            before = Some(best);
        }
    }
}

fn values(rules: &RuleSet) {
    let loader = SLOW_ELSEWHERE
        .iter()
        .zip(1..)
        .fold(Loader::new(), |loader, (pattern, id)| {
            let rule = format!("SecRule ARGS \"@rx {pattern}\" \"id:{id},phase:2,pass,nolog\"");
            loader.text(pattern, &rule)
        });
    let classical = loader.load().unwrap().rules;
    let mut seen = HashSet::new();
    let mut measured = Vec::new();
    let all = questions(&classical).chain(questions(rules));
    for question in all.filter(|question| seen.insert((question.name(), question.argument()))) {
        for (name, seed) in adversary::seeds(question.argument()) {
            measured.push((ask(&question, &seed, MEGABYTE >> 4), question, name, seed));
        }
    }
    println!(
        "{} operators, {} pairs at 64 KiB",
        seen.len(),
        measured.len()
    );
    measured.sort_by(|one, other| other.0.total_cmp(&one.0));
    measured.truncate(SHOWN);
    for entry in &mut measured {
        entry.0 = ask(&entry.1, &entry.3, MEGABYTE);
    }
    measured.sort_by(|one, other| other.0.total_cmp(&one.0));
    println!("{:>10} {:>8}  operator on value", "ms at 1 MB", "rule");
    for (spent, question, name, _) in &measured {
        let argument: String = question.argument().chars().take(60).collect();
        let (rule, operator) = (question.rule(), question.name());
        println!(
            "{:>10.1} {rule:>8}  @{operator} {argument} on {name}",
            spent / 1e3
        );
    }
}

/// Microseconds for one value of `size` bytes: the second time, when what is lazy has been built.
fn ask(question: &Question<'_>, seed: &[u8], size: usize) -> f64 {
    let mut value: Vec<u8> = seed.iter().copied().cycle().take(size).collect();
    // What could end the match in a repetition of itself does not.
    value.push(b'\x01');
    if size < MEGABYTE {
        // Thousands of pairs: a look at the clock is enough to see which deserve more.
        let rounds = (0..4).map(|_| {
            let start = Instant::now();
            std::hint::black_box(question.ask(&value));
            start.elapsed().as_secs_f64() * 1e6
        });
        return rounds.fold(f64::INFINITY, f64::min);
    }
    spent(|| _ = std::hint::black_box(question.ask(&value)))
}

/// Microseconds of CPU that `work` takes: the best of three runs that are long enough for the kernel's
/// clock, after one that builds what is lazy.
fn spent(mut work: impl FnMut()) -> f64 {
    work();
    let mut best = f64::INFINITY;
    for _ in 0..3 {
        let (start, mut rounds, mut spent) = (cpu_microseconds(), 0, 0.0);
        while spent < LONG_ENOUGH && rounds < MOST_ROUNDS {
            work();
            rounds += 1;
            spent = cpu_microseconds() - start;
        }
        best = best.min(spent / f64::from(rounds));
    }
    best
}

fn exchange(rules: &Arc<RuleSet>, content_type: &str, body: &[u8]) {
    let origin = Origin {
        client: ([127, 0, 0, 1], 12345).into(),
        server: ([127, 0, 0, 1], 80).into(),
    };
    let line = RequestLine {
        method: b"POST",
        target: b"/api/comments",
        protocol: b"HTTP/1.1",
    };
    let length = body.len().to_string();
    let headers: [(&[u8], &[u8]); 5] = [
        (b"Host", b"www.example.com"),
        (
            b"User-Agent",
            b"Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0",
        ),
        (b"Accept", b"*/*"),
        (b"Content-Type", content_type.as_bytes()),
        (b"Content-Length", length.as_bytes()),
    ];
    let mut transaction = rules.begin(origin, "linear", SystemTime::now());
    let refused = transaction
        .request_headers(line, headers.into_iter())
        .is_some()
        || transaction.request_body(body, true).is_some();
    assert!(!refused, "a benign body is refused: {content_type}");
    transaction.finish();
}

type Kind = (&'static str, &'static str, fn(usize) -> Vec<u8>);

/// What is sent, as which type.
const KINDS: &[Kind] = &[
    ("urlencoded", "application/x-www-form-urlencoded", |size| {
        joined(size, b"", b"", |number, text| {
            format!("field{number}={}&", text.replace(' ', "+"))
        })
    }),
    ("json", "application/json", |size| {
        joined(size, b"[", b"{}]", |number, text| {
            format!("{{\"id\": {number}, \"comment\": \"{text}\"}}, ")
        })
    }),
    ("json text", "application/json", |size| {
        joined(size, b"{\"text\": \"", b"\"}", |_, text| format!("{text} "))
    }),
    ("multipart", "multipart/form-data; boundary=limit", |size| {
        joined(size, b"", b"--limit--\r\n", |number, text| {
            let head = "Content-Disposition: form-data; name=\"field";
            format!("--limit\r\n{head}{number}\"\r\n\r\n{text}\r\n")
        })
    }),
    ("raw", "text/plain", |size| {
        joined(size, b"", b"", |_, text| format!("{text}\n"))
    }),
];

fn joined(size: usize, head: &[u8], tail: &[u8], part: impl Fn(usize, &str) -> String) -> Vec<u8> {
    let mut body = head.to_vec();
    // Larger bodies have larger fields: browsers do not send thousands of them.
    let sentences = (size / 40_000).max(1);
    for number in 0.. {
        let chosen = (0..sentences).map(|sentence| PROSE[(number + sentence) % PROSE.len()]);
        body.extend_from_slice(part(number, &chosen.collect::<Vec<_>>().join(" ")).as_bytes());
        if body.len() + tail.len() >= size {
            break;
        }
    }
    body.extend_from_slice(tail);
    body
}

/// CPU time of this thread, from the kernel.
fn cpu_microseconds() -> f64 {
    let spent = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    spent.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e3
}

/// The CRS refuses types that no parser reads; their cost is of interest nevertheless.
const ANY_TYPE: &str = "SecRule REQUEST_HEADERS:Content-Type \"@streq text/plain\" \"id:4200001,\\
    phase:1,pass,nolog,ctl:ruleRemoveById=920420,ctl:requestBodyProcessor=RAW\"\n";
const LIMITS: &str = "SecRequestBodyLimit 13107200\nSecRequestBodyNoFilesLimit 13107200\n";

const MEGABYTE: usize = 1 << 20;

/// Microseconds; the kernel counts in steps of up to four thousand.
const LONG_ENOUGH: f64 = 60_000.0;
const MOST_ROUNDS: u32 = 5000;

/// How many pairs are measured at 1 MB and shown.
const SHOWN: usize = 40;

/// Patterns that take others exponential time, or make them build automata without end.
const SLOW_ELSEWHERE: &[&str] = &[
    "(a+)+$",
    "(.*)*x",
    r"^(\w+\s?)*$",
    "(a|aa)+$",
    "(a|a?)+$",
    "(.*a){20}",
    "(?:a?){30}a{30}",
    ".{0,200}x",
    "[a-q][^u-z]{13}x",
    "(?:x.{0,50}y){3}",
    r"\b(?:\w+\W+){0,40}end\b",
    r"^([a-zA-Z0-9])(([\-.]|[_]+)?([a-zA-Z0-9]+))*(@){1}[a-z0-9]+[.]{1}(([a-z]{2,3})|([a-z]{2,3}[.]{1}[a-z]{2,3}))$",
    r"for(?:/[dflr].*)* %+[^ ]+ in\(.*\)\s?do",
    r"(?i)<script[^>]*>[\s\S]*?</script[^>]*>|a.{0,100}b.{0,100}c",
    r"(?:[0-9a-f]{2}){1,500}z",
];

/// Sentences a shop or a forum sees.
const PROSE: &[&str] = &[
    "The parcel arrived two days earlier than we had been told",
    "Our neighbours took it in and were very kind about it",
    "I would buy this kettle again because it boils quickly",
    "Please send the invoice for March to our office in Leeds",
    "My daughter has been wearing the blue jacket every day",
    "We stayed for a week and the breakfast was really good",
    "Thanks to everyone who helped me with my bicycle chain",
];
