//! The first line is a regular expression, the rest the value it is run on.
#![no_main]

use waf_rules::fuzzing::{captures_agree, prefilter_agrees};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut halves = data.splitn(2, |byte| *byte == b'\n');
    let (Some(pattern), Some(value)) = (halves.next(), halves.next()) else {
        return;
    };
    if let Ok(pattern) = std::str::from_utf8(pattern) {
        prefilter_agrees(pattern, value);
        captures_agree(pattern, value);
    }
});
