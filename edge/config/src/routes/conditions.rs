//! What a route asks for besides host and path: method, header fields, query parameters.
//!
//! A field or parameter that occurs several times matches if one of its values does. Expressions
//! run in linear time and have to match the whole value.

use std::borrow::Cow;

use edge_core::Head;
use regex_automata::meta::Regex;
use regex_automata::util::syntax;

use super::path::hex;

/// Compiled size of one expression.
const MAX_REGEX: usize = 1 << 20;
/// Longest expression in a file.
const MAX_PATTERN: usize = 4096;

/// Conditions of one route; all must hold.
#[derive(Debug, Clone, Default)]
pub(crate) struct Conditions {
    pub(crate) methods: Vec<String>,
    pub(crate) headers: Vec<(String, Matcher)>,
    pub(crate) query: Vec<(String, Matcher)>,
}

/// A condition on one value.
#[derive(Debug, Clone)]
pub(crate) enum Matcher {
    Exact(String),
    Regex(Regex),
}

impl Conditions {
    /// The more specific a route, the greater: method, then header count, then query count.
    pub(crate) fn rank(&self) -> (bool, usize, usize) {
        (
            !self.methods.is_empty(),
            self.headers.len(),
            self.query.len(),
        )
    }

    pub(crate) fn hold(&self, head: &Head) -> bool {
        let method = self.methods.is_empty()
            || self
                .methods
                .iter()
                .any(|method| method.as_bytes() == head.method());
        method
            && self
                .headers
                .iter()
                .all(|(name, matcher)| head.values(name).any(|value| matcher.is_match(value)))
            && self
                .query
                .iter()
                .all(|(name, matcher)| has_parameter(head.query(), name, matcher))
    }
}

impl Matcher {
    pub(crate) fn is_match(&self, value: &[u8]) -> bool {
        match self {
            Self::Exact(text) => text.as_bytes() == value,
            Self::Regex(regex) => regex.is_match(value),
        }
    }
}

/// Compiles an expression that must match a whole value; the error never repeats it.
pub(crate) fn whole(pattern: &str) -> Result<Regex, &'static str> {
    if pattern.len() > MAX_PATTERN {
        return Err("the regular expression is longer than 4096 bytes");
    }
    // Alone first: `a)|(b` must not become valid by the parentheses put around it.
    compile(pattern)?;
    // A comment of `(?x)` that swallows the closing parenthesis makes this an error, never a way out.
    compile(&format!("\\A(?:{pattern})\\z"))
}

fn compile(pattern: &str) -> Result<Regex, &'static str> {
    Regex::builder()
        .configure(Regex::config().nfa_size_limit(Some(MAX_REGEX)))
        .syntax(syntax::Config::new().utf8(false))
        .build(pattern)
        .map_err(|error| {
            if error.size_limit().is_some() {
                "the regular expression is too large"
            } else {
                "not a valid regular expression"
            }
        })
}

fn has_parameter(query: Option<&[u8]>, name: &str, matcher: &Matcher) -> bool {
    query.is_some_and(|query| {
        query.split(|b| *b == b'&').any(|pair| {
            let (key, value) = match pair.iter().position(|b| *b == b'=') {
                Some(at) => pair.split_at(at),
                None => (pair, &b"="[..]),
            };
            let value = value.get(1..).unwrap_or_default();
            *decoded(key) == *name.as_bytes() && matcher.is_match(&decoded(value))
        })
    })
}

/// Form decoding: `+` is a blank, `%XX` a byte.
fn decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.iter().any(|b| matches!(b, b'%' | b'+')) {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        match (first, tail) {
            (b'+', _) => out.push(b' '),
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    out.push(high << 4 | low);
                    rest = after;
                }
                _ => out.push(b'%'),
            },
            _ => out.push(*first),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_matches_the_whole_value_only() {
        let regex = whole("a|bc").unwrap();
        assert!(regex.is_match(b"a") && regex.is_match(b"bc"));
        assert!(!regex.is_match(b"ab") && !regex.is_match(b"xbc") && !regex.is_match(b"bc\n"));
    }

    #[test]
    fn an_expression_cannot_step_out_of_its_anchors() {
        for pattern in ["a)|(b", "(", "a{100000}{1000}"] {
            assert!(whole(pattern).is_err(), "{pattern}");
        }
        assert!(whole("(?x) a # comment").is_err());
        let spaced = whole("(?x) a | b").unwrap();
        assert!(spaced.is_match(b"a") && !spaced.is_match(b"ab"));
    }

    #[test]
    fn query_parameters_are_compared_decoded() {
        let is = |query: &str, value: &str| {
            has_parameter(Some(query.as_bytes()), "v", &Matcher::Exact(value.into()))
        };
        assert!(is("v=1", "1"));
        assert!(is("x=2&%76=a%20b", "a b"));
        assert!(is("v=2&v=1", "1"));
        assert!(is("v", ""));
        assert!(!is("w=1", "1"));
    }
}
