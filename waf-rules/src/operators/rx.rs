//! `@rx`, `@rxGlobal`: the value holds a match of the pattern. Semantics stand in `crate::regex`.
//!
//! A pattern with macros is compiled from its expanded text, which libmodsecurity does too; text that
//! does not compile then never matches. Captures: the groups that took part in the match, `TX:0` the
//! whole of it; `@rxGlobal` numbers the groups of all its matches one after the other.

use std::sync::Arc;

use super::places::{PLACES, place};
use super::{Captures, Prefilter, has_macro};
use crate::regex::{Budget, Pattern, PatternCache};

#[derive(Debug)]
pub(super) enum Rx {
    Fixed(Pattern),
    Macro(PatternCache),
}

impl Rx {
    pub(super) fn compile(argument: &str) -> Result<Self, String> {
        if has_macro(argument) {
            Ok(Self::Macro(PatternCache::default()))
        } else {
            Pattern::new(argument).map(Self::Fixed)
        }
    }

    pub(super) fn takes_macro(&self) -> bool {
        matches!(self, Self::Macro(_))
    }

    /// True if the pattern cannot be matched in linear time.
    pub(super) fn backtracks(&self) -> bool {
        matches!(self, Self::Fixed(pattern) if pattern.backtracks())
    }

    pub(super) fn matches(
        &self,
        value: &[u8],
        argument: &[u8],
        captures: Option<&mut Captures>,
        budget: &mut Budget,
    ) -> bool {
        self.with_pattern(argument, |pattern| match captures {
            None => pattern.is_match_within(value, budget),
            Some(captures) => pattern
                .captures_within(value, 0, budget, |group, bytes| captures.set(group, bytes))
                .is_some(),
        })
    }

    /// As [`Rx::matches`], over every match of the value.
    pub(super) fn matches_all(
        &self,
        value: &[u8],
        argument: &[u8],
        captures: Option<&mut Captures>,
        budget: &mut Budget,
    ) -> bool {
        let Some(captures) = captures else {
            return self.matches(value, argument, None, budget);
        };
        self.with_pattern(argument, |pattern| {
            let (mut start, mut number) = (0, 0);
            // More groups than `Captures` holds would be dropped: stop looking.
            while number < Captures::MAX {
                let first = number;
                let found = pattern.captures_within(value, start, budget, |group, bytes| {
                    captures.set(first + group, bytes);
                    number = first + group + 1;
                });
                let Some(found) = found else {
                    break;
                };
                number = number.max(first + 1);
                start = found.end() + usize::from(found.is_empty());
            }
            number > 0
        })
    }

    /// Where the groups of the match, or of all matches, lie in `value`.
    pub(super) fn places(
        &self,
        value: &[u8],
        argument: &[u8],
        all: bool,
        budget: &mut Budget,
    ) -> Vec<(usize, usize)> {
        let mut places = Vec::new();
        self.with_pattern(argument, |pattern| {
            let mut start = 0;
            while places.len() < PLACES && !budget.is_spent() {
                let found = pattern.captures_within(value, start, budget, |_, bytes| {
                    places.push(place(value, bytes));
                });
                let Some(found) = found.filter(|_| all) else {
                    break;
                };
                start = found.end() + usize::from(found.is_empty());
            }
            true
        });
        places
    }

    pub(super) fn pattern(&self) -> Option<&Pattern> {
        match self {
            Self::Fixed(pattern) => Some(pattern),
            Self::Macro(_) => None,
        }
    }

    pub(super) fn prefilter(&self) -> Option<Prefilter> {
        match self {
            Self::Fixed(pattern) => Prefilter::from(pattern.requirements()).useful(),
            Self::Macro(_) => None,
        }
    }

    fn with_pattern(&self, argument: &[u8], ask: impl FnOnce(&Pattern) -> bool) -> bool {
        match self {
            Self::Fixed(pattern) => ask(pattern),
            Self::Macro(cache) => {
                let expanded: Option<Arc<Pattern>> = std::str::from_utf8(argument)
                    .ok()
                    .and_then(|text| cache.pattern(text));
                expanded.is_some_and(|pattern| ask(&pattern))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Step = fn(&Rx, &[u8], &[u8], Option<&mut Captures>, &mut Budget) -> bool;

    fn run(step: Step, rx: &Rx, value: &str) -> Vec<(usize, String)> {
        let mut captures = Captures::default();
        let budget = &mut Budget::default();
        assert!(step(rx, value.as_bytes(), b"", Some(&mut captures), budget));
        captures
            .iter()
            .map(|(group, bytes)| (group, String::from_utf8_lossy(bytes).into_owned()))
            .collect()
    }

    #[test]
    fn groups_that_took_no_part_are_not_written() {
        let rx = Rx::compile("(a)|(b)").expect("valid");
        assert_eq!(
            run(Rx::matches, &rx, "xb"),
            [(0, "b".into()), (2, "b".into())]
        );
    }

    #[test]
    fn every_match_is_numbered_on() {
        let rx = Rx::compile("([a-z])\\d").expect("valid");
        let expected = ["a1", "a", "b2", "b"].map(str::to_owned);
        let found = run(Rx::matches_all, &rx, "a1 b2");
        assert!(found.into_iter().eq(expected.into_iter().enumerate()));
        let budget = &mut Budget::default();
        assert!(!rx.matches_all(b"1a", b"", Some(&mut Captures::default()), budget));
    }

    #[test]
    fn look_around_and_back_references_capture_as_others_do() {
        let rx = Rx::compile("(\\w)(\\w)(?!\\1|\\2)").expect("valid");
        assert!(rx.backtracks());
        let expected = ["aa", "a", "a"].map(str::to_owned);
        assert!(
            run(Rx::matches, &rx, "aaba!")
                .into_iter()
                .eq(expected.into_iter().enumerate())
        );
    }

    #[test]
    fn empty_matches_come_to_an_end() {
        let rx = Rx::compile("x*").expect("valid");
        assert_eq!(run(Rx::matches_all, &rx, "ab").len(), 3);
    }

    #[test]
    fn a_pattern_with_a_macro_is_compiled_from_its_expansion() {
        let rx = Rx::compile("^%{tx.name}$").expect("valid");
        assert!(rx.takes_macro() && rx.prefilter().is_none());
        let budget = &mut Budget::default();
        assert!(rx.matches(b"value", b"^value$", None, budget));
        assert!(!rx.matches(b"other", b"^value$", None, budget));
        assert!(!rx.matches(b"(", b"(", None, budget));
        assert!(!Rx::compile("%{2}").expect("valid").takes_macro());
    }
}
