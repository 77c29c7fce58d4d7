//! Parsers of what a request carries: URI, query, form, multipart, JSON, XML, GraphQL, cookies.
//!
//! They share three rules. They never build maps: duplicates are kept and order is wire order, since
//! an evasion often is the member a map would have dropped. They never repair: what two backends could
//! read differently is flagged or is an error, and what was read before it has still been handed out.
//! Limits stop the parser itself, before memory is spent. None recurses, none fetches anything, all are
//! linear in the input.

use std::ops::ControlFlow;

pub(crate) mod cookies;
pub(crate) mod graphql;
pub(crate) mod json;
pub(crate) mod multipart;
pub(crate) mod nested;
mod percent;
pub(crate) mod uri;
pub(crate) mod urlencoded;
pub(crate) mod xml;

/// Receives one name and its value; breaking stops the parser.
pub(crate) type Sink<'s> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 's;

/// Why a body could not be read to its end: the engine's `REQBODY_ERROR`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at byte {offset}")]
pub(crate) struct BodyError {
    /// Where in the body the parser stood.
    pub(crate) offset: usize,
    /// What it did not accept; names the rule, never quotes the input.
    pub(crate) reason: &'static str,
    /// The input ended too early, and nothing else was wrong: harmless where the engine itself cut the
    /// body at its inspection limit, an error otherwise.
    pub(crate) at_end: bool,
    /// A limit stopped the parser: what the rest of the input is, nobody has seen.
    pub(crate) limit: bool,
}

impl BodyError {
    /// Something that no continuation of the input could mend.
    pub(crate) const fn new(offset: usize, reason: &'static str) -> Self {
        Self {
            offset,
            reason,
            at_end: false,
            limit: false,
        }
    }

    /// The input asked for more than the parser spends.
    pub(crate) const fn limit(offset: usize, reason: &'static str) -> Self {
        Self {
            offset,
            reason,
            at_end: false,
            limit: true,
        }
    }

    /// The input ended inside a construct.
    pub(crate) const fn end(offset: usize, reason: &'static str) -> Self {
        Self {
            offset,
            reason,
            at_end: true,
            limit: false,
        }
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! What the parsers' tests share.

    use super::ControlFlow;

    /// Pairs as text, for tables.
    pub(crate) type Pairs = Vec<(String, String)>;

    /// Collects what a parser hands to its sink.
    pub(crate) fn collect<R>(
        run: impl FnOnce(&mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>) -> R,
    ) -> (Pairs, R) {
        let mut pairs = Pairs::new();
        let outcome = run(&mut |name, value| {
            pairs.push((text(name), text(value)));
            ControlFlow::Continue(())
        });
        (pairs, outcome)
    }

    /// Bytes one to one as characters, so that no byte is lost in a comparison.
    pub(crate) fn text(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| char::from(*byte)).collect()
    }

    /// The expected side of a table row.
    pub(crate) fn pairs(expected: &[(&str, &str)]) -> Pairs {
        expected
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }
}
