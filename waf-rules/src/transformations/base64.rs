//! `base64Decode`, `base64DecodeExt`, `base64Encode` (RFC 4648 section 4).
//!
//! `base64Decode` is strict as in libmodsecurity: text with a foreign byte, or with padding where
//! none belongs, comes out empty. It stops at a NUL. White space between digits is skipped, and
//! padding may be missing: decoders behind us accept both, so refusing them would hide a payload.
//! `base64DecodeExt` skips every foreign byte (PHP's decoder does) and reads `-_` as `+/`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) {
    let text = input.split(|byte| *byte == 0).next().unwrap_or_default();
    let mut group = Group::default();
    let mut padding = 0;
    for &byte in text {
        match (byte, value(byte)) {
            (b' ' | b'\t' | b'\r' | b'\n', _) => {}
            (b'=', _) if padding < 2 => padding += 1,
            (_, Some(bits)) if padding == 0 => group.push(bits, out),
            _ => {
                out.clear();
                return;
            }
        }
    }
    group.finish(out);
}

pub(super) fn decode_ext(input: &[u8], out: &mut Vec<u8>) {
    let mut group = Group::default();
    for &byte in input {
        let bits = match byte {
            b'-' => Some(62),
            b'_' => Some(63),
            _ => value(byte),
        };
        if let Some(bits) = bits {
            group.push(bits, out);
        }
    }
    group.finish(out);
}

pub(super) fn encode(input: &[u8], out: &mut Vec<u8>) {
    out.resize(input.len().div_ceil(3).saturating_mul(4), 0);
    // `out` has exactly the room padded base64 needs, so the call cannot fail.
    let written = STANDARD.encode_slice(input, out).unwrap_or_default();
    out.truncate(written);
}

/// Digits gathered until they make whole bytes.
#[derive(Default)]
struct Group {
    bits: u32,
    digits: u32,
}

impl Group {
    fn push(&mut self, bits: u8, out: &mut Vec<u8>) {
        self.bits = self.bits << 6 | u32::from(bits);
        self.digits += 1;
        if self.digits == 4 {
            let [_, bytes @ ..] = self.bits.to_be_bytes();
            out.extend_from_slice(&bytes);
            *self = Self::default();
        }
    }

    /// Two digits left over make one byte, three make two; one makes none.
    fn finish(self, out: &mut Vec<u8>) {
        let whole = self.digits.saturating_sub(1) as usize;
        let aligned = self.bits << (6 * (4 - self.digits.min(4)));
        let [_, bytes @ ..] = aligned.to_be_bytes();
        out.extend(bytes.iter().take(whole));
    }
}

fn value(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(step: fn(&[u8], &mut Vec<u8>), input: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        step(input, &mut out);
        out
    }

    #[test]
    fn an_unpadded_payload_is_still_decoded() {
        assert_eq!(run(decode, b"PHNjcmlwdA"), b"<script");
        assert_eq!(run(decode, b"PHNj\r\ncmlwdA=="), b"<script");
    }

    #[test]
    fn ordinary_text_is_not_base64() {
        assert_eq!(run(decode, b"name=value; x"), b"");
    }

    #[test]
    fn foreign_bytes_do_not_hide_a_payload_from_the_forgiving_decoder() {
        assert_eq!(run(decode_ext, b"P.H.N!jcmlwdA=="), b"<script");
    }

    #[test]
    fn encoding_pads() {
        assert_eq!(run(encode, b"TestCase"), b"VGVzdENhc2U=");
        assert_eq!(run(encode, b""), b"");
    }
}
