//! CPU time of the rules alone, for seven fixed requests.
//!
//! `cargo run --release -p waf-rules --example cost -- RULES.conf [ROUNDS]`, or `baseline` instead of
//! a file. Prints the time to load and microseconds of CPU a request; every phase runs, the response
//! is an HTML page without a body.
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

struct Sample {
    name: &'static str,
    method: &'static str,
    target: &'static str,
    content_type: &'static str,
    body: String,
}

const HEADERS: [(&str, &str); 8] = [
    ("Host", "www.example.com"),
    (
        "User-Agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
    ),
    (
        "Accept",
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    ),
    ("Accept-Language", "en-US,en;q=0.5"),
    ("Accept-Encoding", "gzip, deflate, br"),
    ("Referer", "https://www.example.com/products/list?page=2"),
    ("Connection", "keep-alive"),
    (
        "Cookie",
        "session=8f14e45fceea167a5a36dedd4bea2543; theme=dark; _ga=GA1.2.1234567890.1700000000",
    ),
];

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(rules) = arguments.next() else {
        eprintln!("usage: cost RULES.conf|baseline [ROUNDS]");
        return ExitCode::FAILURE;
    };
    let rounds: u32 = arguments
        .next()
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(2000);
    let started = Instant::now();
    let loader = match rules.as_str() {
        "baseline" => Loader::new().baseline(),
        path => Loader::new().file(Path::new(path)),
    };
    let loaded = match loader.load() {
        Ok(loaded) => loaded,
        Err(problems) => {
            for problem in problems {
                eprintln!("{problem}");
            }
            return ExitCode::FAILURE;
        }
    };
    println!(
        "{} rules loaded in {:.0} ms",
        loaded.rules.rule_count(),
        started.elapsed().as_secs_f64() * 1e3
    );
    let rules = Arc::new(loaded.rules);
    for sample in samples() {
        // Once outside the measurement: regular expressions are compiled when first needed.
        let blocked = exchange(&rules, &sample);
        let before = cpu_nanoseconds();
        for _ in 0..rounds {
            exchange(&rules, &sample);
        }
        let spent = cpu_nanoseconds() - before;
        println!(
            "{:<15} blocked={} cpu_us/req={:.1}",
            sample.name,
            u8::from(blocked),
            spent / 1e3 / f64::from(rounds)
        );
    }
    ExitCode::SUCCESS
}

/// Runs one exchange through all phases; true if it was refused.
fn exchange(rules: &Arc<RuleSet>, sample: &Sample) -> bool {
    let origin = Origin {
        client: SocketAddr::from(([127, 0, 0, 1], 12345)),
        server: SocketAddr::from(([127, 0, 0, 1], 80)),
    };
    let line = RequestLine {
        method: sample.method.as_bytes(),
        target: sample.target.as_bytes(),
        protocol: b"HTTP/1.1",
    };
    let length = sample.body.len().to_string();
    let mut headers = HEADERS.to_vec();
    if !sample.body.is_empty() {
        headers.push(("Content-Type", sample.content_type));
        headers.push(("Content-Length", &length));
    }
    let mut transaction = rules.begin(origin, "cost", SystemTime::now());
    let headers = headers
        .iter()
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
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

fn samples() -> Vec<Sample> {
    let prose = "the quick brown fox jumps over lazy dogs and runs ".repeat(400);
    let get = |name, target| Sample {
        name,
        method: "GET",
        target,
        content_type: "",
        body: String::new(),
    };
    let post = |name, target, content_type, body: &str| Sample {
        name,
        method: "POST",
        target,
        content_type,
        body: body.to_owned(),
    };
    let form = "title=Summer+sale+2026&description=We+are+happy+to+announce+our+new+line+of+products%2C\
        +available+from+June+1st.+Visit+us%21&price=19.99&email=jane.doe%40example.com\
        &phone=%2B44+20+7946+0958&address=221B+Baker+Street%2C+London\
        &notes=Please+leave+at+the+front+door+if+nobody+is+home.&tags=summer%2Csale%2Cnew&quantity=3";
    let json = r#"{"user":{"id":12345,"name":"Jane Doe","email":"jane@example.com","roles":["admin","editor"]},"items":[{"sku":"A-100","qty":2,"price":9.99},{"sku":"B-200","qty":1,"price":19.95}],"note":"Deliver between 9 and 12, ring the bell twice"}"#;
    let long_json = format!("{{\"text\":\"{prose}\"}}");
    vec![
        get("get-static", "/assets/app.9f8c.js"),
        get(
            "get-query",
            "/search?q=rust+web+application+firewall&page=2&sort=price_asc&category=books",
        ),
        post(
            "post-form",
            "/account/update",
            "application/x-www-form-urlencoded",
            form,
        ),
        post("post-json", "/api/v1/orders", "application/json", json),
        post(
            "post-json-20k",
            "/api/v1/docs",
            "application/json",
            &long_json,
        ),
        get(
            "attack-sqli",
            "/item?id=1%27%20UNION%20SELECT%20username,password%20FROM%20users--%20-",
        ),
        get(
            "attack-xss",
            "/s?q=%3Cscript%3Ealert(document.cookie)%3C/script%3E",
        ),
    ]
}

/// CPU time of this thread so far, from the kernel; wall time where it does not say.
fn cpu_nanoseconds() -> f64 {
    let spent = std::fs::read_to_string("/proc/self/schedstat")
        .ok()
        .and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    spent.unwrap_or_else(|| {
        SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0.0, |since| since.as_secs_f64() * 1e9)
    })
}
