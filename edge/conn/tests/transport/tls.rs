//! Handshakes that succeed, and those that are refused for a good reason.

use std::time::Duration;

use edge_core::HumanDuration;
use rustls::version::{TLS12, TLS13};
use tokio::io::AsyncReadExt;

use crate::harness::{Server, statuses};
use crate::tls_harness::{Authority, Caller, Policy};

const GET: &str = "GET /a HTTP/1.1\r\nHost: a.example\r\n\r\n";
const CLOSE: &str = "GET /a HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";

/// The line of the log that says how a handshake ended; the server may need a moment to write it.
async fn outcome(server: &Server) -> String {
    for _ in 0..100 {
        let lines = server.log.lines();
        let mut found = lines.into_iter();
        let found = found.find(|line| line.starts_with("tls") || line.starts_with("handshake"));
        if let Some(line) = found {
            return line;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("no handshake ended: {:?}", server.log.lines());
}

#[tokio::test]
async fn requests_share_a_connection_and_its_facts_are_known() {
    let authority = Authority::new();
    for (version, print) in [
        (&TLS13, "TLSv1.3 TLS_AES_256_GCM_SHA384 t13d"),
        (
            &TLS12,
            "TLSv1.2 TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 t12d",
        ),
    ] {
        let server = Server::start_tls(|_| (), Policy::new(&authority));
        let caller = Caller::with(&authority, &[b"http/1.1"], None, &[version]);
        let mut client = caller.call(server.address, "A.example").await.unwrap();
        for _ in 0..3 {
            client.send(GET).await;
            client.until("[127.0.0.1 /a ]").await;
        }
        client.send(CLOSE).await;
        let rest = client.rest().await;
        assert!(
            rest.ends_with("/a ]"),
            "close_notify before the end: {rest}"
        );
        let line = outcome(&server).await;
        assert!(
            line.starts_with(&format!("tls a.example {print}")),
            "{line}"
        );
        assert!(line.contains("h1_") && line.ends_with(" -"), "{line}");
    }
}

#[tokio::test]
async fn alpn_chooses_the_protocol_and_nothing_else_does() {
    let authority = Authority::new();
    let server = Server::start_tls(|_| (), Policy::new(&authority));
    let h2 = Caller::new(&authority, &[b"h2", b"http/1.1"]);
    let client = h2.call(server.address, "a.example").await.unwrap();
    assert_eq!(client.0.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) = h2::client::handshake(client.0).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get("https://a.example/a").body(()).unwrap();
    let (answer, _) = sender.send_request(request, true).unwrap();
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), 200);

    // Without ALPN a preface is a malformed request: prior knowledge is for plain connections.
    let bare = Caller::new(&authority, &[]);
    let mut client = bare.call(server.address, "a.example").await.unwrap();
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert_eq!(statuses(&client.rest().await), ["400"]);

    // And after ALPN h2, HTTP/1 is no answer to give.
    let mut client = h2.call(server.address, "a.example").await.unwrap();
    client.send(GET).await;
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn clients_are_known_by_their_certificates() {
    let authority = Authority::new();
    let server = Server::start_tls(|_| (), Policy::new(&authority));
    let certificate = Some(authority.client());
    let caller = Caller::with(&authority, &[], certificate, rustls::DEFAULT_VERSIONS);
    let mut client = caller.call(server.address, "mtls.example").await.unwrap();
    client.send(CLOSE).await;
    assert_eq!(statuses(&client.rest().await), ["200"]);
    let line = outcome(&server).await;
    assert!(line.ends_with(" CN=alice"), "{line}");

    let server = Server::start_tls(|_| (), Policy::new(&authority));
    let stranger = Some(Authority::new().client());
    for certificate in [None, stranger] {
        let versions = rustls::DEFAULT_VERSIONS;
        let caller = Caller::with(&authority, &[], certificate, versions);
        if let Ok(mut client) = caller.call(server.address, "mtls.example").await {
            let error = client.0.read(&mut [0; 9]).await.unwrap_err().to_string();
            assert!(error.contains("alert"), "{error}");
        }
        assert_eq!(
            outcome(&server).await,
            "handshake 127.0.0.1 client_certificate"
        );
    }
}

#[tokio::test]
async fn refusals_say_why_by_an_alert() {
    let authority = Authority::new();
    let cases: [(&'static str, &[&[u8]], &str, &str); 3] = [
        ("b.example", &[], "UnrecognisedName", "unknown_name"),
        ("127.0.0.1", &[], "UnrecognisedName", "unknown_name"),
        (
            "a.example",
            &[b"gopher"],
            "NoApplicationProtocol",
            "no_protocol",
        ),
    ];
    for (name, protocols, alert, reason) in cases {
        let server = Server::start_tls(|_| (), Policy::new(&authority));
        let caller = Caller::new(&authority, protocols);
        let error = caller.call(server.address, name).await.err().unwrap();
        assert!(error.to_string().contains(alert), "{name}: {error}");
        assert_eq!(
            outcome(&server).await,
            format!("handshake 127.0.0.1 {reason}")
        );
    }
}

#[tokio::test]
async fn a_client_that_does_not_trust_us_is_counted() {
    let authority = Authority::new();
    let server = Server::start_tls(|_| (), Policy::new(&authority));
    let caller = Caller::new(&Authority::new(), &[]);
    assert!(caller.call(server.address, "a.example").await.is_err());
    assert_eq!(outcome(&server).await, "handshake 127.0.0.1 alert");
}

#[tokio::test]
async fn a_proof_of_control_is_shown_and_nothing_served() {
    let authority = Authority::new();
    let server = Server::start_tls(|_| (), Policy::new(&authority));
    let caller = Caller::new(&authority, &[b"acme-tls/1"]);
    let mut client = caller.call(server.address, "proof.example").await.unwrap();
    let session = client.0.get_ref().1;
    assert_eq!(session.alpn_protocol(), Some(&b"acme-tls/1"[..]));
    assert_eq!(client.rest().await, "");
    assert_eq!(server.log.lines(), Vec::<String>::new());
}

#[tokio::test]
async fn a_browser_without_tls_is_told_so() {
    let authority = Authority::new();
    let server = Server::start_tls(|_| (), Policy::new(&authority));
    let answer = server.ask(GET).await;
    assert_eq!(statuses(&answer), ["400"]);
    assert!(answer.contains("HTTPS only"), "{answer}");
    assert_eq!(outcome(&server).await, "handshake 127.0.0.1 plain_http");
}

#[tokio::test]
async fn the_whole_handshake_stands_under_one_deadline() {
    let authority = Authority::new();
    let edit = |spec: &mut edge_conn::ListenerSpec| {
        let tls = spec.tls.as_mut().unwrap();
        tls.handshake = HumanDuration(Duration::from_millis(300));
    };
    // Nothing at all, five bytes, and a byte now and then.
    for (bytes, pause) in [(0, 2000), (5, 2000), (5, 50)] {
        let server = Server::start_tls(edit, Policy::new(&authority));
        let mut client = server.connect().await;
        let started = std::time::Instant::now();
        let (mut read, write) = client.0.split();
        let drip = async {
            for byte in [22, 3, 1, 1, 0, 1, 0, 0, 252, 3, 3].into_iter().take(bytes) {
                let _ = write.try_write(&[byte]);
                tokio::time::sleep(Duration::from_millis(if bytes == 5 { pause } else { 0 })).await;
            }
            std::future::pending::<()>().await;
        };
        let mut nothing = [0; 9];
        tokio::select! {
            () = drip => {}
            read = read.read(&mut nothing) => assert!(matches!(read, Ok(0) | Err(_))),
        }
        let took = started.elapsed().as_millis();
        assert!((290..700).contains(&took), "{took}");
        assert_eq!(outcome(&server).await, "handshake 127.0.0.1 timeout");
    }
}
