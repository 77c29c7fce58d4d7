//! From a checked policy to what runs: rule sets loaded, upstream groups built, names wired.
//!
//! Built aside and complete or not at all; a reload swaps the result in. Profiles with the same rules
//! share one rule set, however many sites use them and whatever settings they lay over it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use edge_audit::metrics::{RouteMetrics, RuleMetrics, UpstreamMetrics};
use edge_audit::{Logs, Metrics, RuleLogs};
use edge_config::{BodyLimits, HostHeader, Policy, Profile, Protocol, RouteQuery, Upstream};
use edge_conn::gate::HeadLimits;
use edge_core::{Diagnostic, Exchange, Head, Mode, Refusal};
use edge_tls::Terminator;
use waf_rules::Kept;

use crate::proxy::hold::HoldLimits;
use crate::rules::{Loaded, RuleSets};
use crate::stages::audit::Audit;
use crate::stages::resolver::Resolver;
use crate::stages::waf::Waf;
use crate::upstreams::{Balance, Dial, Ejection, Group, Server, Settings};

/// A configuration that is ready to run.
pub(crate) struct Assembled {
    /// What runs.
    pub(crate) gateway: Gateway,
    /// Certificates and TLS policies, to be adopted with it.
    pub(crate) tls: edge_tls::Prepared,
    /// Doubts about rules and certificates.
    pub(crate) warnings: Vec<Diagnostic>,
}

/// The running configuration.
pub(crate) struct Gateway {
    policy: Arc<Policy>,
    /// By [`edge_config::Route::index`].
    routes: Vec<Arc<RouteState>>,
    upstreams: Vec<Arc<UpstreamState>>,
    unrouted: RouteMetrics,
    matches: RuleMetrics,
    rule_count: usize,
    /// How audit entries are rendered.
    audit: Audit,
    rule_logs: RuleLogs,
    rule_sets: Vec<Arc<Loaded>>,
    kept: Arc<Kept>,
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
}

/// A protection profile with its rules loaded.
pub(crate) struct ProfileState {
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
    /// Idle connections to one address that a worker keeps.
    pub(crate) keepalive: usize,
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
            Ok(state) => own.extend(state.map(|state| (route.index(), Arc::new(state)))),
            // What the profile did wrong was said there.
            Err(more) => mistakes.extend(more.into_iter().filter(|new| !said.contains(new))),
        }
    }
    watch.append(&mut rules.files);
    let tls = terminator.prepare(policy.tls(), watch);
    let tls = tls.inspect_err(|more| mistakes.extend(more.iter().cloned()));
    let Some(mut tls) = tls.ok().filter(|_| mistakes.is_empty()) else {
        return Err(mistakes);
    };
    let upstreams: BTreeMap<Arc<str>, Arc<UpstreamState>> = policy
        .upstreams()
        .iter()
        .map(|(name, upstream)| (name.clone(), Arc::new(upstream_state(upstream, metrics))))
        .collect();
    let routes = policy
        .routes()
        .routes()
        .filter_map(|route| {
            let profile = own.get(&route.index());
            let profile = profile.or_else(|| profiles.get(route.profile().name()))?;
            Some(Arc::new(RouteState {
                name: route.name().clone(),
                profile: profile.clone(),
                upstream: upstreams.get(route.upstream().name())?.clone(),
                metrics: metrics.route(route.name()),
            }))
        })
        .collect();
    let mut warnings = std::mem::take(&mut rules.warnings);
    warnings.append(&mut tls.warnings);
    let gateway = Gateway {
        routes,
        upstreams: upstreams.into_values().collect(),
        unrouted: metrics.route("none"),
        matches: metrics.rules(rules.ids()),
        rule_count: rules.ids().count(),
        audit: Audit::new(policy.logs()),
        rule_logs: rules.logs(),
        kept: rules.kept.clone(),
        rule_sets: rules.into_sets(),
        policy,
    };
    Ok(Assembled {
        gateway,
        tls,
        warnings,
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
        Ok(found.and_then(|route| self.routes.get(route.index()).cloned()))
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

    /// Idle connections to servers that one worker keeps at most.
    pub(crate) fn keepalive(&self) -> usize {
        self.policy
            .upstreams()
            .values()
            .map(|upstream| upstream.keepalive())
            .sum()
    }

    /// Every upstream group, to be resolved.
    pub(crate) fn upstreams(&self) -> &[Arc<UpstreamState>] {
        &self.upstreams
    }

    /// Brings gauges that follow the clock up to date, before they are read.
    pub(crate) fn refresh_gauges(&self) {
        let now = Instant::now();
        for upstream in &self.upstreams {
            let (ejected, _) = upstream.group.census(now);
            upstream
                .metrics
                .ejected
                .set(i64::try_from(ejected).unwrap_or(i64::MAX));
        }
    }

    /// All logs: the gateway's own and those that rule sets name.
    pub(crate) fn logs(&self) -> Logs {
        let logs = self.policy.logs().clone();
        logs.with_rules(self.rule_logs.clone())
    }

    /// How audit entries are rendered.
    pub(crate) const fn audit(&self) -> &Audit {
        &self.audit
    }

    /// Counts a finished exchange.
    pub(crate) fn observe(&self, exchange: &Exchange, route: Option<&RouteState>) {
        route
            .map_or(&self.unrouted, |route| &route.metrics)
            .observe(exchange);
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
        body: profile.body(),
        hold: HoldLimits {
            bytes: response.inspect,
            deadline: response.deadline,
        },
        waf,
    })
}

fn upstream_state(upstream: &Upstream, metrics: &Metrics) -> UpstreamState {
    let timeouts = upstream.timeouts();
    let servers = upstream.servers().iter().map(|server| Server {
        host: server.host.clone(),
        port: server.port,
        tls: server.tls,
        weight: server.weight,
    });
    let settings = Settings {
        name: upstream.name().clone(),
        servers: servers.collect(),
        balance: match upstream.balance() {
            edge_config::Balance::RoundRobin => Balance::RoundRobin,
            edge_config::Balance::LeastRequests => Balance::LeastRequests,
        },
        ejection: upstream.ejection().map(|ejection| Ejection {
            failures: ejection.failures,
            time: ejection.time,
        }),
        attempts: u32::from(upstream.retries().attempts),
        retry_percent: upstream.retries().budget_percent,
        dial: Dial {
            connect: timeouts.connect,
            read: timeouts.read,
            write: timeouts.write,
            idle: timeouts.idle,
            http2: upstream.protocol() == Protocol::H2c,
            verify: upstream.tls().verify,
            server_name: upstream.tls().server_name.clone(),
        },
    };
    UpstreamState {
        group: Arc::new(Group::new(settings, Instant::now())),
        grpc: upstream.grpc(),
        host_header: upstream.host_header(),
        direct: upstream.protocol() != Protocol::H2c
            && upstream.servers().iter().all(|server| !server.tls),
        keepalive: upstream.keepalive(),
        metrics: metrics.upstream(upstream.name()),
    }
}
