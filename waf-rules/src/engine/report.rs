//! What a transaction tells its host: interventions, matches, scores.

use std::sync::Arc;

use super::trace::Event;

/// The rules decided that the exchange must not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intervention {
    /// HTTP status of the answer.
    pub status: u16,
    /// What to do.
    pub action: Disruption,
    /// The rule that decided.
    pub rule_id: u64,
    /// Its message.
    pub message: String,
}

/// What a disruptive rule asks the host to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disruption {
    /// Answer with the status.
    Deny,
    /// Close the connection without an answer.
    Drop,
    /// Answer with a redirect to this location.
    Redirect(String),
}

/// What the whole transaction amounted to.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Rules that matched and are to be logged, in the order they matched.
    pub matches: Vec<Match>,
    /// Anomaly score of the request, where the rules keep one.
    pub inbound_score: Option<i64>,
    /// Anomaly score of the response, where the rules keep one.
    pub outbound_score: Option<i64>,
    /// What the rules would have done, had the engine not been in detection mode.
    pub would_block: Option<Intervention>,
    /// What the rules did, step by step; only in a transaction that records.
    pub events: Vec<Event>,
}

/// One rule that matched.
#[derive(Debug, Clone)]
pub struct Match {
    /// Identifier of the rule (of the chain's starter).
    pub rule_id: u64,
    /// Phase the rule ran in, 1 to 5.
    pub phase: u8,
    /// Message, macros expanded.
    pub msg: String,
    /// `logdata`, macros expanded.
    pub data: String,
    /// Operator, parameter, variable and value in ModSecurity's wording.
    pub matched: String,
    /// Full name of the matching variable, such as `ARGS:q`.
    pub variable: String,
    /// The value that matched, after transformations.
    pub value: String,
    /// What of the value made the rule match: the whole match of `@rx`, the phrase of `@pm`, the
    /// fingerprint of `@detectSQLi`; of a chain, what made its starter match. Where no part can be
    /// told from the rest (`@eq`, a negated operator), the whole value. Empty for a `SecAction`.
    pub captured: String,
    /// What the rule added to the anomaly score that [`Outcome`] reports.
    pub score: i64,
    /// 0 (emergency) to 7 (debug).
    pub severity: Option<u8>,
    /// Tags of the rule.
    pub tags: Arc<[String]>,
    /// File the rule stands in.
    pub file: Arc<str>,
    /// Line the rule starts on.
    pub line: usize,
    /// The matching value after every transformation; only in a traced transaction.
    pub steps: Vec<Step>,
}

/// One step of a transformation pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Name of the transformation.
    pub transformation: &'static str,
    /// The value after it, written as [`Match::value`] is.
    pub value: String,
}
