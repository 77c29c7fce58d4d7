//! Rules with large patterns that see the same byte strings: one search asks all of them.
//!
//! Security argument. A rule is taken from the candidates of a value only if the search over exactly the
//! bytes its operator would be given, complete and with its pattern among others, found no match. Negated rules
//! are in no family. Rules behind different guards are in different families, so that a search is not
//! slowed down by rules that are jumped over.

use super::bits::{Bits, has};
use super::quick::Quick;
use super::rule::Link;
use crate::regex::{Family, Pattern};

/// The families of a phase.
#[derive(Debug, Default)]
pub(crate) struct Families {
    list: Vec<Relatives>,
}

#[derive(Debug)]
struct Relatives {
    pipeline: u32,
    /// The place of each pattern's rule in the program of the phase.
    places: Box<[usize]>,
    family: Family,
}

/// Rules of a phase that may join a family, in load order.
#[derive(Debug, Default)]
pub(crate) struct Members<'r> {
    list: Vec<(usize, u32, &'r Pattern)>,
}

impl<'r> Members<'r> {
    /// Adds the rule at `place` if it is one; `link` is its first.
    pub(crate) fn add(&mut self, place: usize, link: &'r Link) {
        let check = link.check.as_ref().filter(|check| !check.negated);
        if let Some(pattern) = check.and_then(|check| check.operator.pattern())
            && pattern.joins_a_family()
            && !link.multi_match
        {
            self.list.push((place, link.pipeline, pattern));
        }
    }

    /// Forms the families: same pipeline, behind the same guards.
    pub(crate) fn families(self, guards: &[(Quick, Bits)]) -> Families {
        let behind = |place: usize| guards.iter().map(move |(_, over)| over.contains(place));
        let mut groups: Vec<Vec<(usize, u32, &Pattern)>> = Vec::new();
        for member in self.list {
            let fits = |group: &&mut Vec<(usize, u32, &Pattern)>| {
                group.len() < Family::MOST
                    && group.first().is_some_and(|first| {
                        first.1 == member.1 && behind(first.0).eq(behind(member.0))
                    })
            };
            match groups.iter_mut().find(fits) {
                Some(group) => group.push(member),
                None => groups.push(vec![member]),
            }
        }
        let families = groups.into_iter().filter(|group| group.len() > 1);
        let list = families.map(|group| {
            let patterns: Vec<_> = group.iter().map(|(_, _, pattern)| *pattern).collect();
            Relatives {
                pipeline: group.first().map_or(0, |first| first.1),
                places: group.iter().map(|(place, ..)| *place).collect(),
                family: Family::new(&patterns),
            }
        });
        Families {
            list: list.collect(),
        }
    }
}

impl Families {
    /// Takes from `maybe` the rules behind `pipeline` that are `wanted` and do not match `bytes`, where
    /// several of a family are left: for one alone, asking it is as cheap.
    pub(crate) fn narrow(&self, pipeline: u32, bytes: &[u8], wanted: &[u64], maybe: &mut [u64]) {
        for relatives in self.list.iter().filter(|all| all.pipeline == pipeline) {
            let places = relatives.places.iter().copied();
            let left = |place: &usize| has(wanted, *place) && has(maybe, *place);
            if places.clone().filter(left).count() < 2 {
                continue;
            }
            if relatives.family.may_match(bytes) {
                continue;
            }
            for place in places.filter(|place| has(wanted, *place)) {
                if let Some(word) = maybe.get_mut(place / 64) {
                    *word &= !(1 << (place % 64));
                }
            }
        }
    }
}
