//! Protection profiles.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use edge_core::{Head, Mode, OnFault};
use waf_rules::spec::{RuleSetName, RulesSpec, TuningSpec};

use super::{Complaints, Places};
use crate::spec::{BodySpec, HeadSpec, ProfileSpec, RblSpec, RouteWafSpec, WafSpec};
use crate::tree::Path;

/// The profile of routes that name none.
pub(crate) const DEFAULT: &str = "default";

/// What a request has to pass, and its limits.
#[derive(Debug)]
pub struct Profile {
    name: Arc<str>,
    head: HeadBounds,
    body: BodyLimits,
    response: ResponseLimits,
    waf: Waf,
}

/// Limits of a request head below those of the listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeadBounds {
    /// Bytes of the request target.
    pub target: usize,
    /// Bytes of names and values of all fields.
    pub bytes: usize,
    /// Number of fields.
    pub fields: usize,
}

impl HeadBounds {
    /// The status a head beyond these bounds is refused with, and why.
    #[must_use]
    pub fn refusal(&self, head: &Head) -> Option<(u16, &'static str)> {
        if head.target().len() > self.target {
            return Some((414, "request target longer than the profile accepts"));
        }
        if head.fields().len() > self.fields {
            return Some((431, "more header fields than the profile accepts"));
        }
        let size = |(name, value): (&[u8], &[u8])| name.len() + value.len();
        // Counted only where it is bounded: most profiles leave it to the listener.
        let over = self.bytes < usize::MAX && head.fields().map(size).sum::<usize>() > self.bytes;
        over.then_some((431, "request head larger than the profile accepts"))
    }
}

/// Limits of a request body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BodyLimits {
    /// Bytes held back and inspected.
    pub inspect: usize,
    /// Larger bodies are refused; 0 lets every size through.
    pub limit: u64,
    /// How long the inspected part may take.
    pub deadline: Duration,
    /// How many times larger than its compressed form a body may become.
    pub decode_ratio: u32,
    /// How large it may become.
    pub decode_limit: u64,
}

/// Limits of response inspection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResponseLimits {
    /// Bytes held back and inspected; larger responses stream.
    pub inspect: usize,
    /// How long the inspected part may take.
    pub deadline: Duration,
}

/// The web application firewall of a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waf {
    /// How far it may go.
    pub mode: Mode,
    /// What happens when it fails.
    pub on_fault: OnFault,
    /// The resolver for `@rbl`, and how long a request waits for it.
    pub rbl: Option<(SocketAddr, Duration)>,
    /// Its rules; checked, with paths that the process can open.
    pub rules: RulesSpec,
    /// What is laid over them: the profile's changes, then the route's.
    pub tunings: Vec<Tuning>,
    /// Where the texts in `rules` stand, by key (`directives`, `directives_after`).
    pub origins: BTreeMap<&'static str, Origin>,
}

/// Changes to loaded rules.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tuning {
    /// What is changed; which rules there are is not known yet.
    pub spec: TuningSpec,
    /// Where its parts stand.
    pub places: Places,
}

/// Where a text of the configuration stands, so that a mistake in it can be shown there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The file, as it was named.
    pub file: Arc<str>,
    /// How many lines of that file come before the text.
    pub lines_before: usize,
}

/// Where things stand whose mistakes show only when rules are loaded.
#[derive(Debug, Default)]
pub(crate) struct Origins {
    /// Texts, by profile.
    pub(crate) texts: BTreeMap<String, BTreeMap<&'static str, Origin>>,
    /// What is below `waf`, by profile.
    pub(crate) profiles: BTreeMap<String, Places>,
    /// What is below `waf`, by the number of the route.
    pub(crate) routes: BTreeMap<usize, Places>,
}

impl Profile {
    /// Its name in routes and logs.
    #[must_use]
    pub const fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Limits of a request head.
    #[must_use]
    pub const fn head(&self) -> HeadBounds {
        self.head
    }

    /// Limits of a request body.
    #[must_use]
    pub const fn body(&self) -> BodyLimits {
        self.body
    }

    /// Limits of response inspection.
    #[must_use]
    pub const fn response(&self) -> ResponseLimits {
        self.response
    }

    /// The web application firewall.
    #[must_use]
    pub const fn waf(&self) -> &Waf {
        &self.waf
    }
}

pub(crate) fn build(
    specs: BTreeMap<String, ProfileSpec>,
    origins: &mut Origins,
    complaints: &mut Complaints,
) -> BTreeMap<Arc<str>, Arc<Profile>> {
    let all = Path::default().key("profiles");
    specs
        .into_iter()
        .map(|(name, spec)| {
            let texts = origins.texts.remove(&name).unwrap_or_default();
            let places = origins.profiles.remove(&name).unwrap_or_default();
            let name: Arc<str> = name.into();
            let path = all.key(&*name);
            check_name(&name, &path, complaints);
            let profile = Profile {
                name: Arc::clone(&name),
                head: head(&spec.head),
                body: body(&spec.body, &path.key("body"), complaints),
                response: ResponseLimits {
                    inspect: size(spec.response.inspect.0),
                    deadline: spec.response.deadline.0,
                },
                waf: waf(spec.waf, texts, places, &path.key("waf"), complaints),
            };
            (name, Arc::new(profile))
        })
        .collect()
}

/// Names become labels of metrics and parts of log lines.
pub(super) fn check_name(name: &str, path: &Path, complaints: &mut Complaints) {
    let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    if name.is_empty() || name.len() > 64 || !name.bytes().all(fine) {
        complaints.error(
            path.clone(),
            "a name has up to 64 letters, digits, `_`, `-` and `.`",
        );
    }
}

fn head(spec: &HeadSpec) -> HeadBounds {
    let bound = |number: u64| {
        if number == 0 {
            usize::MAX
        } else {
            size(number)
        }
    };
    HeadBounds {
        target: bound(spec.target.0),
        bytes: bound(spec.bytes.0),
        fields: bound(spec.fields.into()),
    }
}

fn body(spec: &BodySpec, path: &Path, complaints: &mut Complaints) -> BodyLimits {
    if spec.limit.0 > 0 && spec.inspect > spec.limit {
        complaints
            .error(path.key("inspect"), "is more than `limit` lets through")
            .help("raise `body.limit`, or inspect less");
    }
    if spec.inspect.0 > MAX_INSPECT {
        complaints
            .error(
                path.key("inspect"),
                "more than 1GiB cannot be held in memory",
            )
            .help("what follows the inspected part streams, up to `body.limit`");
    }
    if spec.deadline.0.is_zero() {
        complaints.error(path.key("deadline"), "must be longer than 0");
    }
    BodyLimits {
        inspect: size(spec.inspect.0),
        limit: spec.limit.0,
        deadline: spec.deadline.0,
        decode_ratio: spec.decode.ratio,
        decode_limit: spec.decode.limit.0,
    }
}

const MAX_INSPECT: u64 = 1 << 30;

fn waf(
    spec: WafSpec,
    origins: BTreeMap<&'static str, Origin>,
    places: Places,
    path: &Path,
    complaints: &mut Complaints,
) -> Waf {
    let WafSpec {
        mode,
        on_fault,
        rbl,
        rules,
        tuning,
    } = spec;
    let rbl = rbl.and_then(|spec| resolver(&spec, &path.key("rbl"), complaints));
    if mode != Mode::Off {
        complain(&rules, path, complaints);
        let no_rules = rules.rules.is_empty()
            && rules.files.is_empty()
            && rules.directives.is_none()
            && rules.directives_after.is_none();
        if no_rules {
            complaints
                .warn(path.key("rules"), "the firewall runs without any rule")
                .help("write `mode: off` if that is meant");
        }
    }
    Waf {
        mode,
        on_fault,
        rbl,
        rules,
        tunings: tuned(tuning, places),
        origins,
    }
}

/// The firewall of a route: its profile's, with changes; `None` if it changes nothing.
pub(super) fn changed(
    profile: &Profile,
    spec: &RouteWafSpec,
    places: Places,
    path: &Path,
    complaints: &mut Complaints,
) -> Option<Waf> {
    if *spec == RouteWafSpec::default() {
        return None;
    }
    let mut waf = profile.waf.clone();
    waf.mode = spec.mode.unwrap_or(waf.mode);
    if !spec.crs.is_empty() && !waf.rules.rules.contains(&RuleSetName::Crs) {
        complaints
            .error(
                path.key("crs"),
                "the profile does not load the Core Rule Set",
            )
            .help("`tx` sets a variable of any rule set");
    }
    waf.rules.crs = spec.crs.apply(&waf.rules.crs);
    let known = profile.waf.mode != Mode::Off && spec.crs.is_empty();
    if waf.mode != Mode::Off && !known {
        complain(&waf.rules, path, complaints);
    }
    waf.tunings.extend(tuned(spec.tuning.clone(), places));
    Some(waf)
}

fn tuned(spec: TuningSpec, places: Places) -> Vec<Tuning> {
    if spec == TuningSpec::default() {
        return Vec::new();
    }
    vec![Tuning { spec, places }]
}

fn complain(rules: &RulesSpec, path: &Path, complaints: &mut Complaints) {
    for mistake in rules.mistakes() {
        let at = mistake.path.iter().fold(path.clone(), |p, key| p.key(key));
        complaints.error(at, mistake.message).help = mistake.help;
    }
}

fn resolver(
    spec: &RblSpec,
    path: &Path,
    complaints: &mut Complaints,
) -> Option<(SocketAddr, Duration)> {
    let timeout = spec.timeout.0;
    if timeout.is_zero() || timeout > MAX_RBL_TIMEOUT {
        complaints
            .error(path.key("timeout"), "must be longer than 0 and 5s at most")
            .help("every request that has to be looked up waits so long where a list is down");
    }
    match spec.resolver.parse() {
        Ok(address) => Some((address, timeout)),
        Err(_) => {
            complaints
                .error(path.key("resolver"), "expected an address and a port")
                .help("for example `127.0.0.1:53`");
            None
        }
    }
}

const MAX_RBL_TIMEOUT: Duration = Duration::from_secs(5);

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
