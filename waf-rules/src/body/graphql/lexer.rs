//! The tokens of a GraphQL document (section 2.1 of the specification).
//!
//! Commas and blanks separate and mean nothing. A byte that starts no token is an error.

use std::borrow::Cow;

use memchr::memchr2;

use crate::body::BodyError;
use crate::body::percent::digit;

/// A token. Strings are decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// One of `! $ & ( ) : = @ [ ] { | }`.
    Mark(u8),
    /// `...`
    Spread,
    Name(&'a [u8]),
    Number(&'a [u8]),
    /// A string; not closed where the end of the input cut it.
    Text {
        value: Cow<'a, [u8]>,
        closed: bool,
    },
    /// What follows a `#`.
    Comment(&'a [u8]),
    End,
}

/// Takes a document apart.
pub(super) struct Lexer<'a> {
    input: &'a [u8],
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self { input, at: 0 }
    }

    /// The next token and where it starts.
    pub(super) fn next(&mut self) -> Result<(usize, Token<'a>), BodyError> {
        loop {
            match self.rest() {
                [b' ' | b'\t' | b'\r' | b'\n' | b',', ..] => self.at += 1,
                [0xef, 0xbb, 0xbf, ..] => self.at += 3,
                _ => break,
            }
        }
        let start = self.at;
        let token = match self.rest() {
            [] => Token::End,
            [b'.', b'.', b'.', ..] => {
                self.at += 3;
                Token::Spread
            }
            [mark, ..] if b"!$&():=@[]{|}".contains(mark) => {
                self.at += 1;
                Token::Mark(*mark)
            }
            [b'_' | b'a'..=b'z' | b'A'..=b'Z', ..] => Token::Name(self.take_while(is_name)),
            [b'-' | b'0'..=b'9', ..] => Token::Number(self.number()?),
            [b'"', b'"', b'"', ..] => self.block(),
            [b'"', ..] => self.string()?,
            [b'#', ..] => {
                self.at += 1;
                let rest = self.rest();
                let end = memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
                self.at += end;
                Token::Comment(rest.get(..end).unwrap_or_default())
            }
            b"." | b".." => return Err(BodyError::end(start, "GraphQL spread is cut short")),
            _ => return Err(BodyError::new(start, "no GraphQL token")),
        };
        Ok((start, token))
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.rest().is_empty()
    }

    fn number(&mut self) -> Result<&'a [u8], BodyError> {
        let start = self.at;
        if self.rest().starts_with(b"-") {
            self.at += 1;
        }
        self.digits()?;
        if self.rest().starts_with(b".") {
            self.at += 1;
            self.digits()?;
        }
        if let [b'e' | b'E', after @ ..] = self.rest() {
            self.at += 1 + usize::from(matches!(after, [b'+' | b'-', ..]));
            self.digits()?;
        }
        if matches!(self.rest(), [byte, ..] if is_name(*byte) || *byte == b'.') {
            return Err(BodyError::new(start, "malformed GraphQL number"));
        }
        Ok(self.input.get(start..self.at).unwrap_or_default())
    }

    fn digits(&mut self) -> Result<(), BodyError> {
        if self.take_while(|byte| byte.is_ascii_digit()).is_empty() {
            let at_end = self.rest().is_empty();
            let error = if at_end {
                BodyError::end
            } else {
                BodyError::new
            };
            return Err(error(self.at, "malformed GraphQL number"));
        }
        Ok(())
    }

    fn string(&mut self) -> Result<Token<'a>, BodyError> {
        self.at += 1;
        let mut copied = self.at;
        let mut decoded: Option<Vec<u8>> = None;
        let closed = loop {
            match self.rest() {
                [b'"', ..] => break true,
                [b'\\', ..] => {
                    let plain = self.input.get(copied..self.at).unwrap_or_default();
                    let out = decoded.get_or_insert_default();
                    out.extend_from_slice(plain);
                    self.at += 1;
                    let Some(character) = self.escape()? else {
                        copied = self.input.len();
                        break false;
                    };
                    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                    copied = self.at;
                }
                [0..=8 | b'\n'..=0x1f, ..] => {
                    return Err(BodyError::new(self.at, "control byte in a GraphQL string"));
                }
                [_, ..] => self.at += 1,
                [] => break false,
            }
        };
        let plain = self.input.get(copied..self.at).unwrap_or_default();
        let value = match decoded {
            None => Cow::Borrowed(plain),
            Some(mut out) => {
                out.extend_from_slice(plain);
                Cow::Owned(out)
            }
        };
        self.at += usize::from(closed);
        Ok(Token::Text { value, closed })
    }

    /// Stands behind a backslash; nothing if the end of the input cuts the escape.
    fn escape(&mut self) -> Result<Option<char>, BodyError> {
        let character = match self.rest() {
            [byte @ (b'"' | b'\\' | b'/'), ..] => char::from(*byte),
            [b'b', ..] => '\x08',
            [b'f', ..] => '\x0c',
            [b'n', ..] => '\n',
            [b'r', ..] => '\r',
            [b't', ..] => '\t',
            [b'u', ..] => {
                self.at += 1;
                return self.code_point();
            }
            [] => return Ok(None),
            _ => return Err(BodyError::new(self.at, "unknown GraphQL escape")),
        };
        self.at += 1;
        Ok(Some(character))
    }

    /// `HHHH`, a pair of surrogates, or `{H...}`. What is no character is U+FFFD.
    fn code_point(&mut self) -> Result<Option<char>, BodyError> {
        let braced = self.rest().starts_with(b"{");
        self.at += usize::from(braced);
        let Some(mut code) = self.hex(braced)? else {
            return Ok(None);
        };
        let follows = self.rest().starts_with(b"\\u") && !self.rest().starts_with(b"\\u{");
        if !braced && (0xd800..0xdc00).contains(&code) && follows {
            let back = self.at;
            self.at += 2;
            match self.hex(false)? {
                None => return Ok(None),
                Some(low) if (0xdc00..0xe000).contains(&low) => {
                    code = 0x1_0000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                }
                Some(_) => self.at = back,
            }
        }
        Ok(Some(
            char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER),
        ))
    }

    fn hex(&mut self, braced: bool) -> Result<Option<u32>, BodyError> {
        let mut code = 0_u32;
        let mut digits = 0;
        loop {
            let Some(byte) = self.rest().first().copied() else {
                return Ok(None);
            };
            if braced && byte == b'}' && digits > 0 {
                self.at += 1;
                return Ok(Some(code));
            }
            let value = digit(byte)
                .filter(|_| digits < 8)
                .ok_or(BodyError::new(self.at, "malformed GraphQL escape"))?;
            code = (code << 4) | u32::from(value);
            digits += 1;
            self.at += 1;
            if !braced && digits == 4 {
                return Ok(Some(code));
            }
        }
    }

    /// A block string: only `\"""` is an escape. Its indentation is left as it stands.
    fn block(&mut self) -> Token<'a> {
        self.at += 3;
        let mut copied = self.at;
        let mut decoded = Vec::new();
        let closed = loop {
            match self.rest() {
                [b'"', b'"', b'"', ..] => break true,
                [b'\\', b'"', b'"', b'"', ..] => {
                    decoded.extend_from_slice(self.input.get(copied..self.at).unwrap_or_default());
                    copied = self.at + 1;
                    self.at += 4;
                }
                [_, ..] => self.at += 1,
                [] => break false,
            }
        };
        let plain = self.input.get(copied..self.at).unwrap_or_default();
        let value = if decoded.is_empty() {
            Cow::Borrowed(plain)
        } else {
            decoded.extend_from_slice(plain);
            Cow::Owned(decoded)
        };
        self.at += if closed { 3 } else { 0 };
        Token::Text { value, closed }
    }

    fn take_while(&mut self, mut fits: impl FnMut(u8) -> bool) -> &'a [u8] {
        let rest = self.input.get(self.at..).unwrap_or_default();
        let end = rest
            .iter()
            .position(|byte| !fits(*byte))
            .unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    fn rest(&self) -> &'a [u8] {
        self.input.get(self.at..).unwrap_or_default()
    }
}

const fn is_name(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric()
}
