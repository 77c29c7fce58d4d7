//! Rewrites a PCRE pattern into the syntax of `regex-syntax`, byte for byte.
//!
//! The result means on bytes what PCRE without UTF mode means; flags are those of libmodsecurity,
//! DOTALL and MULTILINE. Where the syntaxes only look alike (`\<`, a literal `{`, `[` inside a class,
//! `\h`, octal, `\Q…\E`, `(?x)` inside a class) the pattern is spelt out. Possessive quantifiers and
//! atomic groups become plain ones: that language is a superset, so it errs towards a match; inside a
//! negative look-around, where it would err towards none, they are refused.
//! Look-around, back-references, recursion and conditionals cannot be matched in linear time and are
//! refused by name; a pattern is never weakened silently. [`marked`] lets look-around and numbered
//! back-references through, as groups whose reserved names `backtrack` reads.

use std::fmt::Write as _;

use super::class;

/// The pattern in the syntax of `regex-syntax`.
///
/// # Errors
/// The construct that has no counterpart.
pub(crate) fn rewrite(pattern: &str) -> Result<String, String> {
    spelt(pattern, None)
}

/// As [`rewrite`], with look-around and back-references as groups: `(?P<not_ahead.1>…)` stands for
/// `(?!…)`, `(?P<back.2.3>a)` for `\2`. No name of PCRE's has a dot.
///
/// # Errors
/// The construct that has no counterpart even so.
pub(crate) fn marked(pattern: &str) -> Result<String, String> {
    spelt(pattern, Some(0))
}

fn spelt(pattern: &str, marks: Option<usize>) -> Result<String, String> {
    let mut rewriter = Rewriter {
        rest: pattern.as_bytes(),
        out: String::with_capacity(pattern.len() + 16),
        groups: count_groups(pattern.as_bytes()),
        flags: Flags::default(),
        open: Vec::new(),
        negative: false,
        marks,
    };
    while let Some(byte) = rewriter.next() {
        rewriter.item(byte)?;
    }
    Ok(rewriter.out)
}

/// Appends `byte` so that it means itself everywhere, in a class or outside.
pub(super) fn push_literal(out: &mut String, byte: u8) {
    if byte.is_ascii_alphanumeric() {
        out.push(char::from(byte));
    } else {
        // Writing to a `String` cannot fail.
        let _ = write!(out, "\\x{byte:02X}");
    }
}

/// What one escape stands for.
pub(super) enum Escape {
    /// This byte.
    Byte(u8),
    /// This piece of `regex-syntax`, usable in a class too.
    Set(&'static str),
    /// Not an escape of one byte; its letter is handed back.
    Other(u8),
}

/// The flags whose meaning the rewrite has to follow; the others pass through.
#[derive(Clone, Copy)]
struct Flags {
    extended: bool,
    multi_line: bool,
}

impl Default for Flags {
    fn default() -> Self {
        Self {
            extended: false,
            multi_line: true,
        }
    }
}

/// What holds outside a group.
#[derive(Clone, Copy, Default)]
struct Outer {
    flags: Flags,
    negative: bool,
}

struct Rewriter<'a> {
    rest: &'a [u8],
    out: String,
    /// Capture groups of the whole pattern: decides whether `\10` is octal.
    groups: usize,
    flags: Flags,
    /// What to return to at each `)`.
    open: Vec<Outer>,
    /// Inside a negative look-around, where a superset errs towards no match.
    negative: bool,
    /// How many constructs were marked; none if they are refused.
    marks: Option<usize>,
}

impl Rewriter<'_> {
    fn next(&mut self) -> Option<u8> {
        let (byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*byte)
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    fn item(&mut self, byte: u8) -> Result<(), String> {
        match byte {
            b'\\' => self.escape()?,
            b'[' => self.rest = class::rewrite(self.rest, &mut self.out)?,
            b'(' => self.group()?,
            b')' => {
                let outer = self.open.pop().unwrap_or_default();
                (self.flags, self.negative) = (outer.flags, outer.negative);
                self.out.push(')');
            }
            b'*' | b'+' | b'?' => self.quantifier(&[byte])?,
            b'{' => match counted(self.rest) {
                Some(length) => {
                    let (count, _) = self.rest.split_at_checked(length).unwrap_or_default();
                    self.skip(length);
                    self.quantifier(&[b"{", count].concat())?;
                }
                None => push_literal(&mut self.out, b'{'),
            },
            b'$' if !self.flags.multi_line => self.out.push_str("(?:\\n?\\z)"),
            b'|' | b'^' | b'$' | b'.' => self.out.push(char::from(byte)),
            b' ' | b'\t' | b'\n' | b'\x0b' | b'\x0c' | b'\r' if self.flags.extended => {}
            b'#' if self.flags.extended => while self.next().is_some_and(|byte| byte != b'\n') {},
            _ => push_literal(&mut self.out, byte),
        }
        Ok(())
    }

    /// Copies a quantifier with its `?`, and drops the `+` that makes it possessive.
    fn quantifier(&mut self, text: &[u8]) -> Result<(), String> {
        self.out.extend(text.iter().copied().map(char::from));
        match self.rest.first() {
            Some(b'?') => {
                self.out.push('?');
                self.skip(1);
            }
            Some(b'+') => {
                self.may_widen("possessive quantifier")?;
                self.skip(1);
            }
            _ => {}
        }
        Ok(())
    }

    /// Refuses `construct` where matching more than it does would make the pattern match less.
    fn may_widen(&self, construct: &str) -> Result<(), String> {
        if self.negative {
            return Err(format!("{construct} in a negative look-around"));
        }
        Ok(())
    }

    fn escape(&mut self) -> Result<(), String> {
        match read_escape(&mut self.rest, false)? {
            Escape::Byte(byte) => push_literal(&mut self.out, byte),
            Escape::Set(set) => {
                self.out.push('[');
                self.out.push_str(set);
                self.out.push(']');
            }
            Escape::Other(letter) => self.assertion(letter)?,
        }
        Ok(())
    }

    /// The escapes that are more than one byte, or none.
    fn assertion(&mut self, letter: u8) -> Result<(), String> {
        match letter {
            b'b' | b'B' | b'A' | b'z' => {
                self.out.push('\\');
                self.out.push(char::from(letter));
            }
            b'Z' => self.out.push_str("(?:\\n?\\z)"),
            b'R' => self.out.push_str("(?:\\r\\n|[\\n\\x0B\\x0C\\r\\x85])"),
            b'N' => self.out.push_str("[^\\n]"),
            b'C' => self.out.push_str("[\\x00-\\xFF]"),
            b'Q' => {
                let end = memchr::memmem::find(self.rest, b"\\E").unwrap_or(self.rest.len());
                let (quoted, _) = self.rest.split_at_checked(end).unwrap_or_default();
                for byte in quoted {
                    push_literal(&mut self.out, *byte);
                }
                self.skip(end + 2);
            }
            b'E' => {}
            b'1'..=b'9' => return self.numbered(letter),
            b'k' | b'g' => return Err(format!("back-reference \\{}", char::from(letter))),
            b'p' | b'P' => return Err("Unicode property \\p".to_owned()),
            b'K' | b'G' | b'X' => return Err(format!("\\{}", char::from(letter))),
            _ => push_literal(&mut self.out, letter),
        }
        Ok(())
    }

    /// `\` and a digit other than zero: a back-reference, or octal when there are too few groups.
    fn numbered(&mut self, first: u8) -> Result<(), String> {
        let digits = 1 + self
            .rest
            .iter()
            .take(2)
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let more = self.rest.get(..digits - 1).unwrap_or_default();
        let number = more
            .iter()
            .fold(usize::from(first - b'0'), |number, digit| {
                number * 10 + usize::from(digit - b'0')
            });
        if number < 10 || number <= self.groups {
            let mark = self
                .mark()
                .ok_or_else(|| format!("back-reference \\{number}"))?;
            self.skip(digits - 1);
            // The letter shows whether case counts where it stands.
            let _ = write!(self.out, "(?P<back.{number}.{mark}>a)");
            return Ok(());
        }
        if first >= b'8' {
            push_literal(&mut self.out, first);
        } else {
            push_literal(&mut self.out, octal(first, &mut self.rest));
        }
        Ok(())
    }

    /// A number for a construct that is marked; none if such are refused.
    fn mark(&mut self) -> Option<usize> {
        let mark = self.marks.as_mut()?;
        *mark += 1;
        Some(*mark)
    }

    /// What follows an opening parenthesis.
    fn group(&mut self) -> Result<(), String> {
        let outer = Outer {
            flags: self.flags,
            negative: self.negative,
        };
        if self.rest.first() == Some(&b'*') {
            return Err("verb (*…)".to_owned());
        }
        let Some(special) = self.rest.strip_prefix(b"?") else {
            self.open.push(outer);
            self.out.push('(');
            return Ok(());
        };
        if special.starts_with(b"#") {
            while self.next().is_some_and(|byte| byte != b')') {}
            return Ok(());
        }
        if let Some((name, length)) = look_around(special)
            && let Some(mark) = self.mark()
        {
            self.open.push(outer);
            self.negative |= name.starts_with("not_");
            let _ = write!(self.out, "(?P<{name}.{mark}>");
            self.skip(1 + length);
            return Ok(());
        }
        if let Some((opening, length)) = named(special)? {
            self.open.push(outer);
            self.out.push_str(&opening);
            self.skip(1 + length);
            return Ok(());
        }
        if special.starts_with(b">") {
            self.may_widen("atomic group (?>")?;
            self.open.push(outer);
            self.out.push_str("(?:");
            self.skip(2);
            return Ok(());
        }
        self.flag_group(outer)
    }

    /// `(?flags)` and `(?flags:`, with `x` and `J` taken out.
    fn flag_group(&mut self, outer: Outer) -> Result<(), String> {
        self.skip(1);
        let mut on = true;
        let mut kept = String::new();
        loop {
            match self.next() {
                Some(b'-') if on => {
                    on = false;
                    kept.push('-');
                }
                Some(b'x') => self.flags.extended = on,
                Some(flag @ (b'i' | b's' | b'm' | b'U')) => {
                    if flag == b'm' {
                        self.flags.multi_line = on;
                    }
                    kept.push(char::from(flag));
                }
                Some(b'J') => {}
                Some(end @ (b':' | b')')) => {
                    let kept = kept.trim_end_matches('-');
                    if end == b':' {
                        self.open.push(outer);
                        let _ = write!(self.out, "(?{kept}:");
                    } else if !kept.is_empty() {
                        let _ = write!(self.out, "(?{kept})");
                    }
                    return Ok(());
                }
                Some(other) => return Err(format!("group (?{}", char::from(other))),
                None => return Err("unclosed group".to_owned()),
            }
        }
    }
}

/// Reads one escape, its backslash already taken; `in_class` gives the class's readings.
pub(super) fn read_escape(rest: &mut &[u8], in_class: bool) -> Result<Escape, String> {
    let Some((&letter, behind)) = rest.split_first() else {
        return Err("\\ at the end of the pattern".to_owned());
    };
    *rest = behind;
    Ok(match letter {
        b'a' => Escape::Byte(0x07),
        b'e' => Escape::Byte(0x1b),
        b'f' => Escape::Byte(0x0c),
        b'n' => Escape::Byte(b'\n'),
        b'r' => Escape::Byte(b'\r'),
        b't' => Escape::Byte(b'\t'),
        b'b' if in_class => Escape::Byte(0x08),
        b'c' => {
            let (&key, behind) = rest.split_first().ok_or("\\c at the end of the pattern")?;
            *rest = behind;
            Escape::Byte(key.to_ascii_uppercase() ^ 0x40)
        }
        b'x' => Escape::Byte(hexadecimal(rest)?),
        b'o' if rest.starts_with(b"{") => Escape::Byte(braced(rest, 8)?),
        b'0' => Escape::Byte(octal(letter, rest)),
        b'1'..=b'7' if in_class => Escape::Byte(octal(letter, rest)),
        b'd' => Escape::Set("\\d"),
        b'D' => Escape::Set("\\D"),
        b's' => Escape::Set("\\s"),
        b'S' => Escape::Set("\\S"),
        b'w' => Escape::Set("\\w"),
        b'W' => Escape::Set("\\W"),
        b'h' => Escape::Set("\\t\\x20\\xA0"),
        b'H' => Escape::Set("\\x00-\\x08\\x0A-\\x1F\\x21-\\x9F\\xA1-\\xFF"),
        b'v' => Escape::Set("\\n\\x0B\\x0C\\r\\x85"),
        b'V' => Escape::Set("\\x00-\\x09\\x0E-\\x84\\x86-\\xFF"),
        _ if letter.is_ascii_alphanumeric() => Escape::Other(letter),
        _ => Escape::Byte(letter),
    })
}

/// `\xH`, `\xHH` and `\x{H…}`; `\x` alone is NUL.
fn hexadecimal(rest: &mut &[u8]) -> Result<u8, String> {
    if rest.starts_with(b"{") {
        return braced(rest, 16);
    }
    let mut value = 0;
    for _ in 0..2 {
        let Some((digit, behind)) = rest
            .split_first()
            .and_then(|(byte, behind)| Some((char::from(*byte).to_digit(16)?, behind)))
        else {
            break;
        };
        value = value * 16 + digit;
        *rest = behind;
    }
    u8::try_from(value).map_err(|_| "\\x above FF".to_owned())
}

/// A number in braces that fits a byte.
fn braced(rest: &mut &[u8], radix: u32) -> Result<u8, String> {
    let end = memchr::memchr(b'}', rest).ok_or("unclosed \\x{")?;
    let text = rest.get(1..end).unwrap_or_default();
    let digits = std::str::from_utf8(text).unwrap_or_default().trim();
    *rest = rest.get(end + 1..).unwrap_or_default();
    u8::from_str_radix(digits, radix)
        .map_err(|_| format!("\\x{{{digits}}} is not a byte (patterns are matched on bytes)"))
}

/// Up to three octal digits, `first` already taken, modulo 256.
fn octal(first: u8, rest: &mut &[u8]) -> u8 {
    let mut value = first - b'0';
    for _ in 0..2 {
        let Some((&digit @ b'0'..=b'7', behind)) = rest.split_first() else {
            break;
        };
        value = value << 3 | (digit - b'0');
        *rest = behind;
    }
    value
}

/// The length of `n}`, `n,}` or `n,m}` at the start of `rest`, or none: then `{` is literal.
fn counted(rest: &[u8]) -> Option<usize> {
    let end = rest.iter().position(|byte| *byte == b'}')?;
    let text = rest.get(..end)?;
    let mut parts = text.splitn(2, |byte| *byte == b',');
    let least = parts.next()?;
    let most = parts.next().unwrap_or_default();
    let digits = |text: &[u8]| text.iter().all(u8::is_ascii_digit);
    (!least.is_empty() && digits(least) && digits(most)).then_some(end + 1)
}

/// The reserved name of a look-around, and how long its opening is.
fn look_around(special: &[u8]) -> Option<(&'static str, usize)> {
    Some(match special {
        [b'=', ..] => ("ahead", 1),
        [b'!', ..] => ("not_ahead", 1),
        [b'<', b'=', ..] => ("behind", 2),
        [b'<', b'!', ..] => ("not_behind", 2),
        _ => return None,
    })
}

/// `:`-free openings with a name, and the refusal of everything that is not a plain group.
fn named(special: &[u8]) -> Result<Option<(String, usize)>, String> {
    let (open, close) = match special {
        [b'=' | b'!', ..] => return Err("look-ahead (?= or (?!".to_owned()),
        [b'<', b'=' | b'!', ..] => return Err("look-behind (?<= or (?<!".to_owned()),
        [b'P', b'=', ..] => return Err("back-reference (?P=".to_owned()),
        [b'P', b'>', ..] | [b'&' | b'R' | b'+' | b'0'..=b'9', ..] | [b'-', b'0'..=b'9', ..] => {
            return Err("recursion".to_owned());
        }
        [b'(', ..] => return Err("conditional group (?(".to_owned()),
        [b'|', ..] => return Err("branch reset (?|".to_owned()),
        [b'P', b'<', ..] => (2, b'>'),
        [b'<', ..] => (1, b'>'),
        [b'\'', ..] => (1, b'\''),
        _ => return Ok(None),
    };
    let name = special.get(open..).unwrap_or_default();
    let end = memchr::memchr(close, name).ok_or("unclosed group name")?;
    let name = String::from_utf8_lossy(name.get(..end).unwrap_or_default()).into_owned();
    Ok(Some((format!("(?P<{name}>"), open + end + 1)))
}

/// How many capture groups the pattern has, near enough to tell `\10` from octal.
fn count_groups(pattern: &[u8]) -> usize {
    let mut groups = 0;
    let mut bytes = pattern.iter();
    let mut before = None;
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => {
                bytes.next();
            }
            b'(' => groups += 1,
            b'?' if before == Some(b'(') => groups -= 1,
            b'P' | b'<' | b'\'' if before == Some(b'?') => groups += 1,
            _ => {}
        }
        before = Some(*byte);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constructs_that_only_look_alike_are_spelt_out() {
        for (pcre, ours) in [
            (r"a{1,2}b{x}", r"a{1,2}b\x7Bx\x7D"),
            (r"\<b\>", r"\x3Cb\x3E"),
            (r"\x{e9}\xe9\x", r"\xE9\xE9\x00"),
            (r"\h+\N\R", r"[\t\x20\xA0]+[^\n](?:\r\n|[\n\x0B\x0C\r\x85])"),
            (r"\Qa.b\Ec", r"a\x2Ebc"),
            (r"a++b*+c?+(?>d)", r"a+b*c?(?:d)"),
            (r"(?x) a b # c (", "ab"),
            (r"(?i:a)(?-s).(?mx)\ b", r"(?i:a)(?-s).(?m)\x20b"),
            (r"(?'n'a)(?<m>b)(?#c)", r"(?P<n>a)(?P<m>b)"),
            ("é", r"\xC3\xA9"),
            (r"\012\101\e\cA", r"\x0AA\x1B\x01"),
            (r"(?-m)a$", r"(?-m)a(?:\n?\z)"),
        ] {
            assert_eq!(rewrite(pcre).as_deref(), Ok(ours), "{pcre}");
        }
    }

    #[test]
    fn what_is_not_linear_is_refused_by_name() {
        for (pcre, reason) in [
            ("(?=a)", "look-ahead"),
            ("(?<!a)", "look-behind"),
            (r"(a)\1", "back-reference"),
            (r"(?<n>a)\k<n>", "back-reference"),
            ("(?R)", "recursion"),
            ("(?(1)a|b)", "conditional"),
            (r"\x{100}", "not a byte"),
        ] {
            let error = rewrite(pcre).expect_err(pcre);
            assert!(error.contains(reason), "{pcre}: {error}");
        }
    }
}
