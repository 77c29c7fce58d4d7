//! Names that change and servers that fail, with a name server and servers of the test's own.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

use super::super::Keeper;
use super::*;
use crate::upstreams::Wish;
use crate::upstreams::group::tests::made;

/// A name server that knows one address, `127.0.0.N`, for every name, for a second.
async fn name_server(last: Arc<AtomicU8>) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let last = last.load(Ordering::SeqCst);
            if last != 0 {
                let answer = answer(&buffer[..length], last);
                let _ = socket.send_to(&answer, from).await;
            }
        }
    });
    address
}

fn answer(question: &[u8], last: u8) -> Vec<u8> {
    // The question ends after its name, type and class; what follows (EDNS) is not repeated.
    let end = 12 + question[12..].iter().position(|b| *b == 0).unwrap() + 5;
    let is_a = question[end - 4..end - 2] == [0, 1];
    let mut out = question[..2].to_vec();
    out.extend([0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0]);
    out.extend(&question[12..end]);
    if is_a {
        out.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 127, 0, 0, last]);
    }
    out
}

fn resolver(server: SocketAddr) -> Resolver {
    let text = format!(
        "listeners: [{{ address: 127.0.0.1:1 }}]\n\
         resolver: {{ servers: [\"{server}\"], min_ttl: 1s, timeout: 500ms }}\n\
         upstreams: {{ app: {{ servers: [http://127.0.0.1] }} }}\n\
         routes: [{{ upstream: app }}]\n"
    );
    let loaded = edge_config::load_text("test.yaml", &text, &|_: &str| None);
    loaded.unwrap().policy.resolver().clone()
}

async fn eventually(what: &str, mut ask: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !ask() {
        assert!(Instant::now() < end, "{what} did not come");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn picked(group: &Arc<Group>) -> Option<String> {
    let lease = group.pick(Instant::now(), &Wish::NONE, None).ok()?;
    Some(lease.address().to_string())
}

#[tokio::test]
async fn a_name_follows_its_time_to_live_and_keeps_its_address_in_an_outage() {
    let last = Arc::new(AtomicU8::new(1));
    let settings = resolver(name_server(last.clone()).await);
    let group = made("servers: [http://app.test:80]\n", Instant::now());
    let keeper = Keeper::start();
    keeper
        .prepare(std::slice::from_ref(&group), &settings)
        .await;
    assert_eq!(picked(&group).as_deref(), Some("127.0.0.1:80"));
    keeper.tend(std::slice::from_ref(&group), &settings);
    last.store(2, Ordering::SeqCst);
    let at = |address: &'static str| {
        let group = group.clone();
        move || picked(&group).as_deref() == Some(address)
    };
    eventually("the new address", at("127.0.0.2:80")).await;
    last.store(0, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(picked(&group).as_deref(), Some("127.0.0.2:80"));
    last.store(3, Ordering::SeqCst);
    eventually("the address after the outage", at("127.0.0.3:80")).await;
}

#[tokio::test]
async fn names_of_this_machine_need_no_name_server_and_others_do_no_harm() {
    let nobody = resolver("127.0.0.1:9".parse().unwrap());
    let yaml = "servers: [http://localhost:80, http://nowhere.invalid:80, http://127.0.0.9:80]\n";
    let group = made(yaml, Instant::now());
    Keeper::start()
        .prepare(std::slice::from_ref(&group), &nobody)
        .await;
    let found: HashSet<_> = (0..10).filter_map(|_| picked(&group)).collect();
    assert!(found.contains("127.0.0.9:80"), "{found:?}");
    assert!(found.contains("127.0.0.1:80"), "{found:?}");
    assert_eq!(found.len(), 2);
}

/// A server that answers every request with the status that is set.
async fn server(status: Arc<AtomicU8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let status = u16::from(status.load(Ordering::SeqCst)) * 100;
            tokio::spawn(async move {
                let mut buffer = [0; 1024];
                let _ = stream.read(&mut buffer).await;
                let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 4\r\n\r\nfine");
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    address
}

#[tokio::test]
async fn servers_go_and_come_by_their_checks_and_one_that_is_gone_is_not_asked() {
    let status = Arc::new(AtomicU8::new(2));
    let address = server(status.clone()).await;
    let health = "health: { interval: 100ms, healthy: 1, unhealthy: 1, body: fine }";
    let yaml = format!("servers: [\"http://{address}\", http://127.0.0.1:9]\n{health}\n");
    let group = made(&yaml, Instant::now());
    let keeper = Keeper::start();
    let settings = resolver("127.0.0.1:9".parse().unwrap());
    keeper.tend(std::slice::from_ref(&group), &settings);
    let only = || (0..4).all(|_| picked(&group) == Some(address.to_string()));
    eventually("the dead server to be left alone", only).await;
    status.store(5, Ordering::SeqCst);
    eventually("both to be down", || picked(&group).is_none()).await;
    let report = group.report(Instant::now());
    assert_eq!(report[0].state, "down");
    assert_eq!(report[0].last_check.as_deref(), Some("status 500"));
    status.store(2, Ordering::SeqCst);
    eventually("the server to be back", only).await;
    keeper.tend(&[], &settings);
}
