//! `utf8toUnicode`: every multibyte UTF-8 character becomes `%uHHHH`, in at least four digits.
//!
//! Bytes that are no UTF-8 are treated as libmodsecurity does, for rules lean on it: a byte that
//! cannot start a character is copied, a lead byte whose continuation is missing or wrong is dropped,
//! and after an overlong form or a surrogate the lead byte follows the escape. NUL is dropped, so that
//! ASCII in UTF-16 reads as ASCII.

use super::hex;
use crate::byteset::ByteSet;

/// NUL, and every byte from 0x80 on.
pub(super) const TRIGGERS: ByteSet = ByteSet::range(0x80, 0xff).union(ByteSet::of(b"\0"));

pub(super) fn apply(mut input: &[u8], out: &mut Vec<u8>) {
    while let Some((&lead, rest)) = input.split_first() {
        input = rest;
        let (length, smallest, bits) = match lead {
            0 => continue,
            0xc0..=0xdf => (1, 0x80, lead & 0x1f),
            0xe0..=0xef => (2, 0x800, lead & 0x0f),
            0xf0..=0xf4 => (3, 0x1_0000, lead & 0x07),
            _ => {
                out.push(lead);
                continue;
            }
        };
        let Some((tail, behind)) = rest.split_at_checked(length) else {
            continue;
        };
        if tail.iter().any(|byte| byte & 0xc0 != 0x80) {
            continue;
        }
        let code = tail.iter().fold(u32::from(bits), |code, byte| {
            code << 6 | u32::from(byte & 0x3f)
        });
        escape(code, out);
        if code < smallest || (0xd800..=0xdfff).contains(&code) {
            out.push(lead);
        }
        input = behind;
    }
}

fn escape(code: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(b"%u");
    let digits = (8 - code.leading_zeros() / 4).max(4);
    for place in (0..digits).rev() {
        let [.., low] = (code >> (4 * place)).to_be_bytes();
        out.push(hex::lower_digit(low & 15));
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
    fn characters_become_escapes_and_ascii_stays() {
        assert_eq!(run("aé＜\u{1f600}".as_bytes()), b"a%u00e9%uff1c%u1f600");
    }

    #[test]
    fn ascii_in_utf_16_reads_as_ascii() {
        assert_eq!(run(b"e\0t\0c\0"), b"etc");
    }

    #[test]
    fn an_overlong_slash_is_still_shown_as_one() {
        assert_eq!(run(b"..\xc0\xafetc"), b"..%u002f\xc0etc");
    }

    #[test]
    fn broken_characters_do_not_swallow_what_follows() {
        assert_eq!(run(b"<scr\xc3ipt>\xe2\x82"), b"<script>\x82");
    }
}
