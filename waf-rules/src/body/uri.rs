//! The request target, split on bytes (RFC 9112 section 3.2, RFC 3986).
//!
//! Splitting comes before decoding, always: a target that does not decode still has its path and its
//! query (GHSA-x26q-wvhg-fh4m). Nothing is normalised here; that is the transformations' work.

use super::percent::{self, Plus};

/// A request target in its parts; every part is a slice of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Uri<'a> {
    /// As received, with scheme, host and fragment: `REQUEST_URI_RAW`.
    pub(crate) raw: &'a [u8],
    /// Path and query, without scheme, host and fragment: `REQUEST_URI` before decoding.
    pub(crate) relative: &'a [u8],
    /// The path alone, undecoded: `REQUEST_FILENAME` before decoding. Empty in `http://host`.
    pub(crate) path: &'a [u8],
    /// What follows the first `?`, undecoded: `QUERY_STRING`; none without a `?`.
    pub(crate) query: Option<&'a [u8]>,
    /// What follows the first `#`.
    pub(crate) fragment: Option<&'a [u8]>,
    /// `host:port` (and userinfo) of an absolute target.
    pub(crate) authority: Option<&'a [u8]>,
}

/// Splits a request target. Authority form (`CONNECT`) and `*` have the whole target as their path.
pub(crate) fn parse(target: &[u8]) -> Uri<'_> {
    let (unfragmented, fragment) = split_at_byte(target, b'#');
    let (authority, relative) = match split_absolute(unfragmented) {
        Some((authority, relative)) => (Some(authority), relative),
        None => (None, unfragmented),
    };
    let (path, query) = split_at_byte(relative, b'?');
    Uri {
        raw: target,
        relative,
        path,
        query,
        fragment,
        authority,
    }
}

/// Appends `input` to `out` with `%HH` decoded once and `+` kept; true if an escape was bad.
pub(crate) fn percent_decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    percent::decode(input, Plus::Literal, out)
}

/// What follows the last `/` or `\` of a decoded path: `REQUEST_BASENAME`, unset after a trailing one.
pub(crate) fn basename(decoded_path: &[u8]) -> Option<&[u8]> {
    decoded_path
        .rsplit(|byte| matches!(byte, b'/' | b'\\'))
        .next()
        .filter(|name| !name.is_empty())
}

/// `scheme://authority` and the rest. A backslash ends the authority too: browsers and some servers
/// read it as `/`, and what stands behind it must count as path.
fn split_absolute(target: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = target.iter().position(|byte| *byte == b':')?;
    let (scheme, rest) = target.split_at_checked(colon)?;
    let named = scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    let rest = rest.strip_prefix(b"://").filter(|_| named)?;
    let end = rest
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?' | b'\\'))
        .unwrap_or(rest.len());
    rest.split_at_checked(end)
}

fn split_at_byte(input: &[u8], at: u8) -> (&[u8], Option<&[u8]>) {
    let mut halves = input.splitn(2, |byte| *byte == at);
    (halves.next().unwrap_or_default(), halves.next())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::testing::text;

    #[test]
    fn targets_are_split_on_bytes() {
        // target, relative, path, query, fragment, authority
        type Row<'a> = (
            &'a str,
            &'a str,
            &'a str,
            Option<&'a str>,
            Option<&'a str>,
            Option<&'a str>,
        );
        let rows: &[Row<'_>] = &[
            ("/a?b=c", "/a?b=c", "/a", Some("b=c"), None, None),
            ("/a", "/a", "/a", None, None, None),
            ("/a?", "/a?", "/a", Some(""), None, None),
            ("/a?b?c", "/a?b?c", "/a", Some("b?c"), None, None),
            ("/a#f?x=1", "/a", "/a", None, Some("f?x=1"), None),
            ("/a?b#c#d", "/a?b", "/a", Some("b"), Some("c#d"), None),
            (
                "/foo%zz?a=b",
                "/foo%zz?a=b",
                "/foo%zz",
                Some("a=b"),
                None,
                None,
            ),
            ("http://h:8/p?q", "/p?q", "/p", Some("q"), None, Some("h:8")),
            ("http://h?q=1", "?q=1", "", Some("q=1"), None, Some("h")),
            ("http://h", "", "", None, None, Some("h")),
            ("HTTP://h\\p", "\\p", "\\p", None, None, Some("h")),
            ("//evil/p", "//evil/p", "//evil/p", None, None, None),
            ("/x://y/z", "/x://y/z", "/x://y/z", None, None, None),
            ("1a://h/p", "1a://h/p", "1a://h/p", None, None, None),
            ("host:443", "host:443", "host:443", None, None, None),
            ("*", "*", "*", None, None, None),
            ("", "", "", None, None, None),
        ];
        for (target, relative, path, query, fragment, authority) in rows {
            let uri = parse(target.as_bytes());
            assert_eq!(text(uri.raw), *target);
            assert_eq!(text(uri.relative), *relative, "{target}");
            assert_eq!(text(uri.path), *path, "{target}");
            assert_eq!(uri.query.map(text).as_deref(), *query, "{target}");
            assert_eq!(uri.fragment.map(text).as_deref(), *fragment, "{target}");
            assert_eq!(uri.authority.map(text).as_deref(), *authority, "{target}");
        }
    }

    #[test]
    fn the_basename_ends_at_both_slashes() {
        let cases = [
            ("/a/b.php", Some("b.php")),
            ("/a\\b.php", Some("b.php")),
            ("/a/", None),
            ("/", None),
            ("*", Some("*")),
            ("", None),
        ];
        for (path, expected) in cases {
            assert_eq!(
                basename(path.as_bytes()).map(text).as_deref(),
                expected,
                "{path}"
            );
        }
    }

    #[test]
    fn a_path_is_decoded_once_and_keeps_its_plus() {
        let mut out = Vec::new();
        assert!(!percent_decode(b"/a+b%252e%2e", &mut out));
        assert_eq!(text(&out), "/a+b%2e.");
        assert!(percent_decode(b"/%zz", &mut out));
    }

    #[test]
    fn every_prefix_of_a_target_keeps_all_its_bytes() {
        let sample = b"http://u@h:80/p%2f\\..;x?a=b&c#f#g";
        for end in 0..=sample.len() {
            let uri = parse(&sample[..end]);
            let sum = uri.path.len()
                + uri.query.map_or(0, |query| query.len() + 1)
                + uri.fragment.map_or(0, |fragment| fragment.len() + 1)
                + uri.authority.map_or(0, |host| host.len() + 7);
            assert_eq!(sum, end);
        }
    }
}
