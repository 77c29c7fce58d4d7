//! One thing a layer noticed about an exchange: the unit of explanation.

use std::sync::Arc;

use serde::Serialize;

/// A rule (or detector) that matched; one entry of `messages[]` in the decision record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Rule number; 0 for findings of layers that have no rules.
    pub rule_id: u64,
    /// The rule's message, macros expanded.
    pub msg: String,
    /// The rule's log data, macros expanded; control bytes as `\xHH`.
    pub data: String,
    /// Operator and variable in words: ``Matched "Operator `Rx' ... against variable `ARGS:q'``.
    #[serde(rename = "match")]
    pub matched: String,
    /// Variable that matched, for example `ARGS:q`.
    pub variable: String,
    /// Severity, if the rule has one.
    pub severity: Option<Severity>,
    /// The rule's tags.
    pub tags: Arc<[String]>,
}

/// Syslog severities as SecLang numbers them; a lower number is worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the names are those of RFC 5424")]
pub enum Severity {
    Emergency,
    Alert,
    Critical,
    Error,
    Warning,
    Notice,
    Info,
    Debug,
}

impl Severity {
    /// The severity with this SecLang number, 0 (emergency) to 7 (debug).
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Emergency,
            1 => Self::Alert,
            2 => Self::Critical,
            3 => Self::Error,
            4 => Self::Warning,
            5 => Self::Notice,
            6 => Self::Info,
            7 => Self::Debug,
            _ => return None,
        })
    }
}
