//! `palisade run`: the gateway in the foreground.
//!
//! Everything is loaded and every address bound before the first connection is accepted. SIGHUP or
//! a changed file reloads, SIGTERM or SIGINT drains and exits 0; a configuration with mistakes never
//! takes a running gateway down.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};
use clap::Args;
use edge_admin::{Admin, Live};
use edge_audit::{Metrics, Recorder};
use edge_config::{Loaded, Policy};
use edge_core::Diagnostic;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::assemble::{self, Assembled};
use crate::listen::Workers;
use crate::reload::{self, Watch};
use crate::serve::Shared;

/// Run the gateway.
///
/// With --upstream no configuration file is needed: the default profile with the built-in rules
/// protects the application at that URL. SIGHUP reloads, SIGTERM drains and exits 0.
#[derive(Args)]
pub(crate) struct RunArgs {
    /// The configuration file.
    #[arg(long, short, value_name = "FILE", env = "PALISADE_CONFIG", required_unless_present = "upstream")]
    config: Option<PathBuf>,
    /// Protect the application at this URL, without a file.
    #[arg(long, value_name = "URL", conflicts_with = "config")]
    upstream: Option<String>,
    /// Where to listen, with --upstream.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080", requires = "upstream")]
    listen: String,
    /// Where decision records go, with --upstream: off, stdout, stderr or a file.
    #[arg(long, value_name = "OUTPUT", default_value = "palisade-audit.jsonl", requires = "upstream")]
    audit_log: String,
}

/// Runs the command.
pub(crate) fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    let Some(loaded) = args.load()? else { return Ok(ExitCode::FAILURE) };
    let started = match Started::new(args, loaded)? {
        Ok(started) => started,
        Err(mistakes) => {
            super::show(&mistakes);
            return Ok(ExitCode::FAILURE);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(started.serve())
}

impl RunArgs {
    /// Reads the configuration; `None` if it has mistakes, which have been printed.
    fn load(&self) -> anyhow::Result<Option<Loaded>> {
        match (&self.config, &self.upstream) {
            (Some(path), _) => Ok(super::load(path)),
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
    policy: Policy,
    files: Vec<PathBuf>,
    shared: Arc<Shared>,
    metrics: Arc<Metrics>,
}

impl Started {
    fn new(args: RunArgs, loaded: Loaded) -> anyhow::Result<Result<Self, Vec<Diagnostic>>> {
        let Loaded { policy, files, .. } = loaded;
        let metrics = Metrics::new(env!("CARGO_PKG_VERSION"))?;
        let assembled = match assemble::assemble(&policy, 1) {
            Ok(assembled) => assembled,
            Err(mistakes) => return Ok(Err(mistakes)),
        };
        super::show(&assembled.warnings);
        let recorder = Recorder::start(policy.logs(), metrics.records.clone())
            .context("the decision record cannot be written")?;
        let files = [files, assembled.files].concat();
        let gateway = assembled.gateway.measured(&metrics);
        let shared = Arc::new(Shared::new(gateway, recorder, metrics.clone())?);
        Ok(Ok(Self { args, policy, files, shared, metrics }))
    }

    async fn serve(self) -> anyhow::Result<ExitCode> {
        let Self { args, policy, files, shared, metrics } = self;
        let mut workers = Workers::start(policy.workers(), &shared)?;
        let bound = workers.bind(policy.listeners()).map_err(|(address, error)| {
            anyhow::anyhow!("cannot listen on {address}: {error}")
        })?;
        let (stop_admin, admin_stopped) = watch::channel(false);
        let live = Arc::new(Live::new(env!("CARGO_PKG_VERSION"), SystemTime::now()));
        start_admin(&policy, &live, &metrics, admin_stopped).await?;
        workers.serve(policy.listeners(), bound)?;
        metrics.reloads.succeeded(SystemTime::now());
        live.ready();
        for address in workers.addresses() {
            tracing::info!(%address, "listening");
        }
        let mut signals = Signals::new()?;
        let mut watch = Watch::new(files);
        let mut running = Running { args, shared, workers, live, metrics, generation: 1, drain: policy.drain() };
        loop {
            tokio::select! {
                () = signals.reload() => {
                    running.shared.recorder().reopen();
                    running.reload(&mut watch).await;
                }
                () = watch.changed() => running.reload(&mut watch).await,
                () = signals.stop() => break,
            }
        }
        let finished = running.stop(&mut signals).await;
        stop_admin.send_replace(true);
        Ok(if finished { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

struct Running {
    args: RunArgs,
    shared: Arc<Shared>,
    workers: Workers,
    live: Arc<Live>,
    metrics: Arc<Metrics>,
    generation: u64,
    drain: Duration,
}

impl Running {
    /// Loads again; on any mistake everything stays as it was.
    async fn reload(&mut self, watch: &mut Watch) {
        let Some(path) = self.args.config.clone() else {
            tracing::info!("nothing to reload: started without a configuration file");
            return;
        };
        let generation = self.generation + 1;
        let built = tokio::task::spawn_blocking(move || {
            let loaded = edge_config::load(&path, &edge_config::ProcessEnv)?;
            let assembled = assemble::assemble(&loaded.policy, generation)?;
            Ok::<_, Vec<Diagnostic>>((loaded, assembled))
        })
        .await;
        match built {
            Ok(Ok((loaded, assembled))) => match self.adopt(loaded, assembled, watch) {
                Ok(()) => tracing::info!(generation, "configuration reloaded"),
                Err(error) => self.refused(&format!("{error:#}")),
            },
            Ok(Err(mistakes)) => {
                reload::refused(&mistakes);
                let first = mistakes.first().map(ToString::to_string).unwrap_or_default();
                self.refused(&first);
            }
            Err(_) => self.refused("the configuration loader failed"),
        }
    }

    fn adopt(
        &mut self,
        loaded: Loaded,
        assembled: Assembled,
        watch: &mut Watch,
    ) -> anyhow::Result<()> {
        let policy = loaded.policy;
        let bound = self
            .workers
            .bind(policy.listeners())
            .map_err(|(address, error)| anyhow::anyhow!("cannot listen on {address}: {error}"))?;
        self.shared.recorder().configure(policy.logs())?;
        self.shared.replace(assembled.gateway.measured(&self.metrics));
        self.workers.serve(policy.listeners(), bound)?;
        watch.follow([loaded.files, assembled.files].concat());
        self.generation += 1;
        self.drain = policy.drain();
        self.metrics.reloads.succeeded(SystemTime::now());
        self.live.reloaded(self.generation, SystemTime::now());
        Ok(())
    }

    fn refused(&self, why: &str) {
        tracing::error!(why, "reload refused; the old configuration stays");
        self.metrics.reloads.failed();
        self.live.reload_failed(why.to_owned(), SystemTime::now());
    }

    /// Drains; true if every request was answered in time and every record written.
    async fn stop(self, signals: &mut Signals) -> bool {
        let Self { workers, live, shared, drain, .. } = self;
        tracing::info!(patience = ?drain, "draining");
        live.draining();
        let drained = tokio::task::spawn_blocking(move || workers.drain());
        let in_time = tokio::select! {
            _ = drained => true,
            () = tokio::time::sleep(drain) => false,
            () = signals.stop() => false,
        };
        if !in_time {
            tracing::warn!("requests were cut off");
        }
        let written = shared.recorder().shutdown(RECORD_PATIENCE);
        let _ = io::stderr().flush();
        // Threads that still carry requests end with the process.
        written
    }
}

async fn start_admin(
    policy: &Policy,
    live: &Arc<Live>,
    metrics: &Arc<Metrics>,
    stopped: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let Some(address) = policy.admin() else { return Ok(()) };
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address} (admin)"))?;
    tracing::info!(address = %listener.local_addr()?, "admin listening");
    let admin = Admin::new(live.clone(), metrics.clone());
    tokio::spawn(edge_admin::serve(listener, admin, stopped));
    Ok(())
}

struct Signals {
    hangup: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn reload(&mut self) {
        self.hangup.recv().await;
    }

    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

const RECORD_PATIENCE: Duration = Duration::from_secs(5);
