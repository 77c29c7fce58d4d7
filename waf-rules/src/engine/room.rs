//! The memory of a transaction, handed on to the next one of the same thread.
//!
//! Everything is emptied before it is used again: nothing of one exchange can be read in another. What
//! an extraordinary exchange has grown is given back to the system, and so is what is left over.

use std::cell::RefCell;

use super::arena::Arena;
use super::cache::Cache;
use super::candidates::Candidates;
use super::ruleset::RuleSet;
use super::state::{Hit, State};
use super::target::Item;
use super::tx::Tx;
use super::values::Values;

/// A room whose arena has grown beyond this is not kept.
const LARGEST: usize = 256 << 10;
/// Most rooms a thread keeps: as many as exchanges usually overlap.
const ROOMS: usize = 16;

thread_local! {
    static SPARE: RefCell<Vec<Room>> = const { RefCell::new(Vec::new()) };
}

/// The parts of a [`State`] that own memory.
#[derive(Debug, Default)]
pub(crate) struct Room {
    pub(crate) arena: Arena,
    pub(crate) values: Values,
    pub(crate) tx: Tx,
    pub(crate) cache: Cache,
    pub(crate) candidates: Candidates,
    pub(crate) hits: [Vec<Hit>; 4],
    pub(crate) items: [Vec<Item>; 2],
    pub(crate) texts: [Vec<u8>; 2],
}

impl Room {
    /// An empty room for a transaction of `rules`.
    pub(crate) fn take(rules: &RuleSet) -> Self {
        let mut room = SPARE.with_borrow_mut(Vec::pop).unwrap_or_default();
        room.arena.truncate(0);
        room.values.reset();
        room.tx.reset(&rules.tx_names);
        room.cache.reset(rules);
        room.candidates.reset();
        room.hits.iter_mut().for_each(Vec::clear);
        room.items.iter_mut().for_each(Vec::clear);
        room.texts.iter_mut().for_each(Vec::clear);
        room
    }

    /// Takes the room back from a transaction that is over.
    pub(crate) fn put(state: &mut State) {
        if state.arena.len() > LARGEST || state.arena.is_cut() {
            return;
        }
        let room = Self {
            arena: std::mem::take(&mut state.arena),
            values: std::mem::take(&mut state.values),
            tx: std::mem::take(&mut state.tx),
            cache: std::mem::take(&mut state.cache),
            candidates: std::mem::take(&mut state.candidates),
            hits: [
                &mut state.previous,
                &mut state.chain,
                &mut state.starters,
                &mut state.current,
            ]
            .map(std::mem::take),
            items: [&mut state.live_items, &mut state.macro_items].map(std::mem::take),
            texts: [&mut state.expansion, &mut state.argument].map(std::mem::take),
        };
        // The thread may be on its way out.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < ROOMS {
                spare.push(room);
            }
        });
    }
}
