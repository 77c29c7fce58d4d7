//! What is wrong with a rule file, and where: enough for a host to print the line and a caret.

use std::fmt;

/// One error or warning about one place in a rule file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// File, as the including file or the host named it.
    pub file: String,
    /// Line, from 1. 0 where the file itself is the problem.
    pub line: usize,
    /// Column in bytes, from 1.
    pub column: usize,
    /// How many bytes of the line the problem covers, at least 1.
    pub length: usize,
    /// The source line.
    pub text: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it, where that is known.
    pub help: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{}:{}:{}: {}",
            self.file, self.line, self.column, self.message
        )
    }
}
