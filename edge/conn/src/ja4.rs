//! JA4: the fingerprint of a TLS client, after FoxIO's definition.
//!
//! Version, counts and ALPN in clear; then hashes of the sorted cipher suites, and of the sorted
//! extensions with the signature algorithms in their order. GREASE is left out everywhere.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use crate::client_hello::{ClientHello, is_grease};

/// The fingerprint of a client that speaks TLS over TCP, for example
/// `t13d1516h2_8daaf6152771_e5627efa2ab1`.
#[must_use]
pub fn ja4(hello: &ClientHello<'_>) -> String {
    let mut ciphers = without_grease(&hello.ciphers);
    ciphers.sort_unstable();
    let mut extensions = without_grease(&hello.extensions);
    let named = extensions.contains(&SERVER_NAME);
    let count = extensions.len();
    extensions.retain(|kind| !matches!(*kind, SERVER_NAME | ALPN));
    extensions.sort_unstable();

    let mut print = String::with_capacity(36);
    let _ = write!(
        print,
        "t{}{}{:02}{:02}",
        version(hello),
        if named { 'd' } else { 'i' },
        ciphers.len().min(99),
        count.min(99),
    );
    print.extend(protocol(hello.protocols.first().copied()));
    print.push('_');
    push_hash(&mut print, &list(&ciphers));
    print.push('_');
    let mut text = list(&extensions);
    if !text.is_empty() && !hello.signatures.is_empty() {
        text.push('_');
        text.push_str(&list(&without_grease(&hello.signatures)));
    }
    push_hash(&mut print, &text);
    print
}

fn without_grease(values: &[u16]) -> Vec<u16> {
    let values = values.iter().copied();
    values.filter(|value| !is_grease(*value)).collect()
}

/// The highest version offered.
fn version(hello: &ClientHello<'_>) -> &'static str {
    let offered = hello.versions.iter().copied();
    let highest = offered.filter(|value| !is_grease(*value)).max();
    match highest.unwrap_or(hello.legacy_version) {
        0x0304 => "13",
        0x0303 => "12",
        0x0302 => "11",
        0x0301 => "10",
        0x0300 => "s3",
        0x0002 => "s2",
        _ => "00",
    }
}

/// First and last character of the first protocol; of its hexadecimal form where they are not
/// alphanumeric.
fn protocol(first: Option<&[u8]>) -> [char; 2] {
    let (Some(first), Some(last)) = (first.and_then(<[u8]>::first), first.and_then(<[u8]>::last))
    else {
        return ['0', '0'];
    };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return [char::from(*first), char::from(*last)];
    }
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or('0');
    [digit(first >> 4), digit(last & 15)]
}

fn list(values: &[u16]) -> String {
    let mut text = String::with_capacity(values.len() * 5);
    for (index, value) in values.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let _ = write!(text, "{comma}{value:04x}");
    }
    text
}

/// The first twelve digits of the hash, or zeros for an empty list.
fn push_hash(print: &mut String, text: &str) {
    if text.is_empty() {
        print.push_str("000000000000");
        return;
    }
    for byte in Sha256::digest(text.as_bytes()).iter().take(6) {
        let _ = write!(print, "{byte:02x}");
    }
}

const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;

#[cfg(test)]
mod tests;
