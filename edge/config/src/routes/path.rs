//! The readings of a request path.
//!
//! Servers disagree about `%2F`, `..`, `;x`, `\` and double encoding. If the gateway chose the route
//! by one reading and the upstream served another, a request could pass under a route that was not
//! meant for it. So a path that invites several readings is looked up under each of them, and the
//! table refuses it unless all lead to the same route:
//!
//! * *plain*: percent-decoded once, `%2F` kept as text, dot segments removed (RFC 3986 section 6.2.2);
//! * *liberal*: decoded up to three times, `%2F` and `\` are slashes, dot segments removed;
//! * both with dot segments kept, as frameworks that compare strings see them.
//!
//! Every reading drops path parameters (`;x=1` up to the next slash) and joins repeated slashes. This
//! must never be used to change what the upstream gets: it hears the target as it was sent.

use std::borrow::Cow;

/// Decoding is repeated at most this often.
const MAX_ROUNDS: usize = 3;

/// What a path may mean.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Readings<'a> {
    /// The reading of RFC 3986.
    pub(crate) plain: Cow<'a, [u8]>,
    /// Those that differ from it.
    pub(crate) others: Vec<Vec<u8>>,
}

impl<'a> Readings<'a> {
    /// Reads a raw path; one that does not start with `/` (`*`, an authority) is read as `/`.
    pub(crate) fn of(path: &'a [u8]) -> Self {
        if path.first() != Some(&b'/') {
            return Self::only(Cow::Borrowed(b"/"));
        }
        if has_one_reading(path) {
            return Self::only(Cow::Borrowed(path));
        }
        let literal = join(without_parameters(&decoded(path, Slash::Kept)));
        let plain = without_dots(&literal);
        let mut liberal = decoded(path, Slash::Decoded);
        for _ in 1..MAX_ROUNDS {
            if !liberal.contains(&b'%') {
                break;
            }
            liberal = decoded(&liberal, Slash::Decoded);
        }
        for byte in &mut liberal {
            if *byte == b'\\' {
                *byte = b'/';
            }
        }
        let liberal = join(without_parameters(&liberal));
        let mut others: Vec<Vec<u8>> = Vec::new();
        for other in [without_dots(&liberal), liberal, literal] {
            if other != plain && !others.contains(&other) {
                others.push(other);
            }
        }
        Self {
            plain: Cow::Owned(plain),
            others,
        }
    }

    const fn only(plain: Cow<'a, [u8]>) -> Self {
        Self {
            plain,
            others: Vec::new(),
        }
    }
}

/// True for paths that every server reads alike: nearly all there are.
fn has_one_reading(path: &[u8]) -> bool {
    let mut after_slash = false;
    for byte in path {
        match byte {
            b'%' | b';' | b'\\' => return false,
            b'/' | b'.' if after_slash => return false,
            _ => after_slash = *byte == b'/',
        }
    }
    true
}

/// What an encoded slash becomes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Slash {
    Kept,
    Decoded,
}

/// One round of percent-decoding; what is no valid escape stays as it is.
fn decoded(path: &[u8], slash: Slash) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        let escape = match tail {
            [high, low, after @ ..] if *first == b'%' => hex(*high)
                .zip(hex(*low))
                .map(|(high, low)| (high << 4 | low, after)),
            _ => None,
        };
        match escape {
            Some((b'/', after)) if slash == Slash::Kept => {
                out.extend_from_slice(b"%2F");
                rest = after;
            }
            Some((byte, after)) => {
                out.push(byte);
                rest = after;
            }
            None => out.push(*first),
        }
    }
    out
}

pub(crate) const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

fn without_parameters(path: &[u8]) -> Vec<u8> {
    let mut inside = false;
    let keep = |byte: &u8| {
        inside = (inside || *byte == b';') && *byte != b'/';
        !inside
    };
    path.iter().copied().filter(keep).collect()
}

fn join(mut path: Vec<u8>) -> Vec<u8> {
    path.dedup_by(|a, b| *a == b'/' && *b == b'/');
    path
}

/// Resolves `.` and `..`; what climbs above the root stays at the root.
fn without_dots(path: &[u8]) -> Vec<u8> {
    let mut segments: Vec<&[u8]> = Vec::new();
    let mut ends_open = false;
    for segment in path.split(|b| *b == b'/').skip(1) {
        ends_open = matches!(segment, b"" | b"." | b"..");
        match segment {
            b"" | b"." => {}
            b".." => {
                segments.pop();
            }
            _ => segments.push(segment),
        }
    }
    let mut out = Vec::with_capacity(path.len());
    for segment in &segments {
        out.push(b'/');
        out.extend_from_slice(segment);
    }
    if ends_open || segments.is_empty() {
        out.push(b'/');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(path: &str) -> String {
        String::from_utf8(Readings::of(path.as_bytes()).plain.into_owned()).unwrap()
    }

    #[test]
    fn ordinary_paths_are_not_copied() {
        for path in ["/", "/a", "/a/b.html", "/a.b/c..d/", "/~x/@y"] {
            assert!(
                matches!(Readings::of(path.as_bytes()).plain, Cow::Borrowed(_)),
                "{path}"
            );
        }
    }

    #[test]
    fn the_plain_reading_is_that_of_rfc_3986() {
        for (path, expected) in [
            ("/%61dmin", "/admin"),
            ("//admin", "/admin"),
            ("/./admin", "/admin"),
            ("/a/../admin", "/admin"),
            ("/a/%2e%2e/admin", "/admin"),
            ("/../../admin", "/admin"),
            ("/a/..", "/"),
            ("/a/b/.", "/a/b/"),
            ("/a;v=1/b;w", "/a/b"),
            ("/a%2Fb", "/a%2Fb"),
            ("/a%2fb", "/a%2Fb"),
            ("/100%", "/100%"),
            ("/a%zz", "/a%zz"),
            ("/.well-known/x", "/.well-known/x"),
            ("*", "/"),
            ("example.com:443", "/"),
        ] {
            assert_eq!(plain(path), expected, "{path}");
        }
    }

    #[test]
    fn what_servers_disagree_about_has_several_readings() {
        for path in [
            "/x/../admin",
            "/x%2f..%2fadmin",
            "/x\\..\\admin",
            "/%252e%252e/admin",
            "/x/..;/admin",
            "/%5cadmin",
        ] {
            assert!(!Readings::of(path.as_bytes()).others.is_empty(), "{path}");
        }
        for path in [
            "/%61dmin",
            "//admin",
            "/caf%C3%A9",
            "/a%20b",
            "/.well-known/x",
        ] {
            assert_eq!(
                Readings::of(path.as_bytes()).others,
                Vec::<Vec<u8>>::new(),
                "{path}"
            );
        }
    }
}
