//! Values made to be slow for one pattern: read off its syntax tree, then repeated.
//!
//! What costs an automaton most is text that keeps many of its states alive for long and then does not
//! match: the beginning of a match again and again, the repeated part of a match without its end, and
//! random text over the bytes the pattern speaks of, which also makes it build states all the time.

use regex_syntax::hir::{Class, ClassBytesRange, Hir, HirKind};

/// Named texts; each is to be repeated up to the size wanted.
pub(crate) fn seeds(pattern: &str) -> Vec<(String, Vec<u8>)> {
    let mut seeds: Vec<(String, Vec<u8>)> = PLAIN
        .iter()
        .map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()))
        .collect();
    seeds.push((
        "random bytes".to_owned(),
        Dice(7).bytes(&(0..=255).collect::<Vec<_>>(), 65_521),
    ));
    let Some(hir) = parse(pattern) else {
        return seeds;
    };
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    let mut alphabet = Vec::new();
    bytes_of(&hir, &mut alphabet);
    alphabet.sort_unstable();
    alphabet.dedup();
    if !alphabet.is_empty() {
        seeds.push((
            "its bytes at random".to_owned(),
            dice.bytes(&alphabet, 65_521),
        ));
    }
    let mut literals = Vec::new();
    literals_of(&hir, &mut literals);
    if !literals.is_empty() {
        let mut text = Vec::new();
        while text.len() < 65_536 {
            let at = dice.below(literals.len());
            text.extend_from_slice(literals.get(at).map_or(&[][..], Vec::as_slice));
            if dice.below(2) == 0 {
                text.push(b" ,;('\"=\n"[dice.below(8)]);
            }
        }
        seeds.push(("its literals at random".to_owned(), text));
    }
    let mut walks = Vec::new();
    while walks.len() < 65_536 {
        let mut walk = Vec::new();
        sample(&hir, &mut dice, &mut walk);
        let cut = dice.below(walk.len() + 1);
        walk.truncate(cut);
        walks.extend_from_slice(&walk);
        walks.push(b" ax0"[dice.below(4)]);
    }
    seeds.push(("beginnings of matches".to_owned(), walks));
    let mut parts = Vec::new();
    pumps(&hir, &mut parts);
    for (number, part) in parts.iter().enumerate().take(12) {
        let mut pump = Vec::new();
        for _ in 0..8 {
            sample(part, &mut dice, &mut pump);
        }
        if !pump.is_empty() {
            seeds.push((format!("repeated part {number}"), pump));
        }
    }
    seeds
}

fn parse(pattern: &str) -> Option<Hir> {
    regex_syntax::ParserBuilder::new()
        .unicode(false)
        .utf8(false)
        .dot_matches_new_line(true)
        .multi_line(true)
        .build()
        .parse(pattern)
        .ok()
}

/// A string the pattern matches, or what is left of one without its assertions.
fn sample(hir: &Hir, dice: &mut Dice, out: &mut Vec<u8>) {
    if out.len() > 4096 {
        return;
    }
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => out.extend_from_slice(&literal.0),
        HirKind::Class(Class::Bytes(class)) => {
            let range = class.ranges().get(dice.below(class.ranges().len().max(1)));
            if let Some(range) = range {
                let width = usize::from(range.end() - range.start()) + 1;
                out.push(range.start() + u8::try_from(dice.below(width)).unwrap_or(0));
            }
        }
        HirKind::Class(Class::Unicode(_)) => {}
        HirKind::Capture(capture) => sample(&capture.sub, dice, out),
        HirKind::Repetition(repetition) => {
            let more = repetition
                .max
                .map_or(6, |max| (max - repetition.min).min(40));
            let count = repetition.min.min(300) as usize + dice.below(more as usize + 1);
            for _ in 0..count {
                sample(&repetition.sub, dice, out);
            }
        }
        HirKind::Concat(parts) => parts.iter().for_each(|part| sample(part, dice, out)),
        HirKind::Alternation(branches) => {
            if let Some(branch) = branches.get(dice.below(branches.len().max(1))) {
                sample(branch, dice, out);
            }
        }
    }
}

/// What is repeated somewhere in the pattern.
fn pumps<'a>(hir: &'a Hir, out: &mut Vec<&'a Hir>) {
    match hir.kind() {
        HirKind::Repetition(repetition) => {
            if repetition.max.is_none_or(|max| max > 3) {
                out.push(&repetition.sub);
            }
            pumps(&repetition.sub, out);
        }
        HirKind::Capture(capture) => pumps(&capture.sub, out),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().for_each(|part| pumps(part, out));
        }
        _ => {}
    }
}

fn literals_of(hir: &Hir, out: &mut Vec<Vec<u8>>) {
    match hir.kind() {
        HirKind::Literal(literal) => out.push(literal.0.to_vec()),
        HirKind::Capture(capture) => literals_of(&capture.sub, out),
        HirKind::Repetition(repetition) => literals_of(&repetition.sub, out),
        HirKind::Concat(parts) => {
            // Letters in both cases stand as classes of two: read them as the literal they were.
            let mut run = Vec::new();
            for part in parts {
                match part.kind() {
                    HirKind::Literal(literal) => run.extend_from_slice(&literal.0),
                    HirKind::Class(Class::Bytes(class)) if class.ranges().len() == 2 => {
                        run.extend(class.ranges().first().map(ClassBytesRange::start));
                    }
                    _ => {
                        if !run.is_empty() {
                            out.push(std::mem::take(&mut run));
                        }
                        literals_of(part, out);
                    }
                }
            }
            if !run.is_empty() {
                out.push(run);
            }
        }
        HirKind::Alternation(parts) => parts.iter().for_each(|part| literals_of(part, out)),
        _ => {}
    }
}

fn bytes_of(hir: &Hir, out: &mut Vec<u8>) {
    match hir.kind() {
        HirKind::Literal(literal) => out.extend_from_slice(&literal.0),
        HirKind::Class(Class::Bytes(class)) => {
            for range in class.ranges() {
                let whole = range.start()..=range.end();
                out.extend(whole.step_by(if range.len() > 40 { 7 } else { 1 }));
            }
        }
        HirKind::Capture(capture) => bytes_of(&capture.sub, out),
        HirKind::Repetition(repetition) => bytes_of(&repetition.sub, out),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().for_each(|part| bytes_of(part, out));
        }
        _ => {}
    }
}

/// The same throws in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap_or(0) % bound.max(1)
    }

    fn bytes(&mut self, alphabet: &[u8], len: usize) -> Vec<u8> {
        let throw = |_| {
            alphabet
                .get(self.below(alphabet.len()))
                .copied()
                .unwrap_or(0)
        };
        (0..len).map(throw).collect()
    }
}

/// What has been slow for someone before, whatever the pattern.
const PLAIN: &[(&str, &str)] = &[
    ("a a a", "a"),
    ("words", "lorem ipsum dolor sit amet "),
    ("digits", "0123456789"),
    ("blanks", " "),
    ("line feeds", "\n"),
    ("slashes and d", "for/d/"),
    ("quotes", "'a\" "),
    ("brackets", "([{<"),
    ("closing brackets", ">}])"),
    ("assignments", "a=b;"),
    ("backslashes", "\\"),
    ("percent", "%2"),
    ("dots", "a.b.c."),
    ("ands and ors", "1 or 1 and "),
    ("colons", "a::b:"),
];
