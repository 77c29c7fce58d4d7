//! `cssDecode`: the escapes of CSS 2.1 section 4.1.3, folded to one byte each.
//!
//! `\` and one to six hexadecimal digits give the byte of the last two; full-width forms (`ff` in
//! front, with leading zeros at most) give their ASCII letter. One white space after the digits is
//! part of the escape, `\` before a line feed vanishes with it, and a trailing `\` is dropped.

use super::{full_width, hex, whitespace};
use crate::byteset::ByteSet;

pub(super) const TRIGGERS: ByteSet = ByteSet::of(b"\\");

pub(super) fn apply(mut input: &[u8], out: &mut Vec<u8>) {
    while let Some((&byte, rest)) = input.split_first() {
        input = rest;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let digits = rest
            .iter()
            .take(6)
            .take_while(|byte| hex::digit(**byte).is_some())
            .count();
        if let Some((decoded, behind)) = escape(rest, digits) {
            out.push(decoded);
            input = match behind.split_first() {
                Some((&space, behind)) if whitespace::is_space(space) => behind,
                _ => behind,
            };
        } else if let Some((&escaped, behind)) = rest.split_first() {
            if escaped != b'\n' {
                out.push(escaped);
            }
            input = behind;
        }
    }
}

/// The byte that `digits` digits at the start of `input` stand for, and what follows them.
fn escape(input: &[u8], digits: usize) -> Option<(u8, &[u8])> {
    let (text, behind) = input.split_at_checked(digits)?;
    let code = text.iter().try_fold(0_u32, |code, byte| {
        Some(code << 4 | u32::from(hex::digit(*byte)?))
    })?;
    match digits {
        0 => None,
        _ => Some((full_width(code), behind)),
    }
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
        assert_eq!(run(b"ja\\vascript"), b"javascript");
        assert_eq!(run(b"\\6a avascript\\00003a"), b"javascript:");
        assert_eq!(run(b"\\ff1c\\00ff1c\\0ff1c"), b"<<<");
        assert_eq!(run(b"exp\\\nression"), b"expression");
        assert_eq!(run(b"x\\"), b"x");
    }

    #[test]
    fn six_digits_that_are_no_full_width_form_give_the_low_byte() {
        assert_eq!(run(b"\\123441"), b"A");
        assert_eq!(run(b"\\1ff1c"), b"\x1c");
    }

    #[test]
    fn text_without_a_backslash_stays() {
        assert_eq!(run(b"color: #fff 100%"), b"color: #fff 100%");
    }
}
