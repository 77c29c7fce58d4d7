//! One rule file in memory, and the way from a byte offset back to line, column and caret.

use std::sync::Arc;

use super::problem::Problem;

/// Longest source line a problem quotes.
const QUOTED: usize = 200;

/// A rule file.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) name: Arc<str>,
    pub(crate) text: String,
    line_starts: Vec<usize>,
}

/// A range of bytes of a [`Source`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// What is wrong at one place; becomes a [`Problem`] once the file is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flaw {
    pub(crate) span: Span,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

impl Flaw {
    pub(crate) fn new(span: Span, message: impl Into<String>) -> Self {
        Self {
            span,
            message: message.into(),
            help: None,
        }
    }

    pub(crate) fn help(mut self, help: Option<String>) -> Self {
        self.help = help;
        self
    }
}

impl Source {
    pub(crate) fn new(name: &str, text: String) -> Self {
        let line_starts = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        Self {
            name: Arc::from(name),
            text,
            line_starts,
        }
    }

    /// The line, from 1, that holds the byte at `offset`.
    pub(crate) fn line_of(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset)
    }

    /// The problem that says `flaw` about this file.
    pub(crate) fn problem(&self, flaw: Flaw) -> Problem {
        let line = self.line_of(flaw.span.start);
        let start = self.line_starts.get(line - 1).copied().unwrap_or(0);
        let rest = self.text.get(start..).unwrap_or("");
        let text = rest.lines().next().unwrap_or("");
        let column = flaw.span.start - start + 1;
        let room = (text.len() + 1).saturating_sub(column);
        let length = (flaw.span.end.saturating_sub(flaw.span.start)).clamp(1, room.max(1));
        let mut quoted: String = text.chars().take(QUOTED).collect();
        if quoted.len() < text.len() {
            quoted.push('…');
        }
        Problem {
            file: self.name.to_string(),
            line,
            column,
            length,
            text: quoted,
            message: flaw.message,
            help: flaw.help,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flaw_on_the_second_line_is_shown_with_its_line_and_column() {
        let source = Source::new("a.conf", "one\ntwo three\r\n".to_owned());
        let at = source.text.find("three").unwrap();
        let span = Span {
            start: at,
            end: at + 5,
        };
        let problem = source.problem(Flaw::new(span, "no"));
        assert_eq!((problem.line, problem.column, problem.length), (2, 5, 5));
        assert_eq!(problem.text, "two three");
    }

    #[test]
    fn a_caret_never_runs_past_its_line() {
        let source = Source::new("a.conf", "ab\ncd".to_owned());
        let problem = source.problem(Flaw::new(Span { start: 1, end: 5 }, "no"));
        assert_eq!((problem.column, problem.length), (2, 1));
    }
}
