//! The handle on everything: one thread with a runtime of its own, away from the workers.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::Challenges;
use super::board::{Board, CertificateStatus};
use super::demand::{Demand, Limits};
use super::keeper::{Journal, Keeper};
use super::material::Material;
use super::settings::{Acme, Certificate, OnDemand};
use super::share::Sharing;
use super::state::{State, set_aside, unreadable};
use super::world::{Held, World};
use crate::{Install, Issued};

/// Certificates that renew themselves.
pub struct Renewals {
    challenges: Arc<Challenges>,
    demand: Arc<Demand>,
    board: Arc<Board>,
    held: Arc<Held>,
    /// Taken by the thread when there is first something to do.
    words: Option<mpsc::Receiver<String>>,
    orders: Option<mpsc::UnboundedSender<Option<Plan>>>,
    now: Option<Acme>,
}

/// A section whose state folder is open.
pub struct Prepared(Option<Plan>);

struct Plan {
    acme: Acme,
    state: State,
    share: Option<Sharing>,
    certificates: Vec<(Arc<Certificate>, Option<Material>)>,
}

impl Renewals {
    /// Nothing to do yet. New certificates go to `install`.
    #[must_use]
    pub fn new(install: Arc<dyn Install>, challenges: Arc<Challenges>) -> Self {
        let (demand, words) = Demand::new();
        Self {
            challenges,
            demand: Arc::new(demand),
            board: Arc::default(),
            held: Arc::new(Held::new(install)),
            words: Some(words),
            orders: None,
            now: None,
        }
    }

    /// Where handshakes leave word of names without a certificate.
    #[must_use]
    pub fn demand(&self) -> Arc<Demand> {
        self.demand.clone()
    }

    /// Opens the state folder and reads every certificate in it; nothing changes yet.
    ///
    /// # Errors
    /// The folder or a secret cannot be used, and what to do about it.
    pub fn prepare(&self, acme: Option<&Acme>) -> io::Result<Prepared> {
        let Some(acme) = acme else {
            return Ok(Prepared(None));
        };
        let state = State::open(&acme.state)
            .map_err(|error| io::Error::new(error.kind(), format!("tls.acme.state: {error}")))?;
        let share = match &acme.share {
            Some(share) => Some(Sharing::new(share).map_err(|error| {
                io::Error::new(
                    io::ErrorKind::InvalidInput,
                    format!("tls.acme.share: {error}"),
                )
            })?),
            None => None,
        };
        let certificates = wanted(acme, &state)
            .into_iter()
            .map(|certificate| {
                let held = load(&state, &certificate);
                (certificate, held)
            })
            .collect();
        Ok(Prepared(Some(Plan {
            acme: acme.clone(),
            state,
            share,
            certificates,
        })))
    }

    /// Serves what was read, and keeps it from now on. Certificates that are not wanted any more are
    /// left where they lie.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn adopt(&mut self, prepared: Prepared) -> io::Result<()> {
        let plan = prepared.0;
        let ids: std::collections::HashSet<String> = plan
            .iter()
            .flat_map(|plan| &plan.certificates)
            .map(|(certificate, _)| certificate.id.clone())
            .collect();
        self.held.retain(|id| ids.contains(id));
        let acme = plan.as_ref().map(|plan| plan.acme.clone());
        let on_demand = acme.as_ref().and_then(|acme| acme.on_demand.clone());
        self.demand.allow(on_demand);
        if acme.is_some() && acme == self.now {
            // The same again: what runs goes on, newer than what was just read.
            return Ok(());
        }
        for (certificate, held) in plan.iter().flat_map(|plan| &plan.certificates) {
            if let Some(held) = held {
                self.held.serve_unless_older(certificate, held);
            }
        }
        self.now = acme;
        if self.orders.is_none() && plan.is_some() {
            self.start()?;
        }
        if let Some(orders) = &self.orders {
            let _ = orders.send(plan);
        }
        Ok(())
    }

    /// Every certificate that is held, for a store that is built anew.
    #[must_use]
    pub fn issued(&self) -> Vec<Issued> {
        self.held.all()
    }

    /// What is known of every certificate.
    #[must_use]
    pub fn status(&self) -> Arc<dyn Fn() -> Vec<CertificateStatus> + Send + Sync> {
        let board = self.board.clone();
        Arc::new(move || board.all())
    }

    fn start(&mut self) -> io::Result<()> {
        let Some(words) = self.words.take() else {
            return Ok(());
        };
        let (orders, received) = mpsc::unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(2)
            .build()?;
        let supervisor = Supervisor {
            challenges: self.challenges.clone(),
            board: self.board.clone(),
            held: self.held.clone(),
            keepers: HashMap::new(),
            limits: Limits::default(),
            on_demand: None,
            world: None,
        };
        std::thread::Builder::new()
            .name("acme".to_owned())
            .spawn(move || {
                runtime.block_on(supervisor.run(received, words));
                runtime.shutdown_background();
            })?;
        self.orders = Some(orders);
        Ok(())
    }
}

/// Everything that should be held: what is written, and what was ordered on demand before.
fn wanted(acme: &Acme, state: &State) -> Vec<Arc<Certificate>> {
    let mut wanted = acme.certificates.clone();
    if let Some(on_demand) = &acme.on_demand {
        for id in state.ids() {
            let journal: Journal = state.journal(&id);
            let [name] = journal.names.as_slice() else {
                continue;
            };
            if journal.on_demand && on_demand.allows(name) && wanted.len() < MAX_CERTIFICATES {
                let certificate = on_demand.certificate(name);
                if certificate.id == id && wanted.iter().all(|other| other.id != id) {
                    wanted.push(Arc::new(certificate));
                }
            }
        }
    }
    wanted
}

/// The certificate as it lies in the state folder; a file that is of no use is set aside.
fn load(state: &State, certificate: &Certificate) -> Option<Material> {
    let path = state.certificate_path(&certificate.id);
    let pem = match state.certificate(&certificate.id) {
        Ok(pem) => pem?,
        Err(error) => {
            unreadable(&path, &error);
            return None;
        }
    };
    match Material::from_pem(pem) {
        // One that has ended is still served: that shows what is wrong better than a refusal.
        Ok(material) if material.covers(&certificate.names) => Some(material),
        Ok(_) => {
            set_aside(&path, "it is for other names");
            None
        }
        Err(error) => {
            set_aside(&path, &error);
            None
        }
    }
}

/// Runs on the thread.
struct Supervisor {
    challenges: Arc<Challenges>,
    board: Arc<Board>,
    held: Arc<Held>,
    keepers: HashMap<String, Running>,
    limits: Limits,
    on_demand: Option<OnDemand>,
    world: Option<Base>,
}

/// What runs for one certificate.
struct Running {
    certificate: Arc<Certificate>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// What all of them share, and its own tasks.
struct Base {
    world: Arc<World>,
    follow: Option<JoinHandle<()>>,
    /// Held as long as orders are placed.
    _lock: File,
}

impl Supervisor {
    async fn run(
        mut self,
        mut plans: mpsc::UnboundedReceiver<Option<Plan>>,
        mut words: mpsc::Receiver<String>,
    ) {
        loop {
            tokio::select! {
                plan = plans.recv() => match plan {
                    Some(plan) => self.change(plan, &mut plans).await,
                    None => break,
                },
                Some(name) = words.recv() => self.asked(&name),
            }
        }
        self.stop_all().await;
    }

    /// Puts a plan in the place of what runs.
    async fn change(
        &mut self,
        plan: Option<Plan>,
        plans: &mut mpsc::UnboundedReceiver<Option<Plan>>,
    ) {
        self.stop_all().await;
        // Only the last of several counts.
        let mut plan = plan;
        while let Ok(next) = plans.try_recv() {
            plan = next;
        }
        let Some(plan) = plan else { return };
        let Some(lock) = lock(&plan.state, plans).await else {
            return;
        };
        let world = Arc::new(World::new(
            plan.state,
            self.challenges.clone(),
            self.board.clone(),
            self.held.clone(),
            plan.share,
            plan.acme.retry,
        ));
        let follow = world.share.is_some().then(|| {
            let world = world.clone();
            tokio::spawn(async move {
                if let Some(share) = &world.share {
                    share.follow(&world.challenges).await;
                }
            })
        });
        self.on_demand = plan.acme.on_demand;
        for (certificate, read) in plan.certificates {
            // Whoever held the folder before may have renewed it since it was read.
            let held = load(&world.state, &certificate).or(read);
            if let Some(held) = &held {
                self.held.serve_unless_older(&certificate, held);
            }
            if certificate.on_demand {
                certificate
                    .names
                    .iter()
                    .for_each(|name| self.limits.know(name));
            }
            self.keep(&world, certificate, held);
        }
        self.world = Some(Base {
            world,
            follow,
            _lock: lock,
        });
    }

    fn keep(&mut self, world: &Arc<World>, certificate: Arc<Certificate>, held: Option<Material>) {
        let (stop, stopped) = watch::channel(false);
        let keeper = Keeper::new(world.clone(), certificate.clone(), held, stopped);
        let id = certificate.id.clone();
        let running = Running {
            certificate,
            stop,
            task: tokio::spawn(keeper.run()),
        };
        self.keepers.insert(id, running);
    }

    /// A client asked for a name.
    fn asked(&mut self, name: &str) {
        let (Some(on_demand), Some(running)) = (&self.on_demand, &self.world) else {
            return;
        };
        if self.limits.admit(on_demand, name, Instant::now()) {
            let certificate = Arc::new(on_demand.certificate(name));
            let world = running.world.clone();
            tracing::info!(name, "ACME certificate ordered on demand");
            self.keep(&world, certificate, None);
        }
    }

    /// Ends every task; orders that run may finish for a while.
    async fn stop_all(&mut self) {
        let keepers = std::mem::take(&mut self.keepers);
        for running in keepers.values() {
            running.stop.send_replace(true);
        }
        let deadline = tokio::time::Instant::now() + STOP;
        for running in keepers.into_values() {
            let mut task = running.task;
            if tokio::time::timeout_at(deadline, &mut task).await.is_err() {
                task.abort();
                let _ = task.await;
            }
            self.board.remove(&running.certificate.id);
        }
        if let Some(follow) = self.world.take().and_then(|world| world.follow) {
            follow.abort();
        }
        self.limits = Limits::default();
        self.on_demand = None;
    }
}

/// Waits for the folder; gives up when there is a newer plan.
async fn lock(state: &State, plans: &mpsc::UnboundedReceiver<Option<Plan>>) -> Option<File> {
    let mut said = false;
    loop {
        match state.try_lock() {
            Ok(Some(lock)) => return Some(lock),
            Ok(None) if !said => {
                said = true;
                tracing::warn!(
                    "another process holds the ACME state; its certificates are served, orders wait"
                );
            }
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "ACME state cannot be locked; orders wait"),
        }
        if !plans.is_empty() || plans.is_closed() {
            return None;
        }
        tokio::time::sleep(LOCK_AGAIN).await;
    }
}

const STOP: Duration = Duration::from_secs(30);
const LOCK_AGAIN: Duration = Duration::from_millis(500);
const MAX_CERTIFICATES: usize = 200_000;
