//! Whole files through the loader.

use std::fs;

use super::*;
use crate::policy::{Place, Policy};

const MINIMAL: &str = "\
listeners: [{address: '127.0.0.1:8080'}]
upstreams: {app: {servers: ['http://127.0.0.1:9000']}}
routes: [{upstream: app}]
";

fn no_env(_: &str) -> Option<String> {
    None
}

fn load(text: &str) -> Result<Loaded, Vec<Diagnostic>> {
    load_text("p.yaml", text, &no_env)
}

/// The mistakes as `line:column message`.
fn mistakes(text: &str) -> Vec<String> {
    let short = |d: Diagnostic| {
        let Position { line, column, .. } = d.position;
        format!("{line}:{column} {}", d.message)
    };
    match load(text) {
        Ok(_) => Vec::new(),
        Err(mistakes) => mistakes.into_iter().map(short).collect(),
    }
}

#[test]
fn three_lines_are_enough() {
    let loaded = load(MINIMAL).unwrap();
    assert_eq!(loaded.warnings, []);
    let policy = loaded.policy;
    assert_eq!(policy.listeners().len(), 1);
    assert_eq!(policy.admin(), Some("127.0.0.1:9901".parse().unwrap()));
    let route = policy.routes().routes().next().unwrap();
    assert_eq!(
        (&**route.name(), &**route.upstream().name()),
        ("route-1", "app")
    );
    let profile = route.profile();
    assert_eq!(&**profile.name(), "default");
    assert_eq!(profile.waf().mode, edge_core::Mode::Block);
    assert_eq!(
        (profile.body().inspect, profile.body().limit),
        (131_072, 13_107_200)
    );
    let upstream = route.upstream();
    assert_eq!(upstream.retries().budget_percent, 20);
    assert_eq!(upstream.ejection().map(|e| e.failures), Some(5));
}

#[test]
fn every_kind_of_mistake_is_reported_at_once_with_its_place() {
    let text = "\
listners: [{address: '127.0.0.1:1'}]
listeners: [{address: here}]
upstreams:
  app: {servers: ['http://127.0.0.1:9000/path'], timeouts: {conect: 5s, read: soon}}
  two: {servers: [], balance: random}
profiles:
  strict: {waf: {mode: blok, crs: {paranoia: 9}}, body: {inspect: 1}}
routes:
  - {upstream: ap, profile: strict, paths: [{prefix: a}, {regex: '('}]}
  - {paths: [{prefx: /}], upstream: two}
drain: [1]
";
    let found = mistakes(text);
    let expected = [
        "1:1 unknown key `listners`",
        "2:23 expected an address and port, `0.0.0.0:8080`",
        "4:19 a server's URL takes no path or query",
        "4:61 unknown key `conect`",
        "4:79 expected a duration such as",
        "5:18 expected at least 1 here",
        "5:31 unknown word `random`",
        "7:24 unknown word `blok`",
        "7:46 expected at most 4",
        "7:67 expected a size such as",
        "9:16 there is no upstream of this name",
        "9:54 a path starts with `/`",
        "9:66 not a valid regular expression",
        "10:15 unknown key `prefx`",
        "11:8 expected text or a whole number, found a list",
    ];
    for (found, expected) in found.iter().zip(&expected) {
        assert!(found.starts_with(expected), "{found:?} {expected:?}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn a_mistake_shows_line_caret_and_what_was_meant() {
    let text = MINIMAL.replace(
        "routes:",
        "profiles: {default: {wfa: {mode: off}}}\nroutes:",
    );
    let shown = load(&text).unwrap_err()[0].to_string();
    let expected = "\
p.yaml:3:22: error: unknown key `wfa`
 3 | profiles: {default: {wfa: {mode: off}}}
   |                      ^^^
   = did you mean `waf`?";
    assert_eq!(shown, expected);
}

#[test]
fn what_follows_from_a_mistake_is_not_reported_as_another() {
    let text = MINIMAL.replace("servers: ['http://127.0.0.1:9000']", "serverz: [x]");
    assert_eq!(mistakes(&text), ["2:19 unknown key `serverz`"]);
    let text = MINIMAL.replace(
        "upstreams: {app: {servers: ['http://127.0.0.1:9000']}}",
        "upstreams: {app: 1}",
    );
    assert_eq!(mistakes(&text), ["2:18 expected a mapping, found a number"]);
}

#[test]
fn a_missing_section_is_named() {
    assert_eq!(
        mistakes("routes: [{upstream: app}]\n"),
        ["1:1 missing key `listeners`"]
    );
    let found = mistakes("listeners: [{address: '127.0.0.1:1'}]\n");
    assert_eq!(
        found,
        ["1:1 no route: every request would be answered with 404"]
    );
}

#[test]
fn the_environment_is_expanded_and_its_values_are_never_shown() {
    let text = MINIMAL
        .replace("'http://127.0.0.1:9000'", "\"${UPSTREAM}\"")
        .replace("routes:", "workers: ${N}\ndrain: ${DRAIN:-10s}\nroutes:");
    let good = |name: &str| match name {
        "UPSTREAM" => Some("http://10.0.0.7:81".to_owned()),
        "N" => Some("3".to_owned()),
        _ => None,
    };
    let policy = load_text("p.yaml", &text, &good).unwrap().policy;
    assert_eq!(policy.workers().map(std::num::NonZero::get), Some(3));
    assert_eq!(policy.drain().as_secs(), 10);
    assert_eq!(port(&policy), 81);

    let secret = |_: &str| Some("hunter2 hunter2".to_owned());
    let found = load_text("p.yaml", &text, &secret).unwrap_err();
    assert_eq!(found.len(), 3, "{found:#?}");
    for mistake in found {
        assert!(!mistake.to_string().contains("hunter2"), "{mistake}");
    }
    assert_eq!(
        mistakes(&text),
        [
            "2:29 environment variable `UPSTREAM` is not set",
            "3:10 environment variable `N` is not set"
        ]
    );
}

#[test]
fn a_password_in_a_url_is_not_repeated() {
    let text = MINIMAL.replace("http://127.0.0.1:9000", "http://me:hunter2@host");
    let found = load(&text).unwrap_err();
    assert_eq!((found.len(), found[0].position.line), (1, 2));
    assert!(!found[0].to_string().contains("hunter2"), "{}", found[0]);
}

#[test]
fn a_variable_cannot_add_configuration() {
    let text = format!("{MINIMAL}trusted_proxies: [\"${{P}}\"]\n");
    let evil = |_: &str| Some("10.0.0.0/8\"]\nadmin: off\n#".to_owned());
    let found = load_text("p.yaml", &text, &evil).unwrap_err();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].message, "expected an address or a network");
}

#[test]
fn doubtful_settings_are_warnings() {
    let text = MINIMAL
        .replace(
            "upstreams: {",
            "upstreams: {spare: {servers: ['http://s']}, ",
        )
        .replace("routes: [", "routes: [{name: first, upstream: app}, ")
        + "trusted_proxies: ['0.0.0.0/0']\nadmin: {address: '0.0.0.0:9901'}\n";
    let warnings = load(&text).unwrap().warnings;
    let messages: Vec<&str> = warnings.iter().map(|w| w.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "no route uses this upstream",
            "`first` already takes these requests",
            "every client may name its own address",
            "the admin listener can be reached from other machines",
        ]
    );
}

#[test]
fn admin_is_an_address_or_off() {
    let admin = |value: &str| {
        load(&format!("{MINIMAL}admin: {value}\n")).map(|loaded| loaded.policy.admin())
    };
    assert_eq!(admin("off").unwrap(), None);
    assert_eq!(
        admin("{address: '[::1]:0'}").unwrap(),
        Some("[::1]:0".parse().unwrap())
    );
    assert!(admin("on").is_err() && admin("{adress: x}").is_err());
}

#[test]
fn admin_hosts_are_names_without_a_port() {
    let hosts = |value: &str| {
        load(&format!("{MINIMAL}admin: {{ hosts: [{value}] }}\n"))
            .map(|loaded| loaded.policy.admin_hosts().to_vec())
    };
    assert_eq!(hosts("gateway.internal").unwrap(), ["gateway.internal"]);
    assert!(hosts("'gateway.internal:9901'").is_err() && hosts("'*.internal'").is_err());
}

#[test]
fn conf_d_adds_and_a_name_twice_names_both_places() {
    let dir = tempfile::tempdir().unwrap();
    let main = dir.path().join("main.yaml");
    fs::write(&main, MINIMAL).unwrap();
    let conf_d = dir.path().join("conf.d");
    fs::create_dir(&conf_d).unwrap();
    let part = "upstreams: {b: {servers: ['http://b']}}\nroutes: [{name: b, hosts: [b.example], upstream: b}]\n";
    fs::write(conf_d.join("b.yaml"), part).unwrap();
    fs::write(conf_d.join("ignored.yaml.bak"), "nonsense: [").unwrap();
    let mut watch = Vec::new();
    let loaded = load_watching(&main, &no_env, &mut watch).unwrap();
    assert_eq!(loaded.policy.upstreams().len(), 2);
    assert_eq!(loaded.policy.routes().len(), 2);
    assert_eq!(watch, [main.clone(), conf_d.clone()]);

    fs::write(conf_d.join("c.yaml"), part).unwrap();
    fs::write(conf_d.join("d.yaml"), "listeners: []\n").unwrap();
    let mut watch = Vec::new();
    let found = load_watching(&main, &no_env, &mut watch).unwrap_err();
    assert!(watch.contains(&conf_d), "to be mended");
    let errors = found.iter().filter(|d| d.level == Level::Error);
    let shown: Vec<String> = errors.map(ToString::to_string).collect();
    assert_eq!(shown.len(), 3, "{shown:#?}");
    assert!(shown.iter().any(
        |s| s.contains("c.yaml:1:13: error: `upstreams.b` is defined twice")
            && s.contains("b.yaml:1:13")
    ));
    assert!(
        shown
            .iter()
            .any(|s| s.contains("another route has this name"))
    );
    assert!(
        shown
            .iter()
            .any(|s| s.contains("d.yaml:1:1: error: unknown key `listeners`"))
    );
}

#[test]
fn an_included_file_that_is_missing_is_an_error_where_it_was_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let main = dir.path().join("main.yaml");
    fs::write(&main, format!("{MINIMAL}include: [sites.yaml]\n")).unwrap();
    let found = super::load(&main, &no_env).unwrap_err();
    assert_eq!((found.len(), found[0].position.line), (1, 4));
}

#[test]
fn a_path_belongs_to_where_it_was_written() {
    let text = format!(
        "{MINIMAL}profiles: {{default: {{waf: {{rules: [crs], crs_dir: \"${{CRS_DIR:-crs}}\", files: [x.conf, /y.conf]}}}}}}\n"
    );
    let dir = |env: &dyn Env| {
        let policy = load_text("/etc/p/main.yaml", &text, env).unwrap().policy;
        let rules = &policy.profiles()["default"].waf().rules;
        (rules.crs_dir.clone().unwrap(), rules.files.clone())
    };
    let (crs, files) = dir(&no_env);
    assert_eq!(crs, "/etc/p/crs");
    assert_eq!(files, ["/etc/p/x.conf", "/y.conf"]);
    assert_eq!(dir(&|_: &str| Some("./crs4".to_owned())).0, "./crs4");
}

#[test]
fn directives_know_the_line_they_stand_on() {
    let text = format!(
        "{MINIMAL}profiles:\n  default:\n    waf:\n      directives: |\n\n        # first\n        SecX\n      directives_after: 'SecY'\n"
    );
    let policy = load(&text).unwrap().policy;
    let waf = policy.profiles()["default"].waf();
    let lines: Vec<&str> = text.lines().collect();
    let line = |key: &str| lines[waf.origins[key].lines_before].trim();
    assert_eq!(line("directives"), "");
    assert_eq!(
        lines[waf.origins["directives"].lines_before + 1].trim(),
        "# first"
    );
    assert_eq!(line("directives_after"), "directives_after: 'SecY'");
    assert_eq!(&*waf.origins["directives"].file, "p.yaml");
}

#[test]
fn quick_needs_no_file() {
    let loaded = quick("http://127.0.0.1:3000", "127.0.0.1:0", "off").unwrap();
    assert_eq!(port(&loaded.policy), 3000);
    let found = quick("127.0.0.1:3000", "here", "off").unwrap_err();
    assert_eq!(found.len(), 2, "{found:#?}");
}

#[test]
fn a_file_that_is_not_there_is_one_clear_error() {
    let found = super::load(FilePath::new("/nowhere/p.yaml"), &no_env).unwrap_err();
    assert!(
        found[0]
            .to_string()
            .starts_with("/nowhere/p.yaml: error: cannot open")
    );
}

#[test]
fn https_servers_are_verified_unless_the_operator_says_otherwise() {
    let https = MINIMAL.replace("http://127.0.0.1:9000", "https://app.internal");
    let loaded = load(&https).unwrap();
    assert!(loaded.policy.upstreams()["app"].tls().verify);
    let lax = https.replace("servers:", "tls: {verify: false}, servers:");
    assert_eq!(load(&lax).unwrap().warnings.len(), 1);
    let h2c = https.replace("servers:", "protocol: h2c, servers:");
    assert_eq!(mistakes(&h2c).len(), 1);
}

#[test]
fn no_damage_to_a_file_makes_the_loader_panic() {
    let full = include_str!("../../../../deploy/examples/full.yaml");
    let env = |_: &str| Some("http://127.0.0.1:1".to_owned());
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let pieces = [
        "{", "}", "[", "]", ": ", "\n", "- ", "|", "${", "&a", "*a", "\"", "\t", "\u{1}", "é", "0",
    ];
    for _ in 0..400 {
        let mut chars: Vec<char> = full.chars().collect();
        for _ in 0..=random(3) {
            let at = random(chars.len());
            match random(3) {
                0 => drop(chars.drain(at..(at + random(40)).min(chars.len()))),
                1 => drop(chars.splice(at..at, pieces[random(pieces.len())].chars())),
                _ => chars.truncate(at.max(1)),
            }
        }
        let text: String = chars.into_iter().collect();
        for mistake in load_text("p.yaml", &text, &env).err().into_iter().flatten() {
            assert!(!mistake.to_string().is_empty());
        }
    }
}

/// The port of the only server of `app`.
fn port(policy: &Policy) -> u16 {
    match &policy.upstreams()["app"].servers()[0].place {
        Place::Net { port, .. } => *port,
        Place::Socket(path) => panic!("{}", path.display()),
    }
}
