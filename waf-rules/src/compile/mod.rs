//! Rule files -> an immutable [`RuleSet`].
//!
//! Three steps: the reader turns directives into drafts, updates and removals change the drafts
//! wherever they were written, and the finisher numbers and links what is left. Problems never stop
//! the reading: all of them are reported at once, and any of them keeps the rules from loading.

mod action_list;
mod assignment;
mod audit;
mod directives;
mod draft;
mod files;
mod finish;
mod inputs;
mod names;
mod outside;
mod reader;
mod selection;
mod settings;
mod unicode_map;
mod update;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::engine::RuleSet;
use crate::kept::Kept;
use crate::syntax::Problem;
#[cfg(test)]
pub(crate) use directives::Directive;
pub(crate) use files::{fits, read_database};
pub use inputs::Inputs;
pub(crate) use names::Names;
use outside::Host;
use reader::Reader;

/// Collects the sources of a rule set and compiles them in the order they were given.
#[derive(Debug, Default)]
pub struct Loader {
    sources: Vec<Origin>,
    kept: Option<Arc<Kept>>,
    dns: bool,
}

#[derive(Debug)]
enum Origin {
    File(PathBuf),
    Files { pattern: String, required: bool },
    Text { name: String, text: String },
}

/// A rule set that loaded, and what its author should still know.
#[derive(Debug)]
pub struct Loaded {
    /// The compiled rules.
    pub rules: RuleSet,
    /// Directives that were accepted but do nothing here, and the like.
    pub warnings: Vec<Problem>,
    /// Every file that was read, included ones and data files too; a host may watch them.
    pub inputs: Inputs,
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
        self.sources.push(Origin::File(path.to_path_buf()));
        self
    }

    /// Adds every SecLang file that fits `pattern`, in the order of their names. `*` and `?` stand for
    /// any part and any byte of a name. Where `required`, it is a problem that there is none.
    #[must_use]
    pub fn files(mut self, pattern: &str, required: bool) -> Self {
        self.sources.push(Origin::Files {
            pattern: pattern.to_owned(),
            required,
        });
        self
    }

    /// Adds SecLang text; `name` stands for the file in problems and matches. Paths in it are
    /// relative to the working directory.
    #[must_use]
    pub fn text(mut self, name: &str, text: &str) -> Self {
        self.sources.push(Origin::Text {
            name: name.to_owned(),
            text: text.to_owned(),
        });
        self
    }

    /// Adds the rule set that ships with the engine.
    #[must_use]
    pub fn baseline(mut self) -> Self {
        for (name, text) in crate::baseline::FILES {
            self = self.text(name, text);
        }
        self
    }

    /// What this rule set shares with others. Without it, it keeps all to itself: its persistent
    /// collections go with it.
    #[must_use]
    pub fn kept(mut self, kept: &Arc<Kept>) -> Self {
        self.kept = Some(Arc::clone(kept));
        self
    }

    /// The host resolves names for `@rbl`, see [`crate::Transaction::dns_names`]; otherwise a rule
    /// that needs it does not load.
    #[must_use]
    pub fn dns(mut self, resolves: bool) -> Self {
        self.dns = resolves;
        self
    }

    /// Compiles everything, or reports every problem at once.
    ///
    /// # Errors
    /// All the problems that keep the rules from running as written.
    pub fn load(self) -> Result<Loaded, Vec<Problem>> {
        let mut reader = Reader::default();
        for source in self.sources {
            match source {
                Origin::File(path) => reader.file(&path),
                Origin::Files { pattern, required } => reader.files(&pattern, required),
                Origin::Text { name, text } => reader.text(&name, text),
            }
        }
        finish::finish(
            reader,
            &Host {
                kept: self.kept.unwrap_or_default(),
                dns: self.dns,
            },
        )
    }
}

#[cfg(test)]
mod tests;
