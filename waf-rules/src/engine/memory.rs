//! What is known of values that come again: headers, cookies, names, methods, flags.
//!
//! Security argument. What is remembered is that the first link of a rule *cannot match* a value, which
//! for a candidate rule (see `plan`) depends on the bytes of the value and on the rule alone. It is
//! remembered after the prefilter said so or after the operator was asked and said no, under the whole
//! bytes of the value, its name and its variable, which are compared in full. Everything else stays
//! "maybe". So a remembered verdict cannot differ from a new one; forgetting costs time and nothing
//! else, and so does whatever a client does to fill the memory.
//!
//! Arguments and bodies are never remembered. A value is kept only when it is seen a second time, so
//! that random ones cost the write of a tag. The memory belongs to a thread and a rule set: no lock, a
//! bounded number of entries of bounded size, and it goes when another rule set needs the room.

use std::cell::RefCell;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Weak};

use super::arena::Arena;
use super::values::Value;
use crate::variables::Variable;

/// Longest name and value together that are remembered.
const LONGEST: usize = 512;
/// Most entries of one memory, and most bytes of it.
const ENTRIES: usize = 2048;
const BYTES: usize = 2 << 20;
/// Most rule sets a thread remembers for.
const MEMORIES: usize = 4;

thread_local! {
    static SPARE: RefCell<Vec<Memory>> = const { RefCell::new(Vec::new()) };
}

/// What tells the memories of one rule set from those of another.
#[derive(Debug)]
pub(crate) struct Key {
    alive: Arc<()>,
    seed: u64,
}

impl Default for Key {
    fn default() -> Self {
        Self {
            alive: Arc::new(()),
            seed: RandomState::new().build_hasher().finish(),
        }
    }
}

impl Key {
    /// A hash of a value, its name and its variable that a client cannot foresee.
    pub(crate) fn hash(&self, arena: &Arena, variable: Variable, value: &Value) -> u64 {
        const FACTOR: u64 = 0xf135_7aea_2e62_a9c5;
        let mut hash = self.seed;
        let mut add = |word: u64| {
            hash = (hash.rotate_left(26) ^ word).wrapping_mul(FACTOR);
        };
        add(variable as u64);
        for text in [value.name, value.value] {
            let (words, rest) = arena.get(text).as_chunks();
            for word in words {
                add(u64::from_le_bytes(*word));
            }
            let mut last = [0; 8];
            for (to, from) in last.iter_mut().zip(rest) {
                *to = *from;
            }
            add(u64::from_le_bytes(last));
            add(text.len() as u64);
        }
        hash ^ hash >> 32
    }
}

/// One thread's memory for one rule set.
#[derive(Debug)]
pub(crate) struct Memory {
    owner: Weak<()>,
    entries: Vec<Option<Entry>>,
    /// Hashes of values that were seen once.
    seen: Vec<u64>,
    /// Words of a set of the rules of all phases.
    width: usize,
    inserted: u32,
}

#[derive(Debug)]
struct Entry {
    hash: u64,
    variable: Variable,
    name: Box<[u8]>,
    value: Box<[u8]>,
    /// Tells the entry from others that take its place.
    number: u32,
    /// The rules something is known about, then those that may match.
    words: Box<[u64]>,
}

/// Where a value is remembered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    index: usize,
    number: u32,
}

/// What is remembered of a value: rules something is known about, and those of them that may match.
pub(crate) type Known<'m> = (&'m mut [u64], &'m mut [u64]);

impl Memory {
    /// This thread's memory for the rule set with this key, whose sets of rules have `width` words.
    pub(crate) fn take(key: &Key, width: usize) -> Self {
        let ours = SPARE.with_borrow_mut(|spare| {
            let at = spare
                .iter()
                .position(|memory| memory.owner.as_ptr() == Arc::as_ptr(&key.alive))?;
            Some(spare.remove(at))
        });
        ours.unwrap_or_else(|| Self::new(key, width))
    }

    /// Keeps the memory for this thread's next transaction.
    pub(crate) fn put(self) {
        SPARE.with_borrow_mut(|spare| {
            if spare.len() >= MEMORIES {
                spare.retain(|memory| memory.owner.strong_count() > 0);
                spare.truncate(MEMORIES - 1);
            }
            // The last one used comes first.
            spare.insert(0, self);
        });
    }

    fn new(key: &Key, width: usize) -> Self {
        let size = size_of::<Entry>() + LONGEST + 16 * width;
        let entries = (BYTES / size).clamp(16, ENTRIES);
        Self {
            owner: Arc::downgrade(&key.alive),
            entries: (0..entries).map(|_| None).collect(),
            seen: vec![0; 2 * entries],
            width,
            inserted: 0,
        }
    }

    /// Finds the value with this hash; one that is seen a second time is added.
    pub(crate) fn find(
        &mut self,
        hash: u64,
        arena: &Arena,
        variable: Variable,
        value: &Value,
    ) -> Option<Place> {
        let (name, text) = (arena.get(value.name), arena.get(value.value));
        if name.len() + text.len() > LONGEST {
            return None;
        }
        let (index, seen) = (slot(hash, self.entries.len()), slot(hash, self.seen.len()));
        let entry = self.entries.get_mut(index)?;
        if let Some(entry) = entry
            && entry.hash == hash
            && entry.variable == variable
            && *entry.value == *text
            && *entry.name == *name
        {
            let number = entry.number;
            return Some(Place { index, number });
        }
        let seen = self.seen.get_mut(seen)?;
        if *seen != hash {
            *seen = hash;
            return None;
        }
        self.inserted = self.inserted.wrapping_add(1);
        let number = self.inserted;
        *entry = Some(Entry {
            hash,
            variable,
            name: name.into(),
            value: text.into(),
            number,
            words: vec![0; 2 * self.width].into(),
        });
        Some(Place { index, number })
    }

    /// What is remembered at `place` of the `width` words of rules from `from` on; nothing if another
    /// value has taken the place.
    pub(crate) fn known(&mut self, place: Place, from: usize, width: usize) -> Option<Known<'_>> {
        let entry = self.entries.get_mut(place.index)?.as_mut()?;
        if entry.number != place.number {
            return None;
        }
        let (known, maybe) = entry.words.split_at_mut_checked(self.width)?;
        Some((
            known.get_mut(from..from + width)?,
            maybe.get_mut(from..from + width)?,
        ))
    }
}

/// True if values of this variable tend to come again. Arguments and bodies, and what holds them,
/// do not: remembering them would only show in benchmarks.
pub(crate) fn comes_again(variable: Variable) -> bool {
    !matches!(
        variable,
        Variable::ArgsCombinedSize
            | Variable::ArgsGet
            | Variable::ArgsPost
            | Variable::Files
            | Variable::FilesCombinedSize
            | Variable::FilesSizes
            | Variable::MultipartFilename
            | Variable::MultipartPartHeaders
            | Variable::PathInfo
            | Variable::QueryString
            | Variable::ReqbodyErrorMsg
            | Variable::ReqbodyProcessorErrorMsg
            | Variable::RemotePort
            | Variable::RequestBasename
            | Variable::RequestBody
            | Variable::RequestBodyLength
            | Variable::RequestFilename
            | Variable::RequestLine
            | Variable::RequestUri
            | Variable::RequestUriRaw
            | Variable::ResponseBody
            | Variable::ResponseContentLength
            | Variable::UniqueId
            | Variable::Xml
    )
}

/// The hash's upper half, scaled down to a table's size.
fn slot(hash: u64, size: usize) -> usize {
    ((hash >> 32) as usize * size) >> 32
}

#[cfg(test)]
mod tests {
    use super::super::values::Values;
    use super::*;

    /// A value of `variable` in an arena of its own.
    fn value(variable: Variable, name: &[u8], text: &[u8]) -> (Arena, Value) {
        let mut arena = Arena::default();
        let mut values = Values::default();
        values.reset();
        let (name, text) = (arena.push(name), arena.push(text));
        values.add(variable, name, text);
        let value = *values.get(0).expect("the value just added");
        (arena, value)
    }

    fn find(memory: &mut Memory, key: &Key, name: &[u8], text: &[u8]) -> Option<Place> {
        let (arena, value) = value(Variable::RequestHeaders, name, text);
        let hash = key.hash(&arena, Variable::RequestHeaders, &value);
        memory.find(hash, &arena, Variable::RequestHeaders, &value)
    }

    #[test]
    fn a_value_is_remembered_from_its_second_sight_on_and_its_neighbours_are_not_taken_for_it() {
        let key = Key::default();
        let mut memory = Memory::take(&key, 2);
        assert!(find(&mut memory, &key, b"Accept", b"*/*").is_none());
        let place = find(&mut memory, &key, b"Accept", b"*/*").expect("the second sight");
        let (known, maybe) = memory.known(place, 1, 1).expect("the entry");
        assert_eq!((&*known, &*maybe), (&[0][..], &[0][..]));
        known[0] = 5;
        let again = find(&mut memory, &key, b"Accept", b"*/*").expect("the third");
        assert_eq!(memory.known(again, 1, 1).expect("the entry").0, [5]);
        for (name, text) in [
            (b"Accept", b"*/ "),
            (b"accept", b"*/*"),
            (b"Accep*", b"t/*"),
        ] {
            assert!(find(&mut memory, &key, name, text).is_none());
        }
    }

    #[test]
    fn a_place_that_another_value_has_taken_tells_nothing() {
        let key = Key::default();
        let mut memory = Memory::take(&key, 1);
        find(&mut memory, &key, b"a", b"b");
        let first = find(&mut memory, &key, b"a", b"b").expect("the second sight");
        for number in 0..100 * ENTRIES {
            let text = number.to_string();
            find(&mut memory, &key, b"a", text.as_bytes());
            find(&mut memory, &key, b"a", text.as_bytes());
        }
        assert!(memory.known(first, 0, 1).is_none());
    }

    #[test]
    fn long_values_are_not_kept_and_arguments_never() {
        let key = Key::default();
        let mut memory = Memory::take(&key, 1);
        let long = [b'a'; LONGEST];
        for _ in 0..3 {
            assert!(find(&mut memory, &key, b"x", &long).is_none());
        }
        assert!(comes_again(Variable::RequestHeaders) && comes_again(Variable::ArgsGetNames));
        assert!(!comes_again(Variable::ArgsGet) && !comes_again(Variable::RequestBody));
    }

    #[test]
    fn each_rule_set_has_its_own_memory_and_a_thread_keeps_few() {
        let keys: Vec<_> = (0..MEMORIES + 2).map(|_| Key::default()).collect();
        for key in &keys {
            let mut memory = Memory::take(key, 1);
            assert!(find(&mut memory, key, b"a", b"b").is_none());
            memory.put();
        }
        assert!(SPARE.with_borrow(Vec::len) <= MEMORIES);
        let last = keys.last().expect("a key");
        let mut memory = Memory::take(last, 1);
        assert!(find(&mut memory, last, b"a", b"b").is_some());
    }
}
