//! What a request would like, read from its head.

use std::net::IpAddr;

use edge_config::{HashBy, Upstream};
use edge_core::Exchange;

use super::group::Wish;
use super::{ring, sticky};

impl Wish {
    /// The wish of a request; costs nothing unless the group asks for something.
    pub(crate) fn of(exchange: &Exchange, upstream: &Upstream) -> Self {
        if upstream.hash_by().is_none() && upstream.sticky().is_none() {
            return Self::default();
        }
        let Some(head) = &exchange.head else {
            return Self::default();
        };
        let cookies = || head.values("cookie");
        let key = upstream.hash_by().and_then(|by| match by {
            HashBy::ClientAddress => Some(match exchange.client.ip().to_canonical() {
                IpAddr::V4(ip) => ring::hash(&ip.octets()),
                IpAddr::V6(ip) => ring::hash(&ip.octets()),
            }),
            HashBy::HostPath => {
                let host = head.field("host").unwrap_or_default().to_ascii_lowercase();
                Some(ring::hash(&[host.as_slice(), head.path()].concat()))
            }
            HashBy::Header(name) => head.values(name).next().map(ring::hash),
            HashBy::Cookie(name) => sticky::cookie(name, cookies()).map(ring::hash),
            HashBy::Query(name) => parameter(head.target(), name.as_bytes()).map(ring::hash),
        });
        let token = upstream
            .sticky()
            .and_then(|sticky| sticky::read(sticky, cookies()));
        Self { key, token }
    }
}

/// The value of a parameter of the query, as it was sent.
fn parameter<'a>(target: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let at = target.iter().position(|b| *b == b'?')?;
    let mut pairs = target.get(at + 1..)?.split(|b| *b == b'&');
    pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix(b"="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_found_by_its_whole_name() {
        let target = b"/a?idx=1&id=2&id=3";
        assert_eq!(parameter(target, b"id"), Some(&b"2"[..]));
        assert_eq!(parameter(target, b"d"), None);
        assert_eq!(parameter(b"/a", b"id"), None);
    }
}
