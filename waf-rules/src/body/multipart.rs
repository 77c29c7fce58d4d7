//! `multipart/form-data` bodies (RFC 7578, RFC 2046 section 5.1), with the strictness of ModSecurity v3.
//!
//! Backends disagree on every irregular body, so it never guesses which of them is right: the
//! irregularity sets a flag or is an error, and *all* readings that fit into the result are kept there:
//! each of several file names (GHSA-3wr7-993q-jrff, GHSA-5pww-8rfg-9crf), a part with an empty file name
//! both as field and as file, the content of parts whose head is broken. Contents are slices of the
//! body, never copies. Transfer encodings and nested multiparts are not decoded: RFC 7578 deprecates
//! them, and rules see `Content-Transfer-Encoding` in the part headers.

use std::borrow::Cow;
use std::ops::Range;

use super::BodyError;

mod content_type;
mod disposition;
mod reader;

/// What bounds the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Fields and files together; one more is an error: `SecArgumentsLimit`.
    pub(crate) parts: usize,
    /// Files; one more sets [`Flags::file_limit_exceeded`]: `SecUploadFileLimit`.
    pub(crate) files: usize,
    /// Header lines of one part; one more is an error and counts as content.
    pub(crate) part_headers: usize,
    /// The engine cut the body at its inspection limit: a missing end is no error.
    pub(crate) partial: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            parts: 1000,
            files: 100,
            part_headers: 16,
            partial: false,
        }
    }
}

/// A body in its parts. Values and names borrow from it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Multipart<'a> {
    /// Parts without a file name, or with an empty one, in wire order: `ARGS_POST`.
    pub(crate) fields: Vec<Field<'a>>,
    /// Parts with a file name, be it empty: `FILES`.
    pub(crate) files: Vec<File<'a>>,
    /// `MULTIPART_PART_HEADERS`: every header line of every part.
    pub(crate) part_headers: Vec<PartHeader<'a>>,
    /// The strictness flags.
    pub(crate) flags: Flags,
    /// The first thing that was wrong. Reading goes on behind it where that is possible, so that its
    /// content is inspected even by rules that do not look at `REQBODY_ERROR`.
    pub(crate) error: Option<BodyError>,
}

/// A part without a file name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    /// The `name` parameter, unescaped; empty if there is none.
    pub(crate) name: Cow<'a, [u8]>,
    /// The content, byte for byte.
    pub(crate) value: &'a [u8],
}

/// A part with a file name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File<'a> {
    /// The `name` parameter, unescaped; empty if there is none.
    pub(crate) name: Cow<'a, [u8]>,
    /// Every file name the part carries, in wire order; never empty.
    pub(crate) file_names: Vec<FileName<'a>>,
    /// Where the content stands in the body; its length is the size.
    pub(crate) content: Range<usize>,
}

/// One `filename`, `filename*` or `filename*N` parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileName<'a> {
    /// The name, unescaped or percent-decoded.
    pub(crate) value: Cow<'a, [u8]>,
    /// Charset of a `filename*`.
    pub(crate) charset: Option<Cow<'a, [u8]>>,
    /// Language of a `filename*`.
    pub(crate) language: Option<Cow<'a, [u8]>>,
}

/// One header line of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartHeader<'a> {
    /// The part's name: the key.
    pub(crate) part: Cow<'a, [u8]>,
    /// The whole line without its break, folds joined: the value.
    pub(crate) line: Cow<'a, [u8]>,
}

/// The `MULTIPART_*` variables; each field has the name of its variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Flags {
    /// DB: something before the first boundary.
    pub(crate) data_before: bool,
    /// DA: something after the last boundary.
    pub(crate) data_after: bool,
    /// BQ: the boundary parameter is quoted.
    pub(crate) boundary_quoted: bool,
    /// BW: blanks around the boundary parameter.
    pub(crate) boundary_whitespace: bool,
    /// HF: a folded part header.
    pub(crate) header_folding: bool,
    /// LF: a boundary or header line ended by a bare line feed.
    pub(crate) lf_line: bool,
    /// SM: no `;` before a parameter of the Content-Type.
    pub(crate) missing_semicolon: bool,
    /// IQ: single quotes around or in a value.
    pub(crate) invalid_quoting: bool,
    /// IP: a part without a name.
    pub(crate) invalid_part: bool,
    /// IH: a header folded with something other than a space or a tab.
    pub(crate) invalid_header_folding: bool,
    /// FL: more files than allowed.
    pub(crate) file_limit_exceeded: bool,
    /// DH: a part with two headers of one name.
    pub(crate) duplicate_part_header: bool,
    /// The boundary parameter is missing or cannot be relied on.
    pub(crate) boundary_invalid: bool,
    /// Both kinds of line ends.
    pub(crate) crlf_lf_lines: bool,
    /// Lines that begin with `--` and are no boundary: 1 if the last boundary is missing too, 2 if not.
    pub(crate) unmatched_boundary: u8,
}

impl Flags {
    /// `MULTIPART_STRICT_ERROR`: any flag, or a boundary that is none, but `CRLF_LF_LINES` and `UNMATCHED_BOUNDARY`.
    pub(crate) const fn strict_error(self) -> bool {
        self.boundary_invalid
            || self.data_before
            || self.data_after
            || self.boundary_quoted
            || self.boundary_whitespace
            || self.header_folding
            || self.lf_line
            || self.missing_semicolon
            || self.invalid_quoting
            || self.invalid_part
            || self.invalid_header_folding
            || self.file_limit_exceeded
            || self.duplicate_part_header
    }
}

/// Reads a body. `content_type` is the value of the request's Content-Type header.
pub(crate) fn parse<'a>(content_type: &[u8], body: &'a [u8], limits: Limits) -> Multipart<'a> {
    let mut flags = Flags::default();
    match content_type::boundary(content_type, &mut flags) {
        Ok(boundary) => reader::read(boundary, body, limits, flags),
        // Unreadable as parts, so the whole of it is one value.
        Err(reason) => Multipart {
            fields: vec![Field {
                name: Cow::Borrowed(b""),
                value: body,
            }],
            flags: Flags {
                boundary_invalid: true,
                ..flags
            },
            error: Some(BodyError::new(0, reason)),
            ..Multipart::default()
        },
    }
}

#[cfg(test)]
mod tests;
