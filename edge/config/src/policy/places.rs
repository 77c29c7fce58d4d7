//! Where the parts of a section stand in the configuration, for mistakes that show only later: which
//! rules there are is known when rule files are read, long after the configuration was.

use std::collections::BTreeMap;

use edge_core::{Diagnostic, Level, Position};

/// The places of a section's parts, by the keys that lead to them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places(BTreeMap<Vec<String>, Diagnostic>);

impl Places {
    /// Notes where the part behind `keys` stands; messages about it are made from `example`.
    pub(crate) fn note(&mut self, keys: Vec<String>, example: Diagnostic) {
        self.0.insert(keys, example);
    }

    /// A mistake in the part behind `keys`, or in the nearest part around it that was written.
    #[must_use]
    pub fn mistake(&self, keys: &[String], message: String, help: Option<String>) -> Diagnostic {
        let around = (0..=keys.len()).rev();
        let example = around
            .filter_map(|length| self.0.get(keys.get(..length)?))
            .next();
        let unknown = || Diagnostic {
            level: Level::Error,
            file: "configuration".into(),
            position: Position::default(),
            line: String::new(),
            message: String::new(),
            help: None,
        };
        Diagnostic {
            message,
            help,
            ..example.cloned().unwrap_or_else(unknown)
        }
    }
}
