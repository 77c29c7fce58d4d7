//! Other instances, through Redis.
//!
//! | key | holds |
//! | --- | --- |
//! | `PREFIXlock:ID` | the token of the instance that orders, with an expiry |
//! | `PREFIXcertificate:ID` | key and chain, encrypted (AES-256-GCM, the ID is authenticated too) |
//! | `PREFIXversions` | hash: ID to when the certificate ends and a digest |
//! | `PREFIXproofs` | hash: `http-01 TOKEN` or `tls-alpn-01 NAME` to the answer and its end |
//!
//! Redis is never waited for long, and nothing that is served depends on it: while it is away, every
//! instance serves what it has, and orders by itself only what is about to end.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use edge_core::Secret;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{AsyncCommands as _, RedisResult, Script};
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use super::Challenges;
use super::board::seconds;
use super::material::{self, Material};
use super::proofs::Pending;
use super::settings::Share;

/// A connection to what instances share.
pub(crate) struct Sharing {
    connection: ConnectionManager,
    prefix: String,
    key: RandomizedNonceKey,
    /// Of this instance.
    token: String,
    versions: Mutex<HashMap<String, String>>,
    news: watch::Sender<u64>,
}

/// Whose turn it is to order.
pub(crate) enum Turn {
    Ours(Option<Lease>),
    Theirs(&'static str),
}

/// The right to order, until it is released or cannot be extended.
pub(crate) struct Lease {
    connection: ConnectionManager,
    key: String,
    token: String,
}

impl Sharing {
    /// Connects when it is first used.
    ///
    /// # Errors
    /// The key or the URL is of no use.
    pub(crate) fn new(settings: &Share) -> Result<Self, String> {
        let key = settings.key.bytes()?;
        let key = RandomizedNonceKey::new(&AES_256_GCM, key.expose())
            .map_err(|_| "`share.key`: expected 32 bytes in base64")?;
        let client = redis::Client::open(settings.redis.expose().as_str())
            .map_err(|error| format!("`share.redis`: {}", error.category()))?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE))
            .set_number_of_retries(1);
        let connection = ConnectionManager::new_lazy_with_config(client, config)
            .map_err(|error| error.to_string())?;
        let mut token = [0; 16];
        aws_lc_rs::rand::fill(&mut token).map_err(|_| "the system gives no randomness")?;
        Ok(Self {
            connection,
            prefix: settings.prefix.clone(),
            key,
            token: token.iter().map(|byte| format!("{byte:02x}")).collect(),
            versions: Mutex::default(),
            news: watch::Sender::new(0),
        })
    }

    /// Waits until some certificate changed.
    pub(crate) async fn news(&self) {
        let mut news = self.news.subscribe();
        if news.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Asks to order `id`. While Redis is away, only what is `urgent` is ordered.
    pub(crate) async fn turn(&self, id: &str, urgent: bool) -> Turn {
        let key = format!("{}lock:{id}", self.prefix);
        let taken: RedisResult<Option<String>> = redis::cmd("SET")
            .arg(&key)
            .arg(&self.token)
            .arg("NX")
            .arg("PX")
            .arg(LEASE.as_millis() as u64)
            .query_async(&mut self.connection.clone())
            .await;
        match taken {
            Ok(Some(_)) => Turn::Ours(Some(Lease {
                connection: self.connection.clone(),
                key,
                token: self.token.clone(),
            })),
            Ok(None) => Turn::Theirs("another instance orders it"),
            Err(error) if urgent => {
                tracing::warn!(certificate = id, %error, "Redis is away: ordered without asking others");
                Turn::Ours(None)
            }
            Err(error) => {
                tracing::warn!(certificate = id, %error, "Redis is away: the ACME order waits");
                Turn::Theirs("Redis is away")
            }
        }
    }

    /// Gives a new certificate to the others.
    pub(crate) async fn publish(&self, id: &str, material: &Material) {
        let Some(sealed) = self.seal(id, material.pem.expose()) else {
            return;
        };
        let left = material.not_after.duration_since(SystemTime::now());
        let stored: RedisResult<()> = redis::pipe()
            .atomic()
            .set_ex(
                format!("{}certificate:{id}", self.prefix),
                sealed,
                left.unwrap_or_default().as_secs().max(60),
            )
            .ignore()
            .hset(format!("{}versions", self.prefix), id, version(material))
            .ignore()
            .query_async(&mut self.connection.clone())
            .await;
        if let Err(error) = stored {
            tracing::warn!(certificate = id, %error, "ACME certificate not shared");
        }
    }

    /// A certificate that ends later than `held`, if there is one.
    pub(crate) async fn newer(&self, id: &str, held: Option<&Material>) -> Option<Material> {
        let ours = held.map(version);
        let known = self.versions().get(id).cloned();
        // What the poll saw is enough to know that nothing changed.
        if known.is_some() && known == ours {
            return None;
        }
        let sealed: Option<Vec<u8>> = self
            .connection
            .clone()
            .get(format!("{}certificate:{id}", self.prefix))
            .await
            .ok()?;
        let pem = self.unseal(id, sealed?);
        let Some(pem) = pem else {
            tracing::error!(
                certificate = id,
                "shared ACME certificate cannot be read: is `share.key` the same everywhere?"
            );
            return None;
        };
        let material = Material::from_pem(pem).ok()?;
        let later = held.is_none_or(|held| material.not_after > held.not_after);
        (later && material.not_after > SystemTime::now()).then_some(material)
    }

    /// Lets the others answer for us, and gives them the time to hear of it.
    pub(crate) async fn publish_proofs(&self, kind: &str, pending: &[Pending]) {
        let end = seconds(SystemTime::now() + PROOF_LIFE);
        let entries: Vec<(String, String)> = pending
            .iter()
            .map(|proof| {
                let name = match kind {
                    "http-01" => &proof.token,
                    _ => &proof.domain,
                };
                (
                    format!("{kind} {name}"),
                    format!("{end} {}", proof.authorization),
                )
            })
            .collect();
        let key = format!("{}proofs", self.prefix);
        let stored: RedisResult<()> = redis::pipe()
            .hset_multiple(&key, &entries)
            .ignore()
            .expire(&key, PROOF_LIFE.as_secs() as i64)
            .ignore()
            .query_async(&mut self.connection.clone())
            .await;
        match stored {
            Ok(()) => tokio::time::sleep(POLL * 2).await,
            Err(error) => {
                tracing::warn!(%error, "ACME proofs not shared: only this instance answers");
            }
        }
    }

    pub(crate) async fn remove_proofs(&self, tokens: &[String], names: &[String]) {
        let fields: Vec<String> = tokens
            .iter()
            .map(|token| format!("http-01 {token}"))
            .chain(names.iter().map(|name| format!("tls-alpn-01 {name}")))
            .collect();
        if fields.is_empty() {
            return;
        }
        // They end by themselves if this does not arrive.
        let _: RedisResult<()> = self
            .connection
            .clone()
            .hdel(format!("{}proofs", self.prefix), fields)
            .await;
    }

    /// Follows what the others publish, for ever.
    pub(crate) async fn follow(&self, challenges: &Challenges) {
        let mut shown = BTreeSet::new();
        let mut away = false;
        loop {
            match self.look(challenges, &mut shown).await {
                Ok(()) if away => {
                    away = false;
                    tracing::info!("Redis is back: ACME certificates are shared again");
                }
                Ok(()) => {}
                Err(error) if !away => {
                    away = true;
                    tracing::warn!(%error, "Redis is away: ACME certificates are not shared");
                }
                Err(_) => {}
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn look(&self, challenges: &Challenges, shown: &mut BTreeSet<String>) -> RedisResult<()> {
        let (versions, proofs): (HashMap<String, String>, HashMap<String, String>) = redis::pipe()
            .hgetall(format!("{}versions", self.prefix))
            .hgetall(format!("{}proofs", self.prefix))
            .query_async(&mut self.connection.clone())
            .await?;
        let changed = {
            let mut known = self.versions();
            let changed = *known != versions;
            *known = versions;
            changed
        };
        if changed {
            self.news.send_modify(|news| *news += 1);
        }
        let now = seconds(SystemTime::now());
        let current: HashMap<String, String> = proofs
            .into_iter()
            .take(MAX_PROOFS)
            .filter_map(|(field, value)| {
                let (end, authorization) = value.split_once(' ')?;
                let lives = end.parse::<u64>().is_ok_and(|end| end > now);
                lives.then(|| (field, authorization.to_owned()))
            })
            .collect();
        for gone in shown.iter().filter(|field| !current.contains_key(*field)) {
            show(challenges, gone, None);
        }
        for (field, authorization) in &current {
            if !shown.contains(field) {
                show(challenges, field, Some(authorization));
            }
        }
        *shown = current.into_keys().collect();
        Ok(())
    }

    fn versions(&self) -> std::sync::MutexGuard<'_, HashMap<String, String>> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The nonce stands before the text.
    fn seal(&self, id: &str, pem: &str) -> Option<Vec<u8>> {
        let mut text = pem.as_bytes().to_vec();
        let nonce = self
            .key
            .seal_in_place_append_tag(Aad::from(id.as_bytes()), &mut text)
            .ok()?;
        let mut sealed = nonce.as_ref().to_vec();
        sealed.append(&mut text);
        Some(sealed)
    }

    fn unseal(&self, id: &str, mut sealed: Vec<u8>) -> Option<String> {
        let (nonce, text) = sealed.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let text = self
            .key
            .open_in_place(nonce, Aad::from(id.as_bytes()), text)
            .ok()?;
        String::from_utf8(text.to_vec()).ok()
    }
}

impl Lease {
    /// Extends the lease as long as it is asked to wait; ends when it is lost.
    pub(crate) async fn lost(&self) {
        let mut connection = self.connection.clone();
        let mut last = SystemTime::now();
        loop {
            tokio::time::sleep(LEASE / 4).await;
            let extended: RedisResult<u32> = Script::new(EXTEND)
                .key(&self.key)
                .arg(&self.token)
                .arg(LEASE.as_millis() as u64)
                .invoke_async(&mut connection)
                .await;
            match extended {
                Ok(1) => last = SystemTime::now(),
                Ok(_) => return,
                // Away for a moment; beyond the expiry somebody else may have it.
                Err(_) if last.elapsed().is_ok_and(|since| since < LEASE) => {}
                Err(_) => return,
            }
        }
    }

    /// Lets others order.
    pub(crate) async fn release(mut self) {
        let _: RedisResult<u32> = Script::new(RELEASE)
            .key(&self.key)
            .arg(&self.token)
            .invoke_async(&mut self.connection)
            .await;
    }
}

/// When it ends and what it is, without its key.
fn version(material: &Material) -> String {
    let leaf = material.certified.cert.first();
    let hash = Sha256::digest(leaf.map_or(&[][..], |leaf| leaf.as_ref()));
    let hash: String = hash
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{} {hash}", seconds(material.not_after))
}

fn show(challenges: &Challenges, field: &str, authorization: Option<&str>) {
    match field.split_once(' ') {
        Some(("http-01", token)) => challenges.set_http(token, authorization),
        Some(("tls-alpn-01", name)) => {
            let proof = authorization.and_then(|text| material::proof(name, text).ok());
            challenges.set_tls_alpn(name, proof.map(Arc::new));
        }
        _ => {}
    }
}

/// Keeps secrets out of derived output.
impl std::fmt::Debug for Sharing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sharing")
            .field("prefix", &self.prefix)
            .field("key", &Secret::new(()))
            .finish_non_exhaustive()
    }
}

const EXTEND: &str = "if redis.call('get', KEYS[1]) == ARGV[1] then \
     return redis.call('pexpire', KEYS[1], ARGV[2]) else return 0 end";
const RELEASE: &str = "if redis.call('get', KEYS[1]) == ARGV[1] then \
     return redis.call('del', KEYS[1]) else return 0 end";
const LEASE: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_secs(1);
const PROOF_LIFE: Duration = Duration::from_secs(600);
const MAX_PROOFS: usize = 10_000;
