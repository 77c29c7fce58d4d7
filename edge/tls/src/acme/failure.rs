//! Why something failed, in the words of whoever refused it.

use std::error::Error;
use std::fmt::Write as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Why an order failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What was being done, for example `asking for the order`.
    pub step: String,
    /// What went wrong.
    pub message: String,
    /// What the authority said, if it was the authority that refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Box<Problem>>,
    /// How long the authority asks to wait.
    #[serde(skip)]
    pub(crate) retry_after: Option<Duration>,
}

/// A problem document of the authority (RFC 8555 section 6.7).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// For example `urn:ietf:params:acme:error:dns`.
    #[serde(rename = "type")]
    pub kind: String,
    /// In words.
    pub detail: String,
    /// Problems of single names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subproblems: Vec<String>,
}

impl Failure {
    pub(crate) fn new(step: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            step: step.into(),
            message: shorten(message.into()),
            problem: None,
            retry_after: None,
        }
    }

    /// Reads what the ACME library reports.
    pub(crate) fn acme(step: impl Into<String>, error: &instant_acme::Error) -> Self {
        match error {
            instant_acme::Error::Api(problem) => Self::refused(step, problem),
            other => Self::new(step, chain(other)),
        }
    }

    /// The authority refused.
    pub(crate) fn refused(step: impl Into<String>, problem: &instant_acme::Problem) -> Self {
        let problem = Problem::from(problem);
        Self {
            problem: Some(Box::new(problem.clone())),
            ..Self::new(step, problem.to_string())
        }
    }

    /// True if the authority says that an account it does not know signed the request.
    pub(crate) fn account_is_unknown(&self) -> bool {
        let kind = self.problem.as_ref().map(|problem| problem.kind.as_str());
        kind == Some("urn:ietf:params:acme:error:accountDoesNotExist")
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.step, self.message)
    }
}

impl From<&instant_acme::Problem> for Problem {
    fn from(problem: &instant_acme::Problem) -> Self {
        Self {
            kind: shorten(problem.r#type.clone().unwrap_or_default()),
            detail: shorten(problem.detail.clone().unwrap_or_default()),
            subproblems: problem
                .subproblems
                .iter()
                .take(MAX_SUBPROBLEMS)
                .map(|sub| shorten(sub.to_string()))
                .collect(),
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the authority says: {} ({})", self.detail, self.kind)?;
        for sub in &self.subproblems {
            write!(f, "; {sub}")?;
        }
        Ok(())
    }
}

/// An error with all its causes: the outermost alone says little.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            let _ = write!(text, ": {next}");
        }
        cause = error.source();
    }
    text
}

/// Bounds text that others wrote, and keeps it on one line.
pub(crate) fn shorten(text: String) -> String {
    let bad = |c: char| c.is_control();
    if text.len() <= MAX_TEXT && !text.contains(bad) {
        return text;
    }
    let text: String = text.chars().take(MAX_TEXT).collect();
    text.replace(bad, " ")
}

const MAX_TEXT: usize = 2_000;
const MAX_SUBPROBLEMS: usize = 10;
