//! Shares, ejection and retries of a whole group.

use std::collections::BTreeMap;

use super::*;

/// A checked upstream from its YAML.
pub(crate) fn upstream(yaml: &str) -> Arc<Upstream> {
    let indented: String = yaml.lines().map(|line| format!("    {line}\n")).collect();
    let text = format!(
        "listeners: [{{ address: 127.0.0.1:1 }}]\nupstreams:\n  app:\n{indented}\
         routes: [{{ upstream: app }}]\n"
    );
    let loaded = edge_config::load_text("test.yaml", &text, &|_: &str| None);
    let loaded = loaded.unwrap_or_else(|mistakes| panic!("{mistakes:#?}"));
    Arc::clone(&loaded.policy.upstreams()["app"])
}

/// A group of this YAML.
pub(crate) fn made(yaml: &str, now: Instant) -> Arc<Group> {
    Arc::new(Group::new(upstream(yaml), Material::default(), None, now))
}

/// The group that takes the place of `before`.
fn after(yaml: &str, before: &Group, now: Instant) -> Arc<Group> {
    let material = Material::default();
    Arc::new(Group::new(upstream(yaml), material, Some(before), now))
}

fn servers(weights: &[u16], more: &str) -> String {
    let server = |(index, weight): (usize, &u16)| {
        format!(
            "  - {{ url: http://127.0.0.1:{}, weight: {weight} }}\n",
            8000 + index
        )
    };
    let list: String = weights.iter().enumerate().map(server).collect();
    format!("servers:\n{list}ejection: {{ failures: 2, time: 10s }}\n{more}\n")
}

fn group(weights: &[u16], more: &str, now: Instant) -> Arc<Group> {
    made(&servers(weights, more), now)
}

const LEAST: &str = "balance: least_requests";

fn pick(group: &Arc<Group>, now: Instant) -> Option<Lease> {
    group.pick(now, &Wish::NONE, None).ok()
}

fn port(lease: &Lease) -> u16 {
    match lease.address() {
        Address::Inet(address) => address.port(),
        Address::Unix(_) => 0,
    }
}

/// How often each port is picked when every request ends at once.
fn shares(group: &Arc<Group>, requests: usize, now: Instant) -> BTreeMap<u16, usize> {
    let mut shares = BTreeMap::new();
    for _ in 0..requests {
        let lease = pick(group, now).unwrap();
        *shares.entry(port(&lease)).or_default() += 1;
    }
    shares
}

fn lease_of(group: &Arc<Group>, wanted: u16, now: Instant) -> Option<Lease> {
    (0..1000)
        .map(|_| pick(group, now).unwrap())
        .find(|lease| port(lease) == wanted)
}

/// Lets the server at this port fail often enough.
fn fail(group: &Arc<Group>, port: u16, now: Instant) {
    if let Some(lease) = lease_of(group, port, now) {
        lease.report(Outcome::ConnectFailed, Duration::ZERO, now);
        lease.report(Outcome::ConnectFailed, Duration::ZERO, now);
    }
}

fn in_flight(group: &Group) -> Vec<u32> {
    let members = group.members();
    let load = |member: &Member| member.endpoint.in_flight.load(Ordering::Relaxed);
    members.list.iter().map(load).collect()
}

/// Left out, and all.
fn census(group: &Group, now: Instant) -> (usize, usize) {
    (
        group.members().out(group.millis(now)),
        group.members().list.len(),
    )
}

fn addresses<const N: usize>(texts: [&str; N]) -> [Address; N] {
    texts.map(|text| Address::Inet(text.parse().unwrap()))
}

#[test]
fn round_robin_gives_each_server_its_share() {
    let now = Instant::now();
    let group = group(&[5, 3, 2, 0], "", now);
    let shares = shares(&group, 10_000, now);
    assert_eq!(shares.len(), 3);
    for (port, share) in [(8000, 5000), (8001, 3000), (8002, 2000)] {
        assert_eq!(shares[&port], share);
    }
}

#[test]
fn least_requests_goes_where_least_is_in_flight_for_the_weight() {
    let now = Instant::now();
    let group = group(&[1, 2], LEAST, now);
    let leases: Vec<_> = (0..30).map(|_| pick(&group, now).unwrap()).collect();
    let on = |port| leases.iter().filter(|l| self::port(l) == port).count();
    assert_eq!((on(8000), on(8001)), (10, 20));
    drop(leases);
    assert_eq!(in_flight(&group), [0, 0]);
}

#[test]
fn least_requests_stays_even_in_a_large_group() {
    let now = Instant::now();
    let group = group(&[1; 200], LEAST, now);
    let leases: Vec<_> = (0..2000).map(|_| pick(&group, now).unwrap()).collect();
    let most = in_flight(&group).into_iter().max();
    assert!(most <= Some(13), "{most:?}");
    drop(leases);
}

#[test]
fn a_server_that_fails_in_a_row_is_left_out_and_comes_back() {
    let now = Instant::now();
    let group = group(&[1, 1, 1, 1], "", now);
    fail(&group, 8001, now);
    assert_eq!(census(&group, now), (1, 4));
    let others = shares(&group, 300, now);
    assert!(!others.contains_key(&8001), "{others:?}");
    assert!(others.values().all(|share| *share > 60), "{others:?}");
    let later = now + Duration::from_secs(10);
    assert_eq!(census(&group, later), (0, 4));
    assert!(shares(&group, 100, later).contains_key(&8001));
}

#[test]
fn at_most_half_of_a_group_is_left_out_and_a_single_server_never() {
    let now = Instant::now();
    for (servers, out) in [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2)] {
        let group = group(&vec![1; servers], "", now);
        for port in 8000..8000 + u16::try_from(servers).unwrap() {
            fail(&group, port, now);
        }
        assert_eq!(census(&group, now), (out, servers));
        assert!(pick(&group, now).is_some());
    }
}

#[test]
fn a_retry_goes_to_another_server_even_to_one_left_out_and_to_the_same_only_at_last() {
    let now = Instant::now();
    let group = group(&[1, 1], "", now);
    fail(&group, 8001, now);
    for _ in 0..3 {
        let first = pick(&group, now).unwrap();
        assert_eq!(port(&first), 8000);
        assert!(first.has_alternative());
        let second = group.pick(now, &Wish::NONE, Some(first)).unwrap();
        assert_eq!(port(&second), 8001);
        assert!(!second.has_alternative());
        assert!(group.pick(now, &Wish::NONE, Some(second)).is_ok());
    }
}

#[test]
fn retries_end_with_the_budget() {
    let now = Instant::now();
    let group = group(&[1, 1], "", now);
    let retry = |_: &usize| {
        pick(&group, now).unwrap();
        group.may_retry(now)
    };
    let retries = (0..1000).filter(retry).count();
    assert!((200..=205).contains(&retries), "{retries}");
}

#[test]
fn without_ejection_nobody_is_left_out() {
    let now = Instant::now();
    let yaml = "servers: [http://127.0.0.1:1, http://127.0.0.1:2]\nejection: { failures: 0 }\n";
    let group = made(yaml, now);
    let lease = pick(&group, now).unwrap();
    let fail = |_| lease.report(Outcome::ConnectFailed, Duration::ZERO, now);
    assert!(!(0..100).any(fail));
}

#[test]
fn the_share_that_may_be_left_out_is_the_operators() {
    let now = Instant::now();
    for (more, out) in [
        ("max_share: 100%", 4),
        ("max_share: 0%", 0),
        ("max_share: 10%", 1),
        ("max_share: 100%, min_servers: 5", 0),
    ] {
        let list = ["http://127.0.0.1:8000"; 4].iter().enumerate();
        let list: Vec<String> = list
            .map(|(n, _)| format!("http://127.0.0.1:{}", 8000 + n))
            .collect();
        let list = list.join(", ");
        let group = made(
            &format!("servers: [{list}]\nejection: {{ failures: 2, {more} }}\n"),
            now,
        );
        for port in 8000..8004 {
            fail(&group, port, now);
        }
        assert_eq!(census(&group, now), (out, 4), "{more}");
        assert!(pick(&group, now).is_some());
    }
}

#[test]
fn a_lease_knows_how_its_server_is_spoken_to() {
    let now = Instant::now();
    let lease = pick(&made("servers: [https://10.0.0.1]\n", now), now).unwrap();
    assert_eq!((lease.tls(), lease.name()), (true, "10.0.0.1"));
    let yaml = "servers: [\"unix+tls:/run/app.sock\"]\ntls: { server_name: app.example }\n";
    let lease = pick(&made(yaml, now), now).unwrap();
    assert_eq!((lease.tls(), lease.name()), (true, "app.example"));
    assert_eq!(lease.address().to_string(), "unix:/run/app.sock");
}

#[test]
fn addresses_may_change_while_what_is_known_about_the_others_stays() {
    let now = Instant::now();
    let yaml = "servers: [http://127.0.0.1:8000, http://127.0.0.1:8001, http://app.internal:9000]\n\
                ejection: { failures: 2 }\n";
    let group = made(yaml, now);
    assert_eq!(census(&group, now), (0, 2));
    let [a, b, c] = addresses(["10.0.0.1:9000", "10.0.0.2:9000", "10.0.0.3:9000"]);
    assert!(group.relocate(2, &[a.clone(), b.clone()], now));
    assert!(
        !group.relocate(2, &[a.clone(), b.clone()], now),
        "the same again"
    );
    fail(&group, 8000, now);
    let busy = pick(&group, now).unwrap();
    assert!(group.relocate(2, &[b, c], now));
    assert_eq!(census(&group, now), (1, 4));
    let still_there = u32::from(*busy.address() != a);
    assert_eq!(in_flight(&group).iter().sum::<u32>(), still_there);
    assert!(!group.relocate(7, &[a], now), "no such server");
}

#[test]
fn a_group_without_addresses_picks_nobody() {
    let now = Instant::now();
    for balance in [
        "round_robin",
        "least_requests",
        "latency",
        "hash\nhash_by: client_address",
    ] {
        let group = made(
            &format!("servers: [http://app.internal]\nbalance: {balance}\n"),
            now,
        );
        let wish = Wish {
            key: Some(1),
            token: None,
        };
        assert_eq!(
            group.pick(now, &wish, None).unwrap_err(),
            NoServer::NoAddress
        );
    }
}

#[test]
fn many_threads_pick_without_losing_count() {
    let now = Instant::now();
    for more in [
        "",
        LEAST,
        "balance: latency",
        "limits: { requests_per_server: 2 }",
    ] {
        let group = group(&[2, 1], more, now);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..5000).for_each(|_| drop(pick(&group, now))));
            }
        });
        assert_eq!(in_flight(&group), [0, 0]);
    }
}

#[test]
fn a_hash_keeps_its_server_until_that_one_goes() {
    let now = Instant::now();
    let group = group(&[1, 1, 1, 1], "balance: hash\nhash_by: client_address", now);
    let of = |key: u64| {
        let wish = Wish {
            key: Some(scatter(key)),
            token: None,
        };
        port(&group.pick(now, &wish, None).unwrap())
    };
    let before: Vec<u16> = (0..200).map(of).collect();
    assert_eq!(before, (0..200).map(of).collect::<Vec<_>>());
    fail(&group, 8002, now);
    let after: Vec<u16> = (0..200).map(of).collect();
    for (before, after) in before.iter().zip(&after) {
        assert!(before == after || (*before == 8002 && *after != 8002));
    }
    let keyless = shares(&group, 90, now);
    assert!(keyless.len() == 3, "round robin without a key: {keyless:?}");
}

#[test]
fn a_cookie_keeps_its_server_and_another_takes_over_when_that_one_goes() {
    let now = Instant::now();
    let group = group(&[1, 1, 1], "sticky: { secret: 0123456789abcdef }", now);
    let first = pick(&group, now).unwrap();
    let token = first.cookie.unwrap();
    assert!(first.set_cookie().unwrap().starts_with("palisade-server="));
    let wish = Wish {
        key: None,
        token: Some(token),
    };
    for _ in 0..10 {
        let again = group.pick(now, &wish, None).unwrap();
        assert_eq!(again.address(), first.address());
        assert_eq!(again.set_cookie(), None, "it has it already");
    }
    fail(&group, port(&first), now);
    let other = group.pick(now, &wish, None).unwrap();
    assert_ne!(other.address(), first.address());
    assert!(other.set_cookie().is_some());
    let forged = Wish {
        key: None,
        token: Some([7; 16]),
    };
    assert!(
        group
            .pick(now, &forged, None)
            .unwrap()
            .set_cookie()
            .is_some()
    );
}

#[test]
fn quick_servers_get_most_requests_and_failing_ones_few() {
    let now = Instant::now();
    let group = group(&[1, 1, 1], "balance: latency", now);
    for round in 0..100 {
        let lease = pick(&group, now).unwrap();
        let (outcome, took) = match port(&lease) {
            8000 => (Outcome::Answered(200), 5),
            8001 => (Outcome::Answered(200), 500),
            _ if round == 0 => (Outcome::Broken, 1),
            _ => (Outcome::Broken, 1),
        };
        lease.report(outcome, Duration::from_millis(took), now);
    }
    let shares = shares(&group, 900, now);
    assert!(shares[&8000] > 500, "{shares:?}");
    assert!(shares.get(&8002) < shares.get(&8001), "{shares:?}");
}

#[test]
fn a_full_server_gets_no_more_and_full_servers_refuse() {
    let now = Instant::now();
    let group = group(&[1, 1], "limits: { requests_per_server: 2 }", now);
    let inside: Vec<Lease> = (0..4).map(|_| pick(&group, now).unwrap()).collect();
    assert_eq!(in_flight(&group), [2, 2]);
    let refused = group.pick(now, &Wish::NONE, None).unwrap_err();
    assert_eq!(refused, NoServer::Busy);
    drop(inside);
    assert!(pick(&group, now).is_some());
}

/// The check of the server at this port says so.
fn check(group: &Group, port: u16, result: Result<(), &str>, now: Instant) -> bool {
    let members = group.members();
    let [wanted] = addresses([format!("127.0.0.1:{port}").as_str()]);
    let member = members
        .list
        .iter()
        .find(|m| m.endpoint.address == wanted)
        .unwrap();
    group.check(&member.endpoint, result.map_err(str::to_owned), now)
}

#[test]
fn a_server_that_is_down_gets_nothing_and_with_all_down_there_is_none() {
    let now = Instant::now();
    let group = group(&[1, 1], "health: {}", now);
    assert!(check(&group, 8000, Err("status 500"), now));
    assert_eq!(shares(&group, 10, now), [(8001, 10)].into());
    assert!(check(&group, 8001, Err("status 500"), now));
    let refused = group.pick(now, &Wish::NONE, None).unwrap_err();
    assert_eq!(refused, NoServer::AllDown);
    assert!(!check(&group, 8001, Ok(()), now));
    assert!(check(&group, 8001, Ok(()), now));
    assert_eq!(shares(&group, 10, now), [(8001, 10)].into());
}

#[test]
fn in_a_panic_all_servers_get_requests() {
    let now = Instant::now();
    let group = group(&[1, 1, 1, 1], "health: { panic: 50% }", now);
    for port in [8000, 8001] {
        check(&group, port, Err("no"), now);
    }
    assert_eq!(
        shares(&group, 100, now).len(),
        2,
        "half is not less than half"
    );
    check(&group, 8002, Err("no"), now);
    assert_eq!(shares(&group, 100, now).len(), 4);
    check(&group, 8002, Ok(()), now);
    check(&group, 8002, Ok(()), now);
    assert_eq!(shares(&group, 100, now).len(), 2);
}

#[test]
fn a_server_that_comes_back_starts_slowly() {
    let now = Instant::now();
    let group = group(&[1, 1], "health: { healthy: 1 }\nslow_start: 10s", now);
    assert_eq!(shares(&group, 100, now)[&8000], 50, "the first ones do not");
    check(&group, 8000, Err("no"), now);
    let later = now + Duration::from_secs(60);
    check(&group, 8000, Ok(()), later);
    let few = shares(&group, 1000, later)[&8000];
    assert!((20..200).contains(&few), "{few}");
    let half = shares(&group, 1000, later + Duration::from_secs(5))[&8000];
    assert!((250..420).contains(&half), "{half}");
    assert_eq!(
        shares(&group, 1000, later + Duration::from_secs(10))[&8000],
        500
    );
}

#[test]
fn a_reload_remembers_servers_that_stay() {
    let now = Instant::now();
    let health = "health: { healthy: 1 }";
    let first = group(&[1, 1, 1, 1], health, now);
    fail(&first, 8001, now);
    check(&first, 8002, Err("no"), now);
    let busy = lease_of(&first, 8000, now).unwrap();
    let second = after(&servers(&[1, 2, 1], health), &first, now);
    assert_eq!(census(&second, now), (1, 3));
    assert_eq!(in_flight(&second), [1, 0, 0]);
    drop(busy);
    assert_eq!(in_flight(&second), [0, 0, 0]);
    assert_eq!(shares(&second, 10, now), [(8000, 10)].into());
    // Nobody checks any more, so nobody is down.
    let third = after(&servers(&[1, 1, 1], ""), &second, now);
    assert_eq!(shares(&third, 10, now).len(), 2);
}

#[test]
fn a_reload_keeps_the_addresses_of_names() {
    let now = Instant::now();
    let yaml = "servers: [http://app.internal:9000, http://other.internal:9000]\n";
    let first = made(yaml, now);
    let [a, b] = addresses(["10.0.0.1:9000", "10.0.0.2:9000"]);
    first.relocate(1, &[a.clone(), b.clone()], now);
    let second = after("servers: [http://other.internal:9000]\n", &first, now);
    let known: Vec<Address> = second
        .members()
        .list
        .iter()
        .map(|member| member.endpoint.address.clone())
        .collect();
    assert_eq!(known, [a, b]);
}
