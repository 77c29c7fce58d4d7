//! Which request goes where, and how servers share the work.

use harness::client::request;
use harness::{Answer, Client, Gateway, Upstream};

/// An upstream that answers with its name.
fn named(name: &'static str) -> Upstream {
    Upstream::answering(move |_| Answer::text(name))
}

const ROUTES: &str = r#"
upstreams:
  shop: { servers: ["${SHOP}"] }
  api: { servers: ["${API}"] }
  rest: { servers: ["${REST}"] }
profiles:
  off: { waf: { mode: off } }
routes:
  - { name: api, hosts: [shop.example.com], paths: [{ prefix: /api }], upstream: api }
  - { name: shop, hosts: [shop.example.com], upstream: shop }
  - { name: wild, hosts: ["*.example.com"], methods: [GET], upstream: rest }
  - { name: beta, hosts: [beta.example.net], headers: { X-Beta: { regex: "on|yes" } }, upstream: api }
  - { name: query, hosts: [beta.example.net], query: { v: "2" }, upstream: shop }
  - { name: number, hosts: [beta.example.net], paths: [{ regex: "/item/[0-9]+" }], upstream: rest, profile: off }
"#;

fn start(shop: &Upstream, api: &Upstream, rest: &Upstream) -> Gateway {
    Gateway::routing(ROUTES)
        .with("SHOP", shop.url())
        .with("API", api.url())
        .with("REST", rest.url())
        .start()
}

/// Method, host, target, a header, and the upstream's name or the status expected.
type Case<'a> = (
    &'a str,
    &'a str,
    &'a str,
    Option<(&'a str, &'a str)>,
    &'a str,
);

#[test]
fn host_path_method_header_and_query_choose_the_route() {
    let (shop, api, rest) = (named("shop"), named("api"), named("rest"));
    let gateway = start(&shop, &api, &rest);
    let beta = ("X-Beta", "yes");
    let cases: &[Case] = &[
        ("GET", "shop.example.com", "/", None, "shop"),
        ("GET", "SHOP.example.com:8080", "/", None, "shop"),
        ("GET", "shop.example.com", "/api", None, "api"),
        ("GET", "shop.example.com", "/api/v1?x=1", None, "api"),
        ("GET", "shop.example.com", "/apix", None, "shop"),
        ("GET", "shop.example.com", "//api/v1", None, "api"),
        ("GET", "shop.example.com", "/%61pi/v1", None, "api"),
        ("GET", "a.example.com", "/", None, "rest"),
        ("GET", "a.b.example.com", "/", None, "rest"),
        ("POST", "a.example.com", "/", None, "404"),
        ("GET", "example.com", "/", None, "404"),
        ("GET", "evil.net", "/", None, "404"),
        ("GET", "beta.example.net", "/", Some(beta), "api"),
        (
            "GET",
            "beta.example.net",
            "/",
            Some(("X-Beta", "yes please")),
            "404",
        ),
        ("GET", "beta.example.net", "/?v=2", None, "shop"),
        ("GET", "beta.example.net", "/?v=21", None, "404"),
        ("GET", "beta.example.net", "/item/12", None, "rest"),
        ("GET", "beta.example.net", "/%69tem/12", None, "rest"),
        // Where the path decides, one that the upstream may read differently is refused.
        ("GET", "beta.example.net", "/x/../item/12", None, "400"),
        (
            "GET",
            "beta.example.net",
            "/item/%2e%2e/item/12",
            None,
            "400",
        ),
        ("GET", "beta.example.net", "/item/12/x", None, "404"),
    ];
    for (method, host, target, header, expected) in cases {
        let mut headers = vec![("Host", *host)];
        headers.extend(header.iter());
        let answer = Client::request(&gateway.address, method, target, &headers, b"");
        let got = if answer.status == 200 {
            answer.text()
        } else {
            answer.status.to_string()
        };
        assert_eq!(got, *expected, "{method} {host}{target} {header:?}");
    }
    let record = gateway.record_of("/item/12");
    assert_eq!(record.text("/route"), "number");
}

#[test]
fn a_route_brings_its_own_profile() {
    let (shop, api, rest) = (named("shop"), named("api"), named("rest"));
    let gateway = start(&shop, &api, &rest);
    let attack = "?q=%3Cscript%3Ealert(document.cookie)%3C/script%3E";
    let send = |host: &str, path: &str| {
        let target = format!("{path}{attack}");
        Client::request(&gateway.address, "GET", &target, &[("Host", host)], b"").status
    };
    assert_eq!(send("shop.example.com", "/"), 403);
    assert_eq!(
        send("beta.example.net", "/item/7"),
        200,
        "protection is off there"
    );
}

#[test]
fn servers_take_turns_by_weight() {
    let (light, heavy) = (named("light"), named("heavy"));
    let gateway = Gateway::routing(
        r#"
upstreams:
  app: { servers: [{ url: "${LIGHT}", weight: 1 }, { url: "${HEAVY}", weight: 3 }] }
routes: [{ upstream: app }]
"#,
    )
    .with("LIGHT", light.url())
    .with("HEAVY", heavy.url())
    .start();
    for _ in 0..80 {
        assert_eq!(Client::get(&gateway.address, "/").status, 200);
    }
    let share = heavy.count();
    assert!(
        (50..=70).contains(&share),
        "the heavy server got {share} of 80"
    );
}

#[test]
fn a_request_is_replayed_to_the_next_server_when_the_first_is_gone() {
    let alive = Upstream::echo();
    let gateway = Gateway::routing(
        r#"
upstreams:
  app: { servers: ["http://127.0.0.1:9", "${ALIVE}"], retries: { attempts: 2, budget: 100% } }
routes: [{ upstream: app }]
"#,
    )
    .with("ALIVE", alive.url())
    .start();
    let body = b"every byte twice if need be".repeat(4000);
    for _ in 0..6 {
        alive.forget();
        let answer = Client::post(&gateway.address, "/again", "text/plain", &body);
        assert_eq!(answer.status, 200);
        assert!(alive.only_request().body == body);
    }
    let retried = gateway
        .records()
        .iter()
        .any(|record| record.0["attempts"].as_u64() > Some(1));
    assert!(retried, "the record says how often it was tried");
}

#[test]
fn a_request_that_may_have_been_carried_out_is_not_sent_twice() {
    let first = Upstream::answering(|_| Answer::Hangup);
    let gateway = Gateway::routing(
        r#"
upstreams: { app: { servers: ["${FIRST}", "${FIRST}"], retries: { attempts: 3, budget: 100% } } }
routes: [{ upstream: app }]
"#,
    )
    .with("FIRST", first.url())
    .start();
    let answer = Client::post(&gateway.address, "/pay", "text/plain", b"10 euro");
    assert_eq!(answer.status, 502);
    assert_eq!(first.count(), 1, "a POST that arrived is not repeated");
}

#[test]
fn a_server_that_keeps_failing_is_left_out_for_a_while() {
    let alive = Upstream::echo();
    let gateway = Gateway::routing(
        r#"
upstreams:
  app:
    servers: ["http://127.0.0.1:9", "${ALIVE}"]
    retries: { attempts: 1 }
    ejection: { failures: 2, time: 60s }
routes: [{ upstream: app }]
"#,
    )
    .with("ALIVE", alive.url())
    .start();
    let statuses: Vec<u16> = (0..30)
        .map(|_| Client::get(&gateway.address, "/").status)
        .collect();
    let failed = statuses.iter().filter(|status| **status != 200).count();
    assert!(failed > 0, "without retries its failures are seen at first");
    assert!(
        statuses[20..].iter().all(|status| *status == 200),
        "{statuses:?}"
    );
}

#[test]
fn only_trusted_proxies_may_say_who_the_client_is() {
    let upstream = Upstream::echo();
    let gateway = Gateway::routing(
        r#"
trusted_proxies: [127.0.0.0/8, 198.51.100.0/24]
upstreams: { app: { servers: ["${UPSTREAM}"] } }
routes: [{ upstream: app }]
"#,
    )
    .before(&upstream)
    .start();
    // The right-most address that is not a trusted proxy is the client; what stands left of it is
    // hearsay.
    let chain = "192.0.2.66, 203.0.113.5, 198.51.100.2";
    let mut client = Client::connect(&gateway.address);
    client.send(&request(
        "GET",
        "/chain",
        &[("X-Forwarded-For", chain)],
        b"",
    ));
    assert_eq!(client.answer().status, 200);
    assert_eq!(gateway.record_of("/chain").text("/client"), "203.0.113.5");
}

#[test]
fn twenty_thousand_hosts_are_as_quick_as_one() {
    let upstream = named("found");
    let mut yaml = String::from(
        "upstreams: { app: { servers: [\"${UPSTREAM}\"] } }\nprofiles: { off: { waf: { mode: off } } }\nroutes:\n",
    );
    for number in 0..20_000 {
        yaml.push_str(&format!(
            "  - {{ hosts: [h{number}.example.com], upstream: app, profile: off }}\n"
        ));
    }
    let gateway = Gateway::routing(&yaml).before(&upstream).start();
    for host in ["h0.example.com", "h10000.example.com", "h19999.example.com"] {
        let answer = Client::request(&gateway.address, "GET", "/", &[("Host", host)], b"");
        assert_eq!(answer.text(), "found", "{host}");
    }
    let stranger = [("Host", "h20000.example.com")];
    assert_eq!(
        Client::request(&gateway.address, "GET", "/", &stranger, b"").status,
        404
    );
}
