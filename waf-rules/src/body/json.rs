//! JSON bodies (RFC 8259) as flat arguments.
//!
//! One iterative parser with an explicit stack, so depth is a number and never the machine's stack
//! (GHSA-6gcq-wc29-5xf2); there is no second one. Names may collide, values never overwrite
//! (GHSA-5gj4-9gm7-2fx2): duplicate keys and `a.b` beside `{"a":{"b":..}}` all reach the sink, in wire
//! order, and so does everything that stands before an error.
//!
//! Deliberate readings. Numbers, `true` and `false` are their raw text, `null` is empty. An empty object
//! or array below the root is a leaf with an empty value, so that no key escapes inspection. A UTF-8
//! byte order mark is skipped, since some backends do. `\u0000` is a NUL byte. A lone surrogate is
//! U+FFFD, as most backends read it. Strings that are not UTF-8, control bytes in strings, comments,
//! trailing commas, other encodings and bytes after the value are errors. A string that the end of the
//! input cuts short is handed out as far as it goes, since the engine may have cut it: a payload before
//! 128 KiB of padding must not pass unseen. A body of nothing but blanks is no error: a client that
//! sends no body sends no attack. NDJSON is the same parser, once a line.

use std::ops::{ControlFlow, Range};

use super::percent::digit;
use super::{BodyError, Sink};

/// What bounds the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Containers inside each other: `SecRequestBodyJsonDepthLimit`.
    pub(crate) depth: usize,
    /// Arguments handed out: `SecArgumentsLimit`. One more is an error.
    pub(crate) arguments: usize,
    /// Bytes of all names together. A long key over many array members would otherwise multiply: 64 KiB
    /// of body could ask for 2 GiB of names.
    pub(crate) name_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            depth: 1024,
            arguments: 1000,
            name_bytes: 4 << 20,
        }
    }
}

/// How array members are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Naming {
    /// ModSecurity v3: `json.c.array_0`, an empty key is `empty-key`.
    ModSecurity,
    /// Coraza: `json.c.0`, and `json.c` with the length after the members.
    #[default]
    Coraza,
}

/// Hands every leaf of `body` to `sink`.
///
/// # Errors
/// The first thing that is not JSON, a limit, or a sink that broke off.
pub(crate) fn parse(
    body: &[u8],
    limits: Limits,
    naming: Naming,
    sink: &mut Sink<'_>,
) -> Result<(), BodyError> {
    parse_as(b"json", body, limits, naming, sink)
}

/// As [`parse`], with another name for the root.
///
/// # Errors
/// As [`parse`].
pub(crate) fn parse_as(
    root: &[u8],
    body: &[u8],
    limits: Limits,
    naming: Naming,
    sink: &mut Sink<'_>,
) -> Result<(), BodyError> {
    Parser::new(body, limits, naming, root, sink).document()
}

/// Hands every leaf of a body that holds one document a line, named as if the lines were the members of
/// one array.
///
/// # Errors
/// As [`parse`], and a line break inside a document or none between two: backends that split at line
/// breaks would read something else.
pub(crate) fn parse_lines(
    body: &[u8],
    limits: Limits,
    naming: Naming,
    sink: &mut Sink<'_>,
) -> Result<(), BodyError> {
    Parser::new(body, limits, naming, b"json", sink).lines()
}

struct Parser<'a, 's, 'f> {
    input: &'a [u8],
    at: usize,
    limits: Limits,
    naming: Naming,
    sink: &'s mut Sink<'f>,
    /// Name of the value being read.
    path: Vec<u8>,
    /// The last string that held an escape, decoded.
    scratch: Vec<u8>,
    open: Vec<Container>,
    arguments: usize,
    name_bytes: usize,
    /// A line break ends the document.
    one_line: bool,
}

/// A container whose end has not been read.
struct Container {
    /// Length of its own name in `path`.
    name: usize,
    members: usize,
    array: bool,
}

/// What stands where a value may stand.
enum Value {
    Scalar,
    Opened,
}

/// A string, and whether its end has been seen.
struct Text {
    leaf: Leaf,
    closed: bool,
}

/// Where the bytes of a leaf are.
enum Leaf {
    Raw(Range<usize>),
    Scratch,
    Empty,
}

impl<'a, 's, 'f> Parser<'a, 's, 'f> {
    fn new(
        input: &'a [u8],
        limits: Limits,
        naming: Naming,
        root: &[u8],
        sink: &'s mut Sink<'f>,
    ) -> Self {
        let at = if input.starts_with(b"\xef\xbb\xbf") {
            3
        } else {
            0
        };
        Self {
            input,
            at,
            limits,
            naming,
            sink,
            path: root.to_vec(),
            scratch: Vec::new(),
            open: Vec::new(),
            arguments: 0,
            name_bytes: 0,
            one_line: false,
        }
    }

    fn document(&mut self) -> Result<(), BodyError> {
        self.blanks();
        if self.peek().is_none() {
            return Ok(());
        }
        self.tree()?;
        self.blanks();
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.wrong("bytes after the JSON value")),
        }
    }

    /// Documents, one a line; lines of blanks count for nothing.
    fn lines(&mut self) -> Result<(), BodyError> {
        let root = self.path.len();
        let mut index = 0;
        loop {
            self.one_line = false;
            self.blanks();
            if self.peek().is_none() {
                break;
            }
            self.one_line = true;
            self.path.truncate(root);
            self.path.push(b'.');
            self.index(index);
            index += 1;
            self.tree()?;
            self.blanks();
            if !matches!(self.peek(), None | Some(b'\n')) {
                return Err(self.wrong("bytes after the JSON value of a line"));
            }
        }
        self.path.truncate(root);
        if index > 0 && self.naming == Naming::Coraza {
            self.length(index)?;
        }
        Ok(())
    }

    /// One value with all it holds.
    fn tree(&mut self) -> Result<(), BodyError> {
        loop {
            let more = match self.value()? {
                Value::Opened => self.first_member()?,
                Value::Scalar => self.next_member()?,
            };
            if !more {
                return Ok(());
            }
        }
    }

    fn value(&mut self) -> Result<Value, BodyError> {
        self.blanks();
        let leaf = match self.peek() {
            Some(b'{') => return self.enter(false),
            Some(b'[') => return self.enter(true),
            Some(b'"') => {
                let text = self.string()?;
                if !text.closed {
                    self.emit(&text.leaf)?;
                    return Err(self.cut_string());
                }
                text.leaf
            }
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') => self.word(b"true")?,
            Some(b'f') => self.word(b"false")?,
            Some(b'n') => {
                self.word(b"null")?;
                Leaf::Empty
            }
            Some(_) => return Err(self.wrong("no JSON value")),
            None => return Err(self.ended("JSON value missing")),
        };
        self.emit(&leaf)?;
        Ok(Value::Scalar)
    }

    fn enter(&mut self, array: bool) -> Result<Value, BodyError> {
        if self.open.len() >= self.limits.depth {
            return Err(self.limit("JSON is too deep"));
        }
        self.at += 1;
        self.open.push(Container {
            name: self.path.len(),
            members: 0,
            array,
        });
        Ok(Value::Opened)
    }

    /// Stands after an opening bracket; true if a value follows, false if the document is complete.
    fn first_member(&mut self) -> Result<bool, BodyError> {
        self.blanks();
        if matches!(self.peek(), Some(b']' | b'}')) {
            return self.next_member();
        }
        self.member()?;
        Ok(true)
    }

    /// Stands after a value: closes what ends here and goes on behind the next comma.
    fn next_member(&mut self) -> Result<bool, BodyError> {
        loop {
            let Some(container) = self.open.last() else {
                return Ok(false);
            };
            let (array, members) = (container.array, container.members);
            self.blanks();
            match self.peek() {
                Some(b',') if members > 0 => {
                    self.at += 1;
                    self.member()?;
                    return Ok(true);
                }
                Some(b']') if array => self.close()?,
                Some(b'}') if !array => self.close()?,
                Some(_) => return Err(self.wrong("JSON separator missing")),
                None => return Err(self.ended("JSON container is not closed")),
            }
        }
    }

    /// Names the next member of the innermost container and stands before its value.
    fn member(&mut self) -> Result<(), BodyError> {
        let Some(container) = self.open.last_mut() else {
            return Ok(());
        };
        let (array, index) = (container.array, container.members);
        container.members += 1;
        self.path.truncate(container.name);
        self.path.push(b'.');
        if array {
            self.index(index);
            return Ok(());
        }
        self.blanks();
        match self.peek() {
            Some(b'"') => {}
            Some(_) => return Err(self.wrong("JSON key is not a string")),
            None => return Err(self.ended("JSON key missing")),
        }
        let text = self.string()?;
        let key = leaf_bytes(&text.leaf, self.input, &self.scratch);
        if key.is_empty() && self.naming == Naming::ModSecurity {
            self.path.extend_from_slice(b"empty-key");
        } else {
            self.path.extend_from_slice(key);
        }
        if !text.closed {
            self.emit(&Leaf::Empty)?;
            return Err(self.cut_string());
        }
        self.blanks();
        match self.peek() {
            Some(b':') => self.at += 1,
            Some(_) => return Err(self.wrong("JSON colon missing")),
            None => return Err(self.ended("JSON colon missing")),
        }
        Ok(())
    }

    /// Names member `index` of an array.
    fn index(&mut self, index: usize) {
        if self.naming == Naming::ModSecurity {
            self.path.extend_from_slice(b"array_");
        }
        self.path.extend_from_slice(index.to_string().as_bytes());
    }

    /// Hands out how many members an array had.
    fn length(&mut self, members: usize) -> Result<(), BodyError> {
        self.scratch.clear();
        self.scratch
            .extend_from_slice(members.to_string().as_bytes());
        self.emit(&Leaf::Scratch)
    }

    fn close(&mut self) -> Result<(), BodyError> {
        self.at += 1;
        let Some(container) = self.open.pop() else {
            return Ok(());
        };
        self.path.truncate(container.name);
        if container.array && self.naming == Naming::Coraza {
            self.length(container.members)
        } else if container.members == 0 && !self.open.is_empty() {
            self.emit(&Leaf::Empty)
        } else {
            Ok(())
        }
    }

    fn emit(&mut self, leaf: &Leaf) -> Result<(), BodyError> {
        self.arguments += 1;
        self.name_bytes = self.name_bytes.saturating_add(self.path.len());
        if self.arguments > self.limits.arguments {
            return Err(self.limit("too many JSON arguments"));
        }
        if self.name_bytes > self.limits.name_bytes {
            return Err(self.limit("JSON names are too long"));
        }
        let value = leaf_bytes(leaf, self.input, &self.scratch);
        match (self.sink)(&self.path, value) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(self.limit("too many arguments")),
        }
    }

    fn word(&mut self, word: &[u8]) -> Result<Leaf, BodyError> {
        let rest = self.input.get(self.at..).unwrap_or_default();
        if rest.starts_with(word) {
            let start = self.at;
            self.at += word.len();
            Ok(Leaf::Raw(start..self.at))
        } else if word.starts_with(rest) {
            Err(self.ended("JSON literal is cut short"))
        } else {
            Err(self.wrong("unknown JSON literal"))
        }
    }

    fn number(&mut self) -> Result<Leaf, BodyError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(Leaf::Raw(start..self.at))
    }

    fn digits(&mut self) -> Result<(), BodyError> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        match self.peek() {
            _ if self.at > start => Ok(()),
            Some(_) => Err(self.wrong("malformed JSON number")),
            None => Err(self.ended("JSON number is cut short")),
        }
    }

    /// Stands on a quotation mark; reads the string behind it.
    fn string(&mut self) -> Result<Text, BodyError> {
        self.at += 1;
        let start = self.at;
        let mut copied = start;
        let mut escaped = false;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    if !escaped {
                        self.scratch.clear();
                        escaped = true;
                    }
                    let plain = self.input.get(copied..self.at).unwrap_or_default();
                    self.scratch.extend_from_slice(plain);
                    self.escape()?;
                    copied = self.at;
                }
                Some(0..=0x1f) => return Err(self.wrong("control byte in a JSON string")),
                Some(_) => self.at += 1,
                None => break,
            }
        }
        let end = self.at;
        let closed = self.peek().is_some();
        self.at += 1;
        let raw = self.input.get(start..end).unwrap_or_default();
        if let Err(error) = std::str::from_utf8(raw)
            && (closed || error.error_len().is_some())
        {
            let offset = start + error.valid_up_to();
            return Err(BodyError::new(offset, "JSON string is not UTF-8"));
        }
        let leaf = if escaped {
            let plain = self.input.get(copied..end).unwrap_or_default();
            self.scratch.extend_from_slice(plain);
            Leaf::Scratch
        } else {
            Leaf::Raw(start..end)
        };
        Ok(Text { leaf, closed })
    }

    /// Stands on a backslash; appends what the escape means to `scratch`.
    fn escape(&mut self) -> Result<(), BodyError> {
        self.at += 1;
        let byte = match self.peek() {
            Some(byte @ (b'"' | b'\\' | b'/')) => byte,
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => {
                self.at += 1;
                return self.code_point();
            }
            Some(_) => return Err(self.wrong("unknown JSON escape")),
            None => return Err(self.ended("JSON escape is cut short")),
        };
        self.at += 1;
        self.scratch.push(byte);
        Ok(())
    }

    /// Stands on the four digits of `\uHHHH`, and joins a surrogate pair.
    fn code_point(&mut self) -> Result<(), BodyError> {
        let first = self.hex4()?;
        let mut code = u32::from(first);
        let follows = self.input.get(self.at..self.at + 2) == Some(b"\\u");
        if (0xd800..0xdc00).contains(&first) && follows {
            let back = self.at;
            self.at += 2;
            let second = self.hex4()?;
            if (0xdc00..0xe000).contains(&second) {
                code = 0x1_0000 + ((code - 0xd800) << 10) + (u32::from(second) - 0xdc00);
            } else {
                self.at = back; // the second escape stands for itself
            }
        }
        let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        let mut utf8 = [0; 4];
        self.scratch
            .extend_from_slice(character.encode_utf8(&mut utf8).as_bytes());
        Ok(())
    }

    fn hex4(&mut self) -> Result<u16, BodyError> {
        let mut code = 0;
        for _ in 0..4 {
            let Some(byte) = self.peek() else {
                return Err(self.ended("JSON escape is cut short"));
            };
            let Some(value) = digit(byte) else {
                return Err(self.wrong("malformed JSON escape"));
            };
            code = (code << 4) | u16::from(value);
            self.at += 1;
        }
        Ok(code)
    }

    fn blanks(&mut self) {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\r') => self.at += 1,
                Some(b'\n') if !self.one_line => self.at += 1,
                _ => return,
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.input.get(self.at).copied()
    }

    const fn cut_string(&self) -> BodyError {
        BodyError::end(self.input.len(), "JSON string is not closed")
    }

    const fn wrong(&self, reason: &'static str) -> BodyError {
        BodyError::new(self.at, reason)
    }

    const fn limit(&self, reason: &'static str) -> BodyError {
        BodyError::limit(self.at, reason)
    }

    const fn ended(&self, reason: &'static str) -> BodyError {
        BodyError::end(self.at, reason)
    }
}

fn leaf_bytes<'a>(leaf: &Leaf, input: &'a [u8], scratch: &'a [u8]) -> &'a [u8] {
    match leaf {
        Leaf::Raw(range) => input.get(range.clone()).unwrap_or_default(),
        Leaf::Scratch => scratch,
        Leaf::Empty => b"",
    }
}

#[cfg(test)]
mod tests;
