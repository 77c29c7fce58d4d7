//! Runs a compiled rule set over one exchange.
//!
//! Semantics where ModSecurity and Coraza differ are those the CRS relies on; each file says which.
//! Nothing here does I/O or panics on input. Every step is linear in the input, or has a budget.

mod arena;
mod bits;
mod blocklists;
mod cache;
mod candidates;
mod collections;
mod evaluate;
mod families;
mod link;
mod literals;
mod live;
mod log;
mod lookups;
mod memory;
mod outside;
mod plan;
mod prefilter;
mod profile;
mod quick;
mod report;
mod room;
mod rule;
mod ruleset;
mod selector;
mod state;
mod target;
mod template;
mod trace;
mod transaction;
mod tx;
mod values;

pub(crate) use arena::Text;
pub(crate) use bits::Bits;
pub(crate) use blocklists::{Ask, NAMES as ASKED_NAMES};
pub(crate) use cache::Pipeline;
pub(crate) use collections::Keep;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use literals::Literals;
pub(crate) use memory::Key;
pub(crate) use outside::Outside;
pub(crate) use plan::{Plan, is_candidate};
pub(crate) use prefilter::{Scanner, Side};
pub use profile::{Choice, Chosen, Profile, ProfileError};
pub(crate) use quick::Quick;
pub use report::{Disruption, Intervention, Match, Outcome, Step};
pub(crate) use rule::{
    Allow, Assignment, Change, Check, Control, Disruptive, EngineMode, Exclusion, Filter, Link,
    Meta, Next, Processor, Rule, SetVar, VarName,
};
pub use ruleset::RuleSet;
pub(crate) use ruleset::{Entry, Scores, Settings};
pub(crate) use selector::{Selector, Selectors};
pub(crate) use state::{Hit, State};
pub(crate) use target::{Exclude, Pick, Target, TargetSet};
pub(crate) use template::{Piece, Template};
pub use trace::{Event, Skip};
pub use transaction::{Origin, RequestLine, Transaction};
pub(crate) use tx::{Slot, TxNames};

#[cfg(test)]
mod tests;
