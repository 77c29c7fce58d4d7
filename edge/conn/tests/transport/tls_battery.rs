//! Hostile handshakes: nothing hangs, nothing is served, the listener lives, and the reason is known.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use edge_core::HumanDuration;
use rustls::ClientConnection;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Server, statuses};
use crate::tls_harness::{Authority, Caller, Policy};

pub(crate) const CLOSE: &str = "GET /a HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";

/// A TLS 1.3 ClientHello without a key share, which asks for a HelloRetryRequest.
fn hello(extra: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut extensions = vec![
        (43, vec![2, 3, 4]),          // TLS 1.3
        (10, vec![0, 2, 0, 29]),      // x25519
        (13, vec![0, 4, 4, 3, 8, 4]), // ECDSA and RSA-PSS with SHA-256
        (51, vec![0, 0]),             // no key share
    ];
    extensions.extend_from_slice(extra);
    let mut list = Vec::new();
    for (kind, content) in extensions {
        list.extend(u16::to_be_bytes(kind));
        list.extend(counted(&content));
    }
    let mut body = [&[3, 3][..], &[7; 32], &[0], &[0, 2, 0x13, 1], &[1, 0]].concat();
    body.extend(counted(&list));
    let mut message = (body.len() as u32 | 1 << 24).to_be_bytes().to_vec();
    message.extend(body);
    message
}

fn counted(content: &[u8]) -> Vec<u8> {
    [&(content.len() as u16).to_be_bytes(), content].concat()
}

fn record(content: &[u8]) -> Vec<u8> {
    [&[22, 3, 1][..], &counted(content)].concat()
}

fn named(names: &[&[u8]]) -> (u16, Vec<u8>) {
    let list: Vec<u8> = names
        .iter()
        .flat_map(|name| [&[0][..], &counted(name)].concat())
        .collect();
    (0, counted(&list))
}

/// What is sent, and the reason the listener names.
type Case = (&'static str, Vec<u8>, &'static str);

fn hostile() -> Vec<Case> {
    [hostile_records(), hostile_hellos(), hostile_sequels()].concat()
}

fn hostile_records() -> Vec<Case> {
    let oversized = [&[22, 3, 1, 0x40, 1][..], &[1; 16_385]].concat();
    let endless = [&[22, 3, 1, 0x3f, 0xff, 1, 0, 0xff, 0xff][..], &[7; 16_379]].concat();
    let bytewise = |length: usize| record(&[7]).repeat(length);
    vec![
        ("nothing", vec![], "timeout"),
        ("half a header", vec![22, 3], "timeout"),
        ("a header", vec![22, 3, 1, 2, 0], "timeout"),
        (
            "half a hello",
            record(&hello(&[]))[..40].to_vec(),
            "timeout",
        ),
        ("an empty record", vec![22, 3, 1, 0, 0], "invalid_hello"),
        (
            "10,000 empty records",
            [22, 3, 1, 0, 0].repeat(10_000),
            "invalid_hello",
        ),
        ("16,385 bytes", oversized, "invalid_hello"),
        (
            "65,535 bytes",
            [&[22, 3, 1, 255, 255][..], &[0; 65_535]].concat(),
            "invalid_hello",
        ),
        ("a hello of 65,535 bytes", endless.clone(), "timeout"),
        (
            "and its records",
            [endless, record(&[7; 16_000]).repeat(4)].concat(),
            "hello_too_large",
        ),
        (
            "a hello of 65,535 bytes, bytewise",
            [&record(&[1, 0, 255, 255])[..], &bytewise(12_000)].concat(),
            "hello_too_large",
        ),
        (
            "a hello of 16 MiB",
            record(&[1, 255, 255, 255]),
            "hello_too_large",
        ),
        (
            "SSL 2.0",
            b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10".to_vec(),
            "not_tls",
        ),
        ("SSL 3.0", vec![22, 3, 0, 0, 9], "invalid_hello"),
        ("3.5", vec![22, 3, 5, 0, 9], "invalid_hello"),
        ("a record of data", vec![23, 3, 3, 0, 1, 0], "not_tls"),
        ("an alert", vec![21, 3, 3, 0, 2, 2, 40], "not_tls"),
        ("garbage", vec![0x93; 5000], "not_tls"),
        (
            "a request",
            b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n".to_vec(),
            "plain_http",
        ),
        (
            "a ServerHello",
            record(&[2, 0, 0, 2, 3, 3]),
            "invalid_hello",
        ),
        (
            "data in between",
            [&record(&[1])[..], &[23, 3, 3, 0, 1, 7]].concat(),
            "invalid_hello",
        ),
    ]
}

fn hostile_hellos() -> Vec<Case> {
    let only = |extension| record(&hello(&[extension]));
    let with = |extension: (u16, Vec<u8>)| record(&hello(&[named(&[b"a.example"]), extension]));
    let many: Vec<String> = (0..256).map(|n| format!("h{n}.example")).collect();
    let many: Vec<&[u8]> = many.iter().map(String::as_bytes).collect();
    vec![
        (
            "a hello of no bytes",
            record(&[1, 0, 0, 0]),
            "invalid_hello",
        ),
        (
            "one extension twice",
            with((10, vec![0, 2, 0, 29])),
            "invalid_hello",
        ),
        ("256 names", only(named(&many)), "invalid_name"),
        (
            "a name with NUL",
            only(named(&[b"a.example\0.b.example"])),
            "invalid_name",
        ),
        (
            "a name of 255 bytes",
            only(named(&[&[b'a'; 255]])),
            "invalid_name",
        ),
        ("an empty name", only(named(&[b""])), "invalid_name"),
        ("no names", only((0, vec![0, 0])), "invalid_hello"),
        ("an address", only(named(&[b"127.0.0.1"])), "unknown_name"),
        (
            "an address of version 6",
            only(named(&[b"::1"])),
            "unknown_name",
        ),
        ("another name", only(named(&[b"b.example"])), "unknown_name"),
        (
            "ALPN without names",
            with((16, vec![0, 0])),
            "invalid_hello",
        ),
        (
            "ALPN with an empty name",
            with((16, vec![0, 1, 0])),
            "invalid_hello",
        ),
    ]
}

/// Good hellos with something behind them.
fn hostile_sequels() -> Vec<Case> {
    let good = record(&hello(&[named(&[b"a.example"])]));
    vec![
        ("no common key exchange", good.clone(), "timeout"), // asked for another hello
        (
            "garbage behind the hello",
            [good.clone(), vec![9; 99]].concat(),
            "timeout",
        ),
        (
            "10,000 changes of cipher",
            [good.clone(), [20, 3, 3, 0, 1, 1].repeat(10_000)].concat(),
            "protocol",
        ),
        (
            "10,000 warnings",
            [good.clone(), [21, 3, 3, 0, 2, 1, 90].repeat(10_000)].concat(),
            "protocol",
        ),
    ]
}

/// The reason in the log, once it is there.
async fn reason(server: &Server) -> String {
    for _ in 0..150 {
        let lines = server.log.lines();
        if let Some(reason) = lines
            .iter()
            .find_map(|l| l.strip_prefix("handshake 127.0.0.1 "))
        {
            return reason.to_owned();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    "none".to_owned()
}

pub(crate) fn start(policy: &Arc<Policy>) -> Server {
    let patience = HumanDuration(Duration::from_millis(400));
    let edit = |spec: &mut edge_conn::ListenerSpec| {
        spec.tls.as_mut().unwrap().handshake = patience;
    };
    Server::start_tls(edit, Arc::clone(policy) as Arc<dyn edge_tls::Terminate>)
}

/// Sends everything and waits for the end; the answer's first bytes.
async fn provoke(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut tcp = TcpStream::connect(address).await.unwrap();
    let _ = tcp.write_all(bytes).await;
    let mut answer = Vec::new();
    let mut part = [0; 4096];
    while let Ok(read @ 1..) = tcp.read(&mut part).await {
        answer.extend_from_slice(&part[..read]);
    }
    answer
}

#[tokio::test]
async fn hostile_hellos_end_with_their_reason_and_within_the_deadline() {
    let authority = Authority::new();
    let policy = Policy::new(&authority);
    let (cases, mut wrong) = (hostile(), Vec::new());
    for (what, bytes, expected) in &cases {
        let server = start(&policy);
        let answered = provoke(server.address, bytes);
        // The deadline, a second for those who do not read their alert, and some air.
        let answer = tokio::time::timeout(Duration::from_millis(2500), answered).await;
        let answer = answer.unwrap_or_else(|_| panic!("{what}: hangs"));
        // A HelloRetryRequest may have come first.
        let told = matches!(answer.first(), Some(21 | 22)) || answer.starts_with(b"HTTP/1.1 400");
        let silent = matches!(*expected, "timeout" | "not_tls");
        let why = reason(&server).await;
        if why != *expected || (!silent && !told) {
            wrong.push(format!(
                "{what}: {why} instead of {expected}, answer {answer:?}"
            ));
        }
        let lines = server.log.lines();
        assert!(
            !lines.iter().any(|line| line.starts_with("opened")),
            "{what}"
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(cases.len() >= 37, "{}", cases.len());
}

/// All of them at one listener, which then still serves.
#[tokio::test]
async fn a_listener_outlives_all_of_them_at_once() {
    let authority = Authority::new();
    let policy = Policy::new(&authority);
    let server = start(&policy);
    let address = server.address;
    let attacks: Vec<_> = hostile()
        .into_iter()
        .map(|(_, bytes, _)| tokio::spawn(async move { provoke(address, &bytes).await }))
        .collect();
    let caller = Caller::new(&authority, &[]);
    let mut client = caller.call(address, "a.example").await.unwrap();
    client.send(CLOSE).await;
    assert_eq!(statuses(&client.rest().await), ["200"]);
    for attack in attacks {
        let ended = tokio::time::timeout(Duration::from_secs(5), attack).await;
        ended.unwrap().unwrap();
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(server.shared.open(), 0, "nobody is left");
}

/// The ClientHello rustls would send, as records.
fn real_hello(caller: &Caller) -> Vec<u8> {
    let name = ServerName::try_from("a.example").unwrap();
    let mut client = ClientConnection::new(Arc::new(caller.config.clone()), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

#[tokio::test]
async fn a_hello_in_records_of_one_byte_is_a_hello() {
    let authority = Authority::new();
    let server = start(&Policy::new(&authority));
    let whole = real_hello(&Caller::new(&authority, &[b"h2"]));
    let bytewise: Vec<u8> = whole[5..]
        .iter()
        .flat_map(|byte| record(&[*byte]))
        .collect();
    let answer = provoke(server.address, &bytewise).await;
    assert_eq!(answer.first(), Some(&22), "a ServerHello");
    assert_eq!(reason(&server).await, "timeout");
}

#[tokio::test]
async fn a_client_is_asked_for_another_hello_only_once() {
    let authority = Authority::new();
    let server = start(&Policy::new(&authority));
    let without_share = record(&hello(&[named(&[b"a.example"])]));
    let mut tcp = TcpStream::connect(server.address).await.unwrap();
    let mut answer = [0; 4096];
    tcp.write_all(&without_share).await.unwrap();
    let read = tcp.read(&mut answer).await.unwrap();
    assert!(read > 6);
    assert_eq!(answer[..6], [22, 3, 3, 0, 56, 2], "a HelloRetryRequest");
    tcp.write_all(&without_share).await.unwrap();
    assert_eq!(reason(&server).await, "protocol");
}

#[tokio::test]
async fn a_forged_binder_ends_the_handshake() {
    let authority = Authority::new();
    let server = start(&Policy::new(&authority));
    let caller = Caller::new(&authority, &[]);
    known(&caller, server.address).await;
    let mut forged = real_hello(&caller);
    *forged.last_mut().unwrap() ^= 1;
    let answer = provoke(server.address, &forged).await;
    assert!(answer.starts_with(&[21, 3]), "{answer:?}");
    assert_eq!(reason(&server).await, "protocol");
}

/// A client that was there before, with a session that it may resume.
pub(crate) async fn known(caller: &Caller, address: SocketAddr) {
    let mut client = caller.call(address, "a.example").await.unwrap();
    client.send(CLOSE).await;
    assert_eq!(statuses(&client.rest().await), ["200"]);
}
