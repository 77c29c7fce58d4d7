//! What all certificates share: the state folder, accounts, limits, other instances.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::Semaphore;

use super::Challenges;
use super::accounts::Accounts;
use super::board::{Board, seconds, time};
use super::material::Material;
use super::schedule::Hour;
use super::settings::{Account, Certificate, Retry};
use super::share::Sharing;
use super::state::State;
use crate::{Install, Issued};

/// Everything an order needs.
pub(crate) struct World {
    pub(crate) state: State,
    pub(crate) accounts: Accounts,
    pub(crate) challenges: Arc<Challenges>,
    pub(crate) board: Arc<Board>,
    pub(crate) held: Arc<Held>,
    pub(crate) share: Option<Sharing>,
    pub(crate) retry: Retry,
    /// Orders that run at the same time.
    pub(crate) orders: Semaphore,
    hours: Mutex<HashMap<String, Hour>>,
}

/// Certificates that are served right now.
pub(crate) struct Held {
    install: Arc<dyn Install>,
    issued: Mutex<BTreeMap<String, Issued>>,
}

impl World {
    pub(crate) fn new(
        state: State,
        challenges: Arc<Challenges>,
        board: Arc<Board>,
        held: Arc<Held>,
        share: Option<Sharing>,
        retry: Retry,
    ) -> Self {
        Self {
            state,
            accounts: Accounts::default(),
            challenges,
            board,
            held,
            share,
            retry,
            orders: Semaphore::new(MAX_ORDERS),
            hours: Mutex::default(),
        }
    }

    /// Counts an order of `account`; else how long it has to wait. The count outlives the process: one
    /// that crashes and starts again must not use up the authority's patience.
    pub(crate) fn count_order(&self, account: &Account) -> Result<(), Duration> {
        let file = format!("{}.orders", account.name);
        let mut hours = self.hours.lock().unwrap_or_else(PoisonError::into_inner);
        let hour = hours.entry(account.name.clone()).or_insert_with(|| {
            let times: Vec<u64> = self.state.account(&file).unwrap_or_default();
            Hour::new(times.into_iter().map(time))
        });
        hour.take(SystemTime::now(), account.orders_per_hour as usize)?;
        let times: Vec<u64> = hour.times().map(seconds).collect();
        if let Err(error) = self.state.save_account(&file, &times) {
            tracing::warn!(%error, "count of ACME orders not kept");
        }
        Ok(())
    }
}

impl Held {
    pub(crate) fn new(install: Arc<dyn Install>) -> Self {
        Self {
            install,
            issued: Mutex::default(),
        }
    }

    /// Serves a certificate from now on.
    pub(crate) fn serve(&self, certificate: &Certificate, material: &Material) {
        let issued = Issued {
            names: certificate.names.clone(),
            certified: material.certified.clone(),
            not_after: material.not_after,
        };
        self.lock().insert(certificate.id.clone(), issued.clone());
        self.install.install(issued);
    }

    /// Serves a certificate that was read; what is served may be newer.
    pub(crate) fn serve_unless_older(&self, certificate: &Certificate, material: &Material) {
        let newer = self
            .lock()
            .get(&certificate.id)
            .is_some_and(|held| held.not_after > material.not_after);
        if !newer {
            self.serve(certificate, material);
        }
    }

    /// Forgets certificates that are not wanted any more.
    pub(crate) fn retain(&self, wanted: impl Fn(&str) -> bool) {
        self.lock().retain(|id, _| wanted(id));
    }

    pub(crate) fn all(&self) -> Vec<Issued> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Issued>> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const MAX_ORDERS: usize = 8;
