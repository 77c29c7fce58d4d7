//! The part of XPath 1.0 that rules need, compiled at load: `XML:/soap:Envelope//item[@id='1']/@name`.
//!
//! Paths from the root, of child (`/`) and descendant (`//`) steps; names with the prefixes of the rule's
//! `xmlns` actions, `*`, `p:*`; `@name`, `@*` and `text()` as last step; predicates `[2]`, `[last()]`, `[@a]`,
//! `[@a='v']`, `[text()]`, `[text()='v']`, `[name]`, `[name='v']` and `[local-name()='v']`. Anything else is
//! an error that names it. Steps, predicates and results are bounded, and each step visits a node once.

use super::tree::{Kind, NodeId, Tree};

/// Most steps of a path, and most predicates of a step.
const STEPS: usize = 32;
const PREDICATES: usize = 8;

/// A compiled path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct XPath {
    /// As it is written: the name its values are added under.
    pub(crate) text: String,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    /// `//` stands before it.
    descends: bool,
    axis: Axis,
    predicates: Vec<Predicate>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Axis {
    Element(Test),
    Attribute(Test),
    Text,
}

/// Which names a step means.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Test {
    /// Any namespace, or this one; empty is none.
    space: Option<String>,
    /// Any name, or this one.
    local: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Predicate {
    Position(usize),
    Last,
    /// Something of this kind is there, with this text if one is given.
    Has(Axis, Option<String>),
    LocalName(String),
}

impl XPath {
    /// Compiles `text`; `spaces` are prefixes and their namespaces.
    ///
    /// # Errors
    /// What is not served, or not XPath.
    pub(crate) fn compile(text: &str, spaces: &[(String, String)]) -> Result<Self, String> {
        let mut reader = Reader { rest: text, spaces };
        let mut steps: Vec<Step> = Vec::new();
        while !reader.rest.is_empty() {
            if steps
                .last()
                .is_some_and(|step| !matches!(step.axis, Axis::Element(_)))
            {
                return Err("nothing can follow an attribute or text()".to_owned());
            }
            if steps.len() >= STEPS {
                return Err(format!("more than {STEPS} steps"));
            }
            steps.push(reader.step()?);
        }
        if steps.is_empty() {
            return Err("expected a path".to_owned());
        }
        Ok(Self {
            text: text.to_owned(),
            steps,
        })
    }

    /// Hands the text of every node the path means to `found`, in document order, until that says stop.
    pub(crate) fn select(&self, tree: &Tree, found: &mut dyn FnMut(&[u8]) -> bool) {
        let mut nodes = vec![Tree::ROOT];
        for step in &self.steps {
            if step.descends {
                nodes = tree.with_descendants(&nodes);
            }
            if let Axis::Attribute(test) = &step.axis {
                for node in nodes {
                    for attribute in tree.attributes(node) {
                        let fits = test.fits(attribute.space, attribute.local);
                        if fits && !found(attribute.value) {
                            return;
                        }
                    }
                }
                return;
            }
            let mut next = Vec::new();
            for node in nodes {
                let mut children: Vec<_> = tree
                    .children(node)
                    .filter(|child| step.axis.means(tree, *child))
                    .collect();
                for predicate in &step.predicates {
                    predicate.filter(tree, &mut children);
                }
                next.append(&mut children);
            }
            next.sort_unstable();
            nodes = next;
        }
        for node in nodes {
            if !found(tree.text(node)) {
                return;
            }
        }
    }
}

impl Axis {
    /// True for a child that a step means.
    fn means(&self, tree: &Tree, node: NodeId) -> bool {
        match self {
            Self::Element(test) => {
                tree.kind(node) == Kind::Element && test.fits(tree.space(node), tree.local(node))
            }
            Self::Text => tree.kind(node) == Kind::Text,
            Self::Attribute(_) => false,
        }
    }
}

impl Test {
    fn fits(&self, space: &str, local: &str) -> bool {
        self.space.as_deref().is_none_or(|wanted| wanted == space)
            && self.local.as_deref().is_none_or(|wanted| wanted == local)
    }
}

impl Predicate {
    fn filter(&self, tree: &Tree, nodes: &mut Vec<NodeId>) {
        match self {
            Self::Position(position) => {
                let node = position
                    .checked_sub(1)
                    .and_then(|at| nodes.get(at).copied());
                nodes.clear();
                nodes.extend(node);
            }
            Self::Last => {
                let last = nodes.pop();
                nodes.clear();
                nodes.extend(last);
            }
            Self::LocalName(name) => nodes.retain(|node| tree.local(*node) == name),
            Self::Has(axis, text) => {
                let fits = |found: &[u8]| {
                    text.as_deref()
                        .is_none_or(|wanted| wanted.as_bytes() == found)
                };
                nodes.retain(|node| match axis {
                    Axis::Attribute(test) => tree.attributes(*node).any(|attribute| {
                        test.fits(attribute.space, attribute.local) && fits(attribute.value)
                    }),
                    _ => tree
                        .children(*node)
                        .any(|child| axis.means(tree, child) && fits(tree.text(child))),
                });
            }
        }
    }
}

/// Reads a path from left to right.
struct Reader<'a> {
    rest: &'a str,
    spaces: &'a [(String, String)],
}

impl Reader<'_> {
    fn step(&mut self) -> Result<Step, String> {
        let descends = self.eat("//");
        if !descends && !self.eat("/") {
            return Err(format!("expected / or // before `{}`", self.rest));
        }
        let axis = self.axis()?;
        let mut predicates = Vec::new();
        while self.eat("[") {
            if !matches!(axis, Axis::Element(_)) {
                return Err("predicates are served on elements only".to_owned());
            }
            if predicates.len() >= PREDICATES {
                return Err(format!("more than {PREDICATES} predicates on one step"));
            }
            predicates.push(self.predicate()?);
            self.blanks();
            if !self.eat("]") {
                return Err(format!("`{}` in a predicate is not served", self.rest));
            }
        }
        Ok(Step {
            descends,
            axis,
            predicates,
        })
    }

    fn axis(&mut self) -> Result<Axis, String> {
        if self.eat("@") {
            return Ok(Axis::Attribute(self.test(true)?));
        }
        if self.eat("text()") {
            return Ok(Axis::Text);
        }
        Ok(Axis::Element(self.test(false)?))
    }

    /// `*`, `name`, `p:*` or `p:name`.
    fn test(&mut self, attribute: bool) -> Result<Test, String> {
        if self.eat("*") {
            return Ok(Test {
                space: None,
                local: None,
            });
        }
        let name = self.name()?.to_owned();
        if self.rest.starts_with("::") {
            return Err(format!("the axis `{name}::` is not served"));
        }
        if self.rest.starts_with('(') {
            return Err(format!("the function `{name}()` is not served here"));
        }
        if !self.eat(":") {
            return Ok(Test {
                space: Some(String::new()),
                local: Some(name),
            });
        }
        let known = self.spaces.iter().find(|(prefix, _)| *prefix == name);
        let space = match known {
            Some((_, space)) => space.clone(),
            None if name == "xml" && attribute => super::tree::XML_SPACE.to_owned(),
            None => {
                return Err(format!(
                    "no xmlns action says what the prefix `{name}` means"
                ));
            }
        };
        let local = if self.eat("*") {
            None
        } else {
            Some(self.name()?.to_owned())
        };
        Ok(Test {
            space: Some(space),
            local,
        })
    }

    fn predicate(&mut self) -> Result<Predicate, String> {
        self.blanks();
        let digits = self.rest.find(|c: char| !c.is_ascii_digit());
        let digits = digits.unwrap_or(self.rest.len());
        if digits > 0 {
            let (number, rest) = self.rest.split_at_checked(digits).unwrap_or_default();
            self.rest = rest;
            let number = number.parse();
            return number
                .map(Predicate::Position)
                .map_err(|_| "this position is too large".to_owned());
        }
        if self.eat("last()") {
            return Ok(Predicate::Last);
        }
        if self.eat("local-name()") {
            let name = self.equals()?.ok_or("expected local-name()='…'")?;
            return Ok(Predicate::LocalName(name));
        }
        let axis = self.axis()?;
        Ok(Predicate::Has(axis, self.equals()?))
    }

    /// `= 'literal'`, if it follows.
    fn equals(&mut self) -> Result<Option<String>, String> {
        self.blanks();
        if !self.eat("=") {
            return Ok(None);
        }
        self.blanks();
        for quote in ['\'', '"'] {
            let Some(after) = self.rest.strip_prefix(quote) else {
                continue;
            };
            let (literal, rest) = after
                .split_once(quote)
                .ok_or("this literal is never closed")?;
            self.rest = rest;
            return Ok(Some(literal.to_owned()));
        }
        Err("expected a literal in quotes after =".to_owned())
    }

    fn name(&mut self) -> Result<&str, String> {
        let starts = |c: char| c.is_alphabetic() || c == '_';
        if !self.rest.starts_with(starts) {
            return Err(match self.rest.chars().next() {
                Some('.') => "`.` and `..` are not served".to_owned(),
                Some(other) => format!("expected a name before `{other}`"),
                None => "expected a name at the end of the path".to_owned(),
            });
        }
        let inner = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
        let end = self.rest.find(|c| !inner(c)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at_checked(end).unwrap_or_default();
        self.rest = rest;
        Ok(name)
    }

    fn eat(&mut self, wanted: &str) -> bool {
        let after = self.rest.strip_prefix(wanted);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    fn blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Limits, parse};
    use super::*;

    const SPACES: [(&str, &str); 2] = [("s", "urn:soap"), ("o", "urn:other")];

    fn compile(path: &str) -> Result<XPath, String> {
        let spaces = SPACES.map(|(prefix, space)| (prefix.to_owned(), space.to_owned()));
        XPath::compile(path, &spaces)
    }

    fn found(document: &str, path: &str) -> Vec<String> {
        let path = compile(path).unwrap();
        let xml = parse(document.as_bytes(), Limits::default(), &[path]);
        assert_eq!(xml.error, None);
        xml.found
            .into_iter()
            .map(|(_, value)| String::from_utf8(value).unwrap())
            .collect()
    }

    const SHOP: &str = "<shop a='0'><item id='1' k='x'>one<b>!</b></item><!-- c --><item id='2'>two &amp; \
        more</item><box><item id='3'><![CDATA[three]]></item><item/></box></shop>";

    #[test]
    fn paths_mean_what_xpath_says_they_mean() {
        let cases: &[(&str, &[&str])] = &[
            ("/shop/item", &["one!", "two & more"]),
            ("/item", &[]),
            ("//item", &["one!", "two & more", "three", ""]),
            ("/shop//item", &["one!", "two & more", "three", ""]),
            ("/*/*", &["one!", "two & more", "three"]),
            ("//item/@id", &["1", "2", "3"]),
            ("//@k", &["x"]),
            ("/shop/@*", &["0"]),
            ("//item/@*", &["1", "x", "2", "3"]),
            ("/shop/item[1]", &["one!"]),
            ("//item[2]", &["two & more", ""]),
            ("//item[last()]/@id", &["2"]),
            ("//item[3]", &[]),
            ("//item[@k]", &["one!"]),
            ("//item[@id='3']", &["three"]),
            ("//item[ @id = \"2\" ]", &["two & more"]),
            ("//item[@id][2]/@id", &["2"]),
            ("//item[b]/@id", &["1"]),
            ("//item[b='!']/@id", &["1"]),
            ("//item[b='?']/@id", &[]),
            ("//*[local-name()='b']", &["!"]),
            ("//item/text()", &["one", "two & more", "three"]),
            ("//item[text()='three']/@id", &["3"]),
            ("//item[text()]/@id", &["1", "2", "3"]),
            ("//s:item", &[]),
        ];
        for (path, expected) in cases {
            assert_eq!(found(SHOP, path), *expected, "{path}");
        }
    }

    #[test]
    fn namespaces_are_what_counts_and_not_prefixes() {
        let document = "<a:E xmlns:a='urn:soap' xmlns='urn:other'><B a:k='1' k='2' xml:lang='en'>x</B>\
            <a:B xmlns:a='urn:third'>y</a:B><C xmlns=''>z</C></a:E>";
        let cases: &[(&str, &[&str])] = &[
            ("/s:E", &["xyz"]),
            ("/E", &[]),
            ("/s:E/o:B", &["x"]),
            ("/s:E/s:B", &[]),
            ("/s:E/B", &[]),
            ("/s:E/C", &["z"]),
            ("/s:E/o:*", &["x"]),
            ("//o:B/@s:k", &["1"]),
            ("//o:B/@k", &["2"]),
            ("//o:B/@xml:lang", &["en"]),
            // Declarations are no attributes.
            ("/s:E/@*", &[]),
        ];
        for (path, expected) in cases {
            assert_eq!(found(document, path), *expected, "{path}");
        }
    }

    #[test]
    fn what_is_not_served_is_named() {
        for (path, named) in [
            ("item", "/ or //"),
            ("", "a path"),
            ("/", "a name"),
            ("/a/ancestor::b", "`ancestor::`"),
            ("/count(/a)", "`count()`"),
            ("/a/..", "`..`"),
            ("/x:a", "prefix `x`"),
            ("/a/@b/c", "follow an attribute"),
            ("/a/text()/b", "text()"),
            ("/a[@b and @c]", "and @c"),
            ("/a[position()>1]", "`position()`"),
            ("/a[contains(@b,'c')]", "`contains()`"),
            ("/a[@b=c]", "literal"),
            ("/a[@b='c]", "closed"),
            ("/a[1", "in a predicate"),
            ("/a/@b[1]", "elements only"),
            ("/a[99999999999999999999]", "too large"),
            ("/a b", "/ or //"),
        ] {
            let message = compile(path).unwrap_err();
            assert!(message.contains(named), "{path}: {message}");
        }
        let long = "/a".repeat(40);
        assert!(compile(&long).unwrap_err().contains("steps"));
    }

    #[test]
    fn results_are_capped() {
        let deep = format!(
            "{}{}{}",
            "<a>".repeat(200),
            "x".repeat(200_000),
            "</a>".repeat(200)
        );
        let path = compile("//a").unwrap();
        let xml = parse(
            deep.as_bytes(),
            Limits::default(),
            std::slice::from_ref(&path),
        );
        assert_eq!(xml.error.unwrap().reason, "too much text for XPath");
        let wide = format!("<r>{}</r>", "<a/>".repeat(30_000));
        let xml = parse(wide.as_bytes(), Limits::default(), &[path]);
        assert_eq!(xml.error.unwrap().reason, "too many XPath values");
        assert_eq!(xml.found.len(), 20_000);
    }
}
