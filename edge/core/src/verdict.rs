//! What a layer may answer, and how a profile treats it.
//!
//! A refusal is a [`Verdict`], never an error; an `Err(Fault)` means that *we* broke, and the
//! profile's [`OnFault`] decides what happens then. Both default to the closed side.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The layers of the pipeline in the order in which `edge/src/pipeline.rs` runs them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(
    missing_docs,
    reason = "each name is the layer's own; ARCHITECTURE.md tells what it does"
)]
pub enum Layer {
    Gate,
    Route,
    Body,
    Waf,
    Upstream,
    Response,
}

impl Layer {
    /// Every layer, in order; the index of a layer here is its `as usize`.
    pub const ALL: [Self; 6] = [
        Self::Gate,
        Self::Route,
        Self::Body,
        Self::Waf,
        Self::Upstream,
        Self::Response,
    ];

    /// The name used in decision records, metrics and configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gate => "gate",
            Self::Route => "route",
            Self::Body => "body",
            Self::Waf => "waf",
            Self::Upstream => "upstream",
            Self::Response => "response",
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How far a layer may go in a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Findings are recorded and refusals are carried out.
    #[default]
    Block,
    /// Findings and would-be refusals are recorded, the request goes on.
    Detect,
    /// The layer does not run and costs nothing.
    Off,
}

/// What happens when a layer itself fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnFault {
    /// The request is refused with 500: the safe default.
    #[default]
    Deny,
    /// The request goes on without this layer; an operator must write this word.
    Allow,
}

/// A layer's answer.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing against this request.
    Continue,
    /// Answer the client with this instead of going on.
    Respond(Refusal),
    /// Close the connection without a word.
    Drop,
}

/// The answer a client gets in place of the upstream's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status, 300 to 599.
    pub status: u16,
    /// Why, for the decision record and the log; never sent to the client.
    pub reason: Cow<'static, str>,
    /// Target of a redirect (status 301, 302, 303 or 307).
    pub location: Option<String>,
    /// Seconds after which the client may come again (`Retry-After`, RFC 9110 section 10.2.3).
    pub retry_after: Option<u64>,
}

impl Refusal {
    /// A plain refusal with `status` because of `reason`.
    #[must_use]
    pub fn new(status: u16, reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            reason: reason.into(),
            location: None,
            retry_after: None,
        }
    }
}

/// The layer that decided an exchange, and how; an exchange without one was allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Who decided.
    pub layer: Layer,
    /// What was decided.
    pub verdict: Verdict,
    /// False in [`Mode::Detect`]: it would have been, but was not carried out.
    pub enforced: bool,
}

/// A layer broke; nothing is said about the request.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{layer} layer failed: {what}")]
pub struct Fault {
    /// Which layer.
    pub layer: Layer,
    /// What happened, without any value of the request.
    pub what: Cow<'static, str>,
}
