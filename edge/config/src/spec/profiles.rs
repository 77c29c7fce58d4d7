//! Protection profiles: what a request has to pass, and its limits.

use edge_core::units::{ByteSize, HumanDuration};
use edge_core::{Mode, OnFault};
use schemars::JsonSchema;
use serde::Deserialize;
use waf_rules::spec::{CrsChangeSpec, RulesSpec, TuningSpec};

/// One protection profile.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ProfileSpec {
    /// Request heads.
    pub(crate) head: HeadSpec,
    /// Request bodies.
    pub(crate) body: BodySpec,
    /// Responses.
    pub(crate) response: ResponseSpec,
    /// The web application firewall.
    pub(crate) waf: WafSpec,
}

/// Limits of a request head below those of the listener; `0` leaves it at the listener's.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "ProfileHeadSpec")]
pub(crate) struct HeadSpec {
    /// Length of the request target; longer ones are refused with 414.
    pub(crate) target: ByteSize,
    /// Size of names and values of all fields together; beyond it the answer is 431.
    pub(crate) bytes: ByteSize,
    /// Number of fields; beyond it the answer is 431.
    pub(crate) fields: u16,
}

/// Limits of a request body.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "ProfileBodySpec")]
pub(crate) struct BodySpec {
    /// How much is held back and inspected before the upstream hears anything; what follows streams.
    pub(crate) inspect: ByteSize,
    /// Larger bodies are refused with 413; `0` lets every size through (uploads), still inspecting the
    /// beginning.
    pub(crate) limit: ByteSize,
    /// How long the inspected part may take to arrive.
    pub(crate) deadline: HumanDuration,
    /// How compressed bodies are opened for inspection.
    pub(crate) decode: DecodeSpec,
}

impl Default for BodySpec {
    fn default() -> Self {
        Self {
            inspect: ByteSize(128 << 10),
            limit: ByteSize(12_800 << 10),
            deadline: seconds(60),
            decode: DecodeSpec::default(),
        }
    }
}

/// Bounds of decompression (gzip, deflate, br, zstd).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "ProfileDecodeSpec")]
pub(crate) struct DecodeSpec {
    /// How many times larger than its compressed form a body may become.
    #[schemars(range(min = 1, max = 100_000))]
    pub(crate) ratio: u32,
    /// How large it may become; larger ones are refused with 413.
    pub(crate) limit: ByteSize,
}

impl Default for DecodeSpec {
    fn default() -> Self {
        Self {
            ratio: 100,
            limit: ByteSize(12_800 << 10),
        }
    }
}

/// Inspection of responses; happens only where the loaded rules ask for it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "ProfileResponseSpec")]
pub(crate) struct ResponseSpec {
    /// How much of a response is held back and inspected; larger responses stream. `0` inspects none.
    pub(crate) inspect: ByteSize,
    /// How long the inspected part may take to arrive; then it streams.
    pub(crate) deadline: HumanDuration,
}

impl Default for ResponseSpec {
    fn default() -> Self {
        Self {
            inspect: ByteSize(512 << 10),
            deadline: seconds(10),
        }
    }
}

/// The web application firewall.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct WafSpec {
    /// `block` refuses, `detect` only records, `off` does not run.
    pub(crate) mode: Mode,
    /// What happens to a request when the firewall itself fails: `deny` or `allow`.
    pub(crate) on_fault: OnFault,
    /// The resolver that rules with `@rbl` may ask; without it, such a rule does not load.
    pub(crate) rbl: Option<RblSpec>,
    /// Which rules run.
    #[serde(flatten)]
    pub(crate) rules: RulesSpec,
    /// What is changed about them without loading them again.
    #[serde(flatten)]
    pub(crate) tuning: TuningSpec,
}

/// What a route changes about the firewall of its profile.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RouteWafSpec {
    /// `block`, `detect` or `off` instead of the profile's.
    pub(crate) mode: Option<Mode>,
    /// Settings of the Core Rule Set instead of the profile's.
    pub(crate) crs: CrsChangeSpec,
    /// What is changed about the rules, besides what the profile changes.
    #[serde(flatten)]
    pub(crate) tuning: TuningSpec,
}

/// Lists of addresses that are asked by DNS.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ProfileRblSpec")]
pub(crate) struct RblSpec {
    /// Address and port of the resolver, such as `127.0.0.1:53`. It sees the addresses of clients.
    pub(crate) resolver: String,
    /// How long a request waits for all answers; a list that is slower does not list anybody.
    #[serde(default = "rbl_timeout")]
    pub(crate) timeout: HumanDuration,
}

const fn rbl_timeout() -> HumanDuration {
    HumanDuration(std::time::Duration::from_millis(250))
}

const fn seconds(seconds: u64) -> HumanDuration {
    HumanDuration(std::time::Duration::from_secs(seconds))
}
