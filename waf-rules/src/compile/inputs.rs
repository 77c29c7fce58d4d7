//! What a rule set was made from: every file that was read and every pattern that was resolved.
//!
//! Kept so that a host can ask, before it compiles the same sources again, whether the answer could
//! differ. Contents are compared, not times: a file that was written again unchanged is unchanged.
//! What is remembered of a file is its length and a keyed 64-bit hash; nobody who does not write the
//! files can make two alike, and whoever writes them need not.

use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::files;

/// The files and folders a rule set was made from, and what was found there.
#[derive(Debug, Default)]
pub struct Inputs {
    answers: Vec<Answer>,
    keys: RandomState,
}

/// A question to the file system, and a digest of its answer.
#[derive(Debug)]
enum Answer {
    File {
        path: PathBuf,
        digest: Digest,
    },
    Listing {
        directory: PathBuf,
        pattern: String,
        digest: u64,
    },
    /// Too big to be read to see whether it changed.
    Database {
        path: PathBuf,
        stamp: Stamp,
    },
}

/// Length and time of the last change; `None`: there is no such file.
type Stamp = Option<(u64, SystemTime)>;

/// Length and hash of a file; `None`: it could not be read.
type Digest = Option<(usize, u64)>;

impl Inputs {
    /// Reads a file; see [`files::read`].
    pub(super) fn read(&mut self, path: &Path) -> Result<Vec<u8>, String> {
        let read = files::read(path);
        let digest = self.digest(read.as_deref().ok());
        self.answers.push(Answer::File {
            path: path.to_path_buf(),
            digest,
        });
        read
    }

    /// Resolves a pattern; see [`files::expand`].
    pub(super) fn expand(
        &mut self,
        directory: &Path,
        pattern: &str,
    ) -> Result<Vec<PathBuf>, String> {
        let found = files::expand(directory, pattern);
        let digest = self.keys.hash_one(found.as_deref().ok());
        self.answers.push(Answer::Listing {
            directory: directory.to_path_buf(),
            pattern: pattern.to_owned(),
            digest,
        });
        found
    }

    /// Notes a database, which whoever opens it reads.
    pub(super) fn database(&mut self, path: &Path) {
        self.answers.push(Answer::Database {
            path: path.to_path_buf(),
            stamp: stamp(path),
        });
    }

    /// Every file that could be read.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.answers.iter().filter_map(|answer| match answer {
            Answer::File { path, digest } => digest.and(Some(path.as_path())),
            Answer::Database { path, .. } => Some(path.as_path()),
            Answer::Listing { .. } => None,
        })
    }

    /// True if every file still holds what was read from it, and every pattern means the same files:
    /// loading the same sources again would give the same rules.
    #[must_use]
    pub fn unchanged(&self) -> bool {
        self.answers.iter().all(|answer| match answer {
            Answer::File { path, digest } => {
                self.digest(files::read(path).as_deref().ok()) == *digest
            }
            Answer::Database { path, stamp: known } => stamp(path) == *known,
            Answer::Listing {
                directory,
                pattern,
                digest,
            } => {
                let found = files::expand(directory, pattern);
                self.keys.hash_one(found.as_deref().ok()) == *digest
            }
        })
    }

    fn digest(&self, bytes: Option<&[u8]>) -> Digest {
        bytes.map(|bytes| (bytes.len(), self.keys.hash_one(bytes)))
    }
}

fn stamp(path: &Path) -> Stamp {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.len(), metadata.modified().ok()?))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::Loader;

    #[test]
    fn a_change_of_any_input_is_seen_and_a_second_look_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let write = |name: &str, text: &str| fs::write(at(name), text).unwrap();
        write(
            "a.conf",
            "Include sub.inc\nSecRule ARGS \"@pmFromFile words\" \"id:1,phase:2,deny\"",
        );
        write("sub.inc", "SecAction \"id:2,phase:1,pass\"");
        write("words", "one\n");
        let load = || {
            let pattern = at("*.conf").display().to_string();
            Loader::new().files(&pattern, true).load().unwrap().inputs
        };
        let inputs = load();
        assert!(inputs.unchanged());
        write("words", "one\n");
        write("other", "not read");
        assert!(inputs.unchanged(), "nothing that was read is different");
        write("words", "two\n");
        assert!(!inputs.unchanged(), "a data file");
        let inputs = load();
        write("sub.inc", "SecAction \"id:3,phase:1,pass\"");
        assert!(!inputs.unchanged(), "an included file");
        let inputs = load();
        write("b.conf", "");
        assert!(!inputs.unchanged(), "a new file that fits the pattern");
        let inputs = load();
        fs::remove_file(at("b.conf")).unwrap();
        assert!(!inputs.unchanged(), "a file that went away");
    }
}
