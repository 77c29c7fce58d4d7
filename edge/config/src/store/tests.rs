//! What is loaded step by step is what a fresh load gives.

use std::fmt::Write as _;

use bytes::Bytes;
use edge_core::Head;

use super::*;
use crate::policy::Place;
use crate::routes::RouteQuery;

fn no_env(_: &str) -> Option<String> {
    None
}

struct Folder {
    folder: tempfile::TempDir,
    store: Store,
    /// Changed since the last look.
    touched: BTreeSet<PathBuf>,
}

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("conf.d")).unwrap();
        let store = Store::new(folder.path().join("palisade.yaml"));
        let mut all = Self {
            folder,
            store,
            touched: BTreeSet::new(),
        };
        all.write("palisade.yaml", MAIN);
        all
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(name)
    }

    fn write(&mut self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        self.touched.insert(self.path(name));
    }

    fn remove(&mut self, name: &str) {
        let _ = fs::remove_file(self.path(name));
        self.touched.insert(self.path(name));
    }

    fn refresh(&mut self, change: &Change) -> Result<Refreshed, Vec<Diagnostic>> {
        self.store.refresh(change, &no_env, &mut Vec::new())
    }

    /// Takes in what was touched.
    fn step(&mut self) -> Refreshed {
        let change = Change::Files(std::mem::take(&mut self.touched));
        self.refresh(&change).unwrap()
    }
}

const MAIN: &str = "\
listeners: [{address: '127.0.0.1:1'}]
upstreams: {app: {servers: ['http://main']}}
profiles: {loose: {body: {limit: 3MiB}}}
routes: [{upstream: app}]
";

fn host(number: usize, upstream: &str) -> String {
    format!("routes: [{{hosts: [h{number}.example], upstream: {upstream}}}]\n")
}

fn own(number: usize, server: &str) -> String {
    format!("upstreams: {{u{number}: {{servers: ['http://{server}']}}}}\n")
}

/// Everything a request can notice of a policy.
fn shown(policy: &Policy) -> String {
    let mut lines: Vec<String> = Vec::new();
    for route in policy.routes().routes() {
        let hosts: Vec<String> = route.hosts().collect();
        lines.push(format!(
            "{} {hosts:?} {:?} {:?} {:?}",
            route.name(),
            route.upstream(),
            route.profile(),
            route.waf()
        ));
    }
    lines.extend(policy.upstreams().values().map(|u| format!("{u:?}")));
    lines.extend(policy.profiles().values().map(|p| format!("{p:?}")));
    lines.sort();
    for number in 0..12 {
        for host in [
            format!("h{number}.example"),
            format!("x.h{number}.example"),
            "other".into(),
        ] {
            for path in ["/", "/a", "/a/b"] {
                let text = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
                let head = Head::parse(Bytes::from(text.into_bytes()), 64).unwrap();
                let found = policy.routes().find(&RouteQuery::new(&head)).unwrap();
                let name = found.map_or("none", |route| &**route.name());
                lines.push(format!("{host}{path} {name}"));
            }
        }
    }
    let mut text = format!("{:?} {}\n", policy.listeners(), policy.checksum());
    for line in lines {
        let _ = writeln!(text, "{line}");
    }
    text
}

/// Small, but every request of a test can be repeated.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides).unwrap()
    }

    fn one_of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len() as u64)]
    }
}

/// A file that may be right or wrong, and may depend on others.
fn any_file(dice: &mut Dice, number: usize) -> String {
    let mut text = String::new();
    if dice.below(3) > 0 {
        text += &own(number, dice.one_of(&["a", "b", "c"]));
    }
    if dice.below(8) == 0 {
        let name = dice.one_of(&["default", "strict", "own"]);
        let limit = dice.one_of(&["1MiB", "2MiB"]);
        let _ = writeln!(text, "profiles: {{{name}: {{body: {{limit: {limit}}}}}}}");
    }
    text += "routes:\n";
    for _ in 0..=dice.below(3) {
        let host = dice.below(12);
        let host = match dice.below(5) {
            0 => format!("hosts: ['*.h{host}.example'], "),
            1 if dice.below(4) == 0 => String::new(),
            _ => format!("hosts: [h{host}.example], "),
        };
        let path = dice.one_of(&[
            "",
            "",
            "paths: [{prefix: /a}], ",
            "paths: [{regex: '/a.*'}], ",
        ]);
        let upstream = match dice.below(12) {
            0 => format!("u{}", dice.below(6)),
            1..=3 => "app".to_owned(),
            _ if text.starts_with("upstreams") => format!("u{number}"),
            _ => "app".to_owned(),
        };
        let profile = match dice.below(40) {
            0 => ", profile: strict",
            1..=9 => ", profile: loose",
            _ => "",
        };
        let waf = dice.one_of(&["", "", ", waf: {mode: detect}"]);
        let name = match dice.below(20) {
            0 => format!(", name: n{}", dice.below(4)),
            _ => String::new(),
        };
        let _ = writeln!(
            text,
            "  - {{{host}{path}upstream: {upstream}{profile}{waf}{name}}}"
        );
    }
    match dice.below(30) {
        0 => text.replace("upstream:", "upstraem:"),
        1 => "routes: [".to_owned(),
        _ => text,
    }
}

#[test]
fn step_by_step_gives_what_a_fresh_load_gives() {
    let (mut agreed, mut refused, mut quick) = (0, 0, 0);
    for seed in 1..=12 {
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        let mut all = Folder::new();
        let mut in_force = false;
        for _ in 0..60 {
            if !in_force && dice.below(2) == 0 {
                // Somebody mends it.
                for number in 0..6 {
                    all.write(&format!("conf.d/{number}.yaml"), &host(number, "app"));
                }
            }
            for _ in 0..=dice.below(2) {
                let number = dice.below(6);
                let name = format!("conf.d/{number}.yaml");
                match dice.below(10) {
                    0 | 1 => all.remove(&name),
                    2 if dice.below(3) == 0 => {
                        let server = dice.one_of(&["main", "other"]);
                        all.write(
                            "palisade.yaml",
                            &MAIN.replace("//main", &format!("//{server}")),
                        );
                    }
                    _ => all.write(&name, &any_file(&mut dice, number)),
                }
            }
            // After a refusal the gateway asks for everything.
            let change = match dice.below(8) {
                0 => Change::Everything,
                _ if !in_force => Change::Everything,
                _ => Change::Files(std::mem::take(&mut all.touched)),
            };
            all.touched.clear();
            let fresh = crate::load(&all.path("palisade.yaml"), &no_env);
            let stepped = all.refresh(&change);
            match (fresh, stepped) {
                (Ok(fresh), Ok(stepped)) => {
                    assert_eq!(shown(&stepped.policy), shown(&fresh.policy), "seed {seed}");
                    quick += usize::from(stepped.state.is_some());
                    all.store.keep(stepped);
                    in_force = true;
                    agreed += 1;
                }
                (Err(_), Err(_)) => {
                    in_force = false;
                    refused += 1;
                }
                (fresh, stepped) => panic!("seed {seed}: {fresh:?}\n{stepped:?}"),
            }
        }
    }
    println!("{agreed} agreed ({quick} step by step), {refused} refused");
    assert!(agreed > 100 && refused > 100, "{agreed} {refused}");
    assert!(quick * 10 > agreed * 8, "{quick} of {agreed}");
}

#[test]
fn a_changed_host_touches_nothing_else() {
    let mut all = Folder::new();
    for number in 0..50 {
        let text = own(number, "one") + &host(number, &format!("u{number}"));
        all.write(&format!("conf.d/{number}.yaml"), &text);
    }
    let first = all.refresh(&Change::Everything).unwrap();
    assert!(first.delta.is_none() && !first.doubtful);
    let before = Arc::clone(&first.policy);
    all.store.keep(first);
    all.touched.clear();
    all.write("conf.d/7.yaml", &(own(7, "two") + &host(7, "u7")));
    let second = all.step();
    let delta = second.delta.as_ref().unwrap();
    assert_eq!((delta.routes_gone.len(), delta.routes_new.len()), (1, 1));
    assert!(delta.upstreams_gone.iter().map(|name| &**name).eq(["u7"]));
    assert_eq!(delta.upstreams_new.len(), 1);
    let same =
        |name: &str| Arc::ptr_eq(&before.upstreams()[name], &second.policy.upstreams()[name]);
    assert!(same("u6") && same("app") && !same("u7"));
    assert_ne!(before.checksum(), second.policy.checksum());
}

#[test]
fn an_upstream_that_others_use_takes_their_routes_along() {
    let mut all = Folder::new();
    all.write("conf.d/1.yaml", &own(1, "one"));
    all.write("conf.d/2.yaml", &host(2, "u1"));
    let first = all.refresh(&Change::Everything).unwrap();
    all.store.keep(first);
    all.touched.clear();
    all.write("conf.d/1.yaml", &own(1, "two"));
    let second = all.step();
    let delta = second.delta.as_ref().unwrap();
    assert_eq!((delta.routes_gone.len(), delta.routes_new.len()), (1, 1));
    let policy = Arc::clone(&second.policy);
    let mut routes = policy.routes().routes();
    let route = routes.find(|route| &**route.name() == "2/1").unwrap();
    let place = &route.upstream().servers()[0].place;
    assert!(matches!(place, Place::Net { host, .. } if host == "two"));
    all.store.keep(second);
    all.remove("conf.d/1.yaml");
    let change = Change::Files(std::mem::take(&mut all.touched));
    let mistakes = all.refresh(&change).unwrap_err();
    assert!(mistakes[0].file.ends_with("2.yaml"), "{mistakes:?}");
}

#[test]
fn a_file_that_did_not_change_is_not_read() {
    let mut all = Folder::new();
    all.write("conf.d/1.yaml", &host(1, "app"));
    let first = all.refresh(&Change::Everything).unwrap();
    let before = Arc::clone(&first.policy);
    all.store.keep(first);
    // What was written a moment ago is read again, and found unchanged.
    let again = all.refresh(&Change::Everything).unwrap();
    let route = |policy: &Policy| {
        let mut routes: Vec<u64> = policy.routes().routes().map(|route| route.id()).collect();
        routes.sort_unstable();
        routes.pop()
    };
    assert!(again.state.is_some());
    all.store.keep(again);
    std::thread::sleep(std::time::Duration::from_millis(60));
    let third = all.refresh(&Change::Everything).unwrap();
    all.store.keep(third);
    let fourth = all.refresh(&Change::Everything).unwrap();
    let kept = fourth.state.as_ref().unwrap();
    assert!(kept.parts.values().all(|part| part.is_unchanged()));
    assert_eq!(before.checksum(), fourth.policy.checksum());
    assert!(route(&fourth.policy).is_some());
}
