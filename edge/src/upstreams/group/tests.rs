//! Shares, ejection and retries of a whole group.

use std::collections::BTreeMap;

use super::*;

fn settings(weights: &[u16], balance: Balance) -> Settings {
    let server = |(index, weight): (usize, &u16)| Server {
        host: "127.0.0.1".to_owned(),
        port: 8000 + u16::try_from(index).unwrap(),
        weight: *weight,
    };
    Settings {
        name: "app".into(),
        servers: weights.iter().enumerate().map(server).collect(),
        balance,
        ejection: Ejection {
            failures: 2,
            time: Duration::from_secs(10),
        },
        retry_percent: 100,
    }
}

fn group(weights: &[u16], balance: Balance, now: Instant) -> Group {
    Group::new(settings(weights, balance), now)
}

/// How often each port is picked when every request ends at once.
fn shares(group: &Group, requests: usize, now: Instant) -> BTreeMap<u16, usize> {
    let mut shares = BTreeMap::new();
    for _ in 0..requests {
        let lease = group.pick(now).unwrap();
        *shares.entry(lease.address().port()).or_default() += 1;
    }
    shares
}

fn fail(group: &Group, port: u16, now: Instant) {
    for _ in 0..2 {
        let members = group.members.load();
        let find = |endpoint: &&Arc<Endpoint>| endpoint.address.port() == port;
        let lease = Lease::on(members.endpoints.iter().find(find).unwrap());
        group.failed(&lease, now);
    }
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
    let leases: Vec<_> = (0..30).map(|_| group.pick(now).unwrap()).collect();
    let on = |port| leases.iter().filter(|l| l.address().port() == port).count();
    assert_eq!((on(8000), on(8001)), (10, 20));
    drop(leases);
    assert!(
        group
            .members
            .load()
            .endpoints
            .iter()
            .all(|e| e.in_flight.load(Ordering::Relaxed) == 0)
    );
}

#[test]
fn least_requests_stays_even_in_a_large_group() {
    let now = Instant::now();
    let group = group(&[1; 200], Balance::LeastRequests, now);
    let leases: Vec<_> = (0..2000).map(|_| group.pick(now).unwrap()).collect();
    let most = group
        .members
        .load()
        .endpoints
        .iter()
        .map(|e| e.in_flight.load(Ordering::Relaxed))
        .max();
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
        assert!(group.pick(now).is_some());
    }
}

#[test]
fn a_retry_goes_to_another_server_even_to_one_left_out_and_never_to_the_same() {
    let now = Instant::now();
    let group = group(&[1, 1], Balance::RoundRobin, now);
    fail(&group, 8001, now);
    for _ in 0..3 {
        let first = group.pick(now).unwrap().address();
        assert_eq!(first.port(), 8000);
        let second = group.pick_again(now, &[first]).unwrap().address();
        assert_eq!(second.port(), 8001);
        assert!(group.pick_again(now, &[first, second]).is_none());
    }
}

#[test]
fn retries_end_with_the_budget() {
    let now = Instant::now();
    let mut settings = settings(&[1, 1], Balance::RoundRobin);
    settings.retry_percent = 20;
    let group = Group::new(settings, now);
    let retries = (0..1000)
        .filter(|_| {
            let first = group.pick(now).unwrap().address();
            group.pick_again(now, &[first]).is_some()
        })
        .count();
    assert!((200..=205).contains(&retries), "{retries}");
}

#[test]
fn addresses_may_change_while_what_is_known_about_the_others_stays() {
    let now = Instant::now();
    let mut settings = settings(&[1, 1], Balance::RoundRobin);
    settings.servers.push(Server {
        host: "app.internal".to_owned(),
        port: 9000,
        weight: 1,
    });
    let group = Group::new(settings, now);
    assert_eq!(group.census(now), (0, 2));
    let [a, b, c]: [SocketAddr; 3] =
        ["10.0.0.1:9000", "10.0.0.2:9000", "10.0.0.3:9000"].map(|text| text.parse().unwrap());
    assert!(group.relocate(2, &[a, b]));
    assert!(!group.relocate(2, &[a, b]), "the same again");
    fail(&group, 8000, now);
    let busy = group.pick(now).unwrap();
    assert!(group.relocate(2, &[b, c]));
    assert_eq!(group.census(now), (1, 4));
    let members = group.members.load();
    let loads = members
        .endpoints
        .iter()
        .map(|e| e.in_flight.load(Ordering::Relaxed));
    assert_eq!(loads.sum::<u32>(), u32::from(busy.address() != a));
    assert!(!group.relocate(7, &[a]), "no such server");
}

#[test]
fn a_group_without_addresses_picks_nobody() {
    let now = Instant::now();
    for balance in [Balance::RoundRobin, Balance::LeastRequests] {
        let mut settings = settings(&[1], balance);
        settings.servers[0].host = "app.internal".to_owned();
        assert!(Group::new(settings, now).pick(now).is_none());
    }
}

#[test]
fn many_threads_pick_without_losing_count() {
    let now = Instant::now();
    let group = group(&[2, 1], Balance::RoundRobin, now);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..5000).for_each(|_| drop(group.pick(now))));
        }
    });
    let members = group.members.load();
    assert!(
        members
            .endpoints
            .iter()
            .all(|e| e.in_flight.load(Ordering::Relaxed) == 0)
    );
}
