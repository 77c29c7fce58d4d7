//! Sites that share rules and differ in what they make of them; reloads that keep what did not change.

use std::fs;

use harness::gateway::{eventually, palisade};
use harness::{Client, Gateway, Upstream};

const SITES: &str = r#"
upstreams: { app: { servers: ["${UPSTREAM}"] } }
profiles:
  default:
    waf: { rules: [], files: ["rules/*.conf"] }
routes:
  - { name: plain, paths: [{ prefix: /plain }], upstream: app }
  - name: tuned
    paths: [{ prefix: /tuned }]
    upstream: app
    waf:
      tx: { threshold: 10 }
      disabled_rules: [100-199]
      exclusions: [{ tags: [words], targets: ["ARGS:article", "ARGS:doc.*"] }]
  - { name: strict, paths: [{ prefix: /strict }], upstream: app, waf: { tx: { level: 2 } } }
  - { name: watched, paths: [{ prefix: /watched }], upstream: app, waf: { mode: detect } }
"#;

const RULES: &str = r#"
SecAction "id:1,phase:1,pass,nolog,setvar:tx.level=1,setvar:tx.threshold=5"
SecRule ARGS "@contains numbered" "id:100,phase:1,deny"
SecRule ARGS "@contains evil" "id:200,phase:1,pass,tag:words,setvar:tx.score=+5"
SecRule ARGS_GET "@contains bad" "id:201,phase:1,pass,tag:words,setvar:tx.score=+5"
SecRule TX:level "@lt 2" "id:300,phase:1,pass,nolog,skipAfter:STRICT"
SecRule ARGS "@contains odd" "id:301,phase:1,deny"
SecMarker STRICT
SecRule TX:score "@ge %{tx.threshold}" "id:900,phase:1,deny"
"#;

#[test]
fn routes_change_what_they_share_and_nothing_for_each_other() {
    let upstream = Upstream::answering(|_| harness::Answer::text("here"));
    let plan = Gateway::routing(SITES).before(&upstream);
    let gateway = plan.file("rules/site.conf", RULES).start();
    let status = |target: &str| Client::get(&gateway.address, target).status;
    for (target, expected) in [
        ("/plain?q=evil", 403),
        ("/plain?q=numbered", 403),
        ("/plain?article=evil", 403),
        ("/plain?q=odd", 200),
        // A higher threshold, a rule less, two values that one kind of rule does not look at.
        ("/tuned?q=evil", 200),
        ("/tuned?q=evil+bad", 403),
        ("/tuned?q=numbered", 200),
        ("/tuned?article=evil+bad", 200),
        ("/tuned?doc.a.b=evil+bad", 200),
        ("/tuned?document=evil+bad", 403),
        // The setup rule sets the level to 1 after it was fixed at 2.
        ("/strict?q=odd", 403),
        ("/strict?q=even", 200),
        ("/watched?q=evil", 200),
    ] {
        assert_eq!(status(target), expected, "{target}");
    }
}

#[test]
fn check_points_at_settings_the_rules_have_no_place_for() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("site.conf"), RULES).unwrap();
    let yaml = r#"listeners: [{ address: "127.0.0.1:0" }]
upstreams: { app: { servers: ["http://127.0.0.1:9"] } }
profiles:
  default:
    waf:
      rules: []
      files: [site.conf]
      tx: { treshold: 7 }
      disabled_rules: [100, 101]
routes:
  - upstream: app
    waf:
      crs: { paranoia: 2 }
      disabled_files: [other.conf]
      exclusions:
        - { tags: [words], targets: ["ARG:x"] }
"#;
    let path = folder.path().join("site.yaml");
    let check = |yaml: &str| {
        fs::write(&path, yaml).unwrap();
        palisade(&["check", "--config", path.to_str().unwrap()], &[], b"")
    };
    let said = check(yaml);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("site.yaml:13:"), "{}", said.err);
    let said = check(&yaml.replace("      crs: { paranoia: 2 }\n", ""));
    assert_eq!(said.code, 1);
    for word in [
        "site.yaml:8:23:",
        "did you mean `threshold`?",
        "site.yaml:9:29:",
        "site.yaml:13:24:",
        "site.yaml:15:39:",
        "did you mean `ARGS`?",
    ] {
        assert!(said.err.contains(word), "{word} is missing:\n{}", said.err);
    }
}

#[test]
fn explain_shows_what_is_laid_over_the_rules() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("rules")).unwrap();
    fs::write(folder.path().join("rules/site.conf"), RULES).unwrap();
    let path = folder.path().join("site.yaml");
    fs::write(
        &path,
        format!("listeners: [{{ address: \"127.0.0.1:0\" }}]\n{SITES}"),
    )
    .unwrap();
    let variables = [("UPSTREAM", "http://127.0.0.1:9")];
    let explain = |target: &str| {
        let request = format!("GET {target} HTTP/1.1\nHost: a\n\n");
        let arguments = ["explain", "--config", path.to_str().unwrap(), "-"];
        palisade(&arguments, &variables, request.as_bytes()).out
    };
    let tuned = explain("/tuned?q=evil");
    let note = "over the shared rules: tx.threshold=10, 1 rules disabled, 2 exclusions";
    assert!(tuned.contains(note), "{tuned}");
    assert!(!explain("/plain?q=evil").contains("over the shared rules"));
}

#[test]
fn a_reload_compiles_only_rules_whose_files_changed() {
    let upstream = Upstream::answering(|_| harness::Answer::text("here"));
    let plan = Gateway::routing(SITES).before(&upstream);
    let gateway = plan.file("rules/site.conf", RULES).start();
    let count = |line: &str| {
        let log = gateway.log();
        log.lines().filter(|found| found.contains(line)).count()
    };
    gateway.signal("HUP");
    eventually("a reload", || (count("compiled=0") == 1).then_some(()));
    let folder = gateway.folder().join("rules");
    fs::write(folder.join("site.conf"), RULES.replace("evil", "vile")).unwrap();
    eventually("the new rules", || {
        let vile = Client::get(&gateway.address, "/plain?q=vile").status;
        (vile == 403).then_some(())
    });
    assert_eq!(Client::get(&gateway.address, "/plain?q=evil").status, 200);
    assert_eq!(count("compiled=1"), 1);
}

/// The long variant, with the Core Rule Set, is in `make soak`.
#[test]
fn thirty_reloads_of_changed_rules_leave_the_resident_size_where_it_was() {
    let upstream = Upstream::answering(|_| harness::Answer::text("here"));
    let waf = "upstreams: { app: { servers: [\"${UPSTREAM}\"] } }\nprofiles: { default: { waf: { files: [extra.conf] } } }\nroutes: [{ upstream: app }]\n";
    let plan = Gateway::routing(waf).before(&upstream);
    let gateway = plan.file("extra.conf", "").start();
    let reload = |number: u32| {
        let rule = format!("SecRule ARGS \"@rx word{number}\" \"id:1,phase:1,deny\"");
        let aside = gateway.folder().join("extra.new");
        fs::write(&aside, rule).unwrap();
        fs::rename(&aside, gateway.folder().join("extra.conf")).unwrap();
        gateway.signal("HUP");
        eventually("the new rule", || {
            let target = format!("/?q=word{number}");
            (Client::get(&gateway.address, &target).status == 403).then_some(())
        });
    };
    (0..10).for_each(reload);
    let before = gateway.resident_kib();
    (10..40).for_each(reload);
    let after = gateway.resident_kib();
    println!("measured: 30 reloads of changed rules: {before} KiB before, {after} KiB after");
    assert!(
        after < before + before / 4,
        "{before} KiB grew to {after} KiB"
    );
}
