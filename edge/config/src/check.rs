//! A tree against the JSON schema of the Spec types, collecting every mistake.
//!
//! Serde stops at the first mistake; this walk does not, and it knows what *would* have been right.
//! It understands the part of JSON Schema 2020-12 that schemars writes: `$ref`, `type`, `enum`,
//! `const`, `anyOf`, `oneOf`, `allOf`, `properties`, `required`, `additionalProperties`, `items`,
//! `minItems`, `maxItems`, `minLength`, `minimum`, `maximum`, `pattern`. It must never accept less
//! than serde does, and what it lets pass wrongly serde still refuses. The schema is ours, the tree
//! is the user's and was bounded when it was parsed.

use std::cell::RefCell;
use std::collections::HashMap;

use regex_automata::meta::Regex;
use serde_json::{Map, Value as Json};

use crate::source::Problem;
use crate::suggest;
use crate::tree::{Node, Path, Scalar, Typed, Value};

/// A mistake and the node it concerns.
#[derive(Debug)]
pub(crate) struct Mistake {
    pub(crate) problem: Problem,
    pub(crate) path: Path,
    /// Whether the rest can be judged once the node is left out; not if something is missing in it.
    pub(crate) remove: bool,
}

/// A schema, and its expressions as far as they were needed: thousands of files are checked with one.
#[derive(Debug)]
pub(crate) struct Schema {
    root: Json,
    patterns: RefCell<HashMap<String, Option<Regex>>>,
}

impl Schema {
    /// The schema `root`, whose `$defs` its references name.
    pub(crate) fn new(root: Json) -> Self {
        Self {
            root,
            patterns: RefCell::default(),
        }
    }

    /// Checks `node`.
    pub(crate) fn check(&self, node: &Node) -> Vec<Mistake> {
        let checker = Checker {
            root: &self.root,
            patterns: &self.patterns,
        };
        let mut mistakes = Vec::new();
        checker.node(node, &self.root, &Path::default(), &mut mistakes);
        mistakes
    }
}

struct Checker<'a> {
    root: &'a Json,
    patterns: &'a RefCell<HashMap<String, Option<Regex>>>,
}

impl<'a> Checker<'a> {
    fn node(&self, node: &Node, schema: &'a Json, path: &Path, out: &mut Vec<Mistake>) {
        let Json::Object(schema) = schema else {
            return; // `true`: anything goes
        };
        if let Some(target) = self.target(schema) {
            self.node(node, target, path, out);
        }
        for part in array(schema, "allOf") {
            self.node(node, part, path, out);
        }
        if let Some(words) = words(schema) {
            check_word(node, &words, path, out);
            return;
        }
        for branches in ["anyOf", "oneOf"] {
            if schema.contains_key(branches) {
                self.alternatives(node, array(schema, branches), path, out);
            }
        }
        let types = types(schema);
        if !types.is_empty() && !types.iter().any(|wanted| fits(node, wanted)) {
            out.push(wrong_type(node, &types, schema, path));
            return;
        }
        match &node.value {
            Value::Scalar(_) if node.is_null() && types.contains(&"object") => {
                self.map(node, schema, path, out);
            }
            Value::Scalar(scalar) => self.scalar(node, scalar, schema, path, out),
            Value::List(items) => self.list(node, items, schema, path, out),
            Value::Map(_) => self.map(node, schema, path, out),
        }
    }

    fn target(&self, schema: &Map<String, Json>) -> Option<&'a Json> {
        let reference = schema.get("$ref")?.as_str()?;
        self.root.pointer(reference.strip_prefix('#')?)
    }

    fn list(
        &self,
        node: &Node,
        items: &[Node],
        schema: &'a Map<String, Json>,
        path: &Path,
        out: &mut Vec<Mistake>,
    ) {
        if let Some(least) = schema.get("minItems").and_then(Json::as_u64)
            && (items.len() as u64) < least
        {
            let message = format!("expected at least {least} here");
            out.push(mistake(node, path, message));
        }
        if let Some(most) = schema.get("maxItems").and_then(Json::as_u64)
            && items.len() as u64 > most
        {
            let message = format!("expected at most {most} here");
            out.push(mistake(node, path, message));
        }
        if let Some(schema) = schema.get("items") {
            for (index, item) in items.iter().enumerate() {
                self.node(item, schema, &path.index(index), out);
            }
        }
    }

    fn map(&self, node: &Node, schema: &'a Map<String, Json>, path: &Path, out: &mut Vec<Mistake>) {
        let properties = schema.get("properties").and_then(Json::as_object);
        let others = schema
            .get("additionalProperties")
            .or_else(|| schema.get("unevaluatedProperties"));
        let known: Vec<&str> = properties
            .into_iter()
            .flat_map(|known| known.keys().map(String::as_str))
            .collect();
        let mut meant = Vec::new();
        for (key, value) in node.entries() {
            let path = path.key(key.name.as_str());
            if let Some(schema) = properties.and_then(|known| known.get(&key.name)) {
                self.node(value, schema, &path, out);
            } else if let Some(Json::Bool(false)) = others {
                meant.extend(suggest::nearest(&key.name, known.iter().copied()));
                let problem = Problem {
                    place: key.place,
                    message: format!("unknown key `{}`", key.name),
                    help: suggest::help(&key.name, &known, "keys known here"),
                };
                out.push(Mistake {
                    problem,
                    path,
                    remove: true,
                });
            } else if let Some(schema) = others {
                self.node(value, schema, &path, out);
            }
        }
        for name in array(schema, "required").iter().filter_map(Json::as_str) {
            // A slip of the pen is one mistake, not two.
            if node.get(name).is_none() && !meant.contains(&name) {
                let mut missing = mistake(node, path, format!("missing key `{name}`"));
                missing.remove = false;
                missing.problem.help = properties
                    .and_then(|known| self.described(known.get(name)?))
                    .map(|text| format!("`{name}`: {text}"));
                out.push(missing);
            }
        }
    }

    /// `anyOf` and `oneOf`: silent if a branch fits, else the mistakes of the branch that was meant.
    fn alternatives(&self, node: &Node, branches: &'a [Json], path: &Path, out: &mut Vec<Mistake>) {
        let mut meant: Vec<Vec<Mistake>> = Vec::new();
        let mut known_words = Vec::new();
        let mut names = Vec::new();
        for branch in branches {
            let mut mistakes = Vec::new();
            self.node(node, branch, path, &mut mistakes);
            if mistakes.is_empty() {
                return;
            }
            let schema = self.resolved(branch);
            let types = schema.map(types).unwrap_or_default();
            if let Some(mut words) = schema.and_then(words) {
                known_words.append(&mut words);
            } else if types.iter().any(|wanted| fits(node, wanted)) {
                meant.push(mistakes);
            }
            names.extend(types.iter().filter(|name| **name != "null").copied());
        }
        if let (Some(keys), Value::Map(entries)) = (self.single_keys(branches), &node.value) {
            out.push(not_one_of(node, entries.first(), &keys, path));
        } else if meant.is_empty() && !known_words.is_empty() {
            check_word(node, &known_words, path, out);
        } else if let Some(best) = meant.into_iter().min_by_key(Vec::len) {
            out.extend(best);
        } else {
            names.dedup();
            let text = names.contains(&"string") && matches!(node.value, Value::Scalar(_));
            let names: Vec<String> = names.into_iter().map(named).collect();
            let message = format!("expected {}, found {}", names.join(" or "), found(node));
            let mut wrong = mistake(node, path, message);
            wrong.problem.help = text.then(|| IN_QUOTES.to_owned());
            out.push(wrong);
        }
    }

    fn scalar(
        &self,
        node: &Node,
        scalar: &Scalar,
        schema: &Map<String, Json>,
        path: &Path,
        out: &mut Vec<Mistake>,
    ) {
        let number = match scalar.typed() {
            #[expect(clippy::cast_precision_loss, reason = "bounds in the schema are small")]
            Typed::Unsigned(number) => Some(number as f64),
            #[expect(clippy::cast_precision_loss, reason = "bounds in the schema are small")]
            Typed::Signed(number) => Some(number as f64),
            Typed::Float(number) => Some(number),
            Typed::Null | Typed::Bool(_) | Typed::Text(_) => None,
        };
        if let Some(number) = number {
            for (keyword, words) in [("minimum", "at least"), ("maximum", "at most")] {
                let Some(bound) = schema.get(keyword).and_then(Json::as_f64) else {
                    continue;
                };
                if (keyword == "minimum" && number < bound)
                    || (keyword == "maximum" && number > bound)
                {
                    out.push(mistake(node, path, format!("expected {words} {bound}")));
                }
            }
        }
        if !types(schema).contains(&"string") {
            return;
        }
        if schema.get("minLength").and_then(Json::as_u64) == Some(1) && scalar.text.is_empty() {
            out.push(mistake(node, path, "expected text, found nothing"));
        }
        if let Some(pattern) = schema.get("pattern").and_then(Json::as_str)
            && !self.has_form(pattern, &scalar.text)
        {
            let expected = schema.get("description").and_then(Json::as_str);
            let expected = expected.and_then(|text| text.lines().next());
            let message = expected.map_or_else(
                || "this value has not the expected form".to_owned(),
                |expected| format!("expected {expected}"),
            );
            out.push(mistake(node, path, message));
        }
    }

    /// Whether `text` has the form `pattern` asks for; what is no expression asks for nothing.
    fn has_form(&self, pattern: &str, text: &str) -> bool {
        let mut patterns = self.patterns.borrow_mut();
        if !patterns.contains_key(pattern) {
            patterns.insert(pattern.to_owned(), Regex::new(pattern).ok());
        }
        let known = patterns.get(pattern).and_then(Option::as_ref);
        known.is_none_or(|regex| regex.is_match(text.as_bytes()))
    }

    fn resolved(&self, schema: &'a Json) -> Option<&'a Map<String, Json>> {
        let object = schema.as_object()?;
        self.target(object).unwrap_or(schema).as_object()
    }

    /// The keys of branches that are all mappings of exactly one key.
    fn single_keys(&self, branches: &'a [Json]) -> Option<Vec<&'a str>> {
        let key = |branch| {
            let properties = self.resolved(branch)?.get("properties")?.as_object()?;
            let mut keys = properties.keys();
            keys.next().filter(|_| keys.next().is_none())
        };
        let maps = branches.iter().filter(|branch| {
            self.resolved(branch)
                .is_some_and(|s| types(s) == ["object"])
        });
        let keys: Option<Vec<&str>> = maps.map(|b| key(b).map(String::as_str)).collect();
        keys.filter(|keys| keys.len() > 1)
    }

    fn described(&self, schema: &'a Json) -> Option<&'a str> {
        let own = schema.get("description");
        let text = own.or_else(|| self.resolved(schema)?.get("description"))?;
        text.as_str()?.lines().next()
    }
}

fn not_one_of(
    node: &Node,
    first: Option<&(crate::tree::Key, Node)>,
    keys: &[&str],
    path: &Path,
) -> Mistake {
    match first {
        Some((key, _)) if !keys.contains(&key.name.as_str()) => Mistake {
            problem: Problem {
                place: key.place,
                message: format!("unknown key `{}`", key.name),
                help: suggest::help(&key.name, keys, "keys known here"),
            },
            path: path.clone(),
            remove: true,
        },
        _ => {
            let keys: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
            let message = format!("expected exactly one of the keys {}", keys.join(", "));
            mistake(node, path, message)
        }
    }
}

fn check_word(node: &Node, words: &[&str], path: &Path, out: &mut Vec<Mistake>) {
    let Value::Scalar(scalar) = &node.value else {
        let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
        let message = format!(
            "expected one of {}, found {}",
            words.join(", "),
            found(node)
        );
        out.push(mistake(node, path, message));
        return;
    };
    if words.contains(&scalar.text.as_str()) {
        return;
    }
    let mut wrong = if scalar.expanded {
        mistake(node, path, "this variable's value is not a known word")
    } else {
        mistake(node, path, format!("unknown word `{}`", scalar.text))
    };
    wrong.problem.help = suggest::help(
        if scalar.expanded { "" } else { &scalar.text },
        words,
        "words known here",
    );
    out.push(wrong);
}

fn wrong_type(node: &Node, types: &[&str], schema: &Map<String, Json>, path: &Path) -> Mistake {
    let names: Vec<String> = types
        .iter()
        .filter(|name| **name != "null")
        .map(|name| named(name))
        .collect();
    let message = format!("expected {}, found {}", names.join(" or "), found(node));
    let mut wrong = mistake(node, path, message);
    wrong.problem.help = if types.contains(&"string") && matches!(node.value, Value::Scalar(_)) {
        Some(IN_QUOTES.to_owned())
    } else if types.contains(&"array") && matches!(node.value, Value::Scalar(_)) {
        Some("a list of one is written `[value]`".to_owned())
    } else {
        let text = schema.get("description").and_then(Json::as_str);
        text.and_then(|text| text.lines().next()).map(str::to_owned)
    };
    wrong
}

fn mistake(node: &Node, path: &Path, message: impl Into<String>) -> Mistake {
    Mistake {
        problem: Problem::new(node.place, message),
        path: path.clone(),
        remove: true,
    }
}

/// Whether a node may stand where the schema says `wanted`; see `tree::de` for the leniencies.
fn fits(node: &Node, wanted: &str) -> bool {
    match (&node.value, wanted) {
        (Value::Map(_), "object") | (Value::List(_), "array") => true,
        (Value::Scalar(scalar), _) => match (scalar.typed(), wanted) {
            (Typed::Null, "null" | "object" | "array")
            | (Typed::Bool(_), "boolean")
            | (Typed::Unsigned(_) | Typed::Signed(_), "integer" | "number")
            | (Typed::Float(_), "number")
            | (Typed::Text(_), "string") => true,
            (_, "string") => scalar.expanded,
            _ => false,
        },
        _ => false,
    }
}

fn found(node: &Node) -> &'static str {
    match &node.value {
        Value::Map(_) => "a mapping",
        Value::List(_) => "a list",
        Value::Scalar(scalar) => match scalar.typed() {
            Typed::Null => "nothing",
            Typed::Bool(_) => "true or false",
            Typed::Unsigned(_) | Typed::Signed(_) | Typed::Float(_) => "a number",
            Typed::Text(_) => "text",
        },
    }
}

fn named(name: &str) -> String {
    match name {
        "object" => "a mapping",
        "array" => "a list",
        "string" => "text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        other => other,
    }
    .to_owned()
}

fn array<'a>(schema: &'a Map<String, Json>, key: &str) -> &'a [Json] {
    let array = schema.get(key).and_then(Json::as_array);
    array.map(Vec::as_slice).unwrap_or_default()
}

fn types(schema: &Map<String, Json>) -> Vec<&str> {
    match schema.get("type") {
        Some(Json::String(name)) => vec![name],
        Some(Json::Array(names)) => names.iter().filter_map(Json::as_str).collect(),
        _ => Vec::new(),
    }
}

/// The words of `enum`, `const`, or of a `oneOf` that holds nothing but those.
fn words(schema: &Map<String, Json>) -> Option<Vec<&str>> {
    if let Some(word) = schema.get("const") {
        return word.as_str().map(|word| vec![word]);
    }
    if schema.contains_key("enum") {
        return Some(
            array(schema, "enum")
                .iter()
                .filter_map(Json::as_str)
                .collect(),
        );
    }
    let branches = array(schema, "oneOf");
    let parts: Option<Vec<Vec<&str>>> = branches.iter().map(|b| words(b.as_object()?)).collect();
    parts
        .map(|parts| parts.concat())
        .filter(|words| !words.is_empty())
}

const IN_QUOTES: &str = "put it in quotes if text is meant";
