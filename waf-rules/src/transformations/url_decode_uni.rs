//! `urlDecodeUni`: `urlDecode` that also reads the `%uHHHH` of old browsers and IIS.
//!
//! A code point becomes the byte the best-fit table of code page 20127 (US-ASCII) gives it, the table
//! that `SecUnicodeMapFile unicode.mapping 20127` loads; without an entry, its full-width form's
//! ASCII letter or its low byte. Every escape is looked up afresh. A bad `%u` stays.

use super::{full_width, hex};
use crate::byteset::ByteSet;

pub(super) const TRIGGERS: ByteSet = ByteSet::of(b"%+");

pub(super) fn apply(input: &[u8], out: &mut Vec<u8>) {
    let find = |text: &[u8]| memchr::memchr2(b'%', b'+', text);
    super::unescape(input, out, find, |text| match text.split_first()? {
        (b'+', rest) => Some((b' ', rest)),
        (_, rest) => escape(rest),
    });
}

/// The escape after a `%`, and what follows it.
fn escape(body: &[u8]) -> Option<(u8, &[u8])> {
    let Some((b'u' | b'U', digits)) = body.split_first() else {
        return Some((hex::pair(body)?, body.get(2..)?));
    };
    let code = u16::from_be_bytes([hex::pair(digits)?, hex::pair(digits.get(2..)?)?]);
    let byte = best_fit(code).unwrap_or_else(|| full_width(u32::from(code)));
    Some((byte, digits.get(4..)?))
}

/// The ASCII character code page 20127 puts in the place of `code`.
pub(crate) fn best_fit(code: u16) -> Option<u8> {
    let at = BEST_FIT.partition_point(|(first, _)| *first <= code);
    let (first, run) = BEST_FIT.get(at.checked_sub(1)?)?;
    match *run.get(usize::from(code - first))? {
        b'\0' => None,
        byte => Some(byte),
    }
}

/// Runs of consecutive code points and what they become; NUL where there is no entry.
const BEST_FIT: &[(u16, &[u8])] = &[
    (
        0x00a0,
        b" !c\0$Y|\0\0Ca<\0-R\0\0\x0023\0\0\0.,1o>\0\0\0\0AAAAAAACEEEEIIIIDNOOOOO\0OUUUUY\0\0aaaaaaaceeeeiiii\0nooooo\0ouuuuy\0y",
    ),
    (
        0x0100,
        b"AaAaAaCcCcCcCcDdDdEeEeEeEeEeGgGgGgGgHhHhIiIiIiIiIi\0\0JjKk\0LlLlLl\0\0LlNnNnNn\0\0\0OoOoOoOoRrRrRrSsSsSsSsTtTtTtUuUuUuUuUuUuWwYyYZzZzZz",
    ),
    (0x0180, b"b\0\0\0\0\0\0\0\0D\0\0\0\0\0\0\0Ff\0\0\0\0I\0\0l\0\0\0\0OOo\0\0\0\0\0\0\0\0\0t\0\0TUu\0\0\0\0\0z"),
    (0x01cd, b"AaIiOoUuUuUuUuUu\0Aa\0\0\0\0GgGgKkOoOo\0\0j"),
    (0x2000, b"       "),
    (0x2010, b"--\0--\0\0\0'',\0\"\"\"\0\0\0.\0\0\0.\0\0\0\0\0\0\0\0\0\0\0'\0\0`"),
    (0x2039, b"<>"),
    (0x2122, b"T"),
    (
        0xff01,
        b"!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn run(input: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        apply(input, &mut out);
        out
    }

    #[test]
    fn encoded_payloads_are_read() {
        assert_eq!(run(b"%u003cscript%3E%uFF1c%Uff1C"), b"<script><<");
        assert_eq!(run(b"%u2018or+1%u2019%u00E9"), b"'or 1'e");
    }

    #[test]
    fn without_an_entry_the_low_byte_stands_and_nothing_leaks_from_one_escape_to_the_next() {
        assert_eq!(run(b"%u2018%u2f3c%u4e2d"), b"'<-");
    }

    #[test]
    fn bad_escapes_stay() {
        assert_eq!(run(b"100% %u12g4 %u123 %g1 %"), b"100% %u12g4 %u123 %g1 %");
    }

    #[test]
    fn the_best_fit_table_is_sorted_and_its_runs_do_not_overlap() {
        assert!(
            BEST_FIT
                .is_sorted_by(|(a, run), (b, _)| usize::from(*a) + run.len() <= usize::from(*b))
        );
        for (code, byte) in [
            (0xc5, b'A'),
            (0xd8, b'O'),
            (0xff, b'y'),
            (0x17e, b'z'),
            (0x2026, b'.'),
            (0x2035, b'`'),
            (0xff5e, b'~'),
            (0xb2, b'2'),
        ] {
            assert_eq!(best_fit(code), Some(byte), "U+{code:04X}");
        }
        assert_eq!(best_fit(0x41), None);
    }
}
