//! The `Cookie` header (RFC 6265 section 4.2), as the Core Rule Set expects it to be read.
//!
//! Split on `;` alone, blanks before a name go, names end at the first `=`, values are neither decoded
//! nor unquoted. A value without a name is a value and is handed out (GHSA-g4qm-m288-5cp9); only a
//! piece of nothing but blanks is skipped. `$Version` is an ordinary name.

use std::ops::ControlFlow;

use super::Sink;
use super::urlencoded::split_pair;

/// Hands every cookie of one header value to `sink`, in wire order; false if the sink broke off.
pub(crate) fn parse(header_value: &[u8], sink: &mut Sink<'_>) -> bool {
    for piece in header_value.split(|byte| *byte == b';') {
        let piece = trim_left(piece);
        if piece.is_empty() {
            continue;
        }
        let (name, value) = split_pair(piece);
        if sink(name, value) == ControlFlow::Break(()) {
            return false;
        }
    }
    true
}

/// Without the blanks of C's `isspace`, which unlike Rust's ASCII blanks hold the vertical tab.
fn trim_left(mut piece: &[u8]) -> &[u8] {
    while let [b' ' | b'\t'..=b'\r', rest @ ..] = piece {
        piece = rest;
    }
    piece
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::testing::{collect, pairs};

    #[test]
    fn cookies_are_split_on_semicolons_alone() {
        let cases: &[(&str, &[(&str, &str)])] = &[
            ("a=1; b=2", &[("a", "1"), ("b", "2")]),
            ("a=1;b=2;", &[("a", "1"), ("b", "2")]),
            ("a=1; ; b=2; ", &[("a", "1"), ("b", "2")]),
            ("a=b=c==", &[("a", "b=c==")]),
            ("flag", &[("flag", "")]),
            ("a=1; a=2", &[("a", "1"), ("a", "2")]),
            ("=payload", &[("", "payload")]),
            (" =payload", &[("", "payload")]),
            ("\x01=payload", &[("\x01", "payload")]),
            ("a=%3Cscript%3E", &[("a", "%3Cscript%3E")]),
            ("a=x, b=y", &[("a", "x, b=y")]),
            (
                "$Version=1; a=\"1; q=<x>\"",
                &[("$Version", "1"), ("a", "\"1"), ("q", "<x>\"")],
            ),
            (
                " \t\x0b__Host-a=1 ; b = 2",
                &[("__Host-a", "1 "), ("b ", " 2")],
            ),
            ("", &[]),
        ];
        for (input, expected) in cases {
            let (found, whole) = collect(|sink| parse(input.as_bytes(), sink));
            assert_eq!(found, pairs(expected), "{input}");
            assert!(whole);
        }
    }

    #[test]
    fn ten_thousand_crumbs_stop_at_the_limit() {
        let input = b"a=1;".repeat(10_000);
        let mut seen = 0;
        assert!(!parse(&input, &mut |_, _| {
            seen += 1;
            if seen == 100 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        }));
        assert_eq!(seen, 100);
    }

    #[test]
    fn every_prefix_of_a_header_is_read() {
        let sample = b"$Version=1; a=\"\\157\"; =x;; \x0b b=%zz; c";
        for end in 0..=sample.len() {
            assert!(collect(|sink| parse(&sample[..end], sink)).1);
        }
    }
}
