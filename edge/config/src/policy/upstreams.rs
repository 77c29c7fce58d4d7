//! Upstream groups: servers, and how they are spoken to.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::sync::Arc;
use std::time::Duration;

use super::Complaints;
use crate::spec::{ServerSpec, UpstreamSpec};
use crate::tree::Path;

pub use crate::spec::{Balance, HostHeader, Protocol};

/// A group of servers that serve the same application.
#[derive(Debug)]
pub struct Upstream {
    name: Arc<str>,
    servers: Vec<Server>,
    balance: Balance,
    protocol: Protocol,
    grpc: bool,
    host_header: HostHeader,
    timeouts: Timeouts,
    retries: Retries,
    ejection: Option<Ejection>,
    keepalive: usize,
    tls: Tls,
}

/// One server; its name is not resolved yet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Server {
    /// Name or address; IPv6 without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Whether it is spoken to with TLS.
    pub tls: bool,
    /// Share of the requests; 0 gets none.
    pub weight: u16,
}

/// How long each step with a server may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// Until the connection (and TLS) stands.
    pub connect: Duration,
    /// Between two reads.
    pub read: Duration,
    /// Between two writes.
    pub write: Duration,
    /// How long an unused connection is kept.
    pub idle: Duration,
}

/// When a request is tried again after its connection failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retries {
    /// Tries in all; at least 1.
    pub attempts: u8,
    /// Retries in a hundred requests that are allowed; at most 100.
    pub budget_percent: u8,
}

/// When a server is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ejection {
    /// Failed connections in a row; at least 1.
    pub failures: u32,
    /// For how long.
    pub time: Duration,
}

/// How TLS servers are verified.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tls {
    /// Whether the certificate must be valid.
    pub verify: bool,
    /// The name asked for and verified; `None`: the server's.
    pub server_name: Option<String>,
}

impl Upstream {
    /// Its name in routes, logs and metrics.
    #[must_use]
    pub const fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Its servers; at least one has a weight.
    #[must_use]
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// How a server is chosen.
    #[must_use]
    pub const fn balance(&self) -> Balance {
        self.balance
    }

    /// What its servers speak.
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Whether gRPC calls pass as streams, with only their heads inspected.
    #[must_use]
    pub const fn grpc(&self) -> bool {
        self.grpc
    }

    /// The `Host` its servers see.
    #[must_use]
    pub const fn host_header(&self) -> HostHeader {
        self.host_header
    }

    /// How long each step may take.
    #[must_use]
    pub const fn timeouts(&self) -> Timeouts {
        self.timeouts
    }

    /// When a request is tried again.
    #[must_use]
    pub const fn retries(&self) -> Retries {
        self.retries
    }

    /// When a server is left out; `None`: never.
    #[must_use]
    pub const fn ejection(&self) -> Option<Ejection> {
        self.ejection
    }

    /// Unused connections kept to each server.
    #[must_use]
    pub const fn keepalive(&self) -> usize {
        self.keepalive
    }

    /// How TLS servers are verified.
    #[must_use]
    pub const fn tls(&self) -> &Tls {
        &self.tls
    }
}

pub(crate) fn build(
    specs: BTreeMap<String, UpstreamSpec>,
    complaints: &mut Complaints,
) -> BTreeMap<Arc<str>, Arc<Upstream>> {
    let all = Path::default().key("upstreams");
    specs
        .into_iter()
        .map(|(name, spec)| {
            let name: Arc<str> = name.into();
            let path = all.key(&*name);
            super::profiles::check_name(&name, &path, complaints);
            let upstream = upstream(Arc::clone(&name), spec, &path, complaints);
            (name, Arc::new(upstream))
        })
        .collect()
}

fn upstream(
    name: Arc<str>,
    spec: UpstreamSpec,
    path: &Path,
    complaints: &mut Complaints,
) -> Upstream {
    let servers = servers(&spec, path, complaints);
    if spec.tls.server_name.as_deref().is_some_and(str::is_empty) {
        complaints.error(path.key("tls").key("server_name"), "expected a name");
    }
    if !spec.tls.verify {
        complaints
            .warn(
                path.key("tls").key("verify"),
                "certificates of these servers are not verified",
            )
            .help("anyone on the way can read and change the traffic");
    }
    let timeouts = &spec.timeouts;
    for (key, value) in [
        ("connect", timeouts.connect),
        ("read", timeouts.read),
        ("write", timeouts.write),
    ] {
        if value.0.is_zero() {
            complaints.error(path.key("timeouts").key(key), "must be longer than 0");
        }
    }
    let budget = spec.retries.budget.strip_suffix('%');
    let budget_percent = budget.and_then(|n| n.parse().ok()).filter(|n| *n <= 100);
    if budget_percent.is_none() {
        complaints.error(
            path.key("retries").key("budget"),
            "expected a share such as `20%`",
        );
    }
    if spec.grpc && spec.protocol != Protocol::H2c {
        complaints
            .error(path.key("grpc"), "gRPC needs `protocol: h2c`")
            .help("calls are streams of HTTP/2; over HTTP/1.1 they cannot pass");
    }
    Upstream {
        name,
        servers,
        balance: spec.balance,
        protocol: spec.protocol,
        grpc: spec.grpc,
        host_header: spec.host,
        timeouts: Timeouts {
            connect: timeouts.connect.0,
            read: timeouts.read.0,
            write: timeouts.write.0,
            idle: timeouts.idle.0,
        },
        retries: Retries {
            attempts: spec.retries.attempts.max(1),
            budget_percent: budget_percent.unwrap_or_default(),
        },
        ejection: (spec.ejection.failures > 0).then_some(Ejection {
            failures: spec.ejection.failures,
            time: spec.ejection.time.0,
        }),
        keepalive: usize::try_from(spec.keepalive.connections).unwrap_or(usize::MAX),
        tls: Tls {
            verify: spec.tls.verify,
            server_name: spec.tls.server_name,
        },
    }
}

fn servers(spec: &UpstreamSpec, path: &Path, complaints: &mut Complaints) -> Vec<Server> {
    let path = path.key("servers");
    let mut servers: Vec<Server> = Vec::with_capacity(spec.servers.len());
    for (index, server) in spec.servers.iter().enumerate() {
        let at = path.index(index);
        let (url, weight, at) = match server {
            ServerSpec::Url(url) => (url, 1, at),
            ServerSpec::Weighted(server) => (&server.url, server.weight, at.key("url")),
        };
        match parse_url(url, weight) {
            Ok(server) if server.tls && spec.protocol == Protocol::H2c => {
                let message = "`h2c` is HTTP/2 without TLS, and this server is `https`";
                complaints.error(at, message);
            }
            Ok(server) => {
                if servers
                    .iter()
                    .any(|s| s.host == server.host && s.port == server.port)
                {
                    complaints.warn(at, "this server stands here twice");
                }
                servers.push(server);
            }
            Err(message) => {
                complaints
                    .error(at, message)
                    .help("for example `http://10.0.0.7:8080` or `https://app.internal`");
            }
        }
    }
    if !servers.is_empty() && servers.iter().all(|server| server.weight == 0) {
        complaints.error(path, "every server has the weight 0");
    }
    servers
}

/// `scheme://host[:port][/]`; the message never repeats the text, which may hold credentials.
fn parse_url(url: &str, weight: u16) -> Result<Server, &'static str> {
    let (tls, rest) = if let Some(rest) = url.strip_prefix("http://") {
        (false, rest)
    } else if let Some(rest) = url.strip_prefix("https://") {
        (true, rest)
    } else {
        return Err("expected a URL that starts with `http://` or `https://`");
    };
    if rest.contains('@') {
        return Err("a server's URL takes no user name or password");
    }
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#']) {
        return Err("a server's URL takes no path or query: the client's is sent on");
    }
    let (host, port) = split_port(authority)?;
    Ok(Server {
        host: host.to_ascii_lowercase(),
        port: port.unwrap_or(if tls { 443 } else { 80 }),
        tls,
        weight,
    })
}

fn split_port(authority: &str) -> Result<(&str, Option<u16>), &'static str> {
    const BAD_HOST: &str = "expected a host name or an address in the URL";
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or(BAD_HOST)?;
        host.parse::<Ipv6Addr>().map_err(|_| BAD_HOST)?;
        let port = match port {
            "" => None,
            port => Some(port.strip_prefix(':').ok_or(BAD_HOST)?),
        };
        (host, port)
    } else {
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        };
        let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        if host.is_empty() || host.len() > 253 || !host.bytes().all(fine) {
            return Err(BAD_HOST);
        }
        (host, port)
    };
    let number = |port: &str| match port.parse::<u16>() {
        Ok(number) if number > 0 && port.bytes().all(|b| b.is_ascii_digit()) => Ok(number),
        _ => Err("expected a port from 1 to 65535"),
    };
    Ok((host, port.map(number).transpose()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_urls_are_scheme_host_and_port() {
        for (url, host, port, tls) in [
            ("http://127.0.0.1:8080", "127.0.0.1", 8080, false),
            ("http://App.internal/", "app.internal", 80, false),
            ("https://app", "app", 443, true),
            ("http://[::1]:81", "::1", 81, false),
        ] {
            let server = parse_url(url, 1).unwrap();
            assert_eq!(
                (server.host.as_str(), server.port, server.tls),
                (host, port, tls)
            );
        }
    }

    #[test]
    fn what_a_server_url_cannot_be() {
        for url in [
            "127.0.0.1:80",
            "ftp://x",
            "http://",
            "http://user:pw@x",
            "http://x/path",
            "http://x?y",
            "http://x:0",
            "http://x:65536",
            "http://x:+1",
            "http://::1",
            "http://[::1",
            "http://a b",
        ] {
            let message = parse_url(url, 1).unwrap_err();
            assert!(!message.contains("pw"), "{url}: {message}");
        }
    }
}
