//! One certificate over its life: waits, orders, installs, stores, and waits again.
//!
//! Nothing that fails here touches what is served: the old certificate stays until a new one is whole.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::accounts::Open;
use super::board::{seconds, time};
use super::failure::Failure;
use super::material::Material;
use super::order::order;
use super::schedule;
use super::settings::Certificate;
use super::share::Turn;
use super::world::World;

/// What happened to a certificate, as it lies beside it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Journal {
    #[serde(default)]
    pub(crate) names: Vec<String>,
    #[serde(default)]
    pub(crate) account: String,
    #[serde(default)]
    pub(crate) directory: String,
    #[serde(default)]
    pub(crate) on_demand: bool,
    /// The staging directory that has issued it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    staging_proven: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_success: Option<u64>,
    #[serde(default)]
    failures: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_at: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_failure: Option<Failure>,
}

/// Keeps one certificate.
pub(crate) struct Keeper {
    world: Arc<World>,
    certificate: Arc<Certificate>,
    held: Option<Material>,
    journal: Journal,
    /// When the authority wants it renewed, and when to ask again.
    suggestion: Option<(SystemTime, SystemTime)>,
    /// What is served could not be stored, and is tried again.
    unsaved: bool,
    stop: watch::Receiver<bool>,
}

impl Keeper {
    /// Takes up `certificate` where the last process left it.
    pub(crate) fn new(
        world: Arc<World>,
        certificate: Arc<Certificate>,
        held: Option<Material>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let mut journal: Journal = world.state.journal(&certificate.id);
        journal.names.clone_from(&certificate.names);
        journal.account.clone_from(&certificate.account.name);
        journal.directory.clone_from(&certificate.account.directory);
        journal.on_demand = certificate.on_demand;
        // A start is reason enough to try again soon: something may have been mended.
        let soon = seconds(SystemTime::now() + world.retry.first);
        journal.retry_at = journal.retry_at.map(|at| at.min(soon));
        world.board.add(&certificate);
        world.board.update(&certificate.id, |status| {
            status.not_after = held.as_ref().map(|held| seconds(held.not_after));
            status.last_success = journal.last_success;
            status.failures = journal.failures;
            status.last_failure.clone_from(&journal.last_failure);
        });
        Self {
            world,
            certificate,
            held,
            journal,
            suggestion: None,
            unsaved: false,
            stop,
        }
    }

    /// Runs until told to stop; an order that runs is finished first.
    pub(crate) async fn run(mut self) {
        // Before anything else there is a journal: certificates on demand are found by it.
        self.keep_journal();
        while !self.is_stopped() {
            if self.unsaved {
                self.store();
            }
            self.adopt_shared().await;
            self.ask_authority().await;
            let (due, why) = self.due();
            let now = SystemTime::now();
            if due > now {
                self.wait(due, why).await;
                continue;
            }
            self.turn().await;
        }
    }

    /// When it is ordered next, and who says so.
    fn due(&self) -> (SystemTime, &'static str) {
        if let Some(at) = self.journal.retry_at {
            return (time(at), "failure");
        }
        match (&self.held, self.suggestion) {
            (None, _) => (SystemTime::UNIX_EPOCH, "lifetime"),
            (Some(_), Some((at, _))) => (at, "authority"),
            (Some(held), None) => (schedule::renewal(held), "lifetime"),
        }
    }

    /// Also when nobody is left who could say so: another keeper took this one's place.
    fn is_stopped(&self) -> bool {
        *self.stop.borrow() || self.stop.has_changed().is_err()
    }

    async fn wait(&mut self, until: SystemTime, why: &'static str) {
        self.world.board.update(&self.certificate.id, |status| {
            status.next_attempt = Some(seconds(until));
            status.decided_by = why;
        });
        let now = SystemTime::now();
        let mut pause = until.duration_since(now).unwrap_or_default().min(LONGEST);
        if self.unsaved {
            pause = pause.min(SAVE_AGAIN);
        }
        if let Some((_, ask)) = self.suggestion {
            pause = pause.min(ask.duration_since(now).unwrap_or_default().max(SHORTEST));
        }
        let news = async {
            match &self.world.share {
                Some(share) => share.news().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = self.stop.wait_for(|stop| *stop) => {}
            () = news => {}
        }
    }

    /// Orders, if it is this instance's turn and the account has orders left.
    async fn turn(&mut self) {
        let world = self.world.clone();
        let turn = match &world.share {
            Some(share) => share.turn(&self.certificate.id, self.urgent()).await,
            None => Turn::Ours(None),
        };
        let lease = match turn {
            Turn::Ours(lease) => lease,
            Turn::Theirs(why) => {
                tracing::debug!(
                    certificate = self.certificate.id,
                    why,
                    "ACME order left to others"
                );
                return self.wait(SystemTime::now() + ASK_AGAIN, "leader").await;
            }
        };
        // The leader before us may have finished a moment ago.
        if self.adopt_shared().await && self.due().0 > SystemTime::now() {
            return release(lease).await;
        }
        if let Err(wait) = world.count_order(&self.certificate.account) {
            let limit = self.certificate.account.orders_per_hour;
            let account = &self.certificate.account.name;
            tracing::warn!(
                certificate = self.certificate.id,
                account,
                limit,
                "orders of this hour are used up; the ACME order waits"
            );
            release(lease).await;
            return self.wait(SystemTime::now() + wait, "limit").await;
        }
        let Ok(_permit) = world.orders.acquire().await else {
            return;
        };
        let result = match &lease {
            Some(lease) => tokio::select! {
                result = self.order() => result,
                () = lease.lost() => Err(Failure::new("the order", "another instance took it over")),
            },
            None => self.order().await,
        };
        match result {
            Ok(material) => self.succeeded(material).await,
            Err(failure) => self.failed(failure),
        }
        release(lease).await;
    }

    async fn order(&mut self) -> Result<Material, Failure> {
        let world = self.world.clone();
        let certificate = self.certificate.clone();
        let account = &certificate.account;
        if let Some(staging) = &account.staging
            && self.journal.staging_proven.as_ref() != Some(staging)
        {
            self.order_at(staging, false)
                .await
                .map_err(|failure| Failure {
                    step: format!("at staging, {}", failure.step),
                    ..failure
                })?;
            tracing::info!(
                certificate = certificate.id,
                staging,
                "ACME staging has issued"
            );
            self.journal.staging_proven = Some(staging.clone());
            self.keep_journal();
            // Production counts for itself.
            let _ = world.count_order(account);
        }
        self.order_at(&account.directory, true).await
    }

    async fn order_at(&self, directory: &str, production: bool) -> Result<Material, Failure> {
        let world = &self.world;
        let account = &self.certificate.account;
        let open = world
            .accounts
            .open(&world.state, account, directory)
            .await?;
        let replaces = self
            .held
            .as_ref()
            .filter(|_| production && self.suggestion.is_some())
            .and_then(Material::identifier);
        let result = order(world, &self.certificate, &open, replaces).await;
        if let Err(failure) = &result {
            self.reopen(&open, failure).await;
        }
        result
    }

    /// After a failure nothing that was learnt of the authority is relied on.
    async fn reopen(&self, open: &Open, failure: &Failure) {
        let accounts = &self.world.accounts;
        if failure.account_is_unknown() {
            accounts.forget(&self.world.state, open).await;
        } else if failure.problem.is_none() {
            accounts.close(open).await;
        }
    }

    /// A certificate that came: served first, stored next.
    async fn succeeded(&mut self, material: Material) {
        let id = self.certificate.id.clone();
        self.take(material.clone());
        self.store();
        self.journal.failures = 0;
        self.journal.retry_at = None;
        self.journal.last_failure = None;
        self.journal.last_success = Some(seconds(SystemTime::now()));
        self.keep_journal();
        self.world.board.update(&id, |status| {
            status.issued_total += 1;
            status.failures = 0;
            status.last_failure = None;
            status.last_success = Some(seconds(SystemTime::now()));
        });
        if let Some(share) = &self.world.share {
            share.publish(&id, &material).await;
        }
        tracing::info!(
            certificate = id,
            names = self.certificate.names.join(" "),
            not_after = seconds(material.not_after),
            "ACME certificate issued"
        );
    }

    fn failed(&mut self, failure: Failure) {
        let now = SystemTime::now();
        self.journal.failures = self.journal.failures.saturating_add(1);
        let left = self
            .held
            .as_ref()
            .map(|held| held.not_after.duration_since(now).unwrap_or_default());
        let wait = schedule::wait(&self.world.retry, self.journal.failures, left);
        let wait = failure
            .retry_after
            .map_or(wait, |asked| wait.max(asked.min(self.world.retry.longest)));
        self.journal.retry_at = Some(seconds(now + wait));
        tracing::error!(
            certificate = self.certificate.id,
            names = self.certificate.names.join(" "),
            failures = self.journal.failures,
            retry_in = ?wait,
            old_serves_for = ?left,
            "ACME order failed: {failure}"
        );
        self.journal.last_failure = Some(failure);
        self.keep_journal();
        self.world.board.update(&self.certificate.id, |status| {
            status.failures = self.journal.failures;
            status.failures_total += 1;
            status.last_failure.clone_from(&self.journal.last_failure);
        });
    }

    /// Takes over what another instance was issued; true if there was something.
    async fn adopt_shared(&mut self) -> bool {
        let world = self.world.clone();
        let Some(share) = &world.share else {
            return false;
        };
        let id = &self.certificate.id;
        let Some(material) = share.newer(id, self.held.as_ref()).await else {
            return false;
        };
        if !material.covers(&self.certificate.names) {
            tracing::error!(
                certificate = id,
                "shared ACME certificate is for other names; not used"
            );
            return false;
        }
        tracing::info!(
            certificate = id,
            "ACME certificate taken over from another instance"
        );
        self.journal.failures = 0;
        self.journal.retry_at = None;
        self.journal.last_failure = None;
        self.take(material);
        self.store();
        self.keep_journal();
        true
    }

    /// Stores what is served; a full disk costs nobody a certificate.
    fn store(&mut self) {
        let (id, Some(held)) = (&self.certificate.id, &self.held) else {
            return;
        };
        let stored = self.world.state.save_certificate(id, held.pem.expose());
        self.unsaved = stored.is_err();
        if let Err(error) = stored {
            tracing::error!(certificate = id, %error, "ACME certificate is served but not stored");
        }
    }

    fn take(&mut self, material: Material) {
        self.world.held.serve(&self.certificate, &material);
        self.world.board.update(&self.certificate.id, |status| {
            status.not_after = Some(seconds(material.not_after));
        });
        self.suggestion = None;
        self.held = Some(material);
    }

    /// Asks the authority when to renew (RFC 9773), as often as it wants to be asked.
    async fn ask_authority(&mut self) {
        let now = SystemTime::now();
        let Some(held) = &self.held else { return };
        if self.suggestion.is_some_and(|(_, ask)| ask > now) || self.journal.retry_at.is_some() {
            return;
        }
        let Some(identifier) = held.identifier() else {
            return;
        };
        let world = &self.world;
        let account = &self.certificate.account;
        let opened = world
            .accounts
            .open(&world.state, account, &account.directory);
        let Ok(open) = opened.await else { return };
        match open.account.renewal_info(&identifier).await {
            Ok((info, again)) => {
                let window = info.suggested_window;
                let at = schedule::within(window.start.into(), window.end.into(), held);
                let again = again.clamp(SHORTEST, LONGEST_ASK);
                self.suggestion = Some((at, now + again));
            }
            // Not offered, or not now: what was said before still holds.
            Err(error) => {
                tracing::debug!(certificate = self.certificate.id, %error, "no renewal information");
                if let Some((_, ask)) = &mut self.suggestion {
                    *ask = now + LONGEST;
                }
            }
        }
    }

    /// True if waiting for others would leave nothing to serve.
    fn urgent(&self) -> bool {
        self.held.as_ref().is_none_or(|held| {
            let left = held.not_after.duration_since(SystemTime::now());
            left.unwrap_or_default() < held.lifetime() / 6
        })
    }

    fn keep_journal(&self) {
        let id = &self.certificate.id;
        if let Err(error) = self.world.state.save_journal(id, &self.journal) {
            tracing::error!(certificate = id, %error, "ACME journal not kept");
        }
    }
}

async fn release(lease: Option<super::share::Lease>) {
    if let Some(lease) = lease {
        lease.release().await;
    }
}

/// Clocks are set and machines sleep: nothing waits longer than this without a look.
const LONGEST: Duration = Duration::from_secs(600);
const SHORTEST: Duration = Duration::from_secs(1);
const SAVE_AGAIN: Duration = Duration::from_secs(30);
const LONGEST_ASK: Duration = Duration::from_secs(24 * 3600);
/// How often an instance looks whether the leader is done.
const ASK_AGAIN: Duration = Duration::from_secs(2);
