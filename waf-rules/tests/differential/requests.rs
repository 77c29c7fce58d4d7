//! Requests of the corpora: one JSON object a line with `id`, `method`, `path`, `headers` and `body` or
//! `body_b64`.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// A request, its body framed as both engines expect it.
pub(crate) struct Request {
    pub(crate) id: String,
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// Which processor reads a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Form,
    Multipart,
    Json,
    Xml,
    Other,
}

impl Request {
    fn of(line: &Value) -> Self {
        let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        let body = match line["body_b64"].as_str() {
            Some(coded) => STANDARD.decode(coded).expect("a body in base64"),
            None => text("body").into_bytes(),
        };
        let pair = |pair: &Value| {
            let part = |at: usize| pair[at].as_str().unwrap_or_default().to_owned();
            (part(0), part(1))
        };
        let mut headers: Vec<_> = line["headers"]
            .as_array()
            .into_iter()
            .flatten()
            .map(pair)
            .collect();
        let named = |name: &str| {
            let headers: &[(String, String)] = &headers;
            headers
                .iter()
                .any(|(key, _)| key.eq_ignore_ascii_case(name))
        };
        if !body.is_empty() && !named("Content-Length") && !named("Transfer-Encoding") {
            headers.push(("Content-Length".to_owned(), body.len().to_string()));
        }
        Self {
            id: text("id"),
            method: text("method"),
            target: text("path"),
            headers,
            body,
        }
    }

    /// What its body is by its type, as both engines choose the processor.
    pub(crate) fn kind(&self) -> Kind {
        let kind = self.header("content-type");
        let known = [
            ("multipart/form-data", Kind::Multipart),
            ("application/x-www-form-urlencoded", Kind::Form),
            ("application/json", Kind::Json),
            ("application/xml", Kind::Xml),
            ("application/soap+xml", Kind::Xml),
            ("text/xml", Kind::Xml),
        ];
        let found = known.iter().find(|(start, _)| kind.starts_with(start));
        found.map_or(Kind::Other, |(_, kind)| *kind)
    }

    /// True for the cases that hide an attack in a malformed request.
    pub(crate) fn is_evasion(&self) -> bool {
        self.id.starts_with('e')
    }

    pub(crate) fn has_bare_line_feed(&self) -> bool {
        let before = self.body.iter().zip(self.body.iter().skip(1));
        before.into_iter().any(|(a, b)| *a != b'\r' && *b == b'\n')
    }

    /// True if `text` stands in the target, a header or the body, once decoded or as it is.
    pub(crate) fn holds(&self, text: &str) -> bool {
        self.decoded().contains(text) || String::from_utf8_lossy(&self.body).contains(text)
    }

    /// True if a name that begins with `on` stands before a `=`, or all but.
    pub(crate) fn has_on_attribute(&self) -> bool {
        let text = self.decoded().to_ascii_lowercase();
        text.match_indices("on").any(|(at, _)| {
            let inside = text[..at].ends_with(|before: char| before.is_ascii_alphanumeric());
            let name = text[at..].split(|next: char| next.is_ascii_whitespace());
            !inside && name.take(1).any(|name| name.contains('='))
        })
    }

    pub(crate) fn is_malformed_json(&self) -> bool {
        serde_json::from_slice::<serde::de::IgnoredAny>(&self.body).is_err()
    }

    pub(crate) fn count(&self, text: &str) -> usize {
        String::from_utf8_lossy(&self.body).matches(text).count()
    }

    pub(crate) fn is_beyond_ascii(&self) -> bool {
        !self.decoded().is_ascii() || !self.body.is_ascii()
    }

    /// Target, header values and body with their `%` escapes undone.
    fn decoded(&self) -> String {
        let values = self.headers.iter().map(|(_, value)| value.as_bytes());
        let parts: Vec<&[u8]> = [self.target.as_bytes(), &self.body]
            .into_iter()
            .chain(values)
            .collect();
        let raw = parts.join(&b'\n');
        let mut out = Vec::with_capacity(raw.len());
        let mut at = 0;
        while at < raw.len() {
            let escape = raw.get(at + 1..at + 3).filter(|_| raw[at] == b'%');
            let text = escape.and_then(|digits| std::str::from_utf8(digits).ok());
            match text.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
                Some(byte) => {
                    out.push(byte);
                    at += 3;
                }
                None => {
                    out.push(raw[at]);
                    at += 1;
                }
            }
        }
        String::from_utf8_lossy(&out).into_owned()
    }

    /// The first value of a header, in lower case; empty without it.
    fn header(&self, name: &str) -> String {
        let found = self
            .headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map_or_else(String::new, |(_, value)| value.to_ascii_lowercase())
    }

    /// As the other program reads it.
    pub(crate) fn written(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut text = |bytes: &[u8]| {
            out.extend_from_slice(format!("{}\n", bytes.len()).as_bytes());
            out.extend_from_slice(bytes);
        };
        text(self.method.as_bytes());
        text(self.target.as_bytes());
        text(self.headers.len().to_string().as_bytes());
        for (name, value) in &self.headers {
            text(name.as_bytes());
            text(value.as_bytes());
        }
        text(&self.body);
        out
    }
}

/// Every request in the JSON lines of a folder, files in order.
pub(crate) fn read(folder: &Path) -> Vec<Request> {
    let entries = fs::read_dir(folder).expect("a folder of requests");
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "jsonl"))
        .collect();
    files.sort();
    let texts = files
        .iter()
        .map(|file| fs::read_to_string(file).expect("a readable file"));
    texts
        .flat_map(|text| {
            let lines = text.lines();
            let lines = lines.map(|line| serde_json::from_str(line).expect("JSON in each line"));
            lines
                .map(|line: Value| Request::of(&line))
                .collect::<Vec<_>>()
        })
        .collect()
}
