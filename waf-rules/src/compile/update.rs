//! `SecRuleRemove…` and `SecRuleUpdate…`: applied when everything is read, wherever they stand.

use super::action_list::{self, Deed, Listed};
use super::directives::Directive;
use super::draft::{Draft, TargetDraft};
use super::names::Names;
use super::reader::{Directed, target_draft};
use super::selection::Selection;
use crate::engine::Disruptive;
use crate::syntax::{ActionText, Flaw, parse_actions, parse_targets};

/// Most identifiers and ranges one directive names.
const MANY: usize = 1000;

/// A change to rules that were or will be read.
#[derive(Debug)]
pub(crate) struct Update {
    pub(crate) selection: Selection,
    change: Change,
}

#[derive(Debug)]
enum Change {
    Remove,
    Targets(Vec<TargetDraft>),
    Actions(Vec<ActionText>),
}

impl Update {
    /// Reads the arguments of `directive`.
    pub(crate) fn read(
        directive: Directive,
        at: &Directed<'_>,
        names: &mut Names,
    ) -> Result<Self, Flaw> {
        let flaw = |message| Flaw::new(at.argument_span(0), message);
        let words = || at.arguments.iter().map(|word| word.text.as_str());
        let first = || at.text(0).to_owned();
        // Identifiers and ranges, then what is to change.
        let but_last = at.arguments.len().saturating_sub(1);
        let (selection, change) = match directive {
            Directive::SecRuleRemoveById => {
                (Selection::ids(words()).map_err(flaw)?, Change::Remove)
            }
            Directive::SecRuleRemoveByTag => {
                at.count(1, 1)?;
                (Selection::Tag(first()), Change::Remove)
            }
            Directive::SecRuleRemoveByMsg => {
                at.count(1, 1)?;
                (Selection::Msg(first()), Change::Remove)
            }
            Directive::SecRuleUpdateActionById => {
                at.count(2, MANY)?;
                let ids = Selection::ids(words().take(but_last)).map_err(flaw)?;
                let items = match at.arguments.last() {
                    Some(word) => parse_actions(word, at.line)?,
                    None => Vec::new(),
                };
                check_actions(&items)?;
                (ids, Change::Actions(items))
            }
            _ => {
                let by_id = directive == Directive::SecRuleUpdateTargetById;
                at.count(2, if by_id { MANY } else { 2 })?;
                let selection = match directive {
                    Directive::SecRuleUpdateTargetByTag => Selection::Tag(first()),
                    Directive::SecRuleUpdateTargetByMsg => Selection::Msg(first()),
                    _ => Selection::ids(words().take(but_last)).map_err(flaw)?,
                };
                let mut targets = Vec::new();
                if let Some(word) = at.arguments.last() {
                    for text in parse_targets(word, at.line, true)? {
                        targets.push(target_draft(names, &text)?);
                    }
                }
                (selection, Change::Targets(targets))
            }
        };
        Ok(Self { selection, change })
    }

    /// True if the update takes rules out.
    pub(crate) fn removes(&self) -> bool {
        matches!(self.change, Change::Remove)
    }

    /// Changes `draft`, which the selection means.
    pub(crate) fn apply(
        &self,
        names: &mut Names,
        draft: &mut Draft,
        blocks: &[Option<Disruptive>; 5],
        flaws: &mut Vec<Flaw>,
    ) {
        match &self.change {
            Change::Remove => {}
            Change::Targets(targets) => {
                if let Some(first) = draft.links.first_mut() {
                    first.targets.extend(targets);
                }
            }
            Change::Actions(items) => {
                if let Some(Deed::Block) = update_actions(names, draft, items, flaws) {
                    let block = blocks.get(usize::from(draft.phase) - 1);
                    draft.actions.disruption = block.cloned().flatten();
                }
            }
        }
    }
}

fn check_actions(items: &[ActionText]) -> Result<(), Flaw> {
    match items.iter().find(|item| {
        ["id", "phase", "chain"]
            .iter()
            .any(|fixed| item.name.eq_ignore_ascii_case(fixed))
    }) {
        Some(item) => Err(Flaw::new(
            item.span,
            format!("{} of a rule cannot be changed", item.name),
        )),
        None => Ok(()),
    }
}

/// Changes what the rule does; returns the disruptive action that was asked for.
fn update_actions(
    names: &mut Names,
    draft: &mut Draft,
    items: &[ActionText],
    flaws: &mut Vec<Flaw>,
) -> Option<Deed> {
    let first = draft.links.first_mut()?;
    let mut listed = Listed {
        actions: draft.actions.clone(),
        local: std::mem::take(&mut first.local),
        ..Listed::default()
    };
    action_list::read(names, &mut listed, items, flaws);
    first.local = listed.local;
    draft.actions = listed.actions;
    match &listed.disruptive {
        Some(Deed::Do(disruption)) => draft.actions.disruption = Some(disruption.clone()),
        Some(Deed::Pass) => draft.actions.disruption = None,
        Some(Deed::Block) | None => {}
    }
    listed.disruptive
}
