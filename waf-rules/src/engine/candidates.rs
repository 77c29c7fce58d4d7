//! The rules of a phase that may match, as one set, from one look at every value.
//!
//! Security argument. A candidate rule is left out of a phase only if for each value it looks at a
//! necessary condition of a match fails on the very bytes its operator would have been given, and a
//! value is skipped within a rule only for the same reason. What is not known counts as "maybe": values
//! that are not cached, rules that a guard was expected to jump over and did not. So the set can be too
//! large but never too small. The plain evaluation runs every rule on every value; tests and the fuzz
//! target `transaction` hold the two against each other.

use super::bits::{has, unite};
use super::memory::{Known, Memory, Place, comes_again};
use super::plan::{Guard, Lane, Phase, Reach};
use super::prefilter::{Scanned, scan};
use super::room;
use super::ruleset::RuleSet;
use super::state::State;
use super::target::Item;
use super::values::Value;
use crate::variables::Variable;

/// What is known of one phase's rules and values.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    /// The places of the program that are to be run.
    set: Vec<u64>,
    /// The places among them that a guard is expected to jump over: nothing was looked at for them.
    unseen: Vec<u64>,
    width: usize,
    /// For each value, a set of the rules that may match on it.
    maybe: Vec<u64>,
    /// For each value, where it is remembered.
    places: Vec<Option<Place>>,
    /// For each value, its hash; zero if it was not needed yet.
    hashes: Vec<u64>,
    start: usize,
    wanted: Vec<u64>,
    reached: Vec<u64>,
}

impl Candidates {
    /// Forgets everything.
    pub(crate) fn reset(&mut self) {
        self.set.clear();
        self.unseen.clear();
        self.maybe.clear();
        self.places.clear();
        self.hashes.clear();
    }

    /// Bytes of memory it owns.
    pub(crate) fn capacity(&self) -> usize {
        let sets = [&self.set, &self.unseen, &self.maybe, &self.hashes];
        sets.into_iter().map(room::bytes).sum::<usize>()
            + room::bytes(&self.places)
            + room::bytes(&self.wanted)
            + room::bytes(&self.reached)
    }

    /// The first place from `at` on that is to be run.
    pub(crate) fn next(&self, at: usize) -> Option<usize> {
        let mut index = at / 64;
        let mut word = self.set.get(index)? & (u64::MAX << (at % 64));
        while word == 0 {
            index += 1;
            word = *self.set.get(index)?;
        }
        Some(index * 64 + word.trailing_zeros() as usize)
    }

    /// True if nothing was looked at for the rule at `place`.
    pub(crate) fn is_unseen(&self, place: usize) -> bool {
        has(&self.unseen, place)
    }

    /// False if the rule at `place` cannot match on fixed value number `value`.
    pub(crate) fn admits(&self, value: u32, place: usize) -> bool {
        let from = value as usize * self.width;
        let words = self.maybe.get(from..from + self.width);
        self.width == 0 || words.is_none_or(|words| has(words, place))
    }

    /// Notes that the rule at `place` was run on fixed value number `value` and did not match.
    pub(crate) fn rule_out(&mut self, memory: Option<&mut Memory>, value: u32, place: usize) {
        let (index, bit) = (place / 64, 1 << (place % 64));
        let word = self.maybe.get_mut(value as usize * self.width + index);
        if let Some(word) = word.filter(|_| self.width > 0) {
            *word &= !bit;
        }
        if let Some(memory) = memory
            && let Some(Some(at)) = self.places.get(value as usize)
            && let Some((known, maybe)) = memory.known(*at, self.start + index, 1)
        {
            known.iter_mut().for_each(|known| *known |= bit);
            maybe.iter_mut().for_each(|maybe| *maybe &= !bit);
        }
    }

    /// Every place is to be run and every value may match: the plain evaluation.
    fn everything(&mut self, phase: &Phase) {
        self.width = 0;
        self.set.clear();
        self.set.resize(phase.width, u64::MAX);
        self.unseen.clear();
        self.maybe.clear();
        self.places.clear();
    }
}

/// Finds the candidates of `phase`, going by what its guards are expected to jump over.
pub(crate) fn prepare(rules: &RuleSet, state: &mut State, phase: &Phase) {
    let mut candidates = std::mem::take(&mut state.candidates);
    if state.cache.plain {
        candidates.everything(phase);
    } else {
        candidates.unseen.clear();
        candidates.unseen.resize(phase.width, 0);
        for guard in phase.guards.iter().filter(|guard| jumps(state, guard)) {
            unite(&mut candidates.unseen, &guard.over);
        }
        fill(rules, state, phase, &mut candidates);
    }
    state.candidates = candidates;
}

/// Finds them again, expecting no jump.
pub(crate) fn prepare_all(rules: &RuleSet, state: &mut State, phase: &Phase) {
    let mut candidates = std::mem::take(&mut state.candidates);
    candidates.unseen.fill(0);
    fill(rules, state, phase, &mut candidates);
    state.candidates = candidates;
}

fn jumps(state: &State, guard: &Guard) -> bool {
    let set = state.tx.get(guard.quick.slot).map(|value| value.number);
    !guard.quick.is_counted()
        && set
            .or(guard.expected)
            .is_some_and(|number| guard.quick.compare(number))
}

fn fill(rules: &RuleSet, state: &mut State, phase: &Phase, candidates: &mut Candidates) {
    let width = phase.width;
    candidates.width = width;
    candidates.set.clear();
    candidates.set.extend_from_slice(&phase.always);
    unite(&mut candidates.set, &candidates.unseen);
    candidates.maybe.clear();
    candidates.maybe.resize(state.values.len() * width, 0);
    candidates.places.clear();
    candidates.places.resize(state.values.len(), None);
    candidates.hashes.resize(state.values.len(), 0);
    candidates.start = phase.start;
    candidates.wanted.resize(width, 0);
    candidates.reached.resize(width, 0);
    for (variable, reaches) in &phase.variables {
        let (from, to) = state.values.range(*variable);
        for id in from..to {
            judge(rules, state, phase, reaches, candidates, *variable, id);
        }
    }
}

/// Finds the rules that may match on one value.
fn judge(
    rules: &RuleSet,
    state: &mut State,
    phase: &Phase,
    reaches: &[Reach],
    candidates: &mut Candidates,
    variable: Variable,
    id: u32,
) {
    let Some(value) = state.values.get(id).copied() else {
        return;
    };
    let Candidates {
        set,
        unseen,
        maybe,
        wanted,
        reached,
        width,
        places,
        hashes,
        ..
    } = candidates;
    wanted.fill(0);
    for reach in reaches {
        reach.rules(&state.values, &value, reached);
        unite(wanted, reached);
    }
    let mut left = 0;
    for (word, unseen) in wanted.iter_mut().zip(&*unseen) {
        *word &= !unseen;
        left |= *word;
    }
    if left == 0 {
        return;
    }
    let from = id as usize * *width;
    let Some(maybe) = maybe.get_mut(from..from + *width) else {
        return;
    };
    let place = recall(rules, state, variable, &value, hashes.get_mut(id as usize));
    if let Some((known, remembered)) = remembered(&mut state.memory, place, phase) {
        left = 0;
        let known = known.iter().zip(&*remembered);
        for ((wanted, maybe), (known, remembered)) in wanted.iter_mut().zip(&mut *maybe).zip(known)
        {
            *maybe = *wanted & remembered;
            *wanted &= !known;
            left |= *wanted;
        }
    }
    if let Some(slot) = places.get_mut(id as usize) {
        *slot = place;
    }
    if left == 0 {
        unite(set, maybe);
        return;
    }
    let item = Item {
        variable,
        name: value.name,
        value: value.value,
        id,
        counted: false,
    };
    let raw = state.cache.raw(&state.arena, &item);
    let untouched = scan(rules, state, raw);
    for lane in reaches.iter().flat_map(|reach| &reach.lanes) {
        look(
            rules,
            state,
            phase,
            lane,
            &item,
            untouched.as_ref(),
            wanted,
            maybe,
        );
    }
    if let Some((known, remembered)) = remembered(&mut state.memory, place, phase) {
        unite(known, wanted);
        for ((remembered, maybe), wanted) in remembered.iter_mut().zip(&*maybe).zip(&*wanted) {
            *remembered |= maybe & wanted;
        }
    }
    unite(set, maybe);
}

/// Where `value` is remembered, if this transaction remembers and the variable is one to remember.
fn recall(
    rules: &RuleSet,
    state: &mut State,
    variable: Variable,
    value: &Value,
    hash: Option<&mut u64>,
) -> Option<Place> {
    let memory = state.memory.as_mut().filter(|_| comes_again(variable))?;
    let hash = hash?;
    if *hash == 0 {
        *hash = rules.key.hash(&state.arena, variable, value);
    }
    memory.find(*hash, &state.arena, variable, value)
}

fn remembered<'m>(
    memory: &'m mut Option<Memory>,
    place: Option<Place>,
    phase: &Phase,
) -> Option<Known<'m>> {
    memory.as_mut()?.known(place?, phase.start, phase.width)
}

/// Adds the rules of `lane` that are `wanted` and may match on `item` to `maybe`; `untouched` is the
/// item before any transformation, where it is cached.
#[expect(
    clippy::too_many_arguments,
    reason = "all of it changes from call to call"
)]
fn look(
    rules: &RuleSet,
    state: &mut State,
    phase: &Phase,
    lane: &Lane,
    item: &Item,
    untouched: Option<&Scanned<'_>>,
    wanted: &[u64],
    maybe: &mut [u64],
) {
    let asked = |(word, rules): &(usize, u64)| wanted.get(*word).is_some_and(|w| w & rules != 0);
    if !lane.rules.iter().any(asked) {
        return;
    }
    let passes = |raw: &&Scanned<'_>| {
        let triggers = lane.triggers.filter(|_| !lane.multi_match);
        triggers.is_some_and(|triggers| !triggers.intersects(raw.present()))
    };
    if let Some(raw) = untouched.filter(passes) {
        return admit(state, phase, lane, Some(raw), wanted, maybe);
    }
    let State { cache, arena, .. } = state;
    if lane.multi_match {
        for stage in cache.stages(rules, arena, item, lane.pipeline) {
            let scanned = scan(rules, state, stage.output);
            admit(state, phase, lane, scanned.as_ref(), wanted, maybe);
        }
        return;
    }
    let transformed = cache.transform(rules, arena, item, lane.pipeline);
    let scanned = scan(rules, state, transformed.output);
    admit(state, phase, lane, scanned.as_ref(), wanted, maybe);
}

/// Adds the rules of `lane` that may match on what was scanned; all of them, if nothing was.
fn admit(
    state: &State,
    phase: &Phase,
    lane: &Lane,
    scanned: Option<&Scanned<'_>>,
    wanted: &[u64],
    maybe: &mut [u64],
) {
    for (index, members) in &lane.rules {
        let (Some(wanted), Some(maybe)) = (wanted.get(*index), maybe.get_mut(*index)) else {
            continue;
        };
        let mut bits = wanted & members & !*maybe;
        let Some(scanned) = scanned else {
            *maybe |= bits;
            continue;
        };
        bits &= scanned.word(&state.cache, phase.first / 64 + index);
        while bits != 0 {
            let bit = bits.trailing_zeros();
            bits &= bits - 1;
            if scanned.admits(phase.first + index * 64 + bit as usize) {
                *maybe |= 1 << bit;
            }
        }
    }
    // One pipeline and one value are one byte string: what a family says holds for all of its members.
    if let Some(scanned) = scanned.filter(|_| !lane.multi_match) {
        let bytes = scanned.bytes(&state.arena);
        phase.families.narrow(lane.pipeline, bytes, wanted, maybe);
    }
}
