//! SecLang text -> directives with positions.
//!
//! Nothing here knows what a directive means: a file becomes logical lines, a line becomes words,
//! and the three little languages inside `SecRule` (targets, operator, actions) become lists whose
//! items remember where they stand, so that every later complaint can point at its cause.

mod actions;
mod lines;
mod operator;
mod problem;
mod source;
mod suggest;
mod targets;
mod words;

pub(crate) use actions::{ActionText, parse_actions};
pub(crate) use lines::{Line, lines};
pub(crate) use operator::parse_operator;
pub use problem::Problem;
pub(crate) use source::{Flaw, Source, Span};
pub(crate) use suggest::did_you_mean;
pub(crate) use targets::{SelectorText, TargetText, parse_target, parse_targets};
pub(crate) use words::{Word, words};
