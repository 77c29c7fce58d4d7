//! Regular expressions of rules: PCRE syntax in, linear-time byte matching out.
//!
//! Patterns with look-around or back-references are the exception: `backtrack` matches them within a
//! budget, and whoever loads one is told.
//!
//! A pattern is rewritten, parsed and bounded when the rules load, so every error is reported there;
//! its automaton is built on first use (a rule set holds hundreds and a request needs few). Matching
//! follows libmodsecurity: bytes, DOTALL, MULTILINE, leftmost-first, unanchored.
//!
//! One correction is ours: PCRE's multiline `^` does not match after a final line feed, this engine's
//! does. An empty match at the end of such a value is taken back where `^` is the only assertion that
//! may have caused it; longer matches that end in `^` stay, which errs towards a match.

mod backtrack;
mod class;
mod family;
mod literals;
mod rewrite;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use regex_automata::meta;
use regex_automata::util::captures::Captures as Groups;
use regex_automata::util::prefilter::Prefilter;
use regex_automata::{Input, Match, MatchKind};
use regex_syntax::hir::{Class, Hir, HirKind, Look};

pub(crate) use self::backtrack::Budget;
use self::backtrack::{Backtracker, Tried};
pub(crate) use self::family::Family;
pub(crate) use self::literals::Requirements;

/// A pattern that parsed; its automaton is built when it is first asked.
#[derive(Debug)]
pub(crate) struct Pattern {
    rewritten: String,
    caseless: bool,
    groups: usize,
    /// An empty match after a final line feed may be due to `^` alone.
    may_match_after_last_line: bool,
    requirements: Requirements,
    /// Where the rest describes the relaxed pattern only.
    backtracker: Option<Box<Backtracker>>,
    automaton: OnceLock<Option<meta::Regex>>,
}

impl Pattern {
    /// Checks `pattern`.
    ///
    /// # Errors
    /// What is wrong with it, or which construct cannot be matched in linear time.
    pub(crate) fn new(pattern: &str) -> Result<Self, String> {
        Self::with_case(pattern, false)
    }

    /// Checks `pattern`, to be matched without ASCII case (selectors are).
    ///
    /// # Errors
    /// As [`Pattern::new`].
    pub(crate) fn caseless(pattern: &str) -> Result<Self, String> {
        Self::with_case(pattern, true)
    }

    /// The pattern, in the spelling that is matched.
    pub(crate) fn text(&self) -> &str {
        &self.rewritten
    }

    fn with_case(pattern: &str, caseless: bool) -> Result<Self, String> {
        if pattern.len() > MAX_PATTERN {
            return Err(format!("pattern is longer than {MAX_PATTERN} bytes"));
        }
        let (rewritten, backtracker) = match rewrite::rewrite(pattern) {
            Ok(rewritten) => (rewritten, None),
            Err(reason) => backtracking(pattern, caseless).map_err(|again| {
                format!("pattern cannot be matched in linear time or is wrong: {reason} ({again})")
            })?,
        };
        let hir = parse(&rewritten, caseless)?;
        let size = size(&hir);
        if size > MAX_SIZE {
            return Err(format!(
                "pattern compiles to {size} states, more than {MAX_SIZE}"
            ));
        }
        let looks = hir.properties().look_set();
        Ok(Self {
            caseless,
            groups: backtracker.as_ref().map_or_else(
                || hir.properties().explicit_captures_len(),
                |backtracker| backtracker.groups(),
            ),
            may_match_after_last_line: looks.contains(Look::StartLF)
                && !looks.contains(Look::End)
                && hir.properties().minimum_len().unwrap_or(0) == 0,
            requirements: literals::requirements(&hir),
            rewritten,
            backtracker,
            automaton: OnceLock::new(),
        })
    }

    /// True if matching takes backtracking.
    pub(crate) fn backtracks(&self) -> bool {
        self.backtracker.is_some()
    }

    /// What every match must contain.
    pub(crate) fn requirements(&self) -> &Requirements {
        &self.requirements
    }

    /// True if the pattern matches somewhere in `value`.
    pub(crate) fn is_match(&self, value: &[u8]) -> bool {
        self.is_match_within(value, &mut Budget::default())
    }

    /// As [`Pattern::is_match`], at the expense of `budget`.
    pub(crate) fn is_match_within(&self, value: &[u8], budget: &mut Budget) -> bool {
        let exact = self.may_match_after_last_line && value.ends_with(b"\n");
        if exact || self.backtracks() {
            return self.find_within(value, 0, budget).is_some();
        }
        self.automaton()
            .is_none_or(|automaton| automaton.is_match(value))
    }

    /// The leftmost match that starts at `start` or later.
    pub(crate) fn find_at(&self, value: &[u8], start: usize) -> Option<Match> {
        self.find_within(value, start, &mut Budget::default())
    }

    /// As [`Pattern::find_at`], at the expense of `budget`.
    pub(crate) fn find_within(
        &self,
        value: &[u8],
        start: usize,
        budget: &mut Budget,
    ) -> Option<Match> {
        if let Some(backtracker) = &self.backtracker {
            return self.backtrack_from(backtracker, value, start, budget, |_, _| {});
        }
        self.relaxed_at(value, start)
    }

    /// The leftmost match as the automaton sees it.
    fn relaxed_at(&self, value: &[u8], start: usize) -> Option<Match> {
        let input = input_from(value, start)?;
        let Some(automaton) = self.automaton() else {
            return Some(Match::must(0, start..value.len()));
        };
        let found = automaton.search(&input)?;
        (!self.is_phantom(value, found.range())).then_some(found)
    }

    /// Calls `on_group` with every group of the leftmost match from `start` on that took part in it,
    /// and gives back the whole match.
    pub(crate) fn captures_at(
        &self,
        value: &[u8],
        start: usize,
        on_group: impl FnMut(usize, &[u8]),
    ) -> Option<Match> {
        self.captures_within(value, start, &mut Budget::default(), on_group)
    }

    /// As [`Pattern::captures_at`], at the expense of `budget`.
    pub(crate) fn captures_within(
        &self,
        value: &[u8],
        start: usize,
        budget: &mut Budget,
        mut on_group: impl FnMut(usize, &[u8]),
    ) -> Option<Match> {
        if let Some(backtracker) = &self.backtracker {
            return self.backtrack_from(backtracker, value, start, budget, on_group);
        }
        let (input, Some(automaton)) = (input_from(value, start)?, self.automaton()) else {
            return self.find_at(value, start);
        };
        if self.groups == 0 {
            let found = self.find_at(value, start)?;
            on_group(0, value.get(found.range()).unwrap_or_default());
            return Some(found);
        }
        let mut groups = automaton.create_captures();
        automaton.search_captures(&input, &mut groups);
        let found = groups.get_match()?;
        if self.is_phantom(value, found.range()) {
            return None;
        }
        report(&groups, value, &mut on_group);
        Some(found)
    }

    /// Tries every place where the relaxed pattern matches; a value that takes too long matches as a
    /// whole.
    fn backtrack_from(
        &self,
        backtracker: &Backtracker,
        value: &[u8],
        start: usize,
        budget: &mut Budget,
        mut on_group: impl FnMut(usize, &[u8]),
    ) -> Option<Match> {
        let place = self.relaxed_at(value, start)?;
        let groups = match backtracker.search(value, place.start(), budget) {
            Tried::Failed => return None,
            Tried::Exhausted => return Some(Match::must(0, start..value.len())),
            Tried::Matched(groups) => groups,
        };
        for (number, range) in groups.iter().enumerate() {
            if let Some(bytes) = range.clone().and_then(|range| value.get(range)) {
                on_group(number, bytes);
            }
        }
        let whole = groups.into_iter().next().flatten()?;
        Some(Match::must(0, whole))
    }

    fn is_phantom(&self, value: &[u8], found: std::ops::Range<usize>) -> bool {
        self.may_match_after_last_line
            && found.is_empty()
            && found.end == value.len()
            && value.ends_with(b"\n")
    }

    /// The automaton; none if it could not be built. [`MAX_SIZE`] keeps far below the builder's own
    /// limits, so that cannot happen, and if it does the pattern counts as matching: fail closed.
    fn automaton(&self) -> Option<&meta::Regex> {
        self.automaton
            .get_or_init(|| build(&self.rewritten, self.caseless).ok())
            .as_ref()
    }
}

/// Patterns with macros in them, compiled once per expanded text.
///
/// Bounded: macros may hold what a client sent.
#[derive(Debug, Default)]
pub(crate) struct PatternCache {
    recent: Mutex<VecDeque<Known>>,
}

/// An expanded text and its pattern; none if it does not compile.
type Known = (Box<str>, Option<Arc<Pattern>>);

impl PatternCache {
    /// The pattern of `text`; none if it does not compile, which never matches.
    pub(crate) fn pattern(&self, text: &str) -> Option<Arc<Pattern>> {
        if let Some((_, known)) = self.lock().iter().find(|(known, _)| **known == *text) {
            return known.clone();
        }
        // Compiled outside the lock: two threads may do the work twice, none waits for it.
        let pattern = Pattern::new(text).ok().map(Arc::new);
        let mut recent = self.lock();
        if recent.len() >= MAX_CACHED {
            recent.pop_front();
        }
        recent.push_back((text.into(), pattern.clone()));
        pattern
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Known>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn input_from(value: &[u8], start: usize) -> Option<Input<'_>> {
    (start <= value.len()).then(|| Input::new(value).range(start..))
}

/// The relaxed spelling of a pattern that takes backtracking, and what does that.
fn backtracking(
    pattern: &str,
    caseless: bool,
) -> Result<(String, Option<Box<Backtracker>>), String> {
    let hir = parse(&rewrite::marked(pattern)?, caseless)?;
    let backtracker = Backtracker::new(&hir)?;
    let relaxed = backtracker.relaxed().to_string();
    Ok((relaxed, Some(Box::new(backtracker))))
}

fn report(groups: &Groups, value: &[u8], on_group: &mut impl FnMut(usize, &[u8])) {
    for (group, span) in groups.iter().enumerate() {
        if let Some(bytes) = span.and_then(|span| value.get(span.range())) {
            on_group(group, bytes);
        }
    }
}

fn parse(rewritten: &str, caseless: bool) -> Result<Hir, String> {
    regex_syntax::ParserBuilder::new()
        .unicode(false)
        .utf8(false)
        .dot_matches_new_line(true)
        .multi_line(true)
        .case_insensitive(caseless)
        .nest_limit(MAX_NESTING)
        .build()
        .parse(rewritten)
        .map_err(|error| format!("pattern does not parse: {error}"))
}

fn build(rewritten: &str, caseless: bool) -> Result<meta::Regex, String> {
    let hir = parse(rewritten, caseless)?;
    // Only literals a match begins with. Searching backwards from literals inside, as the builder would
    // choose to, restarts at each of them, which a value full of them makes thirty times as slow as no
    // prefilter; and the engine has looked for them before it asks.
    let prefix = literal_prefix(&hir);
    let config = meta::Config::new()
        .utf8_empty(false)
        .auto_prefilter(false)
        .prefilter(prefix)
        .nfa_size_limit(Some(MAX_AUTOMATON))
        .onepass_size_limit(Some(MAX_ONEPASS))
        .hybrid_cache_capacity(LAZY_DFA_CACHE);
    meta::Builder::new()
        .configure(config)
        .build_from_hir(&hir)
        .map_err(|error| error.to_string())
}

/// A search for what every match of `hir` begins with, if it is worth its cost.
fn literal_prefix(hir: &Hir) -> Option<Prefilter> {
    Prefilter::from_hir_prefix(MatchKind::LeftmostFirst, hir).filter(Prefilter::is_fast)
}

/// About how many automaton states `hir` becomes: repetitions are unrolled.
fn size(hir: &Hir) -> usize {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 1,
        HirKind::Literal(literal) => literal.0.len(),
        HirKind::Class(Class::Bytes(class)) => 1 + class.ranges().len() / 8,
        HirKind::Class(Class::Unicode(class)) => 4 * class.ranges().len(),
        HirKind::Capture(capture) => size(&capture.sub).saturating_add(2),
        HirKind::Repetition(repetition) => {
            let copies = repetition.max.unwrap_or(repetition.min.saturating_add(1));
            let each = size(&repetition.sub).saturating_add(1);
            each.saturating_mul(usize::try_from(copies.max(1)).unwrap_or(usize::MAX))
        }
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().map(size).fold(1, usize::saturating_add)
        }
    }
}

/// The longest CRS pattern has about ten thousand bytes.
const MAX_PATTERN: usize = 256 * 1024;
const MAX_NESTING: u32 = 200;
/// Fifteen times the largest CRS pattern.
const MAX_SIZE: usize = 100_000;
const MAX_AUTOMATON: usize = 128 << 20;
const MAX_ONEPASS: usize = 256 << 10;
const LAZY_DFA_CACHE: usize = 2 << 20;
const MAX_CACHED: usize = 32;
