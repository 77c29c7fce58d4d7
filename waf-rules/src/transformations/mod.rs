//! Transformations: byte string in, byte string out, one file a name (or a tight family).
//!
//! Semantics are those of libmodsecurity 3 unless the file says otherwise. A transformation never
//! fails, never allocates beyond `out`, and its output is bounded by a small multiple of its input.

use crate::byteset::ByteSet;

/// One `t:` step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Transformation {
    Base64Decode,
    Base64DecodeExt,
    Base64Encode,
    CmdLine,
    CompressWhitespace,
    CssDecode,
    EscapeSeqDecode,
    HexDecode,
    HexEncode,
    HtmlEntityDecode,
    JsDecode,
    Length,
    Lowercase,
    Md5,
    NormalizePath,
    NormalizePathWin,
    ParityEven7bit,
    ParityOdd7bit,
    ParityZero7bit,
    RemoveComments,
    RemoveCommentsChar,
    RemoveNulls,
    RemoveWhitespace,
    ReplaceComments,
    ReplaceNulls,
    Sha1,
    SqlHexDecode,
    Trim,
    TrimLeft,
    TrimRight,
    Uppercase,
    UrlDecode,
    UrlDecodeUni,
    UrlEncode,
    Utf8ToUnicode,
}

impl Transformation {
    /// The transformation called `name`, whatever its letters' case; aliases included.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        TABLE
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, transformation)| *transformation)
    }

    /// The name as ModSecurity prints it.
    pub(crate) fn name(self) -> &'static str {
        TABLE
            .iter()
            .find(|(_, transformation)| *transformation == self)
            .map_or("", |(name, _)| *name)
    }

    /// Clears `out`, fills it with the transformed `input`, and says whether the two differ.
    pub(crate) fn apply(self, input: &[u8], out: &mut Vec<u8>) -> bool {
        out.clear();
        out.extend_from_slice(input);
        out.as_slice() != input
    }

    /// An input without any of these bytes is left exactly as it is.
    ///
    /// `ByteSet::ALL` means that nothing can be said, not even about the empty input:
    /// ask [`Transformation::leaves_alone`] rather than intersecting.
    pub(crate) fn triggers(self) -> ByteSet {
        ByteSet::ALL
    }

    /// True if a value made only of the bytes in `present` is certain to come out unchanged.
    pub(crate) fn leaves_alone(self, present: ByteSet) -> bool {
        let triggers = self.triggers();
        triggers != ByteSet::ALL && !triggers.intersects(present)
    }
}

/// Every name; the first one of a transformation is the one it is printed with.
const TABLE: &[(&str, Transformation)] = &[
    ("base64Decode", Transformation::Base64Decode),
    ("base64DecodeExt", Transformation::Base64DecodeExt),
    ("base64Encode", Transformation::Base64Encode),
    ("cmdLine", Transformation::CmdLine),
    ("compressWhitespace", Transformation::CompressWhitespace),
    ("cssDecode", Transformation::CssDecode),
    ("escapeSeqDecode", Transformation::EscapeSeqDecode),
    ("hexDecode", Transformation::HexDecode),
    ("hexEncode", Transformation::HexEncode),
    ("htmlEntityDecode", Transformation::HtmlEntityDecode),
    ("jsDecode", Transformation::JsDecode),
    ("length", Transformation::Length),
    ("lowercase", Transformation::Lowercase),
    ("md5", Transformation::Md5),
    ("normalizePath", Transformation::NormalizePath),
    ("normalisePath", Transformation::NormalizePath),
    ("normalizePathWin", Transformation::NormalizePathWin),
    ("normalisePathWin", Transformation::NormalizePathWin),
    ("parityEven7bit", Transformation::ParityEven7bit),
    ("parityOdd7bit", Transformation::ParityOdd7bit),
    ("parityZero7bit", Transformation::ParityZero7bit),
    ("removeComments", Transformation::RemoveComments),
    ("removeCommentsChar", Transformation::RemoveCommentsChar),
    ("removeNulls", Transformation::RemoveNulls),
    ("removeWhitespace", Transformation::RemoveWhitespace),
    ("replaceComments", Transformation::ReplaceComments),
    ("replaceNulls", Transformation::ReplaceNulls),
    ("sha1", Transformation::Sha1),
    ("sqlHexDecode", Transformation::SqlHexDecode),
    ("trim", Transformation::Trim),
    ("trimLeft", Transformation::TrimLeft),
    ("trimRight", Transformation::TrimRight),
    ("uppercase", Transformation::Uppercase),
    ("urlDecode", Transformation::UrlDecode),
    ("urlDecodeUni", Transformation::UrlDecodeUni),
    ("urlEncode", Transformation::UrlEncode),
    ("utf8toUnicode", Transformation::Utf8ToUnicode),
];
