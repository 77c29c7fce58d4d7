//! A running gateway is changed: hosts through files and the admin listener, the binary through a socket.

use std::fs;
use std::time::Duration;

use harness::client::request;
use harness::gateway::{LISTENER, eventually, palisade};
use harness::{Answer, Client, Gateway, Message, Upstream};

const TOKEN: &str = "a-token-of-some-length";

fn config() -> String {
    LISTENER.replace(
        "admin: { address: \"${ADMIN}\" }",
        "admin: { address: \"${ADMIN}\", write: { token: \"${TOKEN}\" } }",
    ) + "metrics: { hosts: 3 }\nupstreams: { app: { servers: [\"${UPSTREAM}\"] } }\n\
         routes: [{ upstream: app, hosts: [main.example] }]\n"
}

fn start(upstream: &Upstream) -> Gateway {
    let plan = Gateway::configured(&config()).before(upstream);
    plan.with("TOKEN", TOKEN).file("conf.d/.keep", "").start()
}

fn host(number: usize) -> String {
    format!("routes: [{{ hosts: [h{number}.example], upstream: app }}]\n")
}

fn status_of(gateway: &Gateway, host: &str) -> u16 {
    Client::request(&gateway.address, "GET", "/", &[("Host", host)], b"").status
}

fn fragment(
    gateway: &Gateway,
    method: &str,
    name: &str,
    more: &[(&str, &str)],
    body: &str,
) -> Message {
    let path = format!("/api/v1/fragments/{name}");
    let token = format!("Bearer {TOKEN}");
    let mut headers = vec![("Host", gateway.admin.as_str()), ("Authorization", &token)];
    headers.extend(more);
    Client::request(&gateway.admin, method, &path, &headers, body.as_bytes())
}

#[test]
fn a_host_comes_changes_and_goes_through_the_admin_listener() {
    let upstream = Upstream::answering(|_| Answer::text("here"));
    let gateway = start(&upstream);
    assert_eq!(status_of(&gateway, "h1.example"), 404);
    let made = fragment(&gateway, "PUT", "h1", &[("If-None-Match", "*")], &host(1));
    assert_eq!(made.status, 201, "{}", made.text());
    // At once, not some time later.
    assert_eq!(status_of(&gateway, "h1.example"), 200);
    let file = gateway.folder().join("conf.d/h1.yaml");
    assert_eq!(fs::read_to_string(&file).unwrap(), host(1));
    let again = fragment(&gateway, "PUT", "h1", &[("If-None-Match", "*")], &host(2));
    assert_eq!(again.status, 412);
    let read = fragment(&gateway, "GET", "h1", &[], "");
    assert_eq!(read.text(), host(1));
    let tag = read.header("etag").unwrap().to_owned();
    let moved = fragment(&gateway, "PUT", "h1", &[("If-Match", &tag)], &host(2));
    assert_eq!(moved.status, 200);
    assert_eq!(status_of(&gateway, "h1.example"), 404);
    assert_eq!(status_of(&gateway, "h2.example"), 200);
    let stale = fragment(&gateway, "DELETE", "h1", &[("If-Match", &tag)], "");
    assert_eq!(stale.status, 412);
    assert_eq!(fragment(&gateway, "DELETE", "h1", &[], "").status, 200);
    assert_eq!(status_of(&gateway, "h2.example"), 404);
    assert!(!file.exists());
    assert_eq!(status_of(&gateway, "main.example"), 200);
}

#[test]
fn what_would_be_wrong_is_refused_with_its_place_and_changes_nothing() {
    let upstream = Upstream::answering(|_| Answer::text("here"));
    let gateway = start(&upstream);
    let before = gateway.admin("/api/v1/status").text();
    let text = "routes:\n  - { hosts: [x.example], upstream: ap }\n";
    let refused = fragment(&gateway, "PUT", "x", &[], text);
    assert_eq!(refused.status, 422);
    let said = refused.text();
    for part in [
        "no upstream of this name",
        "\"line\":2",
        "x.yaml",
        "did you mean",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!gateway.folder().join("conf.d/x.yaml").exists());
    let after = gateway.admin("/api/v1/status").text();
    let checksum = |status: &str| {
        let status: serde_json::Value = serde_json::from_str(status).unwrap();
        status["config_checksum"].as_str().unwrap().to_owned()
    };
    assert_eq!(checksum(&before), checksum(&after));
    let wrong = [
        ("Host", gateway.admin.as_str()),
        ("Authorization", "Bearer no"),
    ];
    let path = "/api/v1/fragments/x";
    let refused = Client::request(&gateway.admin, "PUT", path, &wrong, host(1).as_bytes());
    assert_eq!(refused.status, 401);
}

#[test]
fn instances_with_the_same_files_show_the_same_checksum() {
    let upstream = Upstream::answering(|_| Answer::text("here"));
    let (one, two) = (start(&upstream), start(&upstream));
    let checksum = |gateway: &Gateway| {
        let said = palisade(&["status", "--admin", &gateway.admin, "--json"], &[], b"");
        assert_eq!(said.code, 0, "{}", said.err);
        let status: serde_json::Value = serde_json::from_str(&said.out).unwrap();
        status["config_checksum"].as_str().unwrap().to_owned()
    };
    let before = checksum(&one);
    assert_eq!(before, checksum(&two));
    fs::write(one.folder().join("conf.d/a.yaml"), host(1)).unwrap();
    fragment(&one, "PUT", "b", &[], &host(2));
    // The other way round, in other words.
    fragment(&two, "PUT", "b", &[], &format!("# the same\n{}", host(2)));
    fragment(&two, "PUT", "a", &[], &host(1));
    eventually("the same checksum", || {
        (checksum(&one) == checksum(&two)).then_some(())
    });
    assert_ne!(before, checksum(&one));
    let config = one.config();
    let arguments = ["check", "--checksum", "--config", config.to_str().unwrap()];
    let records = one.record_file();
    let variables = [
        ("LISTEN", "127.0.0.1:1"),
        ("ADMIN", "127.0.0.1:2"),
        ("UPSTREAM", "http://127.0.0.1:3"),
        ("AUDIT_LOG", records.to_str().unwrap()),
        ("TOKEN", TOKEN),
    ];
    let said = palisade(&arguments, &variables, b"");
    assert_eq!(said.out.trim(), checksum(&one), "{}", said.err);
    let running = format!("palisade_config_info{{checksum=\"{}\"}} 1", checksum(&one));
    assert!(one.admin("/metrics").text().contains(&running));
}

#[test]
fn figures_are_kept_per_host_and_bounded() {
    let upstream = Upstream::answering(|_| Answer::text("here"));
    let gateway = start(&upstream);
    for number in 0..4 {
        fragment(&gateway, "PUT", &format!("h{number}"), &[], &host(number));
    }
    for (host, count) in [
        ("main.example", 3),
        ("h0.example", 2),
        ("h3.example", 1),
        ("evil.example", 2),
    ] {
        for _ in 0..count {
            status_of(&gateway, host);
        }
    }
    let hosts = eventually("the figures", || {
        let hosts: serde_json::Value =
            serde_json::from_str(&gateway.admin("/api/v1/hosts").text()).unwrap();
        let first = &hosts["hosts"][0];
        (first["requests"] == 3).then(|| hosts.clone())
    });
    assert_eq!(hosts["total"], 4, "three hosts and the rest: {hosts}");
    let of = |name: &str| {
        let hosts = hosts["hosts"].as_array().unwrap();
        hosts
            .iter()
            .find(|host| host["host"] == name)
            .unwrap()
            .clone()
    };
    assert_eq!(of("main.example")["success_rate"], 1.0);
    assert_eq!(of("main.example")["bytes_out"], 12);
    assert_eq!(of("other")["requests"], 3, "{hosts}");
    assert_eq!(of("other")["responses"]["4xx"], 2);
    let text = gateway.admin("/metrics").text();
    assert!(text.contains("palisade_host_responses_total{host=\"h0.example\",class=\"2xx\"} 2"));
    assert!(!text.contains("evil.example"));
}

#[test]
fn a_new_process_takes_over_and_the_old_one_finishes_what_it_began() {
    let slow = Upstream::answering(|seen| {
        let answer = Answer::text("finished");
        if seen.message.target() == "/slow" {
            return Answer::Later(Duration::from_secs(2), Box::new(answer));
        }
        answer
    });
    let socket = tempfile::tempdir().unwrap();
    let path = socket.path().join("upgrade.sock");
    let plan = Gateway::configured(&config())
        .before(&slow)
        .with("TOKEN", TOKEN);
    let plan = plan.with("PALISADE_UPGRADE_SOCKET", path.to_str().unwrap());
    let mut gateway = plan.file("conf.d/.keep", "").start();
    let mut waiting = Client::connect(&gateway.address);
    waiting.send(&request("GET", "/slow", &[("Host", "main.example")], b""));
    slow.wait_for(1);
    // A new one that fails changes nothing.
    let good = config();
    gateway.write_config(&good.replace("upstream: app", "upstream: gone"));
    eventually("the refused reload", || {
        gateway.log().contains("refused").then_some(())
    });
    let said = palisade(
        &["run", "--config", gateway.config().to_str().unwrap()],
        &[
            ("PALISADE_UPGRADE_SOCKET", path.to_str().unwrap()),
            ("TOKEN", TOKEN),
        ],
        b"",
    );
    assert_ne!(said.code, 0);
    assert_eq!(status_of(&gateway, "main.example"), 200);
    gateway.write_config(&good);
    eventually("the reload", || {
        gateway.log().contains("reloaded").then_some(())
    });
    let status = gateway.upgrade();
    assert_eq!(status.code(), Some(0));
    assert_eq!(waiting.answer().text(), "finished");
    assert_eq!(status_of(&gateway, "main.example"), 200);
    assert!(gateway.log().contains("taking over"), "{}", gateway.log());
}
