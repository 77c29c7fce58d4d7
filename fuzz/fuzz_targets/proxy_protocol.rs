//! A header that is complete stays what it is when more bytes follow, and no prefix of it is complete.
#![no_main]

use edge_conn::proxy_protocol::{ProxyHeader, parse};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(ProxyHeader::Complete { length, client }) = parse(data) {
        assert!(length <= data.len());
        let (header, _) = data.split_at(length);
        let again = parse(header);
        assert_eq!(again.ok(), Some(ProxyHeader::Complete { length, client }));
        for end in 0..length {
            let (prefix, _) = header.split_at(end);
            assert_eq!(parse(prefix).ok(), Some(ProxyHeader::Incomplete));
        }
    }
});
