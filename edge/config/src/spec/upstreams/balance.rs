//! Which server gets a request.

use edge_core::units::HumanDuration;
use schemars::JsonSchema;
use serde::Deserialize;

/// How a server is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// One after another, by weight.
    #[default]
    RoundRobin,
    /// The server with the fewest requests in flight for its weight.
    LeastRequests,
    /// The better of two drawn servers by the time it took to answer lately (peaks count at once and
    /// fade) and its requests in flight.
    Latency,
    /// A consistent hash of what `hash_by` names: if a server goes, only its requests move.
    Hash,
}

/// Keeps a client on its server by a cookie.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StickySpec {
    /// The cookie's name.
    #[serde(default = "cookie")]
    pub(crate) cookie: String,
    /// Signs the cookie (HMAC-SHA256): at least 16 characters, the same on every instance of a fleet.
    /// Without it each process makes its own, and clients lose their server when it restarts or when
    /// another instance answers.
    #[serde(default)]
    pub(crate) secret: Option<String>,
    /// How long a browser keeps the cookie; `0`: until it is closed.
    #[serde(default)]
    pub(crate) max_age: HumanDuration,
    /// Paths the cookie is sent with.
    #[serde(default = "path")]
    pub(crate) path: String,
    /// Whether the cookie is sent over TLS only.
    #[serde(default = "yes")]
    pub(crate) secure: bool,
    /// Whether scripts of pages cannot read it.
    #[serde(default = "yes")]
    pub(crate) http_only: bool,
    /// Whether requests from other sites carry it.
    #[serde(default)]
    pub(crate) same_site: SameSite,
}

/// `SameSite` of a cookie, RFC 6265bis section 4.1.2.7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SameSite {
    /// Only requests of the site itself.
    Strict,
    /// Also when somebody follows a link to it.
    #[default]
    Lax,
    /// All; needs `secure`.
    None,
}

fn cookie() -> String {
    "palisade-server".to_owned()
}

fn path() -> String {
    "/".to_owned()
}

const fn yes() -> bool {
    true
}
