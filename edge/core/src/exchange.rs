//! One request and everything that is known about it so far.
//!
//! State travels in these named fields, never in a type map; at the end the whole exchange is what
//! the decision record is written from. It must never hold the body beyond the inspected part.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;

use crate::{Decision, Finding, Head, Layer};

/// A request on its way through the gateway.
#[derive(Debug)]
pub struct Exchange {
    /// Names this exchange in every log and in `X-Request-Id`.
    pub id: RequestId,
    /// Wall clock when the head was complete.
    pub received: SystemTime,
    /// Monotonic clock at the same moment.
    pub started: Instant,
    /// Where the bytes came from.
    pub connection: Arc<Connection>,
    /// The client's address after trusted proxies were taken into account.
    pub client: SocketAddr,
    /// The request head; `None` when the gate refused bytes that are not one.
    pub head: Option<Head>,
    /// Name of the route that matched.
    pub route: Option<Arc<str>>,
    /// What layers noticed, in order.
    pub findings: Vec<Finding>,
    /// Sum of the rule engine's inbound anomaly score, where it keeps one.
    pub score: Option<i64>,
    /// The first refusal, carried out or not.
    pub decision: Option<Decision>,
    /// Faults of our own that happened on the way.
    pub faults: Vec<crate::Fault>,
    /// What went wrong between client, gateway and upstream, in words; never a value of theirs.
    pub error: Option<String>,
    /// Status sent to the client; `None` if nothing was sent.
    pub response_status: Option<u16>,
    /// Address of the upstream server that was used last.
    pub upstream: Option<String>,
    /// How often an upstream was tried.
    pub attempts: u32,
    /// True if the request body went on beyond what was inspected.
    pub truncated: bool,
    /// Request body bytes read from the client.
    pub bytes_in: u64,
    /// Response body bytes sent to the client.
    pub bytes_out: u64,
    /// Time spent by layer.
    pub timings: Timings,
}

impl Exchange {
    /// A new exchange whose head has just been read (or refused).
    #[must_use]
    pub fn new(id: RequestId, connection: Arc<Connection>, head: Option<Head>) -> Self {
        Self {
            id,
            received: SystemTime::now(),
            started: Instant::now(),
            client: connection.client,
            connection,
            head,
            route: None,
            findings: Vec::new(),
            score: None,
            decision: None,
            faults: Vec::new(),
            error: None,
            response_status: None,
            upstream: None,
            attempts: 0,
            truncated: false,
            bytes_in: 0,
            bytes_out: 0,
            timings: Timings::default(),
        }
    }
}

/// What is known about a connection before its first request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// The TCP peer.
    pub peer: SocketAddr,
    /// The client: the TCP peer, or what a trusted peer's PROXY header said.
    pub client: SocketAddr,
    /// Our own end.
    pub local: SocketAddr,
    /// What the TLS handshake said; `None` without TLS.
    pub tls: Option<Box<Tls>>,
}

/// What a TLS handshake said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The name the client asked for (SNI), in lower case.
    pub server_name: Option<Box<str>>,
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// IANA's name of the cipher suite.
    pub cipher: &'static str,
    /// The client's fingerprint, JA4.
    pub ja4: Box<str>,
    /// Whom the client proved to be.
    pub client: Option<ClientCertificate>,
}

/// A client certificate that was verified against the host's authorities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Distinguished name, RFC 4514.
    pub subject: Box<str>,
    /// Distinguished name of who signed it.
    pub issuer: Box<str>,
    /// Serial number, lower-case hexadecimal.
    pub serial: Box<str>,
    /// SHA-256 of the DER form, lower-case hexadecimal.
    pub sha256: Box<str>,
    /// Alternative names: `DNS:a.example`, `URI:spiffe://...`, `email:...`, `IP:...`.
    pub names: Box<[Box<str>]>,
    /// The certificate itself.
    pub der: Box<[u8]>,
}

/// Names an exchange: 128 bits, shown as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId(u128);

impl RequestId {
    /// Wraps bits that the caller made unique.
    #[must_use]
    pub const fn new(bits: u128) -> Self {
        Self(bits)
    }

    /// The 32 hexadecimal digits, cheaper than by `Display`.
    #[must_use]
    pub fn hex(self) -> [u8; 32] {
        let mut digits = [0; 32];
        let mut rest = self.0;
        for digit in digits.iter_mut().rev() {
            let low = (rest & 0xf) as u8;
            *digit = if low < 10 {
                b'0' + low
            } else {
                b'a' + low - 10
            };
            rest >>= 4;
        }
        digits
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Request body bytes a layer may look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    /// The bytes, content codings removed.
    pub bytes: Bytes,
    /// False if there is more of the body than stands in `bytes`.
    pub whole: bool,
}

/// Time spent in each layer, and in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timings {
    layers: [Duration; Layer::ALL.len()],
    /// From the complete head to the last byte sent; set when the exchange ends.
    pub total: Duration,
}

impl Timings {
    /// Adds time to a layer.
    pub fn add(&mut self, layer: Layer, spent: Duration) {
        if let Some(slot) = self.layers.get_mut(layer as usize) {
            *slot += spent;
        }
    }

    /// Layers that ran, in order, with the time they took.
    pub fn iter(&self) -> impl Iterator<Item = (Layer, Duration)> + '_ {
        Layer::ALL
            .into_iter()
            .zip(self.layers)
            .filter(|(_, spent)| !spent.is_zero())
    }
}
