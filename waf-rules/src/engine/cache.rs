//! Transformed values, computed once: per (value, pipeline), and per (byte string, transformation).
//!
//! A pipeline none of whose transformations can touch the bytes of a value is the identity and costs
//! one comparison of byte sets. Outputs that come out equal to their input share its entry, so that
//! each distinct byte string is scanned once. What the cache holds is bounded; beyond the bound values
//! are transformed anew each time and treated as "maybe" by the prefilter: slower, never weaker.

use super::arena::{Arena, Text};
use super::room;
use super::ruleset::RuleSet;
use super::target::Item;
use crate::byteset::ByteSet;
use crate::transformations::Transformation;

/// Beyond this many bytes in the arena nothing more is cached.
const BUDGET: usize = 64 << 20;

const NONE: u32 = u32::MAX;

/// A list of transformations some rules share.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Pipeline {
    pub(crate) steps: Box<[Transformation]>,
}

impl Pipeline {
    /// A value without any of these bytes comes out as it is; `None` if nothing can be said.
    pub(crate) fn triggers(&self) -> Option<ByteSet> {
        let mut triggers = self.steps.iter().map(|step| step.triggers());
        triggers.try_fold(ByteSet::EMPTY, |all, step| {
            (step != ByteSet::ALL).then(|| all.union(step))
        })
    }

    /// True if no step can change a value made of the bytes in `present`.
    fn leaves_alone(&self, present: ByteSet) -> bool {
        self.steps.iter().all(|step| step.leaves_alone(present))
    }
}

/// A distinct byte string.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    pub(crate) text: Text,
    pub(crate) present: ByteSet,
    /// Where what each side's scanner found starts.
    pub(crate) scanned: [u32; 2],
    /// The output this one is the lower case of.
    pub(crate) lowercase_of: Option<u32>,
    /// First of the remembered steps from here.
    first_step: u32,
}

#[derive(Debug, Clone, Copy)]
struct Step {
    transformation: Transformation,
    output: u32,
    next: u32,
}

/// The cache of one transaction.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    outputs: Vec<Output>,
    steps: Vec<Step>,
    /// Output by (value, pipeline); a value's row is made when it is first asked for.
    cells: Vec<u32>,
    rows: Vec<u32>,
    width: usize,
    scratch: [Vec<u8>; 2],
    /// Evaluate the slow, obvious way: nothing cached, nothing prefiltered. For comparison.
    pub(crate) plain: bool,

    // Owned by the prefilter, which fills them in.
    pub(crate) words: Vec<u64>,
    pub(crate) resolved: Vec<(u32, u32)>,
    pub(crate) items: Vec<Item>,
}

/// A transformed value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Transformed {
    pub(crate) text: Text,
    /// Number of the output, where it is cached.
    pub(crate) output: Option<u32>,
}

impl Cache {
    /// Forgets everything, and gets ready for a transaction of `rules`.
    pub(crate) fn reset(&mut self, rules: &RuleSet) {
        self.outputs.clear();
        self.steps.clear();
        self.cells.clear();
        self.rows.clear();
        self.width = rules.pipelines.len();
        self.plain = false;
        self.words.clear();
        self.resolved.clear();
        self.resolved.resize(rules.targets.len(), (NONE, NONE));
        self.items.clear();
    }

    /// Bytes of memory it owns.
    pub(crate) fn capacity(&self) -> usize {
        let scratch = self.scratch.iter().map(Vec::capacity).sum::<usize>();
        room::bytes(&self.outputs)
            + room::bytes(&self.steps)
            + room::bytes(&self.cells)
            + room::bytes(&self.rows)
            + room::bytes(&self.words)
            + room::bytes(&self.resolved)
            + room::bytes(&self.items)
            + scratch
    }

    /// Forgets what depends on the list of values, which may have grown.
    pub(crate) fn new_phase(&mut self) {
        self.resolved.fill((NONE, NONE));
        self.items.clear();
    }

    pub(crate) fn output(&self, number: u32) -> Option<&Output> {
        self.outputs.get(number as usize)
    }

    pub(crate) fn output_mut(&mut self, number: u32) -> Option<&mut Output> {
        self.outputs.get_mut(number as usize)
    }

    /// `item` after the pipeline with this number.
    pub(crate) fn transform(
        &mut self,
        rules: &RuleSet,
        arena: &mut Arena,
        item: &Item,
        number: u32,
    ) -> Transformed {
        let Some(pipeline) = rules.pipelines.get(number as usize) else {
            return Transformed {
                text: item.value,
                output: None,
            };
        };
        if !self.keeps(arena, item) {
            return self.uncached(arena, item.value, &pipeline.steps);
        }
        let row = self.row(arena, item);
        let cell = row + number as usize;
        let known = self.cells.get(cell).copied().unwrap_or(NONE);
        let output = if known == NONE {
            let raw = self.cells.get(row).copied().unwrap_or(0);
            let output = self.run(arena, raw, pipeline);
            if let Some(cell) = self.cells.get_mut(cell) {
                *cell = output;
            }
            output
        } else {
            known
        };
        Transformed {
            text: self.output(output).map_or(item.value, |output| output.text),
            output: Some(output),
        }
    }

    /// The value before the first step and after every step that changed it.
    pub(crate) fn stages(
        &mut self,
        rules: &RuleSet,
        arena: &mut Arena,
        item: &Item,
        number: u32,
    ) -> Vec<Transformed> {
        let Some(pipeline) = rules.pipelines.get(number as usize) else {
            return Vec::new();
        };
        let cached = self.keeps(arena, item);
        let mut stages = Vec::with_capacity(pipeline.steps.len() + 1);
        let mut now = Transformed {
            text: item.value,
            output: None,
        };
        if cached {
            let row = self.row(arena, item);
            now.output = self.cells.get(row).copied();
        }
        stages.push(now);
        for step in &pipeline.steps {
            let next = match now.output {
                Some(output) => {
                    let output = self.step(arena, output, *step);
                    Transformed {
                        text: self.output(output).map_or(now.text, |output| output.text),
                        output: Some(output),
                    }
                }
                None => self.uncached(arena, now.text, &[*step]),
            };
            if next.text != now.text {
                stages.push(next);
            }
            now = next;
        }
        stages
    }

    /// The output that `item` is before any transformation, where it is cached.
    pub(crate) fn raw(&mut self, arena: &Arena, item: &Item) -> Option<u32> {
        if !self.keeps(arena, item) {
            return None;
        }
        let row = self.row(arena, item);
        self.cells.get(row).copied()
    }

    fn keeps(&self, arena: &Arena, item: &Item) -> bool {
        item.id != Item::LIVE && arena.len() <= BUDGET && !self.plain
    }

    /// The value's row of cells; its first cell, pipeline 0, is the value itself.
    fn row(&mut self, arena: &Arena, item: &Item) -> usize {
        let id = item.id as usize;
        if id >= self.rows.len() {
            self.rows.resize(id + 1, NONE);
        }
        let row = self.rows.get(id).copied().unwrap_or(NONE);
        if row != NONE {
            return row as usize;
        }
        let row = self.cells.len();
        self.cells.resize(row + self.width.max(1), NONE);
        let raw = self.push(item.value, ByteSet::of(arena.get(item.value)));
        if let Some(cell) = self.cells.get_mut(row) {
            *cell = raw;
        }
        if let Some(entry) = self.rows.get_mut(id) {
            *entry = narrow(row);
        }
        row
    }

    fn run(&mut self, arena: &mut Arena, raw: u32, pipeline: &Pipeline) -> u32 {
        if self
            .output(raw)
            .is_some_and(|output| pipeline.leaves_alone(output.present))
        {
            return raw;
        }
        let mut output = raw;
        for step in &pipeline.steps {
            output = self.step(arena, output, *step);
        }
        output
    }

    /// The output of one transformation on output `from`.
    fn step(&mut self, arena: &mut Arena, from: u32, transformation: Transformation) -> u32 {
        let Some(input) = self.output(from).copied() else {
            return from;
        };
        if transformation.leaves_alone(input.present) {
            return from;
        }
        let mut at = input.first_step;
        while let Some(step) = self.steps.get(at as usize) {
            if step.transformation == transformation {
                return step.output;
            }
            at = step.next;
        }
        let [scratch, _] = &mut self.scratch;
        let output = if transformation.apply(arena.get(input.text), scratch) {
            let present = ByteSet::of(scratch);
            let text = arena.push(scratch);
            let output = self.push(text, present);
            if transformation == Transformation::Lowercase
                && let Some(output) = self.output_mut(output)
            {
                output.lowercase_of = Some(from);
            }
            output
        } else {
            from
        };
        let number = narrow(self.steps.len());
        self.steps.push(Step {
            transformation,
            output,
            next: input.first_step,
        });
        if let Some(input) = self.output_mut(from) {
            input.first_step = number;
        }
        output
    }

    fn push(&mut self, text: Text, present: ByteSet) -> u32 {
        self.outputs.push(Output {
            text,
            present,
            scanned: [NONE; 2],
            lowercase_of: None,
            first_step: NONE,
        });
        narrow(self.outputs.len() - 1)
    }

    fn uncached(&mut self, arena: &mut Arena, text: Text, steps: &[Transformation]) -> Transformed {
        let mut changed = false;
        for step in steps {
            let [from, to] = &mut self.scratch;
            let input = if changed { &**from } else { arena.get(text) };
            if step.apply(input, to) {
                changed = true;
                self.scratch.swap(0, 1);
            }
        }
        let [result, _] = &self.scratch;
        Transformed {
            text: if changed { arena.push(result) } else { text },
            output: None,
        }
    }
}

fn narrow(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
