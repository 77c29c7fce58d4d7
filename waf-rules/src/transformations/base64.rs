//! `base64Decode`, `base64DecodeExt`, `base64Encode` (RFC 4648 section 4).
//!
//! `base64Decode` is strict as in libmodsecurity: text with a foreign byte, or with padding where
//! none belongs, comes out empty. It stops at a NUL. White space between digits is skipped, and
//! padding may be missing: decoders behind us accept both, so refusing them would hide a payload.
//! `base64DecodeExt` skips every foreign byte (PHP's decoder does) and reads `-_` as `+/`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) {
    let end = memchr::memchr(0, input).unwrap_or(input.len());
    let text = input.get(..end).unwrap_or(input);
    // Most values are no Base64: nothing is written before that is known.
    if text.iter().any(|byte| kind(*byte) == FOREIGN) {
        return;
    }
    let mut group = Group::default();
    let mut padding = 0;
    for &byte in text {
        match kind(byte) {
            BLANK => {}
            PADDING if padding < 2 => padding += 1,
            bits if bits < BLANK && padding == 0 => group.push(bits, out),
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
            _ => Some(kind(byte)).filter(|bits| *bits < BLANK),
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

/// The six bits of a digit, or what else the byte is.
fn kind(byte: u8) -> u8 {
    KINDS.get(usize::from(byte)).copied().unwrap_or(FOREIGN)
}

const BLANK: u8 = 64;
const PADDING: u8 = 65;
const FOREIGN: u8 = 66;

static KINDS: [u8; 256] = kinds();

#[expect(clippy::indexing_slicing, reason = "indices are digits, or bytes")]
const fn kinds() -> [u8; 256] {
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut kinds = [FOREIGN; 256];
    let mut bits = 0;
    while bits < BLANK {
        kinds[digits[bits as usize] as usize] = bits;
        bits += 1;
    }
    let blanks = b" \t\r\n";
    let mut at = 0;
    while at < blanks.len() {
        kinds[blanks[at] as usize] = BLANK;
        at += 1;
    }
    kinds[b'=' as usize] = PADDING;
    kinds
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
