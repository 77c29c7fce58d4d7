//! GraphQL documents (specification of October 2021, sections 2.1 to 2.12) as flat arguments and counts.
//!
//! A query is a language of its own: read as one text it looks like a shell command or SQL to rules, and
//! the one thing in it that an attacker fills, its literals, hides between its braces. So every literal is
//! handed out under the path of its field, `graphql.user.posts.filter.tags.0`, and the shape of the
//! document (depth, fields, aliases, directives, with fragments followed) is counted, since a server pays
//! for what a query asks and not for its length.
//!
//! One iterative parser with explicit stacks. Whatever is no literal is a name, a number or punctuation
//! by the grammar, so nothing an attacker could write freely is left out: comments are handed out as
//! well. Schema definitions are an error, as they are to servers. What stands before an error has been
//! handed out; the caller inspects a document that is in error raw besides.

use std::ops::Range;

use super::json::Naming;
use super::{BodyError, Sink};

mod cost;
mod lexer;

use cost::Part;
use lexer::{Lexer, Token};

/// What bounds the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Selection sets, lists and objects inside each other.
    pub(crate) depth: usize,
    /// Operations, fragments, spreads and fields written, all together.
    pub(crate) nodes: usize,
    /// Arguments handed out: `SecArgumentsLimit`. One more is an error.
    pub(crate) arguments: usize,
    /// Bytes of all names together, as for JSON.
    pub(crate) name_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            depth: 128,
            nodes: 10_000,
            arguments: 1000,
            name_bytes: 4 << 20,
        }
    }
}

/// What a document asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Document {
    /// Kind and name of every operation; no name is empty.
    pub(crate) operations: Vec<(&'static str, Range<usize>)>,
    /// Where the name of every field stands, as far as they were read.
    pub(crate) field_names: Vec<Range<usize>>,
    /// What the operations cost together, fragments followed.
    pub(crate) cost: Cost,
    /// How many arguments were handed out.
    pub(crate) arguments: usize,
    /// How many operations, fragments, spreads and fields were read.
    pub(crate) nodes: usize,
    /// The first thing that is not GraphQL, or a limit.
    pub(crate) error: Option<BodyError>,
}

/// The shape of operations. Fragments can double it at every step, so it stops at the largest number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Cost {
    /// Fields inside each other.
    pub(crate) depth: usize,
    pub(crate) fields: usize,
    pub(crate) aliases: usize,
    pub(crate) directives: usize,
}

/// Hands every literal of `text` to `sink`, under names that begin with `prefix`.
pub(crate) fn parse(
    text: &[u8],
    limits: Limits,
    naming: Naming,
    prefix: &[u8],
    sink: &mut Sink<'_>,
) -> Document {
    let mut parser = Parser {
        lexer: Lexer::new(text),
        token: Token::End,
        start: 0,
        limits,
        naming,
        sink,
        path: prefix.to_vec(),
        prefix: prefix.len(),
        name_bytes: 0,
        parts: Vec::new(),
        document: Document::default(),
    };
    let outcome = match std::str::from_utf8(text) {
        Ok(_) => parser.document(),
        Err(error) if error.error_len().is_some() => {
            Err(BodyError::new(error.valid_up_to(), "GraphQL is not UTF-8"))
        }
        // Cut inside a character, which is in a string or a comment if it is anywhere.
        Err(_) => parser.document(),
    };
    let Parser {
        parts,
        mut document,
        ..
    } = parser;
    document.error = outcome.err();
    match cost::total(text, &parts) {
        Ok(cost) => document.cost = cost,
        Err(reason) => {
            let error = BodyError::new(text.len(), reason);
            document.error.get_or_insert(error);
        }
    }
    document
}

struct Parser<'a, 's, 'f> {
    lexer: Lexer<'a>,
    /// The token that is looked at, and where it starts.
    token: Token<'a>,
    start: usize,
    limits: Limits,
    naming: Naming,
    sink: &'s mut Sink<'f>,
    /// Name of the value being read.
    path: Vec<u8>,
    /// How much of it all names begin with.
    prefix: usize,
    name_bytes: usize,
    /// Operations and fragments.
    parts: Vec<Part>,
    document: Document,
}

/// A selection set whose end has not been read.
struct Selections {
    /// Length of its field's name in the path.
    name: usize,
    /// How many fields it is inside of.
    depth: usize,
}

/// A list or object literal whose end has not been read.
struct Container {
    name: usize,
    members: usize,
    list: bool,
}

type Step = Result<(), BodyError>;

impl<'a> Parser<'a, '_, '_> {
    fn document(&mut self) -> Step {
        self.advance()?;
        while self.token != Token::End {
            self.definition()?;
        }
        if self.document.operations.is_empty() {
            return Err(self.ended("GraphQL document has no operation"));
        }
        Ok(())
    }

    fn definition(&mut self) -> Step {
        let root = self.path.len();
        match self.token {
            Token::Mark(b'{') => self.operation("query", self.start..self.start)?,
            Token::Name(b"query") => self.named_operation("query")?,
            Token::Name(b"mutation") => self.named_operation("mutation")?,
            Token::Name(b"subscription") => self.named_operation("subscription")?,
            Token::Name(b"fragment") => self.fragment()?,
            _ => {
                let words = ["query", "mutation", "subscription", "fragment"];
                return Err(self.not_one_of(&words, "no GraphQL operation or fragment"));
            }
        }
        self.directives()?;
        if self.token != Token::Mark(b'{') {
            return Err(self.wrong("GraphQL selection set missing"));
        }
        self.selections()?;
        self.path.truncate(root);
        Ok(())
    }

    fn operation(&mut self, kind: &'static str, name: Range<usize>) -> Step {
        self.node("too many GraphQL operations")?;
        self.document.operations.push((kind, name));
        self.parts.push(Part::default());
        Ok(())
    }

    /// Counts one more of what is written in the document.
    fn node(&mut self, too_many: &'static str) -> Step {
        if self.document.nodes >= self.limits.nodes {
            return Err(BodyError::limit(self.start, too_many));
        }
        self.document.nodes += 1;
        Ok(())
    }

    fn named_operation(&mut self, kind: &'static str) -> Step {
        self.advance()?;
        let mut name = self.start..self.start;
        if let Token::Name(text) = self.token {
            name.end += text.len();
            self.advance()?;
        }
        self.operation(kind, name)?;
        if self.token == Token::Mark(b'(') {
            self.advance()?;
            while self.token != Token::Mark(b')') {
                self.variable_definition()?;
            }
            self.advance()?;
        }
        Ok(())
    }

    /// `$name: Type = default @directives`
    fn variable_definition(&mut self) -> Step {
        let root = self.path.len();
        self.expect(b'$', "GraphQL variable missing")?;
        let name = self.name("GraphQL variable has no name")?;
        self.path.extend_from_slice(b".$");
        self.path.extend_from_slice(name);
        self.expect(b':', "GraphQL variable has no type")?;
        self.kind()?;
        if self.token == Token::Mark(b'=') {
            self.advance()?;
            self.value()?;
        }
        self.directives()?;
        self.path.truncate(root);
        Ok(())
    }

    /// A type: a name in any number of brackets.
    fn kind(&mut self) -> Step {
        let mut open = 0_usize;
        while self.token == Token::Mark(b'[') {
            open += 1;
            if open > self.limits.depth {
                return Err(BodyError::limit(self.start, "GraphQL is too deep"));
            }
            self.advance()?;
        }
        self.name("GraphQL type missing")?;
        loop {
            if self.token == Token::Mark(b'!') {
                self.advance()?;
            }
            if open == 0 {
                return Ok(());
            }
            self.expect(b']', "GraphQL type is not closed")?;
            open -= 1;
        }
    }

    fn fragment(&mut self) -> Step {
        self.advance()?;
        let start = self.start;
        let name = self.name("GraphQL fragment has no name")?;
        if name == b"on" || self.token != Token::Name(b"on") {
            return Err(self.not_one_of(&["on"], "GraphQL fragment without `on`"));
        }
        self.node("too many GraphQL fragments")?;
        self.parts.push(Part {
            fragment: Some(start..start + name.len()),
            ..Part::default()
        });
        self.advance()?;
        self.name("GraphQL fragment has no type")?;
        Ok(())
    }

    /// Stands on the opening brace of a definition; reads to behind its closing one.
    fn selections(&mut self) -> Step {
        let mut open = vec![Selections {
            name: self.path.len(),
            depth: 0,
        }];
        self.advance()?;
        while let Some(set) = open.last() {
            let (name, depth) = (set.name, set.depth);
            self.path.truncate(name);
            let inner = match self.token {
                Token::Mark(b'}') => {
                    open.pop();
                    self.advance()?;
                    continue;
                }
                Token::Spread => self.spread(depth)?.then_some(depth),
                Token::Name(_) => self.field(depth)?.then_some(depth + 1),
                Token::End => return Err(self.ended("GraphQL selection set is not closed")),
                _ => return Err(self.wrong("no GraphQL selection")),
            };
            if let Some(depth) = inner {
                if open.len() >= self.limits.depth {
                    return Err(BodyError::limit(self.start, "GraphQL is too deep"));
                }
                open.push(Selections {
                    name: self.path.len(),
                    depth,
                });
                self.advance()?;
            }
        }
        Ok(())
    }

    /// `alias: name(arguments) @directives`; true if its selection set follows.
    fn field(&mut self, depth: usize) -> Result<bool, BodyError> {
        let mut at = self.start;
        let mut name = self.name("GraphQL field has no name")?;
        let aliased = self.token == Token::Mark(b':');
        if aliased {
            self.advance()?;
            at = self.start;
            name = self.name("GraphQL alias without a field")?;
        }
        self.node("too many GraphQL fields")?;
        self.document.field_names.push(at..at + name.len());
        if let Some(part) = self.parts.last_mut() {
            part.own.fields += 1;
            part.own.aliases += usize::from(aliased);
            part.own.depth = part.own.depth.max(depth + 1);
        }
        self.path.push(b'.');
        self.path.extend_from_slice(name);
        self.arguments()?;
        self.directives()?;
        Ok(self.token == Token::Mark(b'{'))
    }

    /// Stands on `...`; true if a selection set follows.
    fn spread(&mut self, depth: usize) -> Result<bool, BodyError> {
        self.advance()?;
        match self.token {
            Token::Name(b"on") => {
                self.advance()?;
                self.name("GraphQL fragment has no type")?;
            }
            Token::Name(name) => {
                self.node("too many GraphQL spreads")?;
                let spread = (self.start..self.start + name.len(), depth);
                if let Some(part) = self.parts.last_mut() {
                    part.spreads.push(spread);
                }
                self.advance()?;
                self.directives()?;
                return Ok(false);
            }
            _ => {}
        }
        self.directives()?;
        if self.token == Token::Mark(b'{') {
            Ok(true)
        } else {
            Err(self.wrong("GraphQL fragment has no selection set"))
        }
    }

    fn directives(&mut self) -> Step {
        while self.token == Token::Mark(b'@') {
            let root = self.path.len();
            self.advance()?;
            let name = self.name("GraphQL directive has no name")?;
            self.path.extend_from_slice(b".@");
            self.path.extend_from_slice(name);
            if let Some(part) = self.parts.last_mut() {
                part.own.directives += 1;
            }
            self.arguments()?;
            self.path.truncate(root);
        }
        Ok(())
    }

    fn arguments(&mut self) -> Step {
        if self.token != Token::Mark(b'(') {
            return Ok(());
        }
        let root = self.path.len();
        self.advance()?;
        while self.token != Token::Mark(b')') {
            let name = self.name("GraphQL argument has no name")?;
            self.path.push(b'.');
            self.path.extend_from_slice(name);
            self.expect(b':', "GraphQL argument has no value")?;
            self.value()?;
            self.path.truncate(root);
        }
        self.advance()
    }

    /// Reads a literal or a variable, with all it holds.
    fn value(&mut self) -> Step {
        let mut open: Vec<Container> = Vec::new();
        loop {
            let entered = self.value_start(open.len())?;
            if let Some(list) = entered {
                open.push(Container {
                    name: self.path.len(),
                    members: 0,
                    list,
                });
            }
            loop {
                let Some(container) = open.last_mut() else {
                    return Ok(());
                };
                self.path.truncate(container.name);
                let end = if container.list { b']' } else { b'}' };
                if self.token != Token::Mark(end) {
                    break;
                }
                open.pop();
                self.advance()?;
            }
            if let Some(container) = open.last_mut() {
                let (list, index) = (container.list, container.members);
                container.members += 1;
                self.member(list, index)?;
            }
        }
    }

    /// A scalar is handed out; a list or an object is entered: true for a list.
    fn value_start(&mut self, open: usize) -> Result<Option<bool>, BodyError> {
        let list = match std::mem::replace(&mut self.token, Token::End) {
            Token::Mark(b'$') => {
                self.advance()?;
                self.name("GraphQL variable has no name")?;
                return Ok(None);
            }
            Token::Text { value, closed } => {
                self.emit(&value)?;
                if !closed {
                    return Err(self.ended("GraphQL string is not closed"));
                }
                self.advance()?;
                return Ok(None);
            }
            Token::Name(b"null") => {
                self.emit(b"")?;
                self.advance()?;
                return Ok(None);
            }
            Token::Name(text) | Token::Number(text) => {
                self.emit(text)?;
                self.advance()?;
                return Ok(None);
            }
            Token::Mark(b'[') => true,
            Token::Mark(b'{') => false,
            Token::End => return Err(self.ended("GraphQL value missing")),
            other => {
                self.token = other;
                return Err(self.wrong("no GraphQL value"));
            }
        };
        if open >= self.limits.depth {
            return Err(BodyError::limit(self.start, "GraphQL is too deep"));
        }
        self.advance()?;
        Ok(Some(list))
    }

    /// Names member `index` of a list, or the next field of an object.
    fn member(&mut self, list: bool, index: usize) -> Step {
        self.path.push(b'.');
        if list {
            if self.naming == Naming::ModSecurity {
                self.path.extend_from_slice(b"array_");
            }
            self.path.extend_from_slice(index.to_string().as_bytes());
            return Ok(());
        }
        let name = self.name("GraphQL object key is not a name")?;
        self.path.extend_from_slice(name);
        self.expect(b':', "GraphQL object key has no value")
    }

    fn emit(&mut self, value: &[u8]) -> Step {
        self.document.arguments += 1;
        self.name_bytes = self.name_bytes.saturating_add(self.path.len());
        let reason = if self.document.arguments > self.limits.arguments {
            "too many GraphQL arguments"
        } else if self.name_bytes > self.limits.name_bytes {
            "GraphQL names are too long"
        } else if (self.sink)(&self.path, value).is_break() {
            "too many arguments"
        } else {
            return Ok(());
        };
        // A limit is an error even where the body was cut.
        Err(BodyError::limit(self.start, reason))
    }

    /// Takes the next token; comments are handed out on the way.
    fn advance(&mut self) -> Step {
        loop {
            let (start, token) = self.lexer.next()?;
            self.start = start;
            let Token::Comment(text) = token else {
                self.token = token;
                return Ok(());
            };
            if !text.trim_ascii().is_empty() {
                let mut comment = self.path.get(..self.prefix).unwrap_or_default().to_vec();
                comment.extend_from_slice(b".#");
                let path = std::mem::replace(&mut self.path, comment);
                self.emit(text)?;
                self.path = path;
            }
        }
    }

    fn name(&mut self, missing: &'static str) -> Result<&'a [u8], BodyError> {
        let Token::Name(name) = self.token else {
            return Err(self.wrong(missing));
        };
        self.advance()?;
        Ok(name)
    }

    fn expect(&mut self, mark: u8, missing: &'static str) -> Step {
        if self.token != Token::Mark(mark) {
            return Err(self.wrong(missing));
        }
        self.advance()
    }

    /// The token is none of these words; it may be the start of one that the end of the input cut.
    fn not_one_of(&self, words: &[&str], reason: &'static str) -> BodyError {
        match self.token {
            Token::Name(cut)
                if self.lexer.is_at_end()
                    && words.iter().any(|word| word.as_bytes().starts_with(cut)) =>
            {
                self.ended(reason)
            }
            _ => self.wrong(reason),
        }
    }

    fn wrong(&self, reason: &'static str) -> BodyError {
        match self.token {
            Token::End => self.ended(reason),
            _ => BodyError::new(self.start, reason),
        }
    }

    const fn ended(&self, reason: &'static str) -> BodyError {
        BodyError::end(self.start, reason)
    }
}

#[cfg(test)]
mod tests;
