//! What operations cost once their fragments are put in place.
//!
//! A fragment that spreads another twice, which does so too, doubles with every definition: thirty lines
//! ask for 2^30 fields. So each fragment is counted once and its numbers are added wherever it is spread;
//! the work is linear in the document. Fragments that contain themselves are an error.

use std::collections::HashMap;
use std::ops::Range;

use super::Cost;

/// An operation or a fragment.
#[derive(Debug, Default)]
pub(super) struct Part {
    /// The name of a fragment.
    pub(super) fragment: Option<Range<usize>>,
    /// What is written in it.
    pub(super) own: Cost,
    /// The fragments it spreads, and how many of its fields each spread is inside of.
    pub(super) spreads: Vec<(Range<usize>, usize)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    /// Its spreads are being counted.
    Open,
    Counted(Cost),
}

/// The sum of all operations.
pub(super) fn total(text: &[u8], parts: &[Part]) -> Result<Cost, &'static str> {
    let mut fragments = HashMap::new();
    for (index, part) in parts.iter().enumerate() {
        if let Some(name) = &part.fragment
            && fragments.insert(text.get(name.clone()), index).is_some()
        {
            return Err("GraphQL fragment is defined twice");
        }
    }
    let mut states = vec![State::New; parts.len()];
    let mut sum = Cost::default();
    for (index, part) in parts.iter().enumerate() {
        count(text, parts, &fragments, &mut states, index)?;
        if let (None, Some(State::Counted(cost))) = (&part.fragment, states.get(index)) {
            sum.add(*cost, 0);
        }
    }
    Ok(sum)
}

/// Counts `root` and whatever it spreads.
fn count(
    text: &[u8],
    parts: &[Part],
    fragments: &HashMap<Option<&[u8]>, usize>,
    states: &mut [State],
    root: usize,
) -> Result<(), &'static str> {
    let mut open = vec![(root, 0, Cost::default())];
    while let Some((index, next, cost)) = open.last_mut() {
        let Some(part) = parts.get(*index) else {
            return Ok(());
        };
        if let (0, Some(state)) = (*next, states.get_mut(*index)) {
            if matches!(state, State::Counted(_)) {
                open.pop();
                continue;
            }
            *state = State::Open;
            *cost = part.own;
        }
        let Some((name, depth)) = part.spreads.get(*next) else {
            if let Some(state) = states.get_mut(*index) {
                *state = State::Counted(*cost);
            }
            open.pop();
            continue;
        };
        // A fragment that is not there costs nothing: servers refuse the document.
        let spread = fragments.get(&text.get(name.clone())).copied();
        match spread.and_then(|index| Some((index, *states.get(index)?))) {
            None => *next += 1,
            Some((_, State::Counted(inner))) => {
                cost.add(inner, *depth);
                *next += 1;
            }
            Some((_, State::Open)) => return Err("GraphQL fragments contain themselves"),
            Some((index, State::New)) => open.push((index, 0, Cost::default())),
        }
    }
    Ok(())
}

impl Cost {
    /// Adds what stands inside of `depth` fields.
    fn add(&mut self, inner: Self, depth: usize) {
        self.depth = self.depth.max(depth + inner.depth);
        self.fields = self.fields.saturating_add(inner.fields);
        self.aliases = self.aliases.saturating_add(inner.aliases);
        self.directives = self.directives.saturating_add(inner.directives);
    }
}
