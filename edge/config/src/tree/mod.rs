//! A configuration file as a tree whose every node knows its place.
//!
//! [`parse`](parse::parse) makes it from YAML under bounds, [`expand`](expand::expand) puts the
//! environment in, [`de`] hands it to serde. Scalars are typed late, by the YAML 1.2 core schema,
//! so that `${PORT}` becomes a number when its value is one, and a quoted scalar never does.

pub(crate) mod de;
pub(crate) mod digest;
pub(crate) mod expand;
pub(crate) mod parse;

use std::fmt;

use crate::source::Place;

/// A value with its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) value: Value,
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A key of a mapping with its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) place: Place,
}

/// The text of a scalar and how it was written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    /// Neither quoted nor a block: may be a number, a boolean or nothing.
    pub(crate) plain: bool,
    /// A block (`|`, `>`): its text begins on the line after its place.
    pub(crate) block: bool,
    /// Part of the text came from the environment: must not be shown.
    pub(crate) expanded: bool,
    /// The text *begins* with a variable's value.
    pub(crate) leads_with_variable: bool,
}

/// A scalar's type by the YAML 1.2 core schema.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Typed<'a> {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(&'a str),
}

/// The way from the root to a node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Path(pub(crate) Vec<Step>);

/// One step of a [`Path`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

impl Scalar {
    /// Text that stands in no file.
    pub(crate) const fn quoted(text: String) -> Self {
        Self {
            text,
            plain: false,
            block: false,
            expanded: false,
            leads_with_variable: false,
        }
    }

    pub(crate) fn typed(&self) -> Typed<'_> {
        if self.plain {
            typed(&self.text)
        } else {
            Typed::Text(&self.text)
        }
    }
}

impl Node {
    /// What a mapping without entries looks like; stands for an empty file.
    pub(crate) fn empty(place: Place) -> Self {
        Self {
            place,
            value: Value::Map(Vec::new()),
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.typed() == Typed::Null)
    }

    pub(crate) fn is_expanded(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.expanded)
    }

    /// The entry `name` of a mapping.
    pub(crate) fn get(&self, name: &str) -> Option<(&Key, &Node)> {
        self.entries()
            .iter()
            .find(|(key, _)| key.name == name)
            .map(|(key, node)| (key, node))
    }

    pub(crate) fn entries(&self) -> &[(Key, Node)] {
        match &self.value {
            Value::Map(entries) => entries,
            Value::List(_) | Value::Scalar(_) => &[],
        }
    }

    pub(crate) fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            Value::Map(_) | Value::Scalar(_) => &[],
        }
    }

    fn step(&self, step: &Step) -> Option<&Self> {
        match step {
            Step::Key(name) => self.get(name).map(|(_, node)| node),
            Step::Index(index) => self.items().get(*index),
        }
    }

    /// The node at `path`, or the last one on the way that exists.
    pub(crate) fn nearest(&self, path: &Path) -> &Self {
        let mut node = self;
        for step in &path.0 {
            match node.step(step) {
                Some(next) => node = next,
                None => break,
            }
        }
        node
    }

    /// Takes the node at `path` out of its parent.
    pub(crate) fn remove(&mut self, path: &Path) -> bool {
        let Some((last, way)) = path.0.split_last() else {
            return false;
        };
        let mut node = self;
        for step in way {
            let next = match (step, &mut node.value) {
                (Step::Key(name), Value::Map(entries)) => entries
                    .iter_mut()
                    .find(|(key, _)| key.name == *name)
                    .map(|(_, node)| node),
                (Step::Index(index), Value::List(items)) => items.get_mut(*index),
                _ => None,
            };
            match next {
                Some(next) => node = next,
                None => return false,
            }
        }
        match (last, &mut node.value) {
            (Step::Key(name), Value::Map(entries)) => {
                let before = entries.len();
                entries.retain(|(key, _)| key.name != *name);
                entries.len() < before
            }
            (Step::Index(index), Value::List(items)) if *index < items.len() => {
                items.remove(*index);
                true
            }
            _ => false,
        }
    }
}

impl Path {
    pub(crate) fn key(&self, name: impl Into<String>) -> Self {
        self.then(Step::Key(name.into()))
    }

    pub(crate) fn index(&self, index: usize) -> Self {
        self.then(Step::Index(index))
    }

    /// This path and what `text` (`head.fields`, `from[1]`) leads to from there.
    pub(crate) fn below(&self, text: &str) -> Self {
        text.split('.').fold(self.clone(), |path, part| {
            let (name, index) = part.split_once('[').unwrap_or((part, ""));
            let path = path.key(name);
            match index.trim_end_matches(']').parse() {
                Ok(index) => path.index(index),
                Err(_) => path,
            }
        })
    }

    fn then(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(name) if at == 0 => f.write_str(name)?,
                Step::Key(name) => write!(f, ".{name}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

fn typed(text: &str) -> Typed<'_> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Typed::Null,
        "true" | "True" | "TRUE" => return Typed::Bool(true),
        "false" | "False" | "FALSE" => return Typed::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Typed::Text(text);
    }
    if let Some(hex) = text.strip_prefix("0x") {
        return u64::from_str_radix(hex, 16).map_or(Typed::Text(text), Typed::Unsigned);
    }
    if let Some(octal) = text.strip_prefix("0o") {
        return u64::from_str_radix(octal, 8).map_or(Typed::Text(text), Typed::Unsigned);
    }
    if digits.bytes().all(|b| b.is_ascii_digit()) {
        if let Ok(number) = text.parse() {
            return Typed::Unsigned(number);
        }
        return text.parse().map_or(Typed::Text(text), Typed::Signed);
    }
    let float = |b: u8| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-');
    if digits.bytes().all(float) {
        return text.parse().map_or(Typed::Text(text), Typed::Float);
    }
    Typed::Text(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_follow_the_core_schema() {
        for (text, expected) in [
            ("", Typed::Null),
            ("~", Typed::Null),
            ("true", Typed::Bool(true)),
            ("12", Typed::Unsigned(12)),
            ("-12", Typed::Signed(-12)),
            ("0x1f", Typed::Unsigned(31)),
            ("1.5", Typed::Float(1.5)),
            ("off", Typed::Text("off")),
            ("no", Typed::Text("no")),
            ("10.0.0.1", Typed::Text("10.0.0.1")),
            ("127.0.0.1:80", Typed::Text("127.0.0.1:80")),
            ("nan", Typed::Text("nan")),
            ("-", Typed::Text("-")),
        ] {
            assert_eq!(typed(text), expected, "{text:?}");
        }
    }

    #[test]
    fn paths_read_like_the_manual_writes_them() {
        let path = Path::default().key("routes").index(3).key("paths").index(0);
        assert_eq!(path.to_string(), "routes[3].paths[0]");
        assert_eq!(
            path.below("a.b[1].c").to_string(),
            "routes[3].paths[0].a.b[1].c"
        );
    }
}
