//! Routes: which requests go where, under which profile.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::RouteWafSpec;

/// One route. A request matches if every condition that is written matches.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RouteSpec {
    /// The route's name in logs and metrics; unique. Without it: `route-` and its number.
    #[serde(default)]
    #[schemars(extend("pattern" = r"^[A-Za-z0-9][A-Za-z0-9_.:/-]{0,63}$"), description = "a name of up to 64 letters, digits and `_.:/-`; unique, used in logs and metrics")]
    pub(crate) name: Option<String>,
    /// Host names: exact (`example.com`), every name below one (`*.example.com`), or `*`. Without it:
    /// every host.
    #[serde(default)]
    pub(crate) hosts: Vec<String>,
    /// Paths; one of them must match. Without it: every path.
    #[serde(default)]
    pub(crate) paths: Vec<PathSpec>,
    /// Methods; one of them must match. Without it: every method.
    #[serde(default)]
    pub(crate) methods: Vec<String>,
    /// Header fields that must be there: a value, or `{regex: ...}` for the whole value.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, MatcherSpec>,
    /// Query parameters that must be there: a value, or `{regex: ...}` for the whole value.
    #[serde(default)]
    pub(crate) query: BTreeMap<String, MatcherSpec>,
    /// The upstream group the request goes to.
    pub(crate) upstream: String,
    /// The protection profile it has to pass.
    #[serde(default = "default_profile")]
    pub(crate) profile: String,
    /// What this route changes about the profile's firewall; the rules stay shared.
    #[serde(default)]
    pub(crate) waf: RouteWafSpec,
}

/// A condition on the path. Paths are compared decoded, without `.`, `..` and repeated slashes.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PathSpec {
    /// This path and everything below it: `/a` matches `/a` and `/a/b`, not `/ab`.
    Prefix(String),
    /// This path alone.
    Exact(String),
    /// A regular expression for the whole path (syntax of Rust's `regex`, linear time).
    Regex(String),
}

/// A condition on a value.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum MatcherSpec {
    /// This value.
    Exact(String),
    /// A regular expression for the whole value.
    Regex(RegexSpec),
}

/// A regular expression.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegexSpec {
    /// The expression; it must match the whole value.
    pub(crate) regex: String,
}

fn default_profile() -> String {
    "default".to_owned()
}
