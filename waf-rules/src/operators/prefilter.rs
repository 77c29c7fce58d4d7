//! What a value must have before an operator is worth running on it.
//!
//! Security argument: a prefilter may only err towards "maybe". Each of its three facts is a
//! *necessary* condition of a match, derived from the compiled operator and never from examples, so
//! that leaving the operator out on their absence cannot lose a match.

use crate::byteset::ByteSet;
use crate::regex::Requirements;

/// Necessary conditions of a match; a value that fails one of them cannot match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prefilter {
    /// The value is at least this long.
    pub(crate) min_len: usize,
    /// The value has a byte of every one of these sets.
    pub(crate) masks: Vec<ByteSet>,
    /// At least one of these occurs in the value, compared without ASCII case. They are stored in
    /// lower case and have two bytes or more.
    pub(crate) literals: Option<Vec<Vec<u8>>>,
}

impl Prefilter {
    /// Nothing is known.
    pub(crate) fn nothing() -> Self {
        Self::of_length(0)
    }

    /// A match has at least this length and nothing else is known.
    pub(super) fn of_length(min_len: usize) -> Self {
        Self {
            min_len,
            masks: Vec::new(),
            literals: None,
        }
    }

    /// A match holds a byte of `mask`.
    pub(super) fn of_mask(mask: ByteSet) -> Self {
        Self {
            masks: vec![mask],
            ..Self::of_length(1)
        }
    }

    /// A match contains one of `literals`, in any ASCII case if `caseless`.
    pub(super) fn of_literals(literals: &[Vec<u8>], caseless: bool) -> Self {
        let min_len = literals.iter().map(Vec::len).min().unwrap_or(0);
        let firsts = literals.iter().filter_map(|literal| literal.first());
        let mask = firsts.fold(ByteSet::EMPTY, |mask, &byte| {
            let folded = [byte.to_ascii_lowercase(), byte.to_ascii_uppercase()];
            mask.union(ByteSet::of(if caseless {
                &folded
            } else {
                std::slice::from_ref(&byte)
            }))
        });
        Self {
            min_len,
            masks: if min_len == 0 { Vec::new() } else { vec![mask] },
            literals: (min_len >= 2).then(|| {
                let mut folded: Vec<_> = literals
                    .iter()
                    .map(|literal| literal.to_ascii_lowercase())
                    .collect();
                folded.sort();
                folded.dedup();
                folded
            }),
        }
    }

    /// The filter itself, unless it lets everything through.
    pub(super) fn useful(self) -> Option<Self> {
        let says_something = self.min_len > 0 || !self.masks.is_empty() || self.literals.is_some();
        says_something.then_some(self)
    }

    /// True if `value` may match: the slow, obvious reading that the engine's bulk scan must equal.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn admits(&self, value: &[u8]) -> bool {
        let present = ByteSet::of(value);
        let occurs = |literal: &Vec<u8>| {
            value
                .windows(literal.len())
                .any(|window| window.eq_ignore_ascii_case(literal))
        };
        value.len() >= self.min_len
            && self.masks.iter().all(|mask| mask.intersects(present))
            && self
                .literals
                .as_ref()
                .is_none_or(|set| set.iter().any(occurs))
    }
}

impl From<&Requirements> for Prefilter {
    fn from(requirements: &Requirements) -> Self {
        Self {
            min_len: requirements.min_len,
            masks: requirements.masks.clone(),
            literals: requirements.literals.clone(),
        }
    }
}
