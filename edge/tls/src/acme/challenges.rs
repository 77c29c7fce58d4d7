//! Proofs that are asked for right now.
//!
//! ACME writes them, the listeners read them: the plain ones answer HTTP-01 (RFC 8555 section 8.3), the TLS
//! ones TLS-ALPN-01 (RFC 8737).

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::sign::CertifiedKey;

/// Proofs by what they are asked for; readers never wait.
#[derive(Debug, Default)]
pub struct Challenges {
    http: ArcSwap<BTreeMap<String, String>>,
    tls_alpn: ArcSwap<BTreeMap<String, Arc<CertifiedKey>>>,
}

impl Challenges {
    /// The key authorization for an HTTP-01 token: what `/.well-known/acme-challenge/TOKEN` answers.
    #[must_use]
    pub fn http(&self, token: &str) -> Option<String> {
        self.http.load().get(token).cloned()
    }

    /// The certificate that proves control of `name` in a handshake for `acme-tls/1`.
    #[must_use]
    pub fn tls_alpn(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        self.tls_alpn.load().get(name).cloned()
    }

    /// Answers an HTTP-01 token from now on; `None` forgets it.
    pub fn set_http(&self, token: &str, authorization: Option<&str>) {
        change(&self.http, token, authorization.map(str::to_owned).as_ref());
    }

    /// Proves control of `name` by TLS-ALPN-01 from now on; `None` forgets it.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "the certificate is handed over"
    )]
    pub fn set_tls_alpn(&self, name: &str, certificate: Option<Arc<CertifiedKey>>) {
        change(&self.tls_alpn, name, certificate.as_ref());
    }
}

fn change<T: Clone>(map: &ArcSwap<BTreeMap<String, T>>, key: &str, value: Option<&T>) {
    map.rcu(|now| {
        let mut next = BTreeMap::clone(now);
        match value {
            Some(value) => next.insert(key.to_owned(), value.clone()),
            None => next.remove(key),
        };
        next
    });
}
