//! Several large patterns asked at once, in one pass over a value.
//!
//! The Core Rule Set has families of patterns with thousands of states that no literal announces, and
//! ordinary text passes every other condition of theirs. One automaton for all of them says in the time
//! that one takes that none matches. It may only err towards a match: where one may, or the automaton
//! does not come to an end within its memory, the patterns are asked one by one.

use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::OnceLock;

use regex_automata::hybrid::dfa::{Cache, Config, DFA};
use regex_automata::nfa::thompson;
use regex_automata::util::pool::Pool;
use regex_automata::{Input, MatchKind};
use regex_syntax::hir::Hir;

use super::{MAX_AUTOMATON, Pattern, parse};

/// Patterns that are asked together; the automaton is built when it is first asked.
#[derive(Debug)]
pub(crate) struct Family {
    patterns: Box<[(String, bool)]>,
    searcher: OnceLock<Option<Searcher>>,
}

#[derive(Debug)]
struct Searcher {
    automaton: DFA,
    caches: Pool<Cache, MakeCache>,
}

type MakeCache = Box<dyn Fn() -> Cache + Send + Sync + UnwindSafe + RefUnwindSafe>;

impl Family {
    /// Most patterns of one family.
    pub(crate) const MOST: usize = 8;

    /// The family of `patterns`, the first [`Family::MOST`] of them.
    pub(crate) fn new(patterns: &[&Pattern]) -> Self {
        let patterns = patterns.iter().take(Self::MOST);
        Self {
            patterns: patterns
                .map(|pattern| (pattern.rewritten.clone(), pattern.caseless))
                .collect(),
            searcher: OnceLock::new(),
        }
    }

    /// False if none of the patterns matches anywhere in `value`.
    pub(crate) fn may_match(&self, value: &[u8]) -> bool {
        let Some(searcher) = self.searcher.get_or_init(|| self.build()) else {
            return true;
        };
        let input = Input::new(value).earliest(true);
        let found = searcher
            .automaton
            .try_search_fwd(&mut searcher.caches.get(), &input);
        found.map_or(true, |found| found.is_some())
    }

    fn build(&self) -> Option<Searcher> {
        let hirs = self
            .patterns
            .iter()
            .map(|(pattern, caseless)| parse(pattern, *caseless).ok());
        let hirs: Vec<Hir> = hirs.collect::<Option<_>>()?;
        let states = thompson::Config::new()
            .utf8(false)
            .nfa_size_limit(Some(MAX_AUTOMATON))
            .which_captures(thompson::WhichCaptures::None);
        let nfa = thompson::Compiler::new()
            .configure(states)
            .build_many_from_hir(&hirs)
            .ok()?;
        // Gives up where ever new states make it slower than the patterns alone.
        let config = Config::new()
            .match_kind(MatchKind::All)
            .cache_capacity(CACHE)
            .skip_cache_capacity_check(true)
            .minimum_cache_clear_count(Some(3))
            .minimum_bytes_per_state(Some(10));
        let automaton = DFA::builder().configure(config).build_from_nfa(nfa).ok()?;
        let maker = automaton.clone();
        let make: MakeCache = Box::new(move || maker.create_cache());
        Some(Searcher {
            automaton,
            caches: Pool::new(make),
        })
    }
}

impl Pattern {
    /// True if the pattern is large, and nothing but asking it tells where it does not match.
    pub(crate) fn joins_a_family(&self) -> bool {
        self.rewritten.len() >= LARGE
            && self.requirements.literals.is_none()
            && !self.may_match_after_last_line
            && !self.backtracks()
    }
}

const LARGE: usize = 512;
/// What a thread's search may remember of its automaton.
const CACHE: usize = 2 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn family(patterns: &[&str]) -> Family {
        let patterns: Vec<_> = patterns
            .iter()
            .map(|pattern| Pattern::new(pattern).expect("valid"))
            .collect();
        Family::new(&patterns.iter().collect::<Vec<_>>())
    }

    #[test]
    fn a_value_that_any_pattern_matches_is_told_from_one_that_none_does() {
        let family = family(&["(?i)un+ion", "a.{3}b", "^x$", "z\\b"]);
        for value in ["all UNNION", "xa123bx", "first\nx\nlast", "jazz!"] {
            assert!(family.may_match(value.as_bytes()), "{value}");
        }
        for value in ["", "uion", "a12b", "first\nxx\nlast", "zebra"] {
            assert!(!family.may_match(value.as_bytes()), "{value}");
        }
    }

    #[test]
    fn an_automaton_that_outgrows_its_memory_says_nothing() {
        let pattern = "(?:a|b)*a(?:a|b){14}c";
        let family = family(&[pattern, "(?:a|b)*b(?:a|b){15}c"]);
        let mut state = 1_u32;
        let value: Vec<u8> = (0..200_000)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                b"ab"[(state >> 16) as usize % 2]
            })
            .collect();
        assert!(family.may_match(&value));
        assert!(!Pattern::new(pattern).expect("valid").is_match(&value));
    }
}
