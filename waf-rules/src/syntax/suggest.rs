//! "Did you mean": the nearest known name to an unknown one.

/// A help line naming the candidate nearest to `unknown`, if one is near enough to be meant.
pub(crate) fn did_you_mean<'a>(
    unknown: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<String> {
    let unknown = unknown.to_ascii_lowercase();
    let limit = (unknown.len() / 3).clamp(1, 3);
    candidates
        .map(|known| (distance(&unknown, &known.to_ascii_lowercase()), known))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, known)| format!("did you mean `{known}`?"))
}

/// Levenshtein distance. Both names come from a rule file's author, not from the network.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, to) in row.iter_mut().skip(1).zip(b.bytes()) {
            let best = (diagonal + usize::from(from != to))
                .min(left + 1)
                .min(*cell + 1);
            diagonal = *cell;
            *cell = best;
            left = best;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_a_foreign_word_is_not() {
        let known = ["SecRule", "SecAction", "SecMarker"];
        assert_eq!(
            did_you_mean("secrul", known.into_iter()).as_deref(),
            Some("did you mean `SecRule`?")
        );
        assert_eq!(did_you_mean("Location", known.into_iter()), None);
    }

    #[test]
    fn the_distance_counts_edits() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("same", "same"), 0);
    }
}
