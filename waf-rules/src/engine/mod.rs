//! Runs a compiled rule set over one exchange.

mod report;
mod ruleset;
mod transaction;

pub use report::{Disruption, Intervention, Match, Outcome, Step};
pub use ruleset::RuleSet;
pub use transaction::{Origin, RequestLine, Transaction};
