//! From a policy to what the library wants: one `ServerConfig` for each distinct policy, however many
//! hosts share it.
//!
//! Sessions: no state is kept for them, only tickets are issued. They are bound to the server name by the
//! library. Hosts that ask clients for certificates issue none and take none, so a session can neither
//! carry a client's identity past its revocation, nor come from a host that asked for none.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use edge_core::{Diagnostic, Level};
use rustls::crypto::aws_lc_rs::{self, Ticketer, cipher_suite, kx_group};
use rustls::crypto::{CryptoProvider, GetRandomFailed, SupportedKxGroup};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    NoServerSessionStorage, ProducesTickets, ResolvesServerCert, WebPkiClientVerifier,
};
use rustls::ticketer::TicketRotator;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedCipherSuite};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};

use crate::pem::{self, MAX_BUNDLE_FILE};
use crate::settings::{ClientAuth, HostPolicy};
use crate::sources::diagnostic;
use crate::spec::{Cipher, KeyExchange, MinVersion, Protocol};

/// Makes configurations; reads each file of authorities once.
pub(crate) struct Configs<'a> {
    resolver: Arc<dyn ResolvesServerCert>,
    tickets: Option<Arc<dyn ProducesTickets>>,
    watch: &'a mut Vec<PathBuf>,
    authorities: HashMap<PathBuf, Vec<CertificateDer<'static>>>,
    revoked: HashMap<PathBuf, Vec<CertificateRevocationListDer<'static>>>,
    /// Every file that cannot be used, once.
    pub(crate) errors: Vec<Diagnostic>,
}

impl<'a> Configs<'a> {
    pub(crate) fn new(
        resolver: Arc<dyn ResolvesServerCert>,
        tickets: Option<Arc<dyn ProducesTickets>>,
        watch: &'a mut Vec<PathBuf>,
    ) -> Self {
        Self {
            resolver,
            tickets,
            watch,
            authorities: HashMap::new(),
            revoked: HashMap::new(),
            errors: Vec::new(),
        }
    }

    /// The configuration of `policy`; `None` if a file of it cannot be used, which is among the errors.
    pub(crate) fn make(&mut self, policy: &HostPolicy) -> Option<Arc<ServerConfig>> {
        let verifier = match &policy.client {
            Some(client) => Some(self.verifier(client)?),
            None => None,
        };
        let provider = Arc::new(provider(policy));
        let versions: &[_] = match policy.min_version {
            MinVersion::Tls12 => &[&TLS13, &TLS12],
            MinVersion::Tls13 => &[&TLS13],
        };
        let builder = ServerConfig::builder_with_provider(provider);
        let builder = match builder.with_protocol_versions(versions) {
            Ok(builder) => builder,
            Err(error) => {
                self.fail(Path::new("tls"), format!("cannot be spoken: {error}"));
                return None;
            }
        };
        let asks = verifier.is_some();
        let builder = match verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::clone(&self.resolver));
        config.alpn_protocols = policy.protocols.iter().map(|one| one.wire()).collect();
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.max_early_data_size = 0;
        // The list of a policy is in order of preference, and it is the operator's.
        config.ignore_client_order = true;
        match self.tickets.as_ref().filter(|_| !asks) {
            Some(tickets) => config.ticketer = Arc::clone(tickets),
            None => config.send_tls13_tickets = 0,
        }
        Some(Arc::new(config))
    }

    fn verifier(&mut self, client: &ClientAuth) -> Option<Arc<dyn ClientCertVerifier>> {
        let mistakes = self.errors.len();
        let mut roots = RootCertStore::empty();
        for file in &client.ca {
            for (index, authority) in self.authorities(file).into_iter().enumerate() {
                if let Err(error) = roots.add(authority) {
                    let number = index + 1;
                    let why =
                        format!("certificate number {number} cannot be an authority: {error}");
                    self.fail(file, why);
                }
            }
        }
        let lists: Vec<_> = client
            .crls
            .iter()
            .flat_map(|file| self.revoked(file))
            .collect();
        if self.errors.len() > mistakes || roots.is_empty() {
            return None;
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        if !lists.is_empty() {
            builder = builder.with_crls(lists).enforce_revocation_expiration();
        }
        if !client.required {
            builder = builder.allow_unauthenticated();
        }
        match builder.build() {
            Ok(verifier) => Some(verifier),
            Err(error) => {
                let file = client.crls.first().or(client.ca.first())?;
                self.fail(file, format!("cannot be used to verify clients: {error}"));
                None
            }
        }
    }

    fn authorities(&mut self, file: &Path) -> Vec<CertificateDer<'static>> {
        if let Some(known) = self.authorities.get(file) {
            return known.clone();
        }
        self.watch.push(file.to_owned());
        let found = match pem::read(file, MAX_BUNDLE_FILE) {
            Ok(contents) if contents.certificates.is_empty() => {
                self.fail(file, "holds no certificate".into());
                Vec::new()
            }
            Ok(contents) => contents.certificates,
            Err(why) => {
                self.fail(file, why);
                Vec::new()
            }
        };
        self.authorities.insert(file.to_owned(), found.clone());
        found
    }

    fn revoked(&mut self, file: &Path) -> Vec<CertificateRevocationListDer<'static>> {
        if let Some(known) = self.revoked.get(file) {
            return known.clone();
        }
        self.watch.push(file.to_owned());
        let found = match pem::read(file, MAX_BUNDLE_FILE) {
            Ok(contents) if contents.crls.is_empty() => {
                self.fail(
                    file,
                    "holds no list of revoked certificates (X509 CRL)".into(),
                );
                Vec::new()
            }
            Ok(contents) => contents.crls,
            Err(why) => {
                self.fail(file, why);
                Vec::new()
            }
        };
        self.revoked.insert(file.to_owned(), found.clone());
        found
    }

    fn fail(&mut self, file: &Path, why: String) {
        let error = diagnostic(Level::Error, file, why);
        if !self.errors.contains(&error) {
            self.errors.push(error);
        }
    }
}

/// The algorithms of a policy.
fn provider(policy: &HostPolicy) -> CryptoProvider {
    CryptoProvider {
        cipher_suites: policy.ciphers.iter().map(|one| one.suite()).collect(),
        kx_groups: policy.key_exchange.iter().map(|one| one.group()).collect(),
        ..aws_lc_rs::default_provider()
    }
}

/// What encrypts tickets, with keys that change every `rotate`.
pub(crate) fn tickets(rotate: Duration) -> Result<Arc<dyn ProducesTickets>, rustls::Error> {
    let seconds = u32::try_from(rotate.as_secs()).unwrap_or(u32::MAX);
    let key = || -> Result<Box<dyn ProducesTickets>, GetRandomFailed> {
        let key = Ticketer::new().map_err(|_| GetRandomFailed)?;
        Ok(Box::new(TicketKey(key)))
    };
    Ok(Arc::new(TicketRotator::new(seconds.max(1), key)?))
}

/// One key in turn. The library's own ticketer changes keys, too, though later.
#[derive(Debug)]
struct TicketKey(Arc<dyn ProducesTickets>);

impl ProducesTickets for TicketKey {
    fn enabled(&self) -> bool {
        self.0.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.0.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.0.encrypt(plain)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.0.decrypt(cipher)
    }
}

impl Cipher {
    fn suite(self) -> SupportedCipherSuite {
        match self {
            Self::Aes256Gcm => cipher_suite::TLS13_AES_256_GCM_SHA384,
            Self::Aes128Gcm => cipher_suite::TLS13_AES_128_GCM_SHA256,
            Self::Chacha20Poly1305 => cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
            Self::EcdsaAes256Gcm => cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            Self::EcdsaAes128Gcm => cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            Self::EcdsaChacha20Poly1305 => {
                cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
            }
            Self::RsaAes256Gcm => cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
            Self::RsaAes128Gcm => cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            Self::RsaChacha20Poly1305 => cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        }
    }
}

impl KeyExchange {
    fn group(self) -> &'static dyn SupportedKxGroup {
        match self {
            Self::X25519MlKem768 => kx_group::X25519MLKEM768,
            Self::Secp256r1MlKem768 => kx_group::SECP256R1MLKEM768,
            Self::X25519 => kx_group::X25519,
            Self::Secp256r1 => kx_group::SECP256R1,
            Self::Secp384r1 => kx_group::SECP384R1,
        }
    }
}

impl Protocol {
    fn wire(self) -> Vec<u8> {
        match self {
            Self::Http2 => b"h2".to_vec(),
            Self::Http1 => b"http/1.1".to_vec(),
        }
    }
}
