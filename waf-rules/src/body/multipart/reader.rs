//! Walks a body from boundary to boundary.
//!
//! A line is a boundary only if it is exactly `--boundary` or `--boundary--`; padding behind it, which
//! RFC 2046 allows and backends treat differently, is an error. Every byte is looked at a bounded
//! number of times.

use std::borrow::Cow;
use std::ops::Range;

use memchr::{memchr, memmem};

use super::content_type::is_token;
use super::disposition::{self, Disposition};
use super::{BodyError, Field, File, Flags, Limits, Multipart, PartHeader};

/// Longest header line of a part; what stands behind it names nothing.
const MAX_HEADER_LINE: usize = 4096;

/// Reads all parts of `body`.
pub(super) fn read<'a>(
    boundary: &[u8],
    body: &'a [u8],
    limits: Limits,
    flags: Flags,
) -> Multipart<'a> {
    let mut reader = Reader {
        boundary,
        body,
        limits,
        result: Multipart {
            flags,
            ..Multipart::default()
        },
        crlf: false,
        unmatched: false,
    };
    let complete = body.is_empty() || reader.parts();
    let Reader {
        mut result,
        crlf,
        unmatched,
        ..
    } = reader;
    result.flags.crlf_lf_lines = crlf && result.flags.lf_line;
    result.flags.unmatched_boundary = match (unmatched, complete || limits.partial) {
        (false, _) => 0,
        (true, true) => 2,
        (true, false) => 1,
    };
    result
}

struct Reader<'a, 'b> {
    boundary: &'b [u8],
    body: &'a [u8],
    limits: Limits,
    result: Multipart<'a>,
    /// A line ended with CR LF.
    crlf: bool,
    /// A line began with `--` and was no boundary.
    unmatched: bool,
}

/// A boundary line.
#[derive(Clone, Copy)]
struct Delimiter {
    start: usize,
    /// Where the next line starts.
    next: usize,
    last: bool,
}

/// The head of a part.
#[derive(Default)]
struct PartHead<'a> {
    lines: Vec<Cow<'a, [u8]>>,
    /// A boundary stands where the empty line should.
    cut_by: Option<Delimiter>,
    /// The body ended before the empty line.
    ended: bool,
}

impl<'a> Reader<'a, '_> {
    /// True if the last boundary was found.
    fn parts(&mut self) -> bool {
        let Some(mut delimiter) = self.next_delimiter(0) else {
            self.ended("Multipart: No boundaries found in payload");
            self.field(Cow::Borrowed(b""), 0..self.body.len());
            return false;
        };
        let preamble = self.body.get(..delimiter.start).unwrap_or_default();
        self.result.flags.data_before = !matches!(preamble, b"" | b"\r\n");
        while !delimiter.last {
            if delimiter.next == self.body.len() {
                self.ended("Multipart: Final boundary missing");
                return false;
            }
            if self.result.fields.len() + self.result.files.len() >= self.limits.parts {
                self.fail(delimiter.start, "Multipart: too many parts");
                return false;
            }
            let (head, content) = self.head(delimiter.next);
            let end = head.cut_by.or_else(|| self.next_delimiter(content));
            let content = match end {
                Some(end) => content..self.content_end(content, end.start),
                None => content..self.body.len(),
            };
            self.part(head, delimiter.start, content);
            let Some(end) = end else {
                self.ended("Multipart: Final boundary missing");
                return false;
            };
            delimiter = end;
        }
        let epilogue = self.body.get(delimiter.next..).unwrap_or_default();
        self.result.flags.data_after = !matches!(epilogue, b"" | b"\r\n");
        true
    }

    /// The first boundary line at or after `from`, which is the start of a line.
    fn next_delimiter(&mut self, from: usize) -> Option<Delimiter> {
        if let Some(found) = self.delimiter_at(from) {
            return Some(found);
        }
        let body = self.body;
        let rest = body.get(from..)?;
        memmem::find_iter(rest, b"\n--").find_map(|at| self.delimiter_at(from + at + 1))
    }

    /// The boundary line that starts at `start`, if there is one; notes what only looks like it.
    fn delimiter_at(&mut self, start: usize) -> Option<Delimiter> {
        let line = self.body.get(start..)?.strip_prefix(b"--")?;
        let Some(after) = line.strip_prefix(self.boundary) else {
            if self.limits.partial && self.boundary.starts_with(line) {
                return None;
            }
            self.unmatched = true;
            let dressed = line.iter().take_while(|byte| is_dressing(**byte)).count();
            if dressed > 0 && line.get(dressed..)?.starts_with(self.boundary) {
                self.fail(
                    start,
                    "Multipart: Invalid boundary (blanks or quotes before it)",
                );
            }
            return None;
        };
        let (last, after) = match after.strip_prefix(b"--") {
            Some(after) => (true, after),
            None => (false, after),
        };
        let line_break = match after {
            [] => 0,
            [b'\n', ..] => {
                self.result.flags.lf_line = true;
                1
            }
            [b'\r', b'\n', ..] => {
                self.crlf = true;
                2
            }
            b"\r" if last => 1,
            // The body was cut inside this very line, which the missing end will tell.
            b"-" | b"\r" => return None,
            _ => {
                self.unmatched = true;
                self.fail(start, "Multipart: Invalid boundary (junk behind it)");
                return None;
            }
        };
        Some(Delimiter {
            start,
            next: self.body.len() - after.len() + line_break,
            last,
        })
    }

    /// Where content that started at `start` ends: before the line break that belongs to the boundary.
    fn content_end(&mut self, start: usize, boundary: usize) -> usize {
        match self.body.get(start..boundary) {
            Some([.., b'\r', b'\n']) => boundary - 2,
            Some([.., b'\n']) => {
                self.result.flags.lf_line = true;
                boundary - 1
            }
            _ => boundary,
        }
    }

    /// Reads the header lines from `at` on; gives them and the start of the content.
    fn head(&mut self, mut at: usize) -> (PartHead<'a>, usize) {
        let mut head = PartHead::default();
        loop {
            let rest = self.body.get(at..).unwrap_or_default();
            if rest.starts_with(b"--") {
                head.cut_by = self.delimiter_at(at);
                if head.cut_by.is_some() {
                    self.fail(at, "Multipart: part has no empty line");
                    return (head, at);
                }
            }
            let Some(length) = memchr(b'\n', rest) else {
                self.ended("Multipart: part has no empty line");
                head.ended = true;
                return (head, at);
            };
            let line = rest.get(..length).unwrap_or_default();
            let (line, is_crlf) = match line.strip_suffix(b"\r") {
                Some(line) => (line, true),
                None => (line, false),
            };
            self.crlf |= is_crlf;
            self.result.flags.lf_line |= !is_crlf;
            if line.is_empty() {
                return (head, at + length + 1);
            }
            if !self.header_line(&mut head.lines, line, at) {
                return (head, at);
            }
            at += length + 1;
        }
    }

    /// Takes one header line; false if it cannot be one and so must be content.
    fn header_line(&mut self, lines: &mut Vec<Cow<'a, [u8]>>, line: &'a [u8], at: usize) -> bool {
        let is_control = |byte: &u8| matches!(byte, 0..=8 | 10..=0x1f | 0x7f);
        if line.iter().any(is_control) {
            let reason = "Multipart: Invalid part header (contains invalid character)";
            self.fail(at, reason);
        }
        if let [first @ (b' ' | b'\t'..=b'\r'), ..] = line {
            self.result.flags.header_folding = true;
            self.result.flags.invalid_header_folding |= !matches!(first, b' ' | b'\t');
            let Some(last) = lines.last_mut() else {
                self.fail(at, "Multipart: Invalid part header (folding error)");
                return false;
            };
            last.to_mut().extend_from_slice(line);
            if last.len() > MAX_HEADER_LINE {
                self.fail(at, "Multipart: part header is too long");
            }
            return true;
        }
        if lines.len() >= self.limits.part_headers {
            self.fail(at, "Multipart: too many part headers");
            return false;
        }
        let Some(name) = header_name(line) else {
            self.fail(at, "Multipart: Invalid part header (colon missing)");
            return false;
        };
        if name.is_empty() {
            self.fail(at, "Multipart: Invalid part header (header name missing)");
        }
        if !name.iter().copied().all(is_token) {
            self.fail(
                at,
                "Multipart: Invalid part header (contains invalid character)",
            );
        }
        if line.len() > MAX_HEADER_LINE {
            self.fail(at, "Multipart: part header is too long");
        }
        let twin = |other: &Cow<'_, [u8]>| {
            header_name(other)
                .is_some_and(|other| other.trim_ascii().eq_ignore_ascii_case(name.trim_ascii()))
        };
        if lines.iter().any(twin) {
            self.result.flags.duplicate_part_header = true;
            self.fail(at, "Multipart: Duplicate part header");
        }
        lines.push(Cow::Borrowed(line));
        true
    }

    /// Files one part under all the names it gave itself.
    fn part(&mut self, head: PartHead<'a>, at: usize, content: Range<usize>) {
        let mut name = None;
        let mut file_names = Vec::new();
        // A part without any disposition is a field too.
        let mut is_field = true;
        let mut seen = false;
        for line in &head.lines {
            let Some(disposition) = content_disposition(line) else {
                continue;
            };
            self.result.flags.invalid_quoting |= disposition.invalid_quoting;
            if let Some(reason) = disposition.error {
                self.fail(at, reason);
            }
            // A browser sends an empty name for a file not chosen; PHP and others take it for a field.
            let file_names_here = &disposition.file_names;
            let names_no_file = file_names_here.is_empty()
                || file_names_here.iter().any(|file| file.value.is_empty());
            is_field = names_no_file || (is_field && seen);
            seen = true;
            name = name.or(disposition.name);
            file_names.extend(disposition.file_names);
        }
        if !head.ended && !seen {
            self.fail(at, "Multipart: Part missing Content-Disposition header");
        } else if !head.ended && name.is_none() {
            self.fail(
                at,
                "Multipart: Content-Disposition header missing name field",
            );
        }
        let name = name.unwrap_or_default();
        self.result.flags.invalid_part |= name.is_empty() && !head.ended;
        for line in head.lines {
            self.result.part_headers.push(PartHeader {
                part: name.clone(),
                line,
            });
        }
        if !file_names.is_empty() {
            self.result.flags.file_limit_exceeded |= self.result.files.len() >= self.limits.files;
            self.result.files.push(File {
                name: name.clone(),
                file_names,
                content: content.clone(),
            });
        }
        if is_field {
            self.field(name, content);
        }
    }

    fn field(&mut self, name: Cow<'a, [u8]>, content: Range<usize>) {
        let value = self.body.get(content).unwrap_or_default();
        self.result.fields.push(Field { name, value });
    }

    fn fail(&mut self, offset: usize, reason: &'static str) {
        let error = BodyError::new(offset, reason);
        self.result.error.get_or_insert(error);
    }

    fn ended(&mut self, reason: &'static str) {
        if !self.limits.partial {
            let error = BodyError::end(self.body.len(), reason);
            self.result.error.get_or_insert(error);
        }
    }
}

/// The disposition in a header line, if it is one.
fn content_disposition<'a>(line: &Cow<'a, [u8]>) -> Option<Disposition<'a>> {
    let name = header_name(line)?;
    if !name
        .trim_ascii()
        .eq_ignore_ascii_case(b"content-disposition")
    {
        return None;
    }
    let value = name.len() + 1..line.len().min(MAX_HEADER_LINE);
    Some(match line {
        Cow::Borrowed(line) => disposition::parse(line.get(value).unwrap_or_default()),
        Cow::Owned(line) => disposition::parse(line.get(value).unwrap_or_default()).into_owned(),
    })
}

fn header_name(line: &[u8]) -> Option<&[u8]> {
    line.get(..memchr(b':', line)?)
}

const fn is_dressing(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r' | b'"' | b'\'')
}
