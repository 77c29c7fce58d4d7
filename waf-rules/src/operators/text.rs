//! `@streq`, `@contains`, `@strmatch`, `@beginsWith`, `@endsWith`, `@within`, `@containsWord`:
//! byte-wise, case-sensitive comparison with the macro-expanded argument.

use memchr::memmem;

use super::Prefilter;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Text {
    BeginsWith,
    Contains,
    ContainsWord,
    EndsWith,
    Streq,
    Within,
}

impl Text {
    pub(super) fn matches(self, value: &[u8], argument: &[u8]) -> bool {
        match self {
            Self::BeginsWith => value.starts_with(argument),
            Self::Contains => memmem::find(value, argument).is_some(),
            Self::ContainsWord => contains_word(value, argument),
            Self::EndsWith => value.ends_with(argument),
            Self::Streq => value == argument,
            Self::Within => memmem::find(argument, value).is_some(),
        }
    }

    /// True if a match means that the argument stands in the value.
    pub(super) fn finds_a_part(self) -> bool {
        self != Self::Within
    }

    /// What a value must have, given that the argument holds no macro.
    pub(super) fn prefilter(self, argument: &str) -> Option<Prefilter> {
        match self {
            Self::Within => None,
            _ => Prefilter::of_literals(&[argument.as_bytes().to_vec()], false).useful(),
        }
    }
}

/// The argument occurs and neither neighbour is an ASCII letter.
fn contains_word(value: &[u8], word: &[u8]) -> bool {
    if word.is_empty() {
        return true;
    }
    // Not `find_iter`: its matches do not overlap, and an overlapping one may be the word.
    let mut from = 0;
    while let Some(at) = value
        .get(from..)
        .and_then(|rest| memmem::find(rest, word))
        .map(|at| from + at)
    {
        let before = at.checked_sub(1).and_then(|before| value.get(before));
        let after = value.get(at + word.len());
        if ![before, after]
            .into_iter()
            .flatten()
            .any(u8::is_ascii_alphabetic)
        {
            return true;
        }
        from = at + 1;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_compares_where_its_name_says() {
        for (operator, hit, miss) in [
            (Text::BeginsWith, "abcd", "xabc"),
            (Text::Contains, "xabcx", "xABCx"),
            (Text::EndsWith, "xabc", "abcd"),
            (Text::Streq, "abc", "abcd"),
            (Text::Within, "b", "abcd"),
            (Text::ContainsWord, "1abc2", "abcd"),
        ] {
            assert!(operator.matches(hit.as_bytes(), b"abc"), "{operator:?}");
            assert!(!operator.matches(miss.as_bytes(), b"abc"), "{operator:?}");
        }
        assert!(Text::Within.matches(b"", b"|GET|"));
    }

    #[test]
    fn a_word_is_found_behind_one_that_only_contains_it() {
        assert!(Text::ContainsWord.matches(b"scat cat", b"cat"));
        assert!(
            Text::ContainsWord.matches(b"xaa-aa", b"aa-aa")
                || Text::ContainsWord.matches(b"xaa aa", b"aa")
        );
    }

    #[test]
    fn the_prefilter_admits_every_match() {
        let filter = Text::Contains.prefilter("aBc").expect("a literal");
        assert!(filter.admits(b"xxaBcxx") && !filter.admits(b"xx"));
        assert_eq!(Text::BeginsWith.prefilter(""), None);
    }
}
