//! How the records arrive must not matter, nor how the message is cut into records; and what parses
//! has a valid name and a fingerprint of the right shape.
#![no_main]

use edge_conn::client_hello::{ClientHello, HelloFault, HelloReader};
use edge_conn::ja4::ja4;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let whole = read(data, data.len().max(1));
    assert_eq!(whole, read(data, 1));
    let Ok(Some(message)) = whole else {
        // The bytes may be a message without records, too.
        return check(data);
    };
    let bytewise: Vec<u8> = message
        .iter()
        .flat_map(|byte| [22, 3, 1, 0, 1, *byte])
        .collect();
    if bytewise.len() < HelloReader::MOST {
        assert_eq!(read(&bytewise, 999), Ok(Some(message.clone())));
    }
    check(&message);
});

/// The message, if `size` bytes arrive at a time.
fn read(data: &[u8], size: usize) -> Result<Option<Vec<u8>>, HelloFault> {
    let mut reader = HelloReader::default();
    let mut end = 0;
    while end < data.len() {
        end = (end + size).min(data.len());
        if let Some(message) = reader.read(&data[..end])? {
            return Ok(Some(message.to_vec()));
        }
    }
    Ok(None)
}

fn check(message: &[u8]) {
    let Ok(hello) = ClientHello::parse(message) else {
        return;
    };
    let print = ja4(&hello);
    assert_eq!(print.chars().count(), 36, "{print}");
    assert!(print.starts_with('t') && !print.contains(char::is_whitespace));
    if let Some(name) = &hello.server_name {
        assert!((1..=253).contains(&name.len()));
        assert!(name.parse::<std::net::IpAddr>().is_err());
        let valid = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
        assert!(name.bytes().all(valid), "{name}");
    }
}
