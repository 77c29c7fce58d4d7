//! Which rules are worth running on which value: one pass over each distinct byte string.
//!
//! Security argument. A link has a filter only if its operator names necessary conditions of a match
//! (see `operators::Prefilter`), it is not negated, and all its targets are fixed while the phase
//! runs. A link is left out for a value only if one of those conditions fails *on the very bytes the
//! operator would have been given*: the literals are searched in the transformed value, the byte sets
//! are those of the transformed value. Literals are compared without ASCII case whatever the operator
//! does, which finds more, never less; a value that is not cached counts as "maybe" for every filter.
//! So a prefilter can cost time but cannot lose a match. The fuzz target `transaction` holds every
//! evaluation against the plain one, which caches and filters nothing.

use super::arena::Arena;
use super::bits::{Bits, has};
use super::cache::{Cache, Output};
use super::literals::Literals;
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
    literals: Literals,
    /// Filters that need no literal. Its length is the width of every set of filters.
    free: Vec<u64>,
    /// The distinct byte sets that filters without literals need a byte of.
    masks: Vec<ByteSet>,
    /// The filters that need one, a set for each of `masks`.
    masked: Vec<u64>,
    /// What every filter needs besides its literals; asked only when they are there.
    rest: Vec<Rest>,
}

/// Conditions of one filter that need no search.
#[derive(Debug)]
struct Rest {
    min_len: usize,
    masks: Box<[ByteSet]>,
}

impl Rest {
    fn admits(&self, output: &Output) -> bool {
        output.text.len() >= self.min_len
            && self
                .masks
                .iter()
                .all(|mask| mask.intersects(output.present))
    }
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
            let free = filter.literals.is_none();
            for mask in filter.masks.iter().filter(|_| free) {
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
        let literals = Literals::new(literals).unwrap_or_else(|| {
            // Too many literals for one search: then every filter says "maybe".
            (0..filters.len()).for_each(|number| free.insert(number));
            Literals::default()
        });
        Self {
            literals,
            free: free.words().to_vec(),
            rest: filters
                .iter()
                .map(|filter| Rest {
                    min_len: filter.min_len,
                    masks: filter.masks.clone().into(),
                })
                .collect(),
            masks: masks.iter().map(|(set, _)| *set).collect(),
            masked: masks
                .iter()
                .flat_map(|(_, bits)| bits.words())
                .copied()
                .collect(),
        }
    }

    /// How many words a set of candidates has.
    fn width(&self) -> usize {
        self.free.len()
    }

    /// Writes the filters whose literals `bytes` has into `candidates`.
    fn scan(&self, bytes: &[u8], candidates: &mut [u64]) {
        candidates.copy_from_slice(&self.free);
        self.literals.scan(bytes, candidates);
    }

    /// Takes out the filters that need a byte which is not `present`.
    fn mask(&self, present: ByteSet, candidates: &mut [u64]) {
        let members = self.masked.chunks_exact(self.width().max(1));
        for (set, members) in self.masks.iter().zip(members) {
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
    if state.cache.plain {
        return true;
    }
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
    let words = &mut state.cache.words;
    let Some(from) = from else {
        if let Some(set) = words.get_mut(start..start + scanner.width()) {
            set.fill(u64::MAX);
        }
        return;
    };
    // The two sets do not overlap: one is the group's, the other an output's.
    let middle = from.max(start);
    let Some((low, high)) = words.split_at_mut_checked(middle) else {
        return;
    };
    let low = low.get_mut(from.min(start)..).unwrap_or_default();
    let (more, set) = if from < start {
        (low, high)
    } else {
        (high, low)
    };
    for (word, more) in set.iter_mut().zip(more).take(scanner.width()) {
        *word |= *more;
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
        return Some(known as usize + scanner.width());
    }
    // Two sets: what the literals say, and what is left after the masks. A value that only lost its
    // upper case has the same literals, for they are compared without it.
    let width = scanner.width();
    let twin = output
        .lowercase_of
        .and_then(|twin| candidates(scanner, side, cache, arena, twin));
    let start = cache.words.len();
    if let Some(twin) = twin {
        cache.words.extend_from_within(twin - width..twin);
    } else {
        cache.words.resize(start + width, 0);
        let words = cache.words.get_mut(start..)?;
        scanner.scan(arena.get(output.text), words);
    }
    cache.words.extend_from_within(start..start + width);
    scanner.mask(output.present, cache.words.get_mut(start + width..)?);
    if let Some(slot) = cache
        .output_mut(number)
        .and_then(|output| output.candidates.get_mut(usize::from(side)))
    {
        *slot = u32::try_from(start).unwrap_or(NONE);
    }
    Some(start + width)
}

/// False if `output`, which the filter's group has scanned, cannot match it.
pub(crate) fn output_may_match(
    rules: &RuleSet,
    cache: &Cache,
    side: Side,
    output: Option<u32>,
    bit: u32,
) -> bool {
    // What is not cached, and so everything in a plain evaluation, is "maybe".
    let Some(output) = output.and_then(|number| cache.output(number)) else {
        return true;
    };
    let Some(scanner) = rules.scanners.get(side.index()) else {
        return true;
    };
    let scanned = match output.candidates.get(side.index()) {
        Some(&start) if start != NONE => {
            let start = start as usize + scanner.width();
            let words = cache.words.get(start..).unwrap_or(&[]);
            words.is_empty() || has(words, bit as usize)
        }
        _ => true,
    };
    scanned
        && scanner
            .rest
            .get(bit as usize)
            .is_none_or(|rest| rest.admits(output))
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
