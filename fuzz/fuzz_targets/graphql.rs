//! Queries of every shape: bounded, and nothing handed out twice.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| waf_rules::fuzzing::graphql(data));
