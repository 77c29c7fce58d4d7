//! The client's real address behind trusted proxies.
//!
//! Each proxy appends the address it saw, so the list is read from the right and only as long as the
//! address that wrote an entry is trusted; the first untrusted one is the client. Whatever stands to
//! its left was written by the client and is never believed. An entry that is no address ends the
//! walk at the last one that was (RFC 7239 section 5.2: `unknown` and obfuscated names are such).

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use edge_core::Head;
use ipnet::IpNet;

pub use crate::spec::ForwardedHeader;

/// Which proxies are believed, and the header they write.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrustedProxies {
    /// Disjoint and sorted; IPv4 in its mapped form.
    ranges: Vec<(u128, u128)>,
    header: ForwardedHeader,
}

impl TrustedProxies {
    /// Trusts the given networks.
    #[must_use]
    pub fn new(networks: &[IpNet], header: ForwardedHeader) -> Self {
        let mut all: Vec<(u128, u128)> = networks
            .iter()
            .map(|network| (bits(network.network()), bits(network.broadcast())))
            .collect();
        all.sort_unstable();
        let mut ranges: Vec<(u128, u128)> = Vec::with_capacity(all.len());
        for (start, end) in all {
            match ranges.last_mut() {
                Some((_, last)) if start <= *last => *last = end.max(*last),
                _ => ranges.push((start, end)),
            }
        }
        Self { ranges, header }
    }

    /// Whether `address` is one of them.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let wanted = bits(address);
        let at = self.ranges.partition_point(|(start, _)| *start <= wanted);
        let before = at.checked_sub(1).and_then(|at| self.ranges.get(at));
        before.is_some_and(|(_, end)| wanted <= *end)
    }
}

/// The address of the client that sent `head` over a connection from `peer` (after the PROXY
/// protocol). Port 0 where the proxy did not say it.
#[must_use]
pub fn client_address(peer: SocketAddr, trusted: &TrustedProxies, head: &Head) -> SocketAddr {
    if trusted.ranges.is_empty() || !trusted.contains(peer.ip()) {
        return peer;
    }
    let name = match trusted.header {
        ForwardedHeader::XForwardedFor => "x-forwarded-for",
        ForwardedHeader::Forwarded => "forwarded",
    };
    let read = |entry| match trusted.header {
        ForwardedHeader::XForwardedFor => address(entry),
        ForwardedHeader::Forwarded => forwarded_for(entry),
    };
    let fields: Vec<&[u8]> = head.values(name).collect();
    let mut client = peer;
    for field in fields.into_iter().rev() {
        for entry in split_outside_quotes(field, b',').into_iter().rev() {
            let Some(address) = read(entry) else {
                return client;
            };
            client = address;
            if !trusted.contains(address.ip()) {
                return client;
            }
        }
    }
    client
}

/// `1.2.3.4`, `1.2.3.4:5`, `::1`, `[::1]` or `[::1]:5`.
fn address(text: &[u8]) -> Option<SocketAddr> {
    let text = std::str::from_utf8(text.trim_ascii()).ok()?;
    let address = if let Ok(ip) = text.parse::<IpAddr>() {
        SocketAddr::new(ip, 0)
    } else if let Ok(address) = text.parse::<SocketAddr>() {
        address
    } else {
        let inner = text.strip_prefix('[')?.strip_suffix(']')?;
        SocketAddr::new(inner.parse::<Ipv6Addr>().ok()?.into(), 0)
    };
    Some(SocketAddr::new(address.ip().to_canonical(), address.port()))
}

/// The `for` parameter of one `forwarded-element`.
fn forwarded_for(element: &[u8]) -> Option<SocketAddr> {
    let mut found = None;
    for pair in split_outside_quotes(element, b';') {
        let at = pair.iter().position(|b| *b == b'=')?;
        let (name, value) = pair.split_at(at);
        if name.trim_ascii().eq_ignore_ascii_case(b"for") {
            if found.is_some() {
                return None; // two of them: no telling which is meant
            }
            found = Some(value.get(1..).unwrap_or_default().trim_ascii());
        }
    }
    let value = found?;
    let quoted = value
        .strip_prefix(b"\"")
        .and_then(|v| v.strip_suffix(b"\""));
    address(quoted.unwrap_or(value))
}

fn split_outside_quotes(text: &[u8], separator: u8) -> Vec<&[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(|byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => return *byte == separator && !quoted,
        }
        false
    })
    .collect()
}

fn bits(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXY: &str = "10.0.0.1:999";

    fn client(peer: &str, header: ForwardedHeader, fields: &[(&str, &str)]) -> String {
        let networks = ["10.0.0.0/8", "192.168.1.1/32", "2001:db8::/32"];
        let networks: Vec<IpNet> = networks.iter().map(|n| n.parse().unwrap()).collect();
        let trusted = TrustedProxies::new(&networks, header);
        let fields = fields.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes()));
        let head = Head::from_parts(b"GET", b"/", edge_core::Version::Http11, fields);
        client_address(peer.parse().unwrap(), &trusted, &head).to_string()
    }

    fn xff(peer: &str, values: &[&str]) -> String {
        let fields: Vec<_> = values.iter().map(|v| ("X-Forwarded-For", *v)).collect();
        client(peer, ForwardedHeader::XForwardedFor, &fields)
    }

    fn forwarded(value: &str) -> String {
        client(PROXY, ForwardedHeader::Forwarded, &[("Forwarded", value)])
    }

    #[test]
    fn the_rightmost_untrusted_address_is_the_client() {
        assert_eq!(xff(PROXY, &["203.0.113.7"]), "203.0.113.7:0");
        assert_eq!(xff(PROXY, &["203.0.113.7, 10.1.1.1"]), "203.0.113.7:0");
        assert_eq!(
            xff(PROXY, &["203.0.113.7:44", "10.1.1.1"]),
            "203.0.113.7:44"
        );
        assert_eq!(
            xff("[2001:db8::1]:9", &["2001:4860::8"]),
            "[2001:4860::8]:0"
        );
        assert_eq!(
            xff("[::ffff:10.0.0.1]:9", &["203.0.113.7"]),
            "203.0.113.7:0"
        );
    }

    #[test]
    fn what_the_client_wrote_itself_is_never_believed() {
        assert_eq!(xff("203.0.113.7:1", &["1.1.1.1"]), "203.0.113.7:1");
        assert_eq!(xff(PROXY, &["127.0.0.1, 203.0.113.7"]), "203.0.113.7:0");
        assert_eq!(xff(PROXY, &["10.0.0.9", "203.0.113.7"]), "203.0.113.7:0");
        let other_header = &[("Forwarded", "for=1.1.1.1")];
        let peer = client(PROXY, ForwardedHeader::XForwardedFor, other_header);
        assert_eq!(peer, PROXY);
    }

    #[test]
    fn garbage_ends_the_walk_at_the_last_address() {
        assert_eq!(xff(PROXY, &["1.1.1.1, x, 10.1.1.1"]), "10.1.1.1:0");
        assert_eq!(xff(PROXY, &["unknown"]), PROXY);
        assert_eq!(xff(PROXY, &[""]), PROXY);
        assert_eq!(xff(PROXY, &["1.1.1.1,"]), PROXY);
        assert_eq!(xff(PROXY, &["010.1.1.1"]), PROXY);
    }

    #[test]
    fn if_every_address_is_trusted_the_leftmost_is_the_client() {
        assert_eq!(xff(PROXY, &["10.9.9.9, 192.168.1.1"]), "10.9.9.9:0");
        assert_eq!(xff(PROXY, &[]), PROXY);
    }

    #[test]
    fn forwarded_is_read_as_rfc_7239_writes_it() {
        assert_eq!(forwarded("for=203.0.113.7;proto=https"), "203.0.113.7:0");
        assert_eq!(
            forwarded("For=\"[2001:4860::8]:4711\""),
            "[2001:4860::8]:4711"
        );
        assert_eq!(
            forwarded("for=1.1.1.1, for=203.0.113.7;by=10.0.0.2"),
            "203.0.113.7:0"
        );
        assert_eq!(forwarded("for=\"203.0.113.7, for=1.1.1.1\""), PROXY);
        assert_eq!(forwarded("for=_hidden"), PROXY);
        assert_eq!(forwarded("for=1.1.1.1;for=2.2.2.2"), PROXY);
        assert_eq!(forwarded("proto=https"), PROXY);
    }

    #[test]
    fn networks_that_overlap_are_joined() {
        let networks: Vec<IpNet> = ["10.0.0.0/8", "10.2.0.0/16", "0.0.0.0/0"]
            .iter()
            .map(|n| n.parse().unwrap())
            .collect();
        let all = TrustedProxies::new(&networks, ForwardedHeader::default());
        assert!(all.contains("255.1.1.1".parse().unwrap()));
        assert!(!all.contains("::1".parse().unwrap()));
    }
}
