//! Bytes of the network in a log line: ModSecurity's `\xHH`, and JSON strings.
//!
//! Reversible: a backslash is escaped as well, unlike in ModSecurity, so `\x0d` in a log always stands
//! for a carriage return and never for four characters a client sent.

use std::io::Write;

/// Appends `bytes` in printable ASCII; a backslash and everything else becomes `\xHH`.
pub(super) fn plain(out: &mut Vec<u8>, bytes: &[u8]) {
    escaped(out, bytes, |byte| byte == b'\\');
}

/// As [`plain`], for a place between double quotes.
pub(super) fn quoted(out: &mut Vec<u8>, bytes: &[u8]) {
    escaped(out, bytes, |byte| byte == b'\\' || byte == b'"');
}

/// The words of a rule, which its author may read as he wrote them: only what is not printable
/// becomes `\xHH`.
pub(super) fn authored(out: &mut Vec<u8>, bytes: &[u8]) {
    escaped(out, bytes, |_| false);
}

fn escaped(out: &mut Vec<u8>, bytes: &[u8], special: impl Fn(u8) -> bool) {
    for byte in bytes {
        if (b' '..=b'~').contains(byte) && !special(*byte) {
            out.push(*byte);
        } else {
            // Cannot fail: the writer is a vector.
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
}

/// Appends `bytes` as a JSON string with its quotes. A byte that is not UTF-8 becomes `\xHH` in the
/// string's text, and a backslash of the value two of them.
pub(super) fn json(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            character_of_json(out, character, br"\\\\");
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\\\x{byte:02x}");
        }
    }
    out.push(b'"');
}

/// As [`json`], for text that is escaped already or that a rule's author wrote: a backslash stays one.
pub(super) fn json_text(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for character in String::from_utf8_lossy(text).chars() {
        character_of_json(out, character, br"\\");
    }
    out.push(b'"');
}

fn character_of_json(out: &mut Vec<u8>, character: char, backslash: &[u8]) {
    match character {
        '"' => out.extend_from_slice(br#"\""#),
        '\\' => out.extend_from_slice(backslash),
        '\n' => out.extend_from_slice(br"\n"),
        '\r' => out.extend_from_slice(br"\r"),
        '\t' => out.extend_from_slice(br"\t"),
        // Control characters, and those that reorder or break a line in a terminal.
        '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            let _ = write!(out, "\\u{:04x}", u32::from(character));
        }
        _ => {
            let mut utf8 = [0; 4];
            out.extend_from_slice(character.encode_utf8(&mut utf8).as_bytes());
        }
    }
}

/// `bytes` cut to `limit`, with ModSecurity's note about the rest.
pub(super) fn cut(bytes: &[u8], limit: usize) -> (&[u8], String) {
    match bytes.get(..limit) {
        Some(kept) if bytes.len() > limit => (
            kept,
            format!(" ({} characters omitted)", bytes.len() - limit),
        ),
        _ => (bytes, String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: fn(&mut Vec<u8>, &[u8]), bytes: &[u8]) -> String {
        let mut out = Vec::new();
        write(&mut out, bytes);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn no_value_can_end_a_line_or_a_field() {
        assert_eq!(
            text(quoted, b"a\r\n\"] [id \"1\"]\0\xff\\x0d"),
            r"a\x0d\x0a\x22] [id \x221\x22]\x00\xff\x5cx0d"
        );
        assert_eq!(text(plain, b"say \"hi\" \\"), r#"say "hi" \x5c"#);
    }

    #[test]
    fn a_rules_own_words_stay_as_written() {
        assert_eq!(text(authored, br"(?i)\d+ \x41"), r"(?i)\d+ \x41");
        assert_eq!(text(authored, b"a\nb"), r"a\x0ab");
    }

    #[test]
    fn json_strings_can_be_read_and_reversed() {
        for (bytes, seen) in [
            (&b"gr\xc3\xbcn"[..], "grün"),
            (b"\xff\r\n\"", "\\xff\r\n\""),
            (b"\\xff", "\\\\xff"),
            ("\u{202e}".as_bytes(), "\u{202e}"),
        ] {
            let written = text(json, bytes);
            assert!(written.bytes().all(|byte| byte >= b' '), "{written}");
            assert_eq!(serde_json::from_str::<String>(&written).unwrap(), seen);
        }
    }
}
