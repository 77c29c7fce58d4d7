//! What rule sets share, and what outlives them when rules are loaded anew.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use crate::compile::read_database;
use crate::geo::Geo;
use crate::store::{MemoryStore, Store};

/// One for a process: give it to every [`crate::Loader`].
#[derive(Debug)]
pub struct Kept {
    store: Arc<dyn Store>,
    databases: Mutex<HashMap<PathBuf, Opened>>,
}

/// A database that could be read once.
#[derive(Debug)]
struct Opened {
    stamp: Option<Stamp>,
    geo: Arc<Geo>,
}

/// Length and time of the last change: a file that has the same is not read again.
type Stamp = (u64, SystemTime);

impl Kept {
    /// Persistent collections live in `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            databases: Mutex::default(),
        }
    }

    /// Where persistent collections live.
    pub(crate) fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store)
    }

    /// The database at `path`. Where the file cannot be used any more, its last good copy stays, with
    /// a complaint.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub(crate) fn geo(&self, path: &Path) -> Result<(Arc<Geo>, Option<String>), String> {
        let mut databases = self
            .databases
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let stamp = stamp(path);
        let known = databases.get(path);
        if let Some(known) = known.filter(|known| stamp.is_some() && known.stamp == stamp) {
            return Ok((Arc::clone(&known.geo), None));
        }
        match read_database(path).and_then(Geo::open) {
            Ok(geo) => {
                let geo = Arc::new(geo);
                let opened = Opened {
                    stamp,
                    geo: Arc::clone(&geo),
                };
                databases.insert(path.to_path_buf(), opened);
                Ok((geo, None))
            }
            Err(error) => match known {
                Some(known) => Ok((
                    Arc::clone(&known.geo),
                    Some(format!("the copy read before stays in use: {error}")),
                )),
                None => Err(error),
            },
        }
    }
}

impl Default for Kept {
    fn default() -> Self {
        Self::new(Arc::new(MemoryStore::default()))
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.len(), metadata.modified().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::sample::{Node, database};

    #[test]
    fn a_database_is_read_once_and_its_last_good_copy_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("geo.mmdb");
        let kept = Kept::default();
        assert!(kept.geo(&path).is_err());
        let node = Node::map(&[("country", Node::Text("NO"))]);
        fs::write(&path, database(&[("192.0.2.0/24", &node)])).unwrap();
        let (first, _) = kept.geo(&path).unwrap();
        let (second, complaint) = kept.geo(&path).unwrap();
        assert!(Arc::ptr_eq(&first, &second) && complaint.is_none());
        fs::write(&path, "half a file").unwrap();
        let (third, complaint) = kept.geo(&path).unwrap();
        assert!(Arc::ptr_eq(&first, &third));
        assert!(complaint.unwrap().contains("no MaxMind DB file"));
    }
}
