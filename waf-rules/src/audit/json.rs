//! An entry in ModSecurity's JSON form: one object on one line.
//!
//! Fields, their order and their types are those of libmodsecurity 3. A header that was sent twice is
//! one member here, its values joined, because readers keep only one of two members with a name.

use std::io::Write;

use super::body;
use super::entry::Page;
use super::escape::{json, json_text};
use super::line::Message;
use crate::engine::EngineMode;
use crate::variables::Variable;

/// Appends the entry, without a line end.
pub(super) fn write(page: &Page<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"transaction\":{");
    text(out, "client_ip", page.value(Variable::RemoteAddr));
    next(out, "time_stamp", page.stamp.asctime().as_bytes());
    next(out, "server_id", page.server_id().as_bytes());
    number(out, "client_port", page.value(Variable::RemotePort));
    next(out, "host_ip", page.value(Variable::ServerAddr));
    number(out, "host_port", page.value(Variable::ServerPort));
    next(out, "unique_id", page.value(Variable::UniqueId));
    request(page, out);
    response(page, out);
    if page.trail.parts.has(b'H') {
        producer(page, out);
        messages(page, out);
    }
    out.extend_from_slice(b"}}");
}

fn request(page: &Page<'_>, out: &mut Vec<u8>) {
    let parts = page.trail.parts;
    out.extend_from_slice(b",\"request\":{");
    text(out, "method", page.value(Variable::RequestMethod));
    number(out, "http_version", version(page));
    let target = page.value(Variable::RequestUriRaw);
    next(out, "uri", &page.hide.target(target));
    if parts.has(b'C') {
        next(
            out,
            "body",
            &body::shown(page.state, page.trail, &page.hide),
        );
    } else if parts.has(b'I') {
        let shown = body::without_files(page.state, page.trail, &page.hide);
        next(out, "body", &shown);
    }
    if parts.has(b'B') {
        let mut headers = Headers::default();
        for (name, value) in page.request_headers() {
            headers.add(name, &page.hide.request_header(name, value));
        }
        headers.write(out);
    }
    out.push(b'}');
}

fn response(page: &Page<'_>, out: &mut Vec<u8>) {
    let parts = page.trail.parts;
    out.extend_from_slice(b",\"response\":{");
    if parts.has(b'E') {
        let (body, rest) = body::response(page.state, &page.hide);
        text(out, "body", &[body.as_slice(), rest.as_bytes()].concat());
        out.push(b',');
    }
    let _ = write!(out, "\"http_code\":{}", page.status());
    if parts.has(b'F') {
        let mut headers = Headers::default();
        page.response_headers(&mut |name, value| {
            headers.add(name, &page.hide.response_header(name, value));
        });
        headers.write(out);
    }
    out.push(b'}');
}

/// The digits behind `HTTP/`, a number in ModSecurity.
fn version<'a>(page: &Page<'a>) -> &'a [u8] {
    let version = page.value(Variable::RequestProtocol);
    match version.strip_prefix(b"HTTP/") {
        Some(digits @ [major, b'.', minor]) if major.is_ascii_digit() && minor.is_ascii_digit() => {
            digits
        }
        _ => b"0",
    }
}

fn producer(page: &Page<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"producer\":{");
    text(out, "modsecurity", super::entry::PRODUCER.as_bytes());
    next(out, "connector", b"Palisade");
    let engine = match page.state.engine {
        EngineMode::On => "Enabled",
        EngineMode::Off => "Disabled",
        EngineMode::DetectionOnly => "DetectionOnly",
    };
    next(out, "secrules_engine", engine.as_bytes());
    out.extend_from_slice(b",\"components\":[");
    for (index, component) in page.rules.settings.audit.components.iter().enumerate() {
        separate(out, index);
        json_text(out, component.as_bytes());
    }
    out.extend_from_slice(b"]}");
}

fn messages(page: &Page<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"messages\":[");
    for (index, message) in page.messages().enumerate() {
        separate(out, index);
        one(&message, out);
    }
    out.push(b']');
}

fn one(message: &Message<'_>, out: &mut Vec<u8>) {
    let meta = &message.rule.meta;
    out.push(b'{');
    text(out, "message", &message.msg);
    out.extend_from_slice(b",\"details\":{\"match\":");
    // Escaped as in a line already: the same text in both forms.
    json_text(out, &message.matched);
    next(out, "reference", message.reference().as_bytes());
    next(out, "ruleId", message.rule.id.to_string().as_bytes());
    next(out, "file", meta.file.as_bytes());
    next(out, "lineNumber", meta.line.to_string().as_bytes());
    next(out, "data", &message.data);
    next(out, "severity", message.severity().to_string().as_bytes());
    next(
        out,
        "ver",
        meta.ver.as_deref().unwrap_or_default().as_bytes(),
    );
    next(
        out,
        "rev",
        meta.rev.as_deref().unwrap_or_default().as_bytes(),
    );
    out.extend_from_slice(b",\"tags\":[");
    for (index, tag) in message.tags.iter().enumerate() {
        separate(out, index);
        json(out, tag);
    }
    out.push(b']');
    next(out, "maturity", meta.maturity.to_string().as_bytes());
    next(out, "accuracy", meta.accuracy.to_string().as_bytes());
    out.extend_from_slice(b"}}");
}

/// Headers as one object: a name that comes again adds to the value that is there.
#[derive(Default)]
struct Headers {
    list: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Headers {
    fn add(&mut self, name: &[u8], value: &[u8]) {
        let known = self
            .list
            .iter_mut()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        if let Some((_, values)) = known {
            values.extend_from_slice(b", ");
            values.extend_from_slice(value);
        } else if self.list.len() < HEADERS {
            self.list.push((name.to_vec(), value.to_vec()));
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"headers\":{");
        for (index, (name, value)) in self.list.iter().enumerate() {
            separate(out, index);
            json(out, name);
            out.push(b':');
            json(out, value);
        }
        out.push(b'}');
    }
}

/// The first member of an object.
fn text(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    let _ = write!(out, "\"{key}\":");
    json(out, value);
}

/// A further member.
fn next(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    out.push(b',');
    text(out, key, value);
}

/// A further member whose value is digits.
fn number(out: &mut Vec<u8>, key: &str, digits: &[u8]) {
    let _ = write!(out, ",\"{key}\":");
    let digits = if digits.is_empty() { b"0" } else { digits };
    out.extend_from_slice(digits);
}

fn separate(out: &mut Vec<u8>, index: usize) {
    if index > 0 {
        out.push(b',');
    }
}

/// Most headers of one side with names of their own.
const HEADERS: usize = 256;
