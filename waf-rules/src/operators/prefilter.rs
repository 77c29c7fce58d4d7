//! What a value must have before an operator is worth running on it.
//!
//! Security argument: a prefilter may only err towards "maybe". Each of its three facts is a
//! *necessary* condition of a match, derived from the compiled operator and never from examples, so
//! that leaving the operator out on their absence cannot lose a match.

use crate::byteset::ByteSet;

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
