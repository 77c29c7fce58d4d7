//! Loads the rule sets of profiles. What is compiled is held once, whoever uses it: profiles and routes
//! with settings of their own lay them over it, and a reload keeps what did not change on disk.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use edge_audit::RuleLogs;
use edge_config::{Checksum, Origin, Tuning, Waf};
use edge_core::{Diagnostic, Level, Position};
use sha2::{Digest as _, Sha256};
use waf_rules::spec::{RulesSpec, Source};
use waf_rules::{Inputs, Kept, Loader, Problem, Profile, RuleSet};

use crate::stages::audit;

/// The rule sets of one configuration.
#[derive(Default)]
pub(crate) struct RuleSets {
    sets: Vec<Arc<Loaded>>,
    /// Those of the configuration that runs.
    before: Vec<Arc<Loaded>>,
    /// What outlives a configuration: counters of clients, databases.
    pub(crate) kept: Arc<Kept>,
    /// What the rules' authors should know.
    pub(crate) warnings: Vec<Diagnostic>,
    /// Every file that was read or looked for, and the folders of patterns.
    pub(crate) files: Vec<PathBuf>,
}

/// A rule set and what it was made from.
pub(crate) struct Loaded {
    spec: RulesSpec,
    /// Its rules may ask the DNS.
    dns: bool,
    origins: BTreeMap<&'static str, Origin>,
    /// Which of several files was there, for each source that names several.
    found: Vec<PathBuf>,
    inputs: Inputs,
    /// Name and SHA-256 of every file it was made from.
    digests: Vec<(String, [u8; 32])>,
    warnings: Vec<Diagnostic>,
    rules: Arc<RuleSet>,
}

impl RuleSets {
    /// Sets that may be taken over from `before` where nothing changed, with what was `kept`.
    pub(crate) fn after(before: &[Arc<Loaded>], kept: Arc<Kept>) -> Self {
        Self {
            before: before.to_vec(),
            kept,
            ..Self::default()
        }
    }

    /// The rules of `waf` with its settings laid over them.
    ///
    /// # Errors
    /// Every mistake in the rule files or in the settings.
    pub(crate) fn profile(&mut self, waf: &Waf) -> Result<Arc<Profile>, Vec<Diagnostic>> {
        let loaded = self.load(waf)?;
        let profile = waf.rules.profile(loaded.rules.clone());
        // These rules were loaded for this spec, so they know its settings.
        let mut profile = profile.map_err(|error| vec![unplaced(error.to_string())])?;
        let mut mistakes = Vec::new();
        for Tuning { spec, places, .. } in &waf.tunings {
            for error in spec.lay(&mut profile).err().unwrap_or_default() {
                let message = error.message.into_owned();
                mistakes.push(places.mistake(&error.path, message, error.help));
            }
        }
        if mistakes.is_empty() {
            Ok(Arc::new(profile))
        } else {
            Err(mistakes)
        }
    }

    /// The set for `waf`: one that is loaded already, one that is unchanged, or a new one.
    fn load(&mut self, waf: &Waf) -> Result<Arc<Loaded>, Vec<Diagnostic>> {
        let spec = waf.rules.shared();
        let dns = waf.rbl.is_some();
        if let Some(known) = self
            .sets
            .iter()
            .find(|set| set.spec == spec && set.dns == dns)
        {
            return Ok(known.clone());
        }
        let sources = spec.sources();
        self.files.extend(sources.iter().flat_map(looked_for));
        let found = sources.iter().filter_map(first).collect();
        let same = |set: &&Arc<Loaded>| {
            set.spec == spec
                && set.dns == dns
                && set.origins == waf.origins
                && set.found == found
                && set.inputs.unchanged()
        };
        let set = match self.before.iter().find(same) {
            Some(unchanged) => unchanged.clone(),
            None => Arc::new(self.compile(waf, spec.clone(), found)?),
        };
        self.warnings.extend(set.warnings.iter().cloned());
        self.files.extend(set.inputs.files().map(Path::to_path_buf));
        self.sets.push(set.clone());
        Ok(set)
    }

    fn compile(
        &mut self,
        waf: &Waf,
        spec: RulesSpec,
        found: Vec<PathBuf>,
    ) -> Result<Loaded, Vec<Diagnostic>> {
        let mut loader = Loader::new().kept(&self.kept).dns(waf.rbl.is_some());
        let mut helps = Helps::new();
        for source in spec.sources() {
            loader = add(loader, source, &waf.origins, &mut helps);
        }
        let loaded = loader.load().map_err(|problems| {
            // Also included files: whoever mends one wants to be noticed.
            let mistaken = problems.iter().map(|problem| PathBuf::from(&problem.file));
            self.files.extend(mistaken);
            diagnostics(problems, Level::Error, &helps)
        })?;
        Ok(Loaded {
            spec,
            dns: waf.rbl.is_some(),
            origins: waf.origins.clone(),
            found,
            digests: loaded.inputs.files().map(digest).collect(),
            inputs: loaded.inputs,
            warnings: diagnostics(loaded.warnings, Level::Warning, &helps),
            rules: Arc::new(loaded.rules),
        })
    }

    /// What the audit logs of all sets need to be opened.
    pub(crate) fn logs(&self) -> RuleLogs {
        audit::logs(self.sets.iter().map(|set| &set.rules))
    }

    /// The numbers of all rules.
    pub(crate) fn ids(&self) -> impl Iterator<Item = u64> {
        self.sets.iter().flat_map(|set| set.rules.rule_ids())
    }

    /// What all rule files say, as a number.
    pub(crate) fn checksum(&self) -> Checksum {
        let mut digests: Vec<(String, [u8; 32])> = self
            .sets
            .iter()
            .flat_map(|set| set.digests.iter().cloned())
            .collect();
        // Two profiles may load the same file.
        digests.sort();
        digests.dedup();
        digests
            .iter()
            .fold(Checksum::default(), |sum, (name, digest)| {
                sum.with_content("rules", name, digest)
            })
    }

    /// What is loaded, for the configuration after this one.
    pub(crate) fn into_sets(self) -> Vec<Arc<Loaded>> {
        self.sets
    }
}

/// The name of a file and the SHA-256 of what it holds, as far as it can be read.
fn digest(path: &Path) -> (String, [u8; 32]) {
    let mut hash = Sha256::new();
    let mut piece = vec![0; 1 << 16];
    if let Ok(file) = std::fs::File::open(path) {
        let mut file = file.take(MAX_DIGESTED);
        while let Ok(count @ 1..) = file.read(&mut piece) {
            hash.update(piece.get(..count).unwrap_or_default());
        }
    }
    let name = path.file_name().unwrap_or_default();
    (name.to_string_lossy().into_owned(), hash.finalize().into())
}

/// Databases are large; of more than this only the beginning counts.
const MAX_DIGESTED: u64 = 256 << 20;

fn unplaced(message: String) -> Diagnostic {
    Diagnostic {
        level: Level::Error,
        file: "configuration".into(),
        position: Position::default(),
        line: String::new(),
        message,
        help: None,
    }
}

/// The first of several files that exists.
fn first(source: &Source<'_>) -> Option<PathBuf> {
    let Source::FirstOf { files, .. } = source else {
        return None;
    };
    files.iter().map(PathBuf::from).find(|file| file.exists())
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
