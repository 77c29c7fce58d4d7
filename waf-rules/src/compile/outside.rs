//! Gives a rule set what it asks for of the world outside, and nothing else.

use std::sync::Arc;

use jiff::tz::TimeZone;

use super::draft::{LinkDraft, Place};
use super::names::Names;
use super::reader::Reader;
use crate::engine::{ASKED_NAMES, Ask, Outside, Pick, Rule};
use crate::geo::Geo;
use crate::kept::Kept;
use crate::operators::{Lookup, Operator};
use crate::syntax::Flaw;
use crate::variables::Variable;

/// What the host offers.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) kept: Arc<Kept>,
    /// It resolves names.
    pub(crate) dns: bool,
}

/// Looks around for what the rules name, and says what is missing.
pub(crate) fn outside(reader: &mut Reader, host: &Host) -> Outside {
    let lookups = Lookups::find(reader);
    blocklists(reader, &lookups, host);
    let geo = lookups.geo.and_then(|place| geo(reader, place, host));
    let names = &reader.names;
    let uses = |variable| names.use_any(|used| used == variable);
    Outside {
        store: names.needs_store.then(|| host.kept.store()),
        geo,
        asks: Vec::new(),
        environment: if uses(Variable::Env) {
            environment()
        } else {
            Arc::default()
        },
        zone: names.use_any(Variable::is_calendar).then(TimeZone::system),
        clock: wants_clock(names),
    }
}

fn wants_clock(names: &Names) -> bool {
    names.needs_clock || names.use_any(|used| used == Variable::Duration || used.is_calendar())
}

/// The links whose operators ask a list.
pub(crate) fn asks(rules: &[Rule]) -> Vec<Ask> {
    let mut asks = Vec::new();
    for (rule, number) in rules.iter().zip(0..) {
        for (link, index) in rule.links.iter().zip(0..) {
            let check = link.check.as_ref();
            if check.is_some_and(|check| check.operator.blocklist().is_some()) {
                asks.push(Ask {
                    rule: number,
                    link: index,
                });
            }
        }
    }
    asks
}

/// Where rules look something up.
#[derive(Default)]
struct Lookups {
    /// The first `@geoLookup`.
    geo: Option<Place>,
    blocklists: Vec<ListUse>,
}

/// An `@rbl`.
struct ListUse {
    place: Place,
    wants_key: bool,
    /// It looks at what phase 1 brings, in phase 1.
    early: bool,
    /// It looks at values of which a client may send more than a phase asks for.
    many: bool,
}

impl Lookups {
    fn find(reader: &Reader) -> Self {
        let mut found = Self::default();
        for draft in &reader.drafts {
            for link in &draft.links {
                let operator = link.check.as_ref().map(|check| &check.operator);
                match operator.and_then(Operator::lookup) {
                    Some(Lookup::Geo) => {
                        found.geo.get_or_insert(draft.place);
                    }
                    Some(Lookup::Blocklist(list)) => {
                        found.blocklists.push(ListUse {
                            place: draft.place,
                            wants_key: list.wants_key(),
                            early: draft.phase == 1 && !is_known_at_once(link),
                            many: may_be_many(link),
                        });
                    }
                    Some(Lookup::Path(_)) | None => {}
                }
            }
        }
        found
    }
}

/// True if the link looks only at what is known before phase 1.
fn is_known_at_once(link: &LinkDraft) -> bool {
    let known = [
        Variable::RemoteAddr,
        Variable::RemoteHost,
        Variable::ServerAddr,
    ];
    link.targets
        .iter()
        .all(|target| known.contains(&target.variable))
}

/// True if the link looks at members of a collection; also one that is named can be sent twice.
fn may_be_many(link: &LinkDraft) -> bool {
    link.targets.iter().any(|target| {
        let one = target.excluded || target.counted || matches!(target.pick, Pick::Slot(_));
        !one && target.variable.keyed()
    })
}

/// Opens `SecGeoLookupDb`.
fn geo(reader: &mut Reader, used: Place, host: &Host) -> Option<Arc<Geo>> {
    let Some((path, place)) = reader.geo.take() else {
        let flaw = Flaw::new(used.span, "@geoLookup never matches without SecGeoLookupDb");
        reader.warning(used.source, flaw);
        return None;
    };
    let opened = host.kept.geo(&path);
    reader.inputs.database(&path);
    match opened {
        Ok((geo, complaint)) => {
            if let Some(complaint) = complaint {
                let message = format!("{}: {complaint}", path.display());
                reader.warning(place.source, Flaw::new(place.span, message));
            }
            Some(geo)
        }
        Err(error) => {
            let message = format!("{}: {error}", path.display());
            reader.problem(place.source, Flaw::new(place.span, message));
            None
        }
    }
}

/// Checks that every `@rbl` can be answered.
fn blocklists(reader: &mut Reader, lookups: &Lookups, host: &Host) {
    let has_key = !reader.settings.http_bl_key.is_empty();
    for list in &lookups.blocklists {
        let place = list.place;
        if list.wants_key && !has_key {
            let flaw = Flaw::new(place.span, "@rbl never matches: http:BL wants SecHttpBlKey");
            reader.warning(place.source, flaw);
        } else if !host.dns {
            let flaw = Flaw::new(place.span, "@rbl asks the DNS while a request waits").help(Some(
                "switch it on by naming a resolver: `rbl: {resolver: …}`".to_owned(),
            ));
            reader.problem(place.source, flaw);
        } else if list.early {
            let message = "in phase 1, @rbl can look at REMOTE_ADDR only: take phase 2";
            reader.problem(place.source, Flaw::new(place.span, message));
        } else if list.many {
            let message = format!(
                "@rbl looks at values that a client may repeat, and a phase asks for {ASKED_NAMES} \
                 names at most: what is beyond them counts as not listed"
            );
            reader.warning(place.source, Flaw::new(place.span, message));
        }
    }
}

/// Names and values.
type Environment = [(Box<[u8]>, Box<[u8]>)];

/// The environment of this process.
fn environment() -> Arc<Environment> {
    let bytes = |text: std::ffi::OsString| text.into_encoded_bytes().into_boxed_slice();
    std::env::vars_os()
        .map(|(name, value)| (bytes(name), bytes(value)))
        .collect()
}
