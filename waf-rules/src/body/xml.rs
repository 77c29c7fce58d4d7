//! XML bodies (XML 1.0, fifth edition) as the two values most rules ask for, `XML:/*` and `XML://@*`, and as
//! the nodes that other paths mean ([`xpath`]); only for those is a tree kept.
//!
//! No entity is ever declared, expanded or fetched: only the five predefined ones and character
//! references are read. A reference to any other entity, and a DTD with an internal subset (where
//! entities, and attribute defaults, would be declared), is an error, never silence. So billion laughs,
//! quadratic blow-up and XXE end here, while a `<!DOCTYPE html PUBLIC ..>` passes.
//!
//! Deliberate readings. Comments are left out, as libxml2's `xmlNodeGetContent` does; namespace
//! declarations count as attributes, other than in XPath, since a backend reads them all the same, and so
//! would an attack that hid in one. External identifiers of a DOCTYPE and the content of
//! processing instructions are handed out beside the attributes, since a backend that follows them
//! *is* the attack. UTF-8, US-ASCII and ISO-8859-1 are read; every other encoding, declared or seen
//! (UTF-16 and UTF-32 show as NUL bytes), is an error. After an error the unread rest stands raw at the end of
//! `text`: v3 shows no values then, but a host that goes on inspects what the backend may read.

use std::borrow::Cow;

use memchr::memmem;
use quick_xml::Reader;
use quick_xml::errors::SyntaxError;
use quick_xml::events::{BytesStart, Event};

use super::BodyError;

mod tree;
mod xpath;

use tree::Tree;
pub(crate) use xpath::XPath;

/// What bounds the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Elements inside each other; libxml2 stops at 256 too.
    pub(crate) depth: usize,
    /// Attributes of the whole document.
    pub(crate) attributes: usize,
    /// Attributes of one element; finding duplicates costs its square.
    pub(crate) element_attributes: usize,
    /// Nodes that all paths mean together, and bytes of their text: nodes inside each other repeat theirs.
    pub(crate) path_values: usize,
    pub(crate) path_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            depth: 256,
            attributes: 20_000,
            element_attributes: 256,
            path_values: 20_000,
            path_bytes: 8 << 20,
        }
    }
}

/// What rules can see of a document.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Xml {
    /// `XML:/*`: the text of the root and everything in it, in document order.
    pub(crate) text: Vec<u8>,
    /// `XML://@*`: one value an attribute, in document order.
    pub(crate) attributes: Vec<Vec<u8>>,
    /// Number of a path and the text of a node it means, path by path in document order.
    pub(crate) found: Vec<(usize, Vec<u8>)>,
    /// The document is not well-formed, or is refused.
    pub(crate) error: Option<BodyError>,
}

/// Reads a document; `paths` are what rules ask for beyond its text and attributes.
pub(crate) fn parse(body: &[u8], limits: Limits, paths: &[XPath]) -> Xml {
    let mut xml = Xml::default();
    let (document, mut error) = decode(body);
    let mut walk = Walk {
        document: &document,
        limits,
        xml: &mut xml,
        depth: 0,
        root: Root::Before,
        doctype: false,
        tree: (!paths.is_empty()).then(Tree::new),
    };
    let outcome = walk.document();
    let tree = walk.tree.take();
    if let Some(mut tree) = tree {
        tree.complete(&xml.text);
        error = error.or(select(&tree, paths, limits, &mut xml.found));
    }
    if let Err(found) = outcome {
        let rest = document.as_bytes().get(found.offset..).unwrap_or_default();
        xml.text.extend_from_slice(rest);
        // Where only the encoding broke, the walk just ran into the end it left.
        if !found.at_end || error.is_none() {
            error = Some(found);
        }
    }
    if let Some(error) = error {
        if document.is_empty() {
            xml.text.extend_from_slice(body);
        }
        xml.error = Some(error);
    }
    xml
}

/// Finds what every path means; an error if that is more than the limits allow.
fn select(
    tree: &Tree,
    paths: &[XPath],
    limits: Limits,
    found: &mut Vec<(usize, Vec<u8>)>,
) -> Option<BodyError> {
    let mut bytes = 0;
    let mut error = None;
    for (number, path) in paths.iter().enumerate() {
        path.select(tree, &mut |text| {
            bytes += text.len();
            if found.len() >= limits.path_values {
                error = Some(BodyError::new(0, "too many XPath values"));
            } else if bytes > limits.path_bytes {
                error = Some(BodyError::new(0, "too much text for XPath"));
            } else {
                found.push((number, text.to_vec()));
            }
            error.is_none()
        });
    }
    error
}

struct Walk<'a, 'x> {
    document: &'a str,
    limits: Limits,
    xml: &'x mut Xml,
    depth: usize,
    root: Root,
    doctype: bool,
    tree: Option<Tree>,
}

/// Where the reader stands, as seen from the root element.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Root {
    Before,
    Inside,
    After,
}

impl Walk<'_, '_> {
    fn document(&mut self) -> Result<(), BodyError> {
        let document = self.document;
        let mut reader = Reader::from_str(document);
        reader.config_mut().check_comments = true;
        loop {
            let start = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
            match reader.read_event() {
                Ok(Event::Eof) => break,
                Ok(event) => self
                    .event(&event, start)
                    .map_err(|reason| BodyError::new(start, reason))?,
                Err(error) => {
                    let at = usize::try_from(reader.error_position()).unwrap_or(usize::MAX);
                    // A construct that broke is inspected raw from its first byte.
                    return Err(syntax(&error, document, start.min(at)));
                }
            }
        }
        match self.root {
            Root::After => Ok(()),
            Root::Before => Err(BodyError::end(document.len(), "XML root is missing")),
            Root::Inside => Err(BodyError::end(document.len(), "XML element is not closed")),
        }
    }

    fn event(&mut self, event: &Event<'_>, start: usize) -> Result<(), &'static str> {
        match event {
            Event::Start(element) => {
                self.open(element)?;
                self.depth += 1;
                Ok(())
            }
            Event::Empty(element) => {
                self.open(element)?;
                self.close();
                self.leave();
                Ok(())
            }
            Event::End(_) => {
                self.depth = self.depth.saturating_sub(1);
                self.close();
                self.leave();
                Ok(())
            }
            Event::Text(text) => self.characters(text),
            Event::CData(text) if self.root == Root::Inside => {
                self.text(text.as_bytes(), false);
                Ok(())
            }
            Event::CData(_) => Err("XML text outside the root"),
            Event::GeneralRef(name) => {
                if self.root != Root::Inside {
                    return Err("XML text outside the root");
                }
                let character = reference(name)?;
                self.text(character.encode_utf8(&mut [0; 4]).as_bytes(), true);
                Ok(())
            }
            Event::DocType(content) => self.doctype(content),
            Event::PI(content) => {
                self.interrupt();
                self.attribute(content.as_bytes().to_vec())
            }
            Event::Decl(_) if start > 0 => Err("XML declaration is not at the start"),
            Event::Comment(_) => {
                self.interrupt();
                Ok(())
            }
            Event::Decl(_) | Event::Eof => Ok(()),
        }
    }

    /// Adds to the text; `joins` if it may go on with the text node before it.
    fn text(&mut self, text: &[u8], joins: bool) {
        let start = self.xml.text.len();
        self.xml.text.extend_from_slice(text);
        if let Some(tree) = &mut self.tree {
            tree.characters(start..self.xml.text.len(), joins);
        }
    }

    fn interrupt(&mut self) {
        if let Some(tree) = &mut self.tree {
            tree.interrupt();
        }
    }

    fn close(&mut self) {
        if let Some(tree) = &mut self.tree {
            tree.end(self.xml.text.len());
        }
    }

    fn open(&mut self, element: &BytesStart<'_>) -> Result<(), &'static str> {
        if self.root == Root::After {
            return Err("XML has two roots");
        }
        self.root = Root::Inside;
        if self.depth >= self.limits.depth {
            return Err("XML is too deep");
        }
        if !is_name(element.name().as_ref()) {
            return Err("malformed XML element name");
        }
        let first = self.xml.attributes.len();
        let mut names = Vec::new();
        for (index, attribute) in element.attributes().enumerate() {
            if index >= self.limits.element_attributes {
                return Err("too many XML attributes on one element");
            }
            let attribute = attribute.map_err(|_| "malformed XML attribute")?;
            let name = attribute.key.as_ref();
            if !is_name(name) {
                return Err("malformed XML attribute name");
            }
            self.attribute(attribute_value(&attribute.value)?)?;
            if self.tree.is_some() {
                names.push(name.to_owned());
            }
        }
        if let Some(tree) = &mut self.tree {
            let values = self.xml.attributes.iter().skip(first);
            let values = values.map(Vec::as_slice);
            let names = names.iter().map(String::as_str);
            let attributes: Vec<_> = names.zip(values).collect();
            tree.begin(element.name().as_ref(), &attributes, self.xml.text.len())?;
        }
        Ok(())
    }

    fn leave(&mut self) {
        if self.depth == 0 {
            self.root = Root::After;
        }
    }

    fn characters(&mut self, text: &str) -> Result<(), &'static str> {
        if self.root == Root::Inside {
            self.text(text.as_bytes(), true);
            if text.contains("]]>") {
                return Err("]]> in XML text");
            }
        } else if !text.bytes().all(is_blank) {
            return Err("XML text outside the root");
        }
        Ok(())
    }

    /// A document type: its external identifiers are handed out, an internal subset is refused.
    fn doctype(&mut self, content: &str) -> Result<(), &'static str> {
        if self.doctype || self.root != Root::Before {
            return Err("misplaced XML DOCTYPE");
        }
        self.doctype = true;
        let content = content.trim_matches(|c: char| c.is_ascii_whitespace());
        let name_end = content
            .find(|c: char| c.is_ascii_whitespace() || c == '[')
            .unwrap_or(content.len());
        let (name, mut rest) = content.split_at_checked(name_end).unwrap_or((content, ""));
        if !is_name(name) {
            return Err("malformed XML DOCTYPE");
        }
        rest = rest.trim_start();
        let literals = match rest.split_at_checked(6) {
            Some(("SYSTEM", after)) => {
                rest = after;
                1
            }
            Some(("PUBLIC", after)) => {
                rest = after;
                2
            }
            _ => 0,
        };
        for _ in 0..literals {
            rest = rest.trim_start();
            let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''));
            let (literal, after) = quote
                .and_then(|quote| rest.strip_prefix(quote)?.split_once(quote))
                .ok_or("malformed XML DOCTYPE")?;
            self.attribute(literal.as_bytes().to_vec())?;
            rest = after;
        }
        match rest.trim_start().chars().next() {
            None => Ok(()),
            Some('[') => Err("XML DTD with an internal subset"),
            Some(_) => Err("malformed XML DOCTYPE"),
        }
    }

    fn attribute(&mut self, value: Vec<u8>) -> Result<(), &'static str> {
        if self.xml.attributes.len() >= self.limits.attributes {
            return Err("too many XML attributes");
        }
        self.xml.attributes.push(value);
        Ok(())
    }
}

/// The document as UTF-8, as far as it can be read, and what kept the rest from it.
fn decode(body: &[u8]) -> (Cow<'_, str>, Option<BodyError>) {
    let forbidden = |byte: &u8| matches!(byte, 0..=8 | 0xb | 0xc | 0xe..=0x1f);
    if let Some(at) = body.iter().position(forbidden) {
        let error = BodyError::new(at, "control byte in XML, or not UTF-8");
        return (Cow::Borrowed(""), Some(error));
    }
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    match declared_encoding(body).map(<[u8]>::to_ascii_lowercase) {
        None => utf8(body),
        Some(name) => match name.as_slice() {
            b"utf-8" | b"utf8" | b"us-ascii" | b"ascii" => utf8(body),
            b"iso-8859-1" | b"latin1" | b"iso_8859-1" => {
                let text = body.iter().copied().map(char::from).collect();
                (Cow::Owned(text), None)
            }
            _ => {
                let error = BodyError::new(0, "XML encoding is not supported");
                (Cow::Borrowed(""), Some(error))
            }
        },
    }
}

fn utf8(body: &[u8]) -> (Cow<'_, str>, Option<BodyError>) {
    match std::str::from_utf8(body) {
        Ok(text) => (Cow::Borrowed(text), None),
        Err(error) if error.error_len().is_none() => {
            let valid = body.get(..error.valid_up_to()).unwrap_or_default();
            let text = std::str::from_utf8(valid).unwrap_or_default();
            let cut = BodyError::end(error.valid_up_to(), "XML is cut inside a character");
            (Cow::Borrowed(text), Some(cut))
        }
        Err(error) => {
            let error = BodyError::new(error.valid_up_to(), "XML is not UTF-8");
            (Cow::Borrowed(""), Some(error))
        }
    }
}

/// The encoding an XML declaration names. Sought before parsing, since parsing needs it.
fn declared_encoding(body: &[u8]) -> Option<&[u8]> {
    let head = body.strip_prefix(b"<?xml")?;
    let head = head.get(..memmem::find(head, b"?>")?)?;
    let at = memmem::find(head, b"encoding")?;
    let value = head.get(at + 8..)?.trim_ascii_start().strip_prefix(b"=")?;
    let (quote, value) = value.trim_ascii_start().split_first()?;
    value.split(|byte| byte == quote).next()
}

/// An attribute value with its references resolved and its blanks normalised.
fn attribute_value(raw: &str) -> Result<Vec<u8>, &'static str> {
    let mut value = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find(['&', '<', '\t', '\n', '\r']) {
        let (plain, special) = rest.split_at_checked(at).unwrap_or((rest, ""));
        value.extend_from_slice(plain.as_bytes());
        if let Some(after) = special.strip_prefix('&') {
            let (name, after) = after.split_once(';').ok_or("unclosed XML reference")?;
            push(&mut value, reference(name)?);
            rest = after;
        } else if special.starts_with('<') {
            return Err("< in an XML attribute");
        } else {
            value.push(b' ');
            rest = special.get(1..).unwrap_or_default();
        }
    }
    value.extend_from_slice(rest.as_bytes());
    Ok(value)
}

/// What stands between `&` and `;`: a predefined entity or a character reference, nothing else.
fn reference(name: &str) -> Result<char, &'static str> {
    let code = match name {
        "lt" => return Ok('<'),
        "gt" => return Ok('>'),
        "amp" => return Ok('&'),
        "apos" => return Ok('\''),
        "quot" => return Ok('"'),
        _ => match (name.strip_prefix("#x"), name.strip_prefix('#')) {
            (Some(hex), _) if hex.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                u32::from_str_radix(hex, 16)
            }
            (None, Some(decimal)) if decimal.bytes().all(|byte| byte.is_ascii_digit()) => {
                decimal.parse()
            }
            _ => return Err("XML entity is not predefined"),
        },
    };
    code.ok()
        .filter(|code| !matches!(code, 0..=8 | 0xb | 0xc | 0xe..=0x1f | 0xfffe | 0xffff))
        .and_then(char::from_u32)
        .ok_or("XML character reference is not a character")
}

fn push(out: &mut Vec<u8>, character: char) {
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
}

fn is_name(name: &str) -> bool {
    let start = |byte: u8| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b':' | 0x80..);
    let inner = |byte: u8| start(byte) || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    name.bytes().next().is_some_and(start) && name.bytes().all(inner)
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// What quick-xml refused, in our words.
fn syntax(error: &quick_xml::Error, document: &str, at: usize) -> BodyError {
    let rest = document.as_bytes().get(at..).unwrap_or_default();
    match error {
        // "<!x" and a cut "<!DOCTY" are one error there; nine bytes are the longest opening.
        quick_xml::Error::Syntax(SyntaxError::InvalidBangMarkup) if rest.len() >= 9 => {
            BodyError::new(at, "unknown XML markup")
        }
        quick_xml::Error::Syntax(_) => BodyError::end(at, "XML markup is not closed"),
        quick_xml::Error::IllFormed(_) if is_cut_reference(rest) => {
            BodyError::end(at, "XML reference is not closed")
        }
        _ => BodyError::new(at, "XML is not well-formed"),
    }
}

fn is_cut_reference(rest: &[u8]) -> bool {
    rest.split_first().is_some_and(|(first, name)| {
        *first == b'&'
            && name
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'#')
    })
}

#[cfg(test)]
mod tests;
