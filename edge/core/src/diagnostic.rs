//! A mistake in a file, shown the way compilers do: `file:line:column`, the line, a caret.

use std::fmt;
use std::sync::Arc;

/// A message about one place in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub level: Level,
    /// Name of the file as the user wrote it.
    pub file: Arc<str>,
    /// Where in the file.
    pub position: Position,
    /// The text of that line, for the caret; empty if unknown.
    pub line: String,
    /// What is wrong. Never contains a secret.
    pub message: String,
    /// What was expected, or what to do.
    pub help: Option<String>,
}

/// Whether loading may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Level {
    Error,
    Warning,
}

/// One-based line and column (in characters), and the length of what the carets underline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// One-based; 0 if the whole file is meant.
    pub line: usize,
    /// One-based, in characters.
    pub column: usize,
    /// How many characters to underline; at least one caret is drawn.
    pub length: usize,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            level,
            file,
            position,
            line,
            message,
            help,
        } = self;
        let level = match level {
            Level::Error => "error",
            Level::Warning => "warning",
        };
        if position.line == 0 {
            write!(f, "{file}: {level}: {message}")?;
        } else {
            write!(
                f,
                "{file}:{}:{}: {level}: {message}",
                position.line, position.column
            )?;
        }
        if position.line > 0 && !line.is_empty() {
            let number = position.line.to_string();
            let pad: String = line
                .chars()
                .take(position.column.saturating_sub(1))
                .map(|c| if c == '\t' { '\t' } else { ' ' })
                .collect();
            let room = line
                .chars()
                .count()
                .saturating_sub(pad.chars().count())
                .max(1);
            let carets = "^".repeat(position.length.clamp(1, room));
            let gutter = " ".repeat(number.len());
            write!(f, "\n {number} | {line}\n {gutter} | {pad}{carets}")?;
        }
        if let Some(help) = help {
            write!(f, "\n   = {help}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_under_the_mistake() {
        let shown = Diagnostic {
            level: Level::Error,
            file: "p.yaml".into(),
            position: Position {
                line: 3,
                column: 5,
                length: 4,
            },
            line: "    wfa: on".into(),
            message: "unknown key `wfa`".into(),
            help: Some("did you mean `waf`?".into()),
        }
        .to_string();
        let expected = "p.yaml:3:5: error: unknown key `wfa`\n 3 |     wfa: on\n   |     ^^^^\n   \
                        = did you mean `waf`?";
        assert_eq!(shown, expected);
    }
}
