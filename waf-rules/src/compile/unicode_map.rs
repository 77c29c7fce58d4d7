//! `SecUnicodeMapFile`: the table of a code page that `t:urlDecodeUni` reads `%uHHHH` with.
//!
//! The table of US-ASCII is built in. A file is read and must say the same; a table that says something
//! else is refused, since the rules would be written for another reading than the one they get.

use crate::transformations::best_fit;

/// The code page that is built in: US-ASCII.
pub(super) const PAGE: u32 = 20_127;

/// Checks the table of code page `page` in the file `bytes`.
pub(super) fn check(bytes: &[u8], page: u32) -> Result<(), String> {
    let text = String::from_utf8_lossy(bytes);
    let mut found = false;
    let mut inside = false;
    for line in text.lines() {
        let first = line.split_whitespace().next().unwrap_or_default();
        if !first.contains(':') {
            if !first.is_empty() {
                inside = first.parse() == Ok(page);
                found |= inside;
            }
            continue;
        }
        if !inside {
            continue;
        }
        for pair in line.split_whitespace() {
            let (code, byte) = entry(pair).ok_or_else(|| format!("`{pair}` is no HHHH:HH"))?;
            if best_fit(code) != Some(byte) && u16::from(byte) != code {
                return Err(format!(
                    "code page {page} reads U+{code:04X} as another character than code page \
                     {PAGE}, the only one that is served"
                ));
            }
        }
    }
    if found {
        Ok(())
    } else {
        Err(format!("the file has no code page {page}"))
    }
}

fn entry(pair: &str) -> Option<(u16, u8)> {
    let (code, byte) = pair.split_once(':')?;
    let code = u16::from_str_radix(code, 16).ok()?;
    Some((code, u8::from_str_radix(byte, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &[u8] = b"(MAC - Roman)\n\n1251  (ANSI - Cyrillic)\n00c0:42 \n\n\
        20127 (US-ASCII)\n00a0:20 00a1:21 \nff1c:3c\n";

    #[test]
    fn the_built_in_table_agrees_with_itself_and_others_are_refused() {
        assert_eq!(check(FILE, PAGE), Ok(()));
        assert!(check(FILE, 1251).unwrap_err().contains("U+00C0"));
        assert!(check(FILE, 437).unwrap_err().contains("no code page"));
        assert!(check(b"20127 x\nzz:1\n", PAGE).is_err());
    }
}
