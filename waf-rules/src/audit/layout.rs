//! Where the pairs of a query or form and the parts of a multipart body begin.
//!
//! Offsets are asked for once a hit while the request waits; text is walked for them once a
//! transaction, and not before the first asks.

use std::sync::OnceLock;

/// Two numbers of bytes: offset and length, or where a name and its value begin.
pub(super) type Place = (usize, usize);

/// What is known by now of one request.
#[derive(Debug, Default)]
pub(super) struct Layout {
    query: OnceLock<Vec<Place>>,
    body: OnceLock<Vec<Place>>,
    parts: OnceLock<Vec<Part>>,
}

impl Layout {
    /// The pairs of the query, which is `text`.
    pub(super) fn query(&self, text: &[u8], separator: u8) -> &[Place] {
        self.query.get_or_init(|| pairs(text, separator))
    }

    /// The pairs of the form `body`.
    pub(super) fn body(&self, body: &[u8], separator: u8) -> &[Place] {
        self.body.get_or_init(|| pairs(body, separator))
    }

    /// The parts of the multipart `body`.
    pub(super) fn parts(&self, body: &[u8]) -> &[Part] {
        self.parts.get_or_init(|| parts(body))
    }

    /// Forgets the body: another one has come.
    pub(super) fn forget_body(&mut self) {
        (self.body, self.parts) = (OnceLock::new(), OnceLock::new());
    }
}

/// A part of a multipart body.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) name: Place,
    pub(super) file: Option<Place>,
    pub(super) content: Place,
}

/// Where name and value of every pair begin.
fn pairs(text: &[u8], separator: u8) -> Vec<Place> {
    super::walk(text.len());
    let mut at = 0;
    let pieces = text.split(|byte| *byte == separator).take(PAIRS);
    pieces
        .map(|piece| {
            let start = at;
            at += piece.len() + 1;
            let equals = piece.iter().position(|byte| *byte == b'=');
            let value = equals.map_or(piece.len(), |equals| equals + 1);
            (start, start + value)
        })
        .collect()
}

/// The parts of a multipart body, by its lines; it was found to be one before.
fn parts(body: &[u8]) -> Vec<Part> {
    super::walk(body.len());
    let boundary = body.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let boundary = boundary.trim_ascii_end();
    let mut parts: Vec<Part> = Vec::new();
    let (mut at, mut in_head) = (0, false);
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        let start = at;
        at += line.len();
        let text = line.trim_ascii_end();
        if !boundary.is_empty() && text.starts_with(boundary) {
            close(&mut parts, body, start);
            if parts.len() >= PARTS {
                break;
            }
            in_head = true;
            parts.push(Part {
                name: (0, 0),
                file: None,
                content: (at, 0),
            });
            continue;
        }
        let Some(part) = parts.last_mut().filter(|_| in_head) else {
            continue;
        };
        if text.is_empty() {
            in_head = false;
            part.content = (at, 0);
        } else if text
            .get(..20)
            .is_some_and(|name| name.eq_ignore_ascii_case(b"content-disposition:"))
        {
            part.name = parameter(text, b" name=").map_or((0, 0), |(at, n)| (start + at, n));
            part.file = parameter(text, b" filename=").map(|(at, n)| (start + at, n));
        }
    }
    close(&mut parts, body, body.len());
    parts
}

/// Ends the content of the last part before the line break at `end`.
fn close(parts: &mut [Part], body: &[u8], end: usize) {
    if let Some(part) = parts.last_mut().filter(|part| part.content.1 == 0) {
        let content = body.get(part.content.0..end).unwrap_or_default();
        let content = content.strip_suffix(b"\n").unwrap_or(content);
        part.content.1 = content.strip_suffix(b"\r").unwrap_or(content).len();
    }
}

/// The place of a quoted parameter's value in a header line.
fn parameter(line: &[u8], name: &[u8]) -> Option<Place> {
    let at = memchr::memmem::find(line, name)? + name.len();
    let rest = line.get(at..)?;
    match rest.strip_prefix(b"\"") {
        Some(quoted) => {
            let length = quoted.iter().position(|byte| *byte == b'"');
            Some((at + 1, length.unwrap_or(quoted.len())))
        }
        None => {
            let length = rest.iter().position(|byte| matches!(byte, b';' | b' '));
            Some((at, length.unwrap_or(rest.len())))
        }
    }
}

/// Most pairs that have a place: arguments beyond have no `v`.
const PAIRS: usize = 4096;
/// Most parts of a body that are looked at.
const PARTS: usize = 256;
