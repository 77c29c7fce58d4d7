//! `palisade run`: the gateway in the foreground.
//!
//! Everything is loaded and every address bound before the first connection is accepted. SIGHUP or
//! a changed file reloads, SIGTERM or SIGINT drains and exits 0; a configuration with mistakes never
//! takes a running gateway down.

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};
use clap::{ArgGroup, Args};
use edge_audit::{Metrics, Recorder};
use edge_config::{Loaded, Policy};
use edge_core::Diagnostic;
use edge_tls::Terminator;
use tokio::signal::unix::{SignalKind, signal};

use crate::admin::Admin;
use crate::assemble::{self, Assembled, Gateway};
use crate::listen::{Draining, Workers};
use crate::live::State;
use crate::reload::{self, Watch};
use crate::shared::Shared;
use crate::upstreams::keeper::Keeper;

/// Run the gateway.
///
/// With --upstream no configuration file is needed: the default profile with the built-in rules
/// protects the application at that URL. SIGHUP reloads, SIGTERM drains and exits 0.
#[derive(Args)]
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
    fn load(&self, watch: &mut Vec<PathBuf>) -> anyhow::Result<Option<Loaded>> {
        match (&self.config, &self.upstream) {
            (Some(path), _) => Ok(super::load_watching(path, watch)),
            (None, Some(upstream)) => {
                match edge_config::quick(upstream, &self.listen, &self.audit_log) {
                    Ok(loaded) => Ok(Some(loaded)),
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

/// A gateway that is loaded but does not listen yet.
struct Started {
    args: RunArgs,
    policy: Arc<Policy>,
    files: Vec<PathBuf>,
    shared: Arc<Shared>,
    metrics: Arc<Metrics>,
}

impl Started {
    fn new(
        args: RunArgs,
        loaded: Loaded,
        mut files: Vec<PathBuf>,
    ) -> anyhow::Result<Result<Self, Vec<Diagnostic>>> {
        let policy = Arc::new(loaded.policy);
        let metrics = Metrics::new(super::VERSION)?;
        let tls = Arc::new(Terminator::new(Arc::default())?);
        let assembled = assemble::assemble(policy.clone(), &metrics, None, &tls, &mut files);
        let assembled = match assembled {
            Ok(assembled) => assembled,
            Err(mistakes) => return Ok(Err(mistakes)),
        };
        super::show(&assembled.warnings);
        tls.adopt(assembled.tls);
        let gateway = assembled.gateway;
        let recorder = Recorder::start(&gateway.logs(), metrics.records.clone())
            .context("the logs cannot be written")?;
        let shared = Arc::new(Shared::new(gateway, tls, recorder, metrics.clone())?);
        Ok(Ok(Self {
            args,
            policy,
            files,
            shared,
            metrics,
        }))
    }

    async fn serve(self) -> anyhow::Result<ExitCode> {
        let Self {
            args,
            policy,
            files,
            shared,
            metrics,
        } = self;
        let count = policy
            .workers()
            .or_else(|| std::thread::available_parallelism().ok());
        let mut workers = Workers::start(count.map_or(1, NonZeroUsize::get), &shared)?;
        let bound = workers
            .bind(policy.listeners())
            .map_err(|(address, error)| anyhow::anyhow!("cannot listen on {address}: {error}"))?;
        let live = Arc::new(State::new(metrics.clone(), shared.clone()));
        let mut admin = Admin::closed();
        admin.adopt(admin.prepare(&policy)?, &live)?;
        let keeper = Keeper::start();
        let gateway = shared.gateway();
        let tended = gateway.tended();
        keeper.prepare(&tended, gateway.resolver()).await;
        keeper.tend(&tended, gateway.resolver());
        drop((gateway, tended));
        workers.serve(policy.listeners(), bound)?;
        metrics.reloads.succeeded(SystemTime::now());
        live.ready();
        for address in workers.addresses() {
            tracing::info!(%address, "listening");
        }
        let mut hangup = signal(SignalKind::hangup())?;
        let mut stop = Stop::new()?;
        let mut watch = Watch::new(files);
        let mut running = Running {
            args,
            shared,
            workers,
            admin,
            live,
            metrics,
            keeper,
            generation: 1,
            policy,
        };
        let mut daily = tokio::time::interval(DAY);
        daily.tick().await; // the first is now, and was said when the certificates were read
        loop {
            tokio::select! {
                _ = daily.tick() => warn_of_ends(running.shared.tls()),
                _ = hangup.recv() => {
                    running.shared.recorder().reopen();
                    running.reload(&mut watch).await;
                }
                () = watch.changed() => running.reload(&mut watch).await,
                () = stop.asked() => break,
            }
        }
        Ok(if running.stop(&mut stop).await {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

struct Running {
    args: RunArgs,
    shared: Arc<Shared>,
    workers: Workers,
    admin: Admin,
    live: Arc<State>,
    metrics: Arc<Metrics>,
    /// Looks names up and checks servers.
    keeper: Keeper,
    generation: u64,
    /// What runs now.
    policy: Arc<Policy>,
}

impl Running {
    /// Loads again; on any mistake everything stays as it was.
    async fn reload(&mut self, watch: &mut Watch) {
        let Some(path) = self.args.config.clone() else {
            tracing::info!("nothing to reload: started without a configuration file");
            return;
        };
        let generation = self.generation + 1;
        let metrics = self.metrics.clone();
        let (before, tls) = (self.shared.gateway(), self.shared.tls().clone());
        let built = tokio::task::spawn_blocking(move || {
            let mut files = Vec::new();
            (build(&path, &metrics, &before, &tls, &mut files), files)
        })
        .await;
        match built {
            Ok((Ok((policy, assembled)), files)) => match self.adopt(policy, assembled).await {
                Ok(()) => {
                    watch.follow(files);
                    tracing::info!(generation, "configuration reloaded");
                }
                Err(error) => {
                    watch.follow_too(files);
                    self.refused(&format!("{error:#}"));
                }
            },
            Ok((Err(mistakes), files)) => {
                // Whoever mends a file that only the new configuration names wants to be noticed.
                watch.follow_too(files);
                reload::refused(&mistakes);
                let first = mistakes
                    .first()
                    .map(ToString::to_string)
                    .unwrap_or_default();
                self.refused(&first);
            }
            Err(_) => self.refused("the configuration loader failed"),
        }
    }

    async fn adopt(&mut self, policy: Arc<Policy>, assembled: Assembled) -> anyhow::Result<()> {
        let bound = self
            .workers
            .bind(policy.listeners())
            .map_err(|(address, error)| anyhow::anyhow!("cannot listen on {address}: {error}"))?;
        let admin = self.admin.prepare(&policy)?;
        let tended = assembled.gateway.tended();
        let resolver = policy.resolver();
        self.keeper.prepare(&tended, resolver).await;
        self.shared
            .recorder()
            .configure(&assembled.gateway.logs())?;
        self.shared.tls().adopt(assembled.tls);
        self.shared.replace(assembled.gateway);
        self.keeper.tend(&tended, resolver);
        self.workers.serve(policy.listeners(), bound)?;
        self.admin.adopt(admin, &self.live)?;
        self.generation += 1;
        warn_of_restarts(&self.policy, &policy);
        self.policy = policy;
        self.metrics.reloads.succeeded(SystemTime::now());
        self.live.reloaded(self.generation);
        Ok(())
    }

    fn refused(&self, why: &str) {
        tracing::error!(why, "reload refused; the old configuration stays");
        self.metrics.reloads.failed();
        self.live.reload_failed(why);
    }

    /// Drains, and cuts what takes too long; true if every record was written.
    async fn stop(self, stop: &mut Stop) -> bool {
        let Self {
            workers,
            live,
            shared,
            policy,
            // Answers probes until the end.
            admin: _admin,
            ..
        } = self;
        let drain = policy.drain();
        tracing::info!(patience = ?drain, "draining");
        live.draining();
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

/// Loads everything anew, beside what runs.
fn build(
    path: &Path,
    metrics: &Metrics,
    before: &Gateway,
    tls: &Terminator,
    watch: &mut Vec<PathBuf>,
) -> Result<(Arc<Policy>, Assembled), Vec<Diagnostic>> {
    let loaded = edge_config::load_watching(path, &edge_config::ProcessEnv, watch)?;
    let policy = Arc::new(loaded.policy);
    let assembled = assemble::assemble(policy.clone(), metrics, Some(before), tls, watch)?;
    for warning in &assembled.warnings {
        tracing::warn!("{warning}");
    }
    let compiled = assembled.gateway.compiled_since(before);
    tracing::info!(compiled, "rule sets compiled for the reload");
    Ok((policy, assembled))
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
