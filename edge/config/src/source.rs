//! The files a configuration came from, and places in them.
//!
//! A [`Place`] is small and is carried by every node of the tree; the text of its line is looked up
//! only when a mistake is shown. Values that came from the environment are never part of a file's
//! text, so a caret line cannot show one.

use std::sync::Arc;

use edge_core::{Diagnostic, Level, Position};

/// Longer lines are not repeated in a message.
const MAX_SHOWN_LINE: usize = 300;

/// Where something stands: file, line and column (one-based, in characters), and length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Place {
    pub(crate) file: usize,
    pub(crate) at: Position,
}

/// Something wrong (or doubtful) at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) place: Place,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

impl Problem {
    pub(crate) fn new(place: Place, message: impl Into<String>) -> Self {
        Self {
            place,
            message: message.into(),
            help: None,
        }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// One file that was read.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) name: Arc<str>,
    pub(crate) text: String,
}

/// All files of one configuration; a [`Place`] names them by index.
#[derive(Debug, Default)]
pub(crate) struct Sources(pub(crate) Vec<Source>);

impl Sources {
    /// Shows `problem` with its file, position and line.
    pub(crate) fn diagnostic(&self, problem: Problem, level: Level) -> Diagnostic {
        let place = problem.place;
        let source = self.0.get(place.file);
        let line = source.and_then(|source| source.text.lines().nth(place.at.line.wrapping_sub(1)));
        self.shown(problem, level, line)
    }

    /// Every line of every file, for many diagnostics at once.
    pub(crate) fn lines(&self) -> Lines<'_> {
        let lines = self.0.iter().map(|source| source.text.lines().collect());
        Lines {
            sources: self,
            lines: lines.collect(),
        }
    }

    fn shown(&self, problem: Problem, level: Level, line: Option<&str>) -> Diagnostic {
        let Problem {
            place,
            message,
            help,
        } = problem;
        let source = self.0.get(place.file);
        let line = line
            .filter(|line| line.len() <= MAX_SHOWN_LINE && !has_password(line))
            .unwrap_or_default();
        Diagnostic {
            level,
            file: source.map_or_else(|| "configuration".into(), |source| Arc::clone(&source.name)),
            position: place.at,
            line: line.to_owned(),
            message,
            help,
        }
    }

    /// `file:line` for a second place in a message.
    pub(crate) fn name(&self, place: Place) -> String {
        let file = self.0.get(place.file).map_or("?", |source| &source.name);
        format!("{file}:{}:{}", place.at.line, place.at.column)
    }
}

/// All files, cut into lines.
pub(crate) struct Lines<'a> {
    sources: &'a Sources,
    lines: Vec<Vec<&'a str>>,
}

impl Lines<'_> {
    /// As [`Sources::diagnostic`] for an error, without counting lines.
    pub(crate) fn error(&self, problem: Problem) -> Diagnostic {
        let place = problem.place;
        let lines = self.lines.get(place.file);
        let line = lines.and_then(|lines| lines.get(place.at.line.wrapping_sub(1)));
        self.sources.shown(problem, Level::Error, line.copied())
    }
}

/// Whether a line holds a URL with credentials; such a line is not repeated in a log.
fn has_password(line: &str) -> bool {
    line.split("://").skip(1).any(|rest| {
        let authority = rest.split(['/', '"', '\'', ' ', ',']).next();
        authority.is_some_and(|authority| authority.contains('@'))
    })
}
