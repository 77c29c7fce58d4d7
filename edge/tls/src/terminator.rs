//! What answers the transport: certificates, policies and pending proofs together.
//!
//! Made once for the life of the process. A reload prepares everything aside and swaps it in: policies
//! first, then certificates, so that a host is never reachable under a policy it no longer has.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use edge_core::{Diagnostic, Level};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};

use crate::acme::Challenges;
use crate::configs::{self, Configs};
use crate::policies::{Live, Policies, PolicyScope};
use crate::settings::Settings;
use crate::sources::{self, Pairs, diagnostic};
use crate::store::{Expiry, Files};
use crate::terminate::{Choice, Install, Issued, Scope, Terminate};

/// Decides about every handshake.
pub struct Terminator {
    live: Arc<Live>,
    handshakes: ArcSwap<Handshakes>,
    challenges: Arc<Challenges>,
    /// For connections that only prove control of a name.
    proof: Arc<ServerConfig>,
    /// Told of names for which there is no certificate.
    unknown: OnceLock<Hook>,
    /// What a reload takes over; never touched by a handshake.
    kept: Mutex<Kept>,
}

/// Told of a name.
type Hook = Box<dyn Fn(&str) + Send + Sync>;
/// What encrypts tickets, and how long each of its keys does.
type Tickets = (Duration, Arc<dyn ProducesTickets>);

/// Choices by policy.
#[derive(Default)]
struct Handshakes {
    policies: Arc<Policies>,
    /// In the order of [`Policies::distinct`].
    choices: Vec<Choice>,
}

#[derive(Clone, Default)]
struct Kept {
    pairs: Pairs,
    tickets: Option<Tickets>,
    generation: u64,
}

/// Certificates and policies that are ready to be used.
pub struct Prepared {
    handshakes: Handshakes,
    files: Arc<Files>,
    kept: Kept,
    /// What is allowed but probably not meant: keys that everybody can read, certificates that end soon.
    pub warnings: Vec<Diagnostic>,
}

impl Terminator {
    /// Without certificates and policies: refuses every handshake but those for `challenges`.
    ///
    /// # Errors
    /// The library does not know the versions of TLS we speak, which a test rules out.
    pub fn new(challenges: Arc<Challenges>) -> Result<Self, rustls::Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13, &TLS12])?
            .with_no_client_auth();
        let mut proof = builder.with_cert_resolver(Arc::new(Proofs(Arc::clone(&challenges))));
        proof.alpn_protocols = vec![ACME_TLS.to_vec()];
        proof.session_storage = Arc::new(NoServerSessionStorage {});
        proof.send_tls13_tickets = 0;
        Ok(Self {
            live: Arc::default(),
            handshakes: ArcSwap::default(),
            challenges,
            proof: Arc::new(proof),
            unknown: OnceLock::new(),
            kept: Mutex::default(),
        })
    }

    /// Tells `hook` of every name a client asks for without there being a certificate for it. It is called
    /// on the accept path and must not block. Only the first hook counts.
    pub fn on_unknown(&self, hook: impl Fn(&str) + Send + Sync + 'static) {
        let _ = self.unknown.set(Box::new(hook));
    }

    /// Reads everything `settings` name, beside what is used right now. `watch` gets the files and folders
    /// that were looked at, also if something is wrong.
    ///
    /// # Errors
    /// Every file that cannot be used.
    pub fn prepare(
        &self,
        settings: &Settings,
        watch: &mut Vec<PathBuf>,
    ) -> Result<Prepared, Vec<Diagnostic>> {
        let mut kept = self.kept().clone();
        kept.generation += 1;
        let loaded = sources::load(&settings.sources, &kept.pairs, watch);
        let mut errors = loaded.errors;
        kept.pairs = loaded.pairs;
        match tickets(settings, kept.tickets.take()) {
            Ok(tickets) => kept.tickets = tickets,
            Err(error) => {
                let why = format!("no key for session tickets can be made: {error}");
                errors.push(diagnostic(Level::Error, "tls".as_ref(), why));
            }
        }
        let policies = Arc::new(Policies::new(settings, kept.generation));
        let tickets = kept.tickets.as_ref().map(|(_, tickets)| tickets.clone());
        let mut configs = Configs::new(self.live.store.clone(), tickets, watch);
        let made = policies.distinct.iter().map(|policy| {
            let scope: Arc<dyn Scope> = Arc::new(PolicyScope {
                live: Arc::clone(&self.live),
                policy: Arc::clone(policy),
                generation: kept.generation,
            });
            Some(Choice {
                config: configs.make(policy)?,
                scope,
                acme: false,
            })
        });
        let choices: Vec<Choice> = made.collect::<Vec<_>>().into_iter().flatten().collect();
        errors.append(&mut configs.errors);
        if !errors.is_empty() {
            errors.extend(loaded.warnings);
            return Err(errors);
        }
        Ok(Prepared {
            handshakes: Handshakes { policies, choices },
            files: Arc::new(loaded.files),
            kept,
            warnings: loaded.warnings,
        })
    }

    /// Uses `prepared` from the next handshake on.
    pub fn adopt(&self, prepared: Prepared) {
        let Prepared {
            handshakes,
            files,
            kept,
            ..
        } = prepared;
        self.live.policies.store(Arc::clone(&handshakes.policies));
        self.handshakes.store(Arc::new(handshakes));
        self.live.store.adopt(files);
        *self.kept() = kept;
    }

    /// Whether any host asks clients for certificates.
    #[must_use]
    pub fn asks_clients(&self) -> bool {
        self.live.policies.load().asks_clients
    }

    /// Whether `host` is for clients with a certificate only; empty if the client named none.
    #[must_use]
    pub fn requires_certificate(&self, host: &str) -> bool {
        let policies = self.live.policies.load();
        let policy = policies.of(Some(host).filter(|host| !host.is_empty()));
        let client = policy.and_then(|policy| policy.client.as_ref());
        client.is_some_and(|client| client.required)
    }

    /// Whether upstreams get the certificate of a client that asks for `host`.
    #[must_use]
    pub fn forwards(&self, host: &str) -> bool {
        let policies = self.live.policies.load();
        let client = policies
            .of(Some(host))
            .and_then(|policy| policy.client.as_ref());
        client.is_some_and(|client| client.forward)
    }

    /// When every certificate ends, the first to end first.
    #[must_use]
    pub fn expiries(&self) -> Vec<Expiry> {
        self.live.store.expiries()
    }

    /// The certificates that end soon, or have ended, in words.
    #[must_use]
    pub fn ending(&self, now: SystemTime) -> Vec<Expiry> {
        let soon = now + sources::WARN;
        let mut expiries = self.expiries();
        expiries.retain(|expiry| expiry.not_after < soon);
        expiries
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keys stay over a reload, so that sessions do.
fn tickets(settings: &Settings, before: Option<Tickets>) -> Result<Option<Tickets>, rustls::Error> {
    let Some(rotate) = settings.rotate else {
        return Ok(None);
    };
    match before {
        Some((time, tickets)) if time == rotate => Ok(Some((time, tickets))),
        _ => Ok(Some((rotate, configs::tickets(rotate)?))),
    }
}

impl Terminate for Terminator {
    fn choose(&self, server_name: Option<&str>, protocols: &[&[u8]]) -> Option<Choice> {
        let handshakes = self.handshakes.load();
        if let Some(name) = server_name {
            // RFC 8737 section 3: a proof offers this protocol and no other.
            if protocols == [ACME_TLS] && self.challenges.tls_alpn(name).is_some() {
                return Some(Choice {
                    config: Arc::clone(&self.proof),
                    scope: Arc::new(Nothing),
                    acme: true,
                });
            }
        }
        let store = &self.live.store;
        let known = server_name.is_some_and(|name| {
            let known = store.knows(name);
            if !known && let Some(unknown) = self.unknown.get() {
                unknown(name);
            }
            known
        });
        if !known && !store.has_default() {
            return None;
        }
        let index = handshakes.policies.index(server_name);
        handshakes.choices.get(index).cloned()
    }
}

impl Install for Terminator {
    fn install(&self, issued: Issued) {
        self.live.store.install(issued);
    }
}

impl fmt::Debug for Terminator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terminator").finish_non_exhaustive()
    }
}

/// Certificates that prove control of a name.
#[derive(Debug)]
struct Proofs(Arc<Challenges>);

impl ResolvesServerCert for Proofs {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.tls_alpn(hello.server_name()?)
    }
}

/// No request is served where only control of a name is proven.
#[derive(Debug)]
struct Nothing;

impl Scope for Nothing {
    fn covers(&self, _server_name: Option<&str>, _host: &str) -> bool {
        false
    }
}

const ACME_TLS: &[u8] = b"acme-tls/1";
