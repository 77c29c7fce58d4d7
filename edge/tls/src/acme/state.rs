//! The state folder: accounts, keys, certificates and what happened to them.
//!
//! ```text
//! STATE/                    0700
//!   lock                    held by the one process that orders
//!   accounts/NAME.json      the account's address and key; NAME.staging.json likewise
//!   certificates/ID.pem     key and chain in one file: they are never apart
//!   certificates/ID.json    the journal: names, failures, when to try again
//! ```
//!
//! Every file is written aside, flushed, and renamed over the old one; the folder is flushed too. So a
//! crash leaves the old file or the new one. A file that cannot be read is renamed to `NAME.bad`, never
//! deleted. Folders that others may enter are refused.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// An open state folder.
#[derive(Debug, Clone)]
pub(crate) struct State {
    root: PathBuf,
}

impl State {
    /// Opens the folder, and makes it where it is missing.
    ///
    /// # Errors
    /// It cannot be made or written, or others may enter it.
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        let said =
            |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", root.display()));
        for folder in [
            root.to_owned(),
            root.join(ACCOUNTS),
            root.join(CERTIFICATES),
        ] {
            make(&folder).map_err(said)?;
        }
        let state = Self {
            root: root.to_owned(),
        };
        // Asked now, so that a full or read-only disk shows before an order is paid for.
        state.probe().map_err(said)?;
        Ok(state)
    }

    /// Waits for nobody: `None` if another process holds the folder.
    pub(crate) fn try_lock(&self) -> io::Result<Option<File>> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(self.root.join("lock"))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }

    /// The text of a certificate with its key; `None` if there is none.
    pub(crate) fn certificate(&self, id: &str) -> io::Result<Option<String>> {
        read(&self.certificate_path(id))
    }

    pub(crate) fn save_certificate(&self, id: &str, pem: &str) -> io::Result<()> {
        write(&self.certificate_path(id), pem.as_bytes())
    }

    /// Where a certificate lies.
    pub(crate) fn certificate_path(&self, id: &str) -> PathBuf {
        self.root.join(CERTIFICATES).join(format!("{id}.pem"))
    }

    /// What happened to a certificate; a file that cannot be read is set aside.
    pub(crate) fn journal<T: DeserializeOwned + Default>(&self, id: &str) -> T {
        self.read_json(&self.journal_path(id)).unwrap_or_default()
    }

    pub(crate) fn save_journal(&self, id: &str, journal: &impl Serialize) -> io::Result<()> {
        write_json(&self.journal_path(id), journal)
    }

    /// Every certificate there is a journal of.
    pub(crate) fn ids(&self) -> Vec<String> {
        let entries = fs::read_dir(self.root.join(CERTIFICATES));
        let mut ids: Vec<String> = entries
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                Some(name.strip_suffix(".json")?.to_owned())
            })
            .filter(|id| !id.starts_with('.'))
            .collect();
        ids.sort();
        ids
    }

    pub(crate) fn account<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        self.read_json(&self.account_path(name))
    }

    pub(crate) fn save_account(&self, name: &str, account: &impl Serialize) -> io::Result<()> {
        write_json(&self.account_path(name), account)
    }

    /// Sets an account aside that the authority does not know any more.
    pub(crate) fn forget_account(&self, name: &str) {
        set_aside(&self.account_path(name), "the authority does not know it");
    }

    fn account_path(&self, name: &str) -> PathBuf {
        self.root.join(ACCOUNTS).join(format!("{name}.json"))
    }

    fn journal_path(&self, id: &str) -> PathBuf {
        self.root.join(CERTIFICATES).join(format!("{id}.json"))
    }

    fn read_json<T: DeserializeOwned>(&self, path: &Path) -> Option<T> {
        let text = match read(path) {
            Ok(text) => text?,
            Err(error) => {
                unreadable(path, &error);
                return None;
            }
        };
        serde_json::from_str(&text)
            // Not the error itself: it may quote what is in the file.
            .map_err(|error| {
                let at = format!("not what was written: line {}", error.line());
                set_aside(path, &at);
            })
            .ok()
    }

    fn probe(&self) -> io::Result<()> {
        let path = self.root.join(".probe");
        write(&path, b"palisade")?;
        fs::remove_file(path)
    }
}

/// Says that a file could not be read. What reading failed on may be over soon, so the file stays where it
/// is; only what cannot be text is set aside.
pub(crate) fn unreadable(path: &Path, error: &io::Error) {
    if error.kind() == io::ErrorKind::InvalidData {
        return set_aside(path, &error.to_string());
    }
    tracing::error!(file = %path.display(), %error, "ACME state: file cannot be read");
}

/// Renames a file that is of no use, so that somebody may look at it.
pub(crate) fn set_aside(path: &Path, why: &str) {
    let mut bad = path.as_os_str().to_owned();
    bad.push(".bad");
    let renamed = fs::rename(path, &bad);
    let kept = renamed.is_ok();
    tracing::error!(file = %path.display(), why, kept_as_bad = kept, "ACME state: file set aside");
}

/// Reads a file of the operator's, bounded.
pub(crate) fn read_bounded(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    #[expect(clippy::disallowed_methods, reason = "bounded by take")]
    File::open(path)?.take(MAX_FILE).read_to_string(&mut text)?;
    Ok(text)
}

fn read(path: &Path) -> io::Result<Option<String>> {
    match read_bounded(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn make(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().recursive(true).mode(0o700).create(folder) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let found = fs::metadata(folder)?;
    if !found.is_dir() {
        return Err(io::Error::new(io::ErrorKind::NotADirectory, "not a folder"));
    }
    if found.mode() & 0o077 != 0 {
        let message = format!(
            "others may enter {} (mode {:o}), and it holds private keys: chmod 700 it",
            folder.display(),
            found.mode() & 0o777
        );
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    }
    Ok(())
}

fn write_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_vec_pretty(value).map_err(io::Error::other)?;
    text.push(b'\n');
    write(path, &text)
}

/// The old file or the new one, whatever happens.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".new");
    let aside = folder.join(name);
    let written = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&aside)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&aside, path))
        .and_then(|()| File::open(folder)?.sync_all());
    written
        .inspect_err(|_| {
            // Half a file beside the old one is of no use to anybody.
            let _ = fs::remove_file(&aside);
        })
        .map_err(named)
}

const ACCOUNTS: &str = "accounts";
const CERTIFICATES: &str = "certificates";
const MAX_FILE: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn folders_and_files_are_for_the_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("deep/state");
        let state = State::open(&root).unwrap();
        state.save_certificate("a", "key").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode(&root), 0o700);
        assert_eq!(mode(&root.join(CERTIFICATES)), 0o700);
        assert_eq!(mode(&state.certificate_path("a")), 0o600);
        assert_eq!(state.certificate("a").unwrap().as_deref(), Some("key"));
    }

    #[test]
    fn a_folder_that_others_may_enter_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let error = State::open(folder.path()).unwrap_err();
        assert!(error.to_string().contains("chmod 700"), "{error}");
    }

    #[test]
    fn a_corrupt_file_is_set_aside_and_not_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("state");
        let state = State::open(&root).unwrap();
        let path = state.journal_path("x");
        fs::write(&path, "{ half").unwrap();
        let journal: Vec<String> = state.journal("x");
        assert!(journal.is_empty());
        let kept = fs::read_to_string(root.join("certificates/x.json.bad")).unwrap();
        assert_eq!(kept, "{ half");
    }

    #[test]
    fn one_process_at_a_time_holds_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(&folder.path().join("state")).unwrap();
        let held = state.try_lock().unwrap();
        assert!(held.is_some());
        assert!(state.try_lock().unwrap().is_none());
        drop(held);
        assert!(state.try_lock().unwrap().is_some());
    }
}
