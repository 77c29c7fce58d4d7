//! From a case's description to the bytes the reference runner (go-ftw) would send.
//!
//! Its rules, where they are not obvious: header fields go out sorted by name; `Content-Type`,
//! `Connection: close` and `Content-Length` are added unless the case forbids it or has its own; an
//! urlencoded body that holds neither `%` nor `+` is form-escaped piece by piece; every line end of a
//! `multipart/form-data;` body becomes CRLF; `{{ "x" | repeat 9 }}` in a body is expanded.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::suite::Input;

/// Ties a record to its case: every request but the ready-made ones carries it.
pub(crate) const NAME_HEADER: &str = "X-CRS-Test";

const FORM: &str = "application/x-www-form-urlencoded";

/// The bytes of a request. `name` becomes the value of [`NAME_HEADER`].
pub(crate) fn build(input: &Input, name: &str) -> Vec<u8> {
    if let Some(encoded) = &input.encoded_request {
        let encoded: String = encoded.split_whitespace().collect();
        return STANDARD
            .decode(encoded)
            .expect("ready-made requests are base64");
    }
    let complete = input.autocomplete_headers.unwrap_or(true);
    let method = input.method.as_deref().unwrap_or("GET");
    let mut headers = Headers(
        input
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    );
    let body = body_of(input, complete, &mut headers);
    if complete {
        headers.add_missing("Connection", "close");
        if !body.is_empty() || carries_body(method) {
            headers.add_missing("Content-Length", &body.len().to_string());
        }
    }
    headers.0.push((NAME_HEADER.to_owned(), name.to_owned()));

    let uri = input.uri.as_deref().unwrap_or("/");
    let version = input.version.as_deref().unwrap_or("HTTP/1.1");
    let mut bytes = format!("{method} {uri} {version}\r\n").into_bytes();
    for (name, value) in &headers.0 {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(&body);
    bytes
}

fn body_of(input: &Input, complete: bool, headers: &mut Headers) -> Vec<u8> {
    let mut body = input
        .data
        .as_deref()
        .and_then(expand_template)
        .unwrap_or_default()
        .into_bytes();
    if !body.is_empty() && complete {
        headers.add_missing("Content-Type", FORM);
        if headers.any("Content-Type", |value| value.eq_ignore_ascii_case(FORM)) {
            body = escape_form(body);
        }
    }
    let multipart = |value: &str| value.to_ascii_lowercase().contains("multipart/form-data;");
    if headers.any("Content-Type", multipart) {
        body = body
            .iter()
            .flat_map(|byte| match byte {
                b'\n' => b"\r\n".to_vec(),
                other => vec![*other],
            })
            .collect();
    }
    body
}

/// The reference's pattern `^POST|PUT|PATCH|DELETE$` is anchored at its outer ends only.
fn carries_body(method: &str) -> bool {
    method.starts_with("POST")
        || method.contains("PUT")
        || method.contains("PATCH")
        || method.ends_with("DELETE")
}

/// Header fields in the order sent.
struct Headers(Vec<(String, String)>);

impl Headers {
    fn add_missing(&mut self, name: &str, value: &str) {
        if !self.any(name, |_| true) {
            self.0.push((name.to_owned(), value.to_owned()));
        }
    }

    fn any(&self, name: &str, question: impl Fn(&str) -> bool) -> bool {
        self.0
            .iter()
            .any(|(key, value)| key.eq_ignore_ascii_case(name) && question(value))
    }
}

/// Escapes names and values of a form, unless something in it is escaped already.
fn escape_form(body: Vec<u8>) -> Vec<u8> {
    if body.contains(&b'%') || body.contains(&b'+') {
        return body;
    }
    // A trailing `&` is where the reference's tokeniser stops: it does not come out again.
    let body = body.strip_suffix(b"&").unwrap_or(&body);
    let mut escaped = Vec::with_capacity(body.len() * 2);
    for (index, pair) in body.split(|byte| *byte == b'&').enumerate() {
        if index > 0 {
            escaped.push(b'&');
        }
        match pair.iter().position(|byte| *byte == b'=') {
            Some(at) => {
                escape(&pair[..at], &mut escaped);
                escaped.push(b'=');
                escape(&pair[at + 1..], &mut escaped);
            }
            None => escape(pair, &mut escaped),
        }
    }
    escaped
}

fn escape(text: &[u8], out: &mut Vec<u8>) {
    for &byte in text {
        match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'_' | b'.' | b'~' => out.push(byte),
            b' ' => out.push(b'+'),
            other => out.extend_from_slice(format!("%{other:02X}").as_bytes()),
        }
    }
}

/// Expands `{{ "text" | repeat N }}`; any other template fails in the reference too, which then sends
/// no body at all.
fn expand_template(data: &str) -> Option<String> {
    let mut expanded = String::new();
    let mut rest = data;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((expression, after)) = after.split_once("}}") else {
            break;
        };
        expanded.push_str(before);
        let (text, count) = expression.split_once('|')?;
        let text: String = serde_json::from_str(text.trim()).ok()?;
        let count = count.trim().strip_prefix("repeat")?.trim();
        expanded.push_str(&text.repeat(count.parse().ok()?));
        rest = after;
    }
    expanded.push_str(rest);
    Some(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(yaml: &str) -> Input {
        serde_norway::from_str(yaml).unwrap()
    }

    fn built(yaml: &str) -> String {
        String::from_utf8(build(&input(yaml), "n")).unwrap()
    }

    #[test]
    fn headers_are_sorted_completed_and_marked() {
        assert_eq!(
            built("{method: POST, uri: /p, headers: {Host: h, Accept: a}, data: 'a=b c&d'}"),
            "POST /p HTTP/1.1\r\nAccept: a\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Connection: close\r\nContent-Length: 7\r\nX-CRS-Test: n\r\n\r\na=b+c&d"
        );
    }

    #[test]
    fn nothing_is_completed_where_the_case_forbids_it() {
        assert_eq!(
            built("{method: POST, autocomplete_headers: false, data: 'a b'}"),
            "POST / HTTP/1.1\r\nX-CRS-Test: n\r\n\r\na b"
        );
    }

    #[test]
    fn an_escaped_form_is_left_alone_and_a_trailing_separator_vanishes() {
        assert!(built("{data: 'a=%20 b&'}").ends_with("\r\n\r\na=%20 b&"));
        assert!(built("{data: 'a=é&'}").ends_with("\r\n\r\na=%C3%A9"));
    }

    #[test]
    fn multipart_lines_end_in_crlf() {
        let request = built(
            "{headers: {Content-Type: 'multipart/form-data; boundary=x'}, data: \"--x\\n\\n1\\n--x--\\n\"}",
        );
        assert!(request.ends_with("\r\n\r\n--x\r\n\r\n1\r\n--x--\r\n"));
    }

    #[test]
    fn templates_repeat_and_unknown_ones_empty_the_body() {
        assert!(built("{data: '{{ \"ab\" | repeat 3 }}!'}").ends_with("\r\n\r\nababab%21"));
        assert!(built("{data: 'x{{ env }}'}").ends_with("X-CRS-Test: n\r\n\r\n"));
    }
}
