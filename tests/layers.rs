//! Who may import whom, as ARCHITECTURE.md says it: downwards only, siblings never.
//!
//! Read from `cargo metadata`, so that a new dependency cannot slip past the table. A package that is
//! missing here fails the test: somebody has to decide where it stands.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};
use harness::workspace;

/// Each package of ours and what it may import of ours, in the order of the layers.
const TABLE: &[(&str, &[&str])] = &[
    // 0: the vocabulary.
    ("edge-core", &[]),
    // 1, engines: they never meet; the rule engine knows nothing of ours, so it can be published alone.
    ("waf-rules", &[]),
    ("edge-audit", &["edge-core"]),
    ("edge-tls", &["edge-core"]),
    // 1, transport.
    ("edge-conn", &["edge-core", "edge-tls"]),
    // 2: nests the `spec` modules of layer 1.
    (
        "edge-config",
        &[
            "edge-core",
            "edge-audit",
            "edge-conn",
            "edge-tls",
            "waf-rules",
        ],
    ),
    // 3: live state comes through small traits.
    ("edge-admin", &["edge-core", "edge-config"]),
    // 4: all of it; owns the adapters and the order.
    (
        "edge",
        &[
            "edge-core",
            "edge-audit",
            "edge-conn",
            "edge-config",
            "edge-tls",
            "edge-admin",
            "waf-rules",
        ],
    ),
    // The tests know what a user knows: nothing of the inside.
    ("palisade-tests", &[]),
];

/// The only packages that may import pingora; `deny.toml` says it too.
const PINGORA_USERS: &[&str] = &["edge", "edge-conn"];

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(workspace().join("Cargo.toml"))
        .no_deps()
        .exec()
        .expect("cargo describes the workspace")
}

fn imports(package: &Package) -> BTreeSet<&str> {
    package
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind != DependencyKind::Development)
        .map(|dependency| dependency.name.as_str())
        .collect()
}

#[test]
fn packages_import_downwards_only() {
    let metadata = metadata();
    for package in metadata.workspace_packages() {
        let name = package.name.as_str();
        let (_, allowed) = TABLE
            .iter()
            .find(|(known, _)| *known == name)
            .unwrap_or_else(|| panic!("{name} has no line in the import table"));
        for import in imports(package) {
            let ours = TABLE.iter().any(|(known, _)| *known == import);
            assert!(
                !ours || allowed.contains(&import),
                "{name} may not import {import}"
            );
        }
    }
}

#[test]
fn the_table_names_no_package_that_is_gone() {
    let metadata = metadata();
    for (name, _) in TABLE {
        let known = metadata
            .workspace_packages()
            .iter()
            .any(|package| package.name.as_str() == *name);
        assert!(known, "{name} stands in the table but not in the workspace");
    }
}

#[test]
fn only_the_transport_imports_pingora() {
    for package in metadata().workspace_packages() {
        let name = package.name.as_str();
        let found = imports(package)
            .into_iter()
            .find(|import| import.starts_with("pingora"));
        assert!(
            found.is_none() || PINGORA_USERS.contains(&name),
            "{name} may not import {}",
            found.unwrap_or_default()
        );
    }
}

/// A permit is made from a passage, and only the pipeline may begin one: whoever reads that one screen
/// has seen every way to an upstream.
#[test]
fn only_the_pipeline_makes_permits() {
    let mut offenders = Vec::new();
    visit(&workspace().join("edge"), &mut |path, text| {
        let at_home = path.ends_with("edge/src/pipeline.rs")
            || path.starts_with(workspace().join("edge/core"));
        if text.contains("Passage") && !at_home {
            offenders.push(path.to_path_buf());
        }
    });
    assert!(
        offenders.is_empty(),
        "only edge/src/pipeline.rs may name Passage: {offenders:?}"
    );
}

/// The workspace forbids unsafe code; a package that does not inherit its lints would not.
#[test]
fn every_package_inherits_the_lints_that_forbid_unsafe_code() {
    let root = fs::read_to_string(workspace().join("Cargo.toml")).unwrap();
    assert!(root.contains("unsafe_code = \"forbid\""));
    for package in metadata().workspace_packages() {
        let manifest = fs::read_to_string(&package.manifest_path).unwrap();
        let inherits = manifest.contains("[lints]\nworkspace = true");
        assert!(
            inherits,
            "{} does not inherit the workspace's lints",
            package.name
        );
    }
}

fn visit(folder: &Path, look: &mut impl FnMut(&Path, &str)) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            visit(&path, look);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            look(&path, &fs::read_to_string(&path).unwrap());
        }
    }
}
