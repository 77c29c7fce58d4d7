//! The action list of one rule or chain link -> what it sets.

use super::assignment::assignment;
use super::draft::{Actions, ControlDraft, Local, NextDraft, TargetDraft, Worded};
use super::names::Names;
use super::selection::Selection;
use super::settings::{engine_mode, switch};
use crate::actions::{Action, Ctl, Support, parse_ctl};
use crate::audit::{AuditEngine, Hidden, PartsChange};
use crate::body::nested::Kinds;
use crate::engine::{Allow, Control, Disruptive, Processor};
use crate::syntax::{ActionText, Flaw, did_you_mean, parse_target};
use crate::transformations::Transformation;

/// What the actions of one directive amount to.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    pub(crate) id: Option<u64>,
    pub(crate) phase: Option<u8>,
    pub(crate) chained: bool,
    /// A disruptive action was written; `block` defers to the default.
    pub(crate) disruptive: Option<Deed>,
    pub(crate) transformed: bool,
    pub(crate) actions: Actions,
    pub(crate) local: Local,
    pub(crate) warnings: Vec<Flaw>,
}

/// The disruptive action of a rule.
#[derive(Debug, Clone)]
pub(crate) enum Deed {
    Pass,
    Block,
    Do(Disruptive),
}

/// Reads `items` on top of what `listed` already holds (the phase's defaults).
pub(crate) fn read(
    names: &mut Names,
    listed: &mut Listed,
    items: &[ActionText],
    flaws: &mut Vec<Flaw>,
) {
    for item in items {
        let Some((action, support)) = Action::from_name(&item.name) else {
            let help = did_you_mean(&item.name, Action::names());
            flaws.push(Flaw::new(item.span, format!("unknown action `{}`", item.name)).help(help));
            continue;
        };
        match support {
            Support::Runs => {
                if let Err((message, help)) = run(names, listed, action, item) {
                    flaws.push(Flaw::new(item.span, message).help(help));
                }
            }
            Support::Ignored(note) => listed.warnings.push(Flaw::new(
                item.span,
                format!("{} has no effect: {note}", item.name),
            )),
            Support::Refused(reason) | Support::OffOnly(reason) => flaws.push(Flaw::new(
                item.span,
                format!("{} is not executed: {reason}", item.name),
            )),
        }
    }
}

/// The `xmlns:prefix=namespace` among `items`; what is none is complained about when they are read.
pub(crate) fn namespaces(items: &[ActionText]) -> Vec<(String, String)> {
    items
        .iter()
        .filter(|item| item.name.eq_ignore_ascii_case("xmlns"))
        .filter_map(|item| item.value.as_deref()?.split_once('='))
        .map(|(prefix, space)| (prefix.trim().to_owned(), unquoted(space).to_owned()))
        .collect()
}

/// Without the quotes that may stand around a namespace.
fn unquoted(space: &str) -> &str {
    let space = space.trim();
    let inner = |quote| space.strip_prefix(quote)?.strip_suffix(quote);
    inner('\'').or_else(|| inner('"')).unwrap_or(space)
}

pub(crate) type Outcome = Result<(), (String, Option<String>)>;

fn run(names: &mut Names, listed: &mut Listed, action: Action, item: &ActionText) -> Outcome {
    let value = item.value.as_deref();
    match action {
        Action::Id => listed.id = Some(number(value)?),
        Action::Phase => listed.phase = Some(phase(value)?),
        Action::Chain => listed.chained = true,
        Action::Capture => listed.local.capture = true,
        Action::MultiMatch => listed.local.multi_match = true,
        Action::Severity => {
            let severity = severity(value)?;
            listed.actions.severity = Some(severity);
            listed.local.severity = Some(severity);
        }
        Action::Status => listed.actions.status = Some(status(value)?),
        Action::Rev => listed.actions.rev = Some(text(value)?.to_owned()),
        Action::Ver => listed.actions.ver = Some(text(value)?.to_owned()),
        Action::Maturity => listed.actions.maturity = grade(value)?,
        Action::Accuracy => listed.actions.accuracy = grade(value)?,
        Action::Skip => {
            let count = usize::try_from(number(value)?).unwrap_or(usize::MAX);
            listed.actions.next = NextDraft::Skip(count);
        }
        Action::SkipAfter => listed.actions.next = NextDraft::After(text(value)?.to_owned()),
        Action::Transformation => transformation(listed, text(value)?)?,
        Action::Msg => listed.actions.msg = Some(worded(names, listed, item)?),
        Action::LogData => listed.actions.logdata = Some(worded(names, listed, item)?),
        Action::Tag => {
            let tag = worded(names, listed, item)?;
            listed.actions.tags.push(tag);
        }
        Action::SetVar
        | Action::InitCol
        | Action::ExpireVar
        | Action::SetSid
        | Action::SetUid
        | Action::SetRsc
        | Action::SetEnv => assignment(names, listed, action, item)?,
        Action::Ctl => ctl(names, listed, item)?,
        Action::Log | Action::NoLog | Action::AuditLog | Action::NoAuditLog => {
            logging(&mut listed.actions, action);
        }
        Action::Pass
        | Action::Block
        | Action::Deny
        | Action::Drop
        | Action::Allow
        | Action::Redirect => disruptive(names, listed, action, item)?,
        Action::XmlNs if !text(value)?.contains('=') => {
            return Err(("expected xmlns:prefix=namespace".to_owned(), None));
        }
        Action::SanitiseArg
        | Action::SanitiseMatched
        | Action::SanitiseMatchedBytes
        | Action::SanitiseRequestHeader
        | Action::SanitiseResponseHeader => {
            let hidden = hidden(action, value)?;
            listed.actions.sanitised.push(hidden);
        }
        _ => {}
    }
    Ok(())
}

/// `nolog` silences both logs; `auditlog` after it asks for the record alone.
fn logging(actions: &mut Actions, action: Action) {
    match action {
        Action::Log => (actions.log, actions.audit) = (true, true),
        Action::NoLog => (actions.log, actions.audit) = (false, false),
        Action::AuditLog => actions.audit = true,
        _ => actions.audit = false,
    }
}

/// What a `sanitise…` action hides from the audit log.
fn hidden(action: Action, value: Option<&str>) -> Result<Hidden, Complaint> {
    Ok(match action {
        Action::SanitiseArg => Hidden::Argument(text(value)?.into()),
        Action::SanitiseRequestHeader => Hidden::RequestHeader(text(value)?.into()),
        Action::SanitiseResponseHeader => Hidden::ResponseHeader(text(value)?.into()),
        // Of `sanitiseMatchedBytes:1/4` the whole value is hidden: more, never less.
        _ => Hidden::Matched,
    })
}

/// How sure a rule's author is: 1 to 9.
fn grade(value: Option<&str>) -> Result<u8, Complaint> {
    match number(value)? {
        grade @ 0..=9 => Ok(u8::try_from(grade).unwrap_or(0)),
        _ => Err(("expected a grade from 1 to 9".to_owned(), None)),
    }
}

fn disruptive(
    names: &mut Names,
    listed: &mut Listed,
    action: Action,
    item: &ActionText,
) -> Outcome {
    let deed = match action {
        Action::Pass => Deed::Pass,
        Action::Block => Deed::Block,
        Action::Deny => Deed::Do(Disruptive::Deny),
        Action::Drop => Deed::Do(Disruptive::Drop),
        Action::Redirect => {
            let location = worded(names, listed, item)?;
            Deed::Do(Disruptive::Redirect(location.template))
        }
        _ => Deed::Do(Disruptive::Allow(
            match item
                .value
                .as_deref()
                .map(str::to_ascii_lowercase)
                .as_deref()
            {
                None => Allow::All,
                Some("phase") => Allow::Phase,
                Some("request") => Allow::Request,
                Some(_) => return Err(("expected allow:phase or allow:request".to_owned(), None)),
            },
        )),
    };
    listed.disruptive = Some(deed);
    Ok(())
}

fn transformation(listed: &mut Listed, name: &str) -> Outcome {
    listed.transformed = true;
    if name.eq_ignore_ascii_case("none") {
        listed.local.pipeline.clear();
        return Ok(());
    }
    let Some(transformation) = Transformation::from_name(name) else {
        let help = did_you_mean(name, Transformation::names());
        return Err((format!("unknown transformation `{name}`"), help));
    };
    if listed.local.pipeline.len() >= PIPELINE {
        return Err((format!("more than {PIPELINE} transformations"), None));
    }
    listed.local.pipeline.push(transformation);
    Ok(())
}

/// Longest pipeline: each step may cost as much as the value is long.
const PIPELINE: usize = 32;

fn worded(names: &mut Names, listed: &mut Listed, item: &ActionText) -> Result<Worded, Complaint> {
    // An empty message is one: `msg:''` says that there is nothing to say.
    let written = match &item.value {
        Some(value) => value.clone(),
        None => text(None)?.to_owned(),
    };
    let template = template(names, listed, item, &written);
    Ok(Worded { written, template })
}

pub(crate) type Complaint = (String, Option<String>);

pub(crate) fn template(
    names: &mut Names,
    listed: &mut Listed,
    item: &ActionText,
    text: &str,
) -> crate::engine::Template {
    let mut complaints = Vec::new();
    let template = names.template(text, &mut complaints);
    let warnings = complaints
        .into_iter()
        .map(|complaint| Flaw::new(item.span, format!("{complaint}; it expands to nothing")));
    listed.warnings.extend(warnings);
    template
}

fn ctl(names: &mut Names, listed: &mut Listed, item: &ActionText) -> Outcome {
    let parsed = parse_ctl(text(item.value.as_deref())?)?;
    if let Some(note) = parsed.note {
        listed.warnings.push(Flaw::new(
            item.span,
            format!("this control has no effect: {note}"),
        ));
        return Ok(());
    }
    let plain = |message| (message, None);
    let value = parsed.value;
    let control = match parsed.kind {
        Ctl::AuditEngine => Control::AuditEngine(AuditEngine::from_name(&value).map_err(plain)?),
        Ctl::AuditLogParts => Control::AuditParts(PartsChange::parse(&value).map_err(plain)?),
        Ctl::RuleEngine => Control::RuleEngine(engine_mode(&value).map_err(plain)?),
        Ctl::RequestBodyAccess => Control::RequestBodyAccess(switch(&value).map_err(plain)?),
        Ctl::ResponseBodyAccess => Control::ResponseBodyAccess(switch(&value).map_err(plain)?),
        Ctl::ForceRequestBodyVariable => Control::ForceRequestBody(switch(&value).map_err(plain)?),
        Ctl::NestedArguments => {
            Control::NestedArguments(Kinds::read(value.split('+')).map_err(plain)?)
        }
        Ctl::RequestBodyProcessor => Control::RequestBodyProcessor(
            Processor::from_name(&value).ok_or_else(|| plain(PROCESSORS.to_owned()))?,
        ),
        Ctl::ResponseBodyProcessor => Control::ResponseBodyProcessor(
            Processor::from_name(&value)
                .filter(|processor| processor.reads_responses())
                .ok_or_else(|| plain("expected JSON, NDJSON, XML or RAW".to_owned()))?,
        ),
        kind => {
            listed.local.controls.push(removal(names, kind, &value)?);
            return Ok(());
        }
    };
    listed.local.controls.push(ControlDraft::Ready(control));
    Ok(())
}

const PROCESSORS: &str = "expected URLENCODED, MULTIPART, JSON, NDJSON, XML, GRAPHQL or RAW";

fn removal(names: &mut Names, kind: Ctl, value: &str) -> Result<ControlDraft, Complaint> {
    let (rules, target) = match kind {
        Ctl::RuleRemoveById | Ctl::RuleRemoveByTag | Ctl::RuleRemoveByMsg => (value, None),
        _ => {
            let Some((rules, target)) = value.split_once(';') else {
                return Err(("expected rules;TARGET".to_owned(), None));
            };
            (rules, Some(target))
        }
    };
    let selection = match kind {
        Ctl::RuleRemoveById | Ctl::RuleRemoveTargetById => {
            Selection::ids(std::iter::once(rules)).map_err(|message| (message, None))?
        }
        Ctl::RuleRemoveByTag | Ctl::RuleRemoveTargetByTag => Selection::Tag(rules.to_owned()),
        _ => Selection::Msg(rules.to_owned()),
    };
    let Some(target) = target else {
        return Ok(ControlDraft::RemoveRules(selection));
    };
    let (name, selector) = parse_target(target).map_err(|message| (message, None))?;
    let variable = Names::variable(&name)?;
    let pick = names.pick(variable, selector.as_ref())?;
    Ok(ControlDraft::RemoveTarget(
        selection,
        TargetDraft {
            variable,
            pick,
            counted: false,
            excluded: true,
        },
    ))
}

pub(crate) fn text(value: Option<&str>) -> Result<&str, Complaint> {
    value
        .filter(|value| !value.is_empty())
        .ok_or_else(|| ("expected a value after the colon".to_owned(), None))
}

fn number(value: Option<&str>) -> Result<u64, Complaint> {
    text(value)?
        .parse()
        .map_err(|_| ("expected a number".to_owned(), None))
}

fn phase(value: Option<&str>) -> Result<u8, Complaint> {
    match text(value)?.to_ascii_lowercase().as_str() {
        "1" => Ok(1),
        "2" | "request" => Ok(2),
        "3" => Ok(3),
        "4" | "response" => Ok(4),
        "5" | "logging" => Ok(5),
        _ => Err((
            "expected a phase: 1 to 5, request, response or logging".to_owned(),
            None,
        )),
    }
}

fn status(value: Option<&str>) -> Result<u16, Complaint> {
    match number(value)? {
        status @ 100..=599 => Ok(u16::try_from(status).unwrap_or(403)),
        _ => Err(("expected an HTTP status".to_owned(), None)),
    }
}

/// The severities, 0 to 7.
const SEVERITIES: [&str; 8] = [
    "emergency",
    "alert",
    "critical",
    "error",
    "warning",
    "notice",
    "info",
    "debug",
];

fn severity(value: Option<&str>) -> Result<u8, Complaint> {
    let text = text(value)?.to_ascii_lowercase();
    let found = match text.parse::<usize>() {
        Ok(number) => Some(number).filter(|number| *number < SEVERITIES.len()),
        Err(_) => SEVERITIES.iter().position(|name| *name == text),
    };
    found
        .and_then(|severity| u8::try_from(severity).ok())
        .ok_or_else(|| {
            (
                "expected a severity: 0 to 7 or its name".to_owned(),
                did_you_mean(&text, SEVERITIES.into_iter()),
            )
        })
}
