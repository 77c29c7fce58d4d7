//! What every match of a pattern must contain, read off its syntax tree.
//!
//! Security argument: each fact is a necessary condition, by induction over the tree. A node's
//! *cover* is a finite set such that every byte string the node matches is in it once both are folded
//! to lower case; assertions match the empty string, so dropping them only widens the cover. A
//! concatenation of covered neighbours is covered by the products of their covers, contiguous in the
//! match; so at least one member of any neighbour's cover, or of such a product, occurs in every
//! match. An alternation has a requirement only if each branch has one, and then their union. A
//! repetition that may be skipped has none. Whatever is not understood has none. Masks follow the
//! same rules, with one byte instead of a string. Hence the filter can say "maybe" wrongly, and "no"
//! never. `tests.rs` and the fuzz target run it against the regular expression itself.

use regex_syntax::hir::{Class, Hir, HirKind};

use crate::byteset::ByteSet;

/// Necessary conditions of a match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Requirements {
    /// No match is shorter.
    pub(crate) min_len: usize,
    /// Every match has a byte of each.
    pub(crate) masks: Vec<ByteSet>,
    /// Every match contains one of these, in any ASCII case; lower case, two bytes or more each.
    pub(crate) literals: Option<Vec<Vec<u8>>>,
}

/// The requirements of a whole pattern.
pub(super) fn requirements(hir: &Hir) -> Requirements {
    let node = visit(hir);
    let literals = node
        .best_literals()
        .filter(|set| shortest(set) >= 2)
        .cloned();
    let mut masks = node.masks;
    masks.sort_by_key(|mask| commonness(*mask));
    masks.retain(|mask| commonness(*mask) <= MAX_COMMONNESS);
    masks.truncate(MAX_MASKS);
    Requirements {
        min_len: hir.properties().minimum_len().unwrap_or(0),
        masks,
        literals,
    }
}

/// What is known of one node.
#[derive(Default)]
struct Node {
    /// Every string the node matches, folded; none if there are too many.
    cover: Option<Vec<Vec<u8>>>,
    /// The best set of strings of which one must occur, besides the cover.
    required: Option<Vec<Vec<u8>>>,
    /// Sets of which every match has a byte.
    masks: Vec<ByteSet>,
}

impl Node {
    fn covered(cover: Vec<Vec<u8>>) -> Self {
        Self {
            cover: Some(cover),
            ..Self::default()
        }
    }

    /// The better of the cover and the required set, if one says anything.
    fn best_literals(&self) -> Option<&Vec<Vec<u8>>> {
        [&self.required, &self.cover]
            .into_iter()
            .flatten()
            .filter(|set| shortest(set) > 0)
            .max_by_key(|set| rank(set))
    }
}

fn visit(hir: &Hir) -> Node {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Node::covered(vec![Vec::new()]),
        HirKind::Literal(literal) => {
            let mut node = Node::covered(vec![literal.0.to_ascii_lowercase()]);
            for byte in &literal.0 {
                push_mask(&mut node.masks, ByteSet::of(&[*byte]));
            }
            node
        }
        HirKind::Class(class) => visit_class(class),
        HirKind::Capture(capture) => visit(&capture.sub),
        HirKind::Repetition(repetition) => {
            visit_repetition(&repetition.sub, repetition.min, repetition.max)
        }
        HirKind::Concat(parts) => concat(parts.iter().map(visit)),
        HirKind::Alternation(branches) => alternation(branches.iter().map(visit).collect()),
    }
}

fn visit_class(class: &Class) -> Node {
    let Class::Bytes(class) = class else {
        return Node::default();
    };
    let mask = class.ranges().iter().fold(ByteSet::EMPTY, |mask, range| {
        mask.union(ByteSet::range(range.start(), range.end()))
    });
    let folded = mask.iter().fold(ByteSet::EMPTY, |folded, byte| {
        folded.union(ByteSet::of(&[byte.to_ascii_lowercase()]))
    });
    let small = folded.iter().count() <= MAX_CLASS;
    Node {
        cover: small.then(|| folded.iter().map(|byte| vec![byte]).collect()),
        required: None,
        masks: vec![mask],
    }
}

fn visit_repetition(sub: &Hir, min: u32, max: Option<u32>) -> Node {
    if min == 0 {
        // It may be skipped: only `x?` has a cover.
        let sub = (max == Some(1)).then(|| visit(sub));
        let cover = sub.and_then(|sub| sub.cover).and_then(|mut cover| {
            cover.push(Vec::new());
            bounded(cover)
        });
        return Node {
            cover,
            ..Node::default()
        };
    }
    // `x{2,}` is `xx` and then anything: three copies say enough.
    let copies = min.min(MAX_COPIES);
    let exact = max == Some(copies);
    let gap = (!exact).then(Node::default);
    concat((0..copies).map(|_| visit(sub)).chain(gap))
}

/// Neighbours: covers that touch are multiplied out while they stay small.
fn concat(parts: impl Iterator<Item = Node>) -> Node {
    let mut whole = Node::default();
    let mut run: Option<Vec<Vec<u8>>> = None;
    let mut unbroken = true;
    for part in parts {
        for mask in part.masks {
            push_mask(&mut whole.masks, mask);
        }
        whole.required = better(whole.required.take(), part.required);
        let product = match (&run, &part.cover) {
            (Some(run), Some(cover)) => product(run, cover),
            (None, Some(cover)) => Some(cover.clone()),
            (_, None) => None,
        };
        if let Some(product) = product {
            run = Some(product);
        } else {
            unbroken = false;
            whole.required = better(whole.required.take(), run);
            run = part.cover;
        }
    }
    whole.required = better(whole.required.take(), run.clone());
    whole.cover = if unbroken {
        Some(run.unwrap_or_else(|| vec![Vec::new()]))
    } else {
        None
    };
    whole
}

fn alternation(branches: Vec<Node>) -> Node {
    let best: Option<Vec<&Vec<Vec<u8>>>> = branches.iter().map(Node::best_literals).collect();
    let required = best
        .filter(|sets| sets.iter().map(|set| set.len()).sum::<usize>() <= MAX_SET)
        .map(|sets| minimal(sets.into_iter().flatten().cloned().collect()));
    let mask = branches
        .iter()
        .map(|branch| {
            let masks = branch.masks.iter().copied();
            masks.min_by_key(|mask| commonness(*mask))
        })
        .try_fold(ByteSet::EMPTY, |all, mask| Some(all.union(mask?)));
    let covers: Option<Vec<_>> = branches.into_iter().map(|branch| branch.cover).collect();
    Node {
        cover: covers
            .filter(|covers| covers.iter().map(Vec::len).sum::<usize>() <= 4 * MAX_COVER)
            .and_then(|covers| bounded(covers.into_iter().flatten().collect())),
        required,
        masks: mask.into_iter().collect(),
    }
}

/// Every member of `left` followed by every member of `right`, if that stays small.
fn product(left: &[Vec<u8>], right: &[Vec<u8>]) -> Option<Vec<Vec<u8>>> {
    if left.len().saturating_mul(right.len()) > MAX_COVER {
        return None;
    }
    let mut all = Vec::with_capacity(left.len() * right.len());
    for head in left {
        for tail in right {
            all.push([head.as_slice(), tail].concat());
        }
    }
    bounded(all)
}

/// `set` without duplicates, unless it is too large.
fn bounded(mut set: Vec<Vec<u8>>) -> Option<Vec<Vec<u8>>> {
    set.sort();
    set.dedup();
    let small = set.len() <= MAX_COVER && set.iter().all(|member| member.len() <= MAX_MEMBER);
    small.then_some(set)
}

/// The set that says more: longer shortest member, then fewer members.
fn better(one: Option<Vec<Vec<u8>>>, other: Option<Vec<Vec<u8>>>) -> Option<Vec<Vec<u8>>> {
    let usable = |set: Option<Vec<Vec<u8>>>| set.filter(|set| shortest(set) > 0).map(minimal);
    match (usable(one), usable(other)) {
        (Some(one), Some(other)) if rank(&one) < rank(&other) => Some(other),
        (Some(one), _) => Some(one),
        (None, other) => other,
    }
}

/// What `better` compares.
fn rank(set: &[Vec<u8>]) -> (usize, usize, usize) {
    let shortest = shortest(set);
    (shortest.min(3), usize::MAX - set.len(), shortest)
}

/// `set` without members that contain another member: those add nothing.
fn minimal(mut set: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    if set.len() > MAX_MINIMAL {
        return set;
    }
    set.sort_by(|a, b| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
    let mut kept: Vec<Vec<u8>> = Vec::with_capacity(set.len());
    for member in set {
        if !kept
            .iter()
            .any(|short| memchr::memmem::find(&member, short).is_some())
        {
            kept.push(member);
        }
    }
    kept
}

/// The length of the shortest member; zero for an empty set, which says nothing usable.
fn shortest(set: &[Vec<u8>]) -> usize {
    set.iter().map(Vec::len).min().unwrap_or(0)
}

fn push_mask(masks: &mut Vec<ByteSet>, mask: ByteSet) {
    if !masks.contains(&mask) {
        masks.push(mask);
    }
}

/// How often values hold a byte of the set, roughly: letters often, punctuation seldom.
fn commonness(mask: ByteSet) -> u32 {
    mask.iter()
        .map(|byte| match byte {
            b'j' | b'k' | b'q' | b'x' | b'z' => 6,
            b'a'..=b'z' => 20,
            b'0'..=b'9' => 10,
            b'A'..=b'Z' | b' ' => 4,
            b'-' | b'.' | b'/' | b'_' => 3,
            0x21..=0x7e => 2,
            _ => 1,
        })
        .sum()
}

/// A class of more members (after folding) is a gap.
const MAX_CLASS: usize = 16;
/// Members of a cover, and bytes of a member.
const MAX_COVER: usize = 256;
const MAX_MEMBER: usize = 64;
/// Members of a required set.
const MAX_SET: usize = 600;
const MAX_COPIES: u32 = 3;
/// The search for redundant members is quadratic.
const MAX_MINIMAL: usize = 32;
/// Ten digits and some; a mask that nearly every value hits costs more than it saves.
const MAX_COMMONNESS: u32 = 200;
/// What the engine can test for next to nothing.
const MAX_MASKS: usize = 6;
