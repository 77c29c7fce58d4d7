//! The values of one transaction that are fixed while a phase runs: headers, arguments, bodies.

use super::arena::{Arena, Text};
use super::room;
use super::selector::Selectors;
use crate::variables::{Origin, Variable};

/// One value with the name it was sent under.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Value {
    pub(crate) name: Text,
    pub(crate) value: Text,
    /// Where this value's selector bits start.
    marks: u32,
}

/// All fixed values, grouped by variable.
#[derive(Debug, Default)]
pub(crate) struct Values {
    list: Vec<Value>,
    /// (first, past the last) in `list`, by variable.
    ranges: Vec<(u32, u32)>,
    owners: Vec<Variable>,
    /// One bit a selector of the value's family.
    marks: Vec<u64>,
}

impl Values {
    /// Forgets every value, and gets ready for new ones.
    pub(crate) fn reset(&mut self) {
        self.list.clear();
        self.owners.clear();
        self.marks.clear();
        self.ranges.clear();
        self.ranges.resize(Variable::COUNT, (0, 0));
    }

    /// Bytes of memory it owns.
    pub(crate) fn capacity(&self) -> usize {
        room::bytes(&self.list)
            + room::bytes(&self.ranges)
            + room::bytes(&self.owners)
            + room::bytes(&self.marks)
    }

    /// Adds a member. Members of one variable lie side by side; a late one moves the earlier ones.
    pub(crate) fn add(&mut self, variable: Variable, name: Text, value: Text) {
        let end = narrow(self.list.len());
        let Some(range) = self.ranges.get_mut(variable.index()) else {
            return;
        };
        let (first, last) = *range;
        let value = Value {
            name,
            value,
            marks: u32::MAX,
        };
        if first == last {
            *range = (end, end + 1);
        } else if last == end {
            range.1 = end + 1;
        } else {
            *range = (end, end + (last - first) + 1);
            for index in first..last {
                if let Some(old) = self.list.get(index as usize).copied() {
                    self.list.push(old);
                    self.owners.push(variable);
                }
            }
        }
        self.list.push(value);
        self.owners.push(variable);
    }

    /// Replaces all members by one without a name.
    pub(crate) fn set(&mut self, variable: Variable, value: Text) {
        self.clear(variable);
        self.add(variable, Text::default(), value);
    }

    /// Removes all members.
    pub(crate) fn clear(&mut self, variable: Variable) {
        if let Some(range) = self.ranges.get_mut(variable.index()) {
            *range = (0, 0);
        }
    }

    /// How many values there are; their numbers are below.
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// The value with this number.
    pub(crate) fn get(&self, id: u32) -> Option<&Value> {
        self.list.get(id as usize)
    }

    /// The numbers of the members of `variable`, which is no union: first, past the last.
    pub(crate) fn range(&self, variable: Variable) -> (u32, u32) {
        self.ranges
            .get(variable.index())
            .copied()
            .unwrap_or_default()
    }

    /// The first `words` words of the selectors that mean this value.
    pub(crate) fn marks(&self, value: &Value, words: usize) -> &[u64] {
        let start = value.marks as usize;
        self.marks.get(start..start + words).unwrap_or(&[])
    }

    /// Compares every new value with the selectors of its collection.
    pub(crate) fn seal(&mut self, selectors: &Selectors, arena: &Arena) {
        for (value, owner) in self.list.iter_mut().zip(&self.owners) {
            if value.marks != u32::MAX {
                continue;
            }
            value.marks = narrow(self.marks.len());
            let name = arena.get(value.name);
            for chunk in selectors.of(*owner).chunks(64) {
                let mut bits = 0_u64;
                for (bit, selector) in chunk.iter().enumerate() {
                    if selector.matches(name) {
                        bits |= 1 << bit;
                    }
                }
                self.marks.push(bits);
            }
        }
    }

    /// True if selector `number` of the value's family means this value.
    pub(crate) fn marked(&self, value: &Value, number: u32) -> bool {
        let word = value.marks as usize + number as usize / 64;
        self.marks
            .get(word)
            .is_some_and(|bits| bits & (1 << (number % 64)) != 0)
    }

    /// The members of `variable` with their numbers; of a union, one part after the other.
    pub(crate) fn of(&self, variable: Variable) -> impl Iterator<Item = (u32, &Value)> {
        let single = [variable];
        let (parts, single) = match variable.origin() {
            Origin::Union(parts) => (parts, None),
            _ => (&[][..], Some(single)),
        };
        parts
            .iter()
            .copied()
            .chain(single.into_iter().flatten())
            .flat_map(|part| {
                let (first, last) = self.ranges.get(part.index()).copied().unwrap_or_default();
                (first..last).filter_map(|index| Some((index, self.list.get(index as usize)?)))
            })
    }
}

fn narrow(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::selector::Selector;
    use super::*;

    #[test]
    fn members_stay_together_and_a_union_lists_its_parts_in_order() {
        let mut arena = Arena::default();
        let mut values = Values::default();
        values.reset();
        for (variable, text) in [
            (Variable::ArgsPost, "p1"),
            (Variable::ArgsGet, "g1"),
            (Variable::ArgsPost, "p2"),
        ] {
            let text = arena.push(text.as_bytes());
            values.add(variable, text, text);
        }
        let all: Vec<_> = values
            .of(Variable::Args)
            .map(|(_, value)| arena.get(value.value))
            .collect();
        assert_eq!(all, [b"g1", b"p1", b"p2"]);
    }

    #[test]
    fn marks_remember_every_selector_without_case() {
        let mut arena = Arena::default();
        let mut selectors = Selectors::default();
        for number in 0..70 {
            let key = format!("key{number}").into_bytes().into_boxed_slice();
            selectors.add(Variable::Args, Selector::Key(key));
        }
        let mut values = Values::default();
        values.reset();
        let name = arena.push(b"KEY69");
        values.add(Variable::ArgsGet, name, name);
        values.seal(&selectors, &arena);
        let (_, value) = values.of(Variable::ArgsGet).next().unwrap();
        assert!(values.marked(value, 69));
        assert!(!values.marked(value, 6));
    }
}
