//! Answers of a resolver: never more addresses than are bounded, and none for another question.
#![no_main]

use edge_conn::dns;

libfuzzer_sys::fuzz_target!(|message: &[u8]| {
    let question = dns::question(7, "7.2.0.192.list.example").expect("a name");
    if let Ok(answer) = dns::answer(&question, message) {
        assert!(answer.addresses.len() <= 16);
        let echoed = &message[12..question.len()];
        assert!(echoed.eq_ignore_ascii_case(&question[12..]));
    }
    let other = dns::question(7, "8.2.0.192.list.example").expect("a name");
    assert!(dns::answer(&question, message).is_err() || dns::answer(&other, message).is_err());
});
