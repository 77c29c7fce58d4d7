//! Shares, ejection and retries of a whole group.

use std::collections::BTreeMap;

use super::*;

pub(crate) fn settings(weights: &[u16], balance: Balance) -> Settings {
    let server = |(index, weight): (usize, &u16)| Server {
        host: "127.0.0.1".to_owned(),
        port: 8000 + u16::try_from(index).unwrap(),
        tls: false,
        weight: *weight,
    };
    let time = Duration::from_secs(5);
    Settings {
        name: "app".into(),
        servers: weights.iter().enumerate().map(server).collect(),
        balance,
        ejection: Some(Ejection {
            failures: 2,
            time: Duration::from_secs(10),
        }),
        attempts: 2,
        retry_percent: 20,
        dial: Dial {
            connect: time,
            read: time,
            write: time,
            idle: time,
            http2: false,
            verify: true,
            server_name: None,
        },
    }
}

fn group(weights: &[u16], balance: Balance, now: Instant) -> Arc<Group> {
    Arc::new(Group::new(settings(weights, balance), now))
}

/// How often each port is picked when every request ends at once.
fn shares(group: &Arc<Group>, requests: usize, now: Instant) -> BTreeMap<u16, usize> {
    let mut shares = BTreeMap::new();
    for _ in 0..requests {
        let lease = group.pick(now, None).unwrap();
        *shares.entry(lease.address().port()).or_default() += 1;
    }
    shares
}

/// Lets the server at this port fail often enough.
fn fail(group: &Arc<Group>, port: u16, now: Instant) {
    let lease = (0..1000)
        .map(|_| group.pick(now, None).unwrap())
        .find(|lease| lease.address().port() == port);
    if let Some(lease) = lease {
        lease.failed(now);
        lease.failed(now);
    }
}

fn in_flight(group: &Group) -> Vec<u32> {
    let members = group.members.load();
    let load = |endpoint: &Arc<Endpoint>| endpoint.in_flight.load(Ordering::Relaxed);
    members.endpoints.iter().map(load).collect()
}

#[test]
fn round_robin_gives_each_server_its_share() {
    let now = Instant::now();
    let group = group(&[5, 3, 2, 0], Balance::RoundRobin, now);
    let shares = shares(&group, 10_000, now);
    assert_eq!(shares.len(), 3);
    for (port, share) in [(8000, 5000), (8001, 3000), (8002, 2000)] {
        assert_eq!(shares[&port], share);
    }
}

#[test]
fn least_requests_goes_where_least_is_in_flight_for_the_weight() {
    let now = Instant::now();
    let group = group(&[1, 2], Balance::LeastRequests, now);
    let leases: Vec<_> = (0..30).map(|_| group.pick(now, None).unwrap()).collect();
    let on = |port| leases.iter().filter(|l| l.address().port() == port).count();
    assert_eq!((on(8000), on(8001)), (10, 20));
    drop(leases);
    assert_eq!(in_flight(&group), [0, 0]);
}

#[test]
fn least_requests_stays_even_in_a_large_group() {
    let now = Instant::now();
    let group = group(&[1; 200], Balance::LeastRequests, now);
    let leases: Vec<_> = (0..2000).map(|_| group.pick(now, None).unwrap()).collect();
    let most = in_flight(&group).into_iter().max();
    assert!(most <= Some(13), "{most:?}");
    drop(leases);
}

#[test]
fn a_server_that_fails_in_a_row_is_left_out_and_comes_back() {
    let now = Instant::now();
    let group = group(&[1, 1, 1, 1], Balance::RoundRobin, now);
    fail(&group, 8001, now);
    assert_eq!(group.census(now), (1, 4));
    let others = shares(&group, 300, now);
    assert!(!others.contains_key(&8001), "{others:?}");
    assert!(others.values().all(|share| *share > 60), "{others:?}");
    let later = now + Duration::from_secs(10);
    assert_eq!(group.census(later), (0, 4));
    assert!(shares(&group, 100, later).contains_key(&8001));
}

#[test]
fn at_most_half_of_a_group_is_left_out_and_a_single_server_never() {
    let now = Instant::now();
    for (servers, out) in [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2)] {
        let group = group(&vec![1; servers], Balance::RoundRobin, now);
        for port in 8000..8000 + u16::try_from(servers).unwrap() {
            fail(&group, port, now);
        }
        assert_eq!(group.census(now), (out, servers));
        assert!(group.pick(now, None).is_some());
    }
}

#[test]
fn a_retry_goes_to_another_server_even_to_one_left_out_and_to_the_same_only_at_last() {
    let now = Instant::now();
    let group = group(&[1, 1], Balance::RoundRobin, now);
    fail(&group, 8001, now);
    for _ in 0..3 {
        let first = group.pick(now, None).unwrap();
        assert_eq!(first.address().port(), 8000);
        assert!(first.has_alternative());
        let second = group.pick(now, Some(first)).unwrap();
        assert_eq!(second.address().port(), 8001);
        assert!(!second.has_alternative());
        assert!(group.pick(now, Some(second)).is_some());
    }
}

#[test]
fn retries_end_with_the_budget() {
    let now = Instant::now();
    let group = group(&[1, 1], Balance::RoundRobin, now);
    let retry = |_: &usize| {
        group.pick(now, None).unwrap();
        group.may_retry(now)
    };
    let retries = (0..1000).filter(retry).count();
    assert!((200..=205).contains(&retries), "{retries}");
}

#[test]
fn without_ejection_nobody_is_left_out() {
    let now = Instant::now();
    let mut settings = settings(&[1, 1], Balance::RoundRobin);
    settings.ejection = None;
    let group = Arc::new(Group::new(settings, now));
    let lease = group.pick(now, None).unwrap();
    assert!((0..100).all(|_| !lease.failed(now)));
}

#[test]
fn a_lease_knows_how_its_server_is_spoken_to() {
    let now = Instant::now();
    let mut settings = settings(&[1], Balance::RoundRobin);
    settings.servers[0].tls = true;
    let lease = Arc::new(Group::new(settings.clone(), now))
        .pick(now, None)
        .unwrap();
    assert_eq!((lease.tls(), lease.name()), (true, "127.0.0.1"));
    settings.dial.server_name = Some("app.example".to_owned());
    let lease = Arc::new(Group::new(settings, now)).pick(now, None).unwrap();
    assert_eq!(lease.name(), "app.example");
}

#[test]
fn addresses_may_change_while_what_is_known_about_the_others_stays() {
    let now = Instant::now();
    let mut settings = settings(&[1, 1], Balance::RoundRobin);
    settings.servers.push(Server {
        host: "app.internal".to_owned(),
        port: 9000,
        tls: false,
        weight: 1,
    });
    let group = Arc::new(Group::new(settings, now));
    assert_eq!(group.census(now), (0, 2));
    let [a, b, c]: [SocketAddr; 3] =
        ["10.0.0.1:9000", "10.0.0.2:9000", "10.0.0.3:9000"].map(|text| text.parse().unwrap());
    assert!(group.relocate(2, &[a, b]));
    assert!(!group.relocate(2, &[a, b]), "the same again");
    fail(&group, 8000, now);
    let busy = group.pick(now, None).unwrap();
    assert!(group.relocate(2, &[b, c]));
    assert_eq!(group.census(now), (1, 4));
    let busy = u32::from(busy.address() != a);
    assert_eq!(in_flight(&group).iter().sum::<u32>(), busy);
    assert!(!group.relocate(7, &[a]), "no such server");
}

#[test]
fn a_group_without_addresses_picks_nobody() {
    let now = Instant::now();
    for balance in [Balance::RoundRobin, Balance::LeastRequests] {
        let mut settings = settings(&[1], balance);
        settings.servers[0].host = "app.internal".to_owned();
        assert!(
            Arc::new(Group::new(settings, now))
                .pick(now, None)
                .is_none()
        );
    }
}

#[test]
fn many_threads_pick_without_losing_count() {
    let now = Instant::now();
    let group = group(&[2, 1], Balance::RoundRobin, now);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..5000).for_each(|_| drop(group.pick(now, None))));
        }
    });
    assert_eq!(in_flight(&group), [0, 0]);
}
