//! `escapeSeqDecode`: the escapes of ANSI C.
//!
//! `\a \b \f \n \r \t \v`, `\xHH`, `\` and up to three octal digits; `\` before anything else
//! vanishes. A lone `\` at the end stays.

use super::{control, hex, octal};
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
        b'x' | b'X' => {
            if let Some(byte) = hex::pair(rest) {
                return Some((byte, rest.get(2..)?));
            }
        }
        b'0'..=b'7' => return octal(body, 3),
        _ => {}
    }
    Some((control(kind).unwrap_or(kind), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escaped_command_is_read() {
        let mut out = Vec::new();
        apply(b"$'\\x63\\141t' \\/etc", &mut out);
        assert_eq!(out, b"$'cat' /etc");
    }

    #[test]
    fn a_lone_backslash_at_the_end_stays() {
        let mut out = Vec::new();
        apply(b"C:\\", &mut out);
        assert_eq!(out, b"C:\\");
    }
}
