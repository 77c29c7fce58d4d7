//! Decided at load: which rules of a phase are worth running on which values.
//!
//! A rule is a *candidate* rule if its first link looks at fixed values only and asks an operator that
//! answers from the value alone. For these the plan says, variable by variable, which values they look
//! at and after which transformations, so that a phase starts with one set of rules that may match
//! (see `candidates`). Every other rule of the phase always runs.
//!
//! The plan also knows the *guards*: rules that only compare a number in `TX` and jump over others,
//! as the Core Rule Set does for its paranoia levels. What a guard is going to jump over need not be
//! looked at; should it not jump after all, the phase looks again (see `evaluate`).

use std::collections::BTreeMap;

use super::bits::Bits;
use super::cache::Pipeline;
use super::families::{Families, Members};
use super::quick::Quick;
use super::rule::{Link, Next, Rule};
use super::ruleset::Entry;
use super::target::{Pick, TargetSet};
use super::values::{Value, Values};
use crate::byteset::ByteSet;
use crate::variables::{Origin, Variable};

/// What every phase looks at.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    phases: [Phase; 5],
    /// Words of a set of the rules of all phases.
    pub(crate) width: usize,
}

/// One phase. Its sets hold places of its program.
#[derive(Debug, Default)]
pub(crate) struct Phase {
    /// How many words such a set has.
    pub(crate) width: usize,
    /// First word of the phase among those of all phases.
    pub(crate) start: usize,
    /// First bit of the phase among the filters of its side.
    pub(crate) first: usize,
    /// The rules that are no candidate rules.
    pub(crate) always: Box<[u64]>,
    pub(crate) guards: Vec<Guard>,
    /// The rules whose patterns are asked together.
    pub(crate) families: Families,
    /// Every variable some candidate rule looks at, with what it leads to.
    pub(crate) variables: Vec<(Variable, Vec<Reach>)>,
}

/// A comparison, and what all rules that jump on it jump over.
#[derive(Debug)]
pub(crate) struct Guard {
    pub(crate) quick: Quick,
    pub(crate) over: Box<[u64]>,
    /// The number it compares, as far as the rules themselves set it in phase 1.
    pub(crate) expected: Option<i64>,
}

/// What one way of naming a variable leads to.
#[derive(Debug)]
pub(crate) struct Reach {
    /// The rules that look at every member.
    all: Box<[u64]>,
    /// The rules that look at the members a selector means, and those that leave them out.
    chosen: Vec<(u32, Box<[u64]>)>,
    left_out: Vec<(u32, Box<[u64]>)>,
    /// The selectors of both, as bits.
    selectors: Bits,
    pub(crate) lanes: Vec<Lane>,
}

/// The rules that share a pipeline, and therefore the byte strings they see.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) pipeline: u32,
    pub(crate) multi_match: bool,
    /// A value without any of these bytes comes out as it is; `None` if nothing can be said.
    pub(crate) triggers: Option<ByteSet>,
    /// Word of the phase's set, and the rules in it.
    pub(crate) rules: Vec<(usize, u64)>,
}

impl Plan {
    /// Makes the plan of the programs in `phases`.
    pub(crate) fn new(
        rules: &[Rule],
        targets: &[TargetSet],
        pipelines: &[Pipeline],
        phases: &[Vec<Entry>; 5],
    ) -> Self {
        let (mut first, mut start, mut number) = (0, 0, 0);
        let phases = phases.each_ref().map(|program| {
            number += 1;
            if number == 3 {
                first = 0;
            }
            let mut draft = Draft::new(program.len(), first);
            for (place, entry) in program.iter().enumerate() {
                if let Some(rule) = rules.get(entry.rule as usize) {
                    draft.add(place, rule, entry.quick, targets);
                }
            }
            let mut phase = draft.finish(pipelines);
            phase.start = start;
            start += phase.width;
            first += phase.width * 64;
            phase
        });
        Self {
            phases,
            width: start,
        }
    }

    /// The plan of `phase`, 1 to 5.
    pub(crate) fn phase(&self, phase: u8) -> Option<&Phase> {
        self.phases.get(usize::from(phase).wrapping_sub(1))
    }

    /// Tells the guards what number to expect where none is set yet.
    pub(crate) fn expect(&mut self, number: impl Fn(&Quick) -> Option<i64>) {
        for guard in self.phases.iter_mut().flat_map(|phase| &mut phase.guards) {
            guard.expected = number(&guard.quick);
        }
    }
}

impl Reach {
    /// Writes the rules that look at `value` into `rules`.
    pub(crate) fn rules(&self, values: &Values, value: &Value, rules: &mut [u64]) {
        rules.copy_from_slice(&self.all);
        let marks = values.marks(value, self.selectors.words().len());
        let named = marks.iter().zip(self.selectors.words());
        if named.clone().all(|(marks, ours)| marks & ours == 0) {
            return;
        }
        for (_, chosen) in self.marked(&self.chosen, values, value) {
            for (word, more) in rules.iter_mut().zip(chosen) {
                *word |= more;
            }
        }
        for (_, left_out) in self.marked(&self.left_out, values, value) {
            for (word, less) in rules.iter_mut().zip(left_out) {
                *word &= !less;
            }
        }
    }

    fn marked<'s>(
        &self,
        sets: &'s [(u32, Box<[u64]>)],
        values: &'s Values,
        value: &'s Value,
    ) -> impl Iterator<Item = &'s (u32, Box<[u64]>)> {
        sets.iter()
            .filter(|(selector, _)| values.marked(value, *selector))
    }
}

/// True if the prefilter and the memory may answer for the first link of a rule.
pub(crate) fn is_candidate(link: &Link, targets: &[TargetSet]) -> bool {
    let fixed = targets
        .get(link.targets as usize)
        .is_some_and(|set| set.fixed);
    let check = link.check.as_ref();
    fixed && check.is_some_and(|check| check.template.is_none() && check.operator.is_pure())
}

/// A phase while it is read.
struct Draft<'r> {
    len: usize,
    first: usize,
    always: Bits,
    guards: Vec<(Quick, Bits)>,
    reaches: BTreeMap<(Variable, Variable), ReachDraft>,
    large: Members<'r>,
}

struct ReachDraft {
    all: Bits,
    chosen: BTreeMap<u32, Bits>,
    left_out: BTreeMap<u32, Bits>,
    lanes: BTreeMap<(u32, bool), Bits>,
}

impl<'r> Draft<'r> {
    fn new(len: usize, first: usize) -> Self {
        Self {
            len,
            first,
            always: Bits::with_room(len),
            guards: Vec::new(),
            reaches: BTreeMap::new(),
            large: Members::default(),
        }
    }

    fn add(&mut self, place: usize, rule: &'r Rule, quick: Option<Quick>, targets: &[TargetSet]) {
        if let (Some(quick), Next::Jump(end)) = (quick, rule.next)
            && rule.links.len() == 1
        {
            let at = self.guards.iter().position(|(known, _)| *known == quick);
            let at = at.unwrap_or_else(|| {
                self.guards.push((quick, Bits::with_room(self.len)));
                self.guards.len() - 1
            });
            if let Some((_, over)) = self.guards.get_mut(at) {
                (place + 1..end.min(self.len)).for_each(|place| over.insert(place));
            }
        }
        let link = rule
            .links
            .first()
            .filter(|link| is_candidate(link, targets));
        let Some((link, set)) =
            link.and_then(|link| Some((link, targets.get(link.targets as usize)?)))
        else {
            self.always.insert(place);
            return;
        };
        self.large.add(place, link);
        for target in &set.includes {
            let single = [target.variable];
            let owners = match target.variable.origin() {
                Origin::Union(parts) => parts,
                _ => &single,
            };
            for owner in owners {
                let len = self.len;
                let reach = self
                    .reaches
                    .entry((*owner, target.variable))
                    .or_insert_with(|| ReachDraft::new(len));
                match target.pick {
                    Pick::All => reach.all.insert(place),
                    Pick::Selector(number) => bits(&mut reach.chosen, number, len).insert(place),
                    Pick::Slot(_) => {}
                }
                for exclude in &set.excludes {
                    if let Pick::Selector(number) = exclude.pick
                        && exclude.variable == target.variable
                    {
                        bits(&mut reach.left_out, number, len).insert(place);
                    }
                }
                bits(&mut reach.lanes, (link.pipeline, link.multi_match), len).insert(place);
            }
        }
    }

    fn finish(self, pipelines: &[Pipeline]) -> Phase {
        let mut variables: Vec<(Variable, Vec<Reach>)> = Vec::new();
        for ((owner, _), reach) in self.reaches {
            let reach = reach.finish(pipelines);
            match variables.last_mut() {
                Some((last, reaches)) if *last == owner => reaches.push(reach),
                _ => variables.push((owner, vec![reach])),
            }
        }
        let families = self.large.families(&self.guards);
        let guards = self.guards.into_iter().map(|(quick, over)| Guard {
            quick,
            over: over.words().into(),
            expected: None,
        });
        Phase {
            width: self.always.words().len(),
            start: 0,
            first: self.first,
            always: self.always.words().into(),
            guards: guards.collect(),
            families,
            variables,
        }
    }
}

impl ReachDraft {
    fn new(len: usize) -> Self {
        Self {
            all: Bits::with_room(len),
            chosen: BTreeMap::new(),
            left_out: BTreeMap::new(),
            lanes: BTreeMap::new(),
        }
    }

    fn finish(self, pipelines: &[Pipeline]) -> Reach {
        let numbers = self.chosen.keys().chain(self.left_out.keys());
        let room = numbers.clone().max().map_or(0, |most| *most as usize + 1);
        let mut selectors = Bits::with_room(room);
        numbers.for_each(|number| selectors.insert(*number as usize));
        let words = |(number, set): (u32, Bits)| (number, set.words().into());
        let lanes = self
            .lanes
            .into_iter()
            .map(|((pipeline, multi_match), rules)| {
                let rules = rules.words().iter().copied().enumerate();
                Lane {
                    pipeline,
                    multi_match,
                    triggers: pipelines
                        .get(pipeline as usize)
                        .and_then(Pipeline::triggers),
                    rules: rules.filter(|(_, bits)| *bits != 0).collect(),
                }
            });
        Reach {
            all: self.all.words().into(),
            chosen: self.chosen.into_iter().map(words).collect(),
            left_out: self.left_out.into_iter().map(words).collect(),
            selectors,
            lanes: lanes.collect(),
        }
    }
}

fn bits<K: Ord>(sets: &mut BTreeMap<K, Bits>, key: K, room: usize) -> &mut Bits {
    sets.entry(key).or_insert_with(|| Bits::with_room(room))
}
