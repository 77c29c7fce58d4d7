//! What a rule is once it is compiled: links to test, actions to run, where to go next.

use std::sync::Arc;

use super::bits::Bits;
use super::collections::Keep;
use super::target::Pick;
use super::template::Template;
use super::tx::Slot;
use crate::audit::{AuditEngine, Hidden, PartsChange};
use crate::body::nested::Kinds;
use crate::operators::Operator;
use crate::variables::Variable;

/// A rule: its chain of links and what happens when all of them match.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) id: u64,
    pub(crate) phase: u8,
    pub(crate) links: Box<[Link]>,
    pub(crate) disruption: Option<Disruptive>,
    pub(crate) status: u16,
    /// True if a match is reported.
    pub(crate) logged: bool,
    /// True if a match goes to the audit log, to the error log.
    pub(crate) audited: bool,
    pub(crate) error_logged: bool,
    pub(crate) next: Next,
    pub(crate) meta: Meta,
}

/// What a match reports about its rule.
#[derive(Debug)]
pub(crate) struct Meta {
    pub(crate) msg: Option<Template>,
    pub(crate) logdata: Option<Template>,
    pub(crate) severity: Option<u8>,
    pub(crate) rev: Option<String>,
    pub(crate) ver: Option<String>,
    /// 1 to 9; 0 where the rule does not say.
    pub(crate) maturity: u8,
    pub(crate) accuracy: u8,
    /// What a match hides from the audit log.
    pub(crate) sanitised: Box<[Hidden]>,
    pub(crate) tags: Arc<[String]>,
    /// Set only where a tag holds macros.
    pub(crate) tag_templates: Option<Box<[Template]>>,
    pub(crate) file: Arc<str>,
    pub(crate) line: usize,
}

/// One `SecRule` or `SecAction`; a chain has several.
#[derive(Debug)]
pub(crate) struct Link {
    /// Number of the target set.
    pub(crate) targets: u32,
    /// Number of the transformation pipeline.
    pub(crate) pipeline: u32,
    /// `None` matches always (`SecAction`).
    pub(crate) check: Option<Check>,
    /// The operator asks more than the value.
    pub(crate) looks_up: bool,
    pub(crate) capture: bool,
    pub(crate) multi_match: bool,
    pub(crate) severity: Option<u8>,
    /// Run on each matching value.
    pub(crate) setvars: Box<[Assignment]>,
    /// Run once, when the whole chain has matched.
    pub(crate) controls: Box<[Control]>,
    /// Who may say that the link need not be asked.
    pub(crate) filter: Filter,
}

/// Where it is known on which values a link cannot match.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Filter {
    /// Nowhere.
    None,
    /// The candidates of the phase know the rule, whose first link this is, by its place.
    Candidate(u32),
    /// A filter of the phase's side.
    Side(u32),
}

/// An operator with its argument.
#[derive(Debug)]
pub(crate) struct Check {
    pub(crate) operator: Operator,
    pub(crate) negated: bool,
    /// The argument as written.
    pub(crate) argument: String,
    /// Present where the argument holds macros the operator wants expanded.
    pub(crate) template: Option<Template>,
}

/// A disruptive action.
#[derive(Debug, Clone)]
pub(crate) enum Disruptive {
    Deny,
    Drop,
    Redirect(Template),
    Allow(Allow),
}

impl Disruptive {
    /// The name rules write.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Drop => "drop",
            Self::Redirect(_) => "redirect",
            Self::Allow(_) => "allow",
        }
    }
}

/// How far an `allow` reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Allow {
    Phase,
    Request,
    All,
}

/// Where evaluation goes on after a match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// With the next rule.
    Following,
    /// Over this many rules.
    Skip(usize),
    /// At this place of the phase's program.
    Jump(usize),
}

/// What a link writes at each matching value, in the order of its actions.
#[derive(Debug)]
pub(crate) enum Assignment {
    Tx(SetVar),
    Kept(Keep),
}

/// `setvar` of a `TX` variable.
#[derive(Debug)]
pub(crate) struct SetVar {
    pub(crate) name: VarName,
    pub(crate) change: Change,
}

/// The name of a `TX` variable.
#[derive(Debug)]
pub(crate) enum VarName {
    Known { slot: Slot, name: Box<[u8]> },
    Built(Template),
}

/// What `setvar` does.
#[derive(Debug)]
pub(crate) enum Change {
    Set(Template),
    Add(Template),
    Subtract(Template),
    Remove,
}

/// `ctl`.
#[derive(Debug)]
pub(crate) enum Control {
    AuditEngine(AuditEngine),
    AuditParts(PartsChange),
    RuleEngine(EngineMode),
    RequestBodyAccess(bool),
    ResponseBodyAccess(bool),
    RequestBodyProcessor(Processor),
    ResponseBodyProcessor(Processor),
    ForceRequestBody(bool),
    NestedArguments(Kinds),
    /// The rules that stop running.
    RemoveRules(Bits),
    /// Number of the run-time exclusion.
    RemoveTarget(u32),
}

impl Control {
    /// What rules write.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::RuleEngine(EngineMode::On) => "ctl:ruleEngine=On",
            Self::RuleEngine(EngineMode::Off) => "ctl:ruleEngine=Off",
            Self::RuleEngine(EngineMode::DetectionOnly) => "ctl:ruleEngine=DetectionOnly",
            Self::RequestBodyAccess(true) => "ctl:requestBodyAccess=On",
            Self::RequestBodyAccess(false) => "ctl:requestBodyAccess=Off",
            Self::ResponseBodyAccess(true) => "ctl:responseBodyAccess=On",
            Self::ResponseBodyAccess(false) => "ctl:responseBodyAccess=Off",
            Self::RequestBodyProcessor(_) => "ctl:requestBodyProcessor",
            Self::ResponseBodyProcessor(_) => "ctl:responseBodyProcessor",
            Self::ForceRequestBody(_) => "ctl:forceRequestBodyVariable",
            Self::AuditEngine(_) => "ctl:auditEngine",
            Self::AuditParts(_) => "ctl:auditLogParts",
            Self::NestedArguments(_) => "ctl:nestedArguments",
            Self::RemoveRules(_) => "ctl:ruleRemove",
            Self::RemoveTarget(_) => "ctl:ruleRemoveTarget",
        }
    }
}

/// Targets that `ctl:ruleRemoveTarget…` takes from some rules.
#[derive(Debug)]
pub(crate) struct Exclusion {
    pub(crate) rules: Bits,
    pub(crate) variable: Variable,
    pub(crate) pick: Pick,
}

/// `SecRuleEngine`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum EngineMode {
    #[default]
    On,
    Off,
    DetectionOnly,
}

/// Which parser reads the request body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Processor {
    UrlEncoded,
    Multipart,
    Json,
    /// One JSON document a line.
    NdJson,
    Xml,
    GraphQl,
    /// None: the body as it came is `REQUEST_BODY`.
    Raw,
}

impl Processor {
    const ALL: [Self; 7] = [
        Self::UrlEncoded,
        Self::Multipart,
        Self::Json,
        Self::NdJson,
        Self::Xml,
        Self::GraphQl,
        Self::Raw,
    ];

    /// True for what `ctl:responseBodyProcessor` may name.
    pub(crate) const fn reads_responses(self) -> bool {
        matches!(self, Self::Json | Self::NdJson | Self::Xml | Self::Raw)
    }

    /// The value of `REQBODY_PROCESSOR`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::UrlEncoded => "URLENCODED",
            Self::Multipart => "MULTIPART",
            Self::Json => "JSON",
            Self::NdJson => "NDJSON",
            Self::Xml => "XML",
            Self::GraphQl => "GRAPHQL",
            Self::Raw => "RAW",
        }
    }

    /// The processor `ctl:requestBodyProcessor=name` means.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|processor| processor.name().eq_ignore_ascii_case(name))
    }
}
