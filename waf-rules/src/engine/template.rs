//! Text with macros: `Matched %{TX.0} in %{MATCHED_VAR_NAME}`.
//!
//! Expanded once, never recursively: what a client sends cannot become a macro. An unknown member
//! expands to nothing.

use super::ruleset::RuleSet;
use super::state::State;
use super::target::{Item, Pick};
use super::tx::Slot;
use crate::variables::{Origin, Variable};

/// Longest expansion that is kept for a rule to look at.
const VALUE_LIMIT: usize = 1 << 20;
/// Longest expansion that is kept for people to read.
pub(crate) const LOG_LIMIT: usize = 4 << 10;

/// Compiled text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Template {
    pub(crate) pieces: Box<[Piece]>,
}

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    Text(Box<[u8]>),
    Macro { variable: Variable, pick: Pick },
}

impl Template {
    /// The text, if there is no macro in it.
    pub(crate) fn literal(&self) -> Option<&[u8]> {
        match &*self.pieces {
            [] => Some(b""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// True if a macro of it stands for a member of `variable`.
    pub(crate) fn names(&self, variable: Variable) -> bool {
        self.pieces.iter().any(
            |piece| matches!(piece, Piece::Macro { variable: named, .. } if *named == variable),
        )
    }

    /// The variable whose value it is, if it is nothing but that of one `TX` variable.
    pub(crate) fn slot(&self) -> Option<Slot> {
        match &*self.pieces {
            [
                Piece::Macro {
                    variable: Variable::Tx,
                    pick: Pick::Slot(slot),
                },
            ] => Some(*slot),
            _ => None,
        }
    }

    /// Appends the expansion for a rule to look at; one over [`VALUE_LIMIT`] is an overflow.
    pub(crate) fn expand_value(&self, rules: &RuleSet, state: &mut State, out: &mut Vec<u8>) {
        if !self.expand(rules, state, VALUE_LIMIT, out) {
            state.overflow("A value that the rules put together is too long.");
        }
    }

    /// Appends the expansion for people to read, cut to [`LOG_LIMIT`].
    pub(crate) fn expand_text(&self, rules: &RuleSet, state: &mut State, out: &mut Vec<u8>) {
        self.expand(rules, state, LOG_LIMIT, out);
    }

    /// Appends the expansion to `out`, which grows by `limit` at most; true if that was enough.
    fn expand(&self, rules: &RuleSet, state: &mut State, limit: usize, out: &mut Vec<u8>) -> bool {
        let end = out.len() + limit;
        let mut whole = true;
        for piece in &self.pieces {
            let room = end.saturating_sub(out.len());
            let bytes = match piece {
                Piece::Text(text) => text,
                Piece::Macro { variable, pick } => {
                    let Some(item) = first(rules, state, *variable, *pick) else {
                        continue;
                    };
                    state.arena.get(item.value)
                }
            };
            whole &= bytes.len() <= room;
            out.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        }
        whole
    }
}

/// The first value that `variable` with `pick` stands for.
fn first(rules: &RuleSet, state: &mut State, variable: Variable, pick: Pick) -> Option<Item> {
    if variable.origin() == Origin::Live {
        let mut items = std::mem::take(&mut state.macro_items);
        items.clear();
        super::live::members(rules, state, variable, pick, &mut items);
        let item = items.first().copied();
        state.macro_items = items;
        return item;
    }
    let (id, value) = state.values.of(variable).find(|(_, value)| match pick {
        Pick::All => true,
        Pick::Selector(number) => state.values.marked(value, number),
        Pick::Slot(_) => false,
    })?;
    Some(Item {
        variable,
        name: value.name,
        value: value.value,
        id,
        counted: false,
    })
}
