//! `Host` and the authority of an absolute-form target, RFC 9110 section 7.2, RFC 9112 section 3.2.
//!
//! Narrower than RFC 3986 on purpose: no userinfo, no percent-encoding, no sub-delimiters, no empty
//! port. A name that survives means the same to every URL parser; nothing is ever repaired.

use std::net::Ipv6Addr;

/// True if `authority` is a plain `host`, `host:port`, `[v6]` or `[v6]:port`.
pub(crate) fn is_valid(authority: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(authority) else {
        return false;
    };
    if let Some(rest) = text.strip_prefix('[') {
        return rest.split_once(']').is_some_and(|(address, rest)| {
            address.parse::<Ipv6Addr>().is_ok()
                && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port))
        });
    }
    match text.split_once(':') {
        Some((host, port)) => is_host(host) && is_port(port),
        None => is_host(text),
    }
}

/// True if `authority` is a plain `host:port` or `[v6]:port`.
pub(crate) fn names_port(authority: &[u8]) -> bool {
    is_valid(authority)
        && authority.iter().rposition(|b| *b == b':') > authority.iter().rposition(|b| *b == b']')
}

/// The authority of an absolute-form `http` or `https` target, and whether what follows it can
/// follow an authority; `None` if the target is not of that form.
pub(crate) fn of_target(target: &[u8]) -> Option<&[u8]> {
    let scheme = [&b"http://"[..], b"https://"].into_iter().find(|scheme| {
        target
            .get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    })?;
    let rest = target.get(scheme.len()..)?;
    let end = rest
        .iter()
        .position(|b| matches!(b, b'/' | b'?' | b'#'))
        .unwrap_or(rest.len());
    rest.get(..end)
}

fn is_host(host: &str) -> bool {
    (1..=255).contains(&host.len())
        && !host.starts_with('.')
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~'))
}

fn is_port(port: &str) -> bool {
    (1..=5).contains(&port.len())
        && port.bytes().all(|b| b.is_ascii_digit())
        && port.parse::<u16>().is_ok_and(|port| port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_hosts_pass() {
        for host in [
            "a",
            "a.example",
            "A.example.",
            "10.0.0.1:8080",
            "[::1]",
            "[2001:db8::1]:443",
        ] {
            assert!(is_valid(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn hosts_that_parsers_disagree_about_do_not() {
        for host in [
            "", ":80", "a:", "a:0", "a:65536", "a:1:2", "a:+1", "u@a", "a,b", "a b", "a/b", "a\\b",
            "a?b", "a#b", "a%2eb", "::1", "[::1", "[::1]x", "[a]", "[::1]:", ".a", "é", "a\t",
        ] {
            assert!(!is_valid(host.as_bytes()), "{host:?}");
        }
        assert!(!is_valid(&[b'a'; 256]));
    }

    #[test]
    fn a_port_is_named_or_not() {
        for (authority, named) in [
            ("a.example:443", true),
            ("[::1]:443", true),
            ("[::1]", false),
            ("a.example", false),
            ("a:b", false),
            ("/a:443", false),
        ] {
            assert_eq!(names_port(authority.as_bytes()), named, "{authority}");
        }
    }

    #[test]
    fn the_authority_of_absolute_form_ends_where_the_path_starts() {
        assert_eq!(of_target(b"http://a:1/b@c"), Some(&b"a:1"[..]));
        assert_eq!(of_target(b"HTTPS://a?b"), Some(&b"a"[..]));
        assert_eq!(of_target(b"http://u@a/"), Some(&b"u@a"[..]));
        assert_eq!(of_target(b"ftp://a/"), None);
        assert_eq!(of_target(b"/http://a/"), None);
    }
}
