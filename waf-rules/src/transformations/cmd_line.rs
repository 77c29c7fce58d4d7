//! `cmdLine`: undoes what shells ignore, so that `C^md" /C` reads `cmd/c`.
//!
//! Deletes `\ " ' ^`, turns runs of blanks, commas and semicolons into one space, deletes the space
//! before `/` and `(`, and lower-cases.

use super::case;
use crate::byteset::ByteSet;

pub(super) const TRIGGERS: ByteSet = ByteSet::of(b"\\\"'^ ,;\t\r\n").union(case::UPPER);

pub(super) fn apply(input: &[u8], out: &mut Vec<u8>) {
    let mut after_space = false;
    for &byte in input {
        match byte {
            b'\\' | b'"' | b'\'' | b'^' => {}
            b' ' | b',' | b';' | b'\t' | b'\r' | b'\n' => {
                if !after_space {
                    out.push(b' ');
                    after_space = true;
                }
            }
            _ => {
                if after_space && matches!(byte, b'/' | b'(') {
                    out.pop();
                }
                out.push(byte.to_ascii_lowercase());
                after_space = false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shell_noise_between_letters_disappears() {
        let mut out = Vec::new();
        apply(b"c^at\\ /e\"t\"c/p'a'sswd;,;ID (", &mut out);
        assert_eq!(out, b"cat/etc/passwd id(");
    }

    #[test]
    fn a_plain_word_stays() {
        let mut out = Vec::new();
        apply(b"report-2024.pdf", &mut out);
        assert_eq!(out, b"report-2024.pdf");
    }
}
