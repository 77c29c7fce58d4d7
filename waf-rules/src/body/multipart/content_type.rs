//! The boundary of a `multipart/form-data` Content-Type.
//!
//! Stricter than RFC 9110 section 8.3 allows: a value that PHP, Java, Go or Python could take for
//! another boundary is an error, so all of them split the body where we do.

use super::Flags;

/// RFC 2046 section 5.1.1.
const MAX_BOUNDARY: usize = 70;
const MAX_HEADER: usize = 1024;

/// The boundary, without its dashes.
pub(super) fn boundary<'h>(header: &'h [u8], flags: &mut Flags) -> Result<&'h [u8], &'static str> {
    const TYPE: &[u8] = b"multipart/form-data";
    if header.len() > MAX_HEADER {
        return Err("Multipart: Invalid boundary in C-T (length)");
    }
    let (kind, mut rest) = header
        .split_at_checked(TYPE.len())
        .ok_or("Multipart: Invalid boundary in C-T (malformed)")?;
    if !kind.eq_ignore_ascii_case(TYPE) || !matches!(rest, [] | [b';' | b' ' | b'\t', ..]) {
        return Err("Multipart: Invalid boundary in C-T (malformed)");
    }
    let mut found = None;
    while let Some((parameter, after)) = Parameter::read(rest, flags)? {
        rest = after;
        if parameter.name.eq_ignore_ascii_case(b"boundary") {
            if found.is_some() {
                return Err("Multipart: Multiple boundary parameters in C-T");
            }
            if parameter.name != b"boundary" {
                // Crude parsers search for the word as browsers write it.
                return Err("Multipart: Invalid boundary in C-T (case sensitivity)");
            }
            flags.boundary_quoted |= parameter.quoted;
            flags.boundary_whitespace |= parameter.blanks;
            found = Some(parameter.value);
        } else if mentions_boundary(parameter.name) || mentions_boundary(parameter.value) {
            // RFC 2231 forms, and names in which a substring search finds its boundary.
            return Err("Multipart: Invalid boundary in C-T (parameter name)");
        }
    }
    let boundary = found.ok_or("Multipart: Boundary not found in C-T")?;
    if boundary.is_empty() {
        return Err("Multipart: Invalid boundary in C-T (empty)");
    }
    if boundary.ends_with(b"\"") {
        return Err("Multipart: Invalid boundary in C-T (quote)");
    }
    if boundary.len() > MAX_BOUNDARY {
        return Err("Multipart: Invalid boundary in C-T (length)");
    }
    if !boundary.iter().copied().all(is_boundary_byte) {
        return Err("Multipart: Invalid boundary in C-T (characters)");
    }
    Ok(boundary)
}

struct Parameter<'h> {
    name: &'h [u8],
    value: &'h [u8],
    quoted: bool,
    /// Blanks where RFC 9110 allows none, or behind the value.
    blanks: bool,
}

impl<'h> Parameter<'h> {
    /// The next parameter and what follows it.
    fn read(input: &'h [u8], flags: &mut Flags) -> Result<Option<(Self, &'h [u8])>, &'static str> {
        let mut rest = input.trim_ascii_start();
        let mut separated = false;
        while let Some(after) = rest.strip_prefix(b";") {
            separated = true;
            rest = after.trim_ascii_start();
        }
        if rest.is_empty() {
            return Ok(None);
        }
        flags.missing_semicolon |= !separated;
        let (name, after) = split_where(rest, |byte| !is_token(byte));
        let trimmed = after.trim_ascii_start();
        let after_sign = trimmed
            .strip_prefix(b"=")
            .filter(|_| !name.is_empty())
            .ok_or("Multipart: Invalid boundary in C-T (malformed)")?;
        let trimmed_value = after_sign.trim_ascii_start();
        let mut blanks = trimmed.len() != after.len() || trimmed_value.len() != after_sign.len();
        let (value, rest, quoted) = if let Some(quoted) = trimmed_value.strip_prefix(b"\"") {
            let (value, after) = split_where(quoted, |byte| byte == b'"');
            let after = after
                .strip_prefix(b"\"")
                .ok_or("Multipart: Invalid boundary in C-T (quote)")?;
            if !matches!(after, [] | [b';' | b' ' | b'\t', ..]) {
                return Err("Multipart: Invalid boundary in C-T (characters)");
            }
            (value, after, true)
        } else {
            let ends = |byte| matches!(byte, b';' | b' ' | b'\t');
            let (value, after) = split_where(trimmed_value, ends);
            (value, after, false)
        };
        blanks |= matches!(rest, [b' ' | b'\t', ..]);
        let parameter = Self {
            name,
            value,
            quoted,
            blanks,
        };
        Ok(Some((parameter, rest)))
    }
}

fn split_where(input: &[u8], mut ends: impl FnMut(u8) -> bool) -> (&[u8], &[u8]) {
    let end = input
        .iter()
        .position(|byte| ends(*byte))
        .unwrap_or(input.len());
    input.split_at_checked(end).unwrap_or((input, b""))
}

fn mentions_boundary(text: &[u8]) -> bool {
    text.windows(8)
        .any(|window| window.eq_ignore_ascii_case(b"boundary"))
}

/// RFC 9110 section 5.6.2.
pub(super) const fn is_token(byte: u8) -> bool {
    matches!(byte,
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'!' | b'#' | b'$' | b'%' | b'&' | b'\''
        | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
}

/// `bchars` of RFC 2046 without the blank and without the comma, where PHP ends an unquoted boundary.
const fn is_boundary_byte(byte: u8) -> bool {
    matches!(byte,
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'\'' | b'(' | b')' | b'+' | b'_' | b'-'
        | b'.' | b'/' | b':' | b'=' | b'?')
}
