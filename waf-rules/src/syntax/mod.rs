//! SecLang text -> directives with positions.

mod problem;

pub use problem::Problem;
