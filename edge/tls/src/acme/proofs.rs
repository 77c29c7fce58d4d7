//! Proofs of one order: published together, taken back together.

use std::sync::Arc;
use std::time::Duration;

use super::dns::{Action, Record};
use super::failure::Failure;
use super::material;
use super::settings::{Certificate, Dns, Proof};
use super::world::World;

/// What the authority wants to see for one name.
pub(crate) struct Pending {
    pub(crate) domain: String,
    pub(crate) token: String,
    pub(crate) authorization: String,
    pub(crate) dns_value: String,
}

/// Everything that is published. What lies in memory is taken back even if this is only dropped.
pub(crate) struct Proofs<'a> {
    world: &'a World,
    tokens: Vec<String>,
    names: Vec<String>,
    records: Vec<Record>,
    dns: Option<Arc<Dns>>,
}

impl<'a> Proofs<'a> {
    pub(crate) const fn new(world: &'a World) -> Self {
        Self {
            world,
            tokens: Vec::new(),
            names: Vec::new(),
            records: Vec::new(),
            dns: None,
        }
    }

    /// Publishes every proof and sees to it that others can find it.
    pub(crate) async fn publish(
        &mut self,
        certificate: &Certificate,
        pending: Vec<Pending>,
    ) -> Result<(), Failure> {
        match &certificate.proof {
            Proof::Http01 => {
                for proof in &pending {
                    self.tokens.push(proof.token.clone());
                    let authorization = Some(proof.authorization.as_str());
                    self.world.challenges.set_http(&proof.token, authorization);
                }
                self.share("http-01", &pending).await
            }
            Proof::TlsAlpn01 => {
                for proof in &pending {
                    let shown = material::proof(&proof.domain, &proof.authorization)
                        .map_err(|error| Failure::new("making the proof", error))?;
                    self.names.push(proof.domain.clone());
                    self.world
                        .challenges
                        .set_tls_alpn(&proof.domain, Some(Arc::new(shown)));
                }
                self.share("tls-alpn-01", &pending).await
            }
            Proof::Dns01(dns) => self.publish_records(dns, pending).await,
        }
    }

    /// Other instances may be asked in our place.
    async fn share(&self, kind: &str, pending: &[Pending]) -> Result<(), Failure> {
        if let Some(share) = &self.world.share {
            share.publish_proofs(kind, pending).await;
        }
        Ok(())
    }

    async fn publish_records(
        &mut self,
        dns: &Arc<Dns>,
        pending: Vec<Pending>,
    ) -> Result<(), Failure> {
        let step = "publishing the DNS record";
        self.dns = Some(dns.clone());
        for proof in pending {
            let record = dns
                .record(&proof.domain, proof.dns_value)
                .await
                .map_err(|error| Failure::new(step, error))?;
            // Before it is published: a provider that fails half-way leaves something behind.
            self.records.push(record.clone());
            dns.act(Action::Present, &record)
                .await
                .map_err(|error| Failure::new(step, error))?;
        }
        dns.shows(&self.records)
            .await
            .map_err(|error| Failure::new("waiting for the DNS record", error))
    }

    /// Takes everything back; what cannot be is said.
    pub(crate) async fn take_back(mut self) {
        if let Some(share) = &self.world.share {
            share.remove_proofs(&self.tokens, &self.names).await;
        }
        let Some(dns) = self.dns.take() else { return };
        for record in std::mem::take(&mut self.records) {
            let cleanup = dns.act(Action::Cleanup, &record);
            let done = tokio::time::timeout(CLEANUP, cleanup).await;
            if let Ok(Err(why)) = done.map_err(|_| ()) {
                tracing::warn!(record = record.name, why, "DNS record of ACME left behind");
            }
        }
    }
}

impl Drop for Proofs<'_> {
    fn drop(&mut self) {
        for token in &self.tokens {
            self.world.challenges.set_http(token, None);
        }
        for name in &self.names {
            self.world.challenges.set_tls_alpn(name, None);
        }
    }
}

const CLEANUP: Duration = Duration::from_secs(120);
