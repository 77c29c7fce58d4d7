#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| waf_rules::fuzzing::audit_log(data));
