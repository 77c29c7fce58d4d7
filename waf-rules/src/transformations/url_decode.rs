//! `urlDecode`, `urlEncode`: `application/x-www-form-urlencoded` bytes (URL Standard section 5).
//!
//! Decoding is forgiving: a bad escape stays as it is. Encoding keeps letters, digits and `*`.

use super::hex;
use crate::byteset::ByteSet;

pub(super) const TRIGGERS: ByteSet = ByteSet::of(b"%+");

pub(super) fn decode(mut input: &[u8], out: &mut Vec<u8>) {
    while let Some((&byte, mut rest)) = input.split_first() {
        let decoded = match byte {
            b'+' => b' ',
            b'%' => match hex::pair(rest) {
                Some(decoded) => {
                    rest = rest.get(2..).unwrap_or_default();
                    decoded
                }
                None => byte,
            },
            _ => byte,
        };
        out.push(decoded);
        input = rest;
    }
}

pub(super) fn encode(input: &[u8], out: &mut Vec<u8>) {
    for &byte in input {
        match byte {
            b' ' => out.push(b'+'),
            b'*' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => out.push(byte),
            _ => out.extend([
                b'%',
                hex::lower_digit(byte >> 4),
                hex::lower_digit(byte & 15),
            ]),
        }
    }
}
