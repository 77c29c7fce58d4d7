//! Lookup: precedence, ambiguity, cost.

use std::fmt::Write as _;

use bytes::Bytes;
use edge_core::Head;

use super::*;

fn table(routes: &str) -> Arc<RouteTable> {
    let mut text = String::from(
        "listeners: [{address: '127.0.0.1:1'}]\nupstreams: {app: {servers: ['http://s']}}\nroutes:\n",
    );
    for line in routes.lines() {
        let _ = writeln!(text, "  - {{upstream: app, {line}}}");
    }
    let loaded = crate::load_text("p.yaml", &text, &|_: &str| None);
    let shown = |mistakes: Vec<edge_core::Diagnostic>| -> String {
        mistakes.iter().map(|m| format!("{m}\n")).collect()
    };
    Arc::clone(loaded.map_err(shown).unwrap().policy.routes())
}

fn head(method: &str, target: &str, host: &str, fields: &str) -> Head {
    let text = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n");
    Head::parse(Bytes::from(text.into_bytes()), 64).unwrap()
}

fn find(table: &RouteTable, host: &str, target: &str) -> String {
    let head = head("GET", target, host, "");
    match table.find(&RouteQuery::new(&head)) {
        Ok(Some(route)) => route.name().to_string(),
        Ok(None) => "none".to_owned(),
        Err(AmbiguousPath) => "ambiguous".to_owned(),
    }
}

#[test]
fn the_most_specific_host_wins_whatever_the_order() {
    let table = table(
        "name: any
name: wide, hosts: ['*.example.com']
name: narrow, hosts: ['*.eu.example.com']
name: exact, hosts: [shop.eu.example.com]",
    );
    for (host, expected) in [
        ("shop.eu.example.com", "exact"),
        ("SHOP.EU.EXAMPLE.COM.:8443", "exact"),
        ("x.eu.example.com", "narrow"),
        ("y.x.eu.example.com", "narrow"),
        ("x.example.com", "wide"),
        ("example.com", "any"),
        ("evil-example.com", "any"),
        ("shop.eu.example.com.evil.org", "any"),
        ("", "any"),
    ] {
        assert_eq!(find(&table, host, "/"), expected, "{host}");
    }
}

#[test]
fn an_absolute_target_decides_about_the_host() {
    let table = table("name: any\nname: a, hosts: [a.example]");
    assert_eq!(find(&table, "b.example", "http://a.example/x"), "a");
}

#[test]
fn exact_paths_win_over_longer_prefixes_over_expressions() {
    let table = table(
        "name: regex, paths: [{regex: '/api/.*|/[0-9]+'}]
name: api, paths: [{prefix: /api}]
name: v2, paths: [{prefix: /api/v2/}]
name: exact, paths: [{exact: /api/v2/login}]",
    );
    for (path, expected) in [
        ("/api/v2/login", "exact"),
        ("/api/v2/login/", "v2"),
        ("/api/v2", "v2"),
        ("/api/v2x", "api"),
        ("/api/", "api"),
        ("/apix", "none"),
        ("/12", "regex"),
        ("/12/x", "none"),
        ("/", "none"),
    ] {
        assert_eq!(find(&table, "h", path), expected, "{path}");
    }
}

#[test]
fn conditions_rank_by_method_then_headers_then_query_then_order() {
    let table = table(
        "name: plain
name: query, query: {v: '2'}
name: header, headers: {X-A: '1'}
name: headers, headers: {X-A: '1', X-B: {regex: 'b+'}}
name: post, methods: [POST]
name: later, headers: {X-C: '1'}",
    );
    for (method, target, fields, expected) in [
        ("GET", "/", "", "plain"),
        ("GET", "/?v=2", "", "query"),
        ("GET", "/?v=22", "", "plain"),
        ("GET", "/?v=2", "x-a: 1\r\n", "header"),
        ("GET", "/", "X-A: 1\r\nX-B: bbb\r\n", "headers"),
        ("GET", "/", "X-A: 1\r\nX-B: bbc\r\n", "header"),
        ("GET", "/", "X-A: 1\r\nX-C: 1\r\n", "header"),
        ("POST", "/", "X-A: 1\r\n", "post"),
    ] {
        let head = head(method, target, "h", fields);
        let found = table.find(&RouteQuery::new(&head)).unwrap().unwrap();
        assert_eq!(&**found.name(), expected, "{method} {target} {fields}");
    }
}

#[test]
fn a_route_whose_conditions_fail_gives_way_to_a_less_specific_one() {
    let table = table(
        "name: any
name: host, hosts: [a.example], methods: [POST]
name: exact, hosts: [b.example], paths: [{exact: /x}], methods: [POST]
name: prefix, hosts: [b.example], paths: [{prefix: /}]",
    );
    assert_eq!(find(&table, "a.example", "/"), "any");
    assert_eq!(find(&table, "b.example", "/x"), "prefix");
}

#[test]
fn no_spelling_of_a_path_steps_around_its_route() {
    let table = table("name: open\nname: admin, paths: [{prefix: /admin}]");
    for path in [
        "/admin",
        "/%61dmin",
        "//admin",
        "/admin;x=1",
        "/%61%64min/x",
        "/admin/a%2Fx",
        "/admin/./x",
    ] {
        assert_eq!(find(&table, "h", path), "admin", "{path}");
    }
    for path in [
        "/./admin",
        "/x/../admin",
        "/%2e/admin",
        "/x/%2e%2e/admin",
        "/admin/../x",
        "/%2fadmin/..%2fadmin",
        "/x%2f..%2fadmin",
        "/x/..;/admin",
        "/x/..%3b/admin",
        "/x\\..\\admin",
        "/%2561dmin",
        "/x/..%5cadmin",
        "/admin%2f..%2fx",
        "/admin%2Fx",
    ] {
        assert!(
            matches!(find(&table, "h", path).as_str(), "ambiguous" | "admin"),
            "{path}"
        );
    }
}

#[test]
fn unusual_but_honest_paths_are_not_refused() {
    let table = table("name: open\nname: admin, paths: [{prefix: /admin}]");
    for path in [
        "/administrator",
        "/files/a%2Fb",
        "/.well-known/acme-challenge/x",
        "/a/../b",
        "/caf%C3%A9?x=/../admin",
        "/a//b",
        "/app;jsessionid=1",
        "/100%25",
        "*",
    ] {
        assert_eq!(find(&table, "h", path), "open", "{path}");
    }
}

#[test]
fn the_cost_of_a_lookup_does_not_grow_with_the_number_of_hosts() {
    let cost = |hosts: usize| {
        let mut routes = String::from("name: any\nname: wild, hosts: ['*.example.com']");
        for n in 0..hosts {
            let _ = write!(
                routes,
                "\nhosts: [h{n}.example.com], paths: [{{prefix: /p{n}}}]"
            );
        }
        let table = table(&routes);
        let mut steps = 0;
        let last = format!("h{}.example.com", hosts - 1);
        let head = head("GET", &format!("/p{}/x/y", hosts - 1), &last, "");
        let found = table.find_counted(&RouteQuery::new(&head), &mut steps);
        assert_eq!(
            &**found.unwrap().unwrap().name(),
            format!("route-{}", hosts + 2)
        );
        let missed = Head::clone(&head);
        let query = RouteQuery::for_host(b"a.b.c.d.example.org", &missed);
        table.find_counted(&query, &mut steps).unwrap().unwrap();
        steps
    };
    assert_eq!(cost(20_000), cost(2));
}

#[test]
fn a_path_of_many_segments_costs_no_more_than_the_routes_are_deep() {
    let table = table("name: deep, paths: [{prefix: /a/a/a}]\nname: any");
    let head = head("GET", &"/a".repeat(4000), "h", "");
    let mut steps = 0;
    table
        .find_counted(&RouteQuery::new(&head), &mut steps)
        .unwrap();
    assert!(steps < 10, "{steps}");
}
