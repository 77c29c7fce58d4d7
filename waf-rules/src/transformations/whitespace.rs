//! `compressWhitespace`, `removeWhitespace`, `trim`, `trimLeft`, `trimRight`.
//!
//! White space is C's `isspace`. `removeWhitespace` also drops every 0xA0 and 0xC2 byte, as
//! libmodsecurity does: the two halves of a UTF-8 no-break space, and the Latin-1 one.

use crate::byteset::ByteSet;

pub(super) const SPACES: ByteSet = ByteSet::of(b" \t\n\x0b\x0c\r");
pub(super) const REMOVED: ByteSet = ByteSet::of(b" \t\n\x0b\x0c\r\xa0\xc2");

/// C's `isspace` in the C locale.
pub(super) fn is_space(byte: u8) -> bool {
    SPACES.contains(byte)
}

pub(super) fn compress(input: &[u8], out: &mut Vec<u8>) {
    let mut in_run = false;
    super::sift(input, out, |byte| {
        let space = is_space(byte);
        let keep = !space || !in_run;
        in_run = space;
        (if space { b' ' } else { byte }, keep)
    });
}

pub(super) fn remove(input: &[u8], out: &mut Vec<u8>) {
    super::sift(input, out, |byte| (byte, !REMOVED.contains(byte)));
}

pub(super) fn trim(input: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(left(right(input)));
}

pub(super) fn trim_left(input: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(left(input));
}

pub(super) fn trim_right(input: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(right(input));
}

fn left(mut input: &[u8]) -> &[u8] {
    while let Some((first, rest)) = input.split_first()
        && is_space(*first)
    {
        input = rest;
    }
    input
}

fn right(mut input: &[u8]) -> &[u8] {
    while let Some((last, rest)) = input.split_last()
        && is_space(*last)
    {
        input = rest;
    }
    input
}
