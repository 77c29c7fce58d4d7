//! What a transaction keeps for its audit entry while the rules run.
//!
//! Texts are expanded at the match, for `TX` changes afterwards; names and values stay in the arena.
//! Bounded in lines and bytes: what does not fit is counted.

use super::layout::Layout;
use super::offsets;
use super::settings::{AuditEngine, AuditSettings, Parts, PartsChange};
use crate::engine::{Disruptive, EngineMode, Hit, Rule, RuleSet, State, Template};

/// Collected in one transaction.
#[derive(Debug)]
pub(crate) struct Trail {
    pub(crate) engine: AuditEngine,
    pub(super) parts: Parts,
    /// The start of the request body.
    pub(super) body: Vec<u8>,
    /// How long the whole of it was.
    pub(super) body_length: usize,
    pub(super) layout: Layout,
    pub(super) lines: Vec<Line>,
    pub(super) omitted: usize,
    /// What rules asked to hide.
    pub(super) hidden: Vec<Hidden>,
    /// Members that `sanitiseMatched` hides.
    pub(super) hidden_hits: Vec<Hit>,
    /// Status of the refusal that detection mode held back.
    pub(crate) would_be: Option<u16>,
    /// Hits of the running rule, each with the number of its link.
    running: Vec<(usize, Hit)>,
    room: usize,
}

/// One rule that matched.
#[derive(Debug)]
pub(super) struct Line {
    /// Number of the rule.
    pub(super) rule: u32,
    /// The status with which it refused the exchange.
    pub(super) refused: Option<u16>,
    pub(super) msg: Vec<u8>,
    /// The message holds nothing but its author's words.
    pub(super) constant: bool,
    pub(super) data: Vec<u8>,
    pub(super) tags: Vec<Vec<u8>>,
    /// What the operator was asked, and on which of `hits`; nothing for a `SecAction`.
    pub(super) told: Option<Told>,
    pub(super) hits: Vec<Hit>,
    pub(super) reference: String,
    pub(super) audited: bool,
    pub(super) logged: bool,
}

/// The operator's part of a line.
#[derive(Debug)]
pub(super) struct Told {
    /// Number of the link in its chain.
    pub(super) link: usize,
    pub(super) parameter: Vec<u8>,
    /// The parameter was expanded from macros.
    pub(super) expanded: bool,
    pub(super) hit: Hit,
}

/// `sanitiseArg` and its relatives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Hidden {
    Argument(Box<str>),
    RequestHeader(Box<str>),
    ResponseHeader(Box<str>),
    Matched,
}

impl Trail {
    pub(crate) fn new(settings: &AuditSettings) -> Self {
        Self {
            engine: settings.engine,
            parts: settings.parts,
            body: Vec::new(),
            body_length: 0,
            layout: Layout::default(),
            lines: Vec::new(),
            omitted: 0,
            hidden: Vec::new(),
            hidden_hits: Vec::new(),
            would_be: None,
            running: Vec::new(),
            room: ROOM,
        }
    }

    /// Keeps what link `number` of the running rule matched on.
    pub(crate) fn linked(&mut self, number: usize, hits: &[Hit]) {
        if number == 0 {
            self.running.clear();
        }
        let room = HITS.saturating_sub(self.running.len());
        // The last hit of a link is the one that messages speak of.
        let skipped = hits.len().saturating_sub(room.max(1));
        let kept = hits.iter().skip(skipped);
        self.running.extend(kept.map(|hit| (number, *hit)));
    }

    /// Keeps the start of the request body, if a part shows it.
    pub(crate) fn keep_body(&mut self, body: &[u8]) {
        self.body_length = body.len();
        self.layout.forget_body();
        if self.parts.has(b'C') || self.parts.has(b'I') {
            let kept = body.get(..BODY).unwrap_or(body);
            self.body = kept.to_vec();
        }
    }

    /// Carries out `ctl:auditLogParts`.
    pub(crate) fn change_parts(&mut self, change: PartsChange) {
        self.parts = change.apply(self.parts);
    }
}

/// Notes that `rule` has matched.
pub(crate) fn note(rules: &RuleSet, state: &mut State, rule: &Rule) {
    let Some(mut trail) = state.trail.take() else {
        return;
    };
    sanitise(&mut trail, rule);
    if rule.logged {
        if trail.lines.len() >= LINES || trail.room == 0 {
            trail.omitted += 1;
        } else {
            let line = line(rules, state, rule, &trail);
            let texts = [&line.msg, &line.data].map(Vec::len);
            let tags = line.tags.iter().map(|tag| tag.len() + TAG_COST);
            let size = texts.iter().sum::<usize>() + tags.sum::<usize>() + LINE_COST;
            trail.room = trail.room.saturating_sub(size);
            trail.lines.push(line);
        }
    }
    state.trail = Some(trail);
}

fn sanitise(trail: &mut Trail, rule: &Rule) {
    for hidden in &rule.meta.sanitised {
        if *hidden == Hidden::Matched {
            let room = HIDDEN.saturating_sub(trail.hidden_hits.len());
            let hits = trail.running.iter().map(|(_, hit)| *hit);
            trail.hidden_hits.extend(hits.take(room));
        } else if !trail.hidden.contains(hidden) {
            trail.hidden.push(hidden.clone());
        }
    }
}

fn line(rules: &RuleSet, state: &mut State, rule: &Rule, trail: &Trail) -> Line {
    let told = told(rules, state, rule, trail);
    let tags = match &rule.meta.tag_templates {
        None => {
            let tags = rule.meta.tags.iter();
            tags.map(|tag| tag.as_bytes().to_vec()).collect()
        }
        Some(templates) => {
            let tags = templates.iter();
            tags.map(|tag| expanded(rules, state, Some(tag))).collect()
        }
    };
    Line {
        rule: state.running,
        refused: refused(state, rule),
        msg: expanded(rules, state, rule.meta.msg.as_ref()),
        constant: rule
            .meta
            .msg
            .as_ref()
            .is_none_or(|msg| msg.literal().is_some()),
        data: expanded(rules, state, rule.meta.logdata.as_ref()),
        tags,
        told,
        hits: trail.running.iter().map(|(_, hit)| *hit).collect(),
        reference: offsets::reference(rules, state, rule, trail, &trail.running),
        audited: rule.audited,
        logged: rule.error_logged,
    }
}

/// What is said of the last link and its last hit.
fn told(rules: &RuleSet, state: &mut State, rule: &Rule, trail: &Trail) -> Option<Told> {
    let last = rule.links.len().checked_sub(1)?;
    let check = rule.links.last()?.check.as_ref()?;
    let (_, hit) = trail
        .running
        .iter()
        .rev()
        .find(|(number, _)| *number == last)?;
    let parameter = match &check.template {
        None => check.argument.as_bytes().to_vec(),
        Some(template) => expanded(rules, state, Some(template)),
    };
    Some(Told {
        link: last,
        parameter,
        expanded: check.template.is_some(),
        hit: *hit,
    })
}

/// The status if the match refuses the exchange.
fn refused(state: &State, rule: &Rule) -> Option<u16> {
    let refuses = matches!(
        rule.disruption,
        Some(Disruptive::Deny | Disruptive::Drop | Disruptive::Redirect(_))
    );
    (refuses && rule.phase < 5 && state.engine == EngineMode::On).then_some(rule.status)
}

fn expanded(rules: &RuleSet, state: &mut State, template: Option<&Template>) -> Vec<u8> {
    let mut text = Vec::new();
    if let Some(template) = template {
        template.expand_text(rules, state, &mut text);
    }
    text
}

/// Most bytes of a body in an entry.
pub(super) const BODY: usize = 128 << 10;
/// Most lines of an entry.
const LINES: usize = 1000;
/// Most bytes of their texts.
const ROOM: usize = 1 << 20;
/// What a line costs besides its texts, about.
const LINE_COST: usize = 512;
const TAG_COST: usize = 24;
/// Most hits that are kept of one rule.
const HITS: usize = 64;
/// Most members that `sanitiseMatched` remembers.
const HIDDEN: usize = 1000;
