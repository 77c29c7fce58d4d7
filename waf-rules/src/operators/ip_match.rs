//! `@ipMatch`, `@ipMatchFromFile`: the value is an address of one of the listed networks.
//!
//! Networks become sorted, disjoint ranges, so that a list of thousands costs one binary search. An
//! IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2) is its IPv4 address: otherwise a client on a
//! dual-stack socket would slip past an IPv4 list. A value that is no address does not match.

use std::net::{IpAddr, Ipv6Addr};

#[derive(Debug)]
pub(super) struct IpMatch {
    /// Disjoint, sorted, both ends included; IPv4 stands at its mapped place.
    ranges: Vec<(u128, u128)>,
}

impl IpMatch {
    /// A list separated by commas.
    pub(super) fn from_argument(argument: &str) -> Result<Self, String> {
        Self::new(argument.split(','))
    }

    /// A list of one or more networks a line, with `#` comments.
    pub(super) fn from_file(content: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(content).map_err(|_| "the list is not UTF-8")?;
        let lines = text
            .lines()
            .map(|line| line.split('#').next().unwrap_or_default());
        Self::new(lines.flat_map(|line| line.split(|c: char| c == ',' || c.is_ascii_whitespace())))
    }

    fn new<'a>(entries: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let mut ranges = entries
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
            .map(network)
            .collect::<Result<Vec<_>, _>>()?;
        if ranges.is_empty() {
            return Err("the list of addresses is empty".to_owned());
        }
        ranges.sort_unstable();
        let mut merged: Vec<(u128, u128)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
                _ => merged.push((first, last)),
            }
        }
        Ok(Self { ranges: merged })
    }

    pub(super) fn matches(&self, value: &[u8]) -> bool {
        let Some(address) = std::str::from_utf8(value)
            .ok()
            .and_then(|text| text.trim().parse::<IpAddr>().ok())
        else {
            return false;
        };
        let place = place(address);
        let after = self.ranges.partition_point(|(first, _)| *first <= place);
        after
            .checked_sub(1)
            .and_then(|at| self.ranges.get(at))
            .is_some_and(|(_, last)| place <= *last)
    }
}

/// The first and the last address of `entry`, an address or a network.
fn network(entry: &str) -> Result<(u128, u128), String> {
    let wrong = || format!("{entry:?} is no address or network");
    let (address, length) = match entry.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (entry, None),
    };
    let address: IpAddr = address.trim().parse().map_err(|_| wrong())?;
    let width: u32 = if address.is_ipv4() { 32 } else { 128 };
    let length = match length {
        Some(digits) => digits.trim().parse().map_err(|_| wrong())?,
        None => width,
    };
    let free = width
        .checked_sub(length)
        .ok_or_else(|| format!("{entry:?}: the prefix is longer than {width} bits"))?;
    let hosts = u128::MAX.checked_shr(128 - free).unwrap_or(0);
    let first = place(address) & !hosts;
    Ok((first, first | hosts))
}

/// An address as a number; IPv4 at its mapped place.
fn place(address: IpAddr) -> u128 {
    let mapped = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    u128::from(Ipv6Addr::from(mapped.octets()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_inside_match_and_their_neighbours_do_not() {
        let list =
            IpMatch::from_argument("10.0.0.7/8, 192.168.1.1,2001:db8::/32,0:0::1").expect("valid");
        for inside in [
            "10.255.255.255",
            "192.168.1.1",
            "2001:db8:ffff::",
            "::1",
            "::ffff:10.1.2.3",
        ] {
            assert!(list.matches(inside.as_bytes()), "{inside}");
        }
        for outside in [
            "11.0.0.0",
            "9.255.255.255",
            "192.168.1.2",
            "2001:db9::",
            "",
            "10.0.0",
            "10.0.0.1x",
        ] {
            assert!(!list.matches(outside.as_bytes()), "{outside}");
        }
    }

    #[test]
    fn overlapping_networks_are_merged() {
        let list = IpMatch::from_argument("10.0.0.0/25,10.0.0.128/25,10.0.0.0/24,10.0.0.9")
            .expect("valid");
        assert_eq!(list.ranges.len(), 1);
        let everything = IpMatch::from_argument("::/0,0.0.0.0/0").expect("valid");
        assert!(everything.matches(b"255.255.255.255") && everything.matches(b"ffff::"));
    }

    #[test]
    fn mistakes_are_reported_at_load() {
        for text in ["10.0.0.0/33", "10.0.0", "x", "", "::/129", "10.0.0.0/-1"] {
            assert!(IpMatch::from_argument(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_file_has_comments() {
        let list =
            IpMatch::from_file(b"# bad\n10.0.0.1 # one\n\n10.1.0.0/16, ::1\n").expect("valid");
        assert!(list.matches(b"10.1.9.9") && list.matches(b"::1") && !list.matches(b"10.0.0.2"));
    }
}
