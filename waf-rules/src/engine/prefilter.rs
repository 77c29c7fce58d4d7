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

/// All filters of one side, ready to be asked about a byte string.
#[derive(Debug, Default)]
pub(crate) struct Scanner {
    literals: Literals,
    /// Filters that need no literal. Its length is the width of every set of filters.
    free: Vec<u64>,
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
        let mut literals: Vec<(&[u8], Vec<u32>)> = Vec::new();
        let mut known = std::collections::HashMap::new();
        for (number, filter) in filters.iter().enumerate() {
            let Some(needed) = &filter.literals else {
                free.insert(number);
                continue;
            };
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
        }
    }

    /// How many words a set of filters has.
    fn width(&self) -> usize {
        self.free.len()
    }

    /// Writes the filters that need no literal, or one that `bytes` has, into `filters`.
    fn scan(&self, bytes: &[u8], filters: &mut [u64]) {
        filters.copy_from_slice(&self.free);
        self.literals.scan(bytes, filters);
    }
}

/// What a scan found in one output.
#[derive(Debug)]
pub(crate) struct Scanned<'r> {
    scanner: &'r Scanner,
    output: Output,
    start: usize,
}

impl Scanned<'_> {
    /// Word `index` of the filters whose literals are there.
    pub(crate) fn word(&self, cache: &Cache, index: usize) -> u64 {
        let word = cache.words.get(self.start + index);
        word.copied().unwrap_or(u64::MAX)
    }

    /// The bytes that stand in it.
    pub(crate) fn present(&self) -> ByteSet {
        self.output.present
    }

    /// The byte string itself.
    pub(crate) fn bytes<'a>(&self, arena: &'a Arena) -> &'a [u8] {
        arena.get(self.output.text)
    }

    /// False if `filter` needs a length or a byte that is not there.
    pub(crate) fn admits(&self, filter: usize) -> bool {
        let rest = self.scanner.rest.get(filter);
        rest.is_none_or(|rest| rest.admits(&self.output))
    }
}

/// Scans an output on first use; `None` for what is not cached, which may match anything.
pub(crate) fn scan<'r>(
    rules: &'r RuleSet,
    state: &mut State,
    output: Option<u32>,
) -> Option<Scanned<'r>> {
    let number = output?;
    let scanner = rules.scanners.get(state.side.index())?;
    let start = found(scanner, state.side, &mut state.cache, &state.arena, number)?;
    Some(Scanned {
        scanner,
        output: *state.cache.output(number)?,
        start,
    })
}

/// Where the filters that the literals of an output leave over start.
fn found(
    scanner: &Scanner,
    side: Side,
    cache: &mut Cache,
    arena: &Arena,
    number: u32,
) -> Option<usize> {
    let output = *cache.output(number)?;
    let known = *output.scanned.get(side.index())?;
    if known != NONE {
        return Some(known as usize);
    }
    // A value that only lost its upper case has the same literals: they are compared without it.
    let width = scanner.width();
    let twin = output
        .lowercase_of
        .and_then(|twin| found(scanner, side, cache, arena, twin));
    let start = cache.words.len();
    if let Some(twin) = twin {
        cache.words.extend_from_within(twin..twin + width);
    } else {
        cache.words.resize(start + width, 0);
        let words = cache.words.get_mut(start..)?;
        scanner.scan(arena.get(output.text), words);
    }
    let output = cache.output_mut(number)?;
    if let Some(scanned) = output.scanned.get_mut(side.index()) {
        *scanned = u32::try_from(start).unwrap_or(NONE);
    }
    Some(start)
}

/// False if `output` was scanned and cannot match `filter`.
pub(crate) fn output_may_match(
    rules: &RuleSet,
    cache: &Cache,
    side: Side,
    output: Option<u32>,
    filter: u32,
) -> bool {
    // What is not cached, and so everything in a plain evaluation, is "maybe".
    let Some(output) = output.and_then(|number| cache.output(number)) else {
        return true;
    };
    let Some(scanner) = rules.scanners.get(side.index()) else {
        return true;
    };
    let scanned = match output.scanned.get(side.index()) {
        Some(&start) if start != NONE => {
            let words = cache.words.get(start as usize..).unwrap_or(&[]);
            words.is_empty() || has(words, filter as usize)
        }
        _ => true,
    };
    let rest = scanner.rest.get(filter as usize);
    scanned && rest.is_none_or(|rest| rest.admits(output))
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
