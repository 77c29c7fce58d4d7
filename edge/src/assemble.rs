//! From a checked policy to what runs: rule sets loaded, upstream groups built, names wired.
//!
//! Built aside and complete or not at all; a reload swaps the result in. Profiles with the same rules
//! share one rule set, however many sites use them and whatever settings they lay over it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use edge_audit::metrics::{HostFigures, RouteMetrics, RuleMetrics, UpstreamMetrics};
use edge_audit::{Logs, Metrics, RuleLogs};
use edge_config::{
    BodyLimits, Checksum, Delta, HeadBounds, HostHeader, Policy, Profile, Protocol, RetryOn, Route,
    RouteQuery, Shards, Upstream,
};
use edge_conn::gate::HeadLimits;
use edge_core::{Diagnostic, Exchange, Head, Mode, Refusal};
use edge_tls::Terminator;
use waf_rules::Kept;

use crate::hosts::Hosts;
use crate::proxy::hold::HoldLimits;
use crate::rules::{Loaded, RuleSets};
use crate::stages::audit::Audit;
use crate::stages::resolver::Resolver;
use crate::stages::waf::Waf;
use crate::upstreams::Group;
use crate::upstreams::tls::Material;

/// A configuration that is ready to run.
pub(crate) struct Assembled {
    /// What runs.
    pub(crate) gateway: Gateway,
    /// Certificates and TLS policies, to be adopted with it.
    pub(crate) tls: Option<edge_tls::Prepared>,
    /// Doubts about rules and certificates.
    pub(crate) warnings: Vec<Diagnostic>,
}

/// The running configuration. A copy shares everything with it.
#[derive(Clone)]
pub(crate) struct Gateway {
    policy: Arc<Policy>,
    /// By [`edge_config::Route::id`].
    routes: Shards<u64, Arc<RouteState>>,
    upstreams: Shards<Arc<str>, Arc<UpstreamState>>,
    profiles: BTreeMap<Arc<str>, Arc<ProfileState>>,
    unrouted: Arc<RouteMetrics>,
    unknown_host: Arc<HostFigures>,
    matches: Arc<RuleMetrics>,
    rule_count: usize,
    /// How audit entries are rendered.
    audit: Arc<Audit>,
    rule_logs: RuleLogs,
    rule_sets: Vec<Arc<Loaded>>,
    kept: Arc<Kept>,
    /// What all files say, rule files included.
    checksum: Checksum,
    rules_checksum: Checksum,
}

/// A route with everything its requests need.
pub(crate) struct RouteState {
    /// Its name.
    pub(crate) name: Arc<str>,
    /// What its requests have to pass.
    pub(crate) profile: Arc<ProfileState>,
    /// Where they go.
    pub(crate) upstream: Arc<UpstreamState>,
    metrics: RouteMetrics,
    hosts: Hosts,
}

/// A protection profile with its rules loaded.
pub(crate) struct ProfileState {
    /// Bounds of the request head.
    pub(crate) head: HeadBounds,
    /// Bounds of the request body.
    pub(crate) body: BodyLimits,
    /// How much of a response is held, and how long.
    pub(crate) hold: HoldLimits,
    /// The rule engine; `None` if it is off.
    pub(crate) waf: Option<Waf>,
}

/// An upstream group and how it is spoken to.
pub(crate) struct UpstreamState {
    /// Chooses servers.
    pub(crate) group: Arc<Group>,
    /// Whether gRPC calls pass as streams.
    pub(crate) grpc: bool,
    /// Which `Host` its servers see.
    pub(crate) host_header: HostHeader,
    /// Whether all its servers speak HTTP/1 without TLS.
    pub(crate) direct: bool,
    /// Counters.
    pub(crate) metrics: UpstreamMetrics,
}

/// Builds what runs from `policy`; rules that are the same as in `before` are taken from there.
/// Certificates are prepared for `terminator`. `watch` gets the files of rules and certificates and their
/// folders, also if they hold mistakes.
///
/// # Errors
/// Every mistake in every file of rules, and every certificate that cannot be used.
pub(crate) fn assemble(
    policy: Arc<Policy>,
    metrics: &Metrics,
    before: Option<&Gateway>,
    terminator: &Terminator,
    watch: &mut Vec<PathBuf>,
) -> Result<Assembled, Vec<Diagnostic>> {
    let mut rules = match before {
        Some(before) => RuleSets::after(&before.rule_sets, before.kept.clone()),
        None => RuleSets::default(),
    };
    let mut mistakes = Vec::new();
    let mut profiles = BTreeMap::new();
    for (name, profile) in policy.profiles() {
        match profile_state(profile, profile.waf(), &mut rules) {
            Ok(state) => {
                profiles.insert(name.clone(), Arc::new(state));
            }
            Err(more) => mistakes.extend(more),
        }
    }
    let said = mistakes.clone();
    let mut own = BTreeMap::new();
    for route in policy.routes().routes() {
        let state = route
            .waf()
            .map(|waf| profile_state(route.profile(), waf, &mut rules));
        match state.transpose() {
            Ok(state) => own.extend(state.map(|state| (route.id(), Arc::new(state)))),
            // What the profile did wrong was said there.
            Err(more) => mistakes.extend(more.into_iter().filter(|new| !said.contains(new))),
        }
    }
    watch.append(&mut rules.files);
    let mut upstreams = Shards::default();
    for (name, upstream) in policy.upstreams().iter() {
        let before = before.and_then(|before| before.upstreams.get(name));
        match upstream_state(upstream, before, metrics, watch) {
            Ok(state) => {
                upstreams.insert(name.clone(), state);
            }
            Err(more) => mistakes.extend(more),
        }
    }
    let tls = terminator.prepare(policy.tls(), watch);
    let tls = tls.inspect_err(|more| mistakes.extend(more.iter().cloned()));
    let Some(mut tls) = tls.ok().filter(|_| mistakes.is_empty()) else {
        return Err(mistakes);
    };
    metrics.hosts.prune();
    let routes = policy.routes().in_order();
    let routes = routes.into_iter().filter_map(|route| {
        let profile = own.get(&route.id());
        let profile = profile.or_else(|| profiles.get(route.profile().name()))?;
        let upstream = upstreams.get(route.upstream().name())?;
        let state = route_state(&policy, route, profile, upstream, metrics);
        Some((route.id(), Arc::new(state)))
    });
    let routes = routes.collect();
    let mut warnings = std::mem::take(&mut rules.warnings);
    warnings.append(&mut tls.warnings);
    let rules_checksum = rules.checksum();
    let gateway = Gateway {
        routes,
        upstreams,
        profiles,
        unrouted: Arc::new(metrics.route(&"none".into())),
        unknown_host: metrics.hosts.other().clone(),
        matches: Arc::new(metrics.rules(rules.ids())),
        rule_count: rules.ids().count(),
        audit: Arc::new(Audit::new(policy.logs())),
        rule_logs: rules.logs(),
        kept: rules.kept.clone(),
        rule_sets: rules.into_sets(),
        checksum: policy.checksum().and(rules_checksum),
        rules_checksum,
        policy,
    };
    Ok(Assembled {
        gateway,
        tls: Some(tls),
        warnings,
    })
}

/// Builds what runs from `policy`, which differs from what `before` runs in `delta` only: everything
/// else is shared. `None` if it takes more than that.
pub(crate) fn adapt(
    policy: Arc<Policy>,
    delta: &Delta,
    metrics: &Metrics,
    before: &Gateway,
) -> Option<Assembled> {
    // Firewalls of routes lay settings over rules that may have changed on disk meanwhile.
    if delta.routes_new.iter().any(|route| route.waf().is_some()) {
        return None;
    }
    let mut gateway = before.clone();
    for name in &delta.upstreams_gone {
        gateway.upstreams.remove(name);
    }
    for config in &delta.upstreams_new {
        let old = before.upstreams.get(config.name());
        // Told when everything is assembled.
        let state = upstream_state(config, old, metrics, &mut Vec::new()).ok()?;
        gateway.upstreams.insert(config.name().clone(), state);
    }
    for route in &delta.routes_gone {
        gateway.routes.remove(&route.id());
    }
    if gateway.routes.len() < before.routes.len() {
        metrics.hosts.prune();
    }
    for route in &delta.routes_new {
        let profile = gateway.profiles.get(route.profile().name())?;
        let upstream = gateway.upstreams.get(route.upstream().name())?;
        let state = route_state(&policy, route, profile, upstream, metrics);
        gateway.routes.insert(route.id(), Arc::new(state));
    }
    gateway.checksum = policy.checksum().and(gateway.rules_checksum);
    gateway.policy = policy;
    Some(Assembled {
        gateway,
        tls: None,
        warnings: Vec::new(),
    })
}

impl Gateway {
    /// The route for a request; `None` if none fits.
    ///
    /// # Errors
    /// A path that upstreams could read in two ways.
    pub(crate) fn route(&self, head: &Head) -> Result<Option<Arc<RouteState>>, Refusal> {
        let found = self.policy.routes().find(&RouteQuery::new(head));
        let found = found.map_err(|_| Refusal::new(400, "path could be read in two ways"))?;
        Ok(found.and_then(|route| self.routes.get(&route.id()).cloned()))
    }

    /// The host a request is for: without port, in lower case; empty if it names none.
    pub(crate) fn host(head: &Head) -> String {
        String::from_utf8_lossy(&RouteQuery::new(head).host()).into_owned()
    }

    /// The client behind `peer`, after trusted proxies.
    pub(crate) fn client(&self, peer: SocketAddr, head: &Head) -> SocketAddr {
        edge_config::client_address(peer, self.policy.trusted_proxies(), head)
    }

    /// Whether `peer` may say for whom it speaks.
    pub(crate) fn trusts(&self, peer: SocketAddr) -> bool {
        self.policy.trusted_proxies().contains(peer.ip())
    }

    /// What the first listener accepts as a head, for `explain`.
    pub(crate) fn head_limits(&self) -> HeadLimits {
        let widest = HeadLimits {
            bytes: usize::MAX,
            fields: usize::MAX,
            target: usize::MAX,
            non_ascii_target: false,
        };
        self.policy
            .listeners()
            .first()
            .map_or(widest, |listener| *listener.head())
    }

    /// How many routes there are.
    pub(crate) fn route_count(&self) -> usize {
        self.routes.len()
    }

    /// How many rules all profiles hold together.
    pub(crate) const fn rule_count(&self) -> usize {
        self.rule_count
    }

    /// How many rule sets were not taken over from `before`.
    pub(crate) fn compiled_since(&self, before: &Self) -> usize {
        let kept = |set: &&Arc<Loaded>| before.rule_sets.iter().any(|old| Arc::ptr_eq(old, set));
        self.rule_sets.len() - self.rule_sets.iter().filter(kept).count()
    }

    /// Every upstream group.
    pub(crate) fn upstreams(&self) -> impl Iterator<Item = &Arc<UpstreamState>> {
        self.upstreams.values()
    }

    /// What all files say, those of rules included, as a number.
    pub(crate) const fn checksum(&self) -> Checksum {
        self.checksum
    }

    /// Groups that need something done from time to time: names looked up, servers checked.
    pub(crate) fn tended(&self) -> Vec<Arc<Group>> {
        let groups = self.upstreams.values().map(|upstream| &upstream.group);
        groups
            .filter(|group| group.needs_keeper())
            .cloned()
            .collect()
    }

    /// How names of servers become addresses.
    pub(crate) fn resolver(&self) -> &edge_config::Resolver {
        self.policy.resolver()
    }

    /// Brings gauges that follow the clock up to date, before they are read.
    pub(crate) fn refresh_gauges(&self) {
        let now = Instant::now();
        for upstream in self.upstreams.values() {
            let census = upstream.group.census(now);
            let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
            let metrics = &upstream.metrics;
            metrics.ejected.set(gauge(census.ejected));
            metrics.down.set(gauge(census.down));
            metrics.up.set(gauge(census.up));
        }
    }

    /// All logs: the gateway's own and those that rule sets name.
    pub(crate) fn logs(&self) -> Logs {
        let logs = self.policy.logs().clone();
        logs.with_rules(self.rule_logs.clone())
    }

    /// How audit entries are rendered.
    pub(crate) fn audit(&self) -> &Audit {
        &self.audit
    }

    /// Counts a finished exchange.
    pub(crate) fn observe(&self, exchange: &Exchange, route: Option<&RouteState>) {
        let (metrics, host) = match route {
            Some(route) => (&route.metrics, route.hosts.of(exchange)),
            None => (&*self.unrouted, &*self.unknown_host),
        };
        metrics.observe(exchange);
        host.observe(exchange);
        if !exchange.findings.is_empty() {
            self.matches.observe(&exchange.findings);
        }
    }
}

/// `profile` with the firewall `waf`, which is its own or that of a route.
fn profile_state(
    profile: &Profile,
    waf: &edge_config::Waf,
    rules: &mut RuleSets,
) -> Result<ProfileState, Vec<Diagnostic>> {
    let response = profile.response();
    let waf = match waf.mode {
        Mode::Off => None,
        mode => Some(Waf {
            rules: rules.profile(waf)?,
            mode,
            resolver: waf
                .rbl
                .map(|(address, patience)| Arc::new(Resolver::new(address, patience))),
            on_fault: waf.on_fault,
        }),
    };
    Ok(ProfileState {
        head: profile.head(),
        body: profile.body(),
        hold: HoldLimits {
            bytes: response.inspect,
            deadline: response.deadline,
        },
        waf,
    })
}

fn route_state(
    policy: &Policy,
    route: &Route,
    profile: &Arc<ProfileState>,
    upstream: &Arc<UpstreamState>,
    metrics: &Metrics,
) -> RouteState {
    RouteState {
        name: route.name().clone(),
        profile: profile.clone(),
        upstream: upstream.clone(),
        metrics: metrics.route(route.name()),
        hosts: Hosts::new(route, metrics, policy.metrics_hosts()),
    }
}

/// The group of `upstream`; the one of `before` if nothing about it changed, else a new one that
/// knows what that one knew about servers that stay.
fn upstream_state(
    upstream: &Arc<Upstream>,
    before: Option<&Arc<UpstreamState>>,
    metrics: &Metrics,
    watch: &mut Vec<PathBuf>,
) -> Result<Arc<UpstreamState>, Vec<Diagnostic>> {
    let material = Material::load(upstream, watch)?;
    if let Some(before) = before
        && before.group.upstream() == upstream
        && before.group.material().fingerprint == material.fingerprint
    {
        return Ok(before.clone());
    }
    let old = before.map(|before| before.group.as_ref());
    let group = Group::new(upstream.clone(), material, old, Instant::now());
    Ok(Arc::new(UpstreamState {
        group: Arc::new(group),
        grpc: upstream.grpc(),
        host_header: upstream.host_header(),
        direct: goes_direct(upstream),
        metrics: match before {
            Some(before) => before.metrics.clone(),
            None => metrics.upstream(upstream.name()),
        },
    }))
}

/// Whether its requests may take the short way beside pingora: plain HTTP/1 servers of the network, and
/// nothing asked for that only the engine's way does.
fn goes_direct(upstream: &Upstream) -> bool {
    let plain = |server: &edge_config::Server| {
        !server.tls && matches!(server.place, edge_config::Place::Net { .. })
    };
    let only_unsent = |on: &RetryOn| matches!(on, RetryOn::ConnectFailure | RetryOn::RefusedStream);
    let (limits, retries) = (upstream.limits(), upstream.retries());
    matches!(upstream.protocol(), Protocol::Http1 | Protocol::Auto)
        && upstream.servers().iter().all(plain)
        && upstream.sticky().is_none()
        && limits.requests == 0
        && limits.connections_per_server == 0
        && upstream.timeouts().total.is_none()
        && retries.per_try.is_none()
        && retries.on.iter().all(only_unsent)
}
