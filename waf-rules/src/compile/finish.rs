//! Drafts -> numbered rules, phase programs and prefilters.

use std::collections::HashMap;
use std::hash::Hash;

use super::Loaded;
use super::draft::{Actions, ControlDraft, Draft, LinkDraft, NextDraft, TargetDraft};
use super::names::Names;
use super::outside::{Host, asks, outside};
use super::reader::Reader;
use super::selection::Selection;
use crate::engine::{
    Bits, Control, Disruptive, Entry, Exclude, Exclusion, Filter, Key, Link, Meta, Next, Outside,
    Pick, Pipeline, Plan, Quick, Rule, RuleSet, Scanner, Scores, Settings, Side, Slot, Target,
    TargetSet, is_candidate,
};
use crate::operators::Prefilter;
use crate::syntax::{Flaw, Problem};
use crate::variables::Variable;

/// Applies updates and builds the rule set.
pub(crate) fn finish(mut reader: Reader, host: &Host) -> Result<Loaded, Vec<Problem>> {
    reader.end();
    apply_updates(&mut reader);
    let mut outside = outside(&mut reader, host);
    let uses = |variables: &[Variable]| reader.names.use_any(|used| variables.contains(&used));
    reader.settings.full_request = uses(&[Variable::FullRequest, Variable::FullRequestLength]);
    reader.settings.file_contents = uses(&[Variable::FilesTmpContent, Variable::FilesTmpNames]);
    if !reader.problems.is_empty() {
        return Err(reader.problems);
    }
    reader.settings.audit.switched = switches_audit(&reader.drafts);
    let jumps = resolve_jumps(&mut reader);
    let scores = scores(&mut reader.names);
    let mut builder = Builder::new(&reader.drafts);
    let resolved = resolve_controls(&reader.drafts, &mut builder);
    let mut rules = Vec::with_capacity(reader.drafts.len());
    for ((draft, next), controls) in reader.drafts.into_iter().zip(jumps).zip(resolved) {
        rules.push(builder.rule(draft, next, controls));
    }
    let phases = programs(&rules, &builder.targets.list);
    let [request, response] = &builder.filters;
    let tx_selected = tx_selected(&reader.names);
    let mut rules = RuleSet {
        settings: Settings {
            xml_paths: reader.names.paths,
            ..reader.settings
        },
        plan: Plan::new(
            &rules,
            &builder.targets.list,
            &builder.pipelines.list,
            &phases,
        ),
        phases,
        rules,
        selectors: reader.names.selectors,
        tx_selected,
        tx_names: reader.names.tx,
        scanners: [Scanner::new(request), Scanner::new(response)],
        pipelines: builder.pipelines.list,
        targets: builder.targets.list,
        exclusions: builder.exclusions,
        scores,
        key: Key::default(),
        outside: Outside::default(),
    };
    // Before the rules know a store: what is tried here must not count.
    rules.foresee();
    outside.asks = asks(&rules.rules);
    rules.outside = outside;
    Ok(Loaded {
        rules,
        warnings: reader.warnings,
        inputs: reader.inputs,
    })
}

/// True if a rule may switch the audit engine on.
fn switches_audit(drafts: &[Draft]) -> bool {
    let links = drafts.iter().flat_map(|draft| &draft.links);
    let mut controls = links.flat_map(|link| &link.local.controls);
    controls.any(|control| matches!(control, ControlDraft::Ready(Control::AuditEngine(_))))
}

/// The known `TX` names that each selector means.
fn tx_selected(names: &Names) -> Vec<Box<[Slot]>> {
    let slots = 0..narrow(names.tx.len());
    let selectors = names.selectors.of(Variable::Tx).iter();
    selectors
        .map(|selector| {
            let slots = slots.clone();
            slots
                .filter(|slot| selector.matches(names.tx.name(*slot)))
                .collect()
        })
        .collect()
}

fn apply_updates(reader: &mut Reader) {
    let updates = std::mem::take(&mut reader.updates);
    let mut removed = vec![false; reader.drafts.len()];
    let blocks = reader.blocks();
    for (update, place) in &updates {
        let mut flaws = Vec::new();
        let mut found = false;
        for (draft, removed) in reader.drafts.iter_mut().zip(&mut removed) {
            if update.selection.means(draft) {
                found = true;
                *removed |= update.removes();
                update.apply(&mut reader.names, draft, &blocks, &mut flaws);
            }
        }
        for flaw in flaws {
            reader.problem(place.source, flaw);
        }
        if !found {
            let flaw = Flaw::new(place.span, "no rule is meant by this directive");
            reader.warning(place.source, flaw);
        }
    }
    // Markers count drafts, so they move with what is taken out.
    for (_, position) in &mut reader.markers {
        let gone = removed.iter().take(*position).filter(|gone| **gone).count();
        *position -= gone;
    }
    let mut index = 0;
    reader.drafts.retain(|_| {
        index += 1;
        removed.get(index - 1) == Some(&false)
    });
}

/// Where each rule's evaluation goes on, as a place in its phase's program.
fn resolve_jumps(reader: &mut Reader) -> Vec<Next> {
    let mut phase_counts = [0_usize; 6];
    // How many rules of each phase stand before draft n.
    let mut before: Vec<[usize; 6]> = Vec::with_capacity(reader.drafts.len() + 1);
    for draft in &reader.drafts {
        before.push(phase_counts);
        if let Some(count) = phase_counts.get_mut(usize::from(draft.phase)) {
            *count += 1;
        }
    }
    before.push(phase_counts);
    let mut jumps = Vec::with_capacity(reader.drafts.len());
    let mut unknown = Vec::new();
    for (number, draft) in reader.drafts.iter().enumerate() {
        jumps.push(match &draft.actions.next {
            NextDraft::Following => Next::Following,
            NextDraft::Skip(count) => Next::Skip(*count),
            NextDraft::After(marker) => {
                let position = reader
                    .markers
                    .iter()
                    .find(|(name, position)| name == marker && *position > number)
                    .map(|(_, position)| *position);
                if position.is_none() {
                    unknown.push((draft.place, marker.clone()));
                }
                let place = before
                    .get(position.unwrap_or(before.len() - 1))
                    .and_then(|counts| counts.get(usize::from(draft.phase)));
                Next::Jump(place.copied().unwrap_or(usize::MAX))
            }
        });
    }
    for (place, marker) in unknown {
        let flaw = Flaw::new(
            place.span,
            format!("no SecMarker {marker} follows: the rest of the phase is skipped"),
        );
        reader.warning(place.source, flaw);
    }
    jumps
}

/// The `TX` variables that hold anomaly scores: ours, the CRS 4's, the CRS 3's.
fn scores(names: &mut Names) -> Scores {
    let slots = |names: &mut Names, list: &[&str]| {
        list.iter()
            .map(|name| names.tx.slot(name.as_bytes()))
            .collect()
    };
    Scores {
        inbound: slots(
            names,
            &[
                "baseline_inbound_score",
                "blocking_inbound_anomaly_score",
                "inbound_anomaly_score",
            ],
        ),
        outbound: slots(
            names,
            &[
                "baseline_outbound_score",
                "blocking_outbound_anomaly_score",
                "outbound_anomaly_score",
            ],
        ),
        parts: (1..=4)
            .flat_map(|level| {
                ["inbound_anomaly", "outbound_anomaly", "anomaly"]
                    .map(|name| (format!("{name}_score_pl{level}"), level))
            })
            .map(|(name, level)| (names.tx.slot(name.as_bytes()), level))
            .collect(),
        levels: ["blocking_paranoia_level", "paranoia_level"]
            .map(|name| names.tx.slot(name.as_bytes())),
    }
}

/// Controls of every rule, link by link, with the rules they mean numbered.
fn resolve_controls(drafts: &[Draft], builder: &mut Builder) -> Vec<Vec<Vec<Resolved>>> {
    let select = |selection: &Selection| {
        let mut bits = Bits::with_room(drafts.len());
        for (number, draft) in drafts.iter().enumerate() {
            if selection.means(draft) {
                bits.insert(number);
            }
        }
        bits
    };
    drafts
        .iter()
        .map(|draft| {
            draft
                .links
                .iter()
                .map(|link| {
                    link.local
                        .controls
                        .iter()
                        .map(|control| match control {
                            ControlDraft::Ready(_) => Resolved::AsIs,
                            ControlDraft::RemoveRules(selection) => {
                                Resolved::Is(Control::RemoveRules(select(selection)))
                            }
                            ControlDraft::RemoveTarget(selection, target) => {
                                builder.exclusions.push(Exclusion {
                                    rules: select(selection),
                                    variable: target.variable,
                                    pick: target.pick,
                                });
                                let number = narrow(builder.exclusions.len() - 1);
                                Resolved::Is(Control::RemoveTarget(number))
                            }
                        })
                        .collect()
                })
                .collect()
        })
        .collect()
}

/// A control after its rules were numbered.
enum Resolved {
    AsIs,
    Is(Control),
}

fn programs(rules: &[Rule], targets: &[TargetSet]) -> [Vec<Entry>; 5] {
    let mut phases: [Vec<Entry>; 5] = Default::default();
    for (number, rule) in rules.iter().enumerate() {
        let entry = Entry {
            rule: narrow(number),
            quick: Quick::of(rule, targets),
        };
        if let Some(phase) = phases.get_mut(usize::from(rule.phase) - 1) {
            phase.push(entry);
        }
    }
    phases
}

/// Numbers equal things once.
#[derive(Debug)]
struct Interned<T> {
    list: Vec<T>,
    known: HashMap<T, u32>,
}

impl<T: Clone + Eq + Hash> Interned<T> {
    fn new() -> Self {
        Self {
            list: Vec::new(),
            known: HashMap::new(),
        }
    }

    fn number(&mut self, item: T) -> u32 {
        let next = narrow(self.list.len());
        *self.known.entry(item).or_insert_with_key(|item| {
            self.list.push(item.clone());
            next
        })
    }
}

struct Builder {
    pipelines: Interned<Pipeline>,
    targets: Interned<TargetSet>,
    /// Filters by side: one for every place of its phases' programs, then those of later links.
    filters: [Vec<Prefilter>; 2],
    /// The first filter of each phase, and that of its next rule.
    starts: [usize; 5],
    next: [usize; 5],
    exclusions: Vec<Exclusion>,
}

impl Builder {
    fn new(drafts: &[Draft]) -> Self {
        let mut counts = [0_usize; 5];
        for draft in drafts {
            if let Some(count) = counts.get_mut(usize::from(draft.phase).wrapping_sub(1)) {
                *count += 1;
            }
        }
        // Every phase starts with a new word, as in the plan.
        let [one, two, three, four, five] = counts.map(|count| count.next_multiple_of(64));
        let starts = [0, one, 0, three, three + four];
        let mut pipelines = Interned::new();
        // Number 0: the value as it came.
        pipelines.number(Pipeline {
            steps: Box::default(),
        });
        Self {
            pipelines,
            targets: Interned::new(),
            filters: [one + two, three + four + five].map(|room| vec![Prefilter::nothing(); room]),
            starts,
            next: starts,
            exclusions: Vec::new(),
        }
    }

    fn rule(&mut self, draft: Draft, next: Next, controls: Vec<Vec<Resolved>>) -> Rule {
        let phase = draft.phase;
        let links = draft
            .links
            .into_iter()
            .zip(controls)
            .enumerate()
            .map(|(index, (link, controls))| self.link(phase, index == 0, link, controls))
            .collect();
        let actions = draft.actions;
        let status = status(&actions);
        let tags: Vec<String> = actions.tags.iter().map(|tag| tag.written.clone()).collect();
        let templated = actions
            .tags
            .iter()
            .any(|tag| tag.template.literal().is_none());
        Rule {
            id: draft.id,
            phase,
            links,
            disruption: actions.disruption,
            status,
            logged: actions.log || actions.audit,
            audited: actions.audit,
            error_logged: actions.log,
            next,
            meta: Meta {
                msg: actions.msg.map(|msg| msg.template),
                logdata: actions.logdata.map(|logdata| logdata.template),
                severity: actions.severity,
                rev: actions.rev,
                ver: actions.ver,
                maturity: actions.maturity,
                accuracy: actions.accuracy,
                sanitised: actions.sanitised.into(),
                tags: tags.into(),
                tag_templates: templated.then(|| {
                    let templates = actions.tags.into_iter().map(|tag| tag.template);
                    templates.collect()
                }),
                file: draft.file,
                line: draft.line,
            },
        }
    }

    fn link(&mut self, phase: u8, first: bool, draft: LinkDraft, controls: Vec<Resolved>) -> Link {
        let targets = self.targets.number(target_set(&draft.targets));
        let local = draft.local;
        let pipeline = self.pipelines.number(Pipeline {
            steps: local.pipeline.into(),
        });
        let looks_up = draft
            .check
            .as_ref()
            .is_some_and(|check| check.operator.lookup().is_some());
        let controls = local
            .controls
            .into_iter()
            .zip(controls)
            .filter_map(|(draft, resolved)| match (draft, resolved) {
                (_, Resolved::Is(control)) | (ControlDraft::Ready(control), _) => Some(control),
                _ => None,
            })
            .collect();
        let mut link = Link {
            targets,
            pipeline,
            check: draft.check,
            looks_up,
            capture: local.capture,
            multi_match: local.multi_match,
            severity: local.severity,
            setvars: local.setvars.into(),
            controls,
            filter: Filter::None,
        };
        link.filter = self.filter(phase, first, &link);
        link
    }

    /// Where it will be known on which values `link` cannot match.
    fn filter(&mut self, phase: u8, first: bool, link: &Link) -> Filter {
        let check = link.check.as_ref().filter(|check| !check.negated);
        let prefilter = check.and_then(|check| check.operator.prefilter());
        let next = self.next.get_mut(usize::from(phase).wrapping_sub(1));
        let filters = self.filters.get_mut(Side::of_phase(phase).index());
        let (Some(next), Some(filters)) = (next, filters) else {
            return Filter::None;
        };
        let number = *next;
        *next += usize::from(first);
        if first && is_candidate(link, &self.targets.list) {
            if let (Some(filter), Some(prefilter)) = (filters.get_mut(number), prefilter) {
                *filter = prefilter;
            }
            let start = self.starts.get(usize::from(phase).wrapping_sub(1));
            return Filter::Candidate(narrow(number - start.copied().unwrap_or(number)));
        }
        prefilter.map_or(Filter::None, |prefilter| {
            filters.push(prefilter);
            Filter::Side(narrow(filters.len() - 1))
        })
    }
}

fn status(actions: &Actions) -> u16 {
    match (&actions.disruption, actions.status) {
        (Some(Disruptive::Redirect(_)), Some(status @ 301..=307)) => status,
        (Some(Disruptive::Redirect(_)), _) => 302,
        (_, status) => status.unwrap_or(403),
    }
}

/// Splits a target list into what is looked at and what is left out of it.
fn target_set(drafts: &[TargetDraft]) -> TargetSet {
    let left_out: Vec<Exclude> = drafts
        .iter()
        .filter(|target| target.excluded)
        .map(|target| Exclude {
            variable: target.variable,
            pick: target.pick,
        })
        .collect();
    let whole = |variable: Variable| {
        left_out
            .iter()
            .any(|exclude| exclude.variable == variable && exclude.pick == Pick::All)
    };
    let includes = drafts
        .iter()
        .filter(|target| !target.excluded && !whole(target.variable))
        .map(|target| Target {
            variable: target.variable,
            pick: target.pick,
            counted: target.counted,
        })
        .collect();
    let excludes = left_out
        .iter()
        .filter(|exclude| exclude.pick != Pick::All)
        .copied()
        .collect();
    TargetSet::new(includes, excludes)
}

fn narrow(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
