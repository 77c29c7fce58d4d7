//! What the user writes under `tls.acme`.
//!
//! The doc comment of every field is its description in the JSON schema and in editors.
//! [`Acme`](super::Acme) is what it becomes once it is checked.

use std::collections::BTreeMap;
use std::time::Duration;

use edge_core::Secret;
use edge_core::units::HumanDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

/// Certificates that are ordered and renewed by ACME (RFC 8555).
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AcmeSpec {
    /// Folder of accounts, keys and certificates. Made with mode 0700 where it is missing; refused if
    /// anybody else may enter it.
    pub state: String,
    /// Accounts at certificate authorities, by name.
    pub accounts: BTreeMap<String, AccountSpec>,
    /// Certificates to hold. Two entries with the same names and different keys give clients of both
    /// kinds what they like best.
    #[serde(default)]
    pub certificates: Vec<CertificateSpec>,
    /// Ways to publish DNS records for `dns-01`, by name.
    #[serde(default)]
    pub dns: BTreeMap<String, DnsSpec>,
    /// Orders certificates for names when a client first asks for them.
    #[serde(default)]
    pub on_demand: Option<OnDemandSpec>,
    /// Shares certificates and proofs with other instances; one of them orders for all.
    #[serde(default)]
    pub share: Option<ShareSpec>,
    /// How long to wait after an order failed.
    #[serde(default)]
    pub retry: RetrySpec,
}

/// An account at a certificate authority.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AcmeAccountSpec")]
pub struct AccountSpec {
    /// The authority's ACME directory, an `https` URL.
    pub directory: String,
    /// Proves every certificate at this directory first, once for each; production is asked only after
    /// staging has issued it.
    #[serde(default)]
    pub staging: Option<String>,
    /// PEM file with the certificates the directory's own TLS is verified with. Without it: those of
    /// the system.
    #[serde(default)]
    pub ca: Option<String>,
    /// Where the authority may reach you, for example `mailto:ops@example.com`.
    #[serde(default)]
    pub contact: Vec<String>,
    /// `true`: you agree to the authority's terms of service. Without it no account is made.
    pub agree_to_terms: bool,
    /// Binds the account to one you have at the authority (EAB, RFC 8555 section 7.3.4).
    #[serde(default)]
    pub external_account: Option<ExternalAccountSpec>,
    /// Orders this account may place in an hour; further ones wait.
    #[serde(default = "orders_per_hour")]
    #[schemars(range(min = 1, max = 100_000))]
    pub orders_per_hour: u32,
    /// Profile to ask for, where the authority offers profiles.
    #[serde(default)]
    pub profile: Option<String>,
}

/// An account that exists at the authority outside ACME.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AcmeExternalAccountSpec")]
pub struct ExternalAccountSpec {
    /// The key's identifier.
    pub key_id: String,
    /// The key, base64url as the authority gives it.
    #[serde(default)]
    pub secret: Option<SecretText>,
    /// File that holds the key, in place of `secret`.
    #[serde(default)]
    pub secret_file: Option<String>,
}

/// A certificate to hold.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AcmeCertificateSpec")]
pub struct CertificateSpec {
    /// Host names; `*.example.com` needs `dns-01`.
    #[schemars(length(min = 1, max = 100))]
    pub names: Vec<String>,
    /// The account that orders it. Without it: the only one.
    #[serde(default)]
    pub account: Option<String>,
    /// How control of the names is proven.
    #[serde(default)]
    pub challenge: Challenge,
    /// The entry of `dns` that publishes the records for `dns-01`. Without it: the only one.
    #[serde(default)]
    pub dns: Option<String>,
    /// The kind of its key.
    #[serde(default)]
    pub key: KeyType,
    /// Profile to ask for, in place of the account's.
    #[serde(default)]
    pub profile: Option<String>,
}

/// How control of a name is proven.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "AcmeChallenge")]
pub enum Challenge {
    /// An answer on port 80: plain listeners give it.
    #[default]
    #[serde(rename = "http-01")]
    Http01,
    /// A handshake on port 443: TLS listeners give it.
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
    /// A DNS record; the only one for wildcards.
    #[serde(rename = "dns-01")]
    Dns01,
}

/// The kind of a certificate's key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(rename = "AcmeKeyType")]
pub enum KeyType {
    /// ECDSA on P-256.
    #[default]
    #[serde(rename = "ecdsa-p256")]
    EcdsaP256,
    /// ECDSA on P-384.
    #[serde(rename = "ecdsa-p384")]
    EcdsaP384,
    /// RSA, 2048 bits.
    #[serde(rename = "rsa-2048")]
    Rsa2048,
    /// RSA, 4096 bits.
    #[serde(rename = "rsa-4096")]
    Rsa4096,
}

/// A way to publish DNS records: exactly one of `hook`, `update` and `webhook`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AcmeDnsSpec")]
pub struct DnsSpec {
    /// Runs a command: `COMMAND present DOMAIN RECORD VALUE`, later the same with `cleanup`.
    #[serde(default)]
    pub hook: Option<HookSpec>,
    /// Changes the zone by dynamic update (RFC 2136), signed (TSIG).
    #[serde(default)]
    pub update: Option<UpdateSpec>,
    /// Asks a service: POST of `{"action", "domain", "record", "value"}`.
    #[serde(default)]
    pub webhook: Option<WebhookSpec>,
    /// Name servers that must all show the record before the authority is told to look; address and
    /// port each. Without any, an `update` asks the server it changed, others wait for `settle` only.
    #[serde(default)]
    pub resolvers: Vec<String>,
    /// How long the record may take to show; then the order fails.
    #[serde(default = "propagation")]
    pub propagation: HumanDuration,
    /// Waits this long in any case once the record is published.
    #[serde(default)]
    pub settle: HumanDuration,
    /// Publishes the record where a CNAME at `_acme-challenge.NAME` points; needs `resolvers`.
    #[serde(default)]
    pub follow_cname: bool,
}

/// A command that publishes DNS records. It sees `PATH` and the variables of `environment` only.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AcmeHookSpec")]
pub struct HookSpec {
    /// The program and its first arguments; `present` or `cleanup`, the domain, the record's name and
    /// its value follow. Records with the same name are added, not replaced.
    #[schemars(length(min = 1))]
    pub command: Vec<String>,
    /// How long it may run.
    #[serde(default = "hook_timeout")]
    pub timeout: HumanDuration,
    /// Variables it sees.
    #[serde(default)]
    pub environment: BTreeMap<String, SecretText>,
}

/// A zone that takes dynamic updates.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AcmeUpdateSpec")]
pub struct UpdateSpec {
    /// The zone's primary server, address and port.
    pub server: String,
    /// The zone, for example `example.com`.
    pub zone: String,
    /// The name of the TSIG key.
    pub key: String,
    /// The TSIG algorithm.
    #[serde(default)]
    pub algorithm: TsigAlgorithm,
    /// The TSIG key, base64.
    #[serde(default)]
    pub secret: Option<SecretText>,
    /// File that holds the TSIG key, in place of `secret`.
    #[serde(default)]
    pub secret_file: Option<String>,
    /// How long an answer may take.
    #[serde(default = "dns_timeout")]
    pub timeout: HumanDuration,
}

/// How updates are signed (RFC 8945).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are those of RFC 8945")]
#[schemars(rename = "AcmeTsigAlgorithm")]
pub enum TsigAlgorithm {
    #[default]
    HmacSha256,
    HmacSha384,
    HmacSha512,
}

/// A service that publishes DNS records.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AcmeWebhookSpec")]
pub struct WebhookSpec {
    /// An `https` URL.
    pub url: String,
    /// Sent as `Authorization: Bearer`.
    #[serde(default)]
    pub bearer: Option<SecretText>,
    /// File that holds what is sent as `Authorization: Bearer`.
    #[serde(default)]
    pub bearer_file: Option<String>,
    /// PEM file with the certificates the service is verified with. Without it: those of the system.
    #[serde(default)]
    pub ca: Option<String>,
    /// How long an answer may take.
    #[serde(default = "hook_timeout")]
    pub timeout: HumanDuration,
}

/// Certificates for names that are asked for. The first handshake for a name does not wait: it gets
/// the default certificate or is refused, and the order starts.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AcmeOnDemandSpec")]
pub struct OnDemandSpec {
    /// Names that are allowed: exact ones, or `*.example.com` for any one label below.
    #[schemars(length(min = 1))]
    pub names: Vec<String>,
    /// The account that orders them. Without it: the only one.
    #[serde(default)]
    pub account: Option<String>,
    /// How control of a name is proven.
    #[serde(default)]
    pub challenge: Challenge,
    /// The entry of `dns` for `dns-01`. Without it: the only one.
    #[serde(default)]
    pub dns: Option<String>,
    /// The kind of their keys.
    #[serde(default)]
    pub key: KeyType,
    /// New names in a minute at most; further ones have to ask again.
    #[serde(default = "on_demand_per_minute")]
    #[schemars(range(min = 1, max = 10_000))]
    pub per_minute: u32,
    /// Names at most.
    #[serde(default = "on_demand_names")]
    #[schemars(range(min = 1, max = 100_000))]
    pub limit: u32,
}

/// Instances that share certificates through Redis.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AcmeShareSpec")]
pub struct ShareSpec {
    /// `redis://user:password@host:port/database`; no TLS, so keep it on a network of yours.
    pub redis: SecretText,
    /// 32 bytes in base64 that encrypt private keys in Redis (AES-256-GCM); the same for all instances,
    /// for example from `openssl rand -base64 32`.
    #[serde(default)]
    pub key: Option<SecretText>,
    /// File that holds the key, in place of `key`.
    #[serde(default)]
    pub key_file: Option<String>,
    /// Begins the name of everything that is kept in Redis.
    #[serde(default = "share_prefix")]
    pub prefix: String,
}

/// Waits between orders that fail: each twice as long as the one before.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "AcmeRetrySpec")]
pub struct RetrySpec {
    /// The first wait.
    pub first: HumanDuration,
    /// The longest wait.
    pub longest: HumanDuration,
}

/// Text that must not show in logs; `${NAME}` takes it from the environment.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(transparent)]
pub struct SecretText(#[schemars(with = "String")] pub Secret<String>);

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Secret::new(text)))
    }
}

impl Default for RetrySpec {
    fn default() -> Self {
        Self {
            first: HumanDuration(Duration::from_secs(60)),
            longest: HumanDuration(Duration::from_secs(4 * 3600)),
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct Problem {
    /// Keys from `acme` down, for example `certificates[1].names[0]`.
    pub path: String,
    /// What is wrong, and what was expected.
    pub message: String,
}

const fn orders_per_hour() -> u32 {
    60
}
const fn on_demand_per_minute() -> u32 {
    10
}
const fn on_demand_names() -> u32 {
    1_000
}
const fn propagation() -> HumanDuration {
    HumanDuration(Duration::from_secs(120))
}
const fn hook_timeout() -> HumanDuration {
    HumanDuration(Duration::from_secs(60))
}
const fn dns_timeout() -> HumanDuration {
    HumanDuration(Duration::from_secs(10))
}
fn share_prefix() -> String {
    "palisade:acme:".to_owned()
}
