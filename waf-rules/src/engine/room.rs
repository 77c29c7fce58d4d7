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

/// A room that has grown beyond this many bytes, all its parts together, is not kept.
const LARGEST: usize = 512 << 10;
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
        if state.arena.is_cut() {
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
        if room.capacity() > LARGEST {
            return;
        }
        // The thread may be on its way out.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < ROOMS {
                spare.push(room);
            }
        });
    }

    /// Bytes of memory it owns. A few bytes can make many values, and each value a row of the cache
    /// and of the candidates: the arena alone says little.
    fn capacity(&self) -> usize {
        self.arena.capacity()
            + self.values.capacity()
            + self.cache.capacity()
            + self.candidates.capacity()
            + self.hits.iter().map(bytes).sum::<usize>()
            + self.items.iter().map(bytes).sum::<usize>()
            + self.texts.iter().map(bytes).sum::<usize>()
    }
}

/// Bytes of memory that `list` owns.
pub(crate) fn bytes<T>(list: &Vec<T>) -> usize {
    list.capacity() * size_of::<T>()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::SystemTime;

    use super::*;
    use crate::{Loader, Origin, RequestLine};

    /// Bytes that the room of a request with so many arguments leaves behind.
    fn left_after(arguments: usize) -> usize {
        SPARE.take();
        let text = "SecArgumentsLimit 50000\n\
                    SecRule ARGS \"@rx x\" \"id:1,phase:2,pass,t:lowercase\"\n\
                    SecRule ARGS \"@rx y\" \"id:2,phase:2,pass,t:urlDecode\"\n";
        let loaded = Loader::new().text("t.conf", text).load().unwrap();
        let client = "192.0.2.7:4000".parse().unwrap();
        let server = "192.0.2.1:80".parse().unwrap();
        let origin = Origin { client, server };
        let rules = Arc::new(loaded.rules);
        let mut transaction = rules.begin(origin, "unique", SystemTime::UNIX_EPOCH);
        let target = format!("/?{}", "X&".repeat(arguments));
        let line = RequestLine {
            method: b"GET",
            target: target.as_bytes(),
            protocol: b"HTTP/1.1",
        };
        transaction.request_headers(line, std::iter::empty());
        transaction.request_body(b"", true);
        drop(transaction);
        SPARE.take().iter().map(Room::capacity).sum()
    }

    #[test]
    fn a_room_that_many_short_values_have_grown_is_given_back_and_an_ordinary_one_is_kept() {
        let ordinary = left_after(5);
        assert!(ordinary > 0 && ordinary < LARGEST, "{ordinary}");
        assert_eq!(left_after(20_000), 0);
    }
}
