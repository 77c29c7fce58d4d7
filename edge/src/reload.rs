//! Loads the configuration again while the gateway runs.
//!
//! Built aside, then swapped: a mistake anywhere leaves the running configuration untouched and is
//! told in the log, in a metric and at `/api/v1/status`. Watches the configuration, every file it
//! includes and every rule file; editors that write by renaming are followed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use edge_core::Diagnostic;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

/// Tells when a watched file changed.
pub(crate) struct Watch {
    watcher: Option<RecommendedWatcher>,
    folders: BTreeSet<PathBuf>,
    changes: mpsc::Receiver<()>,
    files: std::sync::Arc<arc_swap::ArcSwap<BTreeSet<PathBuf>>>,
}

impl Watch {
    /// Starts watching `files`; where the system offers no watching, only SIGHUP reloads.
    pub(crate) fn new(files: impl IntoIterator<Item = PathBuf>) -> Self {
        let (tell, changes) = mpsc::channel(1);
        let known = std::sync::Arc::new(arc_swap::ArcSwap::from_pointee(BTreeSet::new()));
        let watched = known.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let Ok(event) = event else { return };
            let files: arc_swap::Guard<std::sync::Arc<BTreeSet<PathBuf>>> = watched.load();
            let ours = event.paths.iter().any(|path| files.contains(path));
            if ours && !event.kind.is_access() {
                // A full channel already holds the news.
                let _ = tell.try_send(());
            }
        });
        let watcher = watcher
            .inspect_err(|error| tracing::warn!(%error, "files are not watched; use SIGHUP"))
            .ok();
        let mut watch = Self {
            watcher,
            folders: BTreeSet::new(),
            changes,
            files: known,
        };
        watch.follow(files);
        watch
    }

    /// Watches these files from now on, by their folders: a renamed-over file stays watched.
    pub(crate) fn follow(&mut self, files: impl IntoIterator<Item = PathBuf>) {
        let files: BTreeSet<PathBuf> = files
            .into_iter()
            .filter_map(|file| file.canonicalize().ok())
            .collect();
        let folders: BTreeSet<PathBuf> = files
            .iter()
            .filter_map(|file| file.parent().map(Path::to_path_buf))
            .collect();
        if let Some(watcher) = &mut self.watcher {
            for gone in self.folders.difference(&folders) {
                let _ = watcher.unwatch(gone);
            }
            for new in folders.difference(&self.folders) {
                if let Err(error) = watcher.watch(new, RecursiveMode::NonRecursive) {
                    tracing::warn!(folder = %new.display(), %error, "folder is not watched");
                }
            }
        }
        self.folders = folders;
        self.files.store(std::sync::Arc::new(files));
    }

    /// Waits for a change, then for quiet: editors write in several steps.
    pub(crate) async fn changed(&mut self) {
        if self.changes.recv().await.is_none() {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(QUIET).await;
            if self.changes.try_recv().is_err() {
                return;
            }
        }
    }
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

const QUIET: Duration = Duration::from_millis(200);
