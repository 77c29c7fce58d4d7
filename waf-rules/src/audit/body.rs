//! The bodies as an entry shows them: hidden values hidden, cut, on one line.
//!
//! Form bodies, JSON and multipart are taken apart by their bytes, not by a parser: also a body that
//! is cut or malformed loses the values of hidden names. Any other body in which a hidden name stands
//! is left out whole.

use super::escape::cut;
use super::redact::{Hide, MARKER};
use super::trail::{BODY, Trail};
use crate::engine::{Processor, State};
use crate::variables::Variable;

/// The body for part C.
pub(super) fn shown(state: &State, trail: &Trail, hide: &Hide<'_>) -> Vec<u8> {
    let body = &trail.body;
    let shown = match state.processor {
        Some(Processor::UrlEncoded) => hide.pairs(body).into_owned(),
        Some(Processor::Json) => json(body, hide),
        Some(Processor::Multipart) => multipart(body, hide),
        _ if hide.may_hold_argument(body) => MARKER.to_vec(),
        _ => body.clone(),
    };
    let mut shown = hide.scrubbed(&shown).into_owned();
    if trail.body_length > body.len() {
        let omitted = trail.body_length - body.len();
        shown.extend_from_slice(format!(" ({omitted} characters omitted)").as_bytes());
    }
    shown
}

/// The body for part I: without the contents of files.
pub(super) fn without_files(state: &State, trail: &Trail, hide: &Hide<'_>) -> Vec<u8> {
    if state.processor != Some(Processor::Multipart) {
        return shown(state, trail, hide);
    }
    let mut out = Vec::new();
    for (_, value) in state.values.of(Variable::ArgsPost) {
        let (name, value) = (state.arena.get(value.name), state.arena.get(value.value));
        if out.len() > BODY {
            break;
        }
        if !out.is_empty() {
            out.push(b'&');
        }
        encode(&mut out, name);
        out.push(b'=');
        if hide.hides_argument(name) {
            out.extend_from_slice(MARKER);
        } else {
            encode(&mut out, &hide.scrubbed(value));
        }
    }
    out
}

/// The response body for part E, and the note about the rest.
pub(super) fn response(state: &State, hide: &Hide<'_>) -> (Vec<u8>, String) {
    let body = state.values.of(Variable::ResponseBody).next();
    let body = body.map_or(&b""[..], |(_, value)| state.arena.get(value.value));
    let start = body.get(..BODY).unwrap_or(body);
    let shown = hide
        .scrubbed(&without_members(state, start, hide))
        .into_owned();
    let (shown, _) = cut(&shown, BODY);
    let rest = match body.len() - start.len() {
        0 => String::new(),
        omitted => format!(" ({omitted} characters omitted)"),
    };
    (shown.to_vec(), rest)
}

/// The start of a response body without the values of hidden members, whatever its type says: pages
/// hold JSON, too. XML in which a hidden name stands is left out whole.
pub(super) fn without_members(state: &State, body: &[u8], hide: &Hide<'_>) -> Vec<u8> {
    match state.response_processor {
        Some(Processor::Xml) if hide.may_hold_argument(body) => MARKER.to_vec(),
        Some(Processor::Xml) => body.to_vec(),
        _ => json(body, hide),
    }
}

/// Part J: one line a file, `index,size,"name","field"`, and the sum of the sizes.
pub(super) fn files(state: &State, mut line: impl FnMut(usize, &[u8], &[u8], &[u8])) {
    let sizes = state.values.of(Variable::FilesSizes);
    let files = state.values.of(Variable::Files);
    for (index, ((_, file), (_, size))) in files.zip(sizes).enumerate().take(FILES) {
        line(
            index + 1,
            state.arena.get(size.value),
            state.arena.get(file.value),
            state.arena.get(file.name),
        );
    }
}

fn encode(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~[]:/@!$'()*,".contains(byte) {
            out.push(*byte);
        } else {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
}

/// JSON text in which the value behind each hidden key is replaced, whatever it is.
fn json(body: &[u8], hide: &Hide<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut at = 0;
    while let Some(byte) = body.get(at) {
        if *byte != b'"' {
            out.push(*byte);
            at += 1;
            continue;
        }
        let end = string_end(body, at);
        let string = body.get(at..end).unwrap_or_default();
        out.extend_from_slice(string);
        at = end;
        let colon = at + blanks(body, at);
        if body.get(colon) == Some(&b':') && hide.hides_argument(&unescaped(string)) {
            let start = colon + 1 + blanks(body, colon + 1);
            out.extend_from_slice(body.get(at..start).unwrap_or_default());
            out.push(b'"');
            out.extend_from_slice(MARKER);
            out.push(b'"');
            at = value_end(body, start);
        }
    }
    out
}

fn blanks(body: &[u8], at: usize) -> usize {
    let rest = body.get(at..).unwrap_or_default();
    rest.iter()
        .take_while(|byte| byte.is_ascii_whitespace())
        .count()
}

/// Where the string that begins at `at` has ended.
fn string_end(body: &[u8], at: usize) -> usize {
    let mut end = at + 1;
    while let Some(byte) = body.get(end) {
        match byte {
            b'"' => return end + 1,
            b'\\' => end += 2,
            _ => end += 1,
        }
    }
    body.len()
}

/// Where the value that begins at `at` has ended: a string, a number or word, a whole list or object.
fn value_end(body: &[u8], at: usize) -> usize {
    let (mut end, mut depth) = (at, 0_usize);
    while let Some(byte) = body.get(end) {
        match byte {
            b'"' => end = string_end(body, end) - 1,
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => return end,
            b'}' | b']' => depth -= 1,
            b',' if depth == 0 => return end,
            _ => {}
        }
        end += 1;
        let closed = matches!(byte, b'"' | b'}' | b']');
        if closed && depth == 0 {
            return end;
        }
    }
    body.len()
}

/// A JSON string without quotes, its `\u00HH` of ASCII undone: enough to know a name.
fn unescaped(string: &[u8]) -> Vec<u8> {
    let string = string.strip_prefix(b"\"").unwrap_or(string);
    let string = string.strip_suffix(b"\"").unwrap_or(string);
    let (mut out, mut rest) = (Vec::with_capacity(string.len()), string);
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        let code = tail
            .strip_prefix(b"u")
            .and_then(|digits| std::str::from_utf8(digits.get(..4)?).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (first, code) {
            (b'\\', Some(byte)) => {
                out.push(byte);
                rest = tail.get(5..).unwrap_or_default();
            }
            (b'\\', None) => {}
            _ => out.push(*first),
        }
    }
    out
}

/// A multipart body without the contents of parts with a hidden name.
fn multipart(body: &[u8], hide: &Hide<'_>) -> Vec<u8> {
    let boundary = body.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let boundary = boundary.trim_ascii_end();
    let (mut out, mut in_head, mut hidden) = (Vec::with_capacity(body.len()), false, false);
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        let text = line.trim_ascii_end();
        if !boundary.is_empty() && text.starts_with(boundary) {
            (in_head, hidden) = (true, false);
        } else if in_head && text.is_empty() {
            in_head = false;
            if hidden {
                out.extend_from_slice(line);
                out.extend_from_slice(MARKER);
                out.extend_from_slice(b"\r\n");
                continue;
            }
        } else if in_head {
            hidden |= hide.may_hold_argument(text);
        } else if hidden {
            continue;
        }
        out.extend_from_slice(line);
    }
    out
}

/// Most files that part J lists.
const FILES: usize = 1000;
