//! A strict reading of what reached an upstream, RFC 9112 with every tolerance removed: the judge of
//! whether any two servers could take the same bytes for different requests.

/// One request as it stood on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linted {
    /// The request target.
    pub target: String,
    /// Field lines, names in lower case.
    pub fields: Vec<(String, Vec<u8>)>,
    /// The content was there to its last byte.
    pub whole: bool,
}

/// Reads a whole connection.
///
/// # Errors
/// What is not strict, with the bytes around it.
pub fn lint(mut bytes: &[u8]) -> Result<Vec<Linted>, String> {
    let mut requests = Vec::new();
    while !bytes.is_empty() {
        let (request, rest) = request(bytes)?;
        let whole = request.whole;
        requests.push(request);
        if !whole {
            break;
        }
        bytes = rest;
    }
    Ok(requests)
}

fn request(bytes: &[u8]) -> Result<(Linted, &[u8]), String> {
    let (line, mut rest) = line(bytes)?;
    let parts: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let [method, target, version] = parts[..] else {
        return Err(shown("request line", line));
    };
    if !is_token(method) || target.is_empty() || !target.iter().all(u8::is_ascii_graphic) {
        return Err(shown("method or target", line));
    }
    if version != b"HTTP/1.1" {
        return Err(shown("version", line));
    }
    let mut fields = Vec::new();
    loop {
        let (line, after) = self::line(rest)?;
        rest = after;
        if line.is_empty() {
            break;
        }
        fields.push(field(line)?);
    }
    let (whole, rest) = content(&fields, rest)?;
    let target = String::from_utf8_lossy(target).into_owned();
    Ok((
        Linted {
            target,
            fields,
            whole,
        },
        rest,
    ))
}

fn field(line: &[u8]) -> Result<(String, Vec<u8>), String> {
    let colon = line.iter().position(|byte| *byte == b':');
    let Some(colon) = colon else {
        return Err(shown("field without a colon", line));
    };
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if !is_token(name) {
        return Err(shown("field name", line));
    }
    if value
        .iter()
        .any(|byte| matches!(byte, 0..=8 | 10..=31 | 127))
    {
        return Err(shown("control byte in a value", line));
    }
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    Ok((name, value.trim_ascii().to_vec()))
}

/// Finds the end of the content; false if bytes are missing.
fn content<'a>(fields: &[(String, Vec<u8>)], rest: &'a [u8]) -> Result<(bool, &'a [u8]), String> {
    let values = |name: &str| -> Vec<&[u8]> {
        let same = fields.iter().filter(|(known, _)| known == name);
        same.map(|(_, value)| value.as_slice()).collect()
    };
    let hosts = values("host");
    let [host] = hosts[..] else {
        return Err(format!("{} Host fields", hosts.len()));
    };
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~:[]".contains(byte);
    if host.is_empty() || !host.iter().all(plain) {
        return Err(shown("Host", host));
    }
    for (name, _) in fields {
        let folded = name.replace('_', "-");
        if *name != folded && (folded.starts_with("content-") || folded == "transfer-encoding") {
            return Err(format!("{name} reads like {folded}"));
        }
    }
    match (
        &values("content-length")[..],
        &values("transfer-encoding")[..],
    ) {
        ([], []) => Ok((true, rest)),
        ([length], []) => {
            let digits = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
            let length = std::str::from_utf8(length).ok().filter(|_| digits);
            let length: usize = length
                .and_then(|text| text.parse().ok())
                .ok_or("Content-Length is no number")?;
            Ok(match rest.get(length..) {
                Some(after) => (true, after),
                None => (false, &[]),
            })
        }
        ([], [b"chunked"]) => chunks(rest),
        (lengths, codings) => Err(format!("framed by {lengths:?} and {codings:?}")),
    }
}

fn chunks(mut rest: &[u8]) -> Result<(bool, &[u8]), String> {
    loop {
        let Some((size, after)) = maybe_line(rest)? else {
            return Ok((false, &[]));
        };
        let text = std::str::from_utf8(size).unwrap_or_default();
        let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let size = usize::from_str_radix(text, 16).ok().filter(|_| plain);
        let size = size.ok_or_else(|| shown("chunk size", text.as_bytes()))?;
        let Some(after) = after.get(size..) else {
            return Ok((false, &[]));
        };
        let Some((end, after)) = maybe_line(after)? else {
            return Ok((false, &[]));
        };
        if !end.is_empty() {
            return Err(shown("after chunk data, or a trailer", end));
        }
        rest = after;
        if size == 0 {
            return Ok((true, rest));
        }
    }
}

/// A line without its end, and what follows it.
type Line<'a> = (&'a [u8], &'a [u8]);

fn line(bytes: &[u8]) -> Result<Line<'_>, String> {
    maybe_line(bytes)?.ok_or_else(|| shown("unfinished line", bytes))
}

/// A line that ends with CR LF and holds neither elsewhere.
fn maybe_line(bytes: &[u8]) -> Result<Option<Line<'_>>, String> {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
        return Ok(None);
    };
    match bytes[..end].strip_suffix(b"\r") {
        Some(line) if !line.contains(&b'\r') => Ok(Some((line, &bytes[end + 1..]))),
        _ => Err(shown("line end", &bytes[..=end])),
    }
}

fn is_token(bytes: &[u8]) -> bool {
    let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !bytes.is_empty() && bytes.iter().all(token)
}

fn shown(what: &str, bytes: &[u8]) -> String {
    let kept = &bytes[..bytes.len().min(120)];
    format!("{what}: {:?}", String::from_utf8_lossy(kept))
}
