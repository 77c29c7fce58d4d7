//! The access log: one line for every exchange, in the Combined Log Format or as JSON.
//!
//! Shows what the decision record shows, redacted and bounded alike, without headers and messages.
//! A line of the combined form is printable ASCII; quotes and backslashes in values are escaped, so
//! that a value can end neither its field nor its line.

use std::fmt::Arguments;
use std::io::Write;

use edge_core::Exchange;

use crate::escape::{json_bytes, json_text, plain};
use crate::outcome::Outcome;
use crate::spec::{AccessLogFormat, Style};
use crate::timestamp::Timestamp;

/// Appends the line of `exchange` without a line end.
pub(crate) fn write(
    out: &mut Vec<u8>,
    exchange: &Exchange,
    format: AccessLogFormat,
    style: &Style,
) {
    match format {
        AccessLogFormat::Combined => combined(out, exchange, style),
        AccessLogFormat::Json => json(out, exchange, style),
    }
}

/// `ip - - [time] "request line" status bytes "referer" "user agent" seconds id route verdict`
fn combined(out: &mut Vec<u8>, exchange: &Exchange, style: &Style) {
    let time = Timestamp::of(exchange.received).common_log();
    put(
        out,
        format_args!("{} - - [{time}] \"", exchange.client.ip()),
    );
    if let Some(head) = &exchange.head {
        plain(out, head.method(), style.max_value);
        out.push(b' ');
        plain(out, &style.redaction.target(head.target()), style.max_value);
        put(out, format_args!(" {}", head.version().name()));
    }
    // 000: no answer was sent.
    let status = exchange.response_status.unwrap_or(0);
    put(
        out,
        format_args!("\" {status:03} {} \"", exchange.bytes_out),
    );
    header(out, exchange, "referer", style);
    out.extend_from_slice(b"\" \"");
    header(out, exchange, "user-agent", style);
    let (total, id) = (exchange.timings.total, exchange.id);
    put(out, format_args!("\" {:.6} {id} \"", total.as_secs_f64()));
    let route = exchange.route.as_deref().unwrap_or("-");
    plain(out, route.as_bytes(), style.max_value);
    put(out, format_args!("\" {}", Outcome::of(exchange).name()));
}

fn header(out: &mut Vec<u8>, exchange: &Exchange, name: &str, style: &Style) {
    let value = exchange.head.as_ref().and_then(|head| head.field(name));
    match value {
        Some(value) => {
            let shown = style.redaction.header(name.as_bytes(), value);
            plain(out, &shown, style.max_value);
        }
        None => out.push(b'-'),
    }
}

fn json(out: &mut Vec<u8>, exchange: &Exchange, style: &Style) {
    let time = Timestamp::of(exchange.received);
    let (id, client) = (exchange.id, exchange.client.ip());
    put(
        out,
        format_args!("{{\"time\":\"{time}\",\"request_id\":\"{id}\",\"client\":\"{client}\""),
    );
    if let Some(head) = &exchange.head {
        let target = style.redaction.target(head.target());
        wire(out, "method", head.method(), style);
        wire(out, "target", &target, style);
        put(
            out,
            format_args!(",\"protocol\":\"{}\"", head.version().name()),
        );
        for (key, name) in [
            ("host", "host"),
            ("referer", "referer"),
            ("user_agent", "user-agent"),
        ] {
            if let Some(value) = head.field(name) {
                let shown = style.redaction.header(name.as_bytes(), value);
                wire(out, key, &shown, style);
            }
        }
    }
    if let Some(tls) = &exchange.connection.tls {
        let (version, cipher) = (tls.version, tls.cipher);
        put(
            out,
            format_args!(",\"tls_version\":\"{version}\",\"tls_cipher\":\"{cipher}\",\"ja4\":"),
        );
        json_text(out, &tls.ja4, style.max_value);
        let subject = tls.client.as_ref().map(|client| &*client.subject);
        for (key, text) in [
            ("server_name", tls.server_name.as_deref()),
            ("client_subject", subject),
        ] {
            if let Some(text) = text {
                put(out, format_args!(",\"{key}\":"));
                json_text(out, text, style.max_value);
            }
        }
    }
    match exchange.response_status {
        Some(status) => put(out, format_args!(",\"status\":{status}")),
        None => put(out, format_args!(",\"status\":null")),
    }
    let (bytes_in, bytes_out) = (exchange.bytes_in, exchange.bytes_out);
    let seconds = exchange.timings.total.as_secs_f64();
    put(
        out,
        format_args!(",\"bytes_in\":{bytes_in},\"bytes_out\":{bytes_out}"),
    );
    put(out, format_args!(",\"seconds\":{seconds:.6}"));
    for (key, text) in [
        ("route", &exchange.route.as_deref()),
        ("upstream", &exchange.upstream.as_deref()),
    ] {
        if let Some(text) = text {
            put(out, format_args!(",\"{key}\":"));
            json_text(out, text, style.max_value);
        }
    }
    put(
        out,
        format_args!(",\"verdict\":\"{}\"}}", Outcome::of(exchange).name()),
    );
}

fn wire(out: &mut Vec<u8>, key: &str, value: &[u8], style: &Style) {
    put(out, format_args!(",\"{key}\":"));
    json_bytes(out, value, style.max_value);
}

fn put(out: &mut Vec<u8>, arguments: Arguments<'_>) {
    // Cannot fail: the writer is a vector.
    let _ = out.write_fmt(arguments);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::record::tests::{exchange, logs, with_fields};

    fn line(exchange: &Exchange, format: AccessLogFormat) -> String {
        let mut out = Vec::new();
        write(&mut out, exchange, format, &logs(|_| ()).style);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_combined_line_has_the_customary_fields_first() {
        assert_eq!(
            line(&exchange(), AccessLogFormat::Combined),
            "203.0.113.7 - - [29/Feb/2000:00:00:00 +0000] \"GET /a?b=c HTTP/1.1\" 200 0 \"-\" \
             \"test\" 0.000000 00000000000000000000000000000abc \"shop\" allowed"
        );
    }

    #[test]
    fn a_value_cannot_end_its_field_or_its_line() {
        let hostile = with_fields(&[(b"User-Agent", b"x\" 200\n1.2.3.4 - - \\\xe4")]);
        let line = line(&hostile, AccessLogFormat::Combined);
        assert!(
            line.contains(r#""x\" 200\x0a1.2.3.4 - - \\\xe4" 0.0"#),
            "{line}"
        );
    }

    #[test]
    fn bytes_that_are_no_head_still_leave_a_line() {
        let mut exchange = exchange();
        exchange.head = None;
        exchange.response_status = None;
        let shown = line(&exchange, AccessLogFormat::Combined);
        assert!(shown.contains("\"\" 000 0 \"-\" \"-\""), "{shown}");
        serde_json::from_str::<serde_json::Value>(&line(&exchange, AccessLogFormat::Json)).unwrap();
    }

    #[test]
    fn a_json_line_has_the_same_values() {
        let shown: serde_json::Value =
            serde_json::from_str(&line(&exchange(), AccessLogFormat::Json)).unwrap();
        assert_eq!(
            shown,
            json!({"time": "2000-02-29T00:00:00.000001Z", "client": "203.0.113.7",
                "request_id": "00000000000000000000000000000abc", "method": "GET",
                "target": "/a?b=c", "protocol": "HTTP/1.1", "host": "shop.example",
                "user_agent": "test", "status": 200, "bytes_in": 0, "bytes_out": 0,
                "seconds": 0.0, "route": "shop", "verdict": "allowed"})
        );
    }
}
