//! The target over audit entries: whatever a request holds, a reader finds one entry.

use std::sync::{Arc, LazyLock};

use super::exchange::{Verdict, json};
use super::transaction::{Sent, send};
use crate::{Ending, Loader, Redaction, RuleSet};

/// Native entries are printable lines whose sections nobody else can open; JSON entries are JSON. Both
/// stay inside their bounds.
pub fn audit_log(data: &[u8]) {
    let native = entry(&NATIVE, data);
    assert!(native.len() < MOST, "{}", native.len());
    let printable = |byte: &u8| *byte == b'\n' || (b' '..=b'~').contains(byte);
    assert!(native.iter().all(printable));
    let boundary = native.get(..11).unwrap_or_default();
    let opens = |line: &&[u8]| line.starts_with(boundary);
    let parts = native.split(|byte| *byte == b'\n').filter(opens);
    let parts: Vec<u8> = parts.filter_map(|line| line.get(14).copied()).collect();
    assert!(parts.starts_with(b"AB") && parts.ends_with(b"Z"));
    assert!(parts.is_sorted() && parts.windows(2).all(|pair| pair.first() != pair.last()));

    let document = entry(&JSON, data);
    assert!(document.iter().all(|byte| *byte >= b' '));
    assert!(std::str::from_utf8(&document).is_ok());
    assert_ne!(json(&document), Verdict::Refused);
}

fn entry(rules: &Arc<RuleSet>, data: &[u8]) -> Vec<u8> {
    let (mut transaction, _) = send(rules, &Sent::of(data), |_| {});
    transaction.finish();
    let redaction = Redaction::default();
    let entry = transaction.audit(&Ending {
        status: Some(200),
        headers: &[],
        sent: 0,
        server: "fuzz",
        redaction: &redaction,
    });
    entry.map(|entry| entry.text).unwrap_or_default()
}

const RULES: &str = r#"
SecRuleEngine On
SecRequestBodyAccess On
SecAuditEngine On
SecAuditLog audit.log
SecAuditLogParts ABCDEFGHIJKZ
SecRule REQUEST_HEADERS:Content-Type "@rx ^application/json" "id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON"
SecRule ARGS|ARGS_NAMES|REQUEST_HEADERS|REQUEST_COOKIES|REQUEST_LINE|FILES "@rx (.)(.)" "id:2,phase:2,pass,capture,t:none,t:urlDecodeUni,msg:'%{MATCHED_VAR}',logdata:'%{TX.0} in %{MATCHED_VAR_NAME}',tag:'%{MATCHED_VAR}'"
SecRule ARGS "@contains 4111" "id:3,phase:2,pass,sanitiseMatched"
"#;

static NATIVE: LazyLock<Arc<RuleSet>> = LazyLock::new(|| load(""));
static JSON: LazyLock<Arc<RuleSet>> = LazyLock::new(|| load("SecAuditLogFormat JSON\n"));

#[expect(clippy::expect_used, reason = "the rules stand above")]
fn load(more: &str) -> Arc<RuleSet> {
    let text = format!("{RULES}{more}");
    let loaded = Loader::new().text("fuzz.conf", &text).load();
    Arc::new(loaded.expect("the rules of the target load").rules)
}

/// Four bytes for each of the bodies, and what is said of them.
const MOST: usize = 4 << 20;
