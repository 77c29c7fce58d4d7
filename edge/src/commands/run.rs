//! `palisade run`: the gateway in the foreground.
//!
//! Everything is loaded and every address bound before the first connection is accepted. SIGHUP or
//! a changed file reloads, SIGTERM or SIGINT drains and exits 0; a configuration with mistakes never
//! takes a running gateway down.

use std::io::{self, Write};
use std::net::TcpListener;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, bail};
use clap::{ArgGroup, Args};
use edge_admin::{Action, Answer, Order};
use edge_audit::{Metrics, Recorder};
use edge_config::{Change, Delta, Overlay, Policy, Refreshed, Store};
use edge_core::Diagnostic;
use edge_tls::Terminator;
use edge_tls::acme::{Challenges, Renewals};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::admin::Admin;
use crate::assemble::{self, Assembled, Gateway};
use crate::editor::{self, Asked, Editor};
use crate::listen::{Draining, Workers};
use crate::live::State;
use crate::reload::{self, Watch};
use crate::shared::Shared;
use crate::supervisor;
use crate::upgrade::{self, Predecessor, Sockets};
use crate::upstreams::keeper::Keeper;

/// Run the gateway.
///
/// With --upstream no configuration file is needed: the default profile with the built-in rules
/// protects the application at that URL. SIGHUP reloads, SIGTERM drains and exits 0.
#[derive(Clone, Args)]
#[command(group(ArgGroup::new("source").required(true).args(["config", "upstream"])))]
pub(crate) struct RunArgs {
    /// The configuration file.
    #[arg(long, short, value_name = "FILE", env = "PALISADE_CONFIG")]
    config: Option<PathBuf>,
    /// Protect the application at this URL, without a file.
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// Where to listen, with --upstream.
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "127.0.0.1:8080",
        conflicts_with = "config"
    )]
    listen: String,
    /// Where decision records go, with --upstream: off, stdout, stderr or a file.
    #[arg(
        long,
        value_name = "OUTPUT",
        default_value = "palisade-audit.jsonl",
        conflicts_with = "config"
    )]
    audit_log: String,
    /// Take over from the gateway that answers at this Unix socket, if one does, and offer the listening
    /// sockets there to the next one. Start a new binary with the same path and no connection is lost.
    #[arg(long, value_name = "PATH", env = "PALISADE_UPGRADE_SOCKET")]
    upgrade_socket: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    let mut files = Vec::new();
    let Some(loaded) = args.load(&mut files)? else {
        return Ok(ExitCode::FAILURE);
    };
    let started = match Started::new(args, loaded, files)? {
        Ok(started) => started,
        Err(mistakes) => {
            super::show(&mistakes);
            return Ok(ExitCode::FAILURE);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let code = runtime.block_on(started.serve());
    // A name that is still being looked up must not keep the process.
    runtime.shutdown_background();
    code
}

impl RunArgs {
    /// Reads the configuration; `None` if it has mistakes, which have been printed.
    fn load(&self, watch: &mut Vec<PathBuf>) -> anyhow::Result<Option<First>> {
        match (&self.config, &self.upstream) {
            (Some(path), _) => Ok(stored(path, watch)),
            (None, Some(upstream)) => {
                match edge_config::quick(upstream, &self.listen, &self.audit_log) {
                    Ok(loaded) => Ok(Some(First {
                        policy: Arc::new(loaded.policy),
                        store: None,
                    })),
                    Err(mistakes) => {
                        super::show(&mistakes);
                        Ok(None)
                    }
                }
            }
            (None, None) => bail!("either --config FILE or --upstream URL is needed"),
        }
    }
}

impl RunArgs {
    /// Gets the sockets of the gateway that runs, if one does.
    fn take_over(
        &self,
        workers: &mut Workers,
        admin: &mut Admin,
    ) -> anyhow::Result<Option<Predecessor>> {
        let Some(path) = &self.upgrade_socket else {
            return Ok(None);
        };
        let taken = upgrade::take_over(path)
            .with_context(|| format!("cannot take over from the gateway at {}", path.display()))?;
        let Some((predecessor, sockets)) = taken else {
            return Ok(None);
        };
        tracing::info!(
            sockets = sockets.len(),
            "taking over from a running gateway"
        );
        let cloned = sockets.iter().map(TcpListener::try_clone);
        admin.inherit(cloned.collect::<io::Result<_>>()?);
        workers.inherit(sockets);
        Ok(Some(predecessor))
    }

    /// Offers our sockets to the gateway that comes after.
    fn offer(&self, sockets: &Sockets) -> anyhow::Result<Option<mpsc::Receiver<()>>> {
        let Some(path) = &self.upgrade_socket else {
            return Ok(None);
        };
        let offered = upgrade::offer(path, sockets.clone());
        let offered = offered.with_context(|| format!("cannot listen at {}", path.display()))?;
        Ok(Some(offered))
    }
}

/// Waits until a new gateway serves in our place.
async fn handed_over(successor: &mut Option<mpsc::Receiver<()>>) {
    if let Some(ready) = successor
        && ready.recv().await.is_some()
    {
        return;
    }
    std::future::pending::<()>().await;
}

/// Starts the binary that stands where ours was started from, with the same arguments.
fn start_successor(args: &RunArgs) {
    if args.upgrade_socket.is_none() {
        tracing::warn!("no upgrade: start the gateway with --upgrade-socket");
        return;
    }
    let arguments = std::env::args_os().collect::<Vec<_>>();
    let Some((program, rest)) = arguments.split_first() else {
        return;
    };
    match std::process::Command::new(program).args(rest).spawn() {
        Ok(mut child) => {
            tracing::info!(pid = child.id(), "upgrade: started the new gateway");
            std::thread::spawn(move || {
                // Only one that failed ends before we do.
                if let Ok(status) = child.wait() {
                    tracing::error!(%status, "upgrade: the new gateway ended; this one goes on");
                }
            });
        }
        Err(error) => tracing::error!(%error, "upgrade: the new gateway cannot be started"),
    }
}

/// The configuration of the start.
struct First {
    policy: Arc<Policy>,
    /// Loads it again; `None` without a file.
    store: Option<Store>,
}

/// Loads the file at `path` in the way that can be repeated cheaply. Mistakes and warnings are printed.
fn stored(path: &Path, watch: &mut Vec<PathBuf>) -> Option<First> {
    let mut store = Store::new(path.to_owned());
    match store.refresh(&Change::Everything, &edge_config::ProcessEnv, watch) {
        Ok(refreshed) => {
            if refreshed.doubtful {
                super::load(path)?;
            }
            let policy = refreshed.policy.clone();
            store.keep(refreshed);
            Some(First {
                policy,
                store: Some(store),
            })
        }
        Err(mistakes) => {
            super::show(&mistakes);
            None
        }
    }
}

/// A gateway that is loaded but does not listen yet.
struct Started {
    args: RunArgs,
    policy: Arc<Policy>,
    store: Option<Store>,
    files: Vec<PathBuf>,
    shared: Arc<Shared>,
    metrics: Arc<Metrics>,
}

impl Started {
    fn new(
        args: RunArgs,
        First { policy, store }: First,
        mut files: Vec<PathBuf>,
    ) -> anyhow::Result<Result<Self, Vec<Diagnostic>>> {
        let metrics = Metrics::new(super::VERSION)?;
        let challenges = Arc::new(Challenges::default());
        let tls = Arc::new(Terminator::new(challenges.clone())?);
        let assembled = assemble::assemble(policy.clone(), &metrics, None, &tls, &mut files);
        let assembled = match assembled {
            Ok(assembled) => assembled,
            Err(mistakes) => return Ok(Err(mistakes)),
        };
        super::show(&assembled.warnings);
        if let Some(prepared) = assembled.tls {
            tls.adopt(prepared);
        }
        let gateway = assembled.gateway;
        let recorder = Recorder::start(&gateway.logs(), metrics.records.clone())
            .context("the logs cannot be written")?;
        let shared = Shared::new(gateway, tls, recorder, metrics.clone(), challenges)?;
        let shared = Arc::new(shared);
        Ok(Ok(Self {
            args,
            policy,
            store,
            files,
            shared,
            metrics,
        }))
    }

    async fn serve(self) -> anyhow::Result<ExitCode> {
        // First of all: a signal that nobody waits for would end the process.
        let mut hangup = signal(SignalKind::hangup())?;
        let mut upgrade = signal(SignalKind::user_defined2())?;
        let mut stop = Stop::new()?;
        let args = self.args.clone();
        let (mut running, events) = self.begin().await?;
        let Events {
            mut watch,
            mut orders,
            mut successor,
        } = events;
        let mut daily = tokio::time::interval(DAY);
        daily.tick().await; // the first is now, and was said when the certificates were read
        let succeeded = loop {
            tokio::select! {
                _ = daily.tick() => warn_of_ends(running.shared.tls()),
                _ = hangup.recv() => {
                    running.shared.recorder().reopen();
                    let _ = running.reload(Change::Everything, None, &mut watch).await;
                }
                change = watch.changed() => {
                    let _ = running.reload(change, None, &mut watch).await;
                }
                Some(Asked { order, answer }) = orders.recv() => {
                    // Who asked may be gone; what was asked for is done.
                    let _ = answer.send(running.edit(order, &mut watch).await);
                }
                _ = upgrade.recv() => start_successor(&args),
                () = handed_over(&mut successor) => {
                    tracing::info!("upgrade: the new gateway serves");
                    break true;
                }
                () = stop.asked() => break false,
            }
        };
        // Nobody carries orders out any more: whoever asks now is told so at once.
        drop(orders);
        Ok(if running.stop(&mut stop, succeeded).await {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    /// Opens and serves everything; a gateway that runs already hands its sockets over and drains.
    async fn begin(self) -> anyhow::Result<(Running, Events)> {
        let Self {
            args,
            policy,
            store,
            files,
            shared,
            metrics,
        } = self;
        let count = policy
            .workers()
            .or_else(|| std::thread::available_parallelism().ok());
        let mut workers = Workers::start(count.map_or(1, NonZeroUsize::get), &shared)?;
        let mut admin = Admin::closed();
        let predecessor = args.take_over(&mut workers, &mut admin)?;
        let bound = workers
            .bind(policy.listeners())
            .map_err(|(address, error)| anyhow::anyhow!("cannot listen on {address}: {error}"))?;
        let mut renewals = Renewals::new(shared.tls().clone(), shared.challenges().clone());
        let demand = renewals.demand();
        shared.tls().on_unknown(move |name| demand.ask(name));
        renewals.adopt(renewals.prepare(policy.tls().acme().map(|acme| &**acme))?)?;
        let status = renewals.status();
        let live = Arc::new(State::new(metrics.clone(), shared.clone(), status));
        let (editor, orders) = Editor::new();
        let editor = Arc::new(editor);
        admin.adopt(admin.prepare(&policy)?, &live, &editor)?;
        let keeper = Keeper::start();
        let gateway = shared.gateway();
        let tended = gateway.tended();
        let names = keeper.prepare(&tended, gateway.resolver());
        let _ = tokio::time::timeout(NAMES_PATIENCE, names).await;
        keeper.tend(&tended, gateway.resolver());
        drop((gateway, tended));
        workers.serve(policy.listeners(), bound)?;
        metrics.reloads.succeeded(SystemTime::now());
        let checksum = shared.gateway().checksum().to_string();
        metrics.runs(&checksum);
        tracing::info!(generation = 1, checksum, "configuration loaded");
        live.ready();
        for address in workers.addresses() {
            tracing::info!(%address, "listening");
        }
        let sockets = Sockets::default();
        let successor = args.offer(&sockets)?;
        supervisor::ready();
        if let Some(predecessor) = predecessor {
            match predecessor.ready() {
                Ok(()) => tracing::info!("the gateway before drains now"),
                Err(error) => tracing::warn!(%error, "the gateway before is gone already"),
            }
        }
        let running = Running {
            store,
            sockets,
            editor,
            shared,
            workers,
            admin,
            live,
            metrics,
            renewals,
            keeper,
            generation: 1,
            policy,
        };
        running.note_sockets();
        let events = Events {
            watch: Watch::new(files),
            orders,
            successor,
        };
        Ok((running, events))
    }
}

/// What a running gateway waits for, besides signals.
struct Events {
    watch: Watch,
    orders: mpsc::Receiver<Asked>,
    successor: Option<mpsc::Receiver<()>>,
}

struct Running {
    store: Option<Store>,
    /// What a new binary may take over.
    sockets: Sockets,
    /// For the admin listener.
    editor: Arc<Editor>,
    shared: Arc<Shared>,
    workers: Workers,
    admin: Admin,
    live: Arc<State>,
    metrics: Arc<Metrics>,
    renewals: Renewals,
    /// Looks names up and checks servers.
    keeper: Keeper,
    generation: u64,
    /// What runs now.
    policy: Arc<Policy>,
}

impl Running {
    /// Loads again what `change` concerns, as if `overlay` were there, which is written once it is known
    /// to be right. On any mistake everything stays as it was.
    async fn reload(
        &mut self,
        change: Change,
        overlay: Option<Overlay>,
        watch: &mut Watch,
    ) -> Result<(), Answer> {
        let Some(store) = self.store.take() else {
            tracing::info!("nothing to reload: started without a configuration file");
            return Err(Answer::NotFound);
        };
        supervisor::reloading();
        let (done, store) = self.load(store, change, overlay, watch).await;
        self.store = store;
        if let Err(Answer::Failed(why)) = &done {
            self.refused(why);
        }
        supervisor::ready();
        done
    }

    async fn load(
        &mut self,
        store: Store,
        change: Change,
        overlay: Option<Overlay>,
        watch: &mut Watch,
    ) -> (Result<(), Answer>, Option<Store>) {
        let started = Instant::now();
        let metrics = self.metrics.clone();
        let (before, tls) = (self.shared.gateway(), self.shared.tls().clone());
        let built = tokio::task::spawn_blocking(move || {
            let mut files = Vec::new();
            let built = build(
                &store,
                &change,
                overlay.as_ref(),
                &metrics,
                &before,
                &tls,
                &mut files,
            );
            let built = built.map(|built| built.written(overlay));
            (built, files, store)
        })
        .await;
        let Ok((built, files, mut store)) = built else {
            let why = "the configuration loader failed; only a restart helps";
            return (Err(Answer::Failed(why.to_owned())), None);
        };
        let Built {
            refreshed,
            assembled,
        } = match built {
            Ok(Ok(built)) => built,
            Ok(Err(error)) => {
                let why = format!("the file cannot be written: {error}");
                return (Err(Answer::Failed(why)), Some(store));
            }
            Err(mistakes) => {
                // What was changed now is to be looked at again with what changes next.
                watch.unsettled();
                // Whoever mends a file that only the new configuration names wants to be noticed.
                watch.follow_too(files);
                reload::refused(&mistakes);
                let first = mistakes.first().map(ToString::to_string);
                self.refused(&first.unwrap_or_default());
                let told = editor::told(&mistakes);
                return (Err(Answer::Refused(told)), Some(store));
            }
        };
        let delta = refreshed.delta.as_ref();
        if delta.is_some_and(Delta::is_empty) {
            store.keep(refreshed);
            return (Ok(()), Some(store));
        }
        let small = delta.is_some();
        let policy = refreshed.policy.clone();
        if let Err(error) = self.adopt(policy, assembled, small).await {
            watch.unsettled();
            watch.follow_too(files);
            return (Err(Answer::Failed(format!("{error:#}"))), Some(store));
        }
        store.keep(refreshed);
        watch.settled();
        if !small {
            watch.follow(files);
        }
        let checksum = self.shared.gateway().checksum().to_string();
        let (generation, took) = (self.generation, started.elapsed());
        tracing::info!(generation, checksum, small, ?took, "configuration reloaded");
        (Ok(()), Some(store))
    }

    /// Carries out what was asked through the admin listener.
    async fn edit(&mut self, order: Order, watch: &mut Watch) -> Answer {
        let name = format!("{}.yaml", order.name);
        let place = self.store.as_ref().and_then(|store| store.place(&name));
        let Some((path, real)) = place else {
            return Answer::NotFound;
        };
        let now = std::fs::read_to_string(&path).ok();
        if !order.expected.fits(now.as_deref()) {
            return Answer::Differs;
        }
        let text = match (order.action, &now) {
            (Action::Read, Some(text)) => return Answer::Text(text.clone()),
            (Action::Read | Action::Delete, None) => return Answer::NotFound,
            (Action::Write(text), _) => Some(text),
            (Action::Delete, Some(_)) => None,
        };
        tracing::info!(file = %path.display(), gone = text.is_none(), "change asked through the admin listener");
        // Files that were refused before are looked at again: success would hide them otherwise.
        let change = if watch.is_unsettled() {
            Change::Everything
        } else {
            Change::Files([real].into())
        };
        let overlay = Overlay { path, text };
        match self.reload(change, Some(overlay), watch).await {
            Ok(()) => Answer::Done {
                created: now.is_none(),
                checksum: self.shared.gateway().checksum().to_string(),
            },
            Err(answer) => answer,
        }
    }

    /// Runs what was built; `small` if only sites differ.
    async fn adopt(
        &mut self,
        policy: Arc<Policy>,
        assembled: Assembled,
        small: bool,
    ) -> anyhow::Result<()> {
        let Assembled { gateway, tls, .. } = assembled;
        let tended = gateway.tended();
        let resolver = policy.resolver();
        if small {
            let names = self.keeper.prepare(&tended, resolver);
            let _ = tokio::time::timeout(NAMES_PATIENCE, names).await;
            self.shared.replace(gateway);
            self.keeper.tend(&tended, resolver);
        } else {
            let listeners = policy.listeners();
            let bound = self.workers.bind(listeners).map_err(|(address, error)| {
                anyhow::anyhow!("cannot listen on {address}: {error}")
            })?;
            let admin = self.admin.prepare(&policy)?;
            let certificates = self
                .renewals
                .prepare(policy.tls().acme().map(|acme| &**acme))?;
            let names = self.keeper.prepare(&tended, resolver);
            let _ = tokio::time::timeout(NAMES_PATIENCE, names).await;
            self.shared.recorder().configure(&gateway.logs())?;
            if let Some(tls) = tls {
                self.shared.tls().adopt(tls);
            }
            self.shared.replace(gateway);
            self.renewals.adopt(certificates)?;
            self.keeper.tend(&tended, resolver);
            self.workers.serve(listeners, bound)?;
            self.admin.adopt(admin, &self.live, &self.editor)?;
            warn_of_restarts(&self.policy, &policy);
            self.note_sockets();
        }
        self.generation += 1;
        self.policy = policy;
        self.metrics.reloads.succeeded(SystemTime::now());
        let checksum = self.shared.gateway().checksum().to_string();
        self.metrics.runs(&checksum);
        self.live.reloaded(self.generation);
        Ok(())
    }

    /// Keeps what a new binary would take over up to date.
    fn note_sockets(&self) {
        let sockets = self.workers.sockets().map(|mut sockets| {
            sockets.extend(self.admin.socket());
            sockets
        });
        match sockets {
            Ok(sockets) => {
                *self.sockets.lock().unwrap_or_else(PoisonError::into_inner) = sockets;
            }
            Err(error) => tracing::warn!(%error, "the sockets cannot be offered to a new binary"),
        }
    }

    fn refused(&self, why: &str) {
        tracing::error!(why, "reload refused; the old configuration stays");
        self.metrics.reloads.failed();
        self.live.reload_failed(why);
    }

    /// Drains, and cuts what takes too long; true if every record was written.
    /// A gateway that was `succeeded` by another one leaves the supervisor and the admin listener to it.
    async fn stop(self, stop: &mut Stop, succeeded: bool) -> bool {
        let Self {
            workers,
            live,
            shared,
            policy,
            admin,
            ..
        } = self;
        let drain = policy.drain();
        tracing::info!(patience = ?drain, "draining");
        live.draining();
        // Answers probes until the end.
        let _admin = (!succeeded).then_some(admin);
        if !succeeded {
            supervisor::stopping();
        }
        let mut draining = workers.drain();
        tokio::select! {
            biased;
            () = draining.ended() => {}
            () = tokio::time::sleep(drain) => cut(&mut draining, &shared).await,
            () = stop.asked() => cut(&mut draining, &shared).await,
        }
        let written = shared.recorder().shutdown(RECORD_PATIENCE);
        let _ = io::stderr().flush();
        written
    }
}

/// A configuration that was built beside the one that runs.
struct Built {
    refreshed: Refreshed,
    assembled: Assembled,
}

impl Built {
    /// Puts the file on the disk that was laid over it.
    fn written(self, overlay: Option<Overlay>) -> io::Result<Self> {
        match overlay {
            Some(Overlay {
                path,
                text: Some(text),
            }) => editor::write(&path, &text)?,
            Some(Overlay { path, text: None }) => std::fs::remove_file(&path)?,
            None => {}
        }
        Ok(self)
    }
}

/// Loads what `change` concerns, beside what runs.
fn build(
    store: &Store,
    change: &Change,
    overlay: Option<&Overlay>,
    metrics: &Metrics,
    before: &Gateway,
    tls: &Terminator,
    watch: &mut Vec<PathBuf>,
) -> Result<Built, Vec<Diagnostic>> {
    let env = &edge_config::ProcessEnv;
    let mut refreshed = store.refresh_over(change, overlay, env, watch)?;
    let policy = refreshed.policy.clone();
    let delta = refreshed.delta.as_ref();
    let adapted = delta.and_then(|delta| assemble::adapt(policy.clone(), delta, metrics, before));
    if let Some(assembled) = adapted {
        return Ok(Built {
            refreshed,
            assembled,
        });
    }
    if refreshed.delta.take().is_some() {
        // What has to be watched is told only if everything was looked at.
        refreshed = store.refresh_over(&Change::Everything, overlay, env, watch)?;
    }
    let policy = refreshed.policy.clone();
    let assembled = assemble::assemble(policy, metrics, Some(before), tls, watch)?;
    for warning in &assembled.warnings {
        tracing::warn!("{warning}");
    }
    let compiled = assembled.gateway.compiled_since(before);
    tracing::info!(compiled, "rule sets compiled for the reload");
    Ok(Built {
        refreshed,
        assembled,
    })
}

/// Drops the requests that are left; their records say so.
async fn cut(draining: &mut Draining, shared: &Shared) {
    shared.abort();
    draining.abort();
    let ended = tokio::time::timeout(ABORT_PATIENCE, draining.ended()).await;
    let requests = shared.cut_count();
    tracing::warn!(requests, "requests were cut at the end of the drain");
    if ended.is_err() {
        tracing::warn!("a worker is still busy and ends with the process");
    }
}

/// Names the certificates that end soon.
fn warn_of_ends(tls: &Terminator) {
    for end in tls.ending(SystemTime::now()).iter().take(MAX_WARNINGS) {
        let left = end.not_after.duration_since(SystemTime::now());
        let days = left.map_or(0, |left| left.as_secs() / DAY.as_secs());
        tracing::warn!(name = %end.name, key = end.key, days, "certificate ends soon");
    }
}

/// Names the keys whose new values take effect at the next start only.
fn warn_of_restarts(old: &Policy, new: &Policy) {
    let keys = [
        ("workers", old.workers() != new.workers()),
        ("audit.queue", old.logs().queue() != new.logs().queue()),
    ];
    for (key, _) in keys.into_iter().filter(|(_, changed)| *changed) {
        tracing::warn!(key, "this change takes effect at the next start only");
    }
}

/// The signals that end the gateway; a second one ends it at once.
struct Stop {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Stop {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Certificates named in the log each day.
const MAX_WARNINGS: usize = 100;
const RECORD_PATIENCE: Duration = Duration::from_secs(5);
/// Dropping connections takes no time, unless a worker is inside a long computation.
const ABORT_PATIENCE: Duration = Duration::from_secs(2);
/// How long addresses of new names are waited for; the rest comes when it comes, and meanwhile their
/// servers are as good as down.
const NAMES_PATIENCE: Duration = Duration::from_secs(2);
