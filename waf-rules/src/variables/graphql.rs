//! Reads a request as GraphQL over HTTP, where a rule says that it is: `ctl:requestBodyProcessor=GRAPHQL`.
//!
//! A document stands in `query` of a JSON body (or of each member of a batch), of a form or of the query
//! string, or is the whole body (`application/graphql`). It is replaced by its literals, under the
//! paths of their fields; all else of the request stays what it is, so `json.variables.id` keeps its
//! name. What is not GraphQL is inspected as the text it is, and is an error.

use std::ops::ControlFlow;

use super::Variable;
use super::body::{fail_unless_cut, json_limits, json_variables, urlencoded};
use super::request::{content_type, fill_names};
use crate::body::graphql::{self, Cost, Document};
use crate::body::json;
use crate::engine::{Settings, State};

/// A document, where it stood, and how the names of its literals begin.
struct Found {
    name: Vec<u8>,
    prefix: Vec<u8>,
    text: Vec<u8>,
}

/// Fills the arguments and counts of a request that has a body.
pub(super) fn fill(state: &mut State, settings: &Settings, body: &[u8], partial: bool) {
    let kind = content_type(state).to_ascii_lowercase();
    let mut request = Request::new(state, settings, partial);
    request.form(Variable::ArgsGet, Variable::ArgsGetNames);
    let bare = kind.split(|byte| *byte == b';').next().unwrap_or_default();
    if bare.trim_ascii() == b"application/graphql" {
        request.found.push(Found {
            name: b"graphql".to_vec(),
            prefix: b"graphql".to_vec(),
            text: body.to_vec(),
        });
        request.documents(Variable::ArgsPost, Variable::ArgsPostNames);
    } else if kind.starts_with(b"application/x-www-form-urlencoded") {
        urlencoded(request.state, settings, body);
        request.form(Variable::ArgsPost, Variable::ArgsPostNames);
    } else {
        request.json(body);
    }
    request.finish();
}

/// Fills them for a request that has only a query string.
pub(super) fn fill_query(state: &mut State, settings: &Settings) {
    let mut request = Request::new(state, settings, false);
    request.form(Variable::ArgsGet, Variable::ArgsGetNames);
    request.finish();
}

struct Request<'r> {
    state: &'r mut State,
    settings: &'r Settings,
    partial: bool,
    /// Documents that are still to be read.
    found: Vec<Found>,
    read: Vec<(Vec<u8>, Document)>,
    /// Operations, fragments, spreads and fields that all documents together may still have.
    nodes: usize,
    /// Requests in this one.
    batch: usize,
}

impl<'r> Request<'r> {
    fn new(state: &'r mut State, settings: &'r Settings, partial: bool) -> Self {
        Self {
            state,
            settings,
            partial,
            found: Vec::new(),
            read: Vec::new(),
            nodes: graphql::Limits::default().nodes,
            batch: 1,
        }
    }

    fn json(&mut self, body: &[u8]) {
        let (leaves, names) = json_variables(self.settings);
        let limits = json_limits(self.state, self.settings);
        let (state, found, batch) = (&mut *self.state, &mut self.found, &mut self.batch);
        let outcome = json::parse(
            body,
            limits,
            self.settings.json_naming,
            &mut |name, value| {
                let member = Member::of(name);
                *batch = (*batch).max(member.index.map_or(1, |index| index.saturating_add(1)));
                if member.rest == b"query" && !value.is_empty() {
                    found.push(Found {
                        name: name.to_vec(),
                        prefix: [b"graphql", member.dotted].concat(),
                        text: value.to_vec(),
                    });
                } else {
                    state.add(leaves, name, value);
                }
                ControlFlow::Continue(())
            },
        );
        self.documents(leaves, names);
        fail_unless_cut(self.state, "JSON", outcome.err(), self.partial);
    }

    /// Takes the documents and the JSON out of arguments that have been split already.
    fn form(&mut self, arguments: Variable, names: Variable) {
        let members: Vec<_> = self
            .state
            .values
            .of(arguments)
            .map(|(_, member)| (member.name, member.value))
            .collect();
        let is_ours = |name: &[u8]| matches!(name, b"query" | b"variables" | b"extensions");
        let arena = &self.state.arena;
        if !members.iter().any(|(name, _)| is_ours(arena.get(*name))) {
            return;
        }
        self.state.values.clear(arguments);
        for (name, value) in members {
            let text = self.state.arena.get(value).to_vec();
            match self.state.arena.get(name) {
                b"query" => self.found.push(Found {
                    name: b"query".to_vec(),
                    prefix: b"graphql".to_vec(),
                    text,
                }),
                b"variables" if !text.is_empty() => self.leaves(b"variables", &text, arguments),
                b"extensions" if !text.is_empty() => self.leaves(b"extensions", &text, arguments),
                _ => self.state.values.add(arguments, name, value),
            }
        }
        self.documents(arguments, names);
    }

    /// Adds the leaves of JSON that stands in a form; as text too, if it is none.
    fn leaves(&mut self, root: &[u8], text: &[u8], arguments: Variable) {
        let limits = json_limits(self.state, self.settings);
        let naming = self.settings.json_naming;
        let state = &mut *self.state;
        let outcome = json::parse_as(root, text, limits, naming, &mut |name, value| {
            state.add(arguments, name, value);
            ControlFlow::Continue(())
        });
        if let Err(error) = outcome {
            self.state.add(arguments, root, text);
            fail_unless_cut(self.state, "JSON", Some(error), self.partial);
        }
    }

    /// Reads the documents found so far.
    fn documents(&mut self, arguments: Variable, names: Variable) {
        for found in std::mem::take(&mut self.found) {
            let limits = graphql::Limits {
                depth: self.settings.json_depth,
                arguments: json_limits(self.state, self.settings).arguments,
                nodes: self.nodes,
                ..graphql::Limits::default()
            };
            let state = &mut *self.state;
            let naming = self.settings.json_naming;
            let document = graphql::parse(
                &found.text,
                limits,
                naming,
                &found.prefix,
                &mut |name, value| {
                    state.add(arguments, name, value);
                    ControlFlow::Continue(())
                },
            );
            self.nodes = self.nodes.saturating_sub(document.nodes);
            if document.error.is_some() {
                state.add(arguments, &found.name, &found.text);
            }
            self.read.push((found.text, document));
        }
        fill_names(self.state, arguments, names);
    }

    /// Fills what the documents are counted in; members of one variable lie side by side.
    fn finish(self) {
        let Self { state, read, .. } = self;
        if read.is_empty() {
            return;
        }
        let mut sum = Cost::default();
        let mut operations = 0;
        for (text, document) in &read {
            sum.depth = sum.depth.max(document.cost.depth);
            sum.fields = sum.fields.saturating_add(document.cost.fields);
            sum.aliases = sum.aliases.saturating_add(document.cost.aliases);
            sum.directives = sum.directives.saturating_add(document.cost.directives);
            operations += document.operations.len();
            for (kind, name) in &document.operations {
                let name = text.get(name.clone()).unwrap_or_default();
                state.add(Variable::GraphQlOperations, name, kind.as_bytes());
            }
        }
        for (text, document) in &read {
            for name in &document.field_names {
                let name = text.get(name.clone()).unwrap_or_default();
                state.add(Variable::GraphQlFields, name, name);
            }
        }
        for (name, count) in [
            ("aliases", sum.aliases),
            ("batch", self.batch),
            ("depth", sum.depth),
            ("directives", sum.directives),
            ("fields", sum.fields),
            ("operations", operations),
        ] {
            let count = count.to_string();
            state.add(Variable::GraphQl, name.as_bytes(), count.as_bytes());
        }
        for (_, document) in read {
            fail_unless_cut(state, "GraphQL", document.error, self.partial);
        }
    }
}

/// A leaf of the JSON body, seen as part of a member of a batch.
struct Member<'n> {
    index: Option<usize>,
    /// The index as it is written, with its dot.
    dotted: &'n [u8],
    /// The name within the member.
    rest: &'n [u8],
}

impl<'n> Member<'n> {
    fn of(name: &'n [u8]) -> Self {
        let alone = Self {
            index: None,
            dotted: b"",
            rest: name.strip_prefix(b"json.").unwrap_or_default(),
        };
        let written = alone.rest.split(|byte| *byte == b'.').next();
        let written = written.unwrap_or_default();
        let digits = written.strip_prefix(b"array_").unwrap_or(written);
        let index = std::str::from_utf8(digits)
            .ok()
            .and_then(|digits| digits.parse().ok());
        if index.is_none() {
            return alone;
        }
        Self {
            index,
            dotted: name.get(4..5 + written.len()).unwrap_or_default(),
            rest: alone.rest.get(written.len() + 1..).unwrap_or_default(),
        }
    }
}
