//! Loads the rule sets of profiles; equal settings share one set.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use edge_core::{Diagnostic, Level, Position};
use waf_rules::spec::{RulesSpec, Source};
use waf_rules::{Loader, Problem, RuleSet};

/// The rule sets of one configuration.
#[derive(Default)]
pub(crate) struct RuleSets {
    sets: Vec<(RulesSpec, Arc<RuleSet>)>,
    /// What the rules' authors should know.
    pub(crate) warnings: Vec<Diagnostic>,
    /// Every file that was read.
    pub(crate) files: Vec<PathBuf>,
}

impl RuleSets {
    /// The set for `spec`: one that is loaded already, or a new one.
    ///
    /// # Errors
    /// Every mistake in its files.
    pub(crate) fn load(&mut self, spec: &RulesSpec) -> Result<Arc<RuleSet>, Vec<Diagnostic>> {
        if let Some((_, rules)) = self.sets.iter().find(|(known, _)| known == spec) {
            return Ok(rules.clone());
        }
        let loader = spec.sources().into_iter().fold(Loader::new(), add);
        let loaded = loader.load().map_err(|problems| diagnostics(problems, Level::Error))?;
        self.warnings.extend(diagnostics(loaded.warnings, Level::Warning));
        self.files.extend(loaded.files);
        let rules = Arc::new(loaded.rules);
        self.sets.push((spec.clone(), rules.clone()));
        Ok(rules)
    }

    /// The numbers of all rules.
    pub(crate) fn ids(&self) -> impl Iterator<Item = u64> {
        self.sets.iter().flat_map(|(_, rules)| rules.rule_ids())
    }
}

fn add(loader: Loader, source: Source<'_>) -> Loader {
    match source {
        Source::Directives { name, text } => loader.text(name, &text),
        Source::Baseline => loader.baseline(),
        Source::FirstOf(files) => {
            let found = files.iter().find(|file| Path::new(file).exists());
            // A file that is missing is reported by the loader, under the name asked for first.
            found.or(files.first()).map_or_else(Loader::new, |file| loader.file(Path::new(file)))
        }
        Source::Files { pattern, required } => loader.files(&pattern, required),
    }
}

fn diagnostics(problems: Vec<Problem>, level: Level) -> Vec<Diagnostic> {
    let shown = problems.into_iter().map(|problem| Diagnostic {
        level,
        file: problem.file.into(),
        position: Position {
            line: problem.line,
            column: problem.column,
            length: problem.length,
        },
        line: problem.text,
        message: problem.message,
        help: problem.help,
    });
    shown.collect()
}
