//! Reading files, finding included ones, and what relative paths are relative to.
//!
//! A relative path belongs to where it was written: in a file, to that file's directory; in an
//! environment variable, to the directory the gateway was started in.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path as FilePath, PathBuf};

use crate::source::{Place, Problem};
use crate::tree::{Node, Scalar, Value};

/// Larger files are refused.
const MAX_FILE: u64 = 32 << 20;
/// More files are refused.
const MAX_FILES: usize = 100_000;
/// What is included where the main file does not say.
const DEFAULT_INCLUDE: &str = "conf.d/*.yaml";

/// The text of the file at `path`; the message of an error names it.
pub(crate) fn read(path: &FilePath) -> Result<String, String> {
    let shown = path.display();
    let file = File::open(path).map_err(|error| format!("cannot open {shown}: {error}"))?;
    let mut bytes = Vec::new();
    #[expect(clippy::disallowed_methods, reason = "bounded by `take`")]
    file.take(MAX_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("cannot read {shown}: {error}"))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(format!("{shown} is larger than {} MiB", MAX_FILE >> 20));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error
            .as_bytes()
            .iter()
            .take(error.utf8_error().valid_up_to());
        let line = valid.filter(|b| **b == b'\n').count() + 1;
        format!("{shown}: line {line} is not UTF-8")
    })?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(text) => text.to_owned(),
        None => text,
    })
}

/// A file of `conf.d` as it would be: with this text, or gone.
#[derive(Debug, Clone)]
pub struct Overlay {
    /// Where it would stand.
    pub path: PathBuf,
    /// What it would say; `None`: there would be no such file.
    pub text: Option<String>,
}

/// The text of the file at `path`, as it is or would be.
pub(crate) fn read_over(path: &FilePath, overlay: Option<&Overlay>) -> Result<String, String> {
    match overlay.filter(|overlay| overlay.path == path) {
        Some(Overlay {
            text: Some(text), ..
        }) => Ok(text.clone()),
        Some(_) => Err(format!("{} would be gone", path.display())),
        None => read(path),
    }
}

/// Puts the file that would be there among those that are, or takes it out.
pub(crate) fn lay_over(
    found: &mut Vec<Included>,
    overlay: Option<&Overlay>,
    patterns: &[(Pattern, Place, bool)],
) {
    let Some(Overlay { path, text }) = overlay else {
        return;
    };
    if text.is_none() {
        found.retain(|file| file.path != *path);
        return;
    }
    if found.iter().any(|file| file.path == *path) {
        return;
    }
    let name = path.file_name().and_then(|name| name.to_str());
    let means = |pattern: &Pattern| {
        path.parent() == Some(&*pattern.folder) && name.is_some_and(|name| pattern.means(name))
    };
    let mut meaning = patterns.iter().enumerate();
    if let Some((number, (_, place, _))) = meaning.find(|(_, (pattern, ..))| means(pattern)) {
        found.push(Included {
            path: path.clone(),
            place: *place,
            pattern: number,
            plain: true,
        });
        found.sort_by(|a, b| (a.pattern, &a.path).cmp(&(b.pattern, &b.path)));
    }
}

/// A file the main file includes.
pub(crate) struct Included {
    pub(crate) path: PathBuf,
    /// What asked for it.
    pub(crate) place: Place,
    /// The number of the pattern that found it.
    pub(crate) pattern: usize,
    /// It was found in its folder and is no link: only there can it change.
    pub(crate) plain: bool,
}

/// A pattern of the main file.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    /// Where it looks.
    pub(crate) folder: PathBuf,
    /// The form of the file's name.
    pub(crate) name: String,
}

impl Pattern {
    /// Whether a file of its folder is meant.
    pub(crate) fn means(&self, file: &str) -> bool {
        self.name.contains('*') && !file.starts_with('.') && fits(&self.name, file)
    }
}

/// What the main file at `main` includes: pattern, place, and whether the file asked for it.
pub(crate) fn patterns(main: &FilePath, root: &Node) -> Vec<(Pattern, Place, bool)> {
    let base = directory(main);
    let texts: Vec<(String, Place, bool)> = match root.get("include") {
        Some((_, node)) => {
            let texts = node.items().iter().filter_map(|item| match &item.value {
                Value::Scalar(scalar) => Some((scalar.text.clone(), item.place, true)),
                Value::List(_) | Value::Map(_) => None,
            });
            texts.collect()
        }
        None => vec![(DEFAULT_INCLUDE.to_owned(), root.place, false)],
    };
    let patterns = texts.into_iter().map(|(text, place, asked)| {
        let path = base.join(text);
        let name = path.file_name().and_then(|name| name.to_str());
        let pattern = Pattern {
            folder: directory(&path),
            name: name.unwrap_or_default().to_owned(),
        };
        (pattern, place, asked)
    });
    patterns.collect()
}

/// The files the main file at `main` includes, each with the place that asked for it. What has to be
/// watched for changes is added to `watch`.
pub(crate) fn included(
    main: &FilePath,
    root: &Node,
    errors: &mut Vec<Problem>,
    watch: &mut Vec<PathBuf>,
) -> Vec<Included> {
    let mut found = Vec::new();
    for (number, (pattern, place, asked)) in patterns(main, root).into_iter().enumerate() {
        let file = |path, plain| Included {
            path,
            place,
            pattern: number,
            plain,
        };
        let folder = &pattern.folder;
        if !pattern.name.contains('*') {
            let path = folder.join(&pattern.name);
            watch.push(path.clone());
            found.push(file(path, false));
            continue;
        }
        // Also one that does not exist: it may appear.
        watch.push(folder.clone());
        let listed = match fs::read_dir(folder) {
            Ok(listed) => listed,
            Err(error) => {
                // Only a folder that is not there has no files: any other error hides some.
                if asked || error.kind() != std::io::ErrorKind::NotFound {
                    let message = format!("cannot list {}: {error}", folder.display());
                    errors.push(Problem::new(place, message));
                }
                continue;
            }
        };
        let entries = match listed.collect::<Result<Vec<_>, _>>() {
            Ok(entries) => entries,
            Err(error) => {
                let message = format!("cannot list {}: {error}", folder.display());
                errors.push(Problem::new(place, message));
                continue;
            }
        };
        let mut files: Vec<Included> = entries
            .into_iter()
            .filter(|entry| {
                let name = entry.file_name();
                name.to_str().is_some_and(|name| pattern.means(name))
            })
            .take(MAX_FILES + 1)
            .map(|entry| {
                let plain = entry.file_type().is_ok_and(|kind| kind.is_file());
                file(entry.path(), plain)
            })
            .collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        // Of the others it is enough to watch the folder.
        let links = files.iter().filter(|file| !file.plain);
        watch.extend(links.map(|file| file.path.clone()));
        found.extend(files);
    }
    if found.len() > MAX_FILES {
        let place = found.last().map_or_else(Place::default, |file| file.place);
        errors.push(Problem::new(place, format!("more than {MAX_FILES} files")));
        found.clear();
    }
    found
}

/// Makes the paths of rules, certificates and keys relative to the file's directory, where they were
/// written in the file.
pub(crate) fn anchor(root: &mut Node, file: &FilePath) {
    let base = directory(file);
    if let Some(tls) = entry(root, "tls") {
        anchor_tls(tls, &base);
    }
    anchor_upstreams(root, &base);
    let profiles = entry(root, "profiles");
    let Some(Value::Map(profiles)) = profiles.map(|node| &mut node.value) else {
        return;
    };
    for (_, profile) in profiles {
        if let Some(waf) = entry(profile, "waf") {
            anchor_keys(waf, &["crs_dir", "files"], &base);
        }
    }
}

fn anchor_tls(tls: &mut Node, base: &FilePath) {
    for certificate in items(tls, "certificates") {
        anchor_keys(certificate, &["certificate", "key", "directory"], base);
    }
    if let Some(client) = entry(tls, "defaults").and_then(|host| entry(host, "client_certificates"))
    {
        anchor_keys(client, &["ca", "crls"], base);
    }
    for host in items(tls, "hosts") {
        if let Some(client) = entry(host, "client_certificates") {
            anchor_keys(client, &["ca", "crls"], base);
        }
    }
}

/// Makes the paths behind `keys`, each one or a list, relative to `base`.
fn anchor_keys(node: &mut Node, keys: &[&str], base: &FilePath) {
    for key in keys {
        match entry(node, key).map(|node| &mut node.value) {
            Some(Value::Scalar(path)) => path.anchor(base),
            Some(Value::List(paths)) => {
                for path in paths {
                    if let Value::Scalar(path) = &mut path.value {
                        path.anchor(base);
                    }
                }
            }
            Some(Value::Map(_)) | None => {}
        }
    }
}

/// Paths of certificates for servers.
fn anchor_upstreams(root: &mut Node, base: &FilePath) {
    let upstreams = entry(root, "upstreams");
    let Some(Value::Map(upstreams)) = upstreams.map(|node| &mut node.value) else {
        return;
    };
    for (_, upstream) in upstreams {
        if let Some(tls) = entry(upstream, "tls") {
            anchor_keys(tls, &["ca", "certificate", "key"], base);
        }
    }
}

/// The items of the list behind `name`.
fn items<'a>(node: &'a mut Node, name: &str) -> &'a mut [Node] {
    match entry(node, name).map(|node| &mut node.value) {
        Some(Value::List(items)) => items,
        _ => &mut [],
    }
}

impl Scalar {
    fn anchor(&mut self, base: &FilePath) {
        if !self.leads_with_variable && !self.text.is_empty() {
            self.text = base.join(&self.text).display().to_string();
        }
    }
}

fn entry<'a>(node: &'a mut Node, name: &str) -> Option<&'a mut Node> {
    match &mut node.value {
        Value::Map(entries) => entries
            .iter_mut()
            .find(|(key, _)| key.name == name)
            .map(|(_, node)| node),
        Value::List(_) | Value::Scalar(_) => None,
    }
}

fn directory(path: &FilePath) -> PathBuf {
    path.parent().map(FilePath::to_owned).unwrap_or_default()
}

/// Whether `name` fits `pattern`, in which `*` stands for any text.
fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = name.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, name, expected) in [
            ("*.yaml", "a.yaml", true),
            ("*.yaml", "a.yaml.bak", false),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "acb", false),
            ("ab*ba", "aba", false),
            ("x", "x", true),
            ("x", "xy", false),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }
}
