//! Numbers for the names rules use: selectors, `TX` variables; and macros, which are such names.

use std::collections::{HashMap, HashSet};

use crate::body::xml::XPath;
use crate::engine::{Pick, Piece, Selector, Selectors, Template, TxNames};
use crate::syntax::{SelectorText, did_you_mean};
use crate::variables::{Origin, Variable};

/// What has been numbered so far.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) selectors: Selectors,
    pub(crate) tx: TxNames,
    /// What rules ask of XML beyond `/*` and `//@*`.
    pub(crate) paths: Vec<XPath>,
    /// The `xmlns` actions of the rule that is being read: prefix and namespace.
    pub(crate) spaces: Vec<(String, String)>,
    /// The variables that some rule names.
    used: HashSet<Variable>,
    /// Some rule opens a persistent collection.
    pub(crate) needs_store: bool,
    /// Some rule lets a `TX` variable expire.
    pub(crate) needs_clock: bool,
    known: HashMap<(Variable, SelectorText), u32>,
}

/// A message and, where there is one, a suggestion.
pub(crate) type Complaint = (String, Option<String>);

impl Names {
    /// The variable called `name`, if it is served.
    pub(crate) fn variable(name: &str) -> Result<Variable, Complaint> {
        let Some(variable) = Variable::from_name(name) else {
            let help = did_you_mean(name, Variable::names());
            return Err((format!("unknown variable `{name}`"), help));
        };
        match variable.origin() {
            Origin::Refused(reason) => {
                Err((format!("{} is not served: {reason}", variable.name()), None))
            }
            _ => Ok(variable),
        }
    }

    /// The members of `variable` that `selector` means.
    pub(crate) fn pick(
        &mut self,
        variable: Variable,
        selector: Option<&SelectorText>,
    ) -> Result<Pick, Complaint> {
        self.used.insert(variable);
        let Some(selector) = selector else {
            return Ok(Pick::All);
        };
        if !variable.keyed() {
            return Err((format!("{} has no members", variable.name()), None));
        }
        if let (Variable::Tx, SelectorText::Key(key)) = (variable, selector) {
            return Ok(Pick::Slot(self.tx.slot(key.as_bytes())));
        }
        if variable.family() == Variable::Xml {
            return self.path(variable, selector);
        }
        let entry = (variable.family(), selector.clone());
        if let Some(number) = self.known.get(&entry) {
            return Ok(Pick::Selector(*number));
        }
        let compiled = Selector::read(selector).map_err(|reason| (reason, None))?;
        let number = self.selectors.add(variable, compiled);
        self.known.insert(entry, number);
        Ok(Pick::Selector(number))
    }

    /// The nodes an XPath means. Without `xmlns` actions of its own it is what it was before.
    fn path(&mut self, variable: Variable, selector: &SelectorText) -> Result<Pick, Complaint> {
        let SelectorText::Key(text) = selector else {
            return Err((
                "expected an XPath, not a regular expression".to_owned(),
                None,
            ));
        };
        let known = self.paths.iter().find(|path| path.text == *text);
        if !matches!(text.as_str(), "/*" | "//@*") && (known.is_none() || !self.spaces.is_empty()) {
            let path = XPath::compile(text, &self.spaces).map_err(|reason| (reason, None))?;
            match known {
                None => self.paths.push(path),
                Some(known) if *known == path => {}
                Some(_) => {
                    let message = "other rules give the prefixes of this path other meanings";
                    return Err((message.to_owned(), Some("use other prefixes".to_owned())));
                }
            }
        }
        let entry = (variable.family(), selector.clone());
        let number = match self.known.get(&entry) {
            Some(number) => *number,
            None => {
                let path = Selector::Path(text.as_bytes().into());
                self.selectors.add(variable, path)
            }
        };
        self.known.insert(entry, number);
        Ok(Pick::Selector(number))
    }

    /// True if some rule names a variable that `means` holds for.
    pub(crate) fn use_any(&self, means: impl Fn(Variable) -> bool) -> bool {
        self.used.iter().any(|variable| means(*variable))
    }

    /// Compiles text with macros. A macro nothing serves expands to nothing and is complained about.
    pub(crate) fn template(&mut self, text: &str, complaints: &mut Vec<String>) -> Template {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("%{") {
            literal.push_str(before);
            let Some((inside, behind)) = after.split_once('}') else {
                literal.push_str("%{");
                rest = after;
                continue;
            };
            // libmodsecurity takes a `%` behind the brace for a part of the macro.
            rest = match behind.strip_prefix('%') {
                Some(text) if !text.starts_with('{') => text,
                _ => behind,
            };
            match self.macro_piece(inside) {
                Ok(piece) => {
                    if !literal.is_empty() {
                        let text = std::mem::take(&mut literal);
                        pieces.push(Piece::Text(text.into_bytes().into()));
                    }
                    pieces.push(piece);
                }
                Err((message, _)) => complaints.push(format!("%{{{inside}}}: {message}")),
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal.into_bytes().into()));
        }
        Template {
            pieces: pieces.into(),
        }
    }

    fn macro_piece(&mut self, inside: &str) -> Result<Piece, Complaint> {
        let (name, key) = match inside.split_once(['.', ':']) {
            Some((name, key)) => (name, Some(selector(key))),
            None => (inside, None),
        };
        let variable = Self::variable(name.trim())?;
        let pick = self.pick(variable, key.as_ref())?;
        Ok(Piece::Macro { variable, pick })
    }
}

/// `key` or `/regular expression/`.
fn selector(key: &str) -> SelectorText {
    match key
        .strip_prefix('/')
        .and_then(|rest| rest.strip_suffix('/'))
    {
        Some(pattern) if !pattern.is_empty() => SelectorText::Regex(pattern.to_owned()),
        _ => SelectorText::Key(key.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_macros_come_apart() {
        let mut names = Names::default();
        let mut complaints = Vec::new();
        let template = names.template("a %{TX.x} b%{matched_var}%{nope}%{", &mut complaints);
        assert_eq!(template.pieces.len(), 5);
        assert_eq!(complaints.len(), 1);
        let percent = names.template("%{tx.a}% of %{tx.b}%{tx.c}", &mut complaints);
        assert_eq!(percent.pieces.len(), 4);
        assert_eq!(complaints.len(), 1);
        let pieces = names.template("%{ARGS:/^a/}", &mut complaints).pieces;
        assert!(matches!(
            *pieces,
            [Piece::Macro {
                pick: Pick::Selector(_),
                ..
            }]
        ));
        assert!(names.template("plain", &mut complaints).literal() == Some(b"plain"));
    }

    #[test]
    fn one_selector_is_numbered_once_a_family() {
        let mut names = Names::default();
        let key = SelectorText::Key("a".to_owned());
        let first = names.pick(Variable::Args, Some(&key)).unwrap();
        assert_eq!(names.pick(Variable::ArgsGet, Some(&key)), Ok(first));
        assert!(names.pick(Variable::RequestUri, Some(&key)).is_err());
    }

    #[test]
    fn a_path_means_one_thing_and_needs_its_prefixes() {
        let mut names = Names::default();
        let path = SelectorText::Key("/soap:Envelope".to_owned());
        assert!(names.pick(Variable::Xml, Some(&path)).is_err());
        names.spaces = vec![("soap".to_owned(), "urn:a".to_owned())];
        let first = names.pick(Variable::Xml, Some(&path)).unwrap();
        assert_eq!(names.pick(Variable::RequestXml, Some(&path)), Ok(first));
        names.spaces = vec![("soap".to_owned(), "urn:b".to_owned())];
        assert!(names.pick(Variable::Xml, Some(&path)).is_err());
    }
}
