//! Bytes of the network as text that can neither end a line nor lie to a terminal.
//!
//! Wire bytes are first made text in a reversible way: a backslash becomes `\\` (first, so that
//! nothing can pretend to be an escape), a control byte or a byte that is not UTF-8 becomes `\xHH`.
//! That text is then written as a JSON string (RFC 8259) or, for the access log, in plain ASCII.
//! Characters that move the cursor or reorder a line (C1, U+2028, bidirectional controls) are always
//! written as escapes. The answer to "was anything cut off?" is never lost: it is the return value.

use std::io::Write;

/// Appends wire bytes as a JSON string with quotes, at most `limit` of them; true if some were cut.
pub(crate) fn json_bytes(out: &mut Vec<u8>, bytes: &[u8], limit: usize) -> bool {
    let kept = cut(bytes, limit);
    out.push(b'"');
    for chunk in kept.utf8_chunks() {
        json_run(out, chunk.valid(), Kind::Wire);
        for byte in chunk.invalid() {
            hex(out, br"\\x", *byte);
        }
    }
    close(out, bytes.len() - kept.len())
}

/// Appends text as a JSON string with quotes, at most `limit` bytes of it; true if some were cut.
/// Unlike [`json_bytes`] this leaves backslashes single once the JSON is read.
pub(crate) fn json_text(out: &mut Vec<u8>, text: &str, limit: usize) -> bool {
    let kept = text.floor_char_boundary(limit);
    let kept = text.get(..kept).unwrap_or_default();
    out.push(b'"');
    json_run(out, kept, Kind::Text);
    close(out, text.len() - kept.len())
}

/// Appends wire bytes in printable ASCII, as the access log shows them between quotes.
pub(crate) fn plain(out: &mut Vec<u8>, bytes: &[u8], limit: usize) {
    let kept = cut(bytes, limit);
    for byte in kept {
        match byte {
            b'\\' => out.extend_from_slice(br"\\"),
            b'"' => out.extend_from_slice(br#"\""#),
            b' '..=b'~' => out.push(*byte),
            _ => hex(out, br"\x", *byte),
        }
    }
    if kept.len() < bytes.len() {
        out.extend_from_slice(b"...");
    }
}

/// What a text is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Bytes of the network: escaped reversibly before they become JSON.
    Wire,
    /// Words of the program or of rules.
    Text,
}

fn json_run(out: &mut Vec<u8>, text: &str, kind: Kind) {
    let mut rest = text;
    loop {
        // Most of any value is copied as it is.
        let plain = rest.bytes().take_while(|b| is_plain(*b)).count();
        let (before, after) = rest.split_at_checked(plain).unwrap_or((rest, ""));
        out.extend_from_slice(before.as_bytes());
        let mut chars = after.chars();
        let Some(c) = chars.next() else {
            return;
        };
        rest = chars.as_str();
        match (c, kind) {
            ('"', _) => out.extend_from_slice(br#"\""#),
            ('\\', Kind::Wire) => out.extend_from_slice(br"\\\\"),
            ('\\', Kind::Text) => out.extend_from_slice(br"\\"),
            ('\0'..='\x1f' | '\x7f', Kind::Wire) => hex(out, br"\\x", c as u8),
            (c, _) => json_char(out, c),
        }
    }
}

const fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

fn json_char(out: &mut Vec<u8>, c: char) {
    match c {
        c if misleading(c) => {
            // Cannot fail: the writer is a vector.
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        }
        c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

/// Characters that end a line for some reader, move the cursor or reorder what is shown. All lie in
/// the basic plane, so four digits suffice.
const fn misleading(c: char) -> bool {
    matches!(c,
        '\0'..='\x1f' | '\u{7f}'..='\u{9f}' | '\u{61c}' | '\u{200e}' | '\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Says how much is missing and closes the string; true if anything is missing.
fn close(out: &mut Vec<u8>, missing: usize) -> bool {
    if missing > 0 {
        // Cannot fail: the writer is a vector.
        let _ = write!(out, "[+{missing} bytes]");
    }
    out.push(b'"');
    missing > 0
}

/// The first `limit` bytes, fewer if that would split a UTF-8 character.
fn cut(bytes: &[u8], limit: usize) -> &[u8] {
    let Some(kept) = bytes.get(..limit) else {
        return bytes;
    };
    if bytes.get(limit).is_none_or(|next| next & 0xc0 != 0x80) {
        return kept;
    }
    let tail = kept.iter().rev().take(3).position(|b| b & 0xc0 != 0x80);
    let end = tail.map_or(limit, |back| limit - back - 1);
    kept.get(..end).unwrap_or(kept)
}

fn hex(out: &mut Vec<u8>, prefix: &[u8], byte: u8) {
    out.extend_from_slice(prefix);
    for digit in [byte >> 4, byte & 15] {
        out.push(match digit {
            0..=9 => b'0' + digit,
            _ => b'a' + digit - 10,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        json_bytes(&mut out, bytes, 1000);
        assert!(out.iter().all(|b| *b >= b' ' && *b != 0x7f));
        serde_json::from_slice(&out).unwrap()
    }

    /// What a reader does to get the bytes back.
    fn unescape(text: &str) -> Vec<u8> {
        let (mut out, mut rest) = (Vec::new(), text.as_bytes());
        while let Some((first, tail)) = rest.split_first() {
            rest = tail;
            match (first, tail) {
                (b'\\', [b'\\', tail @ ..]) => {
                    out.push(b'\\');
                    rest = tail;
                }
                (b'\\', [b'x', a, b, tail @ ..]) => {
                    let digits = String::from_utf8(vec![*a, *b]).unwrap();
                    out.push(u8::from_str_radix(&digits, 16).unwrap());
                    rest = tail;
                }
                _ => out.push(*first),
            }
        }
        out
    }

    #[test]
    fn every_byte_survives_the_way_there_and_back() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(unescape(&wire(&all)), all);
        for odd in [
            &b"\\x41"[..],
            b"\\\\x41",
            b"\xff\\xff",
            b"\xc3\x28",
            "ä\u{2028}".as_bytes(),
        ] {
            assert_eq!(unescape(&wire(odd)), odd);
        }
    }

    #[test]
    fn a_value_cannot_forge_another_line_or_an_escape() {
        assert_eq!(
            wire(b"a\r\n{\"verdict\":\"allowed\"}"),
            "a\\x0d\\x0a{\"verdict\":\"allowed\"}"
        );
        assert_ne!(wire(b"\n"), wire(b"\\x0a"));
    }

    #[test]
    fn ordinary_text_stays_readable() {
        assert_eq!(wire("Grüße, 世界".as_bytes()), "Grüße, 世界");
    }

    #[test]
    fn characters_that_deceive_a_reader_are_written_as_escapes() {
        let mut out = Vec::new();
        json_text(&mut out, "a\u{202e}b\u{2028}c\u{85}d\ne", 100);
        assert_eq!(out, br#""a\u202eb\u2028c\u0085d\u000ae""#);
    }

    #[test]
    fn a_cut_never_splits_a_character_and_says_what_is_missing() {
        let mut out = Vec::new();
        assert!(json_bytes(&mut out, "aää".as_bytes(), 4));
        assert_eq!(String::from_utf8(out).unwrap(), "\"aä[+2 bytes]\"");
        let mut out = Vec::new();
        assert!(json_text(&mut out, "aää", 4));
        assert_eq!(String::from_utf8(out).unwrap(), "\"aä[+2 bytes]\"");
        let mut out = Vec::new();
        assert!(!json_bytes(&mut out, b"abcd", 4));
        assert_eq!(out, b"\"abcd\"");
    }

    #[test]
    fn the_access_log_shows_ascii_only() {
        let mut out = Vec::new();
        plain(&mut out, b"a\"b\\c\xe4\nd", 100);
        assert_eq!(out, br#"a\"b\\c\xe4\x0ad"#);
    }
}
