//! Which rules are worth running on which value: one pass over each distinct byte string.
//!
//! Security argument. A link has a filter only if its operator names necessary conditions of a match
//! (see `operators::Prefilter`), it is not negated, and all its targets are fixed while the phase
//! runs. A link is left out for a value only if one of those conditions fails *on the very bytes the
//! operator would have been given*: the literals are searched in the transformed value, the byte sets
//! are those of the transformed value. Literals are compared without ASCII case whatever the operator
//! does, which finds more, never less; a value that is not cached counts as "maybe" for every filter.
//! So a prefilter can cost time but cannot lose a match; `tests::` compares it with plain evaluation.

use aho_corasick::{AhoCorasick, AhoCorasickKind, Input, MatchKind};

use super::arena::Arena;
use super::bits::{Bits, has};
use super::cache::Cache;
use super::ruleset::RuleSet;
use super::state::State;
use super::target::collect;
use crate::byteset::ByteSet;
use crate::operators::Prefilter;

const NONE: u32 = u32::MAX;

/// Request phases and response phases have a scanner each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Request,
    Response,
}

impl Side {
    pub(crate) fn of_phase(phase: u8) -> Self {
        if phase <= 2 {
            Self::Request
        } else {
            Self::Response
        }
    }

    pub(crate) fn index(self) -> usize {
        self as usize
    }
}

/// Links that share targets and pipeline, and therefore the byte strings they see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Group {
    pub(crate) targets: u32,
    pub(crate) pipeline: u32,
    pub(crate) multi_match: bool,
    pub(crate) side: u8,
}

/// All filters of one side, ready to be asked about a byte string.
#[derive(Debug, Default)]
pub(crate) struct Scanner {
    literals: Option<AhoCorasick>,
    /// Filters that need the literal, by literal.
    owners: Vec<Box<[u32]>>,
    /// Filters that need no literal.
    free: Vec<u64>,
    /// Filters that need a byte of the set.
    masks: Vec<(ByteSet, Vec<u64>)>,
}

impl Scanner {
    /// Builds the scanner; filter n's bit is n.
    pub(crate) fn new(filters: &[Prefilter]) -> Self {
        let mut free = Bits::with_room(filters.len());
        let mut masks: Vec<(ByteSet, Bits)> = Vec::new();
        let mut literals: Vec<(&[u8], Vec<u32>)> = Vec::new();
        let mut known = std::collections::HashMap::new();
        for (number, filter) in filters.iter().enumerate() {
            match &filter.literals {
                None => free.insert(number),
                Some(needed) => {
                    for literal in needed {
                        let index = *known.entry(literal.as_slice()).or_insert_with(|| {
                            literals.push((literal.as_slice(), Vec::new()));
                            literals.len() - 1
                        });
                        if let Some((_, owners)) = literals.get_mut(index) {
                            owners.push(u32::try_from(number).unwrap_or(NONE));
                        }
                    }
                }
            }
            for mask in &filter.masks {
                let at = masks.iter().position(|(set, _)| set == mask);
                let at = at.unwrap_or_else(|| {
                    masks.push((*mask, Bits::with_room(filters.len())));
                    masks.len() - 1
                });
                if let Some((_, members)) = masks.get_mut(at) {
                    members.insert(number);
                }
            }
        }
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .ascii_case_insensitive(true)
            .build(literals.iter().map(|(literal, _)| literal));
        let (literals, owners) = match automaton {
            Ok(automaton) if !literals.is_empty() => (
                Some(automaton),
                literals
                    .into_iter()
                    .map(|(_, owners)| owners.into_boxed_slice())
                    .collect(),
            ),
            Ok(_) => (None, Vec::new()),
            // Too many literals for one automaton: then every filter says "maybe".
            Err(_) => {
                (0..filters.len()).for_each(|number| free.insert(number));
                (None, Vec::new())
            }
        };
        Self {
            literals,
            owners,
            free: free.words().to_vec(),
            masks: masks
                .into_iter()
                .map(|(set, bits)| (set, bits.words().to_vec()))
                .collect(),
        }
    }

    /// How many words a set of candidates has.
    fn width(&self) -> usize {
        self.free.len()
    }

    /// Writes the filters that `bytes` may match into `candidates`.
    fn scan(&self, bytes: &[u8], present: ByteSet, candidates: &mut [u64]) {
        candidates.copy_from_slice(&self.free);
        if let Some(automaton) = &self.literals
            && let Ok(found) = automaton.try_find_overlapping_iter(Input::new(bytes))
        {
            for literal in found {
                for owner in self
                    .owners
                    .get(literal.pattern().as_usize())
                    .map_or(&[][..], |owners| owners)
                {
                    if let Some(word) = candidates.get_mut(*owner as usize / 64) {
                        *word |= 1 << (owner % 64);
                    }
                }
            }
        }
        for (set, members) in &self.masks {
            if !set.intersects(present) {
                for (word, member) in candidates.iter_mut().zip(members) {
                    *word &= !member;
                }
            }
        }
    }
}

/// False if no value of the group can match the filter with this bit.
pub(crate) fn group_may_match(rules: &RuleSet, state: &mut State, number: u32, bit: u32) -> bool {
    let known = state.cache.groups.get(number as usize).copied();
    let start = match known {
        Some(NONE) => evaluate_group(rules, state, number),
        Some(start) => start,
        None => return true,
    };
    let words = state.cache.words.get(start as usize..).unwrap_or(&[]);
    words.is_empty() || has(words, bit as usize)
}

fn evaluate_group(rules: &RuleSet, state: &mut State, number: u32) -> u32 {
    let Some(group) = rules.groups.get(number as usize).copied() else {
        return NONE;
    };
    let Some(scanner) = rules.scanners.get(usize::from(group.side)) else {
        return NONE;
    };
    let start = state.cache.words.len();
    state.cache.words.resize(start + scanner.width(), 0);
    let (from, to) = resolve(rules, state, group.targets);
    for index in from..to {
        let Some(item) = state.cache.items.get(index as usize).copied() else {
            break;
        };
        if group.multi_match {
            let stages = state
                .cache
                .stages(rules, &mut state.arena, &item, group.pipeline);
            for stage in stages {
                unite(scanner, group.side, state, stage.output, start);
            }
        } else {
            let transformed = state
                .cache
                .transform(rules, &mut state.arena, &item, group.pipeline);
            unite(scanner, group.side, state, transformed.output, start);
        }
    }
    let start = u32::try_from(start).unwrap_or(NONE);
    if let Some(entry) = state.cache.groups.get_mut(number as usize) {
        *entry = start;
    }
    start
}

/// Adds the candidates of `output` to the set at `start`; all of them if it is not cached.
fn unite(scanner: &Scanner, side: u8, state: &mut State, output: Option<u32>, start: usize) {
    let from =
        output.and_then(|output| candidates(scanner, side, &mut state.cache, &state.arena, output));
    for word in 0..scanner.width() {
        let more = from.map_or(u64::MAX, |from| {
            state.cache.words.get(from + word).copied().unwrap_or(0)
        });
        if let Some(target) = state.cache.words.get_mut(start + word) {
            *target |= more;
        }
    }
}

/// Where the candidates of an output start; scans it on first use.
fn candidates(
    scanner: &Scanner,
    side: u8,
    cache: &mut Cache,
    arena: &Arena,
    number: u32,
) -> Option<usize> {
    let output = *cache.output(number)?;
    let known = *output.candidates.get(usize::from(side))?;
    if known != NONE {
        return Some(known as usize);
    }
    let start = cache.words.len();
    cache.words.resize(start + scanner.width(), 0);
    let words = cache.words.get_mut(start..)?;
    scanner.scan(arena.get(output.text), output.present, words);
    if let Some(slot) = cache
        .output_mut(number)
        .and_then(|output| output.candidates.get_mut(usize::from(side)))
    {
        *slot = u32::try_from(start).unwrap_or(NONE);
    }
    Some(start)
}

/// False if `output`, which the filter's group has scanned, cannot match it.
pub(crate) fn output_may_match(cache: &Cache, side: Side, output: Option<u32>, bit: u32) -> bool {
    let Some(output) = output.and_then(|number| cache.output(number)) else {
        return true;
    };
    match output.candidates.get(side.index()) {
        Some(&start) if start != NONE => {
            let words = cache.words.get(start as usize..).unwrap_or(&[]);
            words.is_empty() || has(words, bit as usize)
        }
        _ => true,
    }
}

/// The items of a fixed target set as a range of `cache.items`; listed once a phase.
pub(crate) fn resolve(rules: &RuleSet, state: &mut State, targets: u32) -> (u32, u32) {
    let known = state.cache.resolved.get(targets as usize).copied();
    let Some(set) = rules.targets.get(targets as usize) else {
        return (0, 0);
    };
    match known {
        Some(range) if range.0 != NONE => range,
        _ => {
            let mut items = std::mem::take(&mut state.cache.items);
            let start = items.len();
            collect(rules, state, set, &mut items);
            let range = (narrow(start), narrow(items.len()));
            state.cache.items = items;
            if let Some(entry) = state.cache.resolved.get_mut(targets as usize) {
                *entry = range;
            }
            range
        }
    }
}

fn narrow(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX - 1)
}
