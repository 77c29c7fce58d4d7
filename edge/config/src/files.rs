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
const MAX_FILE: u64 = 4 << 20;
/// More files are refused.
const MAX_FILES: usize = 1000;
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

/// The files the main file at `main` includes, each with the place that asked for it. What has to be
/// watched for changes is added to `watch`.
pub(crate) fn included(
    main: &FilePath,
    root: &Node,
    errors: &mut Vec<Problem>,
    watch: &mut Vec<PathBuf>,
) -> Vec<(PathBuf, Place)> {
    let base = directory(main);
    let patterns: Vec<(String, Place, bool)> = match root.get("include") {
        Some((_, node)) => {
            let texts = node.items().iter().filter_map(|item| match &item.value {
                Value::Scalar(scalar) => Some((scalar.text.clone(), item.place, true)),
                Value::List(_) | Value::Map(_) => None,
            });
            texts.collect()
        }
        None => vec![(DEFAULT_INCLUDE.to_owned(), root.place, false)],
    };
    let mut found = Vec::new();
    for (pattern, place, asked) in patterns {
        let pattern = base.join(pattern);
        let name = pattern.file_name().and_then(|name| name.to_str());
        let name = name.unwrap_or_default().to_owned();
        if !name.contains('*') {
            watch.push(pattern.clone());
            found.push((pattern, place));
            continue;
        }
        let folder = directory(&pattern);
        // Also one that does not exist: it may appear.
        watch.push(folder.clone());
        let listed = match fs::read_dir(&folder) {
            Ok(listed) => listed,
            Err(error) => {
                if asked {
                    let message = format!("cannot list {}: {error}", folder.display());
                    errors.push(Problem::new(place, message));
                }
                continue;
            }
        };
        let fits = |path: &PathBuf| {
            let file = path.file_name().and_then(|name| name.to_str());
            file.is_some_and(|file| !file.starts_with('.') && fits(&name, file))
        };
        let mut files: Vec<PathBuf> = listed
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(fits)
            .take(MAX_FILES + 1)
            .collect();
        files.sort();
        watch.extend(files.iter().cloned());
        found.extend(files.into_iter().map(|file| (file, place)));
    }
    if found.len() > MAX_FILES {
        let place = found
            .last()
            .map_or_else(Place::default, |(_, place)| *place);
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
