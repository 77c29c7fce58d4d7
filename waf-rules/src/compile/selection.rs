//! Which rules a removal, an update or a `ctl` means.

use std::ops::RangeInclusive;

use super::draft::Draft;

/// Rules by identifier, tag or message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Selection {
    Ids(Vec<RangeInclusive<u64>>),
    /// Exactly this tag, as written.
    Tag(String),
    /// Exactly this message, as written.
    Msg(String),
}

impl Selection {
    /// Reads `1-5 9, 12`.
    pub(crate) fn ids<'a>(words: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let mut ranges = Vec::new();
        for item in words
            .flat_map(|word| word.split([' ', '\t', ',']))
            .filter(|item| !item.is_empty())
        {
            let (from, to) = item.split_once('-').unwrap_or((item, item));
            match (from.trim().parse::<u64>(), to.trim().parse::<u64>()) {
                (Ok(from), Ok(to)) if from <= to => ranges.push(from..=to),
                _ => return Err(format!("`{item}` is no rule identifier or range")),
            }
        }
        if ranges.is_empty() {
            return Err("expected a rule identifier or a range".to_owned());
        }
        Ok(Self::Ids(ranges))
    }

    /// True if `draft` is meant.
    pub(crate) fn means(&self, draft: &Draft) -> bool {
        match self {
            Self::Ids(ranges) => ranges.iter().any(|range| range.contains(&draft.id)),
            Self::Tag(tag) => draft.actions.tags.iter().any(|own| own.written == *tag),
            Self::Msg(msg) => draft
                .actions
                .msg
                .as_ref()
                .is_some_and(|own| own.written == *msg),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_and_ranges_are_read_and_nonsense_is_refused() {
        assert_eq!(
            Selection::ids(["1-5", "9,12"].into_iter()),
            Ok(Selection::Ids(vec![1..=5, 9..=9, 12..=12]))
        );
        assert!(Selection::ids(["9-5"].into_iter()).is_err());
        assert!(Selection::ids(["x"].into_iter()).is_err());
        assert!(Selection::ids([""].into_iter()).is_err());
    }
}
