//! Where in a value an operator found what it looks for: the `o` of the audit log's `[ref]`.
//!
//! As libmodsecurity prints it, which also decides which operators have a place at all. Worked out
//! again for a match that is logged; never on the way of a request.

use memchr::memmem;

use super::text::Text;
use super::{Kind, Operator};
use crate::regex::Budget;

/// Offset and length.
type Place = (usize, usize);

impl Operator {
    /// The places in a `value` that matched.
    pub(crate) fn places(&self, value: &[u8], argument: &[u8], budget: &mut Budget) -> Vec<Place> {
        match &self.kind {
            Kind::Rx(rx) => rx.places(value, argument, false, budget),
            Kind::RxGlobal(rx) => rx.places(value, argument, true, budget),
            Kind::Phrases(phrases) => phrases.place(value).into_iter().collect(),
            Kind::Text(text) => in_text(*text, value, argument).into_iter().collect(),
            Kind::ValidateByteRange(allowed) => {
                let bytes = value.iter().enumerate();
                let outside = bytes.filter(|(_, byte)| !allowed.contains(**byte));
                outside.map(|(at, _)| (at, 1)).take(PLACES).collect()
            }
            Kind::ValidateUrlEncoding => {
                let bad = memchr::memchr_iter(b'%', value).find(|at| {
                    let digits = value.get(at + 1..at + 3);
                    !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
                });
                bad.map(|at| (at, value.len())).into_iter().collect()
            }
            Kind::ValidateUtf8Encoding => match std::str::from_utf8(value) {
                Ok(_) => Vec::new(),
                Err(error) => vec![(error.valid_up_to(), value.len())],
            },
            _ => Vec::new(),
        }
    }
}

fn in_text(text: Text, value: &[u8], argument: &[u8]) -> Option<Place> {
    match text {
        Text::BeginsWith => Some((0, argument.len())),
        Text::Contains => memmem::find(value, argument).map(|at| (at, argument.len())),
        Text::EndsWith => Some((value.len().checked_sub(argument.len())?, argument.len())),
        Text::Within => memmem::find(argument, value).map(|at| (at, value.len())),
        _ => None,
    }
}

/// Where `part`, a part of `value`, lies in it.
pub(super) fn place(value: &[u8], part: &[u8]) -> Place {
    let offset = part.as_ptr().addr().saturating_sub(value.as_ptr().addr());
    (offset.min(value.len()), part.len())
}

/// Most places that are told.
pub(super) const PLACES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn places(name: &str, argument: &str, value: &str) -> Vec<Place> {
        let operator = Operator::compile(name, argument, &mut |_| Err(String::new())).unwrap();
        operator.places(
            value.as_bytes(),
            argument.as_bytes(),
            &mut Budget::default(),
        )
    }

    #[test]
    fn places_are_those_of_libmodsecurity() {
        assert_eq!(places("rx", "(?i)(B)|(zz)|(c)", "abcd"), [(1, 1), (1, 1)]);
        let each = [(0, 1), (0, 1), (1, 1), (1, 1)];
        assert_eq!(places("rxGlobal", "([a-b])", "abc"), each);
        assert_eq!(places("pm", "foo bar", "xxFOO"), [(2, 3)]);
        assert_eq!(places("beginsWith", "ab", "abcd"), [(0, 2)]);
        assert_eq!(places("contains", "bc", "abcd"), [(1, 2)]);
        assert_eq!(places("endsWith", "cd", "abcd"), [(2, 2)]);
        assert_eq!(places("within", "xabcdx", "abcd"), [(1, 4)]);
        assert_eq!(
            places("validateByteRange", "32-126", "\u{1}a\u{2}"),
            [(0, 1), (2, 1)]
        );
        assert_eq!(places("validateUrlEncoding", "", "%zz"), [(0, 3)]);
        assert_eq!(places("streq", "a", "a"), []);
    }
}
