//! Look-around and back-references, by backtracking within a budget.
//!
//! No automaton matches these in linear time, and three patterns of the CRS 3 need them. Two things
//! keep the cost small and bounded:
//! - the *relaxed* pattern (look-around left out, a back-reference replaced by any text of the bytes its
//!   group may hold) matches wherever the pattern itself does, in linear time. Only where it matches
//!   is anything tried here;
//! - every step of every try is counted. A value that uses up the [`Budget`] counts as a match: whoever
//!   sends it must not thereby pass unseen, and a harmless value needs a few steps for each place
//!   where the relaxed pattern matches. So this may only err towards a match.
//!
//! Semantics are PCRE's: leftmost, first alternative first, look-around is atomic, look-behind has a
//! bounded length, a reference to a group that took no part fails.

mod budget;
mod program;
mod starts;
#[cfg(test)]
mod tests;

use std::ops::Range;

use regex_syntax::hir::{Hir, Look};

pub(crate) use self::budget::Budget;
use self::budget::Exhausted;
use self::program::{Inst, Program};
use self::starts::Starts;

/// A pattern with constructs that need backtracking.
#[derive(Debug)]
pub(super) struct Backtracker {
    program: Program,
    relaxed: Hir,
    starts: Starts,
}

/// How a try ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Tried {
    /// No match starts there.
    Failed,
    /// The groups of the match; the first is the match itself.
    Matched(Vec<Option<Range<usize>>>),
    /// The budget is used up.
    Exhausted,
}

impl Backtracker {
    /// Compiles a pattern that [`rewrite::marked`](super::rewrite::marked) has spelt out.
    ///
    /// # Errors
    /// What cannot be matched even so.
    pub(super) fn new(hir: &Hir) -> Result<Self, String> {
        let (program, relaxed) = program::compile(hir)?;
        Ok(Self {
            program,
            relaxed,
            starts: Starts::default(),
        })
    }

    /// A pattern that matches wherever this one does, and needs no backtracking.
    pub(super) const fn relaxed(&self) -> &Hir {
        &self.relaxed
    }

    /// How many capture groups there are, the whole match not counted.
    pub(super) const fn groups(&self) -> usize {
        self.program.groups
    }

    /// The leftmost match from `start` on, which is where the first match of the relaxed pattern starts.
    pub(super) fn search(&self, value: &[u8], start: usize, budget: &mut Budget) -> Tried {
        let rest = value.len().saturating_sub(start);
        if budget.take(rest / BYTES_A_STEP + SEARCH_COST).is_err() {
            return Tried::Exhausted;
        }
        let mut machine = self.machine(value, budget);
        let first = machine.try_at(start);
        if first != Tried::Failed || rest == 0 {
            return first;
        }
        let Some(starts) = self.starts.from(&self.relaxed, value, start + 1) else {
            return Tried::Exhausted;
        };
        starts
            .map(|start| machine.try_at(start))
            .find(|tried| *tried != Tried::Failed)
            .unwrap_or(Tried::Failed)
    }

    /// What tries to match in `value`.
    fn machine<'a>(&'a self, value: &'a [u8], budget: &'a mut Budget) -> Machine<'a> {
        Machine {
            program: &self.program,
            value,
            slots: vec![None; self.program.slots],
            choices: Vec::new(),
            budget,
        }
    }
}

/// All tries in one value.
#[derive(Debug)]
struct Machine<'a> {
    program: &'a Program,
    value: &'a [u8],
    /// Where groups start and end, and where loops were entered.
    slots: Vec<Option<usize>>,
    choices: Vec<Choice>,
    budget: &'a mut Budget,
}

/// What to return to when a path fails.
#[derive(Debug, Clone, Copy)]
enum Choice {
    /// Go on here.
    Branch { at: usize, position: usize },
    /// Undo a slot first.
    Restore { slot: usize, old: Option<usize> },
}

impl Machine<'_> {
    /// Tries to match at `start` exactly.
    fn try_at(&mut self, start: usize) -> Tried {
        // A try that failed has undone what it set.
        self.choices.clear();
        match self.run(0, start) {
            Ok(Some(end)) => Tried::Matched(self.groups(start..end)),
            Ok(None) => Tried::Failed,
            Err(Exhausted) => Tried::Exhausted,
        }
    }

    fn take(&mut self, steps: usize) -> Result<(), Exhausted> {
        self.budget.take(steps)
    }

    /// Runs from instruction `at` until a match, whose end is returned, or until no path is left.
    fn run(&mut self, mut at: usize, mut position: usize) -> Result<Option<usize>, Exhausted> {
        let base = self.choices.len();
        loop {
            self.take(1)?;
            let Some(inst) = self.program.insts.get(at) else {
                self.keep_undo_only(base)?;
                return Ok(Some(position));
            };
            if matches!(inst, Inst::Match) {
                self.keep_undo_only(base)?;
                return Ok(Some(position));
            }
            if let Some(next) = self.step(inst, at, position)? {
                (at, position) = next;
                continue;
            }
            match self.back(base) {
                Some(next) => (at, position) = next,
                None => return Ok(None),
            }
        }
    }

    /// One instruction: where to go on, or none if it fails.
    fn step(
        &mut self,
        inst: &Inst,
        at: usize,
        position: usize,
    ) -> Result<Option<(usize, usize)>, Exhausted> {
        let go = |passes: bool| passes.then_some((at + 1, position));
        Ok(match inst {
            Inst::Match => None,
            Inst::Bytes(set) => self
                .value
                .get(position)
                .filter(|byte| set.contains(**byte))
                .map(|_| (at + 1, position + 1)),
            Inst::Look(look) => go(holds(*look, self.value, position)),
            Inst::Jump(target) => Some((*target, position)),
            Inst::Split { first, second } => {
                self.push(Choice::Branch {
                    at: *second,
                    position,
                })?;
                Some((*first, position))
            }
            Inst::Save(slot) => {
                self.set(*slot, Some(position))?;
                go(true)
            }
            Inst::Progress { slot, exit } => {
                let stays = self.slots.get(*slot).copied().flatten() == Some(position);
                Some((if stays { *exit } else { at + 1 }, position))
            }
            Inst::Here => {
                go(self.slots.get(self.program.behind).copied().flatten() == Some(position))
            }
            Inst::Back { group, caseless } => self
                .after_reference(*group, *caseless, position)?
                .map(|end| (at + 1, end)),
            Inst::Ahead { negative, after } => {
                let found = self.look(at + 1, position, *negative)?.is_some();
                (found != *negative).then_some((*after, position))
            }
            Inst::Behind {
                negative,
                after,
                lengths,
            } => {
                let found = self.look_behind(at + 1, position, lengths.clone(), *negative)?;
                (found != *negative).then_some((*after, position))
            }
        })
    }

    /// Runs the body of a look-around; what a negative one captures is forgotten.
    fn look(
        &mut self,
        body: usize,
        position: usize,
        negative: bool,
    ) -> Result<Option<usize>, Exhausted> {
        let base = self.choices.len();
        let end = self.run(body, position)?;
        if negative {
            while self.choices.len() > base && self.back(base).is_some() {}
        }
        Ok(end)
    }

    fn look_behind(
        &mut self,
        body: usize,
        position: usize,
        lengths: Range<usize>,
        negative: bool,
    ) -> Result<bool, Exhausted> {
        for length in lengths {
            let Some(start) = position.checked_sub(length) else {
                break;
            };
            self.set(self.program.behind, Some(position))?;
            if self.look(body, start, negative)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The end of what a group matched, found again at `position`.
    fn after_reference(
        &mut self,
        group: usize,
        caseless: bool,
        position: usize,
    ) -> Result<Option<usize>, Exhausted> {
        let slot = |slot: usize| self.slots.get(slot).copied().flatten();
        let (Some(start), Some(end)) = (slot(2 * group), slot(2 * group + 1)) else {
            return Ok(None);
        };
        let text = self.value.get(start..end).unwrap_or_default();
        let here = self.value.get(position..position + text.len());
        let same = here.is_some_and(|here| {
            if caseless {
                here.eq_ignore_ascii_case(text)
            } else {
                here == text
            }
        });
        let length = text.len();
        self.take(length / BYTES_A_STEP)?;
        Ok(same.then_some(position + length))
    }

    fn set(&mut self, slot: usize, value: Option<usize>) -> Result<(), Exhausted> {
        let Some(place) = self.slots.get_mut(slot) else {
            return Ok(());
        };
        let old = std::mem::replace(place, value);
        self.push(Choice::Restore { slot, old })
    }

    fn push(&mut self, choice: Choice) -> Result<(), Exhausted> {
        if self.choices.len() >= MAX_CHOICES {
            return Err(Exhausted);
        }
        self.choices.push(choice);
        Ok(())
    }

    /// Undoes everything up to the last branch above `base`; none if there is none.
    fn back(&mut self, base: usize) -> Option<(usize, usize)> {
        while self.choices.len() > base {
            match self.choices.pop()? {
                Choice::Branch { at, position } => return Some((at, position)),
                Choice::Restore { slot, old } => {
                    if let Some(place) = self.slots.get_mut(slot) {
                        *place = old;
                    }
                }
            }
        }
        None
    }

    /// A path that matched is not taken back (look-around is atomic), but what it set may be undone.
    /// Only what stands above `base` is looked at, and counted: a look-around in a loop would
    /// otherwise go through all rounds before it.
    fn keep_undo_only(&mut self, base: usize) -> Result<(), Exhausted> {
        self.take(self.choices.len().saturating_sub(base))?;
        let mut kept = base;
        for index in base..self.choices.len() {
            if matches!(self.choices.get(index), Some(Choice::Restore { .. })) {
                self.choices.swap(kept, index);
                kept += 1;
            }
        }
        self.choices.truncate(kept);
        Ok(())
    }

    fn groups(&self, whole: Range<usize>) -> Vec<Option<Range<usize>>> {
        let slot = |slot: usize| self.slots.get(slot).copied().flatten();
        let groups =
            (1..=self.program.groups).map(|group| Some(slot(2 * group)?..slot(2 * group + 1)?));
        std::iter::once(Some(whole)).chain(groups).collect()
    }
}

/// Whether an assertion holds; `^` as PCRE has it, not behind a final line feed.
fn holds(look: Look, value: &[u8], position: usize) -> bool {
    let before = position.checked_sub(1).and_then(|at| value.get(at));
    let after = value.get(position);
    let is_word =
        |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    match look {
        Look::Start => before.is_none(),
        Look::End => after.is_none(),
        Look::StartLF => before.is_none() || (before == Some(&b'\n') && after.is_some()),
        Look::EndLF => after.is_none_or(|byte| *byte == b'\n'),
        Look::WordAscii => is_word(before) != is_word(after),
        Look::WordAsciiNegate => is_word(before) == is_word(after),
        // `program` refuses the others.
        _ => false,
    }
}

/// What a search costs beside the bytes it reads, in steps.
const SEARCH_COST: usize = 30;

/// Bytes the automata read in the time of a step.
const BYTES_A_STEP: usize = 8;

/// Bounds the memory of a try.
const MAX_CHOICES: usize = 1 << 18;
