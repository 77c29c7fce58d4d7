//! Literals, one a line, up to an empty line; the rest is the value they are searched in.
#![no_main]

use waf_rules::fuzzing::literals_agree;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let lines: Vec<_> = data.split(|byte| *byte == b'\n').collect();
    let count = lines
        .iter()
        .take(200)
        .take_while(|line| !line.is_empty())
        .count();
    let behind = lines
        .iter()
        .take(count)
        .map(|line| line.len() + 1)
        .sum::<usize>();
    let literals: Vec<_> = lines
        .iter()
        .take(count)
        .map(|line| line.to_ascii_lowercase())
        .collect();
    let literals: Vec<_> = literals.iter().map(Vec::as_slice).collect();
    literals_agree(&literals, data.get(behind..).unwrap_or_default());
});
