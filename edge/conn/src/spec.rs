//! What an operator may say about a listener, and the checked form of it.
//!
//! [`ListenerSpec`] is the shape of the file; [`Listener`] is what runs, made only by `TryFrom`, which
//! names every problem at once. Every default is the safe one.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use edge_core::{ByteSize, HumanDuration};
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::gate::HeadLimits;

/// A socket the gateway accepts connections on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenerSpec {
    /// Address and port, for example `0.0.0.0:8080` or `[::]:8080`.
    pub address: String,
    /// Accept HTTP/2 with prior knowledge next to HTTP/1 (`true` by default).
    #[serde(default = "yes")]
    pub h2c: bool,
    /// Take the client's address from a PROXY protocol header (version 1 or 2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<ProxyProtocolSpec>,
    /// Speak TLS on this listener; `{}` takes every default. HTTP/2 is then chosen by ALPN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ListenerTlsSpec>,
    /// Most connections from one client address (IPv6: from one /64); 0 means no limit.
    #[serde(default = "connections_per_address")]
    pub connections_per_address: u32,
    /// Most connections in all.
    #[serde(default = "connections")]
    pub connections: u32,
    /// Bounds of a request head.
    #[serde(default)]
    pub head: HeadSpec,
    /// Bounds of the time a request body may take.
    #[serde(default)]
    pub body: BodySpec,
    /// How long a connection may stay open between two requests.
    #[serde(default = "idle")]
    pub idle: HumanDuration,
    /// How long an upgraded connection (WebSocket) may be silent in both directions.
    #[serde(default = "tunnel_idle")]
    pub tunnel_idle: HumanDuration,
    /// Requests served on one HTTP/1 connection before it is closed; 0 means no limit.
    #[serde(default = "requests_per_connection")]
    pub requests_per_connection: u32,
    /// HTTP/2 settings.
    #[serde(default)]
    pub h2: H2Spec,
}

/// Who may, and then must, send a PROXY protocol header.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProxyProtocolSpec {
    /// Addresses or CIDR blocks of the balancers in front; all other peers are refused.
    pub from: Vec<String>,
    /// How long the header may take to arrive.
    #[serde(default = "proxy_deadline")]
    pub deadline: HumanDuration,
}

/// TLS on a listener. Certificates and policies of the hosts stand elsewhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ListenerTlsSpec {
    /// Time for the whole handshake, from the connection's first byte; beyond it the connection is
    /// closed.
    pub handshake: HumanDuration,
}

/// Bounds of a request head.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HeadSpec {
    /// Size of request line and fields together; beyond it the answer is 431.
    pub bytes: ByteSize,
    /// Length of the request target; beyond it the answer is 414.
    pub target: ByteSize,
    /// Number of fields; beyond it the answer is 431.
    pub fields: u16,
    /// Accept bytes beyond ASCII in the request target: rules see them as sent, upstreams
    /// percent-encoded. `false` by default: the answer is 400.
    pub non_ascii_target: bool,
    /// Time from the first byte to the last; beyond it the answer is 408.
    pub deadline: HumanDuration,
}

/// Bounds of the time a request body may take; its size is bounded by the profile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BodySpec {
    /// Time for the whole body; beyond it the answer is 408. 0 means no limit.
    pub deadline: HumanDuration,
    /// Least bytes per second while we wait for the client: sending, after five seconds of grace;
    /// reading the response, after a minute. `0` means no limit.
    pub min_rate: ByteSize,
}

/// HTTP/2 settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct H2Spec {
    /// Streams a client may have open at once.
    pub streams: u32,
    /// Size of a decoded header list.
    pub header_list: ByteSize,
    /// Streams that were reset and are not cleaned up yet (rapid reset).
    pub pending_resets: u32,
    /// How long a connection without streams stays open.
    pub idle: HumanDuration,
}

impl Default for ListenerTlsSpec {
    fn default() -> Self {
        Self {
            handshake: seconds(10),
        }
    }
}

impl Default for HeadSpec {
    fn default() -> Self {
        Self {
            bytes: ByteSize(64 << 10),
            target: ByteSize(16 << 10),
            fields: 128,
            non_ascii_target: false,
            deadline: seconds(10),
        }
    }
}

impl Default for BodySpec {
    fn default() -> Self {
        Self {
            deadline: seconds(300),
            min_rate: ByteSize(240),
        }
    }
}

impl Default for H2Spec {
    fn default() -> Self {
        Self {
            streams: 100,
            header_list: ByteSize(64 << 10),
            pending_resets: 20,
            idle: seconds(60),
        }
    }
}

impl ListenerSpec {
    /// A listener with every default.
    #[must_use]
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            h2c: yes(),
            proxy_protocol: None,
            tls: None,
            connections_per_address: connections_per_address(),
            connections: connections(),
            head: HeadSpec::default(),
            body: BodySpec::default(),
            idle: idle(),
            tunnel_idle: tunnel_idle(),
            requests_per_connection: requests_per_connection(),
            h2: H2Spec::default(),
        }
    }
}

fn yes() -> bool {
    true
}

fn connections_per_address() -> u32 {
    256
}

fn connections() -> u32 {
    65_536
}

fn requests_per_connection() -> u32 {
    10_000
}

fn idle() -> HumanDuration {
    seconds(60)
}

fn tunnel_idle() -> HumanDuration {
    seconds(3600)
}

fn proxy_deadline() -> HumanDuration {
    seconds(5)
}

fn seconds(seconds: u64) -> HumanDuration {
    HumanDuration(Duration::from_secs(seconds))
}

/// A listener that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    address: SocketAddr,
    h2c: bool,
    proxies: Option<Proxies>,
    handshake: Option<Duration>,
    connections_per_address: u32,
    connections: u32,
    head: HeadLimits,
    head_deadline: Duration,
    pace: Pacing,
    idle: Duration,
    tunnel_idle: Duration,
    requests_per_connection: Option<u32>,
    h2: H2,
}

/// How slow a client may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pacing {
    /// For a whole request body; `None` without limit.
    pub deadline: Option<Duration>,
    /// Least bytes per second while waiting for the client; `None` without limit.
    pub min_rate: Option<u64>,
}

/// HTTP/2 settings that were checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct H2 {
    /// See [`H2Spec::streams`].
    pub streams: u32,
    /// See [`H2Spec::header_list`].
    pub header_list: u32,
    /// See [`H2Spec::pending_resets`].
    pub pending_resets: u32,
    /// See [`H2Spec::idle`].
    pub idle: Duration,
}

/// The balancers in front that may name their clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxies {
    from: Vec<IpNet>,
    deadline: Duration,
}

impl Proxies {
    /// True if `peer` is one of them.
    #[must_use]
    pub fn contains(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.from.iter().any(|net| net.contains(&peer))
    }

    /// How long the header may take to arrive.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.deadline
    }
}

/// One thing that is wrong with a listener.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct Problem {
    /// Keys from the listener down, for example `proxy_protocol.from[1]`.
    pub path: String,
    /// What is wrong, and what was expected.
    pub message: String,
}

/// Everything that is wrong with a listener.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct ListenerError(pub Vec<Problem>);

impl TryFrom<ListenerSpec> for Listener {
    type Error = ListenerError;

    fn try_from(spec: ListenerSpec) -> Result<Self, ListenerError> {
        let mut check = Checks::default();
        let address = check.parse(
            "address",
            &spec.address,
            "an address and port, `0.0.0.0:8080`",
        );
        let proxies = spec.proxy_protocol.map(|spec| check.proxies(&spec));
        let tls = spec.tls.as_ref();
        let handshake = tls.map(|tls| check.time("tls.handshake", tls.handshake));
        let listener = Self {
            address: address.unwrap_or(SocketAddr::new(IpAddr::from([0, 0, 0, 0]), 0)),
            h2c: spec.h2c,
            proxies,
            handshake,
            connections_per_address: spec.connections_per_address,
            connections: check.range("connections", spec.connections.into(), 1, 10_000_000),
            head: HeadLimits {
                bytes: check.range("head.bytes", spec.head.bytes.0, 1 << 10, 1 << 20) as usize,
                fields: check.range("head.fields", spec.head.fields.into(), 8, 256) as usize,
                target: check.range("head.target", spec.head.target.0, 256, spec.head.bytes.0)
                    as usize,
                non_ascii_target: spec.head.non_ascii_target,
            },
            head_deadline: check.time("head.deadline", spec.head.deadline),
            pace: Pacing {
                deadline: Some(spec.body.deadline.0).filter(|time| !time.is_zero()),
                min_rate: Some(spec.body.min_rate.0).filter(|rate| *rate > 0),
            },
            idle: check.time("idle", spec.idle),
            tunnel_idle: check.time("tunnel_idle", spec.tunnel_idle),
            requests_per_connection: Some(spec.requests_per_connection).filter(|n| *n > 0),
            h2: H2 {
                streams: check.range("h2.streams", spec.h2.streams.into(), 1, 10_000),
                header_list: check.range("h2.header_list", spec.h2.header_list.0, 1 << 10, 1 << 20),
                pending_resets: check.range(
                    "h2.pending_resets",
                    spec.h2.pending_resets.into(),
                    1,
                    10_000,
                ),
                idle: check.time("h2.idle", spec.h2.idle),
            },
        };
        if check.0.is_empty() {
            Ok(listener)
        } else {
            Err(ListenerError(check.0))
        }
    }
}

impl Listener {
    /// Where to listen.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// HTTP/2 settings, for the engine's options.
    #[must_use]
    pub fn h2(&self) -> H2 {
        self.h2
    }

    /// How slow a client may be.
    #[must_use]
    pub fn pacing(&self) -> Pacing {
        self.pace
    }

    /// Bounds of a request head.
    #[must_use]
    pub fn head(&self) -> &HeadLimits {
        &self.head
    }

    /// Whether HTTP/2 with prior knowledge is spoken.
    #[must_use]
    pub fn h2c(&self) -> bool {
        self.h2c
    }

    /// Who sends PROXY headers; `None` if nobody does.
    #[must_use]
    pub fn proxies(&self) -> Option<&Proxies> {
        self.proxies.as_ref()
    }

    /// How long a TLS handshake may take; `None` where TLS is not spoken.
    #[must_use]
    pub fn handshake(&self) -> Option<Duration> {
        self.handshake
    }

    /// Most connections from one client address; 0 means no limit.
    #[must_use]
    pub fn connections_per_address(&self) -> u32 {
        self.connections_per_address
    }

    /// Most connections in all.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections as usize
    }

    /// From the first byte of a head to the last.
    #[must_use]
    pub fn head_deadline(&self) -> Duration {
        self.head_deadline
    }

    /// Between two requests.
    #[must_use]
    pub fn idle(&self) -> Duration {
        self.idle
    }

    /// Silence in both directions after an upgrade.
    #[must_use]
    pub fn tunnel_idle(&self) -> Duration {
        self.tunnel_idle
    }

    /// Requests on one HTTP/1 connection; `None` without limit.
    #[must_use]
    pub fn requests_per_connection(&self) -> Option<u32> {
        self.requests_per_connection
    }
}

/// Collects problems; a failed check yields some value, which is never used.
#[derive(Default)]
struct Checks(Vec<Problem>);

impl Checks {
    fn fail(&mut self, path: impl Into<String>, message: String) {
        self.0.push(Problem {
            path: path.into(),
            message,
        });
    }

    fn parse<T: std::str::FromStr>(&mut self, path: &str, text: &str, what: &str) -> Option<T> {
        let parsed = text.parse().ok();
        if parsed.is_none() {
            self.fail(path, format!("expected {what}"));
        }
        parsed
    }

    fn range(&mut self, path: &str, value: u64, least: u64, most: u64) -> u32 {
        if !(least..=most).contains(&value) {
            self.fail(path, format!("expected {least} to {most}, got {value}"));
        }
        u32::try_from(value).unwrap_or(u32::MAX)
    }

    fn time(&mut self, path: &str, time: HumanDuration) -> Duration {
        if time.0.is_zero() || time.0 > MAX_TIME {
            self.fail(
                path,
                format!("expected more than 0 and at most 30d, got {time}"),
            );
        }
        time.0
    }

    fn proxies(&mut self, spec: &ProxyProtocolSpec) -> Proxies {
        if spec.from.is_empty() {
            self.fail(
                "proxy_protocol.from",
                "expected at least one address or block".into(),
            );
        }
        let deadline = self.time("proxy_protocol.deadline", spec.deadline);
        let from = spec.from.iter().enumerate().filter_map(|(index, text)| {
            let net = text
                .parse()
                .ok()
                .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
            if net.is_none() {
                let path = format!("proxy_protocol.from[{index}]");
                self.fail(
                    path,
                    "expected an address or CIDR block, `10.0.0.0/8`".into(),
                );
            }
            net
        });
        Proxies {
            from: from.collect(),
            deadline,
        }
    }
}

/// Keeps clock arithmetic away from its edges.
const MAX_TIME: Duration = Duration::from_secs(30 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Listener, String> {
        let spec: ListenerSpec = serde_json::from_str(json).map_err(|error| error.to_string())?;
        spec.try_into()
            .map_err(|error: ListenerError| error.to_string())
    }

    #[test]
    fn an_address_is_enough() {
        let listener = read(r#"{"address": "127.0.0.1:80"}"#).unwrap();
        assert_eq!(listener.address(), "127.0.0.1:80".parse().unwrap());
        assert_eq!(listener.head().bytes, 65_536);
        assert!(listener.h2c() && listener.proxies().is_none());
        let default: Listener = ListenerSpec::new("127.0.0.1:80").try_into().unwrap();
        assert_eq!(format!("{default:?}"), format!("{listener:?}"));
    }

    #[test]
    fn every_problem_is_named_with_its_path() {
        let error = read(
            r#"{"address": "here", "idle": "0", "head": {"fields": 0},
                "proxy_protocol": {"from": ["10.0.0.0/8", "ten"]}}"#,
        )
        .unwrap_err();
        for path in [
            "address:",
            "idle:",
            "head.fields:",
            "proxy_protocol.from[1]:",
        ] {
            assert!(error.contains(path), "{path} in {error}");
        }
    }

    #[test]
    fn unknown_keys_and_bare_numbers_are_errors() {
        assert!(read(r#"{"address": "127.0.0.1:80", "adress": 1}"#).is_err());
        assert!(read(r#"{"address": "127.0.0.1:80", "idle": 60}"#).is_err());
        assert!(read(r#"{"address": "127.0.0.1:80", "head": {"byte": "1KiB"}}"#).is_err());
    }

    #[test]
    fn listed_proxies_are_found_also_as_mapped_addresses() {
        let json = r#"{"address": "[::]:80", "proxy_protocol": {"from": ["10.0.0.0/8", "::1"]}}"#;
        let listener = read(json).unwrap();
        let proxies = listener.proxies().unwrap();
        for (peer, listed) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("::1", true),
            ("11.0.0.1", false),
        ] {
            assert_eq!(proxies.contains(peer.parse().unwrap()), listed, "{peer}");
        }
    }
}
