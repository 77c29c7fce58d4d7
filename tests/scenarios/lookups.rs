//! Rules that count over requests, know where a client is, and ask lists about it.

use std::fs;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use harness::gateway::{LISTENER, eventually};
use harness::{Client, Gateway, Upstream, workspace};

/// One site with these directives and, where given, this resolver.
fn site(directives: &str, rbl: &str) -> String {
    let directives: String = directives
        .lines()
        .map(|line| format!("        {line}\n"))
        .collect();
    format!(
        "{LISTENER}upstreams: {{ app: {{ servers: [\"${{UPSTREAM}}\"] }} }}\n\
         routes: [{{ upstream: app }}]\n\
         profiles:\n  default:\n    waf:\n      mode: block\n      rules: []\n{rbl}      directives: |\n{directives}"
    )
}

/// How a request of that client is answered.
fn status(gateway: &Gateway, client: &str) -> u16 {
    Client::request(&gateway.address, "GET", "/", &[("X-Client", client)], b"").status
}

const COUNTER: &str = "\
SecRule REQUEST_HEADERS:X-Client \"@unconditionalMatch\" \\
    \"id:1,phase:1,pass,nolog,initcol:ip=%{MATCHED_VAR},setvar:ip.hits=+1,expirevar:ip.hits=600\"
SecRule IP:HITS \"@gt 3\" \"id:2,phase:1,deny,status:429\"";

#[test]
fn a_client_is_counted_over_connections_and_reloads_and_its_neighbour_is_not() {
    let upstream = Upstream::echo();
    let config = site(COUNTER, "");
    let gateway = Gateway::configured(&config).before(&upstream).start();
    for _ in 0..3 {
        assert_eq!(status(&gateway, "192.0.2.7"), 200);
    }
    assert_eq!(status(&gateway, "192.0.2.7"), 429);
    assert_eq!(status(&gateway, "192.0.2.8"), 200);
    let other = config.replace("status:429", "status:418");
    gateway.write_config(&other);
    gateway.signal("HUP");
    eventually("the reload", || {
        (status(&gateway, "192.0.2.7") == 418).then_some(())
    });
    assert_eq!(status(&gateway, "192.0.2.8"), 200);
}

#[test]
fn requests_at_the_same_time_are_all_counted() {
    let upstream = Upstream::echo();
    let gateway = Gateway::configured(&site(&COUNTER.replace("@gt 3", "@gt 40"), ""))
        .before(&upstream)
        .start();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..10 {
                    assert_eq!(status(&gateway, "192.0.2.7"), 200);
                }
            });
        }
    });
    assert_eq!(status(&gateway, "192.0.2.7"), 429);
}

#[test]
fn a_country_is_refused_by_its_addresses_and_a_broken_database_changes_nothing() {
    let upstream = Upstream::echo();
    let sample = workspace().join("tests/testdata/places.mmdb");
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("places.mmdb");
    fs::copy(sample, &database).unwrap();
    let rules = format!(
        "SecGeoLookupDb {}\n\
         SecRule REQUEST_HEADERS:X-Client \"@geoLookup\" \"id:1,phase:1,deny,status:451,chain\"\n\
         SecRule GEO:COUNTRY_CODE \"@within NO,SE\"",
        database.display()
    );
    let config = site(&rules, "");
    let gateway = Gateway::configured(&config).before(&upstream).start();
    assert_eq!(status(&gateway, "192.0.2.7"), 451);
    assert_eq!(status(&gateway, "2001:db8::7"), 200);
    assert_eq!(status(&gateway, "203.0.113.9"), 200);
    assert_eq!(status(&gateway, "no address"), 200);
    fs::write(&database, "half a file").unwrap();
    gateway.write_config(&config.replace("status:451", "status:418"));
    gateway.signal("HUP");
    eventually("the reload", || {
        (status(&gateway, "192.0.2.7") == 418).then_some(())
    });
}

/// A name server that lists 192.0.2.7 alone, and how often it was asked.
fn name_server() -> (String, Arc<AtomicUsize>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, client)) = socket.recv_from(&mut buffer) {
            count.fetch_add(1, Ordering::Relaxed);
            let mut message = buffer[..length].to_vec();
            let listed = message[12..].starts_with(b"\x017\x012\x010\x03192\x04list\x07example\0");
            message[2] = 0x81;
            message[3] = if listed { 0 } else { 3 };
            if listed {
                message[7] = 1;
                message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 0, 0, 4, 127, 0, 0, 2]);
            }
            socket.send_to(&message, client).unwrap();
        }
    });
    (address, asked)
}

const LIST: &str = "SecRule REQUEST_HEADERS:X-Client \"@rbl list.example\" \\\n    \
    \"id:1,phase:2,deny,capture,msg:'%{TX.0}'\"";

#[test]
fn a_client_on_a_list_is_refused_and_nobody_is_asked_twice() {
    let upstream = Upstream::echo();
    let (resolver, asked) = name_server();
    let rbl = format!("      rbl: {{ resolver: \"{resolver}\", timeout: 4s }}\n");
    let gateway = Gateway::configured(&site(LIST, &rbl))
        .before(&upstream)
        .start();
    assert_eq!(status(&gateway, "192.0.2.7"), 403);
    assert_eq!(status(&gateway, "192.0.2.8"), 200);
    assert_eq!(status(&gateway, "192.0.2.7"), 403);
    assert_eq!(status(&gateway, "192.0.2.8"), 200);
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    let record = gateway.record(|record| !record.rule_ids().is_empty());
    assert_eq!(record.rule_ids(), [1]);
    assert_eq!(
        record.messages()[0]["msg"],
        "RBL lookup of 7.2.0.192.list.example succeeded at REQUEST_HEADERS:X-Client. \
         Answer: 127.0.0.2"
    );
}

#[test]
fn a_resolver_that_is_silent_lists_nobody_and_costs_its_timeout_at_most() {
    let upstream = Upstream::echo();
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let resolver = silent.local_addr().unwrap();
    let rbl = format!("      rbl: {{ resolver: \"{resolver}\", timeout: 100ms }}\n");
    let gateway = Gateway::configured(&site(LIST, &rbl))
        .before(&upstream)
        .start();
    assert_eq!(status(&gateway, "192.0.2.7"), 200);
}
