//! Start, reload, drain: a running gateway is never taken down by a file, and never drops a request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use harness::client::request;
use harness::gateway::{LISTENER, eventually};
use harness::{Answer, Client, Gateway, Upstream};

fn routes_to(variable: &str) -> String {
    format!(
        "{LISTENER}upstreams: {{ app: {{ servers: [\"${{{variable}}}\"] }} }}\nroutes: [{{ upstream: app }}]\n"
    )
}

/// Clients that ask without a pause until they are told to stop; gives their answers and failures.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    threads: Vec<thread::JoinHandle<Vec<String>>>,
}

impl Load {
    fn start(address: &str) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let threads = (0..4)
            .map(|number| {
                let (address, stop) = (address.to_owned(), Arc::clone(&stop));
                let answered: Arc<AtomicUsize> = Arc::clone(&answered);
                thread::spawn(move || ask(&address, number % 2 == 0, &stop, &answered))
            })
            .collect();
        Self {
            stop,
            answered,
            threads,
        }
    }

    /// How many requests were answered, and what went wrong.
    fn finish(self) -> (usize, Vec<String>) {
        self.stop.store(true, Ordering::SeqCst);
        let failures = self
            .threads
            .into_iter()
            .flat_map(|t| t.join().unwrap())
            .collect();
        (self.answered.load(Ordering::SeqCst), failures)
    }
}

/// Asks with one connection for all requests, or one for each.
fn ask(address: &str, keep: bool, stop: &AtomicBool, answered: &AtomicUsize) -> Vec<String> {
    let mut failures = Vec::new();
    let mut kept: Option<Client> = None;
    while !stop.load(Ordering::SeqCst) {
        let fresh = kept.is_none();
        let mut client = kept.take().unwrap_or_else(|| Client::connect(address));
        let connection = if keep { "keep-alive" } else { "close" };
        client.send(&request("GET", "/", &[("Connection", connection)], b""));
        match client.try_answer("GET") {
            Ok(Some(answer)) if answer.status == 200 => {
                answered.fetch_add(1, Ordering::SeqCst);
                let stays = answer.header("connection") != Some("close");
                kept = (keep && stays).then_some(client);
            }
            // A kept connection may be closed between two requests; a client then asks again.
            Ok(None) | Err(_) if !fresh => {}
            other => failures.push(format!("{other:?}")),
        }
    }
    failures
}

#[test]
fn a_reload_under_load_loses_no_request_and_takes_effect() {
    let old = Upstream::answering(|_| Answer::text("old"));
    let new = Upstream::answering(|_| Answer::text("new"));
    let gateway = Gateway::configured(&routes_to("OLD"))
        .with("OLD", old.url())
        .with("NEW", new.url())
        .start();
    let load = Load::start(&gateway.address);
    thread::sleep(Duration::from_millis(300));
    for variable in ["NEW", "OLD", "NEW"] {
        gateway.write_config(&routes_to(variable));
        gateway.signal("HUP");
        let expected = variable.to_lowercase();
        eventually("the reload", || {
            (Client::get(&gateway.address, "/").text() == expected).then_some(())
        });
    }
    let (answered, failures) = load.finish();
    assert!(
        failures.is_empty(),
        "{} of {answered} failed: {:?}",
        failures.len(),
        &failures[..1]
    );
    assert!(answered > 20);
}

#[test]
fn a_changed_file_reloads_without_a_signal() {
    let old = Upstream::answering(|_| Answer::text("old"));
    let new = Upstream::answering(|_| Answer::text("new"));
    let gateway = Gateway::configured(&routes_to("OLD"))
        .with("OLD", old.url())
        .with("NEW", new.url())
        .start();
    gateway.write_config(&routes_to("NEW"));
    eventually("the reload", || {
        (Client::get(&gateway.address, "/").text() == "new").then_some(())
    });
}

#[test]
fn a_new_file_in_conf_d_is_noticed_and_so_is_its_repair() {
    let old = Upstream::answering(|_| Answer::text("old"));
    let new = Upstream::answering(|_| Answer::text("new"));
    let gateway = Gateway::configured(&routes_to("OLD"))
        .with("OLD", old.url())
        .with("NEW", new.url())
        .start();
    let conf_d = gateway.folder().join("conf.d");
    std::fs::create_dir(&conf_d).unwrap();
    let site = |waf: &str| {
        format!(
            "upstreams: {{ new: {{ servers: [\"${{NEW}}\"] }} }}\nprofiles: {{ new: {{ waf: {{ {waf} }} }} }}\n\
             routes: [{{ paths: [{{ prefix: /new }}], upstream: new, profile: new }}]\n"
        )
    };
    let (path, rules) = (conf_d.join("new.yaml"), gateway.folder().join("new.conf"));
    std::fs::write(&rules, "SecNonsense\n").unwrap();
    std::fs::write(&path, site("files: [../new.conf]")).unwrap();
    eventually("the refused reload", || {
        gateway.log().contains("SecNonsense").then_some(())
    });
    assert_eq!(Client::get(&gateway.address, "/new").text(), "old");
    // The running configuration has never named this file.
    std::fs::write(&rules, "SecRuleEngine On\n").unwrap();
    eventually("the reload", || {
        (Client::get(&gateway.address, "/new").text() == "new").then_some(())
    });
}

#[test]
fn a_reload_moves_the_admin_listener_and_names_what_waits_for_a_restart() {
    let upstream = Upstream::answering(|_| Answer::text("here"));
    let elsewhere = harness::places::free_address();
    let gateway = Gateway::configured(&routes_to("UPSTREAM"))
        .before(&upstream)
        .with("ELSEWHERE", &elsewhere)
        .start();
    let ready = |address: &str, host: &str| {
        Client::request(address, "GET", "/readyz", &[("Host", host)], b"").status
    };
    assert_ne!(ready(&gateway.admin, "gateway.internal"), 200);
    let moved = routes_to("UPSTREAM")
        .replace(
            "\"${ADMIN}\"",
            "\"${ELSEWHERE}\", hosts: [gateway.internal]",
        )
        .replace("audit: {", "audit: { queue: 99,");
    gateway.write_config(&format!("{moved}workers: 1\n"));
    eventually("the admin listener", || {
        std::net::TcpStream::connect(&elsewhere).ok()
    });
    assert_eq!(ready(&elsewhere, "gateway.internal"), 200);
    assert_ne!(ready(&elsewhere, "evil.example"), 200);
    eventually("the end of the old one", || {
        std::net::TcpStream::connect(&gateway.admin).err()
    });
    let log = gateway.log();
    for key in ["workers", "audit.queue"] {
        assert!(log.contains(&format!("key=\"{key}\"")), "{key}: {log}");
    }
    assert!(!log.contains("keepalive"), "{log}");
}

#[test]
fn a_broken_file_leaves_traffic_untouched_and_says_why() {
    let upstream = Upstream::answering(|_| Answer::text("still here"));
    let mut gateway = Gateway::configured(&routes_to("UPSTREAM"))
        .before(&upstream)
        .start();
    let failures = "palisade_config_reload_failure_total";
    let before = gateway.metric(failures);
    let load = Load::start(&gateway.address);
    let broken = routes_to("UPSTREAM").replace("routes:", "ruotes:");
    gateway.write_config(&broken);
    gateway.signal("HUP");
    eventually("the refused reload", || {
        (gateway.metric(failures) > before).then_some(())
    });
    let log = gateway.log();
    assert!(
        log.contains("ruotes") && log.contains("palisade.yaml:"),
        "{log}"
    );
    let (answered, lost) = load.finish();
    assert!(lost.is_empty() && answered > 0, "{lost:?}");
    assert!(gateway.runs());
    assert_eq!(
        gateway.admin("/readyz").status,
        200,
        "the old configuration serves on"
    );
    gateway.write_config(&routes_to("UPSTREAM"));
    gateway.signal("HUP");
    eventually("the good reload", || {
        gateway.log().contains("reloaded").then_some(())
    });
}

#[test]
fn a_request_in_flight_finishes_on_the_old_configuration() {
    let slow = Upstream::answering(|_| {
        Answer::Later(Duration::from_millis(1500), Box::new(Answer::text("slow")))
    });
    let new = Upstream::answering(|_| Answer::text("new"));
    let gateway = Gateway::configured(&routes_to("SLOW"))
        .with("SLOW", slow.url())
        .with("NEW", new.url())
        .start();
    let mut waiting = Client::connect(&gateway.address);
    waiting.send(&request("GET", "/", &[], b""));
    slow.wait_for(1);
    gateway.write_config(&routes_to("NEW"));
    gateway.signal("HUP");
    eventually("the reload", || {
        (Client::get(&gateway.address, "/").text() == "new").then_some(())
    });
    assert_eq!(waiting.answer().text(), "slow");
}

#[test]
fn termination_lets_requests_finish_and_exits_with_0() {
    let slow = Upstream::answering(|_| {
        Answer::Later(
            Duration::from_millis(1000),
            Box::new(Answer::text("finished")),
        )
    });
    let mut gateway = Gateway::configured(&routes_to("UPSTREAM"))
        .before(&slow)
        .start();
    let mut waiting = Client::connect(&gateway.address);
    waiting.send(&request("GET", "/last", &[], b""));
    slow.wait_for(1);
    let begin = Instant::now();
    gateway.signal("TERM");
    assert_eq!(waiting.answer().text(), "finished");
    assert_eq!(gateway.wait().code(), Some(0));
    assert!(
        begin.elapsed() < Duration::from_secs(8),
        "an idle gateway does not wait"
    );
    let last = gateway.records();
    assert!(
        last.iter()
            .any(|record| record.text("/request/target") == "/last")
    );
}

/// A gateway that was told to stop while an answer is under way that takes far longer than `drain`.
fn stopping_under_an_endless_answer(drain: &str) -> (Gateway, Upstream) {
    let slow = Upstream::answering(|_| {
        Answer::Later(Duration::from_secs(25), Box::new(Answer::text("too late")))
    });
    let gateway = Gateway::configured(&format!("{}drain: {drain}\n", routes_to("UPSTREAM")))
        .before(&slow)
        .start();
    let mut waiting = Client::connect(&gateway.address);
    waiting.send(&request("GET", "/endless", &[], b""));
    slow.wait_for(1);
    gateway.signal("TERM");
    thread::spawn(move || waiting.try_answer("GET"));
    (gateway, slow)
}

fn assert_cut_and_recorded_once(gateway: &mut Gateway) {
    assert_eq!(gateway.wait().code(), Some(0));
    let records = gateway.records();
    let records: Vec<_> = records
        .iter()
        .filter(|record| record.text("/request/target") == "/endless")
        .collect();
    assert_eq!(records.len(), 1, "exactly one record");
    assert_eq!(records[0].text("/error"), "drain deadline");
    let log = gateway.log();
    assert!(log.contains("cut") && log.contains("requests=1"), "{log}");
}

#[test]
fn termination_cuts_what_takes_longer_than_the_drain_and_records_it() {
    let (mut gateway, _slow) = stopping_under_an_endless_answer("1s");
    assert_cut_and_recorded_once(&mut gateway);
}

#[test]
fn a_second_termination_cuts_at_once() {
    let (mut gateway, _slow) = stopping_under_an_endless_answer("1m");
    eventually("the drain", || {
        gateway.log().contains("draining").then_some(())
    });
    gateway.signal("TERM");
    assert_cut_and_recorded_once(&mut gateway);
}

#[test]
fn termination_of_an_idle_gateway_is_quick() {
    let upstream = Upstream::echo();
    let mut gateway = Gateway::configured(&routes_to("UPSTREAM"))
        .before(&upstream)
        .start();
    let mut idle = Client::connect(&gateway.address);
    idle.send(&request("GET", "/", &[("Connection", "keep-alive")], b""));
    assert_eq!(idle.answer().status, 200);
    let begin = Instant::now();
    gateway.signal("TERM");
    assert_eq!(gateway.wait().code(), Some(0));
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "{:?}",
        begin.elapsed()
    );
}
