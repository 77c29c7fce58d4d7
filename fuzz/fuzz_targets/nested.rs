//! Values inside values: bounded, whatever they hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| waf_rules::fuzzing::nested(data));
