//! The decision record: one JSON line that says what happened to an exchange, and why.
//!
//! The line is written by hand into the batch's buffer, with no intermediate tree. Each value is
//! bounded, redacted and escaped on the way; whatever the client sent, the result is one line of
//! valid JSON (RFC 8259) in UTF-8. Wire bytes (target, header fields, method) are escaped reversibly,
//! see `escape.rs`. A value that was cut, and a message that was left out, is always announced.

use std::io::Write;
use std::time::Duration;

use edge_core::{Exchange, Fault, Finding, Head, Tls, Verdict};

use crate::escape::{json_bytes, json_text};
use crate::outcome::Outcome;
use crate::redact::MARKER;
use crate::spec::{Logs, Style};
use crate::timestamp::Timestamp;

/// The record of `exchange` as `palisade explain --json` shows it: one JSON object, no line end.
#[must_use]
pub fn document(exchange: &Exchange, logs: &Logs) -> Vec<u8> {
    let mut out = Vec::with_capacity(2048);
    write(&mut out, exchange, &logs.style);
    out
}

/// Appends the record of `exchange` without a line end.
pub(crate) fn write(out: &mut Vec<u8>, exchange: &Exchange, style: &Style) {
    let start = out.len();
    let mut object = Object {
        out,
        style,
        cut: false,
    };
    object.identity(exchange);
    match &exchange.head {
        Some(head) => object.request(head),
        None => object.raw("request", b"null"),
    }
    object.judgement(exchange);
    object.traffic(exchange);
    let room = start + style.max_record;
    object.messages(&exchange.findings, room);
    if object.cut {
        object.raw("truncated", b"true");
    }
    out.push(b'}');
}

/// An object under construction: the opening brace is written with the first key.
struct Object<'a> {
    out: &'a mut Vec<u8>,
    style: &'a Style,
    /// Whether any value was cut.
    cut: bool,
}

impl Object<'_> {
    fn identity(&mut self, exchange: &Exchange) {
        let id = exchange.id;
        let connection = &exchange.connection;
        self.out.push(b'{');
        // The first member needs no comma; all values here are made of safe characters.
        self.put(format_args!(
            "\"request_id\":\"{id}\",\"unique_id\":\"{id}\""
        ));
        let time = Timestamp::of(exchange.received);
        self.put(format_args!(",\"time\":\"{time}\""));
        let (ip, port) = (exchange.client.ip(), exchange.client.port());
        self.put(format_args!(",\"client\":\"{ip}\",\"client_port\":{port}"));
        let (peer, local) = (connection.peer, connection.local);
        self.put(format_args!(",\"peer\":\"{peer}\",\"local\":\"{local}\""));
        if let Some(tls) = &connection.tls {
            self.tls(tls);
        }
    }

    /// What the handshake said; the names are the client's own words.
    fn tls(&mut self, tls: &Tls) {
        self.key("tls");
        let (version, cipher) = (tls.version, tls.cipher);
        self.put(format_args!(
            "{{\"version\":\"{version}\",\"cipher\":\"{cipher}\""
        ));
        self.key("server_name");
        self.optional(tls.server_name.as_deref());
        self.key("ja4");
        self.text(&tls.ja4);
        if let Some(client) = &tls.client {
            self.key("client_subject");
            self.text(&client.subject);
            self.key("client_issuer");
            self.text(&client.issuer);
            self.key("client_serial");
            self.text(&client.serial);
            self.key("client_sha256");
            self.text(&client.sha256);
            self.key("client_names");
            let names = client.names.get(..MAX_NAMES).unwrap_or(&client.names);
            self.array(names, |object, name| object.text(name));
        }
        self.out.push(b'}');
    }

    fn request(&mut self, head: &Head) {
        self.key("request");
        self.out.extend_from_slice(b"{\"method\":");
        self.wire(head.method());
        self.key("target");
        let target = self.style.redaction.target(head.target());
        self.wire(&target);
        self.key("protocol");
        self.wire(head.protocol());
        self.key("headers");
        self.headers(head);
        self.out.push(b'}');
    }

    /// Name -> value; a name that repeats (compared without case) has an array of its values, under
    /// the spelling that came first.
    fn headers(&mut self, head: &Head) {
        self.out.push(b'{');
        let mut first = true;
        for (index, (name, value)) in head.fields().take(MAX_FIELDS).enumerate() {
            let same = |(other, _): &(&[u8], &[u8])| other.eq_ignore_ascii_case(name);
            if head.fields().take(index).any(|field| same(&field)) {
                continue;
            }
            if !std::mem::take(&mut first) {
                self.out.push(b',');
            }
            self.wire(name);
            self.out.push(b':');
            let others = head.fields().take(MAX_FIELDS).skip(index + 1).filter(same);
            let mut others = others.peekable();
            if others.peek().is_none() {
                self.field(name, value);
                continue;
            }
            self.out.push(b'[');
            self.field(name, value);
            for (_, value) in others {
                self.out.push(b',');
                self.field(name, value);
            }
            self.out.push(b']');
        }
        self.out.push(b'}');
        let omitted = head.fields().len().saturating_sub(MAX_FIELDS);
        if omitted > 0 {
            self.number("headers_omitted", omitted);
        }
    }

    fn field(&mut self, name: &[u8], value: &[u8]) {
        let shown = self.style.redaction.header(name, value);
        self.wire(&shown);
    }

    /// What was decided, by whom, for which reason, and which faults happened on the way.
    fn judgement(&mut self, exchange: &Exchange) {
        match exchange.response_status {
            Some(status) => self.number("response_status", status),
            None => self.raw("response_status", b"null"),
        }
        self.key("verdict");
        self.text(Outcome::of(exchange).name());
        let decision = exchange.decision.as_ref();
        self.key("layer");
        self.optional(decision.map(|decision| decision.layer.name()));
        if let Some(Verdict::Respond(refusal)) = decision.map(|decision| &decision.verdict) {
            self.key("reason");
            self.text(&refusal.reason);
            self.number("refusal_status", refusal.status);
        }
        if let Some(score) = exchange.score {
            self.number("score", score);
        }
        if let Some(error) = &exchange.error {
            self.key("error");
            self.text(error);
        }
        if !exchange.faults.is_empty() {
            self.key("faults");
            self.array(&exchange.faults, Self::fault);
        }
    }

    fn traffic(&mut self, exchange: &Exchange) {
        self.key("route");
        self.optional(exchange.route.as_deref());
        self.key("upstream");
        self.optional(exchange.upstream.as_deref());
        self.number("attempts", exchange.attempts);
        if exchange.truncated {
            self.raw("body_truncated", b"true");
        }
        self.number("bytes_in", exchange.bytes_in);
        self.number("bytes_out", exchange.bytes_out);
        self.key("timings");
        self.out.push(b'{');
        for (layer, spent) in exchange.timings.iter() {
            self.put(format_args!("\"{layer}\":{},", Micros(spent)));
        }
        let total = Micros(exchange.timings.total);
        self.put(format_args!("\"total\":{total}}}"));
    }

    /// As many messages as fit before `room`, the end the line may reach.
    fn messages(&mut self, findings: &[Finding], room: usize) {
        self.key("messages");
        self.out.push(b'[');
        let mut written = 0;
        for finding in findings {
            let (before, cut) = (self.out.len(), self.cut);
            if written > 0 {
                self.out.push(b',');
            }
            self.finding(finding);
            if self.out.len() > room {
                self.out.truncate(before);
                self.cut = cut;
                break;
            }
            written += 1;
        }
        self.out.push(b']');
        if written < findings.len() {
            self.number("messages_omitted", findings.len() - written);
        }
    }

    fn finding(&mut self, finding: &Finding) {
        let Finding {
            rule_id,
            msg,
            data,
            matched,
            variable,
            severity,
            tags,
        } = finding;
        let hidden = self.style.redaction.hides(variable);
        let evidence = |text| if hidden { MARKER } else { text };
        self.put(format_args!("{{\"rule_id\":{rule_id}"));
        self.key("msg");
        self.text(msg);
        self.key("data");
        self.text(evidence(data));
        self.key("match");
        self.text(evidence(matched));
        self.key("variable");
        self.text(variable);
        self.key("severity");
        // Serialises to one of eight words.
        let severity = severity.and_then(|severity| serde_json::to_vec(&severity).ok());
        self.out
            .extend_from_slice(severity.as_deref().unwrap_or(b"null"));
        self.key("tags");
        let tags = tags.get(..MAX_TAGS).unwrap_or(tags);
        self.array(tags, |object, tag| object.text(tag));
        self.out.push(b'}');
    }

    fn fault(&mut self, fault: &Fault) {
        let layer = fault.layer;
        self.put(format_args!("{{\"layer\":\"{layer}\",\"what\":"));
        self.text(&fault.what);
        self.out.push(b'}');
    }

    fn array<T>(&mut self, items: &[T], mut one: impl FnMut(&mut Self, &T)) {
        self.out.push(b'[');
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            one(self, item);
        }
        self.out.push(b']');
    }

    /// A further member: its key is one of ours and needs no escapes.
    fn key(&mut self, key: &str) {
        self.put(format_args!(",\"{key}\":"));
    }

    fn raw(&mut self, key: &str, value: &[u8]) {
        self.key(key);
        self.out.extend_from_slice(value);
    }

    fn number(&mut self, key: &str, value: impl std::fmt::Display) {
        self.put(format_args!(",\"{key}\":{value}"));
    }

    fn optional(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.text(text),
            None => self.out.extend_from_slice(b"null"),
        }
    }

    fn text(&mut self, text: &str) {
        self.cut |= json_text(self.out, text, self.style.max_value);
    }

    fn wire(&mut self, bytes: &[u8]) {
        self.cut |= json_bytes(self.out, bytes, self.style.max_value);
    }

    fn put(&mut self, arguments: std::fmt::Arguments<'_>) {
        // Cannot fail: the writer is a vector.
        let _ = self.out.write_fmt(arguments);
    }
}

/// Microseconds with one decimal: a cheap layer takes less than one.
struct Micros(Duration);

impl std::fmt::Display for Micros {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tenths = self.0.as_nanos() / 100;
        write!(f, "{}.{}", tenths / 10, tenths % 10)
    }
}

/// Header fields written; the gate's own cap is usually lower.
const MAX_FIELDS: usize = 256;
/// Names of a client's certificate written.
const MAX_NAMES: usize = 16;
/// Tags written for one message.
const MAX_TAGS: usize = 64;

#[cfg(test)]
pub(crate) mod tests;
