//! `@validateByteRange`, `@validateUrlEncoding`, `@validateUtf8Encoding`: match what is *not* valid.

use super::Prefilter;
use crate::byteset::ByteSet;

/// The bytes `@validateByteRange` lets through: `9,10,13,32-126`.
pub(super) fn byte_range(argument: &str) -> Result<ByteSet, String> {
    argument
        .split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
        .try_fold(ByteSet::EMPTY, |allowed, entry| {
            let (first, last) = entry.split_once('-').unwrap_or((entry, entry));
            let number = |text: &str| {
                text.trim()
                    .parse::<u8>()
                    .map_err(|_| format!("{text:?} is no byte (0 to 255)"))
            };
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return Err(format!("range {entry:?} is out of order"));
            }
            Ok(allowed.union(ByteSet::range(first, last)))
        })
}

/// A byte stands outside the list.
pub(super) fn outside(allowed: ByteSet, value: &[u8]) -> bool {
    value.iter().any(|byte| !allowed.contains(*byte))
}

pub(super) fn outside_prefilter(allowed: ByteSet) -> Prefilter {
    Prefilter::of_mask(allowed.complement())
}

/// A `%` is not followed by two hexadecimal digits.
pub(super) fn bad_url_encoding(value: &[u8]) -> bool {
    memchr::memchr_iter(b'%', value).any(|at| {
        let digits = value.get(at + 1..at + 3);
        !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

pub(super) fn url_prefilter() -> Prefilter {
    Prefilter::of_mask(ByteSet::of(b"%"))
}

/// Not UTF-8 (RFC 3629): overlong forms, surrogates and code points past U+10FFFF included.
pub(super) fn bad_utf8(value: &[u8]) -> bool {
    std::str::from_utf8(value).is_err()
}

pub(super) fn utf8_prefilter() -> Prefilter {
    Prefilter::of_mask(ByteSet::range(0x80, 0xff))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_outside_the_list_match() {
        let allowed = byte_range("9, 10,13,32-126").expect("valid");
        assert!(outside(allowed, b"a\0") && outside(allowed, b"\x7f"));
        assert!(!outside(allowed, b"plain text\r\n") && !outside(allowed, b""));
        for text in ["256", "5-1", "xxx", "-1", "1-2-3"] {
            assert!(byte_range(text).is_err(), "{text}");
        }
    }

    #[test]
    fn broken_escapes_match() {
        for bad in ["%", "%4", "%4g", "%%41", "%u0041"] {
            assert!(bad_url_encoding(bad.as_bytes()), "{bad}");
        }
        assert!(!bad_url_encoding(b"a%20b%41"));
    }

    #[test]
    fn overlong_and_surrogate_forms_match() {
        for bad in [
            &b"\xc0\xaf"[..],
            b"\xed\xa0\x80",
            b"\xf4\x90\x80\x80",
            b"a\xc3",
            b"\x80",
        ] {
            assert!(bad_utf8(bad));
            assert!(utf8_prefilter().admits(bad));
        }
        assert!(!bad_utf8("naïve ✓ \u{10ffff}".as_bytes()));
    }
}
