//! From files to a [`Policy`], reporting every mistake at once.
//!
//! A mistake does not end the work: the node it concerns is left out and the rest goes on, so that one
//! run shows an unknown key, a wrong type, a bad expression and a name that does not exist together.
//! What only follows from a node that was left out is not reported. Files are read under bounds;
//! nothing is written, and no host name is resolved.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use edge_core::{Diagnostic, Level, Position};

use crate::check::{Mistake, Schema};
use crate::env::Env;
use crate::files::{self, Overlay};
use crate::merge;
use crate::policy::{self, Complaints, Origin, Origins, Places, Policy};
use crate::source::{Lines, Place, Problem, Source, Sources};
use crate::spec::Spec;
use crate::tree::digest::{self, Checksum, Digest};
use crate::tree::{Node, Path, Scalar, Step, Value, de, expand, parse};

/// Deserialization is tried again at most this often, each time with one node less.
const MAX_ROUNDS: usize = 100;

/// A configuration that can run.
#[derive(Debug)]
pub struct Loaded {
    /// What runs.
    pub policy: Policy,
    /// What is allowed but probably not meant.
    pub warnings: Vec<Diagnostic>,
}

/// Loads the configuration file at `path`, and the files it includes.
///
/// # Errors
/// Every mistake, in the order of the files.
pub fn load(path: &FilePath, env: &dyn Env) -> Result<Loaded, Vec<Diagnostic>> {
    load_watching(path, env, &mut Vec::new())
}

/// As [`load`]; `watch` gets the files and directories to watch for changes even if the configuration
/// has mistakes: whoever mends one of them wants to be noticed.
///
/// # Errors
/// Every mistake, in the order of the files.
pub fn load_watching(
    path: &FilePath,
    env: &dyn Env,
    watch: &mut Vec<PathBuf>,
) -> Result<Loaded, Vec<Diagnostic>> {
    load_over(path, env, watch, None)
}

/// As [`load_watching`], with one file as it would be.
pub(crate) fn load_over(
    path: &FilePath,
    env: &dyn Env,
    watch: &mut Vec<PathBuf>,
    overlay: Option<&Overlay>,
) -> Result<Loaded, Vec<Diagnostic>> {
    let mut loader = Loader::new(env);
    loader.overlay = overlay.cloned();
    let loaded = loader.load(path);
    watch.push(path.to_owned());
    watch.append(&mut loader.watch);
    loaded
}

/// Loads a configuration from text, as if it stood in a file called `name`; nothing is included
/// unless the text says so.
///
/// # Errors
/// Every mistake, in the order of the text.
pub fn load_text(name: &str, text: &str, env: &dyn Env) -> Result<Loaded, Vec<Diagnostic>> {
    Loader::new(env).run(FilePath::new(name), text.to_owned())
}
/// The configuration of `palisade run --upstream URL`: everything goes to `upstream` under the
/// default profile with the built-in rules. `audit` is the output of the decision record, in the
/// words of the configuration.
///
/// # Errors
/// An argument that is not what its key in a file takes.
pub fn quick(upstream: &str, listen: &str, audit: &str) -> Result<Loaded, Vec<Diagnostic>> {
    let text = |text: &str| node(Value::Scalar(Scalar::quoted(text.to_owned())));
    let list = |item| node(Value::List(vec![item]));
    let root = merge::map([
        ("listeners", list(merge::map([("address", text(listen))]))),
        ("admin", merge::map([("address", text("127.0.0.1:0"))])),
        ("audit", merge::map([("output", text(audit))])),
        (
            "upstreams",
            merge::map([("app", merge::map([("servers", list(text(upstream)))]))]),
        ),
        ("routes", list(merge::map([("upstream", text("app"))]))),
    ]);
    let nothing = |_: &str| None;
    let mut loader = Loader::new(&nothing);
    loader.sources.0.push(Source {
        name: "command line".into(),
        text: String::new(),
    });
    let policy = loader.policy(root);
    let (policy, warnings) = loader.finish(policy)?;
    Ok(Loaded { policy, warnings })
}

/// One file, parsed.
pub(crate) struct Tree {
    pub(crate) root: Node,
    /// Of its name and what it says, before the environment was put in.
    pub(crate) digest: Digest,
}

/// The schemas files are checked against.
#[derive(Debug)]
pub(crate) struct Schemas {
    pub(crate) main: Schema,
    pub(crate) fragment: Schema,
}

impl Default for Schemas {
    fn default() -> Self {
        Self {
            main: Schema::new(crate::schema()),
            fragment: Schema::new(crate::fragment_schema()),
        }
    }
}

pub(crate) struct Loader<'a> {
    env: &'a dyn Env,
    sources: Sources,
    pub(crate) errors: Vec<Problem>,
    warnings: Vec<Problem>,
    /// A file as it would be.
    overlay: Option<Overlay>,
    /// What the files say.
    checksum: Checksum,
    /// Nodes that lost a part or were reported already; what goes wrong there is a consequence.
    touched: HashSet<(usize, usize, usize)>,
    /// Names that are defined somewhere, even if what they name was left out.
    names: HashSet<(&'static str, String)>,
    /// Included files and the directories they are looked for in.
    watch: Vec<PathBuf>,
}

impl<'a> Loader<'a> {
    pub(crate) fn new(env: &'a dyn Env) -> Self {
        Self {
            env,
            overlay: None,
            checksum: Checksum::default(),
            sources: Sources::default(),
            errors: Vec::new(),
            warnings: Vec::new(),
            touched: HashSet::new(),
            names: HashSet::new(),
            watch: Vec::new(),
        }
    }

    fn load(&mut self, path: &FilePath) -> Result<Loaded, Vec<Diagnostic>> {
        match files::read(path) {
            Ok(text) => self.run(path, text),
            Err(message) => Err(vec![Diagnostic {
                level: Level::Error,
                file: path.display().to_string().into(),
                position: Position::default(),
                line: String::new(),
                message,
                help: None,
            }]),
        }
    }

    fn run(&mut self, path: &FilePath, text: String) -> Result<Loaded, Vec<Diagnostic>> {
        let schemas = Schemas::default();
        let tree = self.tree(path, text, &schemas.main);
        let policy = tree.and_then(|Tree { mut root, digest }| {
            self.checksum = self.checksum.with(&digest);
            let mut includes = files::included(path, &root, &mut self.errors, &mut self.watch);
            let overlay = self.overlay.take();
            files::lay_over(
                &mut includes,
                overlay.as_ref(),
                &files::patterns(path, &root),
            );
            for file in includes {
                match files::read_over(&file.path, overlay.as_ref()) {
                    Ok(text) => self.include(&mut root, &file.path, text, &schemas.fragment),
                    Err(message) => self.errors.push(Problem::new(file.place, message)),
                }
            }
            self.policy(root)
        });
        let (policy, warnings) = self.finish(policy)?;
        Ok(Loaded { policy, warnings })
    }

    fn include(&mut self, root: &mut Node, file: &FilePath, text: String, schema: &Schema) {
        if let Some(Tree {
            root: mut part,
            digest,
        }) = self.tree(file, text, schema)
        {
            self.checksum = self.checksum.with(&digest);
            merge::name_routes(&mut part, file);
            merge::merge(root, part, &self.sources, &mut self.errors);
        }
    }

    /// One file: parsed, expanded, checked; parts that are wrong are left out.
    pub(crate) fn tree(&mut self, path: &FilePath, text: String, schema: &Schema) -> Option<Tree> {
        let file = self.sources.0.len();
        self.sources.0.push(Source {
            name: path.display().to_string().into(),
            text,
        });
        let mut root = parse::parse(&self.sources, file, &mut self.errors)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let digest = digest::named("file", &name, &digest::of(&root));
        let mut unknown = Vec::new();
        expand::expand(&mut root, self.env, &mut unknown);
        let places = unknown.iter().map(|problem| identity(problem.place));
        self.touched.extend(places);
        self.errors.append(&mut unknown);
        self.names.extend(merge::names(&root));
        let mistakes = schema.check(&root);
        for Mistake {
            problem,
            path,
            remove,
        } in mistakes.into_iter().rev()
        {
            // A variable without a value was reported when it was expanded.
            let node = root.nearest(&path);
            if !(node.is_expanded() && self.is_touched(node)) {
                self.errors.push(problem);
            }
            self.touch(&root, &path);
            if remove {
                root.remove(&path);
            }
        }
        files::anchor(&mut root, path);
        Some(Tree { root, digest })
    }

    /// The whole tree to what runs.
    fn policy(&mut self, mut root: Node) -> Option<Policy> {
        let spec = self.spec(&mut root)?;
        let mut complaints = Complaints::default();
        let policy = policy::build(spec, self.origins(&root), self.checksum, &mut complaints);
        for complaint in complaints.0 {
            let known = |missing| self.names.contains(&missing);
            let consequence = !self.errors.is_empty()
                && (complaint.missing.is_some_and(known)
                    || self.is_touched(root.nearest(&complaint.path)));
            if consequence {
                continue;
            }
            let problem = Problem {
                place: locate(&root, &complaint.path),
                message: complaint.message,
                help: complaint.help,
            };
            if complaint.warning {
                self.warnings.push(problem);
            } else {
                self.errors.push(problem);
            }
        }
        policy
    }

    /// Reads the tree into a Spec, leaving out what serde refuses.
    fn spec(&mut self, root: &mut Node) -> Option<Spec> {
        for _ in 0..MAX_ROUNDS {
            let error = match de::read(root) {
                Ok(spec) => return Some(spec),
                Err(error) => error,
            };
            let refused = root.nearest(&error.path);
            if !self.is_touched(refused) {
                let message = if refused.is_expanded() {
                    "the value of this variable cannot be used here".to_owned()
                } else {
                    error.message
                };
                let place = locate(root, &error.path);
                self.errors.push(Problem::new(place, message));
            }
            self.touch(root, &error.path);
            if !root.remove(&error.path) {
                return None;
            }
        }
        None
    }

    /// Where things stand whose mistakes show only when rules are loaded.
    pub(crate) fn origins(&self, root: &Node) -> Origins {
        let profiles = root.get("profiles").map(|(_, node)| node.entries());
        let profiles = profiles.unwrap_or_default().iter();
        let lines = self.sources.lines();
        let routes = root.get("routes").map(|(_, node)| node.items());
        let routes = routes.unwrap_or_default().iter().enumerate();
        Origins {
            texts: self.texts(root),
            profiles: profiles
                .filter_map(|(name, profile)| Some((name.name.clone(), places(&lines, profile)?)))
                .collect(),
            routes: routes
                .filter_map(|(number, route)| Some((number, places(&lines, route)?)))
                .collect(),
        }
    }

    /// Where the directives of each profile stand.
    fn texts(&self, root: &Node) -> BTreeMap<String, BTreeMap<&'static str, Origin>> {
        let profiles = root.get("profiles").map(|(_, node)| node.entries());
        let origin = |waf: &Node, key: &'static str| {
            let (name, node) = waf.get(key)?;
            let Value::Scalar(scalar) = &node.value else {
                return None;
            };
            let lines_before = if scalar.block {
                name.place.at.line // the line of `key: |`
            } else {
                node.place.at.line.saturating_sub(1)
            };
            let file = Arc::clone(&self.sources.0.get(node.place.file)?.name);
            Some((key, Origin { file, lines_before }))
        };
        let profiles = profiles.unwrap_or_default().iter();
        profiles
            .filter_map(|(name, profile)| {
                let (_, waf) = profile.get("waf")?;
                let keys = ["directives", "directives_after"];
                let found = keys.into_iter().filter_map(|key| origin(waf, key));
                Some((name.name.clone(), found.collect()))
            })
            .collect()
    }

    /// Marks every node on the way to `path`, and the one there.
    fn touch(&mut self, root: &Node, path: &Path) {
        for length in 0..=path.0.len() {
            let way = Path(path.0.iter().take(length).cloned().collect());
            self.touched.insert(identity(root.nearest(&way).place));
        }
    }

    fn is_touched(&self, node: &Node) -> bool {
        self.touched.contains(&identity(node.place))
    }

    fn finish(
        &mut self,
        policy: Option<Policy>,
    ) -> Result<(Policy, Vec<Diagnostic>), Vec<Diagnostic>> {
        let warnings = self.diagnostics(Level::Warning);
        let mut errors = self.diagnostics(Level::Error);
        match policy {
            Some(policy) if errors.is_empty() => Ok((policy, warnings)),
            _ => {
                errors.extend(warnings);
                Err(errors)
            }
        }
    }

    fn diagnostics(&mut self, level: Level) -> Vec<Diagnostic> {
        let mut problems = match level {
            Level::Error => std::mem::take(&mut self.errors),
            Level::Warning => std::mem::take(&mut self.warnings),
        };
        problems.sort_by_key(|problem| identity(problem.place));
        problems.dedup();
        let shown = problems.into_iter();
        shown
            .map(|problem| self.sources.diagnostic(problem, level))
            .collect()
    }
}

/// Where everything below `waf` stands.
fn places(lines: &Lines<'_>, owner: &Node) -> Option<Places> {
    let (key, waf) = owner.get("waf")?;
    let mut places = Places::default();
    note(lines, key.place, waf, &mut Vec::new(), &mut places);
    Some(places)
}

/// Notes the places of `node` and of everything in it; a tree is no deeper than its parser let it be.
fn note(lines: &Lines<'_>, place: Place, node: &Node, keys: &mut Vec<String>, places: &mut Places) {
    // Of variables the name can be wrong, of everything else the value.
    let named = keys.first().is_some_and(|key| key == "tx");
    let place = match node.value {
        Value::Scalar(_) if !node.is_null() && !named => node.place,
        _ => place,
    };
    places.note(keys.clone(), lines.error(Problem::new(place, "")));
    let entries = node.entries().iter();
    let entries = entries.map(|(key, node)| (key.name.clone(), key.place, node));
    let items = node.items().iter().enumerate();
    let items = items.map(|(number, node)| (number.to_string(), node.place, node));
    for (key, place, node) in entries.chain(items) {
        keys.push(key);
        note(lines, place, node, keys, places);
        keys.pop();
    }
}

/// Where to point for `path`: at the key of a mapping or list, at a scalar itself.
fn locate(root: &Node, path: &Path) -> Place {
    let mut place = root.place;
    let mut node = root;
    for step in &path.0 {
        let next = match step {
            Step::Key(name) => node.get(name).map(|(key, value)| match value.value {
                Value::Scalar(_) if !value.is_null() => (value.place, value),
                _ => (key.place, value),
            }),
            Step::Index(index) => node.items().get(*index).map(|item| (item.place, item)),
        };
        match next {
            Some((at, value)) => (place, node) = (at, value),
            None => break,
        }
    }
    place
}

fn identity(place: Place) -> (usize, usize, usize) {
    (place.file, place.at.line, place.at.column)
}

fn node(value: Value) -> Node {
    Node {
        place: Place::default(),
        value,
    }
}

#[cfg(test)]
mod tests;
