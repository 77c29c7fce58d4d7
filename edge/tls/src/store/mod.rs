//! The certificates that are shown right now, and the one a ClientHello gets.
//!
//! Readers never wait: what was read from files and what was issued are each one `Arc` behind an atomic
//! swap, so a handshake sees either the old certificates or the new ones.

mod names;

use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::certificate::{Certificate, Kind};
use crate::terminate::Issued;

pub(crate) use names::{Kinds, Names};

/// All certificates.
#[derive(Debug, Default)]
pub(crate) struct Store {
    files: ArcSwap<Files>,
    issued: ArcSwap<IssuedCertificates>,
}

/// Certificates that were read from files.
#[derive(Debug, Default)]
pub(crate) struct Files {
    pub(crate) names: Names,
    /// Shown where none fits.
    pub(crate) default: Kinds,
    /// Every certificate once.
    pub(crate) all: Vec<Arc<Certificate>>,
}

#[derive(Debug, Default, Clone)]
struct IssuedCertificates {
    names: Names,
    all: Vec<Arc<Certificate>>,
}

/// When a certificate ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expiry {
    /// The first of its names; empty if it has none.
    pub name: Box<str>,
    /// The kind of its key: `ecdsa`, `ed25519` or `rsa`.
    pub key: &'static str,
    /// When it ends.
    pub not_after: SystemTime,
}

impl Store {
    /// Shows these from now on, beside those that were issued.
    pub(crate) fn adopt(&self, files: Arc<Files>) {
        self.files.store(files);
    }

    /// Shows `issued` from now on.
    pub(crate) fn install(&self, issued: Issued) {
        let Some(kind) = Kind::of(&issued.certified) else {
            return;
        };
        let certificate = Arc::new(Certificate {
            names: issued.names.into_iter().map(Box::from).collect(),
            kind,
            certified: issued.certified,
            not_before: SystemTime::UNIX_EPOCH,
            not_after: issued.not_after,
        });
        self.issued.rcu(|now| {
            let mut next = IssuedCertificates::clone(now);
            next.names.replace(&certificate);
            let same = |other: &Arc<Certificate>| {
                other.kind == certificate.kind && other.names == certificate.names
            };
            next.all.retain(|other| !same(other));
            next.all.push(Arc::clone(&certificate));
            next
        });
    }

    /// Whether there is a certificate for `host`, the default one left aside.
    pub(crate) fn knows(&self, host: &str) -> bool {
        self.issued.load().names.find(host).next().is_some()
            || self.files.load().names.find(host).next().is_some()
    }

    /// Whether there is a certificate for hosts without one.
    pub(crate) fn has_default(&self) -> bool {
        !self.files.load().default.is_empty()
    }

    /// Whether a client that asked for `asked` was shown a certificate that is good for `host`, too.
    pub(crate) fn shows_the_same(&self, asked: &str, host: &str) -> bool {
        let (issued, files) = (self.issued.load(), self.files.load());
        let mut shown = issued
            .names
            .find(asked)
            .chain(files.names.find(asked))
            .peekable();
        if shown.peek().is_some() {
            return shown.flat_map(Kinds::iter).any(|shown| shown.covers(host));
        }
        let host_has_one = self.knows(host);
        !host_has_one || files.default.iter().any(|shown| shown.covers(host))
    }

    /// Where the client can verify none, the first is shown all the same: the library then ends the
    /// handshake with the alert that says so (`handshake_failure`).
    fn choose(&self, hello: &ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let schemes = hello.signature_schemes();
        let (issued, files) = (self.issued.load(), self.files.load());
        let host = hello.server_name().unwrap_or_default();
        let fitting = || issued.names.find(host).chain(files.names.find(host));
        if fitting().next().is_none() {
            let default = &files.default;
            return default.choose(schemes).or_else(|| default.first());
        }
        fitting()
            .find_map(|kinds| kinds.choose(schemes))
            .or_else(|| fitting().find_map(Kinds::first))
    }

    /// When every certificate ends, the first to end first.
    pub(crate) fn expiries(&self) -> Vec<Expiry> {
        let (issued, files) = (self.issued.load(), self.files.load());
        let all = files.all.iter().chain(&issued.all);
        let mut expiries: Vec<Expiry> = all.map(|certificate| certificate.expiry()).collect();
        expiries.sort_by_key(|expiry| expiry.not_after);
        expiries
    }
}

impl Certificate {
    pub(crate) fn expiry(&self) -> Expiry {
        Expiry {
            name: self.names.first().cloned().unwrap_or_default(),
            key: match self.kind {
                Kind::Ecdsa => "ecdsa",
                Kind::Ed25519 => "ed25519",
                Kind::Rsa => "rsa",
            },
            not_after: self.not_after,
        }
    }
}

impl ResolvesServerCert for Store {
    /// ECDSA before RSA, as far as the client can verify it: the library has left out of the schemes what
    /// no cipher suite of the client goes with.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(&hello)
    }
}
