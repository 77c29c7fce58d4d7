//! Loads the rule sets of profiles; equal settings share one set.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use edge_config::{Origin, Waf};
use edge_core::{Diagnostic, Level, Position};
use waf_rules::spec::{RulesSpec, Source};
use waf_rules::{Loader, Problem, RuleSet};

/// The rule sets of one configuration.
#[derive(Default)]
pub(crate) struct RuleSets {
    sets: Vec<(RulesSpec, Arc<RuleSet>)>,
    /// What the rules' authors should know.
    pub(crate) warnings: Vec<Diagnostic>,
    /// Every file that was read or looked for, and the folders of patterns.
    pub(crate) files: Vec<PathBuf>,
}

impl RuleSets {
    /// The set for `spec`: one that is loaded already, or a new one.
    ///
    /// # Errors
    /// Every mistake in its files.
    pub(crate) fn load(&mut self, waf: &Waf) -> Result<Arc<RuleSet>, Vec<Diagnostic>> {
        let spec = &waf.rules;
        if let Some((_, rules)) = self.sets.iter().find(|(known, _)| known == spec) {
            return Ok(rules.clone());
        }
        let mut loader = Loader::new();
        let mut helps = Helps::new();
        for source in spec.sources() {
            self.files.extend(looked_for(&source));
            loader = add(loader, source, &waf.origins, &mut helps);
        }
        let loaded = loader.load().map_err(|problems| {
            // Also included files: whoever mends one wants to be noticed.
            let mistaken = problems.iter().map(|problem| PathBuf::from(&problem.file));
            self.files.extend(mistaken);
            diagnostics(problems, Level::Error, &helps)
        })?;
        self.warnings
            .extend(diagnostics(loaded.warnings, Level::Warning, &helps));
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

/// What a source asks the file system for, whether it is there or not: files, and the folder of a
/// pattern.
fn looked_for(source: &Source<'_>) -> Vec<PathBuf> {
    match source {
        Source::Directives { .. } | Source::Baseline => Vec::new(),
        Source::FirstOf { files, .. } => files.iter().map(PathBuf::from).collect(),
        Source::Files { pattern, .. } if pattern.contains(['*', '?']) => Path::new(pattern)
            .parent()
            .map(Path::to_path_buf)
            .into_iter()
            .collect(),
        Source::Files { pattern, .. } => vec![PathBuf::from(pattern)],
    }
}

/// What to tell a user if a source cannot be read, by the name it is asked for.
type Helps = BTreeMap<String, &'static str>;

fn add(
    loader: Loader,
    source: Source<'_>,
    origins: &BTreeMap<&'static str, Origin>,
    helps: &mut Helps,
) -> Loader {
    match source {
        Source::Directives { name, text } => match origins.get(name) {
            // Empty lines in front make the text's own lines those of the file it stands in.
            Some(Origin { file, lines_before }) => {
                loader.text(file, &format!("{}{text}", "\n".repeat(*lines_before)))
            }
            None => loader.text(name, &text),
        },
        Source::Baseline => loader.baseline(),
        Source::FirstOf { files, help } => {
            // A file that is missing is reported by the loader, by the name asked for first.
            let found = files.iter().find(|file| Path::new(file).exists());
            let Some(file) = found.or(files.first()) else {
                return loader;
            };
            helps.insert(file.clone(), help);
            loader.file(Path::new(file))
        }
        Source::Files {
            pattern,
            required,
            help,
        } => {
            let loader = loader.files(&pattern, required);
            helps.insert(pattern, help);
            loader
        }
    }
}

fn diagnostics(problems: Vec<Problem>, level: Level, helps: &Helps) -> Vec<Diagnostic> {
    let shown = problems.into_iter().map(|problem| {
        let unread = problem.line == 0;
        let help = helps.get(&problem.file).filter(|_| unread);
        Diagnostic {
            level,
            position: Position {
                line: problem.line,
                column: problem.column,
                length: problem.length,
            },
            line: problem.text,
            message: problem.message,
            help: problem.help.or(help.map(|help| (*help).to_owned())),
            file: problem.file.into(),
        }
    });
    shown.collect()
}
