//! Cases that are left out, each with its reason.

/// (file, number in it or none for the whole file, reason).
const TABLE: &[(&str, Option<usize>, &str)] = &[];

/// Why the case is left out, if it is.
pub(super) fn reason(file: &str, number: usize) -> Option<&'static str> {
    TABLE
        .iter()
        .find(|(name, of, _)| *name == file && of.is_none_or(|of| of == number))
        .map(|(_, _, reason)| *reason)
}
