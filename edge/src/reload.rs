//! Notices that the configuration changed while the gateway runs.
//!
//! Loading is built aside, then swapped: a mistake anywhere leaves the running configuration untouched
//! and is told in the log, in a metric and at `/api/v1/status`. Watched are the configuration, every
//! file it includes, every rule file, and the folders that are searched for them. Files are watched by
//! their folders and through every symbolic link on the way, so that editors that write by renaming and
//! volumes that are swapped by a link (Kubernetes) are followed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use edge_config::Change;
use edge_core::Diagnostic;
use notify::event::{AccessKind, AccessMode, CreateKind, ModifyKind};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

/// Tells when a watched file changed.
pub(crate) struct Watch {
    watcher: Option<RecommendedWatcher>,
    changes: mpsc::Receiver<()>,
    /// What changed since it was last asked for.
    news: Arc<Mutex<News>>,
    /// The last change was not taken over.
    unsettled: bool,
    /// As the configuration names them.
    files: BTreeSet<PathBuf>,
    watched: Arc<ArcSwap<Watched>>,
}

/// What changed.
#[derive(Debug, Default)]
struct News {
    files: BTreeSet<PathBuf>,
    /// Files that somebody writes and has not closed yet.
    open: BTreeSet<PathBuf>,
    /// More than `files`.
    everything: bool,
}

impl News {
    fn add(&mut self, kind: EventKind, path: PathBuf) {
        self.everything |= self.files.len() >= MAX_NEWS;
        if self.everything {
            return;
        }
        match kind {
            EventKind::Create(CreateKind::File) | EventKind::Modify(ModifyKind::Data(_)) => {
                self.open.insert(path.clone());
            }
            _ => {
                self.open.remove(&path);
            }
        }
        self.files.insert(path);
    }

    /// Whether a file may be half written.
    fn is_any(&self) -> bool {
        self.everything || !self.files.is_empty()
    }

    fn is_unfinished(&self) -> bool {
        !self.open.is_empty()
    }
}

/// Opening and reading is no change; closing ends one.
fn is_change(kind: EventKind) -> bool {
    kind == EventKind::Access(AccessKind::Close(AccessMode::Write)) || !kind.is_access()
}

/// What counts as a change.
#[derive(Debug, Default)]
struct Watched {
    /// Files, links on the way to them, and folders that may appear.
    paths: BTreeSet<PathBuf>,
    /// Folders in which every entry counts.
    whole: BTreeSet<PathBuf>,
    /// Folders the system watches for us.
    folders: BTreeSet<PathBuf>,
}

impl Watch {
    /// Starts watching `files`; where the system offers no watching, only SIGHUP reloads.
    pub(crate) fn new(files: impl IntoIterator<Item = PathBuf>) -> Self {
        let (tell, changes) = mpsc::channel(1);
        let watched = Arc::new(ArcSwap::from_pointee(Watched::default()));
        let known = watched.clone();
        let news = Arc::new(Mutex::new(News::default()));
        let noted = news.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
            match event {
                // Events were lost: the kernel's queue is bounded.
                Ok(event) if event.need_rescan() => noted.everything = true,
                Ok(event) if !is_change(event.kind) => return,
                Ok(event) => {
                    let known = known.load();
                    let mut paths = event.paths.into_iter();
                    let Some(first) = paths.find(|path| known.contains(path)) else {
                        return;
                    };
                    noted.add(event.kind, first);
                    for path in paths.filter(|path| known.contains(path)) {
                        noted.add(event.kind, path);
                    }
                }
                Err(_) => noted.everything = true,
            }
            // A full channel already holds the news.
            let _ = tell.try_send(());
        });
        let watcher = watcher
            .inspect_err(|error| tracing::warn!(%error, "files are not watched; use SIGHUP"))
            .ok();
        let mut watch = Self {
            watcher,
            changes,
            news,
            unsettled: false,
            files: BTreeSet::new(),
            watched,
        };
        watch.follow(files);
        watch
    }

    /// Watches these files and folders from now on, and no others.
    pub(crate) fn follow(&mut self, files: impl IntoIterator<Item = PathBuf>) {
        self.files = files.into_iter().collect();
        let watched = Watched::new(&self.files);
        let before = self.watched.load_full();
        if let Some(watcher) = &mut self.watcher {
            for gone in before.folders.difference(&watched.folders) {
                let _ = watcher.unwatch(gone);
            }
            // Also those that are watched: one may have been deleted and made again.
            for folder in &watched.folders {
                if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
                    tracing::warn!(folder = %folder.display(), %error, "folder is not watched");
                }
            }
        }
        self.watched.store(Arc::new(watched));
    }

    /// Watches these files besides those that are watched.
    pub(crate) fn follow_too(&mut self, files: impl IntoIterator<Item = PathBuf>) {
        let mut all = std::mem::take(&mut self.files);
        all.extend(files);
        self.follow(all);
    }

    fn news(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last change was taken over.
    pub(crate) const fn settled(&mut self) {
        self.unsettled = false;
    }

    /// Whether the last change was refused.
    pub(crate) const fn is_unsettled(&self) -> bool {
        self.unsettled
    }

    /// The last change was refused: the next one concerns everything that was changed since.
    pub(crate) const fn unsettled(&mut self) {
        self.unsettled = true;
    }

    /// Waits for a change, then for quiet, though not for ever: editors write in several steps.
    pub(crate) async fn changed(&mut self) -> Change {
        // Whoever waited before may have taken the sign and gone away without the news.
        let known = self.news().is_any();
        if !known && self.changes.recv().await.is_none() {
            return std::future::pending().await;
        }
        for _ in 0..MAX_QUIET {
            tokio::time::sleep(QUIET).await;
            if self.changes.try_recv().is_err() && !self.news().is_unfinished() {
                break;
            }
        }
        let News {
            files, everything, ..
        } = std::mem::take(&mut *self.news());
        if everything || self.unsettled {
            Change::Everything
        } else {
            Change::Files(files)
        }
    }
}

impl Watched {
    fn new(files: &BTreeSet<PathBuf>) -> Self {
        let mut watched = Self::default();
        for path in files.iter().flat_map(|file| trail(file)) {
            if path.is_dir() && !path.is_symlink() {
                watched.folders.insert(path.clone());
                watched.whole.insert(path.clone());
            }
            // Of a path that does not exist, the first part that is missing will appear first.
            let mut missing = path.as_path();
            while let Some(parent) = missing.parent() {
                watched.paths.insert(missing.to_owned());
                if parent.is_dir() {
                    watched.folders.insert(parent.to_owned());
                    break;
                }
                missing = parent;
            }
        }
        watched
    }

    /// Whether something at `path` is a change. Hidden files in folders are those of editors.
    fn contains(&self, path: &Path) -> bool {
        let hidden = || {
            let name = path.file_name().unwrap_or_default();
            name.as_encoded_bytes().starts_with(b".")
        };
        let inside = |folder: &Path| self.whole.contains(folder) && !hidden();
        self.paths.contains(path) || path.parent().is_some_and(inside)
    }
}

/// Every symbolic link on the way to `file`, and where the way ends; none has a link before its name.
fn trail(file: &Path) -> Vec<PathBuf> {
    let here = file.as_os_str().is_empty();
    let Ok(mut path) = std::path::absolute(if here { Path::new(".") } else { file }) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for _ in 0..MAX_LINKS {
        let mut at = PathBuf::new();
        let mut rest = path.components();
        let mut next = None;
        while let Some(part) = rest.next() {
            if part == Component::ParentDir {
                at.pop();
            } else {
                at.push(part);
            }
            if let Ok(target) = fs::read_link(&at) {
                found.push(at.clone());
                at.pop();
                next = Some(at.join(target).join(rest.as_path()));
                break;
            }
        }
        match next {
            Some(next) => path = next,
            None => {
                found.push(at);
                break;
            }
        }
    }
    found
}

/// Logs why a reload was refused, one event a mistake.
pub(crate) fn refused(mistakes: &[Diagnostic]) {
    tracing::error!(
        mistakes = mistakes.len(),
        "configuration not loaded; the old one stays"
    );
    for mistake in mistakes {
        tracing::error!("{mistake}");
    }
}

const QUIET: Duration = Duration::from_millis(5);
/// A folder that is written all the time, or a file that is not closed, is looked at after this many.
const MAX_QUIET: usize = 40;
/// Of more files it is not noted which.
const MAX_NEWS: usize = 1000;
/// As the kernel has it.
const MAX_LINKS: usize = 40;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn watched(files: &[PathBuf]) -> Watched {
        Watched::new(&files.iter().cloned().collect())
    }

    #[test]
    fn a_swapped_volume_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir(root.join("..2026_1")).unwrap();
        fs::write(root.join("..2026_1/palisade.yaml"), "").unwrap();
        symlink("..2026_1", root.join("..data")).unwrap();
        symlink("..data/palisade.yaml", root.join("palisade.yaml")).unwrap();
        let watched = watched(&[root.join("palisade.yaml")]);
        for change in ["palisade.yaml", "..data", "..2026_1/palisade.yaml"] {
            assert!(watched.contains(&root.join(change)), "{change}");
        }
        for other in ["palisade-audit.jsonl", "..2026_2"] {
            assert!(!watched.contains(&root.join(other)), "{other}");
        }
    }

    #[test]
    fn a_new_file_in_a_searched_folder_is_a_change_and_an_editors_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let conf_d = root.join("conf.d");
        let before = watched(std::slice::from_ref(&conf_d));
        assert!(before.contains(&conf_d), "the folder may appear");
        assert_eq!(before.folders, [root].into());
        fs::create_dir(&conf_d).unwrap();
        let after = watched(std::slice::from_ref(&conf_d));
        assert!(after.contains(&conf_d.join("new.yaml")));
        assert!(!after.contains(&conf_d.join(".new.yaml.swp")));
    }

    #[test]
    fn links_in_a_circle_end() {
        let folder = tempfile::tempdir().unwrap();
        symlink("b", folder.path().join("a")).unwrap();
        symlink("a", folder.path().join("b")).unwrap();
        assert_eq!(trail(&folder.path().join("a")).len(), MAX_LINKS);
    }
}
