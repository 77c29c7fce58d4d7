//! YAML text to a tree, under bounds.
//!
//! Follows YAML 1.2 as far as configuration needs it. Refused, because they make a file mean more
//! than it shows: anchors and aliases, merge keys, tags, several documents, keys that are not plain
//! text, and a key that stands twice in one mapping. Depth and node count are capped, so that a
//! hostile file costs no more than its size.

use std::borrow::Cow;
use std::collections::HashMap;

use edge_core::Position;
use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

use crate::source::{Place, Problem, Sources};
use crate::tree::{Key, Node, Scalar, Value};

/// Deeper nesting is refused.
const MAX_DEPTH: usize = 64;
/// More nodes are refused.
const MAX_NODES: usize = 1_000_000;
/// Reading stops after this many mistakes.
const MAX_PROBLEMS: usize = 100;

/// Reads file number `file`; the tree is `None` when the text is no YAML at all.
pub(crate) fn parse(sources: &Sources, file: usize, problems: &mut Vec<Problem>) -> Option<Node> {
    let text = sources.0.get(file).map_or("", |source| &source.text);
    let mut builder = Builder {
        sources,
        file,
        stack: Vec::new(),
        root: None,
        nodes: 0,
        documents: 0,
        problems: Vec::new(),
    };
    for event in Parser::new_from_str(text) {
        let done = match event {
            Ok((event, span)) => builder.event(event, span),
            Err(error) => {
                let mark = *error.marker();
                let place = builder.place(Span::empty(mark));
                Err(Problem::new(place, format!("YAML: {}", error.info())))
            }
        };
        if let Err(problem) = done {
            builder.problems.push(problem);
            problems.append(&mut builder.problems);
            return None;
        }
        if builder.problems.len() > MAX_PROBLEMS {
            break;
        }
    }
    problems.append(&mut builder.problems);
    let start = Place {
        file,
        at: Position {
            line: 1,
            column: 1,
            length: 1,
        },
    };
    Some(builder.root.unwrap_or_else(|| Node::empty(start)))
}

struct Builder<'a> {
    sources: &'a Sources,
    file: usize,
    stack: Vec<Frame>,
    root: Option<Node>,
    nodes: usize,
    documents: usize,
    problems: Vec<Problem>,
}

/// A collection that is not complete yet.
enum Frame {
    List {
        place: Place,
        items: Vec<Node>,
    },
    Map {
        place: Place,
        entries: Vec<(Key, Node)>,
        seen: HashMap<String, Place>,
        key: Option<Key>,
    },
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Problem> {
        let place = self.place(span);
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(Problem::new(place, "a second document in one file")
                        .help("keep one document; further files go to conf.d"));
                }
                Ok(())
            }
            Event::Alias(_) => {
                self.refuse_sharing(place);
                self.scalar(place, Cow::Borrowed(""), ScalarStyle::Plain)
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.decorations(place, anchor, tag.as_deref());
                self.scalar(place, text, style)
            }
            Event::SequenceStart(anchor, tag) => {
                self.decorations(place, anchor, tag.as_deref());
                let items = Vec::new();
                self.open(place, Frame::List { place, items })
            }
            Event::MappingStart(anchor, tag) => {
                self.decorations(place, anchor, tag.as_deref());
                let frame = Frame::Map {
                    place,
                    entries: Vec::new(),
                    seen: HashMap::new(),
                    key: None,
                };
                self.open(place, frame)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
        }
    }

    fn open(&mut self, place: Place, frame: Frame) -> Result<(), Problem> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(Problem::new(
                place,
                format!("nested deeper than {MAX_DEPTH} levels"),
            ));
        }
        if matches!(self.stack.last(), Some(Frame::Map { key: None, .. })) {
            return Err(Problem::new(place, "a key must be a word")
                .help("put `${...}` and `{...}` into quotes"));
        }
        self.stack.push(frame);
        Ok(())
    }

    fn close(&mut self) -> Result<(), Problem> {
        let (place, value) = match self.stack.pop() {
            Some(Frame::List { place, items }) => (place, Value::List(items)),
            Some(Frame::Map { place, entries, .. }) => (place, Value::Map(entries)),
            None => return Ok(()),
        };
        self.put(Node { place, value })
    }

    fn scalar(
        &mut self,
        place: Place,
        text: Cow<'_, str>,
        style: ScalarStyle,
    ) -> Result<(), Problem> {
        if let Some(Frame::Map { key, seen, .. }) = self.stack.last_mut()
            && key.is_none()
        {
            let name = text.into_owned();
            if name == "<<" {
                let problem = Problem::new(place, "merge keys are not supported");
                self.problems
                    .push(problem.help("write the keys out; profiles are there for sharing"));
            } else if let Some(first) = seen.get(&name) {
                let first = self.sources.name(*first);
                let problem = Problem::new(place, format!("key `{name}` stands here twice"));
                self.problems
                    .push(problem.help(format!("first used at {first}")));
            } else {
                seen.insert(name.clone(), place);
            }
            *key = Some(Key { name, place });
            return Ok(());
        }
        let scalar = Scalar {
            text: text.into_owned(),
            plain: style == ScalarStyle::Plain,
            block: matches!(style, ScalarStyle::Literal | ScalarStyle::Folded),
            expanded: false,
            leads_with_variable: false,
        };
        self.put(Node {
            place,
            value: Value::Scalar(scalar),
        })
    }

    fn put(&mut self, node: Node) -> Result<(), Problem> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(Problem::new(
                node.place,
                format!("more than {MAX_NODES} values in one file"),
            ));
        }
        match self.stack.last_mut() {
            None => self.root = Some(node),
            Some(Frame::List { items, .. }) => items.push(node),
            Some(Frame::Map {
                entries, key, seen, ..
            }) => {
                // The first of two equal keys stays; the second was reported when it was read.
                if let Some(key) = key.take()
                    && seen.get(&key.name) == Some(&key.place)
                {
                    entries.push((key, node));
                }
            }
        }
        Ok(())
    }

    fn decorations(&mut self, place: Place, anchor: usize, tag: Option<&Tag>) {
        if anchor != 0 {
            self.refuse_sharing(place);
        }
        if tag.is_some() {
            let problem = Problem::new(place, "tags are not supported");
            self.problems
                .push(problem.help("remove the `!...`; quotes make a value text"));
        }
    }

    fn refuse_sharing(&mut self, place: Place) {
        let problem = Problem::new(place, "anchors and aliases are not supported");
        self.problems
            .push(problem.help("write the value out; profiles are there for sharing"));
    }

    /// A value over several lines is underlined at its first character only.
    fn place(&self, span: Span) -> Place {
        let length = if span.start.line() == span.end.line() {
            span.end.col().saturating_sub(span.start.col())
        } else {
            1
        };
        Place {
            file: self.file,
            at: Position {
                line: span.start.line(),
                column: span.start.col() + 1,
                length,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Source;

    fn read(text: &str) -> (Option<Node>, Vec<Problem>) {
        let sources = Sources(vec![Source {
            name: "t.yaml".into(),
            text: text.to_owned(),
        }]);
        let mut problems = Vec::new();
        let node = parse(&sources, 0, &mut problems);
        (node, problems)
    }

    fn at(node: &Node) -> (usize, usize, usize) {
        let Position {
            line,
            column,
            length,
        } = node.place.at;
        (line, column, length)
    }

    #[test]
    fn every_value_knows_its_place() {
        let (node, problems) = read("a:\n  b: [x, yz]\n  'c': \"d\"\n");
        assert_eq!(problems, []);
        let root = node.unwrap();
        let (key, a) = root.get("a").unwrap();
        assert_eq!((key.place.at.line, key.place.at.column), (1, 1));
        let (_, b) = a.get("b").unwrap();
        assert_eq!(at(&b.items()[1]), (2, 10, 2));
        assert_eq!(at(a.get("c").unwrap().1), (3, 8, 3));
    }

    #[test]
    fn a_key_twice_is_an_error_that_names_the_first() {
        let (node, problems) = read("a: 1\nb: 2\na: 3\n");
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].place.at.line, 3);
        assert_eq!(
            problems[0].help.as_deref(),
            Some("first used at t.yaml:1:1")
        );
        assert_eq!(node.unwrap().entries().len(), 2);
    }

    #[test]
    fn what_makes_a_file_mean_more_than_it_shows_is_refused() {
        for text in [
            "a: &x 1\nb: *x\n",
            "a: {<<: {b: 1}}\n",
            "a: !!str 1\n",
            "a: 1\n---\nb: 2\n",
            "{a: 1}: 2\n",
        ] {
            assert!(!read(text).1.is_empty(), "{text}");
        }
    }

    #[test]
    fn a_bomb_of_aliases_costs_nothing() {
        let mut text = String::from("a0: &a0 [x]\n");
        for i in 1..40 {
            text += &format!("a{i}: &a{i} [*a{0}, *a{0}]\n", i - 1);
        }
        assert!(!read(&text).1.is_empty());
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        let (node, problems) = read(&deep);
        assert!(node.is_none());
        assert!(
            problems[0].message.contains("deeper"),
            "{}",
            problems[0].message
        );
        let fine = format!("{}{}", "[".repeat(60), "]".repeat(60));
        assert_eq!(read(&fine).1, []);
    }

    #[test]
    fn broken_yaml_is_one_error_with_its_line() {
        let (node, problems) = read("a: 1\nb: [1, 2\nc: 3\n");
        assert!(node.is_none());
        assert_eq!(problems.len(), 1);
        assert!(problems[0].place.at.line >= 2);
    }

    #[test]
    fn an_empty_file_is_an_empty_mapping() {
        for text in ["", "\n# nothing\n"] {
            assert_eq!(read(text).0.unwrap().entries(), [], "{text:?}");
        }
    }
}
