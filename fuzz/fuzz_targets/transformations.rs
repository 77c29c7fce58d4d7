#![no_main]

libfuzzer_sys::fuzz_target!(
    |data: &[u8]| waf_rules::fuzzing::transformations_keep_their_word(data)
);
