//! The PROXY protocol (HAProxy's proxy-protocol.txt): believed from listed peers, from nobody else.

use std::time::Duration;

use harness::client::request;
use harness::{Client, Gateway, Upstream};

const PATIENCE: Duration = Duration::from_secs(5);

fn gateway(upstream: &Upstream, from: &str) -> Gateway {
    Gateway::configured(
        r#"
listeners:
  - address: "${LISTEN}"
    proxy_protocol: { from: ["${FROM}"], deadline: 1s }
admin: { address: "${ADMIN}" }
audit: { output: "${AUDIT_LOG}" }
upstreams: { app: { servers: ["${UPSTREAM}"] } }
routes: [{ upstream: app }]
"#,
    )
    .with("FROM", from)
    .before(upstream)
    .start()
}

/// What came of a request behind this header, and the client address in the record.
fn send(gateway: &Gateway, header: &[u8]) -> (u16, String) {
    let mut client = Client::connect(&gateway.address);
    client.send(&[header, &request("GET", "/who", &[], b"")].concat());
    let status = client.outcome(PATIENCE).status();
    if status != 200 {
        return (status, String::new());
    }
    let record = gateway.record_of("/who");
    (status, record.text("/client").to_owned())
}

fn version_2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend([0x20 | command, family]);
    header.extend(u16::try_from(addresses.len()).unwrap().to_be_bytes());
    header.extend(addresses);
    header
}

#[test]
fn version_1_names_the_client() {
    let upstream = Upstream::echo();
    let gateway = gateway(&upstream, "127.0.0.0/8");
    let header = b"PROXY TCP4 203.0.113.7 192.0.2.1 56324 443\r\n";
    assert_eq!(send(&gateway, header), (200, "203.0.113.7".to_owned()));
    let forwarded = upstream.only_request();
    let forwarded = forwarded.header("x-forwarded-for").unwrap_or_default();
    assert!(forwarded.ends_with("203.0.113.7"), "{forwarded}");
}

#[test]
fn version_2_names_the_client_also_with_ipv6_and_extensions() {
    let upstream = Upstream::echo();
    let gateway = gateway(&upstream, "127.0.0.1");
    let v4 = [203, 0, 113, 8, 192, 0, 2, 1, 0xdc, 4, 1, 187];
    assert_eq!(
        send(&gateway, &version_2(1, 0x11, &v4)),
        (200, "203.0.113.8".to_owned())
    );
    let mut v6 = vec![0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
    v6.extend([0; 16]);
    v6.extend([0xdc, 4, 1, 187]);
    // A TLV (an authority) that is nobody's business here.
    v6.extend([2, 0, 3, b'a', b'b', b'c']);
    let _ = send(&gateway, &version_2(1, 0x21, &v6));
    let record = gateway.record(|record| record.text("/client").contains(':'));
    assert_eq!(record.text("/client"), "2001:db8::7");
}

#[test]
fn a_health_check_of_the_balancer_itself_is_local() {
    let upstream = Upstream::echo();
    let gateway = gateway(&upstream, "127.0.0.1");
    assert_eq!(
        send(&gateway, &version_2(0, 0, &[])),
        (200, "127.0.0.1".to_owned())
    );
}

#[test]
fn a_listed_peer_must_send_the_header_and_send_it_right() {
    let upstream = Upstream::echo();
    let gateway = gateway(&upstream, "127.0.0.1");
    let headers: [&[u8]; 6] = [
        b"",
        b"PROXY TCP4 203.0.113.7\r\n",
        b"PROXY TCP4 203.0.113.700 192.0.2.1 1 2\r\n",
        b"PROXY TCP4 203.0.113.7 192.0.2.1 70000 443\r\n",
        b"PROXY TCP4 203.0.113.7 192.0.2.1 1 2\n",
        b"\r\n\r\n\0\r\nQUIT\n\x31\x11\x00\x0c",
    ];
    for header in headers {
        let (status, _) = send(&gateway, header);
        assert!(matches!(status, 0 | 400), "{header:?}: {status}");
    }
    assert_eq!(upstream.count(), 0);
}

#[test]
fn nobody_else_is_believed() {
    let upstream = Upstream::echo();
    let gateway = gateway(&upstream, "192.0.2.0/24");
    let (status, _) = send(&gateway, b"PROXY TCP4 203.0.113.7 192.0.2.1 56324 443\r\n");
    assert!(matches!(status, 0 | 400), "{status}");
    assert_eq!(upstream.count(), 0);
}

#[test]
fn without_the_listeners_word_the_header_is_just_a_bad_request() {
    let upstream = Upstream::echo();
    let gateway = Gateway::example("plain").before(&upstream).start();
    let (status, _) = send(&gateway, b"PROXY TCP4 203.0.113.7 192.0.2.1 56324 443\r\n");
    assert_eq!(status, 400);
    assert_eq!(upstream.count(), 0);
}
