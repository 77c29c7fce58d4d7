//! Rewrites the inside of a bracket expression: PCRE's members, spelt so that `regex-syntax` reads no
//! set operation, nesting or blank into them.

use super::rewrite::{Escape, push_literal, read_escape};

/// Rewrites a class, its `[` already taken; gives back what follows its `]`.
pub(super) fn rewrite<'a>(mut rest: &'a [u8], out: &mut String) -> Result<&'a [u8], String> {
    out.push('[');
    if let Some(behind) = rest.strip_prefix(b"^") {
        out.push('^');
        rest = behind;
    }
    let mut first = true;
    loop {
        if !first && let Some(behind) = rest.strip_prefix(b"]") {
            out.push(']');
            return Ok(behind);
        }
        first = false;
        match member(&mut rest)? {
            Member::Nothing => {}
            Member::Set(set) => out.push_str(set),
            Member::Posix(name) => out.push_str(&name),
            Member::Byte(low) => {
                let mut behind = rest;
                match range_end(&mut behind)? {
                    Some(high) if high < low => return Err("range out of order".to_owned()),
                    Some(high) => {
                        push_literal(out, low);
                        out.push('-');
                        push_literal(out, high);
                        rest = behind;
                    }
                    None => push_literal(out, low),
                }
            }
        }
    }
}

/// One thing between brackets.
enum Member {
    /// `\E`.
    Nothing,
    Byte(u8),
    Set(&'static str),
    Posix(String),
}

/// The upper end of a range; none if no `-` follows, or one that is literal.
fn range_end(rest: &mut &[u8]) -> Result<Option<u8>, String> {
    let Some(behind) = rest.strip_prefix(b"-") else {
        return Ok(None);
    };
    if behind.starts_with(b"]") {
        return Ok(None);
    }
    let mut end = behind;
    let Member::Byte(high) = member(&mut end)? else {
        return Ok(None);
    };
    *rest = end;
    Ok(Some(high))
}

fn member(rest: &mut &[u8]) -> Result<Member, String> {
    let Some((&byte, behind)) = rest.split_first() else {
        return Err("unclosed class".to_owned());
    };
    if byte == b'['
        && let Some((name, length)) = posix(behind)?
    {
        *rest = behind.get(length..).unwrap_or_default();
        return Ok(Member::Posix(name));
    }
    *rest = behind;
    if byte != b'\\' {
        return Ok(Member::Byte(byte));
    }
    Ok(match read_escape(rest, true)? {
        Escape::Byte(byte) => Member::Byte(byte),
        Escape::Set(set) => Member::Set(set),
        Escape::Other(b'E') => Member::Nothing,
        Escape::Other(b'Q') => return Err("\\Q in a class".to_owned()),
        Escape::Other(b'p' | b'P') => return Err("Unicode property \\p".to_owned()),
        Escape::Other(letter) => Member::Byte(letter),
    })
}

/// `:name:]` or `:^name:]` after a `[`, and its length.
fn posix(rest: &[u8]) -> Result<Option<(String, usize)>, String> {
    let Some(body) = rest.strip_prefix(b":") else {
        return Ok(None);
    };
    let letters = body
        .iter()
        .take_while(|byte| byte.is_ascii_lowercase() || **byte == b'^')
        .count();
    let Some((name, behind)) = body.split_at_checked(letters) else {
        return Ok(None);
    };
    if !behind.starts_with(b":]") {
        return Ok(None);
    }
    let name = String::from_utf8_lossy(name).into_owned();
    let known = [
        "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
        "space", "upper", "word", "xdigit",
    ];
    if !known.contains(&name.trim_start_matches('^')) {
        return Err(format!("unknown class [:{name}:]"));
    }
    Ok(Some((format!("[:{name}:]"), letters + 3)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(class: &str) -> Result<String, String> {
        let mut out = String::new();
        let rest = rewrite(&class.as_bytes()[1..], &mut out)?;
        assert!(rest.is_empty());
        Ok(out)
    }

    #[test]
    fn members_are_spelt_out() {
        for (pcre, ours) in [
            ("[]a]", r"[\x5Da]"),
            ("[^]-a]", r"[^\x5D-a]"),
            ("[a&&+--c]", r"[a\x26\x26\x2B-\x2Dc]"),
            ("[[a~~]", r"[\x5Ba\x7E\x7E]"),
            (r"[\w-x\s-]", r"[\w\x2Dx\s\x2D]"),
            ("[[:alpha:][:^digit:] #]", r"[[:alpha:][:^digit:]\x20\x23]"),
            (r"[\b\1\x41-\x{5a}]", r"[\x08\x01A-Z]"),
            ("[é]", r"[\xC3\xA9]"),
        ] {
            assert_eq!(run(pcre).as_deref(), Ok(ours), "{pcre}");
        }
    }

    #[test]
    fn broken_classes_are_refused() {
        for pcre in ["[a", "[z-a]", "[[:nope:]]"] {
            assert!(run(pcre).is_err(), "{pcre}");
        }
    }
}
