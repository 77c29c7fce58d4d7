//! Values inside values: JSON in a form field or a JSON string, base64, percent-encoding once more.
//!
//! A backend that decodes a value again sees what no rule has seen. Where a rule set asks for it, each
//! decoded form becomes an argument of its own, `q.base64`, `q.url`, `q.json.a.0`, beside the value it
//! came from, and is looked at in turn.
//!
//! It may miss what is no text: bytes that come out of base64 as anything but printable UTF-8 are taken
//! for a key, a hash or a file, since every identifier of letters and digits is base64 of something.
//! Nothing that is decoded is ever an error; only the limits are.

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
    let mut found = Found {
        pairs: Vec::new(),
        limits,
    };
    let mut stopped = found.inside(name, value, kinds, naming).err();
    // Depth first: what waits is never more than the limits leave room for.
    let mut waiting = Vec::new();
    found.queue(1, &mut waiting);
    while let Some((depth, (name, value))) = waiting.pop() {
        if sink(&name, &value).is_break() {
            return Err(BodyError::limit(0, "too many arguments"));
        }
        // After a limit nothing more is decoded; what has been is still handed out.
        if stopped.is_none() && depth < found.limits.depth {
            stopped = found.inside(&name, &value, kinds, naming).err();
            found.queue(depth + 1, &mut waiting);
        }
    }
    stopped.map_or(Ok(()), Err)
}

type Pair = (Vec<u8>, Vec<u8>);

/// What one decoding gives; everything in it has been taken off the limits before it was copied.
struct Found<'l> {
    pairs: Vec<Pair>,
    limits: &'l mut Limits,
}

impl Found<'_> {
    /// Moves what was found on top of what waits, the first of it uppermost.
    fn queue(&mut self, depth: usize, waiting: &mut Vec<(usize, Pair)>) {
        waiting.extend(self.pairs.drain(..).rev().map(|pair| (depth, pair)));
    }

    /// Decodes `value` once.
    fn inside(
        &mut self,
        name: &[u8],
        value: &[u8],
        kinds: Kinds,
        naming: Naming,
    ) -> Result<(), BodyError> {
        let trimmed = value.trim_ascii();
        if kinds.json && matches!(trimmed, [b'{' | b'[', ..]) {
            self.json(name, trimmed, naming)?;
        }
        if kinds.url && value.contains(&b'%') {
            let mut decoded = Vec::with_capacity(value.len());
            percent::decode(value, Plus::Literal, &mut decoded);
            if decoded != value {
                self.push(name, b".url", decoded)?;
            }
        }
        if kinds.base64
            && let Some(decoded) = base64_text(trimmed)
        {
            self.push(name, b".base64", decoded)?;
        }
        Ok(())
    }

    /// The leaves of JSON. Prose in brackets is no error, and what stands before its end has been
    /// handed out; what a limit kept from being read is one.
    fn json(&mut self, name: &[u8], value: &[u8], naming: Naming) -> Result<(), BodyError> {
        let root = [name, b".json"].concat();
        let Self { pairs, limits, .. } = self;
        let mut refused = None;
        let outcome =
            json::parse_as(
                &root,
                value,
                limits.json,
                naming,
                &mut |name, value| match limits.take(name.len() + value.len()) {
                    Ok(()) => {
                        pairs.push((name.to_vec(), value.to_vec()));
                        ControlFlow::Continue(())
                    }
                    Err(error) => {
                        refused = Some(error);
                        ControlFlow::Break(())
                    }
                },
            );
        match (refused, outcome) {
            (Some(error), _) => Err(error),
            (None, Err(error)) if error.limit => Err(error),
            _ => Ok(()),
        }
    }

    fn push(&mut self, name: &[u8], suffix: &[u8], value: Vec<u8>) -> Result<(), BodyError> {
        self.limits.take(name.len() + suffix.len() + value.len())?;
        self.pairs.push(([name, suffix].concat(), value));
        Ok(())
    }
}

impl Limits {
    /// Makes room for one argument with so many bytes of name and value.
    fn take(&mut self, size: usize) -> Result<(), BodyError> {
        let Some(arguments) = self.arguments.checked_sub(1) else {
            return Err(BodyError::limit(0, "too many nested arguments"));
        };
        let Some(bytes) = self.bytes.checked_sub(size) else {
            return Err(BodyError::limit(0, "nested arguments are too long"));
        };
        (self.arguments, self.bytes) = (arguments, bytes);
        Ok(())
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
    fn what_waits_has_been_counted_before_it_is_copied() {
        // 100 kB of a long name over lists in a list once held 780 MB before the first was refused.
        let inner = format!("\"[{}1]\"", "1,".repeat(199));
        let value = format!("[{}1]", format!("{inner},").repeat(195));
        let name = vec![b'n'; 20_000];
        let mut limits = Limits {
            arguments: 100_000,
            bytes: 4 << 20,
            ..limits()
        };
        let mut bytes = 0;
        let outcome = decode(
            &name,
            value.as_bytes(),
            ALL,
            &mut limits,
            Naming::Coraza,
            &mut |name, value| {
                bytes += name.len() + value.len();
                ControlFlow::Continue(())
            },
        );
        assert_eq!(outcome.unwrap_err().reason, "nested arguments are too long");
        assert!(bytes <= 4 << 20, "{bytes}");
        // The same lists under a short name are read to the end of what they may be.
        let (found, outcome) = read("[\"[1,1]\",\"[1,1]\"]");
        assert_eq!((found.len(), outcome), (9, Ok(())));
    }

    #[test]
    fn a_bomb_of_brackets_is_told_from_prose_in_brackets() {
        let bomb = format!("{{\"a\":{}\"<script>\"", "[".repeat(2000));
        let (_, outcome) = read(&bomb);
        assert_eq!(outcome.unwrap_err().reason, "JSON is too deep");
        let names = format!("[{}1]", "{\"k\":".repeat(1025));
        assert_eq!(read(&names).1.unwrap_err().reason, "JSON is too deep");
        for prose in ["[[[see]]] above", "{ok} [1, 2, and so on", "[[[[[[[["] {
            assert_eq!(read(prose).1, Ok(()), "{prose}");
        }
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
