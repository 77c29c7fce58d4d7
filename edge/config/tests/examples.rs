//! Every file in `deploy/examples` loads with only the variables it names, and the JSON schemas in
//! `docs/` are those of the code. `UPDATE_SCHEMA=1 cargo test -p edge-config` writes them anew.

use std::fs;
use std::path::{Path, PathBuf};

use edge_config::{Loaded, load};
use edge_core::Mode;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn variables(name: &str) -> Option<String> {
    let value = match name {
        "LISTEN" => "127.0.0.1:18080",
        "UPSTREAM" => "http://127.0.0.1:18081",
        "AUDIT_LOG" => "/tmp/audit.jsonl",
        "LISTEN_TLS" => "127.0.0.1:18443",
        "TLS_CERT" => "/etc/palisade/fullchain.pem",
        "TLS_KEY" => "/etc/palisade/key.pem",
        "CRS_DIR" => "/opt/crs4",
        _ => return None,
    };
    Some(value.to_owned())
}

fn example(name: &str) -> Loaded {
    let path = root().join("deploy/examples").join(name);
    match load(&path, &variables) {
        Ok(loaded) => loaded,
        Err(mistakes) => {
            let shown: String = mistakes
                .iter()
                .map(|mistake| format!("{mistake}\n\n"))
                .collect();
            unreachable!("{shown}")
        }
    }
}

#[test]
fn every_example_loads_without_a_warning() {
    let mut names = Vec::new();
    for entry in fs::read_dir(root().join("deploy/examples")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".yaml") {
            let loaded = example(&name);
            assert_eq!(loaded.warnings, [], "{name}");
            assert_eq!(
                loaded.policy.listeners()[0].address().port(),
                18080,
                "{name}"
            );
            names.push(name);
        }
    }
    names.sort();
    let known = [
        "acme.yaml",
        "crs-regression.yaml",
        "crs.yaml",
        "full.yaml",
        "plain.yaml",
        "tls.yaml",
        "waf.yaml",
    ];
    assert_eq!(names, known);
}

#[test]
fn examples_can_run_side_by_side() {
    for name in [
        "plain.yaml",
        "waf.yaml",
        "crs.yaml",
        "crs-regression.yaml",
        "full.yaml",
    ] {
        assert_eq!(
            example(name).policy.admin().map(|address| address.port()),
            Some(0),
            "{name}"
        );
    }
}

#[test]
fn an_example_is_what_its_name_says() {
    let waf = |name: &str| example(name).policy.profiles()["default"].waf().clone();
    assert_eq!(waf("plain.yaml").mode, Mode::Off);
    assert_eq!(waf("waf.yaml").mode, Mode::Block);
    let crs = waf("crs.yaml");
    assert_eq!(
        (
            crs.mode,
            crs.rules.crs.paranoia,
            crs.rules.crs.inbound_threshold
        ),
        (Mode::Block, 1, 5)
    );
    let regression = waf("crs-regression.yaml");
    assert_eq!(
        (regression.mode, regression.rules.crs.paranoia),
        (Mode::Detect, 4)
    );
    assert_eq!(regression.rules.crs_dir.as_deref(), Some("/opt/crs4"));
}

#[test]
fn full_writes_the_defaults_out() {
    let full = example("full.yaml").policy;
    let waf = example("waf.yaml").policy;
    let (a, b) = (&full.profiles()["default"], &waf.profiles()["default"]);
    assert_eq!((a.body(), a.response()), (b.body(), b.response()));
    let (a, b) = (&full.upstreams()["app"], &waf.upstreams()["app"]);
    assert_eq!((a.timeouts(), a.retries()), (b.timeouts(), b.retries()));
    assert_eq!((a.limits(), a.slow_start()), (b.limits(), b.slow_start()));
    assert_eq!(full.resolver(), waf.resolver());
    assert_eq!(
        (a.ejection(), a.keepalive(), a.tls()),
        (b.ejection(), b.keepalive(), b.tls())
    );
    assert_eq!(full.drain(), waf.drain());
    let listeners = [full.listeners(), waf.listeners()];
    let [a, b] = listeners.map(|listeners| format!("{:?}", listeners[0]));
    assert_eq!(a, b);
}

#[test]
fn the_committed_schemas_are_those_of_the_code() {
    for (name, schema) in [
        ("palisade.schema.json", edge_config::schema()),
        (
            "palisade-conf.d.schema.json",
            edge_config::fragment_schema(),
        ),
    ] {
        let path = root().join("docs").join(name);
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
            fs::write(&path, text).unwrap();
        }
        // Compared as values: another crate's features may change the order of keys.
        let text = fs::read_to_string(&path).unwrap_or_default();
        let committed: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        assert!(
            committed == schema,
            "docs/{name} is stale: UPDATE_SCHEMA=1 cargo test -p edge-config"
        );
    }
}
