//! A place lines are written to: batches, retries, whole lines only.
//!
//! A [`Sink`] collects lines and hands many of them to one `write`. What could not be written stays
//! and is tried again, from the very byte where the disk gave up, so a line is never torn in two by
//! a full disk and two lines never merge. The backlog is bounded: beyond it whole lines are counted
//! as lost. It runs on the writer thread alone; nothing here may be called from the request path.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::metrics::SinkCounters;
use crate::spec::Output;

/// Lines on their way to one output.
pub(crate) struct Sink {
    name: &'static str,
    medium: Box<dyn Medium>,
    /// Lines not yet written, each with its line end.
    backlog: Vec<u8>,
    /// Bytes of the backlog that are written already.
    written: usize,
    /// Where each waiting entry ends: most are one line, some are several that belong together.
    ends: VecDeque<usize>,
    /// Where in the backlog the entry begins whose bytes are written next.
    begun: usize,
    counters: SinkCounters,
    trouble: Option<Trouble>,
}

/// What lines are written to.
pub(crate) trait Medium: Send {
    /// Writes some of `bytes` and says how many.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// Opens the output again under its name; on error the old one stays in use.
    fn reopen(&mut self) -> io::Result<()>;
}

/// The output refuses to take lines.
struct Trouble {
    retry: Instant,
    report: Instant,
    reported: bool,
    lost: u64,
}

impl Sink {
    /// Opens `output`; `None` if it is off. `name` is how reports call this sink.
    pub(crate) fn open(
        name: &'static str,
        output: &Output,
        counters: SinkCounters,
    ) -> io::Result<Option<Self>> {
        Self::open_with(name, output, MODE, counters)
    }

    /// As [`Sink::open`]; a file that is made gets this mode.
    pub(crate) fn open_with(
        name: &'static str,
        output: &Output,
        mode: u32,
        counters: SinkCounters,
    ) -> io::Result<Option<Self>> {
        let medium: Box<dyn Medium> = match output {
            Output::Off => return Ok(None),
            Output::Stdout => Box::new(Stdout(duplicate(io::stdout().as_fd())?)),
            Output::Stderr => Box::new(Stderr(duplicate(io::stderr().as_fd())?)),
            Output::File(path) => Box::new(LogFile::open(path, mode)?),
        };
        Ok(Some(Self::new(name, medium, counters)))
    }

    pub(crate) fn new(name: &'static str, medium: Box<dyn Medium>, counters: SinkCounters) -> Self {
        Self {
            name,
            medium,
            backlog: Vec::with_capacity(BATCH),
            written: 0,
            ends: VecDeque::new(),
            begun: 0,
            counters,
            trouble: None,
        }
    }

    /// Adds one line, made by `write` without its line end; counts it as lost if the backlog is full.
    pub(crate) fn line(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.backlog.len() >= BACKLOG {
            self.lose(1);
            return;
        }
        write(&mut self.backlog);
        self.backlog.push(b'\n');
        self.ends.push_back(self.backlog.len());
    }

    /// Whether enough lines wait for a write to be worth it.
    pub(crate) fn is_batch(&self) -> bool {
        self.backlog.len() >= BATCH
    }

    /// When to try again, if the output is in trouble.
    pub(crate) fn retry(&self) -> Option<Instant> {
        self.trouble.as_ref().map(|trouble| trouble.retry)
    }

    /// Writes what waits, unless the output is in trouble and it is too early to try again.
    pub(crate) fn flush(&mut self, now: Instant) {
        if self.retry().is_some_and(|retry| now < retry) {
            return;
        }
        while let Some(rest) = self
            .backlog
            .get(self.written..)
            .filter(|rest| !rest.is_empty())
        {
            match self.medium.write(rest) {
                Ok(0) => return self.failed(now, &ErrorKind::WriteZero.into()),
                Ok(count) => self.advance(count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return self.failed(now, &error),
            }
        }
        self.backlog.clear();
        // One burst must not keep its memory for ever.
        self.backlog.shrink_to(2 * BATCH);
        self.ends.clear();
        (self.written, self.begun) = (0, 0);
        if let Some(Trouble {
            reported: true,
            lost,
            ..
        }) = self.trouble.take()
        {
            tracing::info!(sink = self.name, lost, "writing again");
        }
    }

    /// Closes and opens the output, after its file was renamed. A line that is half in the old
    /// output is finished there or, if that cannot be, counted as lost; it never starts the new one.
    pub(crate) fn reopen(&mut self, now: Instant) {
        if let Some(trouble) = &mut self.trouble {
            trouble.retry = now;
        }
        self.flush(now);
        if let Err(error) = self.medium.reopen() {
            self.counters.errors.inc();
            tracing::warn!(sink = self.name, %error, "cannot reopen, the old file stays in use");
            return;
        }
        self.drop_torn_line();
        if let Some(trouble) = &mut self.trouble {
            trouble.retry = now;
        }
        self.flush(now);
    }

    /// Gives up what is left, at the end of a shutdown.
    pub(crate) fn abandon(&mut self) -> u64 {
        let lost = self.ends.len() as u64;
        self.lose(lost);
        self.backlog.clear();
        self.ends.clear();
        (self.written, self.begun) = (0, 0);
        lost
    }

    fn advance(&mut self, count: usize) {
        self.written = self.backlog.len().min(self.written + count);
        while let Some(end) = self
            .ends
            .front()
            .copied()
            .filter(|end| *end <= self.written)
        {
            self.ends.pop_front();
            self.begun = end;
            self.counters.written.inc();
        }
    }

    fn failed(&mut self, now: Instant, error: &io::Error) {
        // Make room: only the written bytes of a torn line are remembered, by starting after them.
        let torn = self.torn_line();
        self.forget(self.written);
        if torn {
            // Kept as a mark that the first line in the backlog is the rest of one.
            self.backlog.insert(0, TORN);
            self.ends.iter_mut().for_each(|end| *end += 1);
            self.written = 1;
        }
        // A pipe whose reader is slow is tried again soon, and no news unless it lasts.
        let (pause, grace) = match error.kind() {
            ErrorKind::WouldBlock => (RETRY_PIPE, RETRY),
            _ => (RETRY, Duration::ZERO),
        };
        let trouble = self.trouble.get_or_insert(Trouble {
            retry: now,
            report: now + grace,
            reported: false,
            lost: 0,
        });
        trouble.retry = now + pause;
        if grace.is_zero() || now >= trouble.report {
            self.counters.errors.inc();
        }
        if now >= trouble.report {
            trouble.report = now + REPORT;
            trouble.reported = true;
            let lost = trouble.lost;
            tracing::error!(sink = self.name, %error, lost, "cannot write, will try again");
        }
    }

    /// Whether the written part of the backlog ends inside an entry.
    fn torn_line(&self) -> bool {
        self.written > self.begun
    }

    fn drop_torn_line(&mut self) {
        if !self.torn_line() {
            return;
        }
        let end = self.ends.pop_front().unwrap_or(self.backlog.len());
        self.forget(end);
        self.lose(1);
    }

    /// Lets go of the first `count` bytes of the backlog.
    fn forget(&mut self, count: usize) {
        self.backlog.drain(..count.min(self.backlog.len()));
        self.ends
            .iter_mut()
            .for_each(|end| *end = end.saturating_sub(count));
        (self.written, self.begun) = (0, 0);
    }

    fn lose(&mut self, count: u64) {
        self.counters.dropped.inc_by(count);
        if let Some(trouble) = &mut self.trouble {
            trouble.lost += count;
        }
    }
}

fn duplicate(fd: std::os::fd::BorrowedFd<'_>) -> io::Result<File> {
    Ok(File::from(fd.try_clone_to_owned()?))
}

/// Standard output, past the line buffer of the standard library. The lock keeps whole batches
/// apart from whatever else writes there.
struct Stdout(File);

impl Medium for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _apart = io::stdout().lock();
        self.0.write(bytes)
    }

    fn reopen(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Standard error, shared with the log; see [`Stdout`].
struct Stderr(File);

impl Medium for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _apart = io::stderr().lock();
        self.0.write(bytes)
    }

    fn reopen(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file that is appended to.
struct LogFile {
    path: PathBuf,
    mode: u32,
    file: File,
    /// Nothing was written since it was opened. Before the first line is, a line that somebody else
    /// left half written (a process that died, a full disk) is ended.
    fresh: bool,
}

impl LogFile {
    fn open(path: &Path, mode: u32) -> io::Result<Self> {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(mode)
            .open(path)?;
        let path = path.to_owned();
        Ok(Self {
            path,
            mode,
            file,
            fresh: true,
        })
    }
}

impl Medium for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.fresh {
            if ends_inside_a_line(&self.path, &self.file) && self.file.write(b"\n")? == 0 {
                return Ok(0);
            }
            self.fresh = false;
        }
        self.file.write(bytes)
    }

    fn reopen(&mut self) -> io::Result<()> {
        *self = Self::open(&self.path, self.mode)?;
        Ok(())
    }
}

/// Whether `output` could be opened, without creating or changing anything.
pub(crate) fn probe(output: &Output) -> io::Result<()> {
    let Output::File(path) = output else {
        return Ok(());
    };
    match path.metadata() {
        Ok(found) if found.is_dir() => Err(ErrorKind::IsADirectory.into()),
        Ok(found) if found.is_file() => OpenOptions::new().append(true).open(path).map(drop),
        // A pipe or a device: opening one can block or have effects.
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let folder = path
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty());
            writable(folder.unwrap_or(Path::new(".")))
        }
        Err(error) => Err(error),
    }
}

/// Whether files could be made in `folder`.
pub(crate) fn probe_folder(folder: &Path) -> io::Result<()> {
    writable(if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    })
}

/// Whether a file could be made in `folder`: asks for one without a name, which nobody ever sees.
fn writable(folder: &Path) -> io::Result<()> {
    if !folder.metadata()?.is_dir() {
        return Err(ErrorKind::NotADirectory.into());
    }
    let mut nameless = OpenOptions::new();
    nameless.write(true).custom_flags(libc::O_TMPFILE);
    match nameless.open(folder) {
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem
            ) =>
        {
            Err(error)
        }
        // Not every file system can do that; then nothing is known.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Looks at the last byte; anything but a regular file that can be read ends cleanly.
fn ends_inside_a_line(path: &Path, file: &File) -> bool {
    let look = || {
        if !file.metadata()?.is_file() || file.metadata()?.len() == 0 {
            return Ok(false);
        }
        let mut reader = File::open(path)?;
        reader.seek(SeekFrom::End(-1))?;
        let mut last = [0];
        reader.read_exact(&mut last)?;
        Ok::<_, io::Error>(last != *b"\n")
    };
    look().unwrap_or(false)
}

/// Mode of files that are made.
const MODE: u32 = 0o640;
/// Bytes that make a write worth it while more lines wait.
const BATCH: usize = 128 * 1024;
/// Bytes that may wait for an output in trouble.
const BACKLOG: usize = 4 * 1024 * 1024;
/// Time between two attempts.
const RETRY: Duration = Duration::from_millis(500);
/// Time between two attempts on a full pipe.
const RETRY_PIPE: Duration = Duration::from_millis(5);
/// Time between two reports of the same trouble.
const REPORT: Duration = Duration::from_secs(10);
/// Stands for the written part of a torn line.
const TORN: u8 = 0;

#[cfg(test)]
mod tests;
