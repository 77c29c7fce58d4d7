//! The way from the request path to the logs: one bounded queue, one writer thread.
//!
//! [`Recorder::record`] moves the exchange into the queue and returns; it never waits, whatever the
//! disk does. A queue that is full (in records or in bytes) loses the record, counts it and says so
//! at most once in ten seconds. The thread writes many records at once under load and a single one
//! at once when idle. Neither side takes a lock for a record.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use edge_core::Exchange;

use crate::metrics::{RecordCounters, SinkCounters};
use crate::rule_logs::{self, RuleEntry, RuleSinks};
use crate::sink::{self, Sink};
use crate::spec::{AccessLogFormat, Logs, Output, Style};
use crate::{access_log, record};

/// Writes a decision record and an access log line for every exchange it is given.
#[derive(Debug)]
pub struct Recorder {
    queue: SyncSender<Item>,
    shared: Arc<Shared>,
}

/// Why the logs cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// An output cannot be opened.
    #[error("cannot open the {log} at {output}: {error}")]
    Open {
        /// Which log.
        log: &'static str,
        /// Its path.
        output: String,
        /// What the system said.
        error: io::Error,
    },
    /// The writer thread cannot be started.
    #[error("cannot start the log writer: {0}")]
    Thread(io::Error),
}

impl Recorder {
    /// Opens the outputs and starts the writer thread.
    ///
    /// # Errors
    /// If an output cannot be opened: a gateway that cannot record must not start.
    pub fn start(logs: &Logs, counters: RecordCounters) -> Result<Self, AuditError> {
        let outputs = Outputs::open(logs, &counters)?;
        let (queue, items) = sync_channel(logs.queue);
        let shared = Arc::new(Shared {
            active: AtomicBool::new(outputs.any()),
            waiting: AtomicUsize::new(0),
            commands: Mutex::new(Vec::new()),
            commanded: AtomicBool::new(false),
            started: Instant::now(),
            report: AtomicU64::new(0),
            unreported: AtomicU64::new(0),
            counters,
        });
        let writer = Writer {
            items,
            outputs,
            shared: Arc::clone(&shared),
        };
        thread::Builder::new()
            .name("log-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(AuditError::Thread)?;
        Ok(Self { queue, shared })
    }

    /// Whether the outputs could be opened: what [`Recorder::start`] would say, without creating or
    /// changing a file.
    ///
    /// # Errors
    /// One for each output that could not.
    pub fn probe(logs: &Logs) -> Result<(), Vec<AuditError>> {
        let probe = |log, output| {
            sink::probe(output)
                .err()
                .map(|error| unopened(log, output, error))
        };
        let outputs = [(RECORD, &logs.record), (ACCESS, &logs.access)];
        let errors = outputs
            .into_iter()
            .filter_map(|(log, output)| probe(log, output));
        let rules = rule_logs::probe(&logs.rules).into_iter();
        let rules = rules.map(|(output, error)| unopened(rule_logs::NAME, &output, error));
        let shared = shared_file(logs).into_iter();
        let errors = errors.chain(rules).chain(shared);
        let errors: Vec<_> = errors.collect();
        if errors.is_empty() {
            Ok(())
        } else {
            Err(errors)
        }
    }

    /// Hands over a finished exchange; never blocks.
    pub fn record(&self, exchange: Box<Exchange>) {
        let shared = &self.shared;
        if !shared.active.load(Ordering::Relaxed) {
            return;
        }
        let weight = weight(&exchange);
        let waiting = shared.waiting.fetch_add(weight, Ordering::Relaxed);
        let sent = if waiting > QUEUE_BYTES {
            Err("the queue of the log writer is full")
        } else {
            let item = Item::Exchange { exchange, weight };
            self.queue.try_send(item).map_err(|error| match error {
                TrySendError::Full(_) => "the queue of the log writer is full",
                TrySendError::Disconnected(_) => "the log writer has ended",
            })
        };
        if let Err(why) = sent {
            shared.waiting.fetch_sub(weight, Ordering::Relaxed);
            shared.lost_one(why);
        }
    }

    /// Hands over an audit entry of a rule set; never blocks.
    pub fn audit(&self, entry: Box<RuleEntry>) {
        let shared = &self.shared;
        let weight = entry.weight();
        let waiting = shared.waiting.fetch_add(weight, Ordering::Relaxed);
        let room = waiting <= QUEUE_BYTES;
        if !room || self.queue.try_send(Item::Entry { entry, weight }).is_err() {
            shared.waiting.fetch_sub(weight, Ordering::Relaxed);
            shared.counters.rules.dropped.inc();
        }
    }

    /// Opens files again under their names: to be called after log rotation.
    pub fn reopen(&self) {
        self.command(Command::Reopen);
    }

    /// Goes over to other outputs and another style, after a reload. Records handed over before
    /// are written to the old outputs. The size of the queue stays.
    ///
    /// # Errors
    /// If an output cannot be opened; then everything stays as it was.
    pub fn configure(&self, logs: &Logs) -> Result<(), AuditError> {
        let outputs = Outputs::open(logs, &self.shared.counters)?;
        self.shared.active.store(outputs.any(), Ordering::Relaxed);
        self.command(Command::Configure(Box::new(outputs)));
        Ok(())
    }

    /// Writes what waits and ends the writer thread; false if that took longer than `patience` or
    /// records were lost in the end. Blocks the caller; what is handed over later is counted as lost.
    pub fn shutdown(&self, patience: Duration) -> bool {
        let (done, ended) = sync_channel(1);
        let deadline = Instant::now() + patience;
        self.command(Command::Stop { deadline, done });
        let lost = ended.recv_timeout(patience + Duration::from_millis(100));
        match lost {
            Ok(0) => true,
            Ok(lost) => {
                tracing::error!(
                    lost,
                    "log lines lost at shutdown: they could not be written"
                );
                false
            }
            Err(_) => {
                tracing::error!("the log writer did not finish in time");
                false
            }
        }
    }

    fn command(&self, command: Command) {
        let mut commands = lock(&self.shared.commands);
        commands.push(command);
        self.shared.commanded.store(true, Ordering::Release);
        drop(commands);
        // Wakes an idle writer; one that is busy looks at the commands after its batch anyway.
        match self.queue.try_send(Item::Wake) {
            Ok(()) | Err(TrySendError::Full(_)) => {}
            // The writer has ended; dropping its commands tells a waiting `shutdown`.
            Err(TrySendError::Disconnected(_)) => lock(&self.shared.commands).clear(),
        }
    }
}

/// What the queue carries.
#[derive(Debug)]
enum Item {
    Exchange {
        exchange: Box<Exchange>,
        weight: usize,
    },
    Entry {
        entry: Box<RuleEntry>,
        weight: usize,
    },
    Wake,
}

/// What the writer is told besides; kept out of the queue, which may be full.
enum Command {
    Reopen,
    Configure(Box<Outputs>),
    Stop {
        deadline: Instant,
        done: SyncSender<u64>,
    },
}

struct Shared {
    /// Whether any output is on.
    active: AtomicBool,
    /// Bytes in the queue, about.
    waiting: AtomicUsize,
    commands: Mutex<Vec<Command>>,
    /// Whether there are commands: spares the writer the lock.
    commanded: AtomicBool,
    started: Instant,
    /// Milliseconds after `started` before which lost records are not reported again.
    report: AtomicU64,
    unreported: AtomicU64,
    counters: RecordCounters,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    fn lost_one(&self, why: &'static str) {
        self.counters.queue_full.inc();
        self.unreported.fetch_add(1, Ordering::Relaxed);
        let elapsed = self.started.elapsed().as_millis();
        let now = u64::try_from(elapsed).unwrap_or(u64::MAX);
        let due = self.report.load(Ordering::Relaxed);
        let next = now.saturating_add(REPORT_MILLIS);
        let order = Ordering::Relaxed;
        if now >= due
            && self
                .report
                .compare_exchange(due, next, order, order)
                .is_ok()
        {
            let lost = self.unreported.swap(0, order);
            tracing::warn!(lost, why, "decision records lost");
        }
    }
}

struct Outputs {
    record: Option<Sink>,
    access: Option<Sink>,
    rules: RuleSinks,
    format: AccessLogFormat,
    style: Style,
}

impl Outputs {
    fn open(logs: &Logs, counters: &RecordCounters) -> Result<Self, AuditError> {
        let open = |log, output: &Output, counters: &SinkCounters| {
            Sink::open(log, output, counters.clone()).map_err(|error| unopened(log, output, error))
        };
        if let Some(error) = shared_file(logs) {
            return Err(error);
        }
        let rules = RuleSinks::open(&logs.rules, &counters.rules)
            .map_err(|(output, error)| unopened(rule_logs::NAME, &output, error))?;
        Ok(Self {
            rules,
            record: open(RECORD, &logs.record, &counters.record)?,
            access: open(ACCESS, &logs.access, &counters.access)?,
            format: logs.format,
            style: logs.style.clone(),
        })
    }

    fn any(&self) -> bool {
        self.record.is_some() || self.access.is_some() || !self.rules.is_empty()
    }

    fn sinks(&mut self) -> impl Iterator<Item = &mut Sink> {
        let ours = self.record.iter_mut().chain(self.access.iter_mut());
        ours.chain(self.rules.iter_mut())
    }

    fn add(&mut self, exchange: &Exchange) {
        let Self {
            record,
            access,
            format,
            style,
            ..
        } = self;
        if let Some(sink) = record {
            sink.line(|out| record::write(out, exchange, style));
        }
        if let Some(sink) = access {
            sink.line(|out| access_log::write(out, exchange, *format, style));
        }
    }

    fn is_batch(&mut self) -> bool {
        self.sinks().any(|sink| sink.is_batch())
    }

    fn flush(&mut self, now: Instant) {
        self.sinks().for_each(|sink| sink.flush(now));
    }

    fn retry(&mut self) -> Option<Instant> {
        self.sinks().filter_map(|sink| sink.retry()).min()
    }

    /// Tries until everything is written or `deadline` has come; says how many lines are lost.
    fn finish(&mut self, deadline: Instant) -> u64 {
        loop {
            let now = Instant::now();
            self.flush(now);
            match self.retry() {
                None => return 0,
                Some(retry) if retry.max(now) < deadline => {
                    thread::sleep(retry.saturating_duration_since(now));
                }
                Some(_) => return self.sinks().map(Sink::abandon).sum(),
            }
        }
    }
}

/// The thread's side.
struct Writer {
    items: Receiver<Item>,
    outputs: Outputs,
    shared: Arc<Shared>,
}

impl Writer {
    fn run(mut self) {
        loop {
            let ended = self.wait();
            let count = self.drain();
            self.outputs.flush(Instant::now());
            if self.shared.commanded.swap(false, Ordering::AcqRel) && self.obey() {
                return;
            }
            if ended {
                self.outputs.finish(Instant::now() + LAST_WORDS);
                return;
            }
            if count > 1 {
                // Under load: let records gather, and spare every sender a wake-up call.
                thread::sleep(GATHER);
            }
        }
    }

    /// Waits for the first item, or until a sink wants to try again; true if no sender is left.
    fn wait(&mut self) -> bool {
        let item = match self.outputs.retry() {
            None => self
                .items
                .recv()
                .map_err(|_| RecvTimeoutError::Disconnected),
            Some(retry) => {
                let pause = retry.saturating_duration_since(Instant::now());
                self.items.recv_timeout(pause)
            }
        };
        match item {
            Ok(item) => {
                self.take(item);
                false
            }
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => true,
        }
    }

    /// Takes what waits, up to a batch; says how many items that were.
    fn drain(&mut self) -> usize {
        let mut count = 0;
        while count < DRAIN && !self.outputs.is_batch() {
            let Ok(item) = self.items.try_recv() else {
                break;
            };
            self.take(item);
            count += 1;
        }
        count
    }

    fn take(&mut self, item: Item) {
        match item {
            Item::Exchange { exchange, weight } => {
                self.shared.waiting.fetch_sub(weight, Ordering::Relaxed);
                self.outputs.add(&exchange);
            }
            Item::Entry { entry, weight } => {
                self.shared.waiting.fetch_sub(weight, Ordering::Relaxed);
                self.outputs.rules.add(&entry);
            }
            Item::Wake => {}
        }
    }

    /// Carries out the commands; true after `Stop`.
    fn obey(&mut self) -> bool {
        let commands = std::mem::take(&mut *lock(&self.shared.commands));
        for command in commands {
            match command {
                Command::Reopen => {
                    let now = Instant::now();
                    self.outputs.sinks().for_each(|sink| sink.reopen(now));
                }
                Command::Configure(outputs) => {
                    self.take_all();
                    let mut old = std::mem::replace(&mut self.outputs, *outputs);
                    old.finish(Instant::now() + LAST_WORDS);
                }
                Command::Stop { deadline, done } => {
                    self.take_all();
                    // The caller may have given up waiting.
                    let _ = done.try_send(self.outputs.finish(deadline));
                    return true;
                }
            }
        }
        false
    }

    /// Takes what waits at this moment: no more than the queue can hold, so it ends under any load.
    fn take_all(&mut self) {
        for _ in 0..MAX_QUEUE {
            let Ok(item) = self.items.try_recv() else {
                return;
            };
            self.take(item);
            if self.outputs.is_batch() {
                self.outputs.flush(Instant::now());
            }
        }
    }
}

/// An audit log that is also one of ours: two writers would spoil each other's lines.
fn shared_file(logs: &Logs) -> Option<AuditError> {
    let ours = [&logs.record, &logs.access];
    let mut files = logs.rules.files.keys();
    let path = files.find(|path| {
        let is = |output: &Output| matches!(output, Output::File(ours) if **ours == ***path);
        ours.into_iter().any(is)
    })?;
    let error = io::Error::other("the decision record or the access log is written there");
    Some(unopened(
        rule_logs::NAME,
        &Output::File(path.to_path_buf()),
        error,
    ))
}

fn unopened(log: &'static str, output: &Output, error: io::Error) -> AuditError {
    AuditError::Open {
        log,
        output: output.clone().into(),
        error,
    }
}

/// Bytes an exchange holds on to while it waits, about.
fn weight(exchange: &Exchange) -> usize {
    let head = exchange.head.as_ref().map_or(0, |head| {
        let fields = head.fields().map(|(name, value)| name.len() + value.len());
        head.target().len() + fields.sum::<usize>()
    });
    let findings = exchange.findings.iter().map(|finding| {
        finding.msg.len() + finding.data.len() + finding.matched.len() + finding.variable.len()
    });
    size_of::<Exchange>() + head + findings.sum::<usize>()
}

/// A thread that panicked with the lock left a list that is still a list.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const RECORD: &str = "decision record";
const ACCESS: &str = "access log";
/// Bytes that may wait in the queue, about.
const QUEUE_BYTES: usize = 64 * 1024 * 1024;
/// Largest configurable queue.
const MAX_QUEUE: usize = 1 << 20;
/// Records taken before commands and sinks are looked at again.
const DRAIN: usize = 1024;
/// Pause under load.
const GATHER: Duration = Duration::from_millis(1);
/// Time for the backlog of outputs that are no longer used.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Milliseconds between two reports of lost records.
const REPORT_MILLIS: u64 = 10_000;

#[cfg(test)]
mod tests;
