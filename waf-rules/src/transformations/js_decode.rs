//! `jsDecode`: the escapes of JavaScript strings, folded to one byte each.
//!
//! `\uHHHH` gives the low byte (full-width forms their ASCII letter), `\xHH` a byte, `\` and up to
//! three octal digits a byte (two if three would exceed it), `\a \b \f \n \r \t \v` the control, and
//! `\` before anything else vanishes. A lone `\` at the end stays.

use super::{control, full_width, hex, octal};
use crate::byteset::ByteSet;

pub(super) const TRIGGERS: ByteSet = ByteSet::of(b"\\");

pub(super) fn apply(input: &[u8], out: &mut Vec<u8>) {
    super::unescape(input, out, |text| memchr::memchr(b'\\', text), escape);
}

/// The escape `input` starts with, if it does, and what follows.
fn escape(input: &[u8]) -> Option<(u8, &[u8])> {
    let body = input.strip_prefix(b"\\")?;
    let (&kind, rest) = body.split_first()?;
    match kind {
        b'u' => {
            if let (Some(high), Some(low)) = (hex::pair(rest), rest.get(2..).and_then(hex::pair)) {
                let code = u32::from(high) << 8 | u32::from(low);
                return Some((full_width(code), rest.get(4..)?));
            }
        }
        b'x' => {
            if let Some(byte) = hex::pair(rest) {
                return Some((byte, rest.get(2..)?));
            }
        }
        b'0'..=b'7' => {
            let most = if kind > b'3' { 2 } else { 3 };
            return octal(body, most);
        }
        _ => {}
    }
    Some((control(kind).unwrap_or(kind), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(input: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        apply(input, &mut out);
        out
    }

    #[test]
    fn an_escaped_payload_is_read() {
        assert_eq!(run(b"\\u0061\\x6c\\145rt\\uff08"), b"alert(");
        assert_eq!(run(b"\\al\\q\\'\\\\"), b"\x07lq'\\");
    }

    #[test]
    fn octal_stays_within_a_byte() {
        assert_eq!(run(b"\\377\\400\\18"), b"\xff\x200\x018");
    }

    #[test]
    fn broken_escapes_lose_the_backslash_only() {
        assert_eq!(run(b"\\u00g1 \\x4 x\\"), b"u00g1 x4 x\\");
    }
}
