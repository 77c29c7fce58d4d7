//! Directives in load order -> drafts, settings, and updates to apply later.

mod rule;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::action_list::{self, Deed, Listed};
use super::directives::Directive;
use super::draft::{Actions, Draft, Place, TargetDraft, Worded};
use super::inputs::Inputs;
use super::names::Names;
use super::settings;
use super::unicode_map;
use super::update::Update;
use crate::actions::Support;
use crate::engine::{Disruptive, Settings};
use crate::syntax::{
    ActionText, Flaw, Line, Problem, Source, Span, Word, did_you_mean, lines, parse_actions, words,
};
use crate::transformations::Transformation;

/// Files that include files that include files…
const INCLUDE_DEPTH: usize = 16;

/// What `SecDefaultAction` set for a phase.
#[derive(Debug, Clone)]
struct Defaults {
    /// `SecDefaultAction` was written for the phase.
    written: bool,
    /// What `block` does.
    disruption: Option<Disruptive>,
    status: Option<u16>,
    log: bool,
    audit: bool,
    tags: Vec<Worded>,
    pipeline: Vec<Transformation>,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            written: false,
            disruption: None,
            status: None,
            log: true,
            audit: true,
            tags: Vec::new(),
            pipeline: Vec::new(),
        }
    }
}

/// Everything read so far.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    pub(crate) sources: Vec<Source>,
    pub(crate) names: Names,
    pub(crate) settings: Settings,
    pub(crate) drafts: Vec<Draft>,
    /// Markers with the number of drafts before them.
    pub(crate) markers: Vec<(String, usize)>,
    pub(crate) updates: Vec<(Update, Place)>,
    pub(crate) problems: Vec<Problem>,
    pub(crate) warnings: Vec<Problem>,
    pub(crate) inputs: Inputs,
    /// `SecGeoLookupDb`, and where it stands.
    pub(crate) geo: Option<(PathBuf, Place)>,
    /// `SecIgnoreRuleCompilationErrors`: rules with mistakes are left out, with a warning each.
    lenient: bool,
    /// `SecDataset`: lines by name.
    datasets: HashMap<String, String>,
    defaults: [Defaults; 5],
    /// A chain whose next link has not come yet.
    open: Option<Draft>,
    ids: HashMap<u64, Place>,
    /// Directories of the files being read, innermost last.
    directories: Vec<PathBuf>,
}

impl Reader {
    /// Reads a rule file.
    pub(crate) fn file(&mut self, path: &Path) {
        let name = path.display().to_string();
        let read = self
            .inputs
            .read(path)
            .and_then(|bytes| String::from_utf8(bytes).map_err(|_| format!("{name} is not UTF-8")));
        match read {
            Ok(text) => {
                let directory = path.parent().unwrap_or(Path::new("")).to_path_buf();
                self.source(&name, text, directory);
            }
            Err(message) => self.missing(name, message),
        }
    }

    /// Reads every rule file that fits a pattern.
    pub(crate) fn files(&mut self, pattern: &str, required: bool) {
        match self.inputs.expand(Path::new(""), pattern) {
            Ok(found) => found.iter().for_each(|path| self.file(path)),
            Err(message) if required => self.missing(pattern.to_owned(), message),
            Err(_) => {}
        }
    }

    /// Reports a file that cannot be read, under the name by which it was asked for.
    fn missing(&mut self, file: String, message: String) {
        self.problems.push(Problem {
            file,
            line: 0,
            column: 1,
            length: 1,
            text: String::new(),
            message,
            help: None,
        });
    }

    /// Reads rule text.
    pub(crate) fn text(&mut self, name: &str, text: String) {
        self.source(name, text, PathBuf::new());
    }

    /// Reports a chain that ends before its last link.
    pub(crate) fn end(&mut self) {
        if let Some(open) = self.open.take() {
            let flaw = Flaw::new(
                open.place.span,
                "this rule ends in `chain`, but no rule follows",
            );
            self.problem(open.place.source, flaw);
        }
    }

    /// What `block` does in each phase.
    pub(crate) fn blocks(&self) -> [Option<Disruptive>; 5] {
        self.defaults
            .each_ref()
            .map(|defaults| defaults.disruption.clone())
    }

    pub(crate) fn problem(&mut self, source: usize, flaw: Flaw) {
        if let Some(source) = self.sources.get(source) {
            self.problems.push(source.problem(flaw));
        }
    }

    pub(crate) fn warning(&mut self, source: usize, flaw: Flaw) {
        if let Some(source) = self.sources.get(source) {
            self.warnings.push(source.problem(flaw));
        }
    }

    fn source(&mut self, name: &str, text: String, directory: PathBuf) {
        let source = Source::new(name, text);
        let lines = lines(&source);
        self.sources.push(source);
        self.directories.push(directory);
        let number = self.sources.len() - 1;
        for line in &lines {
            let (known, drafts) = (self.problems.len(), self.drafts.len());
            if let Err(flaw) = self.line(number, line) {
                self.problem(number, flaw);
            }
            if self.lenient && self.problems.len() > known && is_rule(line) {
                self.forgive(known, drafts);
            }
        }
        self.directories.pop();
    }

    /// Takes back the rule that was just read, chain and all, and makes warnings of its problems.
    fn forgive(&mut self, problems: usize, drafts: usize) {
        self.drafts.truncate(drafts);
        if let Some(open) = self.open.take() {
            self.ids.remove(&open.id);
        }
        let mistakes = self.problems.drain(problems..);
        self.warnings.extend(mistakes.map(|mut mistake| {
            mistake.message = format!("this rule is left out: {}", mistake.message);
            mistake
        }));
    }

    /// The built-in table is that of code page 20127; the file must agree with it.
    fn unicode_map(&mut self, at: &Directed<'_>) -> Result<(), Flaw> {
        let flaw = |message| Flaw::new(at.argument_span(0), message);
        let page = match at.arguments.get(1) {
            Some(_) => at.text(1).parse::<u32>().map_err(|_| {
                Flaw::new(at.argument_span(1), "expected the number of a code page")
            })?,
            None => unicode_map::PAGE,
        };
        let path = self.directories.last().cloned().unwrap_or_default();
        let path = path.join(at.text(0));
        let bytes = self.inputs.read(&path).map_err(flaw)?;
        unicode_map::check(&bytes, page).map_err(flaw)
    }

    fn line(&mut self, source: usize, line: &Line) -> Result<(), Flaw> {
        let words = words(line)?;
        let Some((name, arguments)) = words.split_first() else {
            return Ok(());
        };
        let span = name.whole(line);
        let Some((directive, support)) = Directive::from_name(&name.text) else {
            let help = did_you_mean(&name.text, Directive::names());
            return Err(Flaw::new(span, format!("unknown directive `{}`", name.text)).help(help));
        };
        if let Some(word) = words.iter().find(|word| word.open) {
            let message = "this quote is never closed; it ends with the line";
            self.warning(source, Flaw::new(word.quote(line), message));
        }
        if self.open.is_some() && !matches!(directive, Directive::SecRule | Directive::SecAction) {
            self.end();
        }
        match support {
            Support::Ignored(note) => {
                let message = format!("{} has no effect: {note}", name.text);
                self.warning(source, Flaw::new(span, message));
                return Ok(());
            }
            Support::OffOnly(_) if matches!(arguments, [word] if word.text.eq_ignore_ascii_case("off")) =>
            {
                return Ok(());
            }
            Support::Refused(reason) | Support::OffOnly(reason) => {
                let message = format!("{} is not executed: {reason}", name.text);
                return Err(Flaw::new(span, message));
            }
            Support::Runs => {}
        }
        let directed = Directed {
            source,
            line,
            span,
            arguments,
        };
        self.directive(directive, &directed)
    }

    fn directive(&mut self, directive: Directive, at: &Directed<'_>) -> Result<(), Flaw> {
        match directive {
            Directive::SecRule => {
                at.count(2, 3)?;
                self.rule(at)
            }
            Directive::SecAction => {
                at.count(1, 1)?;
                let items = action_items(at, at.arguments.first())?;
                let listed = self.listed(at, &items, self.open.is_some());
                self.link(at, listed, Vec::new(), None)
            }
            Directive::SecMarker => {
                at.count(1, 1)?;
                let name = at.text(0).to_owned();
                self.markers.push((name, self.drafts.len()));
                Ok(())
            }
            Directive::SecDefaultAction => {
                at.count(1, 1)?;
                self.default_action(at)
            }
            Directive::Include => {
                at.count(1, 1)?;
                self.include(at)
            }
            Directive::SecGeoLookupDb => {
                at.count(1, 1)?;
                let directory = self.directories.last().cloned().unwrap_or_default();
                self.geo = Some((directory.join(at.text(0)), at.place()));
                Ok(())
            }
            Directive::SecUnicodeMapFile => {
                at.count(1, 2)?;
                self.unicode_map(at)
            }
            Directive::SecIgnoreRuleCompilationErrors => {
                at.count(1, 1)?;
                let span = at.argument_span(0);
                let on = settings::switch(at.text(0));
                self.lenient = on.map_err(|message| Flaw::new(span, message))?;
                Ok(())
            }
            Directive::SecDataset => {
                at.count(2, 2)?;
                let lines = at.text(1).to_owned();
                self.datasets.insert(at.text(0).to_owned(), lines);
                Ok(())
            }
            Directive::SecComponentSignature => {
                at.count(1, 1)?;
                let component = at.text(0).to_owned();
                self.settings.audit.components.push(component);
                Ok(())
            }
            Directive::SecRuleRemoveById
            | Directive::SecRuleRemoveByTag
            | Directive::SecRuleRemoveByMsg
            | Directive::SecRuleUpdateTargetById
            | Directive::SecRuleUpdateTargetByTag
            | Directive::SecRuleUpdateTargetByMsg
            | Directive::SecRuleUpdateActionById => {
                let update = Update::read(directive, at, &mut self.names)?;
                let place = at.place();
                self.updates.push((update, place));
                Ok(())
            }
            _ => {
                let arguments: Vec<_> = at.arguments.iter().map(|word| &*word.text).collect();
                settings::apply(&mut self.settings, directive, &arguments).map_err(|message| {
                    let span = at
                        .arguments
                        .first()
                        .map_or(at.span, |word| word.whole(at.line));
                    Flaw::new(span, message)
                })
            }
        }
    }

    fn include(&mut self, at: &Directed<'_>) -> Result<(), Flaw> {
        let span = at.argument_span(0);
        if self.directories.len() >= INCLUDE_DEPTH {
            return Err(Flaw::new(
                span,
                format!("files include each other more than {INCLUDE_DEPTH} deep"),
            ));
        }
        let directory = self.directories.last().cloned().unwrap_or_default();
        let paths = self.inputs.expand(&directory, at.text(0));
        let paths = paths.map_err(|message| Flaw::new(span, message))?;
        for path in paths {
            self.file(&path);
        }
        Ok(())
    }

    fn default_action(&mut self, at: &Directed<'_>) -> Result<(), Flaw> {
        let items = action_items(at, at.arguments.first())?;
        let named = |item: &&ActionText, names: &[&str]| {
            names
                .iter()
                .any(|name| item.name.eq_ignore_ascii_case(name))
        };
        if let Some(item) = items.iter().find(|item| named(item, UNFIT)) {
            let message = format!("{} does not fit into SecDefaultAction", item.name);
            return Err(Flaw::new(item.span, message));
        }
        let none =
            |item: &&ActionText| named(item, &["t"]) && item.value.as_deref().is_some_and(is_none);
        if let Some(item) = items.iter().find(none) {
            let message = "t:none does not fit into SecDefaultAction: there is nothing to drop";
            return Err(Flaw::new(item.span, message));
        }
        // `block` means what is being defined here.
        let (_, items): (Vec<_>, Vec<_>) =
            items.into_iter().partition(|item| named(&item, &["block"]));
        let listed = self.listed(at, &items, true);
        let Some(disruptive) = listed.disruptive else {
            return Err(Flaw::new(
                at.span,
                "SecDefaultAction must name a disruptive action, such as pass or deny",
            ));
        };
        let phase = listed.phase.unwrap_or(1);
        let Some(slot) = self.defaults.get_mut(usize::from(phase) - 1) else {
            return Ok(());
        };
        if slot.written {
            let message = format!("SecDefaultAction was written for phase {phase} already");
            return Err(Flaw::new(at.span, message));
        }
        *slot = Defaults {
            written: true,
            disruption: match disruptive {
                Deed::Do(disruption) => Some(disruption),
                Deed::Pass | Deed::Block => None,
            },
            status: listed.actions.status,
            log: listed.actions.log,
            audit: listed.actions.audit,
            tags: listed.actions.tags,
            pipeline: listed.local.pipeline,
        };
        Ok(())
    }

    /// Reads an action list; `bare` starts from nothing instead of the phase's defaults.
    fn listed(&mut self, at: &Directed<'_>, items: &[ActionText], bare: bool) -> Listed {
        let mut flaws = Vec::new();
        let mut listed = Listed::default();
        // The phase decides the defaults that every other action is read on top of.
        let phases: Vec<_> = items
            .iter()
            .filter(|item| item.name.eq_ignore_ascii_case("phase"))
            .cloned()
            .collect();
        action_list::read(&mut self.names, &mut listed, &phases, &mut Vec::new());
        let phase = listed.phase.unwrap_or(2);
        if !bare && let Some(defaults) = self.defaults.get(usize::from(phase) - 1) {
            listed.actions = Actions {
                log: defaults.log,
                audit: defaults.audit,
                status: defaults.status,
                tags: defaults.tags.clone(),
                ..Actions::default()
            };
            listed.local.pipeline.clone_from(&defaults.pipeline);
        }
        action_list::read(&mut self.names, &mut listed, items, &mut flaws);
        for flaw in std::mem::take(&mut listed.warnings) {
            self.warning(at.source, flaw);
        }
        for flaw in flaws {
            self.problem(at.source, flaw);
        }
        listed
    }
}

/// Actions that speak of one rule, not of many.
const UNFIT: &[&str] = &["accuracy", "chain", "id", "maturity", "msg", "rev", "ver"];

fn is_none(transformation: &str) -> bool {
    transformation.eq_ignore_ascii_case("none")
}

fn action_items(at: &Directed<'_>, word: Option<&Word>) -> Result<Vec<ActionText>, Flaw> {
    word.map_or_else(|| Ok(Vec::new()), |word| parse_actions(word, at.line))
}

fn is_rule(line: &Line) -> bool {
    let name = line.text.split_whitespace().next().unwrap_or_default();
    ["SecRule", "SecAction"]
        .iter()
        .any(|rule| name.eq_ignore_ascii_case(rule))
}

/// A directive being read.
pub(crate) struct Directed<'a> {
    pub(crate) source: usize,
    pub(crate) line: &'a Line,
    /// The directive's name.
    pub(crate) span: Span,
    pub(crate) arguments: &'a [Word],
}

impl Directed<'_> {
    pub(crate) fn place(&self) -> Place {
        Place {
            source: self.source,
            span: self.span,
        }
    }

    pub(crate) fn text(&self, argument: usize) -> &str {
        self.arguments
            .get(argument)
            .map_or("", |word| word.text.as_str())
    }

    pub(crate) fn argument_span(&self, argument: usize) -> Span {
        self.arguments
            .get(argument)
            .map_or(self.span, |word| word.whole(self.line))
    }

    pub(crate) fn count(&self, least: usize, most: usize) -> Result<(), Flaw> {
        let count = self.arguments.len();
        if (least..=most).contains(&count) {
            return Ok(());
        }
        let expected = if least == most {
            least.to_string()
        } else {
            format!("{least} to {most}")
        };
        Err(Flaw::new(
            self.span,
            format!("expected {expected} arguments, found {count}"),
        ))
    }
}

/// The target `text` means.
pub(crate) fn target_draft(
    names: &mut Names,
    text: &crate::syntax::TargetText,
) -> Result<TargetDraft, Flaw> {
    let flaw = |(message, help)| Flaw::new(text.span, message).help(help);
    let variable = Names::variable(&text.name).map_err(flaw)?;
    let pick = names.pick(variable, text.selector.as_ref()).map_err(flaw)?;
    Ok(TargetDraft {
        variable,
        pick,
        counted: text.counted,
        excluded: text.excluded,
    })
}
