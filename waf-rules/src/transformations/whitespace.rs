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
    for &byte in input {
        if !is_space(byte) {
            out.push(byte);
        } else if !in_run {
            out.push(b' ');
        }
        in_run = is_space(byte);
    }
}

pub(super) fn remove(input: &[u8], out: &mut Vec<u8>) {
    out.extend(input.iter().filter(|byte| !REMOVED.contains(**byte)));
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
