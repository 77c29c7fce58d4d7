//! `@ipMatch`, `@ipMatchFromFile`: the value is an address of one of the listed networks.
//!
//! Networks become sorted, disjoint ranges, so that a list of thousands costs one binary search. An
//! IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2) is its IPv4 address too: otherwise a client on a
//! dual-stack socket would slip past an IPv4 list. A value that is no address does not match.

use std::net::IpAddr;

#[derive(Debug, Default)]
pub(super) struct IpMatch {
    v4: Ranges,
    v6: Ranges,
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
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for entry in entries.map(str::trim).filter(|entry| !entry.is_empty()) {
            match network(entry)? {
                (true, range) => v4.push(range),
                (false, range) => v6.push(range),
            }
        }
        if v4.is_empty() && v6.is_empty() {
            return Err("the list of addresses is empty".to_owned());
        }
        Ok(Self {
            v4: Ranges::new(v4),
            v6: Ranges::new(v6),
        })
    }

    pub(super) fn matches(&self, value: &[u8]) -> bool {
        let address = std::str::from_utf8(value)
            .ok()
            .and_then(|text| text.trim().parse::<IpAddr>().ok());
        match address {
            Some(IpAddr::V4(address)) => self.v4.contains(u128::from(address.to_bits())),
            Some(IpAddr::V6(address)) => {
                let mapped = address.to_ipv4_mapped();
                self.v6.contains(address.to_bits())
                    || mapped.is_some_and(|mapped| self.v4.contains(u128::from(mapped.to_bits())))
            }
            None => false,
        }
    }
}

/// Disjoint ranges of one address family, sorted, both ends included.
#[derive(Debug, Default)]
struct Ranges(Vec<(u128, u128)>);

impl Ranges {
    fn new(mut ranges: Vec<(u128, u128)>) -> Self {
        ranges.sort_unstable();
        let mut merged: Vec<(u128, u128)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
                _ => merged.push((first, last)),
            }
        }
        Self(merged)
    }

    fn contains(&self, address: u128) -> bool {
        let after = self.0.partition_point(|(first, _)| *first <= address);
        after
            .checked_sub(1)
            .and_then(|at| self.0.get(at))
            .is_some_and(|(_, last)| address <= *last)
    }
}

/// Whether `entry`, an address or a network, is IPv4, and its first and last address.
fn network(entry: &str) -> Result<(bool, (u128, u128)), String> {
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
    // A network inside ::ffff:0:0/96 is an IPv4 network; a wider one is not.
    let (is_v4, address) = match address {
        IpAddr::V4(address) => (true, u128::from(address.to_bits())),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(mapped) if free <= 32 => (true, u128::from(mapped.to_bits())),
            _ => (false, address.to_bits()),
        },
    };
    let hosts = u128::MAX.checked_shr(128 - free).unwrap_or(0);
    let first = address & !hosts;
    Ok((is_v4, (first, first | hosts)))
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
        assert_eq!(list.v4.0.len(), 1);
        let everything = IpMatch::from_argument("::/0,0.0.0.0/0").expect("valid");
        assert!(everything.matches(b"255.255.255.255") && everything.matches(b"ffff::"));
    }

    #[test]
    fn the_families_are_kept_apart_but_for_mapped_addresses() {
        let six = IpMatch::from_argument("::/0").expect("valid");
        assert!(!six.matches(b"10.0.0.1") && six.matches(b"::ffff:10.0.0.1"));
        let mapped = IpMatch::from_argument("::ffff:10.0.0.0/104").expect("valid");
        assert!(mapped.matches(b"10.9.9.9") && !mapped.matches(b"11.0.0.1"));
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
