//! What a hostile client does after a good ClientHello: early data, endless keys, garbage, renegotiation.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use edge_core::HumanDuration;
use rustls::ClientConnection;
use rustls::version::{TLS12, TLS13};
use rustls_pki_types::ServerName;
use tokio::io::AsyncWriteExt;

use crate::harness::{Server, statuses};
use crate::tls_battery::{CLOSE, known, start};
use crate::tls_harness::{Authority, Caller, Policy};

/// Works with rustls's client byte by byte, on a thread of its own.
async fn by_hand<T: Send + 'static>(
    caller: &Caller,
    address: SocketAddr,
    act: impl FnOnce(&mut ClientConnection, &mut std::net::TcpStream) -> T + Send + 'static,
) -> T {
    let config = Arc::new(caller.config.clone());
    let work = move || {
        let mut tcp = std::net::TcpStream::connect(address).unwrap();
        tcp.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        let name = ServerName::try_from("a.example").unwrap();
        let mut client = ClientConnection::new(config, name).unwrap();
        act(&mut client, &mut tcp)
    };
    tokio::task::spawn_blocking(work).await.unwrap()
}

fn read_all(client: &mut ClientConnection, tcp: &mut std::net::TcpStream) -> String {
    let mut text = Vec::new();
    let mut part = [0; 4096];
    while let Ok(read @ 1..) = rustls::Stream::new(client, tcp).read(&mut part) {
        text.extend_from_slice(&part[..read]);
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test]
async fn early_data_is_neither_accepted_nor_served() {
    let authority = Authority::new();
    let policy = Policy::new(&authority);
    // The session comes from a listener that allows it, with the same memory of sessions.
    let lax = start(&policy.with_early_data());
    let strict = start(&policy);
    let mut caller = Caller::new(&authority, &[]);
    caller.config.enable_early_data = true;
    known(&caller, lax.address).await;
    let (accepted, answer) = by_hand(&caller, strict.address, |client, tcp| {
        let mut early = client.early_data().expect("the session allows it");
        early
            .write_all(b"POST /replayed HTTP/1.1\r\nHost: a.example\r\n\r\n")
            .unwrap();
        client.complete_io(tcp).unwrap();
        let accepted = client.is_early_data_accepted();
        let mut stream = rustls::Stream::new(client, tcp);
        stream.write_all(CLOSE.as_bytes()).unwrap();
        (accepted, read_all(client, tcp))
    })
    .await;
    assert!(!accepted);
    assert_eq!(statuses(&answer), ["200"]);
    let lines = strict.log.lines();
    let requests: Vec<_> = lines.iter().filter(|l| l.starts_with("request")).collect();
    assert_eq!(requests, ["request /a"], "the replayed one was never seen");
}

#[tokio::test]
async fn a_flood_of_key_updates_ends_the_connection() {
    let authority = Authority::new();
    let server = start(&Policy::new(&authority));
    let caller = Caller::with(&authority, &[], None, &[&TLS13]);
    let answer = by_hand(&caller, server.address, |client, tcp| {
        client.complete_io(tcp).unwrap();
        for _ in 0..10_000 {
            let updated = client.refresh_traffic_keys().is_ok();
            if !updated || client.write_tls(tcp).is_err() {
                break;
            }
        }
        let _ = rustls::Stream::new(client, tcp).write_all(CLOSE.as_bytes());
        read_all(client, tcp)
    })
    .await;
    assert_eq!(answer, "");
    assert!(!server.log.lines().iter().any(|l| l.starts_with("request")));
}

#[tokio::test]
async fn garbage_and_silence_after_the_handshake_end_the_connection() {
    let authority = Authority::new();
    for (version, forged) in [
        (&TLS13, vec![23, 3, 3, 0, 40]),
        (&TLS12, vec![23, 3, 3, 0, 40]),
        (&TLS12, vec![22, 3, 3, 0, 40]), // a handshake message outside of encryption
        (&TLS13, vec![99; 5]),
    ] {
        let edit = |spec: &mut edge_conn::ListenerSpec| {
            spec.head.deadline = HumanDuration(Duration::from_millis(400));
        };
        let server = Server::start_tls(edit, Policy::new(&authority));
        for content in [vec![], vec![7; 40]] {
            let caller = Caller::with(&authority, &[], None, &[version]);
            let bytes = [&forged[..], &content].concat();
            let answer = by_hand(&caller, server.address, move |client, tcp| {
                client.complete_io(tcp).unwrap();
                tcp.write_all(&bytes).unwrap();
                read_all(client, tcp)
            })
            .await;
            assert_eq!(answer, "");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(server.shared.open(), 0, "{forged:?}");
    }
}

/// TLS 1.2 may ask for a second handshake on a connection; we never agree.
#[tokio::test]
async fn renegotiation_is_refused() {
    let authority = Authority::new();
    let server = Server::start_tls(|_| (), Policy::new(&authority));
    let target = server.address.to_string();
    let spawned = tokio::process::Command::new("openssl")
        .args([
            "s_client",
            "-tls1_2",
            "-legacy_renegotiation",
            "-servername",
            "a.example",
        ])
        .args(["-connect", &target])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let Ok(mut openssl) = spawned else {
        println!("skipped: renegotiation_is_refused (no openssl)");
        return;
    };
    let mut stdin = openssl.stdin.take().unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    stdin.write_all(b"R\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let _ = stdin.write_all(CLOSE.as_bytes()).await;
    drop(stdin);
    let output = tokio::time::timeout(Duration::from_secs(10), openssl.wait_with_output());
    let output = output.await.expect("openssl ends").unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("RENEGOTIATING"), "{text}");
    assert!(text.contains("no renegotiation"), "{text}");
}
