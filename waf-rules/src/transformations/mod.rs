//! Transformations: byte string in, byte string out, one file a name (or a tight family).
//!
//! Semantics are those of libmodsecurity 3 unless the file says otherwise. A transformation never
//! fails, never allocates beyond `out`, and its output is bounded by a small multiple of its input.

mod base64;
mod case;
mod cmd_line;
mod comments;
mod css_decode;
mod digest;
mod escape_seq_decode;
mod hex;
mod html_entity_decode;
mod js_decode;
mod length;
mod nulls;
mod parity;
mod path;
#[cfg(test)]
mod tests;
mod url_decode;
mod url_decode_uni;
mod utf8_to_unicode;
mod whitespace;

pub(crate) use url_decode_uni::best_fit;

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

    /// Every transformation, aliases counted twice.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|(_, transformation)| *transformation)
    }

    /// The name as ModSecurity prints it.
    pub(crate) fn name(self) -> &'static str {
        TABLE
            .iter()
            .find(|(_, transformation)| *transformation == self)
            .map_or("", |(name, _)| *name)
    }

    /// Every name, for suggestions.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        TABLE.iter().map(|(name, _)| *name)
    }

    /// Clears `out`, fills it with the transformed `input`, and says whether the two differ.
    pub(crate) fn apply(self, input: &[u8], out: &mut Vec<u8>) -> bool {
        out.clear();
        let step = match self {
            Self::Base64Decode => base64::decode,
            Self::Base64DecodeExt => base64::decode_ext,
            Self::Base64Encode => base64::encode,
            Self::CmdLine => cmd_line::apply,
            Self::CompressWhitespace => whitespace::compress,
            Self::CssDecode => css_decode::apply,
            Self::EscapeSeqDecode => escape_seq_decode::apply,
            Self::HexDecode => hex::decode,
            Self::HexEncode => hex::encode,
            Self::HtmlEntityDecode => html_entity_decode::apply,
            Self::JsDecode => js_decode::apply,
            Self::Length => length::apply,
            Self::Lowercase => case::lowercase,
            Self::Md5 => digest::md5,
            Self::NormalizePath => path::normalize,
            Self::NormalizePathWin => path::normalize_win,
            Self::ParityEven7bit => parity::even,
            Self::ParityOdd7bit => parity::odd,
            Self::ParityZero7bit => parity::zero,
            Self::RemoveComments => comments::remove,
            Self::RemoveCommentsChar => comments::remove_marks,
            Self::RemoveNulls => nulls::remove,
            Self::RemoveWhitespace => whitespace::remove,
            Self::ReplaceComments => comments::replace,
            Self::ReplaceNulls => nulls::replace,
            Self::Sha1 => digest::sha1,
            Self::SqlHexDecode => hex::sql_decode,
            Self::Trim => whitespace::trim,
            Self::TrimLeft => whitespace::trim_left,
            Self::TrimRight => whitespace::trim_right,
            Self::Uppercase => case::uppercase,
            Self::UrlDecode => url_decode::decode,
            Self::UrlDecodeUni => url_decode_uni::apply,
            Self::UrlEncode => url_decode::encode,
            Self::Utf8ToUnicode => utf8_to_unicode::apply,
        };
        step(input, out);
        out.as_slice() != input
    }

    /// An input without any of these bytes is left exactly as it is.
    ///
    /// `ByteSet::ALL` means that nothing can be said, not even about the empty input:
    /// ask [`Transformation::leaves_alone`] rather than intersecting.
    pub(crate) fn triggers(self) -> ByteSet {
        match self {
            Self::Base64Decode
            | Self::Base64DecodeExt
            | Self::Base64Encode
            | Self::HexDecode
            | Self::HexEncode
            | Self::Length
            | Self::Md5
            | Self::ParityEven7bit
            | Self::ParityOdd7bit
            | Self::Sha1
            | Self::UrlEncode => ByteSet::ALL,
            Self::CmdLine => cmd_line::TRIGGERS,
            Self::CompressWhitespace | Self::Trim | Self::TrimLeft | Self::TrimRight => {
                whitespace::SPACES
            }
            Self::CssDecode => css_decode::TRIGGERS,
            Self::EscapeSeqDecode => escape_seq_decode::TRIGGERS,
            Self::HtmlEntityDecode => html_entity_decode::TRIGGERS,
            Self::JsDecode => js_decode::TRIGGERS,
            Self::Lowercase => case::UPPER,
            Self::NormalizePath => path::TRIGGERS,
            Self::NormalizePathWin => path::WIN_TRIGGERS,
            Self::ParityZero7bit => parity::ZERO_TRIGGERS,
            Self::RemoveComments => comments::REMOVE_TRIGGERS,
            Self::RemoveCommentsChar => comments::CHAR_TRIGGERS,
            Self::RemoveNulls | Self::ReplaceNulls => nulls::TRIGGERS,
            Self::RemoveWhitespace => whitespace::REMOVED,
            Self::ReplaceComments => comments::REPLACE_TRIGGERS,
            Self::SqlHexDecode => hex::SQL_TRIGGERS,
            Self::Uppercase => case::LOWER,
            Self::UrlDecode => url_decode::TRIGGERS,
            Self::UrlDecodeUni => url_decode_uni::TRIGGERS,
            Self::Utf8ToUnicode => utf8_to_unicode::TRIGGERS,
        }
    }

    /// True if a value made only of the bytes in `present` is certain to come out unchanged.
    pub(crate) fn leaves_alone(self, present: ByteSet) -> bool {
        let triggers = self.triggers();
        triggers != ByteSet::ALL && !triggers.intersects(present)
    }
}

/// Copies `input`, but puts in place of each escape the byte it stands for. `find` says where the next
/// one may begin, `escape` what it is and what follows; none if it is no escape after all.
fn unescape<'a>(
    mut input: &'a [u8],
    out: &mut Vec<u8>,
    find: impl Fn(&[u8]) -> Option<usize>,
    escape: impl Fn(&'a [u8]) -> Option<(u8, &'a [u8])>,
) {
    while let Some((plain, rest)) = find(input).and_then(|at| input.split_at_checked(at)) {
        out.extend_from_slice(plain);
        let Some((&byte, behind)) = rest.split_first() else {
            break;
        };
        let (decoded, behind) = escape(rest).unwrap_or((byte, behind));
        out.push(decoded);
        input = behind;
    }
    out.extend_from_slice(input);
}

/// Fills `out` with what `step` makes of each byte, where it says that it stays.
fn sift(input: &[u8], out: &mut Vec<u8>, mut step: impl FnMut(u8) -> (u8, bool)) {
    out.resize(input.len(), 0);
    let mut kept = 0;
    for &byte in input {
        let (byte, keep) = step(byte);
        if let Some(slot) = out.get_mut(kept) {
            *slot = byte;
        }
        kept += usize::from(keep);
    }
    out.truncate(kept);
}

/// The byte a code point folds to: its low byte, or the ASCII form of a full-width character
/// (U+FF01 to U+FF5E).
#[expect(
    clippy::cast_possible_truncation,
    reason = "the low byte is what is wanted"
)]
fn full_width(code: u32) -> u8 {
    match code {
        0xff01..=0xff5e => code as u8 + 0x20,
        _ => code as u8,
    }
}

/// What `\\` and this letter stand for in C and JavaScript.
fn control(letter: u8) -> Option<u8> {
    match letter {
        b'a' => Some(0x07),
        b'b' => Some(0x08),
        b'f' => Some(0x0c),
        b'n' => Some(b'\n'),
        b'r' => Some(b'\r'),
        b't' => Some(b'\t'),
        b'v' => Some(0x0b),
        _ => None,
    }
}

/// The low byte of the octal number of up to three digits at the start of `input`, and what follows;
/// a number of three digits is cut to `most`.
fn octal(input: &[u8], most: usize) -> Option<(u8, &[u8])> {
    let count = input
        .iter()
        .take(most)
        .take_while(|byte| matches!(byte, b'0'..=b'7'))
        .count();
    let (digits, behind) = input.split_at_checked(count)?;
    let low = digits
        .iter()
        .fold(0_u8, |low, digit| low << 3 | (digit - b'0'));
    Some((low, behind))
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
