use super::*;
use crate::client_hello::tests::{alpn, counted8, counted16, message, names, numbers};

/// Fingerprints, and below each what it is made of in the order of the wire: ciphers, extensions,
/// signature algorithms (the form FoxIO calls `ja4_ro`). The example of the definition is among them,
/// the others are clients in FoxIO's published captures.
const PUBLISHED: &str = include_str!("published.txt");

fn codes(list: &str) -> Vec<u16> {
    let codes = list.split(',').filter(|code| !code.is_empty());
    codes
        .map(|code| u16::from_str_radix(code, 16).unwrap())
        .collect()
}

/// A hello with these lists and with GREASE in all of them.
fn hello(raw: &str) -> Vec<u8> {
    let parts: Vec<&str> = raw.split('_').collect();
    let (start, mut ciphers, kinds) = (parts[0], codes(parts[1]), codes(parts[2]));
    let mut signatures = codes(parts.get(3).copied().unwrap_or_default());
    ciphers.insert(0, 0x3a3a);
    if !signatures.is_empty() {
        signatures.push(0x5a5a);
    }
    let version = match &start[1..3] {
        "13" => 0x0304,
        "12" => 0x0303,
        "11" => 0x0302,
        _ => 0x0301,
    };
    let protocol: &[u8] = match &start[8..] {
        "h1" => b"http/1.1",
        "00" => b"",
        short => short.as_bytes(),
    };
    let mut extensions = vec![(0x2a2a, vec![])];
    extensions.extend(kinds.into_iter().map(|kind| match kind {
        0 => names(&[b"a.example"]),
        16 => alpn(&[protocol]),
        13 => (kind, counted16(&numbers(&signatures))),
        43 => (kind, counted8(&numbers(&[0x6a6a, version, 0x0303]))),
        _ => (kind, vec![0]),
    }));
    extensions.push((0x9a9a, vec![0]));
    let mut message = message(&ciphers, &extensions);
    if version != 0x0304 {
        message[4..6].copy_from_slice(&version.to_be_bytes());
    }
    message
}

#[test]
fn published_fingerprints_come_out() {
    let lines: Vec<&str> = PUBLISHED.lines().collect();
    for pair in lines.chunks(2) {
        let message = hello(pair[1]);
        let hello = ClientHello::parse(&message).unwrap();
        assert_eq!(ja4(&hello), pair[0]);
    }
    assert_eq!(lines.len(), 26);
}

#[test]
fn the_protocol_of_two_characters_follows_the_definition() {
    let cases: [(&[u8], &str); 9] = [
        (b"h2", "h2"),
        (b"http/1.1", "h1"),
        (b"x", "xx"),
        (&[0xab], "ab"),
        (&[0xab, 0xcd], "ad"),
        (&[0x20, 0x61], "21"),
        (&[0x61, 0x20], "60"),
        (&[0x30, 0x31, 0xab, 0xcd], "3d"),
        (&[0x30, 0xab, 0xcd, 0x31], "01"),
    ];
    for (name, expected) in cases {
        assert_eq!(
            String::from_iter(protocol(Some(name))),
            expected,
            "{name:?}"
        );
    }
    assert_eq!(protocol(None), ['0', '0']);
}

#[test]
fn nothing_to_hash_is_zeros_and_counts_end_at_99() {
    let message = message(&[0x0a0a], &[]);
    let bare = ClientHello::parse(&message).unwrap();
    assert_eq!(ja4(&bare), "t12i000000_000000000000_000000000000");
    let ciphers = (0..150).collect();
    let many = ClientHello { ciphers, ..bare };
    assert!(ja4(&many).starts_with("t12i990000_"));
}
