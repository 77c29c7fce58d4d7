//! A head keeps the bytes it was made of, and only a strict one passes the gate.
#![no_main]

use bytes::Bytes;
use edge_conn::gate::{HeadLimits, admit};
use edge_core::Head;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let raw = Bytes::copy_from_slice(data);
    let head = Head::parse(raw.clone(), 128);
    if let Ok(head) = &head {
        assert!(data.starts_with(head.method()));
        assert!(!head.target().is_empty());
        for (name, value) in head.fields() {
            assert!(!name.is_empty());
            let is_clean = |byte: &u8| !matches!(byte, b'\r' | b'\n' | 0);
            assert!(value.iter().all(is_clean));
        }
    }
    let limits = HeadLimits {
        bytes: 65_536,
        fields: 128,
        target: 8192,
        non_ascii_target: data.len() % 2 == 0,
    };
    if admit(raw, &limits).is_ok() {
        assert!(head.is_ok(), "the gate let pass what is no head");
    }
});
