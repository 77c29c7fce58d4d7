//! What is JSON to us must be JSON to `serde_json`, and the other way round.
#![no_main]

use serde_json::Value;
use waf_rules::fuzzing::{Verdict, json};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let verdict = json(data);
    let text = data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data);
    let theirs = serde_json::from_slice::<Value>(text);
    let blank = text.iter().all(|byte| b" \t\r\n".contains(byte));
    // Lone surrogates are U+FFFD to us and an error to them.
    let surrogates = text
        .windows(3)
        .any(|three| matches!(three, [b'\\', b'u', b'd' | b'D']));
    match verdict {
        Verdict::Limited => {}
        Verdict::Accepted => assert!(blank || surrogates || theirs.is_ok(), "{theirs:?}"),
        Verdict::Refused => assert!(theirs.is_err(), "refused: {theirs:?}"),
    }
});
