//! multipart/form-data
use std::borrow::Cow;
use std::ops::Range;

use super::BodyError;

/// What bounds the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Fields and files together; one more is an error: `SecArgumentsLimit`.
    pub(crate) parts: usize,
    /// Files; one more sets [`Flags::file_limit_exceeded`]: `SecUploadFileLimit`.
    pub(crate) files: usize,
    /// Header lines of one part.
    pub(crate) part_headers: usize,
    /// The engine cut the body at its inspection limit: a missing end is no error.
    pub(crate) partial: bool,
}

/// A body in its parts. Values and names borrow from it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Multipart<'a> {
    /// Parts without a file name, in wire order: `ARGS_POST`.
    pub(crate) fields: Vec<Field<'a>>,
    /// Parts with one.
    pub(crate) files: Vec<File<'a>>,
    /// `MULTIPART_PART_HEADERS`: every header line of every part, without its line break.
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
    /// The `name` parameter, unescaped.
    pub(crate) name: Cow<'a, [u8]>,
    /// The content, byte for byte.
    pub(crate) value: &'a [u8],
}

/// A part with a file name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File<'a> {
    /// The `name` parameter, unescaped.
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
    pub(crate) charset: Option<&'a [u8]>,
    /// Language of a `filename*`.
    pub(crate) language: Option<&'a [u8]>,
}

/// One header line of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartHeader<'a> {
    /// The part's name: the key.
    pub(crate) part: Cow<'a, [u8]>,
    /// The whole line, folds joined: the value.
    pub(crate) line: Cow<'a, [u8]>,
}

/// The `MULTIPART_*` variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a variable of the language"
)]
pub(crate) struct Flags {
    pub(crate) data_before: bool,
    pub(crate) data_after: bool,
    pub(crate) boundary_quoted: bool,
    pub(crate) boundary_whitespace: bool,
    pub(crate) header_folding: bool,
    pub(crate) lf_line: bool,
    pub(crate) missing_semicolon: bool,
    pub(crate) invalid_quoting: bool,
    pub(crate) invalid_part: bool,
    pub(crate) invalid_header_folding: bool,
    pub(crate) file_limit_exceeded: bool,
    pub(crate) duplicate_part_header: bool,
    pub(crate) crlf_lf_lines: bool,
    /// 1: lines that look like a boundary and the end is missing; 2: such lines in a complete body.
    pub(crate) unmatched_boundary: u8,
}

/// Reads a body.
pub(crate) fn parse<'a>(_content_type: &[u8], _body: &'a [u8], _limits: Limits) -> Multipart<'a> {
    Multipart::default()
}
