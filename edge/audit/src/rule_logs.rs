//! Logs that rule sets name themselves: ModSecurity's audit logs.
//!
//! Entries come rendered; here is where they go. Several rule sets may name one file: it is opened
//! once, and an entry is never torn apart by another. Runs on the writer thread alone.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::metrics::SinkCounters;
use crate::sink::{self, Sink};
use crate::spec::Output;

/// Files and folders that rule sets write audit entries to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RuleLogs {
    /// Files that are appended to, each with the mode it is made with.
    pub files: BTreeMap<Arc<Path>, u32>,
    /// Folders with one file an entry.
    pub folders: Vec<Arc<Path>>,
}

/// An audit entry on its way to its files.
#[derive(Debug)]
pub struct RuleEntry {
    /// The files `text` is appended to.
    pub logs: Vec<Arc<Path>>,
    /// One line or several, without the last line end.
    pub text: Vec<u8>,
    /// A file that holds this entry alone, written before `text` is.
    pub file: Option<RuleEntryFile>,
}

/// A file that holds one entry.
#[derive(Debug)]
pub struct RuleEntryFile {
    /// Its path; the folders on the way are made.
    pub path: PathBuf,
    /// What it holds.
    pub content: Vec<u8>,
    /// Mode of folders that are made.
    pub dir_mode: u32,
    /// Mode of the file.
    pub file_mode: u32,
}

impl RuleEntry {
    /// Bytes the entry holds on to while it waits, about.
    pub(crate) fn weight(&self) -> usize {
        let file = self.file.as_ref().map_or(0, |file| file.content.len());
        size_of::<Self>() + self.text.len() + file
    }
}

/// The sinks of all rule logs.
pub(crate) struct RuleSinks {
    sinks: BTreeMap<Arc<Path>, Sink>,
    counters: SinkCounters,
}

impl RuleSinks {
    /// Opens every file; on failure names the path.
    pub(crate) fn open(
        logs: &RuleLogs,
        counters: &SinkCounters,
    ) -> Result<Self, (Output, io::Error)> {
        let mut sinks = BTreeMap::new();
        for (path, mode) in &logs.files {
            let output = output(path);
            let sink = Sink::open_with(NAME, &output, *mode, counters.clone());
            match sink {
                Ok(Some(sink)) => sinks.insert(path.clone(), sink),
                Ok(None) => None,
                Err(error) => return Err((output, error)),
            };
        }
        for folder in &logs.folders {
            if let Err(error) = sink::probe_folder(folder) {
                return Err((Output::File(folder.to_path_buf()), error));
            }
        }
        Ok(Self {
            sinks,
            counters: counters.clone(),
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sinks.is_empty()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Sink> {
        self.sinks.values_mut()
    }

    /// Adds an entry to its logs. One that names a log which is not open any more, after a reload, is
    /// lost and counted, as is one whose own file cannot be written.
    pub(crate) fn add(&mut self, entry: &RuleEntry) {
        if let Some(file) = &entry.file
            && let Err(error) = write_file(file)
        {
            self.counters.errors.inc();
            self.counters.dropped.inc();
            tracing::debug!(%error, path = %file.path.display(), "audit entry not written");
            return;
        }
        for log in &entry.logs {
            match self.sinks.get_mut(log) {
                Some(sink) => sink.line(|out| out.extend_from_slice(&entry.text)),
                None => self.counters.dropped.inc(),
            }
        }
    }
}

/// What could not be opened, without creating or changing anything but nameless files.
pub(crate) fn probe(logs: &RuleLogs) -> Vec<(Output, io::Error)> {
    let files = logs.files.keys().filter_map(|path| {
        let output = output(path);
        let error = sink::probe(&output).err()?;
        Some((output, error))
    });
    let folders = logs.folders.iter().filter_map(|folder| {
        let error = sink::probe_folder(folder).err()?;
        Some((Output::File(folder.to_path_buf()), error))
    });
    files.chain(folders).collect()
}

/// Standard output and error are shared with whatever else writes there.
fn output(path: &Path) -> Output {
    match path.to_str() {
        Some("/dev/stdout") => Output::Stdout,
        Some("/dev/stderr") => Output::Stderr,
        _ => Output::File(path.to_path_buf()),
    }
}

fn write_file(file: &RuleEntryFile) -> io::Result<()> {
    if let Some(folder) = file.path.parent() {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(file.dir_mode).create(folder)?;
    }
    // Never an existing one: the name is new, and a link somebody put there is not followed.
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(file.file_mode)
        .open(&file.path)?
        .write_all(&file.content)
}

/// How reports call these logs.
pub(crate) const NAME: &str = "audit log";

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn entry(logs: Vec<Arc<Path>>, file: Option<RuleEntryFile>) -> RuleEntry {
        RuleEntry {
            logs,
            text: b"a line".to_vec(),
            file,
        }
    }

    #[test]
    fn an_entry_with_a_file_of_its_own_never_overwrites_one() {
        let folder = tempfile::tempdir().unwrap();
        let index: Arc<Path> = folder.path().join("index").into();
        let logs = RuleLogs {
            files: BTreeMap::from([(index.clone(), 0o600)]),
            folders: vec![folder.path().into()],
        };
        assert!(probe(&logs).is_empty());
        let mut sinks = RuleSinks::open(&logs, &SinkCounters::unregistered()).unwrap();
        let path = folder.path().join("day/minute/one");
        let file = |content: &[u8]| RuleEntryFile {
            path: path.clone(),
            content: content.to_vec(),
            dir_mode: 0o750,
            file_mode: 0o600,
        };
        sinks.add(&entry(vec![index.clone()], Some(file(b"first"))));
        sinks.add(&entry(vec![index.clone()], Some(file(b"second"))));
        sinks
            .iter_mut()
            .for_each(|sink| sink.flush(std::time::Instant::now()));
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(fs::read(&index).unwrap(), b"a line\n");
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&index)), (0o600, 0o600));
        assert_eq!(sinks.counters.dropped.get(), 1);
    }

    #[test]
    fn places_that_cannot_be_written_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let logs = RuleLogs {
            files: BTreeMap::from([(folder.path().join("no/such/file").into(), 0o640)]),
            folders: vec![folder.path().join("missing").into()],
        };
        assert_eq!(probe(&logs).len(), 2);
        assert!(RuleSinks::open(&logs, &SinkCounters::unregistered()).is_err());
    }
}
