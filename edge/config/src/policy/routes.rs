//! Routes: conditions compiled, names resolved, the table filled.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use edge_core::head::is_token_byte;

use super::{Complaints, Origins, Sites, Upstream, profiles};
use crate::routes::{
    Asks, Conditions, FileOrder, HostPattern, Matcher, Order, PathPattern, Route, whole,
};
use crate::shards::Shards;
use crate::spec::{MatcherSpec, PathSpec, RouteSpec};
use crate::suggest;
use crate::tree::Path;

/// What routes ask for that were seen, with the name of the first that asks for it.
#[derive(Debug, Default)]
pub(crate) struct Shadows(HashMap<String, Arc<str>>);

/// Every route that is right. Paths of complaints count within `specs`.
pub(crate) fn build(
    specs: &[RouteSpec],
    known: &Sites,
    file: &FileOrder,
    origins: &mut Origins,
    shadows: &mut Shadows,
    complaints: &mut Complaints,
) -> Vec<Arc<Route>> {
    let all = Path::default().key("routes");
    let mut routes = Vec::with_capacity(specs.len());
    for (index, spec) in specs.iter().enumerate() {
        let path = all.index(index);
        let name = name(spec, index);
        let asks = Asks {
            hosts: hosts(spec, &path, complaints),
            paths: paths(spec, &path, complaints),
            conditions: conditions(spec, &path, complaints),
            order: Order {
                file: file.clone(),
                number: index,
            },
        };
        warn_of_shadow(spec, &name, &mut shadows.0, &path, complaints);
        let upstream = known.upstreams.get(spec.upstream.as_str()).cloned();
        if upstream.is_none() {
            let names: Vec<&str> = known.upstreams.keys().map(AsRef::as_ref).collect();
            missing("upstream", &spec.upstream, &names, &path, complaints);
        }
        let profile = known.profiles.get(spec.profile.as_str()).cloned();
        if profile.is_none() {
            let names: Vec<&str> = known.profiles.keys().map(AsRef::as_ref).collect();
            missing("profile", &spec.profile, &names, &path, complaints);
        }
        if let (Some(upstream), Some(profile)) = (upstream, profile) {
            let places = origins.routes.remove(&index).unwrap_or_default();
            let path = path.key("waf");
            let waf = profiles::changed(&profile, &spec.waf, places, &path, complaints);
            routes.push(Arc::new(Route::new(name, upstream, profile, waf, asks)));
        }
    }
    routes
}

/// Its name; files in `conf.d` gave theirs one when they were read.
pub(crate) fn name(spec: &RouteSpec, index: usize) -> Arc<str> {
    match &spec.name {
        Some(name) => name.as_str().into(),
        None => format!("route-{}", index + 1).into(),
    }
}

pub(crate) fn check_names(
    specs: &[RouteSpec],
    names: &mut HashMap<Arc<str>, usize>,
    complaints: &mut Complaints,
) {
    let all = Path::default().key("routes");
    for (index, spec) in specs.iter().enumerate() {
        if names.insert(name(spec, index), index).is_some() {
            let path = all.index(index).key("name");
            complaints.error(path, "another route has this name");
        }
    }
}

pub(crate) fn complain_of_none(complaints: &mut Complaints) {
    complaints
        .error(
            Path::default().key("routes"),
            "no route: every request would be answered with 404",
        )
        .help("for example `routes: [{upstream: app}]`");
}

fn missing(
    kind: &'static str,
    name: &str,
    names: &[&str],
    path: &Path,
    complaints: &mut Complaints,
) {
    let complaint = complaints.error(path.key(kind), format!("there is no {kind} of this name"));
    complaint.help = suggest::help(name, names, "names known here");
    let section = if kind == "upstream" {
        "upstreams"
    } else {
        "profiles"
    };
    complaint.missing = Some((section, name.to_owned()));
}

fn hosts(spec: &RouteSpec, path: &Path, complaints: &mut Complaints) -> Vec<HostPattern> {
    let path = path.key("hosts");
    let mut patterns = Vec::with_capacity(spec.hosts.len());
    for (index, text) in spec.hosts.iter().enumerate() {
        match HostPattern::parse(text) {
            Ok(pattern) => patterns.push(pattern),
            Err(message) => {
                complaints.error(path.index(index), message);
            }
        }
    }
    patterns
}

fn paths(spec: &RouteSpec, path: &Path, complaints: &mut Complaints) -> Vec<PathPattern> {
    let path = path.key("paths");
    let mut patterns = Vec::with_capacity(spec.paths.len());
    for (index, pattern) in spec.paths.iter().enumerate() {
        let (key, parsed) = match pattern {
            PathSpec::Prefix(text) => (
                "prefix",
                check_path(text).map(|()| PathPattern::Prefix(text.clone())),
            ),
            PathSpec::Exact(text) => (
                "exact",
                check_path(text).map(|()| PathPattern::Exact(text.clone())),
            ),
            PathSpec::Regex(text) => ("regex", whole(text).map(PathPattern::Regex)),
        };
        match parsed {
            Ok(pattern) => patterns.push(pattern),
            Err(message) => {
                complaints.error(path.index(index).key(key), message);
            }
        }
    }
    patterns
}

/// Only what the table compares can be written: requests are decoded and normalised first.
fn check_path(path: &str) -> Result<(), &'static str> {
    if !path.starts_with('/') {
        return Err("a path starts with `/`");
    }
    if path.contains(['%', '\\']) {
        return Err("write the path decoded, without `%` and `\\`");
    }
    if path.contains(['?', '#', ';']) {
        return Err("a path has no `?`, `#` or `;`; query parameters have their own key");
    }
    if path.contains("//") || path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err(
            "write the path without `//`, `.` and `..`: requests are compared without them",
        );
    }
    if path.contains(char::is_control) {
        return Err("a path has no control characters");
    }
    Ok(())
}

fn conditions(spec: &RouteSpec, path: &Path, complaints: &mut Complaints) -> Conditions {
    for (index, method) in spec.methods.iter().enumerate() {
        let at = path.key("methods").index(index);
        if method.is_empty() || !method.bytes().all(is_token_byte) {
            complaints.error(at, "expected a method such as `GET`");
        } else if method.bytes().any(|b| b.is_ascii_lowercase()) {
            complaints
                .error(
                    at,
                    "methods are compared with case, and this one has small letters",
                )
                .help("write `GET`, not `get`");
        }
    }
    let mut matchers = |key: &str, specs: &BTreeMap<String, MatcherSpec>| {
        let path = path.key(key);
        let mut matchers = Vec::with_capacity(specs.len());
        for (name, spec) in specs {
            if key == "headers" && (name.is_empty() || !name.bytes().all(is_token_byte)) {
                complaints.error(path.key(name), "not a valid header name");
            }
            match spec {
                MatcherSpec::Exact(text) => {
                    matchers.push((name.clone(), Matcher::Exact(text.clone())));
                }
                MatcherSpec::Regex(spec) => match whole(&spec.regex) {
                    Ok(regex) => matchers.push((name.clone(), Matcher::Regex(regex))),
                    Err(message) => {
                        complaints.error(path.key(name).key("regex"), message);
                    }
                },
            }
        }
        matchers
    };
    Conditions {
        headers: matchers("headers", &spec.headers),
        query: matchers("query", &spec.query),
        methods: spec.methods.clone(),
    }
}

/// A route that asks for the same as an earlier one on some host and path never gets that request.
fn warn_of_shadow(
    spec: &RouteSpec,
    name: &Arc<str>,
    seen: &mut HashMap<String, Arc<str>>,
    path: &Path,
    complaints: &mut Complaints,
) {
    let any_host = [String::from("*")];
    let any_path = [PathSpec::Prefix("/".into())];
    let hosts: &[String] = if spec.hosts.is_empty() {
        &any_host
    } else {
        &spec.hosts
    };
    let paths: &[PathSpec] = if spec.paths.is_empty() {
        &any_path
    } else {
        &spec.paths
    };
    let rest = format!("{:?}{:?}{:?}", spec.methods, spec.headers, spec.query);
    for host in hosts {
        for at in paths {
            let key = format!("{} {at:?} {rest}", host.to_ascii_lowercase());
            if let Some(first) = seen.get(&key) {
                complaints
                    .warn(
                        path.clone(),
                        format!("`{first}` already takes these requests"),
                    )
                    .help("remove one, or add a condition");
                return;
            }
            seen.insert(key, Arc::clone(name));
        }
    }
}

pub(crate) fn warn_of_unused(
    specs: &[RouteSpec],
    upstreams: &Shards<Arc<str>, Arc<Upstream>>,
    complaints: &mut Complaints,
) {
    let used: HashSet<&str> = specs.iter().map(|spec| spec.upstream.as_str()).collect();
    for name in upstreams.keys().filter(|name| !used.contains(&***name)) {
        let path = Path::default().key("upstreams").key(&**name);
        complaints.warn(path, "no route uses this upstream");
    }
}
