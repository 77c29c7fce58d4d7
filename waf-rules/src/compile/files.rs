//! Reads rule files and data files: `Include` globs, relative paths, size limits.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Largest rule or data file.
const FILE_LIMIT: u64 = 64 << 20;

/// Largest database of places: the big ones are near 150 MiB.
const DATABASE_LIMIT: u64 = 512 << 20;

/// The bytes of the rule or data file at `path`.
///
/// # Errors
/// Why it cannot be read; names the file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, String> {
    read_up_to(path, FILE_LIMIT)
}

/// The bytes of the database at `path`.
///
/// # Errors
/// Why it cannot be read; names the file.
pub(crate) fn read_database(path: &Path) -> Result<Vec<u8>, String> {
    read_up_to(path, DATABASE_LIMIT)
}

fn read_up_to(path: &Path, limit: u64) -> Result<Vec<u8>, String> {
    let describe = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    let file = File::open(path).map_err(describe)?;
    let mut bytes = Vec::new();
    #[expect(
        clippy::disallowed_methods,
        reason = "the reader is bounded by `take` on this line"
    )]
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(describe)?;
    if bytes.len() as u64 > limit {
        return Err(format!("{} is over {limit} bytes", path.display()));
    }
    Ok(bytes)
}

/// The files `pattern` means, relative to `directory`, sorted by name.
///
/// `*` and `?` stand for any bytes of one path component.
///
/// # Errors
/// Why there is none.
pub(crate) fn expand(directory: &Path, pattern: &str) -> Result<Vec<PathBuf>, String> {
    let path = directory.join(pattern);
    if !pattern.contains(['*', '?']) {
        return if path.is_file() {
            Ok(vec![path])
        } else {
            Err(format!("{} is not a file", path.display()))
        };
    }
    let mut found = vec![PathBuf::new()];
    for component in path.components() {
        let name = component.as_os_str().to_string_lossy();
        if name.contains(['*', '?']) {
            found = found
                .iter()
                .flat_map(|parent| entries(parent, &name))
                .collect();
        } else {
            for parent in &mut found {
                parent.push(component);
            }
        }
    }
    found.retain(|path| path.is_file());
    found.sort();
    if found.is_empty() {
        return Err(format!("no file matches {}", path.display()));
    }
    Ok(found)
}

/// The entries of a directory whose name fits, hidden ones left out as shells do.
fn entries(parent: &Path, pattern: &str) -> Vec<PathBuf> {
    let Ok(listing) = std::fs::read_dir(if parent.as_os_str().is_empty() {
        Path::new(".")
    } else {
        parent
    }) else {
        return Vec::new();
    };
    listing
        .filter_map(Result::ok)
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            fits(pattern.as_bytes(), name.as_bytes())
                && (pattern.starts_with('.') || !name.starts_with('.'))
        })
        .map(|entry| parent.join(entry.file_name()))
        .collect()
}

/// Glob match of one name; backtracks to the last star only, so it is quadratic at worst.
pub(crate) fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut seen) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while seen < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(wanted) if *wanted == b'?' || name.get(seen) == Some(wanted) => {
                at += 1;
                seen += 1;
            }
            _ => match star {
                None => return false,
                Some((star_at, star_seen)) => {
                    star = Some((star_at, star_seen + 1));
                    at = star_at + 1;
                    seen = star_seen + 1;
                }
            },
        }
    }
    pattern
        .get(at..)
        .is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_fit_whole_names() {
        assert!(fits(b"*.conf", b"REQUEST-901.conf"));
        assert!(!fits(b"*.conf", b"REQUEST-901.conf.example"));
        assert!(fits(b"a?c*", b"abcdef"));
        assert!(!fits(b"a", b"ab"));
        assert!(fits(b"*a*b", b"xaxbxab"));
    }

    #[test]
    fn a_missing_file_is_an_error() {
        assert!(expand(Path::new("/nonexistent"), "*.conf").is_err());
        assert!(expand(Path::new("/nonexistent"), "a.conf").is_err());
    }
}
