//! Percent decoding (RFC 3986 section 2.1), non-strict: a bad escape stays as it is and is reported.
//!
//! It must never drop a byte: a `%` that starts no escape is handed on, and what follows is read again.

/// What `+` stands for: a blank in forms, itself in paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plus {
    /// `application/x-www-form-urlencoded`.
    Space,
    /// A path.
    Literal,
}

/// Appends `input` decoded to `out`; true if an escape was bad or cut short.
pub(crate) fn decode(mut input: &[u8], plus: Plus, out: &mut Vec<u8>) -> bool {
    let mut bad = false;
    while let Some((byte, rest)) = input.split_first() {
        input = rest;
        match (*byte, rest) {
            (b'%', [high, low, after @ ..]) if let Some(byte) = pair(*high, *low) => {
                out.push(byte);
                input = after;
            }
            (b'%', _) => {
                bad = true;
                out.push(b'%');
            }
            (b'+', _) if plus == Plus::Space => out.push(b' '),
            (byte, _) => out.push(byte),
        }
    }
    bad
}

/// True if decoding would change nothing and find nothing wrong.
pub(crate) fn is_plain(input: &[u8]) -> bool {
    !input.iter().any(|byte| matches!(byte, b'%' | b'+'))
}

/// The byte two hexadecimal digits stand for.
pub(crate) fn pair(high: u8, low: u8) -> Option<u8> {
    Some((digit(high)? << 4) | digit(low)?)
}

/// The value of one hexadecimal digit.
pub(crate) const fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_escapes_stay_and_are_reported() {
        let cases: [(&[u8], &[u8], bool); 9] = [
            (b"a%20b+c", b"a b c", false),
            (b"%zz", b"%zz", true),
            (b"%", b"%", true),
            (b"%4", b"%4", true),
            (b"%%41", b"%A", true),
            (b"%2%41", b"%2A", true),
            (b"%00%fF", b"\x00\xff", false),
            (b"%u0041", b"%u0041", true),
            (b"", b"", false),
        ];
        for (input, expected, bad) in cases {
            let mut out = Vec::new();
            assert_eq!(decode(input, Plus::Space, &mut out), bad, "{input:?}");
            assert_eq!(out, expected, "{input:?}");
        }
    }

    #[test]
    fn plus_stays_in_a_path() {
        let mut out = Vec::new();
        assert!(!decode(b"/a+b%2b", Plus::Literal, &mut out));
        assert_eq!(out, b"/a+b+");
    }
}
