//! Joining the files of one configuration.
//!
//! A file in `conf.d` adds upstreams, profiles and routes to the main file; it never changes what
//! another file says, so a name that is defined twice is an error that names both places.

use std::collections::HashSet;
use std::path::Path as FilePath;

use crate::source::{Place, Problem, Sources};
use crate::tree::{Key, Node, Scalar, Value};

/// Adds `part` to `root`.
pub(crate) fn merge(root: &mut Node, part: Node, sources: &Sources, errors: &mut Vec<Problem>) {
    let Value::Map(sections) = part.value else {
        return; // reported by the schema check
    };
    for (key, section) in sections {
        let place = section.place;
        match section.value {
            Value::List(mut items) => {
                if let Some(Value::List(all)) = entry(root, &key, Value::List(Vec::new()), place) {
                    all.append(&mut items);
                }
            }
            Value::Map(entries) => {
                if let Some(Value::Map(all)) = entry(root, &key, Value::Map(Vec::new()), place) {
                    add(all, entries, &key.name, sources, errors);
                }
            }
            Value::Scalar(_) => {}
        }
    }
}

/// Gives routes of the file at `path` that have no name one of their own: the file's, and their number
/// in it. It stays the same whatever other files there are.
pub(crate) fn name_routes(part: &mut Node, path: &FilePath) {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '-');
    let stem = stem.replace(|c| !fine(c), "_");
    let Value::Map(sections) = &mut part.value else {
        return;
    };
    let routes = sections.iter_mut().find(|(key, _)| key.name == "routes");
    let Some(Value::List(routes)) = routes.map(|(_, node)| &mut node.value) else {
        return;
    };
    for (number, route) in routes.iter_mut().enumerate() {
        let place = route.place;
        let named = route.get("name").is_some_and(|(_, name)| !name.is_null());
        if let (false, Value::Map(entries)) = (named, &mut route.value) {
            entries.retain(|(key, _)| key.name != "name");
            let key = Key {
                name: "name".to_owned(),
                place,
            };
            let text = format!("{stem}/{}", number + 1);
            let value = Value::Scalar(Scalar::quoted(text));
            entries.push((key, Node { place, value }));
        }
    }
}

/// Every name that is defined, with its section.
pub(crate) fn names(root: &Node) -> HashSet<(&'static str, String)> {
    let mut names = HashSet::new();
    for section in ["upstreams", "profiles"] {
        let entries = root.get(section).map(|(_, node)| node.entries());
        for (key, _) in entries.unwrap_or_default() {
            names.insert((section, key.name.clone()));
        }
    }
    names
}

/// A mapping that stands in no file.
pub(crate) fn map<const N: usize>(entries: [(&str, Node); N]) -> Node {
    let entries = entries.into_iter().map(|(name, node)| {
        let key = Key {
            name: name.to_owned(),
            place: Place::default(),
        };
        (key, node)
    });
    Node {
        place: Place::default(),
        value: Value::Map(entries.collect()),
    }
}

fn add(
    all: &mut Vec<(Key, Node)>,
    entries: Vec<(Key, Node)>,
    section: &str,
    sources: &Sources,
    errors: &mut Vec<Problem>,
) {
    let known: HashSet<String> = all.iter().map(|(key, _)| key.name.clone()).collect();
    for (key, node) in entries {
        if known.contains(&key.name) {
            let first = all.iter().find(|(other, _)| other.name == key.name);
            let first = first.map_or_else(String::new, |(other, _)| sources.name(other.place));
            let message = format!("`{section}.{}` is defined twice", key.name);
            let problem = Problem::new(key.place, message);
            errors.push(problem.help(format!("first defined at {first}")));
        } else {
            all.push((key, node));
        }
    }
}

/// The section of `root`, made if it is missing or empty; a section of another kind was reported.
fn entry<'a>(root: &'a mut Node, key: &Key, empty: Value, place: Place) -> Option<&'a mut Value> {
    let Value::Map(entries) = &mut root.value else {
        return None;
    };
    if !entries.iter().any(|(other, _)| other.name == key.name) {
        let value = empty.clone();
        entries.push((key.clone(), Node { place, value }));
    }
    let mut entries = entries.iter_mut();
    let (_, node) = entries.find(|(other, _)| other.name == key.name)?;
    if node.is_null() {
        node.value = empty;
    }
    Some(&mut node.value)
}
