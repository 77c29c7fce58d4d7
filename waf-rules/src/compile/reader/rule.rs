//! `SecRule` and `SecAction` -> drafts: targets, operator and actions of one rule, and the chain it
//! belongs to. One rule reports all its problems at once.

use super::{Directed, Reader, action_items, target_draft};
use crate::compile::action_list::{self, Deed, Listed};
use crate::compile::draft::{Draft, LinkDraft, NextDraft, TargetDraft};
use crate::engine::Check;
use crate::operators::Operator;
use crate::syntax::{Flaw, TargetText, Word, did_you_mean, parse_operator, parse_targets};

impl Reader {
    pub(super) fn rule(&mut self, at: &Directed<'_>) -> Result<(), Flaw> {
        let [targets, operator, ..] = at.arguments else {
            return Ok(());
        };
        // Everything is read before anything fails, so that one rule reports all its problems.
        let items = action_items(at, at.arguments.get(2));
        self.names.spaces = items
            .as_deref()
            .map_or_else(|_| Vec::new(), action_list::namespaces);
        let targets =
            parse_targets(targets, at.line, false).map(|targets| self.targets(at.source, &targets));
        let check = self.check(at, operator);
        self.names.spaces.clear();
        let listed = items.map(|items| self.listed(at, &items, self.open.is_some()));
        let (targets, check, listed) = (targets?, check?, listed?);
        if targets.iter().all(|target| target.excluded) && !targets.is_empty() {
            return Err(Flaw::new(
                at.argument_span(0),
                "the target list leaves out what it never names",
            ));
        }
        self.link(at, listed, targets, Some(check))
    }

    fn targets(&mut self, source: usize, written: &[TargetText]) -> Vec<TargetDraft> {
        let mut targets = Vec::new();
        for text in written {
            match target_draft(&mut self.names, text) {
                Ok(target) => targets.push(target),
                Err(flaw) => self.problem(source, flaw),
            }
        }
        targets
    }

    fn check(&mut self, at: &Directed<'_>, word: &Word) -> Result<Check, Flaw> {
        let text = parse_operator(word, at.line);
        let directory = self.directories.last().cloned().unwrap_or_default();
        let from_dataset = text.name.to_ascii_lowercase().ends_with("fromdataset");
        let mut read = |path: &str| {
            if from_dataset {
                let lines = self.datasets.get(path).cloned();
                let lines = lines.ok_or_else(|| format!("no SecDataset {path} stands before"))?;
                return Ok(lines.into_bytes());
            }
            if path.contains("://") {
                return Err("data files are read from disk only".to_owned());
            }
            self.inputs.read(&directory.join(path))
        };
        let operator =
            Operator::compile(&text.name, &text.argument, &mut read).map_err(|message| {
                let known = Operator::names().any(|name| name.eq_ignore_ascii_case(&text.name));
                let span = if known {
                    text.argument_span
                } else {
                    text.name_span
                };
                let help = if known {
                    None
                } else {
                    did_you_mean(&text.name, Operator::names())
                };
                Flaw::new(span, message).help(help)
            })?;
        if let Some(warning) = operator.warning() {
            if text.negated {
                let message = "look-around and back-references cannot be negated: a value that takes too many \
                               steps counts as a match, which would silence the rule";
                let help = "test for the opposite in a link of its own, or write it without them";
                return Err(Flaw::new(text.argument_span, message).help(Some(help.to_owned())));
            }
            self.warning(at.source, Flaw::new(text.argument_span, warning));
        }
        let mut complaints = Vec::new();
        let template = operator
            .takes_macro()
            .then(|| self.names.template(&text.argument, &mut complaints));
        for complaint in complaints {
            let message = format!("{complaint}; it expands to nothing");
            self.warning(at.source, Flaw::new(text.argument_span, message));
        }
        Ok(Check {
            operator,
            negated: text.negated,
            argument: text.argument,
            template,
        })
    }

    /// Adds a link to the open chain, or starts a rule.
    pub(super) fn link(
        &mut self,
        at: &Directed<'_>,
        listed: Listed,
        targets: Vec<TargetDraft>,
        check: Option<Check>,
    ) -> Result<(), Flaw> {
        let chained = listed.chained;
        let draft = match self.open.take() {
            Some(mut open) => {
                if let Some(Deed::Do(_)) = listed.disruptive {
                    let flaw = Flaw::new(
                        at.span,
                        "disruptive actions belong on the first rule of a chain",
                    );
                    self.problem(at.source, flaw);
                }
                if listed.id.is_some() || listed.phase.is_some_and(|phase| phase != open.phase) {
                    let message = "a chain has the id and the phase of its first rule";
                    self.warning(at.source, Flaw::new(at.span, message));
                }
                // What its first rule does not say about the whole chain another may.
                if matches!(open.actions.next, NextDraft::Following) {
                    open.actions.next = listed.actions.next;
                }
                open.actions.status = open.actions.status.or(listed.actions.status);
                open.actions.msg = open.actions.msg.or(listed.actions.msg);
                open.actions.logdata = open.actions.logdata.or(listed.actions.logdata);
                open.actions.sanitised.extend(listed.actions.sanitised);
                open.links.push(LinkDraft {
                    targets,
                    check,
                    local: listed.local,
                });
                open
            }
            None => self.start(at, listed, targets, check)?,
        };
        if chained {
            self.open = Some(draft);
        } else {
            self.drafts.push(draft);
        }
        Ok(())
    }

    fn start(
        &mut self,
        at: &Directed<'_>,
        listed: Listed,
        targets: Vec<TargetDraft>,
        check: Option<Check>,
    ) -> Result<Draft, Flaw> {
        let place = at.place();
        let phase = listed.phase.unwrap_or(2);
        let id = match listed.id.filter(|id| *id != 0) {
            Some(id) => id,
            // What no value decides needs no name: nobody will want to switch it off.
            None if check.is_none() => 0,
            None => return Err(Flaw::new(at.span, "this rule has no id")),
        };
        if id != 0
            && let Some(first) = self.ids.insert(id, place)
            && let Some(source) = self.sources.get(first.source)
        {
            let line = source.line_of(first.span.start);
            let flaw = Flaw::new(at.span, format!("rule {id} exists already"))
                .help(Some(format!("first defined at {}:{line}", source.name)));
            self.problem(at.source, flaw);
        }
        let mut actions = listed.actions;
        let default = self
            .defaults
            .get(usize::from(phase) - 1)
            .and_then(|defaults| defaults.disruption.clone());
        actions.disruption = match listed.disruptive {
            Some(Deed::Do(disruption)) => Some(disruption),
            Some(Deed::Block) => default,
            Some(Deed::Pass) => None,
            None => {
                if default.is_some() {
                    let message = "this rule names no disruptive action: what SecDefaultAction \
                                   names is done by `block` only";
                    self.warning(at.source, Flaw::new(at.span, message));
                }
                None
            }
        };
        let source = self.sources.get(at.source);
        Ok(Draft {
            id,
            phase,
            links: vec![LinkDraft {
                targets,
                check,
                local: listed.local,
            }],
            actions,
            file: source.map_or_else(|| "".into(), |source| source.name.clone()),
            line: source.map_or(0, |source| source.line_of(place.span.start)),
            place,
        })
    }
}
