//! Certificates by host: two maps, so that a lookup costs the same whatever their number.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::SignatureScheme;
use rustls::sign::CertifiedKey;

use crate::certificate::{Certificate, Kind};

/// Certificates by the hosts they are for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    exact: HashMap<Box<str>, Kinds>,
    /// By what follows `*.`; a wildcard stands for one label.
    wildcard: HashMap<Box<str>, Kinds>,
}

/// The certificates for one name, at most one for each kind of key.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kinds([Option<Arc<Certificate>>; Kind::COUNT]);

impl Names {
    /// Adds a certificate under all its names. Where there is one of the same kind already, the one that
    /// is valid at `now` and ends last is kept.
    pub(crate) fn add(&mut self, certificate: &Arc<Certificate>, now: SystemTime) {
        self.each(certificate, |kinds| kinds.add(certificate, now));
    }

    /// Puts a certificate in the place of those with the same names and kind of key.
    pub(crate) fn replace(&mut self, certificate: &Arc<Certificate>) {
        self.each(certificate, |kinds| kinds.set(certificate));
    }

    fn each(&mut self, certificate: &Arc<Certificate>, change: impl Fn(&mut Kinds)) {
        for name in &certificate.names {
            match name.strip_prefix("*.") {
                Some(parent) => change(self.wildcard.entry(parent.into()).or_default()),
                None => change(self.exact.entry(name.clone()).or_default()),
            }
        }
    }

    /// The certificates for `host`, best first: those that name it, then those for all its siblings.
    pub(crate) fn find<'a>(&'a self, host: &'a str) -> impl Iterator<Item = &'a Kinds> {
        let siblings = || {
            let (_, parent) = host.split_once('.')?;
            self.wildcard.get(parent)
        };
        self.exact
            .get(host)
            .into_iter()
            .chain(std::iter::once_with(siblings).flatten())
    }
}

impl Kinds {
    fn add(&mut self, certificate: &Arc<Certificate>, now: SystemTime) {
        let rank =
            |certificate: &Certificate| (certificate.not_before <= now, certificate.not_after);
        let stays = self
            .iter()
            .find(|other| other.kind == certificate.kind)
            .is_some_and(|other| rank(other) > rank(certificate));
        if !stays {
            self.set(certificate);
        }
    }

    fn set(&mut self, certificate: &Arc<Certificate>) {
        if let Some(place) = self.0.get_mut(certificate.kind as usize) {
            *place = Some(Arc::clone(certificate));
        }
    }

    /// Adds a certificate that is shown where none fits; false if there is one of its kind.
    pub(crate) fn add_default(&mut self, certificate: &Arc<Certificate>) -> bool {
        let free = self.iter().all(|other| other.kind != certificate.kind);
        if free {
            self.set(certificate);
        }
        free
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Certificate>> {
        self.0.iter().flatten()
    }

    /// The certificate whose key a client that knows `schemes` can verify.
    pub(crate) fn choose(&self, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.iter()
            .map(|certificate| &certificate.certified)
            .find(|certified| certified.key.choose_scheme(schemes).is_some())
            .cloned()
    }

    /// The first certificate.
    pub(crate) fn first(&self) -> Option<Arc<CertifiedKey>> {
        let first = self.iter().next()?;
        Some(Arc::clone(&first.certified))
    }
}
