//! What an operator may say about TLS: the shape of the file.
//!
//! [`TlsSpec`] is what is written under the top-level key `tls`; [`Settings`](crate::Settings) is what
//! runs, made only by `TryFrom`, which names every problem at once. Every default is the safe one.

mod check;

use schemars::JsonSchema;
use serde::Deserialize;

use edge_core::HumanDuration;

use crate::acme::spec::AcmeSpec;

pub use check::{Problem, Problems};

/// Certificates, and what a handshake has to satisfy.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TlsSpec {
    /// Where certificates come from: files, or folders of files. They are read again when they change.
    #[schemars(length(max = 10_000))]
    pub certificates: Vec<CertificateSpec>,
    /// What holds for every host that has no settings of its own.
    pub defaults: HostPolicySpec,
    /// Settings of some hosts; what is not written there is as in `defaults`.
    #[schemars(length(max = 100_000))]
    pub hosts: Vec<HostSpec>,
    /// Session tickets, by which a client that comes back saves half of the handshake.
    pub session_tickets: SessionTicketsSpec,
    /// Certificates that are ordered and renewed by ACME (RFC 8555).
    pub acme: Option<Box<AcmeSpec>>,
}

/// One certificate, or a folder of them.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateSpec {
    /// A file in PEM form: the certificate of the host first, then those that signed it.
    #[serde(default)]
    pub certificate: Option<String>,
    /// The file with its private key. Without it, the key stands in the file of the certificate.
    #[serde(default)]
    pub key: Option<String>,
    /// Show this certificate to clients that name no host, or one for which there is no certificate.
    /// Without such a certificate these clients are refused, which is the safe default: nothing is served
    /// under a name nobody configured. An ECDSA and an RSA certificate may both be the default.
    #[serde(default)]
    pub default: bool,
    /// Instead of a file: a folder with pairs `NAME.crt` and `NAME.key`, files `NAME.pem` that hold both
    /// (or have a `NAME.key` beside them), and folders with `tls.crt` and `tls.key` (as Kubernetes mounts
    /// secrets). A pair that is broken is left out with a warning; if it was right before, the old one
    /// stays.
    #[serde(default)]
    pub directory: Option<String>,
}

/// Settings of some hosts.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostSpec {
    /// Host names: exact (`example.com`), or every name below one (`*.example.com`). The most specific
    /// one counts.
    #[schemars(length(min = 1, max = 10_000))]
    pub names: Vec<String>,
    /// The oldest version of TLS that is spoken.
    #[serde(default)]
    pub min_version: Option<MinVersion>,
    /// Cipher suites, best first, by their IANA names.
    #[serde(default)]
    pub ciphers: Option<Vec<Cipher>>,
    /// Key exchange groups, best first.
    #[serde(default)]
    pub key_exchange: Option<Vec<KeyExchange>>,
    /// Protocols offered by ALPN, best first.
    #[serde(default)]
    pub alpn: Option<Vec<Protocol>>,
    /// Certificates of clients (mutual TLS).
    #[serde(default)]
    pub client_certificates: Option<ClientCertificatesSpec>,
}

/// What a handshake has to satisfy.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "TlsDefaultsSpec")]
pub struct HostPolicySpec {
    /// The oldest version of TLS that is spoken: `TLSv1.2` (the default) or `TLSv1.3`. Older ones are
    /// never spoken.
    pub min_version: Option<MinVersion>,
    /// Cipher suites, best first, by their IANA names. Without it: all that are known, which are those
    /// with forward secrecy and authenticated encryption.
    pub ciphers: Option<Vec<Cipher>>,
    /// Key exchange groups, best first. Without it: X25519MLKEM768 (safe against quantum computers),
    /// X25519, secp256r1, secp384r1.
    pub key_exchange: Option<Vec<KeyExchange>>,
    /// Protocols offered by ALPN, best first. Without it: `h2`, then `http/1.1`.
    pub alpn: Option<Vec<Protocol>>,
    /// Certificates of clients (mutual TLS). Without it, no client is asked for one.
    pub client_certificates: Option<ClientCertificatesSpec>,
}

/// Versions of TLS.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Deserialize, JsonSchema,
)]
pub enum MinVersion {
    /// Version 1.2 and newer.
    #[default]
    #[serde(rename = "TLSv1.2")]
    Tls12,
    /// Version 1.3 alone.
    #[serde(rename = "TLSv1.3")]
    Tls13,
}

/// Cipher suites that can be spoken, by their IANA names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names are IANA's")]
pub enum Cipher {
    #[serde(rename = "TLS_AES_256_GCM_SHA384")]
    Aes256Gcm,
    #[serde(rename = "TLS_AES_128_GCM_SHA256")]
    Aes128Gcm,
    #[serde(rename = "TLS_CHACHA20_POLY1305_SHA256")]
    Chacha20Poly1305,
    #[serde(rename = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384")]
    EcdsaAes256Gcm,
    #[serde(rename = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256")]
    EcdsaAes128Gcm,
    #[serde(rename = "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256")]
    EcdsaChacha20Poly1305,
    #[serde(rename = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384")]
    RsaAes256Gcm,
    #[serde(rename = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256")]
    RsaAes128Gcm,
    #[serde(rename = "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256")]
    RsaChacha20Poly1305,
}

impl Cipher {
    /// All of them, best first.
    pub const ALL: [Self; 9] = [
        Self::Aes256Gcm,
        Self::Aes128Gcm,
        Self::Chacha20Poly1305,
        Self::EcdsaAes256Gcm,
        Self::EcdsaAes128Gcm,
        Self::EcdsaChacha20Poly1305,
        Self::RsaAes256Gcm,
        Self::RsaAes128Gcm,
        Self::RsaChacha20Poly1305,
    ];

    /// Whether it belongs to TLS 1.3; no suite belongs to both versions.
    #[must_use]
    pub const fn is_tls13(self) -> bool {
        matches!(
            self,
            Self::Aes256Gcm | Self::Aes128Gcm | Self::Chacha20Poly1305
        )
    }
}

/// Key exchange groups that can be spoken, by their IANA names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names are IANA's")]
pub enum KeyExchange {
    #[serde(rename = "X25519MLKEM768")]
    X25519MlKem768,
    #[serde(rename = "SecP256r1MLKEM768")]
    Secp256r1MlKem768,
    #[serde(rename = "x25519")]
    X25519,
    #[serde(rename = "secp256r1")]
    Secp256r1,
    #[serde(rename = "secp384r1")]
    Secp384r1,
}

impl KeyExchange {
    /// Those that are offered by default, best first.
    pub const DEFAULT: [Self; 4] = [
        Self::X25519MlKem768,
        Self::X25519,
        Self::Secp256r1,
        Self::Secp384r1,
    ];
}

/// Protocols that can be agreed on by ALPN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema)]
#[schemars(rename = "AlpnProtocol")]
pub enum Protocol {
    /// HTTP/2.
    #[serde(rename = "h2")]
    Http2,
    /// HTTP/1.
    #[serde(rename = "http/1.1")]
    Http1,
}

/// Certificates of clients (mutual TLS).
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClientCertificatesSpec {
    /// `required`: no handshake without one. `optional`: a client may show one; one that cannot be
    /// verified ends the handshake also then. `off`: no client is asked.
    pub mode: ClientMode,
    /// Files in PEM form with the authorities that sign certificates of clients.
    pub ca: Vec<String>,
    /// Files in PEM form with lists of revoked certificates, one for each authority in a chain. With any
    /// list, a certificate whose authority has none, or only one that is out of date, is refused.
    pub crls: Vec<String>,
    /// Hand the client's certificate to the upstream in the header `Client-Cert` (RFC 9440). Headers of that
    /// name from clients never pass.
    pub forward: bool,
}

/// Whether clients have to show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientMode {
    /// No handshake without one.
    #[default]
    Required,
    /// A client may show one.
    Optional,
    /// No client is asked.
    Off,
}

/// Session tickets.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SessionTicketsSpec {
    /// How long one key encrypts tickets before a new one takes its place; a ticket is good for at most
    /// twice as long. `0` issues none. Hosts that ask clients for certificates never issue any.
    pub rotate: HumanDuration,
}

impl Default for SessionTicketsSpec {
    fn default() -> Self {
        Self {
            rotate: HumanDuration(std::time::Duration::from_secs(6 * 3600)),
        }
    }
}
