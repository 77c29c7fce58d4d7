//! Documents say what is true: links lead somewhere, examples load, commands in README exist.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use harness::gateway::palisade;
use harness::tls::{Authority, KeyKind};
use harness::{corpus, skipped, workspace};
use serde_json::Value;

const VARIABLES: [(&str, &str); 2] = [
    ("LISTEN", "127.0.0.1:0"),
    ("UPSTREAM", "http://127.0.0.1:9"),
];

/// Folders that hold no documents of ours.
const FOREIGN: &[&str] = &[
    "target",
    ".git",
    ".run",
    "node_modules",
    "corpus",
    "artifacts",
];

#[test]
fn every_relative_link_leads_to_a_file() {
    let mut broken = Vec::new();
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for link in links(&text) {
            let target = link.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            if !document.parent().unwrap().join(target).exists() {
                broken.push(format!("{}: {link}", name(&document)));
            }
        }
    }
    assert!(broken.is_empty(), "broken links:\n{}", broken.join("\n"));
}

#[test]
fn every_decision_is_listed_in_the_index() {
    let index = fs::read_to_string(workspace().join("docs/README.md")).unwrap();
    for entry in fs::read_dir(workspace().join("docs/decisions")).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            index.contains(&format!("decisions/{file}")),
            "{file} is not in docs/README.md"
        );
    }
}

#[test]
fn every_make_verb_in_a_document_exists() {
    let makefile = fs::read_to_string(workspace().join("Makefile")).unwrap();
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for verb in text
            .split('`')
            .filter_map(|span| span.strip_prefix("make "))
        {
            let verb = verb.split_whitespace().next().unwrap_or_default();
            assert!(
                makefile.contains(&format!("\n{verb}:")),
                "{} speaks of `make {verb}`",
                name(&document)
            );
        }
    }
}

#[test]
fn every_command_in_a_document_exists() {
    let mut verbs = BTreeSet::new();
    for document in documents() {
        for block in blocks(&fs::read_to_string(&document).unwrap(), "sh") {
            for line in block.lines() {
                let (program, arguments) = line.trim().split_once(' ').unwrap_or_default();
                if program.rsplit('/').next() == Some("palisade") {
                    verbs.extend(arguments.split_whitespace().next().map(str::to_owned));
                }
            }
        }
    }
    assert!(
        verbs.contains("run") && verbs.contains("explain"),
        "{verbs:?}"
    );
    for verb in verbs {
        let said = palisade(&[&verb, "--help"], &[], b"");
        assert_eq!(said.code, 0, "palisade {verb}: {}", said.err);
    }
}

#[test]
fn every_whole_configuration_in_a_document_passes_check() {
    let folder = tempfile::tempdir().unwrap();
    let mut checked = 0;
    for document in documents() {
        for block in blocks(&fs::read_to_string(&document).unwrap(), "yaml") {
            if !block.starts_with("listeners:") {
                continue;
            }
            let path = folder.path().join("snippet.yaml");
            fs::write(&path, &block).unwrap();
            let said = palisade(
                &["check", "--config", path.to_str().unwrap()],
                &VARIABLES,
                b"",
            );
            assert_eq!(said.code, 0, "{}:\n{block}\n{}", name(&document), said.err);
            checked += 1;
        }
    }
    assert!(checked > 0, "no configuration was found");
}

#[test]
fn every_example_passes_check() {
    // Without the CRS the rules themselves cannot be loaded; a folder that is there serves the rest.
    let crs = corpus("CRS_DIR", "crs4");
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("decisions.jsonl");
    let pem = Authority::new("test").server(&["app.example.com"], KeyKind::Ecdsa, 1);
    let (certificate, key) = (folder.path().join("a.crt"), folder.path().join("a.key"));
    fs::write(&certificate, &pem.certificate).unwrap();
    fs::write(&key, &pem.key).unwrap();
    let (mut checked, mut left_out) = (0, Vec::new());
    for entry in fs::read_dir(workspace().join("deploy/examples")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "yaml") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        if text.contains("${CRS_DIR") && crs.is_none() {
            left_out.push(name(&path));
            continue;
        }
        let crs = crs.as_deref().unwrap_or(Path::new("."));
        let said = palisade(
            &["check", "--config", path.to_str().unwrap()],
            &[
                ("LISTEN", "127.0.0.1:0"),
                ("UPSTREAM", "http://127.0.0.1:9"),
                ("AUDIT_LOG", record.to_str().unwrap()),
                ("CRS_DIR", crs.to_str().unwrap()),
                ("TLS_CERT", certificate.to_str().unwrap()),
                ("TLS_KEY", key.to_str().unwrap()),
            ],
            b"",
        );
        assert_eq!(said.code, 0, "{}:\n{}{}", name(&path), said.out, said.err);
        checked += 1;
    }
    assert!(checked >= 2, "only {checked} examples were found");
    if !left_out.is_empty() {
        skipped(
            "examples-with-crs",
            &format!("{left_out:?}: set CRS_DIR to an OWASP CRS checkout"),
        );
    }
}

#[test]
fn every_key_of_the_schema_stands_in_the_full_example() {
    let schema = fs::read_to_string(workspace().join("docs/palisade.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let example = fs::read_to_string(workspace().join("deploy/examples/full.yaml")).unwrap();
    let example: Value = serde_norway::from_str(&with_commented_keys(&example)).unwrap();
    let mut comparison = Comparison {
        root: &schema,
        keys: 0,
        missing: Vec::new(),
    };
    comparison.compare(&schema, &[&example], "");
    let Comparison { keys, missing, .. } = comparison;
    assert!(keys > 60, "only {keys} keys were found in the schema");
    assert!(
        missing.is_empty(),
        "full.yaml lacks:\n{}",
        missing.join("\n")
    );
}

/// Comments that are a key and its value count: what needs a value of the reader's is written so.
fn with_commented_keys(yaml: &str) -> String {
    let line = |line: &str| {
        let text = line.trim_start();
        let (indent, commented) = (line.len() - text.len(), text.strip_prefix("# "));
        let commented = commented.filter(|text| {
            let key = text.split_once(": ").map(|(key, _)| key);
            key.is_some_and(|key| key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
        });
        commented.map_or(line.to_owned(), |text| " ".repeat(indent) + text)
    };
    yaml.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// A schema beside an instance of it.
struct Comparison<'a> {
    root: &'a Value,
    keys: usize,
    missing: Vec<String>,
}

impl Comparison<'_> {
    /// Notes the keys that `schema` has and none of `values`, all of which stand where it does.
    fn compare(&mut self, schema: &Value, values: &[&Value], path: &str) {
        let target = schema["$ref"]
            .as_str()
            .and_then(|name| name.strip_prefix('#'));
        if let Some(target) = target.and_then(|pointer| self.root.pointer(pointer)) {
            self.compare(&target.clone(), values, path);
        }
        for (key, below) in schema["properties"].as_object().into_iter().flatten() {
            self.keys += 1;
            let path = format!("{path}.{key}");
            let inner: Vec<&Value> = values.iter().filter_map(|value| value.get(key)).collect();
            if inner.is_empty() {
                self.missing.push(path);
            } else {
                self.compare(below, &inner, &path);
            }
        }
        for variants in ["anyOf", "oneOf"] {
            for variant in schema[variants].as_array().into_iter().flatten() {
                self.compare(variant, values, path);
            }
        }
        let items: Vec<&Value> = values
            .iter()
            .filter_map(|v| v.as_array())
            .flatten()
            .collect();
        let members = values.iter().filter_map(|v| v.as_object());
        let members: Vec<&Value> = members.flat_map(|map| map.values()).collect();
        for (below, inner) in [("items", items), ("additionalProperties", members)] {
            if schema[below].is_object() {
                self.compare(&schema[below], &inner, &format!("{path}[]"));
            }
        }
    }
}

/// Every Markdown file of ours.
fn documents() -> Vec<PathBuf> {
    let mut found = Vec::new();
    collect(workspace(), &mut found);
    assert!(found.len() > 5, "the documents are there");
    found
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let file = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if path.is_dir() && !FOREIGN.contains(&file) {
            collect(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "md") {
            found.push(path);
        }
    }
}

/// The fenced blocks of a language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    text.split(&fence)
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .map(str::to_owned)
        .collect()
}

/// Targets of inline links and of reference definitions, fenced code left out.
fn links(text: &str) -> Vec<String> {
    let mut links = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        let mut rest = line;
        while let Some((_, after)) = rest.split_once("](") {
            let (target, after) = after.split_once(')').unwrap_or((after, ""));
            links.push(target.to_owned());
            rest = after;
        }
        if let Some((_, target)) = line
            .strip_prefix('[')
            .and_then(|line| line.split_once("]: "))
        {
            links.push(target.trim().to_owned());
        }
    }
    links
}

fn name(path: &Path) -> String {
    let path = path.strip_prefix(workspace()).unwrap_or(path);
    path.display().to_string()
}
