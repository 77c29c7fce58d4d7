//! Values inside values: JSON in a form field or a JSON string, base64, percent-encoding once more.
//!
//! A backend that decodes a value again sees what no rule has seen. Where a rule set asks for it, each
//! decoded form becomes an argument of its own, `q.base64`, `q.url`, `q.json.a.0`, beside the value it
//! came from, and is looked at in turn.
//!
//! It may miss what is no text: bytes that come out of base64 as anything but printable UTF-8 are taken
//! for a key, a hash or a file, since every identifier of letters and digits is base64 of something.
//! Nothing that is decoded is ever an error; only the limits are.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::json::{self, Naming};
use super::percent::{self, Plus};
use super::{BodyError, Sink};

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Kinds {
    pub(crate) json: bool,
    pub(crate) base64: bool,
    pub(crate) url: bool,
}

impl Kinds {
    /// Nothing is looked for.
    pub(crate) const fn is_empty(self) -> bool {
        !(self.json || self.base64 || self.url)
    }

    /// `Off`, or any of `json`, `base64` and `url`.
    pub(crate) fn read<'w>(words: impl Iterator<Item = &'w str>) -> Result<Self, String> {
        let mut kinds = Self::default();
        let words: Vec<_> = words.map(str::to_ascii_lowercase).collect();
        if words == ["off"] {
            return Ok(kinds);
        }
        for word in &words {
            match word.as_str() {
                "json" => kinds.json = true,
                "base64" => kinds.base64 = true,
                "url" => kinds.url = true,
                _ => return Err(EXPECTED.to_owned()),
            }
        }
        if words.is_empty() {
            return Err(EXPECTED.to_owned());
        }
        Ok(kinds)
    }
}

const EXPECTED: &str = "expected Off, or any of Json, Base64 and Url";

/// What bounds the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Decodings of decodings.
    pub(crate) depth: usize,
    /// Arguments handed out for all values together.
    pub(crate) arguments: usize,
    /// Bytes of their names and values together.
    pub(crate) bytes: usize,
    /// Of each JSON document.
    pub(crate) json: json::Limits,
}

/// Hands to `sink` what stands inside `value`, and takes what it used off `limits`.
///
/// # Errors
/// A limit, or a sink that broke off.
pub(crate) fn decode(
    name: &[u8],
    value: &[u8],
    kinds: Kinds,
    limits: &mut Limits,
    naming: Naming,
    sink: &mut Sink<'_>,
) -> Result<(), BodyError> {
    let mut waiting = VecDeque::new();
    let mut found = Vec::new();
    inside(name, value, kinds, limits.json, naming, &mut found);
    waiting.extend(found.drain(..).map(|inner| (1, inner)));
    while let Some((depth, (name, value))) = waiting.pop_front() {
        let size = name.len() + value.len();
        let reason = if limits.arguments == 0 {
            "too many nested arguments"
        } else if size > limits.bytes {
            "nested arguments are too long"
        } else if sink(&name, &value).is_break() {
            "too many arguments"
        } else {
            limits.arguments -= 1;
            limits.bytes -= size;
            if depth < limits.depth {
                inside(&name, &value, kinds, limits.json, naming, &mut found);
                waiting.extend(found.drain(..).map(|inner| (depth + 1, inner)));
            }
            continue;
        };
        return Err(BodyError::new(0, reason));
    }
    Ok(())
}

type Pair = (Vec<u8>, Vec<u8>);

/// What one decoding of `value` gives.
fn inside(
    name: &[u8],
    value: &[u8],
    kinds: Kinds,
    limits: json::Limits,
    naming: Naming,
    found: &mut Vec<Pair>,
) {
    let trimmed = value.trim_ascii();
    if kinds.json && matches!(trimmed, [b'{' | b'[', ..]) {
        // Prose in brackets is no error, and what stands before its end has been handed out.
        let root = [name, b".json"].concat();
        let _ = json::parse_as(&root, trimmed, limits, naming, &mut |name, value| {
            found.push((name.to_vec(), value.to_vec()));
            ControlFlow::Continue(())
        });
    }
    if kinds.url && value.contains(&b'%') {
        let mut decoded = Vec::with_capacity(value.len());
        percent::decode(value, Plus::Literal, &mut decoded);
        if decoded != value {
            found.push(([name, b".url"].concat(), decoded));
        }
    }
    if kinds.base64
        && let Some(decoded) = base64_text(trimmed)
    {
        found.push(([name, b".base64"].concat(), decoded));
    }
}

/// The text that `value` is the base64 of; a `data:` URL's content too.
fn base64_text(value: &[u8]) -> Option<Vec<u8>> {
    let mut coded = value;
    if value.get(..5)?.eq_ignore_ascii_case(b"data:") {
        let start = memchr::memmem::find(value, b";base64,")?;
        coded = value.get(start + 8..)?;
    }
    let is_coded = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/-_=".contains(byte);
    if coded.len() < SHORTEST || !coded.iter().all(is_coded) {
        return None;
    }
    let plain: Vec<u8> = coded
        .iter()
        .map(|byte| match byte {
            b'-' => b'+',
            b'_' => b'/',
            other => *other,
        })
        .collect();
    let decoded = FORGIVING.decode(plain).ok()?;
    let text = std::str::from_utf8(&decoded).ok()?;
    let is_text = |c: char| !c.is_control() || matches!(c, '\t' | '\n' | '\r');
    text.chars().all(is_text).then_some(decoded)
}

/// Shorter values hold no payload and are too often words.
const SHORTEST: usize = 8;

/// Backends differ in whether they want the padding and look at the bits behind the end.
const FORGIVING: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::testing::{Pairs, collect, pairs};

    const ALL: Kinds = Kinds {
        json: true,
        base64: true,
        url: true,
    };

    fn limits() -> Limits {
        Limits {
            depth: 3,
            arguments: 100,
            bytes: 10_000,
            json: json::Limits::default(),
        }
    }

    fn read(value: &str) -> (Pairs, Result<(), BodyError>) {
        let mut limits = limits();
        collect(|sink| {
            decode(
                b"q",
                value.as_bytes(),
                ALL,
                &mut limits,
                Naming::Coraza,
                sink,
            )
        })
    }

    #[test]
    fn values_inside_values_come_out_under_a_longer_name() {
        let cases: &[(&str, &[(&str, &str)])] = &[
            (r#" {"a":["x"]}"#, &[("q.json.a.0", "x"), ("q.json.a", "1")]),
            ("%3Cscript%3E", &[("q.url", "<script>")]),
            ("PHNjcmlwdD4=", &[("q.base64", "<script>")]),
            ("PHNjcmlwdD4", &[("q.base64", "<script>")]),
            (
                "data:text/html;base64,PHNjcmlwdD4=",
                &[("q.base64", "<script>")],
            ),
            (
                "%253Cscript%253E",
                &[("q.url", "%3Cscript%3E"), ("q.url.url", "<script>")],
            ),
            (
                r#"{"a":"PHNjcmlwdD4="}"#,
                &[
                    ("q.json.a", "PHNjcmlwdD4="),
                    ("q.json.a.base64", "<script>"),
                ],
            ),
            (
                "eyJhIjoiJTNDYiUzRSJ9",
                &[
                    ("q.base64", r#"{"a":"%3Cb%3E"}"#),
                    ("q.base64.json.a", "%3Cb%3E"),
                    ("q.base64.url", r#"{"a":"<b>"}"#),
                    ("q.base64.json.a.url", "<b>"),
                    ("q.base64.url.json.a", "<b>"),
                ],
            ),
        ];
        for (value, expected) in cases {
            let (mut found, outcome) = read(value);
            found.sort();
            let mut expected = pairs(expected);
            expected.sort();
            assert_eq!(found, expected, "{value}");
            assert_eq!(outcome, Ok(()));
        }
    }

    #[test]
    fn ordinary_values_hold_nothing() {
        for value in [
            "",
            "hello world",
            "[see above]",
            "{not json}",
            "100%",
            "password",
            "internationalization",
            "0123456789abcdef0123456789abcdef",
            "3f29c1d2-8f4b-4c5e-9f56-0d2c1b7a8e90",
            "SGVsbG8\u{e9}",
            "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ",
        ] {
            assert_eq!(read(value), (Pairs::new(), Ok(())), "{value}");
        }
    }

    #[test]
    fn depth_count_and_size_are_capped() {
        let mut nested = "x%3C".to_owned();
        for _ in 0..6 {
            nested = nested.replace('%', "%25");
        }
        assert_eq!(read(&nested).0.len(), 3);
        let wide = format!("[{}1]", "1,".repeat(200));
        assert_eq!(
            read(&wide).1.unwrap_err().reason,
            "too many nested arguments"
        );
        let long = format!("%41{}", "a".repeat(20_000));
        assert_eq!(
            read(&long).1.unwrap_err().reason,
            "nested arguments are too long"
        );
    }

    #[test]
    fn kinds_are_read_and_checked() {
        assert_eq!(Kinds::read(["Json", "URL", "base64"].into_iter()), Ok(ALL));
        assert!(Kinds::read(["off"].into_iter()).unwrap().is_empty());
        for words in [&["off", "json"][..], &["xml"], &[]] {
            assert!(Kinds::read(words.iter().copied()).is_err(), "{words:?}");
        }
    }
}
