//! Host names of routes and of requests.
//!
//! Compared in lower case, without port and without the dot of a fully qualified name (RFC 9110
//! section 4.2.3). A name that is none, or is longer than DNS allows, matches only routes for every
//! host.

use std::borrow::Cow;

use edge_core::Head;

/// Longest name in DNS, with room for an IPv6 literal's brackets.
const MAX_HOST: usize = 255;

/// What a route says about the host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum HostPattern {
    /// Every host.
    Any,
    /// This name.
    Exact(String),
    /// Every name below this one (one label or more).
    Below(String),
}

impl HostPattern {
    /// Reads what the user wrote.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.to_ascii_lowercase();
        let text = text.strip_suffix('.').unwrap_or(&text);
        if text == "*" {
            return Ok(Self::Any);
        }
        if let Some(name) = text.strip_prefix("*.") {
            return check_name(name).map(|()| Self::Below(name.to_owned()));
        }
        if text.contains('*') {
            return Err("a wildcard stands for the first labels only: `*.example.com`");
        }
        if let Some(address) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
            return match address.parse::<std::net::Ipv6Addr>() {
                Ok(_) => Ok(Self::Exact(text.to_owned())),
                Err(_) => Err("expected an IPv6 address in brackets"),
            };
        }
        check_name(text).map(|()| Self::Exact(text.to_owned()))
    }
}

impl std::fmt::Display for HostPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Exact(name) => f.write_str(name),
            Self::Below(name) => write!(f, "*.{name}"),
        }
    }
}

fn check_name(name: &str) -> Result<(), &'static str> {
    if name.contains(':') {
        return Err("a host stands here without its port; listeners say the port");
    }
    if !name.is_ascii() {
        return Err("write an international name in its ASCII form (`xn--...`)");
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    if name.len() <= 253 && name.split('.').all(label) {
        Ok(())
    } else {
        Err("expected a host name such as `example.com` or `*.example.com`")
    }
}

/// The host of a request as it is looked up.
pub(crate) fn normalised(host: &[u8]) -> Cow<'_, [u8]> {
    let name = if host.first() == Some(&b'[') {
        let end = host.iter().position(|b| *b == b']').map_or(0, |at| at + 1);
        host.get(..end).unwrap_or_default()
    } else {
        host.split(|b| *b == b':').next().unwrap_or_default()
    };
    let name = name.strip_suffix(b".").unwrap_or(name);
    if name.len() > MAX_HOST {
        return Cow::Borrowed(b"");
    }
    if name.iter().any(u8::is_ascii_uppercase) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

/// The authority of an absolute-form target (`http://host/path`).
pub(crate) fn of_target(target: &[u8]) -> Option<&[u8]> {
    if target.first() == Some(&b'/') {
        return None;
    }
    let scheme = target.windows(3).position(|window| window == b"://")?;
    let rest = target.get(scheme + 3..)?;
    rest.split(|b| matches!(b, b'/' | b'?' | b'#')).next()
}

/// What routes may call the host of a request, the most specific name first: the host itself, then
/// each wildcard above it (`*.example.com`).
pub fn host_names(head: &Head) -> impl Iterator<Item = Cow<'_, [u8]>> {
    let host = of_target(head.target()).or_else(|| head.field("host"));
    let host = normalised(host.unwrap_or_default());
    let wildcards: Vec<Vec<u8>> = parents(&host)
        .map(|parent| [b"*.", parent].concat())
        .collect();
    std::iter::once(host).chain(wildcards.into_iter().map(Cow::Owned))
}

/// What stands after each dot: the names a wildcard may stand above, longest first.
pub(crate) fn parents(host: &[u8]) -> impl Iterator<Item = &[u8]> {
    host.iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'.')
        .filter_map(|(at, _)| host.get(at + 1..))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_compare_without_case_port_and_final_dot() {
        for (host, expected) in [
            ("Example.COM", "example.com"),
            ("example.com:8443", "example.com"),
            ("example.com.", "example.com"),
            ("example.com.:80", "example.com"),
            ("[::1]:80", "[::1]"),
            ("", ""),
        ] {
            assert_eq!(normalised(host.as_bytes()), expected.as_bytes(), "{host}");
        }
        assert_eq!(normalised(&[b'a'; 300]), b"".as_slice());
    }

    #[test]
    fn an_absolute_target_names_its_host() {
        assert_eq!(
            of_target(b"http://a.example:80/x?y"),
            Some(&b"a.example:80"[..])
        );
        assert_eq!(of_target(b"/x?u=http://b/"), None);
        assert_eq!(of_target(b"*"), None);
    }

    #[test]
    fn patterns_are_exact_below_or_any() {
        assert_eq!(HostPattern::parse("*"), Ok(HostPattern::Any));
        assert_eq!(
            HostPattern::parse("*.Example.com"),
            Ok(HostPattern::Below("example.com".into()))
        );
        assert_eq!(
            HostPattern::parse("[::1]"),
            Ok(HostPattern::Exact("[::1]".into()))
        );
        for text in [
            "",
            "a..b",
            "example.com:80",
            "a.*.b",
            "*a.b",
            "http://x",
            "caf\u{e9}.fr",
            "[x]",
        ] {
            assert!(HostPattern::parse(text).is_err(), "{text}");
        }
    }
}
