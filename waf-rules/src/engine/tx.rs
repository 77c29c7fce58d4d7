//! The `TX` collection: the rules' own variables.
//!
//! Names that stand in the rules are numbered at load; names built at run time from macros live in
//! a map with a bounded number of entries. Names compare without ASCII case.

use std::collections::HashMap;

use super::arena::{Arena, Text};
use crate::operators::leading_number;

/// Most names a transaction may invent at run time.
const INVENTED: usize = 16_384;

/// A known name's number. 0 to 9 are the captures.
pub(crate) type Slot = u32;

/// The names that stand in the rules.
#[derive(Debug)]
pub(crate) struct TxNames {
    slots: HashMap<Box<[u8]>, Slot>,
    /// As first written, by slot.
    names: Vec<Box<[u8]>>,
}

impl Default for TxNames {
    fn default() -> Self {
        let mut names = Self {
            slots: HashMap::new(),
            names: Vec::new(),
        };
        for capture in 0..=9 {
            names.slot(&[b'0' + capture]);
        }
        names
    }
}

impl TxNames {
    /// The number of `name`, given out on first use.
    pub(crate) fn slot(&mut self, name: &[u8]) -> Slot {
        let next = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        *self.slots.entry(folded(name)).or_insert_with(|| {
            self.names.push(name.into());
            next
        })
    }

    /// The name of `slot`, as it was first written.
    pub(crate) fn name(&self, slot: Slot) -> &[u8] {
        self.names.get(slot as usize).map_or(&[], |name| name)
    }

    /// The number of `name`, if the rules know it.
    pub(crate) fn find(&self, name: &[u8]) -> Option<Slot> {
        self.slots.get(&folded(name)).copied()
    }

    /// Every name that is text.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.slots
            .keys()
            .filter_map(|name| std::str::from_utf8(name).ok())
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }
}

/// One variable that is set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TxValue {
    pub(crate) name: Text,
    pub(crate) value: Text,
    /// The number that the value starts with, or zero.
    pub(crate) number: i64,
    /// Rules cannot change it.
    pinned: bool,
}

/// The collection's state in one transaction.
#[derive(Debug, Default)]
pub(crate) struct Tx {
    slots: Vec<Option<TxValue>>,
    invented: HashMap<Box<[u8]>, usize>,
    others: Vec<Option<TxValue>>,
    full: bool,
}

impl Tx {
    /// Forgets every variable, and gets ready for those called `names`.
    pub(crate) fn reset(&mut self, names: &TxNames) {
        self.slots.clear();
        self.slots.resize(names.len(), None);
        self.invented.clear();
        self.others.clear();
        self.full = false;
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<TxValue> {
        self.slots.get(slot as usize).copied().flatten()
    }

    /// True if a name could not be invented any more.
    pub(crate) fn is_full(&self) -> bool {
        self.full
    }

    /// The variable called `name`, wherever it lives.
    pub(crate) fn find(&self, names: &TxNames, name: &[u8]) -> Option<TxValue> {
        match names.find(name) {
            Some(slot) => self.get(slot),
            None => self
                .invented
                .get(&folded(name))
                .and_then(|index| self.others.get(*index).copied().flatten()),
        }
    }

    /// Sets or, with `None`, removes a known variable. `name` is kept from the first time.
    pub(crate) fn put(&mut self, slot: Slot, name: &[u8], value: Option<Text>, arena: &mut Arena) {
        if let Some(entry) = self.slots.get_mut(slot as usize)
            && !entry.is_some_and(|old| old.pinned)
        {
            *entry = value.map(|value| TxValue {
                name: entry.map_or_else(|| arena.push(name), |old| old.name),
                value,
                number: leading_number(arena.get(value)),
                pinned: false,
            });
        }
    }

    /// Sets a known variable for the whole transaction: [`Tx::put`] leaves it as it is.
    pub(crate) fn pin(&mut self, slot: Slot, name: &[u8], value: &[u8], arena: &mut Arena) {
        if let Some(entry) = self.slots.get_mut(slot as usize) {
            *entry = Some(TxValue {
                name: arena.push(name),
                value: arena.push(value),
                number: leading_number(value),
                pinned: true,
            });
        }
    }

    /// Sets or removes the variable called `name`, wherever it lives.
    pub(crate) fn put_named(
        &mut self,
        names: &TxNames,
        name: &[u8],
        value: Option<Text>,
        arena: &mut Arena,
    ) {
        if let Some(slot) = names.find(name) {
            return self.put(slot, name, value, arena);
        }
        let index = match self.invented.get(&folded(name)) {
            Some(index) => *index,
            None if value.is_none() => return,
            None if self.others.len() >= INVENTED => {
                self.full = true;
                return;
            }
            None => {
                self.invented.insert(folded(name), self.others.len());
                self.others.push(None);
                self.others.len() - 1
            }
        };
        if let Some(entry) = self.others.get_mut(index) {
            *entry = value.map(|value| TxValue {
                name: arena.push(name),
                value,
                number: leading_number(arena.get(value)),
                pinned: false,
            });
        }
    }

    /// Removes the captures.
    pub(crate) fn clear_captures(&mut self) {
        for entry in self.slots.iter_mut().take(10) {
            if !entry.is_some_and(|old| old.pinned) {
                *entry = None;
            }
        }
    }

    /// Every variable that was given a name at run time, in their order.
    pub(crate) fn invented(&self) -> impl Iterator<Item = TxValue> {
        self.others.iter().copied().flatten()
    }

    /// Every variable that is set: known names first, then invented ones in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = TxValue> {
        self.slots.iter().chain(&self.others).copied().flatten()
    }
}

fn folded(name: &[u8]) -> Box<[u8]> {
    name.to_ascii_lowercase().into_boxed_slice()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_whatever_their_case_and_origin() {
        let mut names = TxNames::default();
        let score = names.slot(b"Score");
        let mut arena = Arena::default();
        let mut tx = Tx::default();
        tx.reset(&names);
        let five = arena.push(b"5");
        tx.put_named(&names, b"SCORE", Some(five), &mut arena);
        assert_eq!(tx.get(score).map(|value| value.value), Some(five));
        tx.put_named(&names, b"made_up", Some(five), &mut arena);
        assert!(tx.find(&names, b"MADE_UP").is_some());
        assert_eq!(tx.iter().count(), 2);
        tx.put_named(&names, b"made_up", None, &mut arena);
        assert!(tx.find(&names, b"made_up").is_none());
    }

    #[test]
    fn a_client_cannot_invent_names_without_end() {
        let names = TxNames::default();
        let mut arena = Arena::default();
        let mut tx = Tx::default();
        tx.reset(&names);
        for number in 0..INVENTED + 5 {
            let name = format!("n{number}");
            tx.put_named(&names, name.as_bytes(), Some(Text::default()), &mut arena);
        }
        assert_eq!(tx.iter().count(), INVENTED);
        assert!(tx.is_full());
    }
}
