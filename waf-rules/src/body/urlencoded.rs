//! Query strings and `application/x-www-form-urlencoded` bodies, as ModSecurity v3 reads them.
//!
//! Pieces are split on the separator (`&`; `;` is data), names end at the first `=`, both sides are
//! decoded once and non-strictly. A piece without `=` has an empty value, an empty piece between two
//! separators is an argument without a name; a separator at the very end opens none. Nothing is ever
//! dropped: an argument without a name is still an argument (GHSA-g4qm-m288-5cp9).

use std::ops::ControlFlow;

use super::Sink;
use super::percent::{self, Plus};

/// How the reading ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Urlencoded {
    /// A `%` was not followed by two hexadecimal digits: `URLENCODED_ERROR`.
    pub(crate) invalid_escape: bool,
    /// The sink broke off before the end: an argument limit.
    pub(crate) stopped: bool,
}

/// Hands every argument of `input` to `sink`, decoded, in wire order.
pub(crate) fn parse(input: &[u8], separator: u8, sink: &mut Sink<'_>) -> Urlencoded {
    let mut outcome = Urlencoded::default();
    let (mut name_buffer, mut value_buffer) = (Vec::new(), Vec::new());
    if input.is_empty() {
        return outcome;
    }
    let input = input.strip_suffix(&[separator]).unwrap_or(input);
    for piece in input.split(|byte| *byte == separator) {
        let (name, value) = split_pair(piece);
        let name = decoded(name, &mut name_buffer, &mut outcome.invalid_escape);
        let value = decoded(value, &mut value_buffer, &mut outcome.invalid_escape);
        if sink(name, value) == ControlFlow::Break(()) {
            outcome.stopped = true;
            break;
        }
    }
    outcome
}

/// Name and value around the first `=`.
pub(super) fn split_pair(piece: &[u8]) -> (&[u8], &[u8]) {
    piece
        .iter()
        .position(|byte| *byte == b'=')
        .and_then(|at| Some((piece.get(..at)?, piece.get(at + 1..)?)))
        .unwrap_or((piece, b""))
}

fn decoded<'a>(raw: &'a [u8], buffer: &'a mut Vec<u8>, bad: &mut bool) -> &'a [u8] {
    if percent::is_plain(raw) {
        return raw;
    }
    buffer.clear();
    *bad |= percent::decode(raw, Plus::Space, buffer);
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::testing::{collect, pairs};

    #[test]
    fn arguments_are_read_as_modsecurity_v3_reads_them() {
        let cases: &[(&str, &[(&str, &str)])] = &[
            ("a=1&b=2", &[("a", "1"), ("b", "2")]),
            ("a=1&a=2", &[("a", "1"), ("a", "2")]),
            ("a&&b", &[("a", ""), ("", ""), ("b", "")]),
            ("&a", &[("", ""), ("a", "")]),
            ("a=1&", &[("a", "1")]),
            ("a=b=c", &[("a", "b=c")]),
            ("=payload", &[("", "payload")]),
            ("a=1;b=2", &[("a", "1;b=2")]),
            ("q=a+b%20c", &[("q", "a b c")]),
            ("a%3Db=c%26d", &[("a=b", "c&d")]),
            ("%61%5b%5d=x", &[("a[]", "x")]),
            ("a=%2541", &[("a", "%41")]),
            ("", &[]),
        ];
        for (input, expected) in cases {
            let (found, outcome) = collect(|sink| parse(input.as_bytes(), b'&', sink));
            assert_eq!(found, pairs(expected), "{input}");
            assert_eq!(outcome, Urlencoded::default(), "{input}");
        }
    }

    /// Found by fuzzing: the separator was taken for the end of nothing.
    #[test]
    fn a_lone_separator_is_one_argument_without_a_name() {
        let (found, _) = collect(|sink| parse(b"&", b'&', sink));
        assert_eq!(found, pairs(&[("", "")]));
    }

    #[test]
    fn a_bad_escape_is_flagged_and_drops_nothing() {
        let (found, outcome) = collect(|sink| parse(b"a=%zz<script>&b=1", b'&', sink));
        assert_eq!(found, pairs(&[("a", "%zz<script>"), ("b", "1")]));
        assert!(outcome.invalid_escape);
        let (_, outcome) = collect(|sink| parse(b"a=100%25&b=1", b'&', sink));
        assert!(!outcome.invalid_escape);
    }

    #[test]
    fn the_separator_is_configurable() {
        let (found, _) = collect(|sink| parse(b"a=1;b=2&c", b';', sink));
        assert_eq!(found, pairs(&[("a", "1"), ("b", "2&c")]));
    }

    #[test]
    fn a_limit_stops_the_parser_and_not_only_the_count() {
        let input = b"a=1&".repeat(1_000_000);
        let mut seen = 0;
        let outcome = parse(&input, b'&', &mut |_, _| {
            seen += 1;
            if seen == 1000 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        assert!(outcome.stopped);
        assert_eq!(seen, 1000);
    }

    #[test]
    fn every_prefix_is_read_without_losing_a_byte_class() {
        let sample = b"a=%41&&b=%zz&=c&d+e=%2&%";
        for end in 0..=sample.len() {
            collect(|sink| parse(&sample[..end], b'&', sink));
        }
    }
}
