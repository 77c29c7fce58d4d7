//! An entry in ModSecurity's Native form: sections between boundaries, one letter a part.

use std::io::Write;

use super::body;
use super::entry::Page;
use super::escape::{plain, quoted};
use crate::variables::Variable;

/// Appends the entry, with its last line end.
pub(super) fn write(page: &Page<'_>, boundary: &str, out: &mut Vec<u8>) {
    let mut sheet = Sheet { boundary, out };
    sheet.open(b'A');
    heading(page, sheet.out);
    for part in b'B'..=b'K' {
        if page.trail.parts.has(part) && !is_empty(page, part) {
            sheet.open(part);
            section(page, part, sheet.out);
            sheet.out.push(b'\n');
        }
    }
    sheet.open(b'Z');
    sheet.out.push(b'\n');
}

struct Sheet<'o> {
    boundary: &'o str,
    out: &'o mut Vec<u8>,
}

impl Sheet<'_> {
    fn open(&mut self, part: u8) {
        let part = char::from(part);
        // Cannot fail: the writer is a vector.
        let _ = writeln!(self.out, "---{}---{part}--", self.boundary);
    }
}

/// `[time] unique-id client port server port`
fn heading(page: &Page<'_>, out: &mut Vec<u8>) {
    let _ = write!(out, "[{}]", page.stamp.common());
    for variable in [
        Variable::UniqueId,
        Variable::RemoteAddr,
        Variable::RemotePort,
        Variable::ServerAddr,
        Variable::ServerPort,
    ] {
        out.push(b' ');
        plain(out, page.value(variable));
    }
    out.push(b'\n');
}

/// Parts that ModSecurity leaves out where there is nothing to show.
fn is_empty(page: &Page<'_>, part: u8) -> bool {
    match part {
        b'C' => page.trail.body.is_empty(),
        b'E' => page.value(Variable::ResponseBody).is_empty(),
        _ => false,
    }
}

fn section(page: &Page<'_>, part: u8, out: &mut Vec<u8>) {
    match part {
        b'B' => request(page, out),
        b'C' => line(out, &body::shown(page.state, page.trail, &page.hide)),
        b'E' => response_body(page, out),
        b'F' => response(page, out),
        b'H' => messages(page, out),
        b'I' if !page.trail.body.is_empty() => {
            line(
                out,
                &body::without_files(page.state, page.trail, &page.hide),
            );
        }
        b'J' => files(page, out),
        // D and G are reserved; ModSecurity 3 writes nothing under K.
        _ => {}
    }
}

fn line(out: &mut Vec<u8>, bytes: &[u8]) {
    plain(out, bytes);
    out.push(b'\n');
}

fn request(page: &Page<'_>, out: &mut Vec<u8>) {
    plain(out, page.value(Variable::RequestMethod));
    out.push(b' ');
    plain(out, &page.hide.target(page.value(Variable::RequestUriRaw)));
    out.push(b' ');
    line(out, page.value(Variable::RequestProtocol));
    for (name, value) in page.request_headers() {
        header(out, name, &page.hide.request_header(name, value));
    }
}

fn response(page: &Page<'_>, out: &mut Vec<u8>) {
    let _ = writeln!(out, "HTTP/1.1 {}", page.status());
    page.response_headers(&mut |name, value| {
        header(out, name, &page.hide.response_header(name, value));
    });
}

fn header(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    plain(out, name);
    out.extend_from_slice(b": ");
    line(out, value);
}

fn response_body(page: &Page<'_>, out: &mut Vec<u8>) {
    let (body, rest) = body::response(page.state, &page.hide);
    plain(out, &body);
    line(out, rest.as_bytes());
}

fn messages(page: &Page<'_>, out: &mut Vec<u8>) {
    for message in page.messages() {
        message.write(page, out);
        out.push(b'\n');
    }
    if page.trail.omitted > 0 {
        let _ = writeln!(out, "ModSecurity: {} messages omitted.", page.trail.omitted);
    }
}

fn files(page: &Page<'_>, out: &mut Vec<u8>) {
    let (mut count, mut total) = (0, 0_u64);
    body::files(page.state, |index, size, file, field| {
        count = index;
        let text = std::str::from_utf8(size).unwrap_or_default();
        total = total.saturating_add(text.parse().unwrap_or(0));
        let _ = write!(out, "{index},{text},\"");
        quoted(out, file);
        out.extend_from_slice(b"\",\"");
        quoted(out, field);
        out.extend_from_slice(b"\"\n");
    });
    if count > 0 {
        let _ = writeln!(out, "Total,{total}");
    }
}
