//! Paths over documents: what they find is in the document, and bounded.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| waf_rules::fuzzing::xpath(data));
