//! libmodsecurity and this engine over the same requests with the same rules: every difference in the
//! rules that match is listed, and explained once by its class in [`classes`].
//!
//! Needs libmodsecurity-dev with a C compiler, the OWASP CRS 4 (`CRS_DIR`), and corpora of requests
//! (`ATTACK_CORPUS`, `LEGIT_CORPUS`: folders with JSON lines); skipped aloud without. A sample runs by
//! default; `make differential` runs everything (`DIFFERENTIAL_ALL`). `DIFFERENTIAL_SHOW` prints each
//! difference.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and prints what it found"
)]

mod classes;
mod requests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::SystemTime;

use tempfile::TempDir;
use waf_rules::{Loader, Origin, RequestLine, RuleSet};

use classes::{CLASSES, Class, Side};
use requests::Request;

/// Every how many requests one runs, unless all do. A prime, so that no pattern of a corpus is left out.
const SAMPLE: usize = 13;

/// Compiles wherever libmodsecurity-dev is installed.
const PROBE: &str = "#include <modsecurity/modsecurity.h>\nint main(void) { return 0; }\n";

/// The rule that refuses by the score.
const SCORE: u64 = 949_110;

type Ids = BTreeSet<u64>;

#[test]
fn differences_to_libmodsecurity_are_explained() {
    let folder = TempDir::new().unwrap();
    let Some(theirs) = build(&folder) else {
        return skipped("libmodsecurity-dev and a C compiler are needed");
    };
    let Some(crs) = place("CRS_DIR", "crs4") else {
        return skipped("set CRS_DIR to an OWASP CRS checkout");
    };
    let requests = sample();
    if requests.is_empty() {
        return skipped("set ATTACK_CORPUS and LEGIT_CORPUS to folders of requests");
    }
    let rules = folder.path().join("rules.conf");
    fs::write(&rules, configuration(&crs)).unwrap();
    let ours = run_ours(&load(&rules), &requests);
    let theirs = run_theirs(&theirs, &rules, &requests);

    let mut seen: BTreeMap<usize, usize> = BTreeMap::new();
    let mut unexplained: BTreeMap<(Side, u64), Vec<&str>> = BTreeMap::new();
    let mut same = 0;
    let show = std::env::var_os("DIFFERENTIAL_SHOW").is_some();
    for ((request, ours), theirs) in requests.iter().zip(&ours).zip(&theirs) {
        same += usize::from(ours == theirs);
        let more = ours.difference(theirs).map(|id| (Side::Ours, *id));
        let less = theirs.difference(ours).map(|id| (Side::Theirs, *id));
        for (side, id) in more.chain(less) {
            if show {
                println!("{side:?} {id} {}", request.id);
            }
            // A score does not differ by itself.
            let alone = id == SCORE && ours.symmetric_difference(theirs).count() == 1;
            match classes::explain(side, id, request) {
                Some(class) if !alone => *seen.entry(class).or_default() += 1,
                _ => unexplained.entry((side, id)).or_default().push(&request.id),
            }
        }
    }
    for (class, count) in &seen {
        println!("{count:6} {}", CLASSES[*class].why);
    }
    for ((side, id), requests) in &unexplained {
        let some = &requests[..requests.len().min(6)];
        println!(
            "unexplained: {id} only by {side:?}: {} times, {some:?}",
            requests.len()
        );
    }
    println!(
        "measured: differential: {same} of {} requests match the same rules, {} classes of differences",
        requests.len(),
        seen.len()
    );
    assert!(
        unexplained.is_empty(),
        "{} kinds of differences have no explanation",
        unexplained.len()
    );
    for (class, count) in &seen {
        let Class { why, most, .. } = &CLASSES[*class];
        assert!(count <= most, "{count} times, not {most} at most: {why}");
    }
    let unused = CLASSES.iter().enumerate();
    let unused = unused.filter(|(class, _)| !seen.contains_key(class));
    let unused: Vec<_> = unused.map(|(_, class)| class.why).collect();
    assert!(
        step() > 1 || unused.is_empty(),
        "explains nothing: {unused:#?}"
    );
}

/// What both engines get. 980170 reports scores with `noauditlog`, which libmodsecurity does not log.
fn configuration(crs: &Path) -> String {
    let crs = crs.display();
    format!(
        "SecRuleEngine DetectionOnly\n\
         SecRequestBodyAccess On\n\
         SecRequestBodyLimit 13107200\n\
         SecRequestBodyNoFilesLimit 13107200\n\
         SecResponseBodyAccess Off\n\
         SecAuditEngine Off\n\
         SecRule REQUEST_HEADERS:Content-Type \"@rx ^(?:application(?:/soap\\+|/)|text/)xml\" \
         \"id:200000,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=XML\"\n\
         SecRule REQUEST_HEADERS:Content-Type \"@rx ^application/json\" \
         \"id:200001,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON\"\n\
         SecAction \"id:900000,phase:1,pass,nolog,setvar:tx.blocking_paranoia_level=4\"\n\
         Include {crs}/crs-setup.conf.example\n\
         Include {crs}/rules/*.conf\n\
         SecRuleRemoveById 980170\n"
    )
}

fn load(rules: &Path) -> Arc<RuleSet> {
    match Loader::new().file(rules).load() {
        Ok(loaded) => Arc::new(loaded.rules),
        Err(problems) => panic!("{problems:#?}"),
    }
}

fn run_ours(rules: &Arc<RuleSet>, requests: &[Request]) -> Vec<Ids> {
    let origin = Origin {
        client: SocketAddr::from((Ipv4Addr::LOCALHOST, 12345)),
        server: SocketAddr::from((Ipv4Addr::LOCALHOST, 80)),
    };
    let run = |request: &Request| {
        let mut transaction = rules.begin(origin, "differential", SystemTime::now());
        let line = RequestLine {
            method: request.method.as_bytes(),
            target: request.target.as_bytes(),
            protocol: b"HTTP/1.1",
        };
        let headers = request.headers.iter();
        let headers = headers.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        transaction.request_headers(line, headers);
        transaction.request_body(&request.body, true);
        transaction.response_headers(200, "HTTP/1.1", std::iter::empty());
        transaction.response_body(&[], true);
        let matches = transaction.finish().matches;
        matches.iter().map(|matched| matched.rule_id).collect()
    };
    requests.iter().map(run).collect()
}

fn run_theirs(program: &Path, rules: &Path, requests: &[Request]) -> Vec<Ids> {
    let mut child = Command::new(program)
        .arg(rules)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let bytes: Vec<u8> = requests.iter().flat_map(Request::written).collect();
    // Written beside reading: neither pipe may fill up.
    let writer = std::thread::spawn(move || input.write_all(&bytes));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{}", output.status);
    let text = String::from_utf8(output.stdout).unwrap();
    let ids = |line: &str| line.split(' ').filter_map(|id| id.parse().ok()).collect();
    let all: Vec<Ids> = text.lines().map(ids).collect();
    assert_eq!(all.len(), requests.len());
    all
}

/// Compiles the other side; none if there is no compiler or no libmodsecurity-dev. With both, our own
/// program must compile.
fn build(folder: &TempDir) -> Option<PathBuf> {
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let program = folder.path().join("modsecurity");
    let compile = |source: &Path| {
        let mut command = Command::new(&compiler);
        command.args(["-O1", "-o"]).arg(&program).arg(source);
        command.arg("-lmodsecurity").output()
    };
    let probe = folder.path().join("probe.c");
    fs::write(&probe, PROBE).unwrap();
    if !compile(&probe).is_ok_and(|output| output.status.success()) {
        return None;
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential/modsecurity.c");
    let output = compile(&source).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", source.display());
    Some(program)
}

/// Every how many requests one runs.
fn step() -> usize {
    let all = std::env::var_os("DIFFERENTIAL_ALL").is_some();
    if all { 1 } else { SAMPLE }
}

fn sample() -> Vec<Request> {
    [
        ("ATTACK_CORPUS", "attack-corpus"),
        ("LEGIT_CORPUS", "legit-corpus"),
    ]
    .into_iter()
    .filter_map(|(variable, name)| place(variable, name))
    .flat_map(|folder| requests::read(&folder))
    .step_by(step())
    .collect()
}

/// A folder named in the environment, or one beside the project.
fn place(variable: &str, name: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/corpora")
        .join(name);
    let folder = std::env::var_os(variable).map_or(beside, PathBuf::from);
    folder.is_dir().then_some(folder)
}

fn skipped(reason: &str) {
    println!("\nskipped: differential ({reason})");
}
