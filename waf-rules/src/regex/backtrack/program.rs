//! From a syntax tree to the instructions of the backtracker, and to the relaxed pattern.
//!
//! The tree is that of `regex-syntax`, which knows no look-around: `rewrite` has put each such construct
//! into a named group, and [`Special`] reads the names back. No other group has such a name.

use std::ops::Range;

use regex_syntax::hir::{
    Capture, Class, ClassBytes, ClassBytesRange, Hir, HirKind, Look, Repetition,
};

use crate::byteset::ByteSet;

/// Instructions, and how many places they need.
#[derive(Debug, Default)]
pub(super) struct Program {
    pub(super) insts: Vec<Inst>,
    /// Places for positions: two a group, then those of loops.
    pub(super) slots: usize,
    /// The place that tells [`Inst::Here`] where the look-behind stands.
    pub(super) behind: usize,
    pub(super) groups: usize,
}

/// One instruction; unless it says otherwise the next one follows.
#[derive(Debug)]
pub(super) enum Inst {
    /// The end of the pattern, or of a look-around's body.
    Match,
    /// One byte of the set.
    Bytes(ByteSet),
    Look(Look),
    Jump(usize),
    /// Go on at `first`, and if that fails at `second`.
    Split {
        first: usize,
        second: usize,
    },
    /// Remember the position.
    Save(usize),
    /// Leave the loop for `exit` if the position is still the one that was remembered; what the round
    /// captured stays, as in PCRE.
    Progress {
        slot: usize,
        exit: usize,
    },
    /// Fail unless a look-behind came back to where it stands.
    Here,
    /// What this group matched.
    Back {
        group: usize,
        caseless: bool,
    },
    /// The body follows; go on at `after`.
    Ahead {
        negative: bool,
        after: usize,
    },
    /// Likewise; the body has one of these lengths.
    Behind {
        negative: bool,
        after: usize,
        lengths: Range<usize>,
    },
}

/// What a group with a reserved name stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Special {
    Ahead { negative: bool },
    Behind { negative: bool },
    Back { group: usize },
}

impl Special {
    fn of(capture: &Capture) -> Option<Self> {
        let (kind, number) = capture.name.as_deref()?.split_once('.')?;
        Some(match kind {
            "ahead" => Self::Ahead { negative: false },
            "not_ahead" => Self::Ahead { negative: true },
            "behind" => Self::Behind { negative: false },
            "not_behind" => Self::Behind { negative: true },
            _ => Self::Back {
                group: number.split('.').next()?.parse().ok()?,
            },
        })
    }
}

/// The program of a pattern and the pattern that matches wherever it does.
///
/// # Errors
/// What cannot be matched even by backtracking.
pub(super) fn compile(hir: &Hir) -> Result<(Program, Hir), String> {
    let mut groups = Vec::new();
    collect(hir, &mut groups);
    let behind = 2 * (groups.len() + 1);
    let mut compiler = Compiler {
        program: Program {
            insts: Vec::new(),
            slots: behind + 1,
            behind,
            groups: groups.len(),
        },
        groups,
    };
    compiler.emit(hir)?;
    compiler.push(Inst::Match)?;
    let relaxed = compiler.relaxed(hir)?;
    Ok((compiler.program, relaxed))
}

/// The plain groups, in the order of their numbers.
fn collect<'a>(hir: &'a Hir, groups: &mut Vec<&'a Capture>) {
    match hir.kind() {
        HirKind::Capture(capture) => {
            if Special::of(capture).is_none() {
                groups.push(capture);
            }
            collect(&capture.sub, groups);
        }
        HirKind::Repetition(repetition) => collect(&repetition.sub, groups),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().for_each(|part| collect(part, groups));
        }
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => {}
    }
}

struct Compiler<'a> {
    program: Program,
    groups: Vec<&'a Capture>,
}

impl Compiler<'_> {
    fn push(&mut self, inst: Inst) -> Result<usize, String> {
        if self.program.insts.len() >= MAX_INSTS {
            return Err(format!("pattern needs more than {MAX_INSTS} instructions"));
        }
        self.program.insts.push(inst);
        Ok(self.program.insts.len() - 1)
    }

    fn here(&self) -> usize {
        self.program.insts.len()
    }

    /// Replaces a placeholder once its target is known.
    fn patch(&mut self, at: usize, inst: Inst) {
        if let Some(place) = self.program.insts.get_mut(at) {
            *place = inst;
        }
    }

    fn emit(&mut self, hir: &Hir) -> Result<(), String> {
        match hir.kind() {
            HirKind::Empty => {}
            HirKind::Literal(literal) => {
                for byte in &literal.0 {
                    self.push(Inst::Bytes(ByteSet::of(&[*byte])))?;
                }
            }
            HirKind::Class(class) => {
                self.push(Inst::Bytes(set_of(class)?))?;
            }
            HirKind::Look(look) => {
                if !LOOKS.contains(look) {
                    return Err("an assertion that only Unicode has".to_owned());
                }
                self.push(Inst::Look(*look))?;
            }
            HirKind::Repetition(repetition) => self.repeat(repetition)?,
            HirKind::Capture(capture) => self.group(capture)?,
            HirKind::Concat(parts) => parts.iter().try_for_each(|part| self.emit(part))?,
            HirKind::Alternation(parts) => self.alternatives(parts)?,
        }
        Ok(())
    }

    fn alternatives(&mut self, parts: &[Hir]) -> Result<(), String> {
        let mut ends = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            if index + 1 == parts.len() {
                self.emit(part)?;
                break;
            }
            let split = self.push(Inst::Match)?;
            self.emit(part)?;
            ends.push(self.push(Inst::Match)?);
            let (first, second) = (split + 1, self.here());
            self.patch(split, Inst::Split { first, second });
        }
        let end = self.here();
        for at in ends {
            self.patch(at, Inst::Jump(end));
        }
        Ok(())
    }

    fn repeat(&mut self, repetition: &Repetition) -> Result<(), String> {
        for _ in 0..repetition.min {
            self.emit(&repetition.sub)?;
        }
        let Some(most) = repetition.max else {
            return self.star(repetition);
        };
        let mut splits = Vec::new();
        for _ in repetition.min..most {
            splits.push(self.push(Inst::Match)?);
            self.emit(&repetition.sub)?;
        }
        let end = self.here();
        for split in splits {
            self.patch(split, branch(split + 1, end, repetition.greedy));
        }
        Ok(())
    }

    fn star(&mut self, repetition: &Repetition) -> Result<(), String> {
        let split = self.push(Inst::Match)?;
        if may_be_empty(&repetition.sub) {
            let slot = self.program.slots;
            self.program.slots += 1;
            self.push(Inst::Save(slot))?;
            self.emit(&repetition.sub)?;
            let exit = self.here() + 2;
            self.push(Inst::Progress { slot, exit })?;
        } else {
            self.emit(&repetition.sub)?;
        }
        self.push(Inst::Jump(split))?;
        let end = self.here();
        self.patch(split, branch(split + 1, end, repetition.greedy));
        Ok(())
    }

    fn group(&mut self, capture: &Capture) -> Result<(), String> {
        let Some(special) = Special::of(capture) else {
            let number = 1 + self
                .groups
                .iter()
                .position(|group| group.index == capture.index)
                .unwrap_or_default();
            self.push(Inst::Save(2 * number))?;
            self.emit(&capture.sub)?;
            self.push(Inst::Save(2 * number + 1))?;
            return Ok(());
        };
        if let Special::Back { group } = special {
            let caseless = is_caseless(&capture.sub);
            self.push(Inst::Back { group, caseless })?;
            return Ok(());
        }
        let start = self.push(Inst::Match)?;
        self.emit(&capture.sub)?;
        let inst = match special {
            Special::Behind { negative } => {
                let lengths = lengths(&capture.sub)?;
                self.push(Inst::Here)?;
                let after = self.here() + 1;
                Inst::Behind {
                    negative,
                    after,
                    lengths,
                }
            }
            Special::Ahead { negative } => Inst::Ahead {
                negative,
                after: self.here() + 1,
            },
            Special::Back { .. } => Inst::Match,
        };
        self.push(Inst::Match)?;
        self.patch(start, inst);
        Ok(())
    }

    /// The tree without look-around, and with any text of a group's bytes for a reference to it.
    fn relaxed(&self, hir: &Hir) -> Result<Hir, String> {
        let all = |parts: &[Hir]| -> Result<Vec<Hir>, String> {
            parts.iter().map(|part| self.relaxed(part)).collect()
        };
        Ok(match hir.kind() {
            HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => {
                hir.clone()
            }
            HirKind::Repetition(repetition) => {
                let sub = Box::new(self.relaxed(&repetition.sub)?);
                Hir::repetition(Repetition {
                    sub,
                    ..repetition.clone()
                })
            }
            HirKind::Capture(capture) => match Special::of(capture) {
                None => self.relaxed(&capture.sub)?,
                Some(Special::Back { group }) => {
                    let group = group.checked_sub(1).and_then(|at| self.groups.get(at));
                    let group = group.ok_or("reference to a group that is not there")?;
                    any_of(&group.sub)?
                }
                Some(_) => Hir::empty(),
            },
            HirKind::Concat(parts) => Hir::concat(all(parts)?),
            HirKind::Alternation(parts) => Hir::alternation(all(parts)?),
        })
    }
}

const fn branch(body: usize, end: usize, greedy: bool) -> Inst {
    let (first, second) = if greedy { (body, end) } else { (end, body) };
    Inst::Split { first, second }
}

fn set_of(class: &Class) -> Result<ByteSet, String> {
    let ranges = match class {
        Class::Bytes(bytes) => bytes.ranges().to_vec(),
        Class::Unicode(unicode) => {
            let bytes = unicode.to_byte_class().ok_or("a class beyond bytes")?;
            bytes.ranges().to_vec()
        }
    };
    Ok(ranges.iter().fold(ByteSet::EMPTY, |set, range| {
        set.union(ByteSet::range(range.start(), range.end()))
    }))
}

/// A reference is spelt as the letter `a`: without case it has become a class.
fn is_caseless(sub: &Hir) -> bool {
    matches!(sub.kind(), HirKind::Class(_))
}

/// How far a look-behind may reach back.
fn lengths(sub: &Hir) -> Result<Range<usize>, String> {
    if holds_special(sub) {
        return Err("look-behind that holds look-around or a back-reference".to_owned());
    }
    let least = sub.properties().minimum_len().unwrap_or_default();
    match sub.properties().maximum_len() {
        Some(most) if most <= MAX_BEHIND => Ok(least..most + 1),
        _ => Err(format!("look-behind over more than {MAX_BEHIND} bytes")),
    }
}

/// True if `hir` may match nothing. The tree's own lengths do not tell: there, look-around has the
/// length of its body and a reference that of a letter. A loop over nothing would not end.
fn may_be_empty(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => true,
        HirKind::Literal(_) | HirKind::Class(_) => false,
        HirKind::Repetition(repetition) => repetition.min == 0 || may_be_empty(&repetition.sub),
        HirKind::Capture(capture) => Special::of(capture).is_some() || may_be_empty(&capture.sub),
        HirKind::Concat(parts) => parts.iter().all(may_be_empty),
        HirKind::Alternation(parts) => parts.iter().any(may_be_empty),
    }
}

fn holds_special(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Capture(capture) => Special::of(capture).is_some() || holds_special(&capture.sub),
        HirKind::Repetition(repetition) => holds_special(&repetition.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().any(holds_special),
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => false,
    }
}

/// Any number of the bytes that a match of `group` may hold, in either case.
fn any_of(group: &Hir) -> Result<Hir, String> {
    let mut set = ByteSet::EMPTY;
    add_bytes(group, &mut set)?;
    let folded: Vec<u8> = set
        .iter()
        .flat_map(|byte| [byte.to_ascii_lowercase(), byte.to_ascii_uppercase()])
        .collect();
    let ranges = folded.iter().map(|byte| ClassBytesRange::new(*byte, *byte));
    Ok(Hir::repetition(Repetition {
        min: 0,
        max: None,
        greedy: true,
        sub: Box::new(Hir::class(Class::Bytes(ClassBytes::new(ranges)))),
    }))
}

fn add_bytes(hir: &Hir, set: &mut ByteSet) -> Result<(), String> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => *set = set.union(ByteSet::of(&literal.0)),
        HirKind::Class(class) => *set = set.union(set_of(class)?),
        HirKind::Repetition(repetition) => add_bytes(&repetition.sub, set)?,
        // What a reference inside the group repeats is not looked up again.
        HirKind::Capture(capture) => match Special::of(capture) {
            None => add_bytes(&capture.sub, set)?,
            Some(Special::Back { .. }) => *set = ByteSet::ALL,
            Some(_) => {}
        },
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().try_for_each(|part| add_bytes(part, set))?;
        }
    }
    Ok(())
}

/// What the machine knows; all that patterns without Unicode have.
const LOOKS: [Look; 6] = [
    Look::Start,
    Look::End,
    Look::StartLF,
    Look::EndLF,
    Look::WordAscii,
    Look::WordAsciiNegate,
];

/// Bytes a look-behind may reach back.
const MAX_BEHIND: usize = 255;

/// Counted repetitions are unrolled.
const MAX_INSTS: usize = 20_000;
