//! The listener in front of pingora's `HttpProxy` and a real upstream: what streams must keep streaming,
//! and what ends must end at once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use edge_conn::{BodyFault, ConnectionInfo, body_fault, connection};
use pingora::prelude::{HttpPeer, ProxyHttp, Session};
use pingora::proxy::{FailToProxy, http_proxy};
use pingora::server::configuration::ServerConf;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::harness::{Server, statuses};

struct Forward(SocketAddr);

#[async_trait]
impl ProxyHttp for Forward {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn early_request_filter(&self, session: &mut Session, _: &mut ()) -> pingora::Result<()> {
        let _ = session
            .digest()
            .and_then(connection)
            .map(ConnectionInfo::take_head);
        Ok(())
    }

    async fn upstream_peer(&self, _: &mut Session, _: &mut ()) -> pingora::Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.0, false, String::new())))
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &pingora::Error,
        _: &mut (),
    ) -> FailToProxy {
        let error_code = body_fault(error).map_or(502, BodyFault::status);
        let _ = session.respond_error(error_code).await;
        FailToProxy {
            error_code,
            can_reuse_downstream: false,
        }
    }
}

/// An upstream whose connections the test plays by hand.
struct Upstream(mpsc::Receiver<TcpStream>);

impl Upstream {
    async fn start() -> (Self, Server) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (send, receive) = mpsc::channel(8);
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                send.send(tcp).await.unwrap();
            }
        });
        let conf = Arc::new(ServerConf::default());
        let server = Server::start_app(|_| (), |_| http_proxy(&conf, Forward(address)));
        (Self(receive), server)
    }

    async fn accept(&mut self) -> TcpStream {
        tokio::time::timeout(Duration::from_secs(5), self.0.recv())
            .await
            .unwrap()
            .unwrap()
    }
}

/// Reads from `tcp` until `end` was seen.
async fn until(tcp: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(end) {
        let mut bytes = [0; 4096];
        let read = tokio::time::timeout(Duration::from_secs(5), tcp.read(&mut bytes));
        let read = read.await.unwrap().unwrap();
        assert!(read > 0, "closed after {text:?}");
        text.push_str(&String::from_utf8_lossy(&bytes[..read]));
    }
    text
}

const UPGRADE: &str =
    "GET /ws HTTP/1.1\r\nHost: q\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";

#[tokio::test]
async fn an_accepted_upgrade_passes_bytes_both_ways() {
    let (mut upstream, server) = Upstream::start().await;
    let mut client = server.connect().await;
    client.send(UPGRADE).await;
    let mut tcp = upstream.accept().await;
    until(&mut tcp, "\r\n\r\n").await;
    client.send("early").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello";
    tcp.write_all(switch.as_bytes()).await.unwrap();
    client.until("hello").await;
    until(&mut tcp, "early").await;
    client.send("\n\0ping").await;
    until(&mut tcp, "\n\0ping").await;
    tcp.write_all(b"pong").await.unwrap();
    client.until("pong").await;
    drop(client);
    let mut rest = Vec::new();
    tcp.read_to_end(&mut rest).await.unwrap();
}

#[tokio::test]
async fn a_refused_upgrade_is_an_ordinary_request() {
    let (mut upstream, server) = Upstream::start().await;
    let mut client = server.connect().await;
    client
        .send(format!("{UPGRADE}GET /next HTTP/1.1\r\nHost: q\r\n\r\n"))
        .await;
    let mut tcp = upstream.accept().await;
    let seen = until(&mut tcp, "\r\n\r\n").await;
    assert!(!seen.contains("/next"), "{seen}");
    tcp.write_all(b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno")
        .await
        .unwrap();
    client.until("no").await;
    let seen = until(&mut tcp, "\r\n\r\n").await;
    assert!(seen.starts_with("GET /next "), "{seen}");
}

#[tokio::test]
async fn events_arrive_when_they_are_sent() {
    let (mut upstream, server) = Upstream::start().await;
    let mut client = server.connect().await;
    client.send("GET /events HTTP/1.1\r\nHost: q\r\n\r\n").await;
    let mut tcp = upstream.accept().await;
    until(&mut tcp, "\r\n\r\n").await;
    let head =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    tcp.write_all(head.as_bytes()).await.unwrap();
    client.until("\r\n\r\n").await;
    for event in ["one", "two"] {
        tcp.write_all(format!("5\r\n{event}\n\n\r\n").as_bytes())
            .await
            .unwrap();
        client.until(&format!("{event}\n\n\r\n")).await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_frees_its_upstream() {
    let (mut upstream, server) = Upstream::start().await;
    let mut client = server.connect().await;
    client.send("GET /slow HTTP/1.1\r\nHost: q\r\n\r\n").await;
    let mut tcp = upstream.accept().await;
    until(&mut tcp, "\r\n\r\n").await;
    drop(client);
    let mut rest = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(2), tcp.read_to_end(&mut rest)).await;
    assert!(end.is_ok(), "the upstream connection was kept");
}

#[tokio::test]
async fn odd_chunks_reach_the_client_as_400_and_the_upstream_as_a_broken_request() {
    let (mut upstream, server) = Upstream::start().await;
    let mut client = server.connect().await;
    client
        .send("POST / HTTP/1.1\r\nHost: q\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        .await;
    let mut tcp = upstream.accept().await;
    until(&mut tcp, "abc\r\n").await;
    client
        .send("3;a\nb\r\nabc\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: q\r\n\r\n")
        .await;
    assert_eq!(statuses(&client.rest().await), ["400"]);
    let mut rest = Vec::new();
    let _ = tcp.read_to_end(&mut rest).await;
    assert_eq!(String::from_utf8_lossy(&rest), "", "nothing follows");
}

#[tokio::test]
async fn large_bodies_go_through_unchanged_in_both_directions() {
    let (mut upstream, server) = Upstream::start().await;
    let body: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let (mut client, sent, length) = (server.connect().await, body.clone(), body.len());
    let exchange = tokio::spawn(async move {
        let head = format!("POST / HTTP/1.1\r\nHost: q\r\nContent-Length: {length}\r\n\r\n");
        client.send(head).await;
        client.send(sent).await;
        head_of(&mut client.0).await;
        let mut answer = vec![0; length];
        client.0.read_exact(&mut answer).await.unwrap();
        answer
    });
    let mut tcp = upstream.accept().await;
    head_of(&mut tcp).await;
    let mut got = vec![0; length];
    tcp.read_exact(&mut got).await.unwrap();
    assert!(got == body, "the request body changed");
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
    tcp.write_all(head.as_bytes()).await.unwrap();
    tcp.write_all(&body).await.unwrap();
    assert!(exchange.await.unwrap() == body, "the response body changed");
}

/// Reads one head, byte by byte, and nothing after it.
async fn head_of(tcp: &mut TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tcp.read_u8().await.unwrap());
    }
}
