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
        for source in spec.sources() {
            loader = self.add(loader, source, &waf.origins);
        }
        let loaded = loader
            .load()
            .map_err(|problems| diagnostics(problems, Level::Error))?;
        self.warnings
            .extend(diagnostics(loaded.warnings, Level::Warning));
        let rules = Arc::new(loaded.rules);
        self.sets.push((spec.clone(), rules.clone()));
        Ok(rules)
    }

    fn add(
        &mut self,
        loader: Loader,
        source: Source<'_>,
        origins: &BTreeMap<&'static str, Origin>,
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
            Source::FirstOf(files) => {
                // A file that is missing is reported by the loader, by the name asked for first.
                self.files.extend(files.iter().map(PathBuf::from));
                let found = files.iter().find(|file| Path::new(file).exists());
                match found.or(files.first()) {
                    Some(file) => self.file(loader, Path::new(file)),
                    None => loader,
                }
            }
            Source::Files { pattern, required } => {
                let pattern = Path::new(&pattern);
                if pattern.as_os_str().as_encoded_bytes().contains(&b'*') {
                    self.files.extend(pattern.parent().map(Path::to_path_buf));
                }
                let found = matching(pattern);
                if found.is_empty() && required {
                    return self.file(loader, pattern);
                }
                found
                    .iter()
                    .fold(loader, |loader, file| self.file(loader, file))
            }
        }
    }

    fn file(&mut self, loader: Loader, file: &Path) -> Loader {
        self.files.push(file.to_owned());
        loader.file(file)
    }

    /// The numbers of all rules.
    pub(crate) fn ids(&self) -> impl Iterator<Item = u64> {
        self.sets.iter().flat_map(|(_, rules)| rules.rule_ids())
    }
}

/// The files of one folder whose names fit a pattern with `*`, in the order of their names.
fn matching(pattern: &Path) -> Vec<PathBuf> {
    let (Some(folder), Some(name)) = (pattern.parent(), pattern.file_name()) else {
        return Vec::new();
    };
    let pieces: Vec<&[u8]> = name
        .as_encoded_bytes()
        .split(|byte| *byte == b'*')
        .collect();
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .filter(|entry| fits(entry.file_name().as_encoded_bytes(), &pieces))
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect();
    found.sort();
    found
}

/// Whether `name` is the pieces in order, with anything between them.
fn fits(name: &[u8], pieces: &[&[u8]]) -> bool {
    let Some((first, rest)) = pieces.split_first() else {
        return false;
    };
    let Some(mut name) = name.strip_prefix(*first) else {
        return false;
    };
    let Some((last, middle)) = rest.split_last() else {
        return name.is_empty();
    };
    for piece in middle.iter().filter(|piece| !piece.is_empty()) {
        let Some(at) = name
            .windows(piece.len())
            .position(|window| window == *piece)
        else {
            return false;
        };
        name = name.get(at + piece.len()..).unwrap_or_default();
    }
    name.ends_with(last)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_part_of_a_name() {
        let fits = |name: &str, pattern: &str| {
            fits(
                name.as_bytes(),
                &pattern.split('*').map(str::as_bytes).collect::<Vec<_>>(),
            )
        };
        assert!(fits("REQUEST-901.conf", "*.conf"));
        assert!(fits("REQUEST-901.conf", "REQ*-9*.conf"));
        assert!(fits("a.conf", "a.conf"));
        assert!(!fits("a.conf.example", "*.conf"));
        assert!(!fits("b.conf", "a.conf"));
        assert!(!fits("a.con", "a*.conf"));
    }
}
