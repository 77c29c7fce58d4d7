//! Every place where a match of the relaxed pattern starts, found in one pass from the end.
//!
//! Searching for them one after the other would be quadratic: a search may read to the end of the value
//! only to find that a short match will do (`a(?:.*!)?`).

use std::sync::{Mutex, OnceLock};

use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::{Input, MatchKind};
use regex_syntax::hir::Hir;

/// The relaxed pattern, to be read backwards; built when first asked.
#[derive(Debug, Default)]
pub(super) struct Starts {
    automaton: OnceLock<Option<DFA>>,
    /// States an earlier pass has worked out.
    spare: Mutex<Option<Cache>>,
}

impl Starts {
    /// Where matches of `relaxed` start in `value`, from `from` on, in order. None if that cannot be
    /// told.
    pub(super) fn from(
        &self,
        relaxed: &Hir,
        value: &[u8],
        from: usize,
    ) -> Option<impl Iterator<Item = usize>> {
        let automaton = self.automaton.get_or_init(|| build(relaxed)).as_ref()?;
        let spare = self.spare.lock().ok().and_then(|mut spare| spare.take());
        let mut cache = spare.unwrap_or_else(|| automaton.create_cache());
        let places = walk(automaton, &mut cache, value, from);
        if let Ok(mut spare) = self.spare.lock() {
            *spare = Some(cache);
        }
        places.map(move |places| places.bits().map(move |place| from + place))
    }
}

fn build(relaxed: &Hir) -> Option<DFA> {
    let config = thompson::Config::new()
        .utf8(false)
        .reverse(true)
        .which_captures(WhichCaptures::None)
        .nfa_size_limit(Some(MAX_AUTOMATON));
    let nfa = thompson::Compiler::new()
        .configure(config)
        .build_from_hir(relaxed)
        .ok()?;
    let config = DFA::config()
        .match_kind(MatchKind::All)
        .cache_capacity(CACHE)
        .skip_cache_capacity_check(true);
    DFA::builder().configure(config).build_from_nfa(nfa).ok()
}

fn walk(automaton: &DFA, cache: &mut Cache, value: &[u8], from: usize) -> Option<Places> {
    let mut places = Places::up_to(value.len().checked_sub(from)?);
    let input = Input::new(value).range(from..);
    let mut state = automaton.start_state_reverse(cache, &input).ok()?;
    // A state tells of a match one byte late.
    for (place, byte) in value.get(from..)?.iter().enumerate().rev() {
        state = automaton.next_state(cache, state, *byte).ok()?;
        if state.is_tagged() {
            if state.is_match() {
                places.add(place + 1);
            } else if state.is_dead() {
                return Some(places);
            } else if state.is_quit() {
                return None;
            }
        }
    }
    let before = from.checked_sub(1).and_then(|at| value.get(at));
    let last = match before {
        Some(byte) => automaton.next_state(cache, state, *byte),
        None => automaton.next_eoi_state(cache, state),
    };
    if last.ok()?.is_match() {
        places.add(0);
    }
    Some(places)
}

/// A set of places, a bit each.
struct Places(Vec<u64>);

impl Places {
    fn up_to(last: usize) -> Self {
        Self(vec![0; last / 64 + 1])
    }

    fn add(&mut self, place: usize) {
        if let Some(word) = self.0.get_mut(place / 64) {
            *word |= 1 << (place % 64);
        }
    }

    fn bits(self) -> impl Iterator<Item = usize> {
        self.0.into_iter().enumerate().flat_map(|(index, word)| {
            let set = (0..64).filter(move |bit| word >> bit & 1 == 1);
            set.map(move |bit| 64 * index + bit)
        })
    }
}

const MAX_AUTOMATON: usize = 128 << 20;
const CACHE: usize = 2 << 20;
