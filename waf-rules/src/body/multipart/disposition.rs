//! The Content-Disposition of one part (RFC 7578 section 4.2), read as ModSecurity v3 reads it.
//!
//! Quotes are `"` or (flagged) `'`; only a quote and a backslash can be escaped, any other backslash is
//! data, since browsers send Windows paths. What v3 refuses is an error here too, but its value is
//! kept: the backend may well use it.

use std::borrow::Cow;

use super::FileName;
use super::content_type::is_token;
use crate::body::percent::{self, Plus};

/// Names of a part.
#[derive(Debug, Default)]
pub(super) struct Disposition<'v> {
    /// The first `name`.
    pub(super) name: Option<Cow<'v, [u8]>>,
    /// Every `filename` of any form.
    pub(super) file_names: Vec<FileName<'v>>,
    pub(super) invalid_quoting: bool,
    /// The first thing v3 refuses.
    pub(super) error: Option<&'static str>,
}

impl Disposition<'_> {
    /// Cuts the tie to a header line that was joined from folds.
    pub(super) fn into_owned<'any>(self) -> Disposition<'any> {
        let own = |bytes: Cow<'_, [u8]>| Cow::Owned(bytes.into_owned());
        Disposition {
            name: self.name.map(own),
            file_names: self
                .file_names
                .into_iter()
                .map(|file_name| FileName {
                    value: own(file_name.value),
                    charset: file_name.charset.map(own),
                    language: file_name.language.map(own),
                })
                .collect(),
            invalid_quoting: self.invalid_quoting,
            error: self.error,
        }
    }

    fn fail(&mut self, reason: &'static str) {
        self.error.get_or_insert(reason);
    }
}

/// Reads a header value.
pub(super) fn parse(value: &[u8]) -> Disposition<'_> {
    let mut found = Disposition::default();
    let mut rest = parameters(value, &mut found);
    let mut plain_file_name = false;
    while let Some(parameter) = Parameter::read(rest, &mut found) {
        let Parameter { name, value, .. } = parameter;
        rest = parameter.rest;
        let base = name.split(|byte| *byte == b'*').next().unwrap_or_default();
        let is_file_name = base.eq_ignore_ascii_case(b"filename");
        let is_name = base.eq_ignore_ascii_case(b"name");
        match name {
            b"name" if found.name.is_some() => found.fail("Multipart: Invalid Content-Disposition header (-14): Duplicate Content-Disposition name"),
            b"filename" if plain_file_name => found.fail("Multipart: Invalid Content-Disposition header (-15): Duplicate Content-Disposition filename"),
            b"name" | b"filename*" => {}
            b"filename" => plain_file_name = true,
            _ => found.fail("Multipart: Invalid Content-Disposition header (-11): unknown parameter"),
        }
        if name == b"filename*" {
            extended(&value, &mut found);
        }
        if is_file_name {
            found.file_names.push(file_name(name, value));
        } else if is_name && found.name.is_none() {
            found.name = Some(value);
        }
    }
    if !found.file_names.is_empty() && !plain_file_name {
        found.fail("Multipart: Invalid Content-Disposition header (-21): Warning: no filename= but filename*");
    }
    found
}

/// Checks the type and gives what follows it.
fn parameters<'v>(value: &'v [u8], found: &mut Disposition<'_>) -> &'v [u8] {
    const TYPE: &[u8] = b"form-data";
    let value = value.trim_ascii();
    let end = value
        .iter()
        .position(|byte| matches!(byte, b';' | b' ' | b'\t' | b'='))
        .unwrap_or(value.len());
    let (kind, rest) = value.split_at_checked(end).unwrap_or((value, b""));
    if !kind.eq_ignore_ascii_case(TYPE) {
        found.fail("Multipart: Invalid Content-Disposition header (-1): not form-data");
        if rest.first() == Some(&b'=') {
            return value; // no type at all: the first parameter stands in its place
        }
    }
    let rest = rest.trim_ascii_start();
    match rest.split_first() {
        None => b"",
        Some((b';', rest)) => rest,
        Some(_) => {
            found.fail("Multipart: Invalid Content-Disposition header (-2): semicolon missing");
            rest
        }
    }
}

struct Parameter<'v> {
    name: &'v [u8],
    value: Cow<'v, [u8]>,
    /// What follows the `;`.
    rest: &'v [u8],
}

impl<'v> Parameter<'v> {
    fn read(input: &'v [u8], found: &mut Disposition<'_>) -> Option<Self> {
        let input = input.trim_ascii_start();
        if input.is_empty() {
            return None;
        }
        let Some(sign) = input.iter().position(|byte| matches!(byte, b'=' | b';')) else {
            found.fail("Multipart: Invalid Content-Disposition header (-4): equals sign missing");
            return None;
        };
        let (name, rest) = input.split_at_checked(sign)?;
        let (sign, rest) = rest.split_first()?;
        if *sign == b';' {
            found.fail("Multipart: Invalid Content-Disposition header (-13): equals sign missing");
            return Some(Self {
                name: b"",
                value: Cow::Borrowed(b""),
                rest,
            });
        }
        let value = rest.trim_ascii_start();
        if value.len() != rest.len() || name.trim_ascii_end().len() != name.len() {
            // Crude parsers search for `name=`, v3 refuses what they would not find.
            found.fail(
                "Multipart: Invalid Content-Disposition header: blanks around the equals sign",
            );
        }
        let name = name.trim_ascii_end();
        let (value, rest) = match value.split_first() {
            // An extended name may begin with the quote that ends an empty charset.
            Some((b'\'', _)) if name == b"filename*" => unquoted(value, found),
            Some((quote @ (b'"' | b'\''), rest)) => quoted(rest, *quote, found),
            _ => unquoted(value, found),
        };
        Some(Self { name, value, rest })
    }
}

/// A value behind its opening quote, and what follows its `;`.
fn quoted<'v>(
    input: &'v [u8],
    quote: u8,
    found: &mut Disposition<'_>,
) -> (Cow<'v, [u8]>, &'v [u8]) {
    found.invalid_quoting |= quote == b'\'';
    let mut owned: Option<Vec<u8>> = None;
    let mut at = 0;
    let mut closed = false;
    while let Some(byte) = input.get(at).copied() {
        let escaped = input.get(at + 1).copied();
        let escapes = byte == b'\\' && escaped.is_some_and(|next| next == quote || next == b'\\');
        if escapes {
            let owned = owned.get_or_insert_with(|| input.get(..at).unwrap_or_default().to_vec());
            owned.extend(escaped);
            at += 2;
            continue;
        }
        if byte == quote {
            closed = true;
            break;
        }
        if let Some(owned) = &mut owned {
            owned.push(byte);
        }
        at += 1;
    }
    if !closed {
        found.fail("Multipart: Invalid Content-Disposition header: unclosed quote");
    }
    let value = owned.map_or_else(
        || Cow::Borrowed(input.get(..at).unwrap_or_default()),
        Cow::Owned,
    );
    let rest = input.get(at + 1..).unwrap_or_default();
    let rest = rest.trim_ascii_start();
    match rest.split_first() {
        None => (value, b""),
        Some((b';', rest)) => (value, rest),
        Some((junk, _)) => {
            found.invalid_quoting |= matches!(junk, b'"' | b'\'');
            found.fail("Multipart: Invalid Content-Disposition header (-12): junk after a value");
            (value, after_semicolon(rest))
        }
    }
}

/// A value up to its `;`. It must be a token; if not it is kept whole.
fn unquoted<'v>(input: &'v [u8], found: &mut Disposition<'_>) -> (Cow<'v, [u8]>, &'v [u8]) {
    let end = input
        .iter()
        .position(|byte| *byte == b';')
        .unwrap_or(input.len());
    let (value, _) = input.split_at_checked(end).unwrap_or((input, b""));
    let value = value.trim_ascii_end();
    found.invalid_quoting |= value.contains(&b'\'') && !value.windows(2).any(|two| two == b"''");
    if !value.iter().copied().all(is_token) {
        found.invalid_quoting |= value.contains(&b'"');
        found.fail(
            "Multipart: Invalid Content-Disposition header (-12): neither quoted nor a token",
        );
    }
    (Cow::Borrowed(value), after_semicolon(input))
}

fn after_semicolon(input: &[u8]) -> &[u8] {
    input
        .iter()
        .position(|byte| *byte == b';')
        .and_then(|at| input.get(at + 1..))
        .unwrap_or_default()
}

/// What v3 refuses in a `charset'language'percent-encoded`.
fn extended(value: &[u8], found: &mut Disposition<'_>) {
    let mut pieces = value.splitn(3, |byte| *byte == b'\'');
    let charset = pieces.next().unwrap_or_default();
    let (language, encoded) = (pieces.next(), pieces.next());
    if charset.is_empty() {
        found.fail(
            "Multipart: Invalid Content-Disposition header (-16): filename* without a charset",
        );
    } else if language.is_none() || encoded.is_none() {
        found.fail(
            "Multipart: Invalid Content-Disposition header (-17): filename* without its quotes",
        );
    } else if encoded
        .is_some_and(|encoded| percent::decode(encoded, Plus::Literal, &mut Vec::new()))
    {
        found.fail("Multipart: Invalid Content-Disposition header (-18): bad escape in filename*");
    }
}

/// `filename` as it is; `charset'language'percent-encoded` of RFC 8187 taken apart where it is that.
fn file_name<'v>(parameter: &[u8], value: Cow<'v, [u8]>) -> FileName<'v> {
    if let (true, Cow::Borrowed(raw)) = (parameter.contains(&b'*'), &value) {
        let mut pieces = raw.splitn(3, |byte| *byte == b'\'');
        if let (Some(charset), Some(language), Some(encoded)) =
            (pieces.next(), pieces.next(), pieces.next())
        {
            let mut decoded = Vec::new();
            percent::decode(encoded, Plus::Literal, &mut decoded);
            return FileName {
                value: Cow::Owned(decoded),
                charset: Some(Cow::Borrowed(charset)),
                language: Some(Cow::Borrowed(language)),
            };
        }
    }
    FileName {
        value,
        charset: None,
        language: None,
    }
}
