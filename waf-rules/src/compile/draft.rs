//! Rules between reading and numbering: updates and removals still change them.

use std::sync::Arc;

use super::selection::Selection;
use crate::audit::Hidden;
use crate::engine::{Assignment, Check, Control, Disruptive, Pick};
use crate::syntax::Span;
use crate::transformations::Transformation;
use crate::variables::Variable;

/// Where something stands: number of the source, range in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) source: usize,
    pub(crate) span: Span,
}

/// A rule that can still change.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) id: u64,
    pub(crate) phase: u8,
    pub(crate) links: Vec<LinkDraft>,
    pub(crate) actions: Actions,
    pub(crate) file: Arc<str>,
    pub(crate) line: usize,
    pub(crate) place: Place,
}

/// What a rule does as a whole.
#[derive(Debug, Clone)]
pub(crate) struct Actions {
    pub(crate) disruption: Option<Disruptive>,
    pub(crate) status: Option<u16>,
    pub(crate) log: bool,
    pub(crate) audit: bool,
    pub(crate) msg: Option<Worded>,
    pub(crate) logdata: Option<Worded>,
    pub(crate) tags: Vec<Worded>,
    pub(crate) severity: Option<u8>,
    pub(crate) rev: Option<String>,
    pub(crate) ver: Option<String>,
    pub(crate) maturity: u8,
    pub(crate) accuracy: u8,
    pub(crate) sanitised: Vec<Hidden>,
    pub(crate) next: NextDraft,
}

impl Default for Actions {
    fn default() -> Self {
        Self {
            disruption: None,
            status: None,
            log: true,
            audit: true,
            msg: None,
            logdata: None,
            tags: Vec::new(),
            severity: None,
            rev: None,
            ver: None,
            maturity: 0,
            accuracy: 0,
            sanitised: Vec::new(),
            next: NextDraft::Following,
        }
    }
}

/// Text that may hold macros, with the words it was written in.
#[derive(Debug, Clone)]
pub(crate) struct Worded {
    pub(crate) written: String,
    pub(crate) template: crate::engine::Template,
}

/// Where evaluation goes on after a match.
#[derive(Debug, Clone)]
pub(crate) enum NextDraft {
    Following,
    Skip(usize),
    After(String),
}

/// One `SecRule` or `SecAction`.
#[derive(Debug)]
pub(crate) struct LinkDraft {
    pub(crate) targets: Vec<TargetDraft>,
    pub(crate) check: Option<Check>,
    pub(crate) local: Local,
}

/// Actions that belong to one link of a chain.
#[derive(Debug, Default)]
pub(crate) struct Local {
    pub(crate) pipeline: Vec<Transformation>,
    pub(crate) capture: bool,
    pub(crate) multi_match: bool,
    pub(crate) severity: Option<u8>,
    pub(crate) setvars: Vec<Assignment>,
    pub(crate) controls: Vec<ControlDraft>,
}

/// One item of a target list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TargetDraft {
    pub(crate) variable: Variable,
    pub(crate) pick: Pick,
    pub(crate) counted: bool,
    pub(crate) excluded: bool,
}

/// A `ctl` whose rules are not numbered yet.
#[derive(Debug)]
pub(crate) enum ControlDraft {
    Ready(Control),
    RemoveRules(Selection),
    RemoveTarget(Selection, TargetDraft),
}
