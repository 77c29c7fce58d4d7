//! Thousands of literals searched in one pass, whatever the letters' case, each with the filters that
//! need it.
//!
//! Every literal hangs on one gram of it, two to four neighbouring bytes that ordinary values hardly
//! ever hold ([`Ordinary`]). At each place of a value three small bit maps say whether a literal hangs
//! on what stands there; only then the few that do are compared. Most values never get that far.
//!
//! Security argument: the set found must be exactly the one an automaton finds, or a prefilter built
//! on it would lose matches. Folding (`| 0x20`) makes equal whatever ASCII case makes equal, so where
//! a literal stands, its gram stands, its bit is set and its bucket is compared. A value made to hit
//! the buckets again and again spends a budget that is a fraction of its length; what it has left to
//! read goes through the automaton, so the cost stays linear. `tests.rs` and the fuzz target
//! `literals` compare the two searches.

mod level;
mod ordinary;
#[cfg(test)]
mod tests;

use std::sync::OnceLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind, Input, MatchKind};

use self::level::{Entry, FOLD, Filters, Level, WIDTHS};
use self::ordinary::Ordinary;

/// The literals of one side's filters.
#[derive(Debug, Default)]
pub(crate) struct Literals {
    filters: Filters,
    /// What hangs on grams of each of the widths.
    levels: [Level; WIDTHS.len()],
    literals: Vec<Literal>,
    /// The bytes of all literals.
    pool: Vec<u8>,
    /// The filters of all literals, as words of a set and what to add to them.
    owners: Vec<(u32, u64)>,
    longest: usize,
    /// Made when the first value has spent its budget; none if it cannot be made.
    automaton: OnceLock<Option<AhoCorasick>>,
}

#[derive(Debug)]
struct Literal {
    bytes: (u32, u32),
    owners: (u32, u32),
}

impl Literals {
    /// Makes the search; `None` if there are too many literals for it, or one shorter than two bytes.
    pub(crate) fn new(literals: Vec<(&[u8], Vec<u32>)>) -> Option<Self> {
        let mut all = Self::default();
        let mut ordinary = Ordinary::new();
        let mut entries: [Vec<Entry>; WIDTHS.len()] = Default::default();
        for (bytes, owners) in literals {
            if bytes.len() < SHORTEST {
                return None;
            }
            let number = u32::try_from(all.literals.len()).ok()?;
            let start = all.pool.len();
            all.pool.extend_from_slice(bytes);
            let first = all.owners.len();
            all.owners.extend(sparse(owners));
            all.literals.push(Literal {
                bytes: range(start, all.pool.len())?,
                owners: range(first, all.owners.len())?,
            });
            all.longest = all.longest.max(bytes.len());
            let level = WIDTHS.iter().position(|width| *width <= bytes.len())?;
            let width = *WIDTHS.get(level)?;
            let (offset, gram) = ordinary.rarest(bytes, width)?;
            all.filters.insert(width, gram, number);
            entries
                .get_mut(level)?
                .push(Entry::new(bytes, gram, offset, number)?);
        }
        for ((level, entries), width) in all.levels.iter_mut().zip(entries).zip(WIDTHS) {
            *level = Level::new(width, entries);
        }
        Some(all)
    }

    /// Adds the filters whose literals `bytes` has to `words`, whatever the letters' case.
    pub(crate) fn scan(&self, bytes: &[u8], words: &mut [u64]) {
        if self.literals.is_empty() || bytes.len() < SHORTEST {
            return;
        }
        let mut budget = bytes.len() / BUDGET_SHARE + BUDGET_LEAST;
        for (at, window) in bytes.array_windows::<4>().enumerate() {
            let gram = u32::from_le_bytes(*window) | FOLD;
            if self.filters.may_hold(gram) && !self.look(bytes, at, gram, words, &mut budget) {
                return self.search(bytes, at, words);
            }
        }
        // Behind the last whole window only grams of three and two bytes are left.
        let behind = bytes.len().saturating_sub(3);
        let mut padded = [0; 6];
        for (to, from) in padded.iter_mut().zip(bytes.iter().skip(behind)) {
            *to = *from;
        }
        for (window, at) in padded.array_windows::<4>().zip(behind..bytes.len() - 1) {
            let gram = u32::from_le_bytes(*window) | FOLD;
            if self.filters.may_hold(gram) && !self.look(bytes, at, gram, words, &mut budget) {
                return self.search(bytes, at, words);
            }
        }
    }

    /// Compares the literals that hang on `gram`, which stands at `at`; false once that has cost too
    /// much.
    fn look(
        &self,
        bytes: &[u8],
        at: usize,
        gram: u32,
        words: &mut [u64],
        budget: &mut usize,
    ) -> bool {
        for level in self
            .levels
            .iter()
            .filter(|level| level.may_hold(&self.filters, gram))
        {
            let bucket = level.bucket(gram);
            let Some(left) = budget.checked_sub(bucket.len()) else {
                return false;
            };
            *budget = left;
            for entry in bucket {
                if level.holds(entry, gram)
                    && let Some(start) = entry.start(bytes, at)
                    && let Some(literal) = self.literals.get(entry.literal as usize)
                    && let owners = part(&self.owners, literal.owners)
                    && !holds_all(words, owners)
                {
                    let literal = part(&self.pool, literal.bytes);
                    *budget = budget.saturating_sub(literal.len() / 16);
                    let found = bytes.get(start..start + literal.len());
                    if found.is_some_and(|found| found.eq_ignore_ascii_case(literal)) {
                        add(words, owners);
                    }
                }
            }
        }
        true
    }

    /// Finds what is left to find from `at` on with the automaton.
    #[cold]
    pub(crate) fn search(&self, bytes: &[u8], at: usize, words: &mut [u64]) {
        let automaton = self.automaton.get_or_init(|| {
            AhoCorasick::builder()
                .match_kind(MatchKind::Standard)
                .kind(Some(AhoCorasickKind::ContiguousNFA))
                .ascii_case_insensitive(true)
                .build(
                    self.literals
                        .iter()
                        .map(|literal| part(&self.pool, literal.bytes)),
                )
                .ok()
        });
        // A literal whose gram stands at `at` begins at most its length before.
        let rest = Input::new(bytes).range(at.saturating_sub(self.longest)..);
        let found = automaton
            .as_ref()
            .and_then(|automaton| automaton.try_find_overlapping_iter(rest).ok());
        let Some(found) = found else {
            words.fill(u64::MAX);
            return;
        };
        for literal in found {
            if let Some(literal) = self.literals.get(literal.pattern().as_usize()) {
                add(words, part(&self.owners, literal.owners));
            }
        }
    }
}

/// The set of `owners` as its words that are not empty.
fn sparse(mut owners: Vec<u32>) -> Vec<(u32, u64)> {
    owners.sort_unstable();
    let mut words: Vec<(u32, u64)> = Vec::new();
    for owner in owners {
        let bit = 1 << (owner % 64);
        match words.last_mut() {
            Some((word, bits)) if *word == owner / 64 => *bits |= bit,
            _ => words.push((owner / 64, bit)),
        }
    }
    words
}

fn holds_all(words: &[u64], owners: &[(u32, u64)]) -> bool {
    owners.iter().all(|(word, bits)| {
        words
            .get(*word as usize)
            .is_none_or(|word| word & bits == *bits)
    })
}

fn add(words: &mut [u64], owners: &[(u32, u64)]) {
    for (word, bits) in owners {
        if let Some(word) = words.get_mut(*word as usize) {
            *word |= bits;
        }
    }
}

fn range(start: usize, end: usize) -> Option<(u32, u32)> {
    Some((u32::try_from(start).ok()?, u32::try_from(end).ok()?))
}

fn part<T>(all: &[T], (start, end): (u32, u32)) -> &[T] {
    all.get(start as usize..end as usize).unwrap_or_default()
}

/// Literals have two bytes or more.
const SHORTEST: usize = 2;
/// One comparison for so many bytes of a value, and some for short ones: ordinary text needs a tenth.
const BUDGET_SHARE: usize = 2;
const BUDGET_LEAST: usize = 512;
