//! Many literals searched in one pass, each with the filters that need it.

use aho_corasick::{AhoCorasick, AhoCorasickKind, Input, MatchKind};

/// Literals have two bytes or more.
const SHORTEST: usize = 2;

/// The literals of one side's filters.
#[derive(Debug, Default)]
pub(crate) struct Literals {
    automaton: Option<AhoCorasick>,
    /// Filters that need the literal, by literal.
    owners: Vec<Box<[u32]>>,
}

impl Literals {
    /// Makes the search; `None` if there are too many literals for it.
    pub(crate) fn new(literals: Vec<(&[u8], Vec<u32>)>) -> Option<Self> {
        if literals.is_empty() {
            return Some(Self::default());
        }
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .ascii_case_insensitive(true)
            .build(literals.iter().map(|(literal, _)| literal))
            .ok()?;
        let owners = literals.into_iter();
        Some(Self {
            automaton: Some(automaton),
            owners: owners.map(|(_, owners)| owners.into()).collect(),
        })
    }

    /// Adds the filters whose literals `bytes` has to `words`, whatever the letters' case.
    pub(crate) fn scan(&self, bytes: &[u8], words: &mut [u64]) {
        let Some(automaton) = self.automaton.as_ref().filter(|_| bytes.len() >= SHORTEST) else {
            return;
        };
        let Ok(found) = automaton.try_find_overlapping_iter(Input::new(bytes)) else {
            words.fill(u64::MAX);
            return;
        };
        for literal in found {
            let owners = self.owners.get(literal.pattern().as_usize());
            for owner in owners.map_or(&[][..], |owners| owners) {
                if let Some(word) = words.get_mut(*owner as usize / 64) {
                    *word |= 1 << (owner % 64);
                }
            }
        }
    }
}
