//! A SecLang (ModSecurity rule language) engine.
//!
//! Load rules once with [`Loader`], share the immutable [`RuleSet`], and run one [`Transaction`] per
//! request through the five phases. Nothing here does I/O after loading, and every regular
//! expression is matched in linear time or within a counted budget of steps; a value that uses the
//! budget up counts as a match.
#![forbid(unsafe_code)]

mod actions;
mod audit;
mod baseline;
mod body;
mod byteset;
mod compile;
#[cfg(test)]
mod conformance;
mod engine;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod geo;
mod kept;
mod libinjection;
mod operators;
#[cfg(test)]
mod reference;
mod regex;
#[cfg(feature = "spec")]
pub mod spec;
mod store;
mod syntax;
mod transformations;
mod variables;

pub use audit::{AuditOutputs, Ending, Entry, EntryFile, Redaction};
pub use compile::{Inputs, Loaded, Loader};
pub use engine::{
    Choice, Chosen, Disruption, Event, Intervention, Match, Origin, Outcome, Profile, ProfileError,
    RequestLine, RuleSet, Skip, Step, Transaction,
};
pub use kept::Kept;
pub use store::{Full, Member, MemberChange, MemoryStore, Store, StoreKey, StoreLimits};
pub use syntax::Problem;
