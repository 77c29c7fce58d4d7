//! From files and folders to certificates.
//!
//! A file whose state did not change since it was read is not read again, so a reload costs what
//! changed. Mistakes in files that the configuration names are errors; in folders they are warnings, and
//! what was right before stays: one broken pair must not keep the others from being renewed.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use edge_core::{Diagnostic, Level, Position};

use crate::certificate::{self, Certificate};
use crate::pem::Stamp;
use crate::settings::Source;
use crate::store::Files;

/// Certificates that were read, by their files.
pub(crate) type Pairs = HashMap<PathBuf, Pair>;

/// A certificate as it was read, and when it has to be read again.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    key: Option<PathBuf>,
    /// `None`: it was written to so recently that it is read again in any case.
    stamps: Option<(Stamp, Option<Stamp>)>,
    certificate: Arc<Certificate>,
    doubts: Vec<String>,
}

/// What became of the sources.
#[derive(Default)]
pub(crate) struct Loaded {
    pub(crate) files: Files,
    pub(crate) pairs: Pairs,
    pub(crate) errors: Vec<Diagnostic>,
    pub(crate) warnings: Vec<Diagnostic>,
}

/// A pair, or the file that cannot be used and why.
type Outcome = Result<Pair, (PathBuf, String)>;

/// A pair that is to be read.
#[derive(Debug, Clone)]
struct Wanted {
    certificate: PathBuf,
    key: Option<PathBuf>,
    /// Whether the configuration names it itself.
    named: bool,
    default: bool,
}

/// Reads all sources; what did not change since `before` is taken from there. `watch` gets every file
/// and folder that was looked at.
pub(crate) fn load(sources: &[Source], before: &Pairs, watch: &mut Vec<PathBuf>) -> Loaded {
    let now = SystemTime::now();
    let mut loaded = Loaded::default();
    let mut wanted = Vec::new();
    for source in sources {
        match source {
            Source::Files {
                certificate,
                key,
                default,
            } => {
                watch.push(certificate.clone());
                watch.extend(key.clone());
                wanted.push(Wanted {
                    certificate: certificate.clone(),
                    key: key.clone(),
                    named: true,
                    default: *default,
                });
            }
            Source::Directory(directory) => {
                watch.push(directory.clone());
                match scan(directory, &mut loaded.warnings, watch) {
                    Ok(found) => wanted.extend(found),
                    Err(why) => loaded.errors.push(diagnostic(Level::Error, directory, why)),
                }
            }
        }
    }
    for (wanted, read) in read_all(&wanted, before, now) {
        loaded.take(wanted, read, before, now);
    }
    let more = loaded.warnings.len().saturating_sub(MAX_WARNINGS);
    if more > 0 {
        loaded.warnings.truncate(MAX_WARNINGS);
        let why = format!("{more} more warnings about certificates are not shown");
        let warning = diagnostic(Level::Warning, "tls".as_ref(), why);
        loaded.warnings.push(warning);
    }
    loaded
}

impl Loaded {
    fn take(&mut self, wanted: Wanted, read: Outcome, before: &Pairs, now: SystemTime) {
        let pair = match (read, before.get(&wanted.certificate)) {
            (Ok(pair), _) => pair,
            (Err((file, why)), _) if wanted.named => {
                self.errors.push(diagnostic(Level::Error, &file, why));
                return;
            }
            (Err((file, why)), Some(old)) => {
                let why = format!("{why}; the certificate that was read before stays");
                self.warnings.push(diagnostic(Level::Warning, &file, why));
                Pair {
                    stamps: None,
                    ..old.clone()
                }
            }
            (Err((file, why)), None) => {
                let why = format!("{why}; left out");
                self.warnings.push(diagnostic(Level::Warning, &file, why));
                return;
            }
        };
        let certificate = Arc::clone(&pair.certificate);
        let mut doubts = pair.doubts.clone();
        if certificate.names.is_empty() && !wanted.default {
            doubts.push("names no host, so it is never shown".into());
        }
        doubts.extend(end(&certificate, now));
        let file = &wanted.certificate;
        let doubts = doubts
            .into_iter()
            .map(|doubt| diagnostic(Level::Warning, file, doubt));
        self.warnings.extend(doubts);
        if wanted.default && !self.files.default.add_default(&certificate) {
            let why = "a second default certificate with the same kind of key".to_owned();
            self.errors.push(diagnostic(Level::Error, file, why));
        }
        self.files.names.add(&certificate, now);
        self.files.all.push(certificate);
        self.pairs.insert(wanted.certificate, pair);
    }
}

/// What to say about when a certificate begins and ends.
fn end(certificate: &Certificate, now: SystemTime) -> Option<String> {
    let days = |time: Duration| time.as_secs() / DAY.as_secs();
    match certificate.remaining(now) {
        None => Some("has ended: clients refuse it".into()),
        Some(left) if left < DAY => Some("ends within a day".into()),
        Some(left) if left < WARN => Some(format!("ends in {} days", days(left))),
        Some(_) if certificate.not_before > now => {
            Some("is not valid yet: clients refuse it".into())
        }
        Some(_) => None,
    }
}

/// Reads what has changed, on all processors if it is much.
fn read_all(wanted: &[Wanted], before: &Pairs, now: SystemTime) -> Vec<(Wanted, Outcome)> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = wanted.len().div_ceil(threads).max(MIN_SHARE);
    let read = |part: &[Wanted]| -> Vec<_> {
        part.iter()
            .map(|wanted| (wanted.clone(), read(wanted, before, now)))
            .collect()
    };
    if wanted.len() <= share {
        return read(wanted);
    }
    std::thread::scope(|scope| {
        let parts: Vec<_> = wanted
            .chunks(share)
            .map(|part| scope.spawn(move || read(part)))
            .collect();
        let parts = parts
            .into_iter()
            .map(|part| part.join().unwrap_or_default());
        parts.flatten().collect()
    })
}

fn read(wanted: &Wanted, before: &Pairs, now: SystemTime) -> Outcome {
    let key = wanted.key.as_deref();
    // Taken first: what changes while it is read is read again.
    let stamps = Stamp::of(&wanted.certificate).map(|stamp| (stamp, key.and_then(Stamp::of)));
    let same = |old: &&Pair| old.stamps.is_some() && old.stamps == stamps && old.key == wanted.key;
    if let Some(old) = before.get(&wanted.certificate).filter(same) {
        return Ok(old.clone());
    }
    let read = certificate::read(&wanted.certificate, key)
        .map_err(|(file, why)| (file.to_owned(), why))?;
    let settled = |(one, other): &(Stamp, Option<Stamp>)| {
        one.is_settled(now) && other.is_none_or(|other| other.is_settled(now))
    };
    Ok(Pair {
        key: wanted.key.clone(),
        stamps: stamps.filter(settled),
        certificate: Arc::new(read.certificate),
        doubts: read.doubts,
    })
}

/// The pairs in a folder, in the order of their names.
fn scan(
    directory: &Path,
    warnings: &mut Vec<Diagnostic>,
    watch: &mut Vec<PathBuf>,
) -> Result<Vec<Wanted>, String> {
    let cannot = |error: std::io::Error| format!("cannot be searched for certificates: {error}");
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).map_err(cannot)? {
        let entry = entry.map_err(cannot)?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
        if paths.len() > MAX_ENTRIES {
            return Err(format!("holds more than {MAX_ENTRIES} files"));
        }
    }
    paths.sort_unstable();
    let mut found = Vec::new();
    for path in paths {
        let (certificate, key) = match path.extension().and_then(|ending| ending.to_str()) {
            _ if path.is_dir() => {
                let inside = (path.join("tls.crt"), Some(path.join("tls.key")));
                watch.push(path);
                if !inside.0.exists() {
                    continue;
                }
                inside
            }
            Some("crt") => {
                let key = path.with_extension("key");
                if !key.exists() {
                    let why = format!("has no {} beside it; left out", file_name(&key));
                    warnings.push(diagnostic(Level::Warning, &path, why));
                    watch.push(key);
                    continue;
                }
                (path, Some(key))
            }
            Some("pem") => {
                let key = path.with_extension("key");
                let key = key.exists().then_some(key);
                (path, key)
            }
            _ => continue,
        };
        // Links lead out of the folder, which is all that is watched otherwise.
        let files = key.iter().chain([&certificate]);
        watch.extend(files.filter(|file| file.is_symlink()).cloned());
        found.push(Wanted {
            certificate,
            key,
            named: false,
            default: false,
        });
    }
    Ok(found)
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// A message about a whole file.
pub(crate) fn diagnostic(level: Level, file: &Path, message: String) -> Diagnostic {
    Diagnostic {
        level,
        file: file.display().to_string().into(),
        position: Position::default(),
        line: String::new(),
        message,
        help: None,
    }
}

const DAY: Duration = Duration::from_secs(24 * 3600);
/// From when on the end of a certificate is warned of.
pub(crate) const WARN: Duration = Duration::from_secs(14 * 24 * 3600);
/// Most entries of one folder.
const MAX_ENTRIES: usize = 200_000;
/// Most warnings that are shown.
const MAX_WARNINGS: usize = 100;
/// Fewer than these are not worth a thread.
const MIN_SHARE: usize = 64;
