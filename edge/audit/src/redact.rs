//! Keeps credentials out of records and logs.
//!
//! Values of listed header fields, of cookies and of listed parameters are replaced by [`MARKER`];
//! names stay, so a record still shows that a credential was sent. A finding whose variable names
//! such a header or parameter loses its data and match as well. It must never let through a listed
//! value because of its case, of percent-encoding in the name, or of a second occurrence. An attack
//! found in a cookie is evidence and stays in the finding.

use std::borrow::Cow;

/// What stands in place of a redacted value.
pub(crate) const MARKER: &str = "[redacted]";

/// Which values must not be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Redaction {
    /// Names of header fields, lower case, sorted.
    headers: Box<[Box<str>]>,
    /// Whether cookie values are hidden.
    cookies: bool,
    /// Names of query parameters, lower case, sorted.
    parameters: Box<[Box<str>]>,
}

impl Redaction {
    /// Hides the values of these headers and parameters, and of cookies if asked.
    pub(crate) fn new(headers: &[String], cookies: bool, parameters: &[String]) -> Self {
        Self {
            headers: names(headers),
            cookies,
            parameters: names(parameters),
        }
    }

    /// The value of the header `name` as it may be written.
    pub(crate) fn header<'a>(&self, name: &[u8], value: &'a [u8]) -> Cow<'a, [u8]> {
        if listed(&self.headers, name) {
            return Cow::Borrowed(MARKER.as_bytes());
        }
        if self.cookies && name.eq_ignore_ascii_case(b"cookie") {
            return Cow::Owned(cookie(value));
        }
        if name.eq_ignore_ascii_case(b"referer") {
            return self.target(value);
        }
        Cow::Borrowed(value)
    }

    /// A request target (or URL) as it may be written: values of listed parameters are hidden.
    pub(crate) fn target<'a>(&self, target: &'a [u8]) -> Cow<'a, [u8]> {
        let Some(mark) = target.iter().position(|b| *b == b'?') else {
            return Cow::Borrowed(target);
        };
        let (path, query) = target.split_at(mark + 1);
        let secret = |pair: &[u8]| {
            let name = pair.split(|b| *b == b'=').next().unwrap_or_default();
            name.len() < pair.len() && self.parameter(name)
        };
        if !query.split(separator).any(secret) {
            return Cow::Borrowed(target);
        }
        let mut out = path.to_vec();
        for pair in query.split_inclusive(separator) {
            let end = pair.iter().position(separator).unwrap_or(pair.len());
            let (pair, separator) = pair.split_at(end);
            if secret(pair) {
                let name = pair.split(|b| *b == b'=').next().unwrap_or_default();
                out.extend_from_slice(name);
                out.push(b'=');
                out.extend_from_slice(MARKER.as_bytes());
            } else {
                out.extend_from_slice(pair);
            }
            out.extend_from_slice(separator);
        }
        Cow::Owned(out)
    }

    /// True if what a rule saw in `variable` (for example `ARGS:password`) must be hidden.
    pub(crate) fn hides(&self, variable: &str) -> bool {
        let Some((collection, member)) = variable.split_once(':') else {
            return false;
        };
        match collection {
            "REQUEST_HEADERS" => listed(&self.headers, member.as_bytes()),
            // A member of a JSON body carries its path: `json.user.password`.
            "ARGS" | "ARGS_GET" | "ARGS_POST" => {
                let last = member.rsplit('.').next().unwrap_or(member);
                self.parameter(member.as_bytes()) || self.parameter(last.as_bytes())
            }
            _ => false,
        }
    }

    fn parameter(&self, name: &[u8]) -> bool {
        if self.parameters.is_empty() {
            return false;
        }
        listed(&self.parameters, &decode(name))
    }
}

fn names(list: &[String]) -> Box<[Box<str>]> {
    let mut names: Vec<Box<str>> = list
        .iter()
        .map(|name| name.to_ascii_lowercase().into())
        .collect();
    names.sort_unstable();
    names.dedup();
    names.into()
}

fn listed(names: &[Box<str>], name: &[u8]) -> bool {
    names
        .iter()
        .any(|known| known.as_bytes().eq_ignore_ascii_case(name))
}

fn separator(byte: &u8) -> bool {
    matches!(byte, b'&' | b';' | b'#')
}

/// `a=1; b=2` with every value hidden; a crumb without `=` is all value.
fn cookie(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    for (index, crumb) in value.split(|b| *b == b';').enumerate() {
        if index > 0 {
            out.push(b';');
        }
        if let Some(equals) = crumb.iter().position(|b| *b == b'=') {
            out.extend_from_slice(crumb.get(..=equals).unwrap_or_default());
        } else if crumb.trim_ascii().is_empty() {
            continue;
        }
        out.extend_from_slice(MARKER.as_bytes());
    }
    out
}

/// Percent-decodes a parameter name once, the way an application would.
fn decode(name: &[u8]) -> Cow<'_, [u8]> {
    if !name.contains(&b'%') {
        return Cow::Borrowed(name);
    }
    let (mut out, mut rest) = (Vec::with_capacity(name.len()), name);
    while let Some((first, tail)) = rest.split_first() {
        let escaped = match (first, tail) {
            (b'%', [a, b, tail @ ..]) => nibble(*a).zip(nibble(*b)).map(|pair| (pair, tail)),
            _ => None,
        };
        if let Some(((high, low), tail)) = escaped {
            out.push(high << 4 | low);
            rest = tail;
        } else {
            out.push(*first);
            rest = tail;
        }
    }
    Cow::Owned(out)
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::RedactSpec;

    fn default() -> Redaction {
        let RedactSpec {
            headers,
            cookies,
            parameters,
        } = RedactSpec::default();
        Redaction::new(&headers, cookies, &parameters)
    }

    fn header(name: &str, value: &str) -> String {
        String::from_utf8(default().header(name.as_bytes(), value.as_bytes()).into()).unwrap()
    }

    fn target(target: &str) -> String {
        String::from_utf8(default().target(target.as_bytes()).into()).unwrap()
    }

    #[test]
    fn credentials_in_headers_are_hidden_whatever_their_case() {
        for name in [
            "Authorization",
            "AUTHORIZATION",
            "x-api-key",
            "Proxy-Authorization",
        ] {
            assert_eq!(header(name, "Bearer abc"), MARKER);
        }
        assert_eq!(header("User-Agent", "Bearer abc"), "Bearer abc");
    }

    #[test]
    fn cookies_keep_their_names_and_lose_their_values() {
        assert_eq!(
            header("Cookie", "a=1; b=x=y;naked; =v; "),
            "a=[redacted]; b=[redacted];[redacted]; =[redacted];"
        );
    }

    #[test]
    fn secret_parameters_are_hidden_however_they_are_spelt() {
        assert_eq!(
            target("/a?q=1&password=x&r=2"),
            "/a?q=1&password=[redacted]&r=2"
        );
        assert_eq!(target("/a?PassWord=x=y;q=1"), "/a?PassWord=[redacted];q=1");
        assert_eq!(target("/a?p%61ssword=x"), "/a?p%61ssword=[redacted]");
        assert_eq!(
            target("/a?password=x&password=y"),
            "/a?password=[redacted]&password=[redacted]"
        );
        assert_eq!(
            header("Referer", "https://h/?access_token=x#f"),
            "https://h/?access_token=[redacted]#f"
        );
    }

    #[test]
    fn other_parameters_stay_byte_for_byte() {
        for same in [
            "/a?q=password",
            "/a?passwords=x",
            "/a?password",
            "/password=x",
            "/a?%zz=1&&=;",
        ] {
            assert_eq!(target(same), same);
        }
    }

    #[test]
    fn findings_in_hidden_variables_are_hidden() {
        let redaction = default();
        assert!(redaction.hides("ARGS:password"));
        assert!(redaction.hides("ARGS_POST:json.user.Password"));
        assert!(redaction.hides("REQUEST_HEADERS:Authorization"));
        assert!(!redaction.hides("ARGS:q"));
        assert!(!redaction.hides("REQUEST_COOKIES:session"));
        assert!(!redaction.hides("REQUEST_URI"));
    }
}
