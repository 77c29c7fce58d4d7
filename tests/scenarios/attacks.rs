//! The embedded rules stop attacks before the upstream hears of them, and leave innocents alone.

use std::fs;

use harness::{Client, Gateway, Message, Upstream, workspace};
use serde::Deserialize;

/// Attacks and, for each, a request that looks like it and is none.
#[derive(Deserialize)]
struct Table {
    pair: Vec<Pair>,
}

#[derive(Deserialize)]
struct Pair {
    name: String,
    attack: Request,
    innocent: Request,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    target: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    content_type: Option<String>,
    /// How it is answered: 403 for an attack, 200 for an innocent request, unless said.
    #[serde(default)]
    status: Option<u16>,
}

impl Request {
    fn send(&self, address: &str) -> Message {
        let mut headers: Vec<(&str, &str)> = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let Some(body) = &self.body else {
            return Client::request(address, "GET", &self.target, &headers, b"");
        };
        let form = "application/x-www-form-urlencoded";
        headers.push(("Content-Type", self.content_type.as_deref().unwrap_or(form)));
        Client::request(address, "POST", &self.target, &headers, body.as_bytes())
    }
}

fn table() -> Table {
    let path = workspace().join("tests/testdata/attacks.toml");
    toml::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn attacks_are_refused_and_their_innocent_neighbours_pass() {
    let upstream = Upstream::echo();
    let gateway = Gateway::example("waf").before(&upstream).start();
    let mut wrong = Vec::new();
    let table = table();
    assert!(table.pair.len() >= 15);
    for Pair {
        name,
        attack,
        innocent,
    } in &table.pair
    {
        let status = attack.send(&gateway.address).status;
        if status != attack.status.unwrap_or(403) || upstream.count() != 0 {
            wrong.push(format!(
                "missed: {name} ({status}, {} reached the upstream)",
                upstream.count()
            ));
        }
        upstream.forget();
        let status = innocent.send(&gateway.address).status;
        if status != innocent.status.unwrap_or(200) || upstream.count() != 1 {
            let rules = gateway.record_of(&innocent.target).rule_ids();
            wrong.push(format!(
                "false positive: {name} ({status}, rules {rules:?})"
            ));
        }
        upstream.forget();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_refusal_is_explained_in_the_record_and_not_to_the_attacker() {
    let upstream = Upstream::echo();
    let gateway = Gateway::example("waf").before(&upstream).start();
    let target = "/item?id=1%27%20UNION%20SELECT%20password%20FROM%20users--";
    let answer = Client::get(&gateway.address, target);
    assert_eq!(answer.status, 403);

    let record = gateway.record_of(target);
    assert_eq!(record.status(), 403);
    assert_eq!(record.text("/layer"), "waf");
    let ids = record.rule_ids();
    assert!(
        !ids.is_empty(),
        "the record names the rules: {:?}",
        record.0
    );
    let message = &record.messages()[0];
    for field in ["msg", "variable", "severity", "tags"] {
        assert!(!message[field].is_null(), "{field} is missing in {message}");
    }
    let body = answer.text();
    for id in ids {
        assert!(
            !body.contains(&id.to_string()),
            "the answer gives rule {id} away"
        );
    }
    let id = record.text("/request_id");
    let told = answer.header("x-request-id") == Some(id) || body.contains(id);
    assert!(told, "the visitor can name the request to the operator");
}

#[test]
fn with_protection_off_the_same_attack_passes() {
    let upstream = Upstream::echo();
    let gateway = Gateway::example("plain").before(&upstream).start();
    let answer = Client::get(&gateway.address, "/?id=1%27%20UNION%20SELECT%201--");
    assert_eq!(answer.status, 200);
    assert_eq!(upstream.count(), 1);
}

/// Some gateways look away when a request says it is a stream or an upgrade.
#[test]
fn no_header_switches_the_rules_off() {
    let upstream = Upstream::echo();
    let gateway = Gateway::example("waf").before(&upstream).start();
    let disguises: &[&[(&str, &str)]] = &[
        &[("Connection", "Upgrade"), ("Upgrade", "websocket")],
        &[("Connection", "Upgrade"), ("Upgrade", "bogus")],
        &[
            ("Connection", "Upgrade, HTTP2-Settings"),
            ("Upgrade", "h2c"),
            ("HTTP2-Settings", "AAMAAABk"),
        ],
        &[("Accept", "text/event-stream")],
        &[("Content-Type", "application/grpc")],
        &[("Content-Type", "text/event-stream")],
        &[
            ("X-Original-URL", "/harmless"),
            ("X-HTTP-Method-Override", "GET"),
        ],
    ];
    for headers in disguises {
        let form = [
            *headers,
            &[("Content-Type", "application/x-www-form-urlencoded")],
        ]
        .concat();
        let typed = headers.iter().any(|(name, _)| *name == "Content-Type");
        let headers = if typed { headers.to_vec() } else { form };
        let in_query = "/?id=1%27%20UNION%20SELECT%20password%20FROM%20users--";
        let answer = Client::request(&gateway.address, "GET", in_query, &headers, b"");
        assert!(
            (400..500).contains(&answer.status),
            "{headers:?}: {}",
            answer.status
        );
        let body = b"id=1' UNION SELECT password FROM users-- ";
        let answer = Client::request(&gateway.address, "POST", "/", &headers, body);
        assert!(
            (400..500).contains(&answer.status),
            "{headers:?}: {}",
            answer.status
        );
        assert_eq!(upstream.count(), 0, "{headers:?}");
    }
}
