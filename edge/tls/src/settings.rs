//! The checked form of the section: what certificates are read, what holds for which host.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::acme::Acme;
use crate::spec::{Cipher, KeyExchange, MinVersion, Problems, Protocol, TlsSpec};

/// A section that was checked; made only by [`TlsSpec::checked`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub(crate) sources: Vec<Source>,
    pub(crate) defaults: Arc<HostPolicy>,
    pub(crate) hosts: Vec<(HostPattern, Arc<HostPolicy>)>,
    /// How long one key encrypts tickets; `None` issues none.
    pub(crate) rotate: Option<Duration>,
    pub(crate) acme: Option<Arc<Acme>>,
}

impl Settings {
    /// Whether certificates come from anywhere.
    #[must_use]
    pub fn has_certificates(&self) -> bool {
        let ordered = |acme: &Arc<Acme>| acme.names().next().is_some() || acme.is_on_demand();
        !self.sources.is_empty() || self.acme.as_ref().is_some_and(ordered)
    }

    /// Certificates that are ordered and renewed by ACME.
    #[must_use]
    pub const fn acme(&self) -> Option<&Arc<Acme>> {
        self.acme.as_ref()
    }

    /// Whether any host asks clients for certificates.
    pub(crate) fn asks_clients(&self) -> bool {
        let hosts = self.hosts.iter().map(|(_, policy)| policy);
        hosts
            .chain([&self.defaults])
            .any(|policy| policy.client.is_some())
    }
}

impl Default for Settings {
    /// What an empty section means.
    fn default() -> Self {
        let checked = TlsSpec::default().checked(&mut Problems::default());
        checked.unwrap_or_else(|| Self {
            sources: Vec::new(),
            defaults: Arc::default(),
            hosts: Vec::new(),
            rotate: None,
            acme: None,
        })
    }
}

/// Where certificates come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// A certificate and its key.
    Files {
        certificate: PathBuf,
        /// `None`: in the same file.
        key: Option<PathBuf>,
        /// Shown where no certificate fits.
        default: bool,
    },
    /// A folder of pairs.
    Directory(PathBuf),
}

/// What a handshake for a host has to satisfy. Two hosts with equal policies may share a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct HostPolicy {
    pub(crate) min_version: MinVersion,
    pub(crate) ciphers: Vec<Cipher>,
    pub(crate) key_exchange: Vec<KeyExchange>,
    pub(crate) protocols: Vec<Protocol>,
    pub(crate) client: Option<ClientAuth>,
}

/// How clients are verified.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ClientAuth {
    /// Whether there is no handshake without a certificate.
    pub(crate) required: bool,
    pub(crate) ca: Vec<PathBuf>,
    pub(crate) crls: Vec<PathBuf>,
    /// Whether upstreams get the certificate.
    pub(crate) forward: bool,
}

/// The hosts a policy is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum HostPattern {
    /// This one.
    Exact(Box<str>),
    /// Every name below this one.
    Below(Box<str>),
}

impl HostPattern {
    /// Reads `example.com` or `*.example.com`; names are compared in lower case.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let name = text.to_ascii_lowercase();
        match name.strip_prefix("*.") {
            Some(parent) => is_host_name(parent).then(|| Self::Below(parent.into())),
            None => is_host_name(&name).then(|| Self::Exact(name.into())),
        }
    }
}

/// Whether `name` may be asked for in a handshake (RFC 6066 section 3): a DNS name in lower case, no
/// address, no dot at the end.
pub(crate) fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'))
    };
    let numeric = |label: &str| label.bytes().all(|b| b.is_ascii_digit());
    name.len() <= 253 && name.split('.').all(label) && !name.rsplit('.').next().is_some_and(numeric)
}
