//! The document as a tree, kept only where rules name paths: nodes in document order, so that what is
//! below a node stands right behind it. No node owns text; all are ranges of one buffer.

use std::ops::Range;

/// Namespaces that may be declared at one place; each name is looked up among them.
const DECLARED: usize = 64;

/// Distinct namespaces of a document; each declaration is looked up among them.
const SPACES: usize = 256;

/// The namespace that `xml:` always means.
pub(super) const XML_SPACE: &str = "http://www.w3.org/XML/1998/namespace";

/// Number of a node.
pub(super) type NodeId = usize;

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Root,
    Element,
    Text,
}

#[derive(Debug)]
struct Node {
    kind: Kind,
    /// Past the last node below it.
    end: NodeId,
    name: Name,
    /// In the text of the document.
    text: Range<usize>,
    attributes: Range<usize>,
}

/// A name taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Name {
    /// Number of its namespace; 0 is none.
    space: usize,
    /// In `names`.
    local: (usize, usize),
}

/// An attribute of an element.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attribute<'t> {
    pub(super) space: &'t str,
    pub(super) local: &'t str,
    pub(super) value: &'t [u8],
}

/// A document.
#[derive(Debug)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
    /// Name and value of every attribute.
    attributes: Vec<(Name, Vec<u8>)>,
    names: String,
    spaces: Vec<String>,
    /// Prefixes in force, with the depth they were declared at.
    declared: Vec<(usize, String, usize)>,
    open: Vec<NodeId>,
    /// A text node that goes on with the next text.
    open_text: Option<NodeId>,
    text: Vec<u8>,
}

impl Tree {
    pub(super) const ROOT: NodeId = 0;

    pub(super) fn new() -> Self {
        Self {
            nodes: vec![Node {
                kind: Kind::Root,
                end: 1,
                name: Name::default(),
                text: 0..0,
                attributes: 0..0,
            }],
            attributes: Vec::new(),
            names: String::new(),
            spaces: vec![String::new(), XML_SPACE.to_owned()],
            declared: vec![(0, "xml".to_owned(), 1)],
            open: vec![Self::ROOT],
            open_text: None,
            text: Vec::new(),
        }
    }

    /// An element begins, with the names and values of its attributes.
    pub(super) fn begin(
        &mut self,
        name: &str,
        attributes: &[(&str, &[u8])],
        text: usize,
    ) -> Result<(), &'static str> {
        self.open_text = None;
        let depth = self.open.len();
        for (name, value) in attributes {
            let prefix = match name.split_once(':') {
                Some(("xmlns", prefix)) => prefix,
                None if *name == "xmlns" => "",
                _ => continue,
            };
            if self.declared.len() >= DECLARED {
                return Err("too many XML namespaces");
            }
            let space = self.space_number(&String::from_utf8_lossy(value))?;
            self.declared.push((depth, prefix.to_owned(), space));
        }
        let first = self.attributes.len();
        for (name, value) in attributes {
            if *name != "xmlns" && !name.starts_with("xmlns:") {
                let name = self.name(name, true);
                self.attributes.push((name, value.to_vec()));
            }
        }
        let name = self.name(name, false);
        let number = self.nodes.len();
        self.nodes.push(Node {
            kind: Kind::Element,
            end: number + 1,
            name,
            text: text..text,
            attributes: first..self.attributes.len(),
        });
        self.open.push(number);
        Ok(())
    }

    /// The innermost element ends; `text` is how much text there is by now.
    pub(super) fn end(&mut self, text: usize) {
        self.open_text = None;
        let past = self.nodes.len();
        if let Some(node) = self
            .open
            .pop()
            .and_then(|number| self.nodes.get_mut(number))
        {
            node.end = past;
            node.text.end = text;
        }
        let depth = self.open.len();
        self.declared.retain(|(at, ..)| *at < depth.max(1));
    }

    /// Text was read; `joins` if it may go on with the text before it.
    pub(super) fn characters(&mut self, text: Range<usize>, joins: bool) {
        if text.is_empty() {
            return;
        }
        let open = self.open_text.filter(|_| joins);
        if let Some(node) = open.and_then(|number| self.nodes.get_mut(number)) {
            node.text.end = text.end;
            return;
        }
        let number = self.nodes.len();
        self.nodes.push(Node {
            kind: Kind::Text,
            end: number + 1,
            name: Name::default(),
            text,
            attributes: 0..0,
        });
        self.open_text = joins.then_some(number);
    }

    /// Something that is neither text nor element stands here.
    pub(super) fn interrupt(&mut self) {
        self.open_text = None;
    }

    /// Ends what is still open and takes the text all nodes are ranges of.
    pub(super) fn complete(&mut self, text: &[u8]) {
        while !self.open.is_empty() {
            self.end(text.len());
        }
        self.text = text.to_vec();
    }

    pub(super) fn kind(&self, node: NodeId) -> Kind {
        self.nodes.get(node).map_or(Kind::Text, |node| node.kind)
    }

    pub(super) fn space(&self, node: NodeId) -> &str {
        self.nodes
            .get(node)
            .map_or("", |node| self.space_of(node.name))
    }

    pub(super) fn local(&self, node: NodeId) -> &str {
        self.nodes
            .get(node)
            .map_or("", |node| self.local_of(node.name))
    }

    /// The text of a node and of all below it.
    pub(super) fn text(&self, node: NodeId) -> &[u8] {
        self.nodes
            .get(node)
            .and_then(|node| self.text.get(node.text.clone()))
            .unwrap_or_default()
    }

    pub(super) fn children(&self, node: NodeId) -> impl Iterator<Item = NodeId> {
        let end = self.nodes.get(node).map_or(0, |node| node.end);
        let mut next = node + 1;
        std::iter::from_fn(move || {
            let child = next;
            next = self.nodes.get(child).filter(|_| child < end)?.end;
            Some(child)
        })
    }

    pub(super) fn attributes(&self, node: NodeId) -> impl Iterator<Item = Attribute<'_>> {
        let range = self.nodes.get(node).map(|node| node.attributes.clone());
        let attributes = self.attributes.get(range.unwrap_or_default());
        attributes
            .into_iter()
            .flatten()
            .map(|(name, value)| Attribute {
                space: self.space_of(*name),
                local: self.local_of(*name),
                value,
            })
    }

    /// `nodes` and the elements below them, each once; both lists are in document order.
    pub(super) fn with_descendants(&self, nodes: &[NodeId]) -> Vec<NodeId> {
        let mut all = Vec::new();
        let mut done = 0;
        for node in nodes {
            let end = self.nodes.get(*node).map_or(0, |node| node.end);
            let new = (*node).max(done)..end;
            all.extend(new.filter(|node| self.kind(*node) != Kind::Text));
            done = done.max(end);
        }
        all
    }

    fn name(&mut self, written: &str, attribute: bool) -> Name {
        let (prefix, mut local) = written.split_once(':').unwrap_or(("", written));
        let declared = self
            .declared
            .iter()
            .rev()
            .find(|(_, known, _)| known == prefix);
        let space = match declared {
            Some((.., space)) if !(attribute && prefix.is_empty()) => *space,
            Some(_) => 0,
            None => {
                // A prefix that means nothing is part of the name, as libxml2 has it.
                local = written;
                0
            }
        };
        let start = self.names.len();
        self.names.push_str(local);
        Name {
            space,
            local: (start, self.names.len()),
        }
    }

    fn space_number(&mut self, space: &str) -> Result<usize, &'static str> {
        if let Some(known) = self.spaces.iter().position(|known| known == space) {
            return Ok(known);
        }
        if self.spaces.len() >= SPACES {
            return Err("too many XML namespaces");
        }
        self.spaces.push(space.to_owned());
        Ok(self.spaces.len() - 1)
    }

    fn space_of(&self, name: Name) -> &str {
        self.spaces.get(name.space).map_or("", String::as_str)
    }

    fn local_of(&self, name: Name) -> &str {
        let (start, end) = name.local;
        self.names.get(start..end).unwrap_or_default()
    }
}
