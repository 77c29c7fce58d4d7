//! What single field names mean to the gate: which may occur once, which are hop-by-hop, which no
//! client may smuggle past the rules under another spelling.
//!
//! RFC 9110 sections 5.3 (repetition), 6.5.1 (trailers) and 7.6.1 (`Connection`).

#[cfg(feature = "pingora")]
use http::{HeaderMap, HeaderName, HeaderValue};

/// Fields with one value; a second one means that two parsers may believe different things.
pub(crate) const SINGLETONS: &[&str] = &[
    "authorization",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "expect",
    "host",
    "max-forwards",
    "origin",
    "proxy-authorization",
    "transfer-encoding",
];

/// Options a `Connection` field may name although they are fields or sound like it.
const HOP_BY_HOP: &[&str] = &[
    "close",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
];

/// Fields that frame, route, authenticate or attribute a request.
const PROTECTED: &[&str] = &[
    "authorization",
    "cache-control",
    "connection",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "max-forwards",
    "proxy-authorization",
    "range",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "true-client-ip",
    "upgrade",
    "via",
];

/// Families of such fields.
const PROTECTED_PREFIXES: &[&str] = &[
    "cf-",
    "content-",
    "if-",
    "proxy-",
    "x-forwarded-",
    "x-real-",
];

/// True if `name` frames, routes, authenticates or attributes a request, also when it is written
/// with underscores: CGI and its heirs cannot tell `Content_Length` from `Content-Length`.
pub(crate) fn is_protected(name: &[u8]) -> bool {
    PROTECTED.iter().any(|known| same(name, known.as_bytes()))
        || PROTECTED_PREFIXES.iter().any(|prefix| {
            name.get(..prefix.len())
                .is_some_and(|n| same(n, prefix.as_bytes()))
        })
}

/// True if `name` could be taken for a protected field by a reader that folds `_` to `-`.
pub(crate) fn is_look_alike(name: &[u8]) -> bool {
    name.contains(&b'_') && is_protected(name)
}

/// Those of `trailers` that may follow a response, or none if there are too many of them.
#[cfg(feature = "pingora")]
pub(crate) fn trailers(mut trailers: HeaderMap) -> HeaderMap {
    let size = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len();
    if trailers.len() > TRAILERS_MAX || trailers.iter().map(size).sum::<usize>() > TRAILER_BYTES {
        return HeaderMap::new();
    }
    let forbidden: Vec<HeaderName> = trailers
        .keys()
        .filter(|name| is_protected(name.as_str().as_bytes()))
        .cloned()
        .collect();
    for name in forbidden {
        trailers.remove(name);
    }
    trailers
}

/// True if `option` may stand in `Connection`: a known hop-by-hop name.
pub(crate) fn is_hop_by_hop(option: &[u8]) -> bool {
    HOP_BY_HOP
        .iter()
        .any(|known| option.eq_ignore_ascii_case(known.as_bytes()))
}

/// Position of `name` in [`SINGLETONS`].
pub(crate) fn singleton(name: &[u8]) -> Option<usize> {
    SINGLETONS
        .iter()
        .position(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

/// Equal without case, with `_` read as `-`.
fn same(name: &[u8], known: &[u8]) -> bool {
    let fold = |b: u8| {
        if b == b'_' {
            b'-'
        } else {
            b.to_ascii_lowercase()
        }
    };
    name.len() == known.len() && name.iter().zip(known).all(|(a, b)| fold(*a) == *b)
}

#[cfg(feature = "pingora")]
const TRAILERS_MAX: usize = 64;
/// gRPC puts details of an error there.
#[cfg(feature = "pingora")]
const TRAILER_BYTES: usize = 32 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted_and_unique() {
        for table in [SINGLETONS, HOP_BY_HOP, PROTECTED, PROTECTED_PREFIXES] {
            assert!(table.is_sorted_by(|a, b| a < b), "{table:?}");
        }
    }

    #[test]
    fn underscores_hide_no_protected_name_and_taint_no_other() {
        for name in [
            "Content_Length",
            "transfer_encoding",
            "X_Forwarded-For",
            "HOST_",
        ] {
            assert_eq!(is_look_alike(name.as_bytes()), name != "HOST_", "{name}");
        }
        for name in ["Content-Length", "my_token", "x_request_id"] {
            assert!(!is_look_alike(name.as_bytes()), "{name}");
        }
    }
}
