//! What the user wrote: one type for each mapping of the file.
//!
//! The doc comment of every field is its description in the JSON schema and in editors, so it is
//! written for the person who edits the file. Unknown keys are refused everywhere. Sections that
//! belong to another package are that package's types and are only nested here.

mod listeners;
mod profiles;
mod routes;
mod upstreams;

use std::collections::BTreeMap;

use edge_audit::spec::{AccessLogSpec, AuditSpec};
use edge_conn::spec::ListenerSpec;
use edge_core::units::HumanDuration;
use edge_tls::spec::TlsSpec;
use schemars::JsonSchema;
use serde::Deserialize;

pub use listeners::ForwardedHeader;
pub(crate) use listeners::{AdminSpec, AdminSwitch, WorkersSpec};
pub(crate) use profiles::{BodySpec, HeadSpec, ProfileSpec, RblSpec, RouteWafSpec, WafSpec};
pub(crate) use routes::{MatcherSpec, PathSpec, RouteSpec};
pub use upstreams::{AddressFamilies, Balance, CheckKind, HostHeader, Protocol, RetryOn, SameSite};
pub(crate) use upstreams::{
    EjectionSpec, HealthSpec, LimitsSpec, ResolverSpec, RetriesSpec, ServerSpec, StickySpec,
    TimeoutsSpec, UpstreamSpec, UpstreamTlsSpec,
};

/// Configuration of the Palisade gateway.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Palisade configuration")]
pub(crate) struct Spec {
    /// Further files, relative to this one; `*` stands for any part of a file's name. Each may add
    /// upstreams, profiles and routes. Without this key: `conf.d/*.yaml` where that directory exists.
    #[serde(default)]
    #[expect(dead_code, reason = "read from the tree, before there is a Spec")]
    pub(crate) include: Option<Vec<String>>,
    /// Addresses the gateway accepts connections on.
    #[schemars(length(min = 1))]
    pub(crate) listeners: Vec<ListenerSpec>,
    /// Certificates and TLS policies of the listeners with `tls`.
    #[serde(default)]
    pub(crate) tls: TlsSpec,
    /// The listener for health checks and metrics; `off` closes it.
    #[serde(default)]
    pub(crate) admin: AdminSpec,
    /// The decision record: one JSON line for every exchange.
    #[serde(default)]
    pub(crate) audit: AuditSpec,
    /// The access log: one line for every exchange, made for people and log shippers.
    #[serde(default)]
    pub(crate) access_log: AccessLogSpec,
    /// Networks of proxies before this gateway. Only what they say about the client's address is
    /// believed. An address or a network in CIDR form each.
    #[serde(default)]
    pub(crate) trusted_proxies: Vec<String>,
    /// The header in which trusted proxies hand over the client's address.
    #[serde(default)]
    pub(crate) client_address_from: ForwardedHeader,
    /// Worker threads: `auto` (one for each processor) or a number.
    #[serde(default)]
    pub(crate) workers: WorkersSpec,
    /// How long requests in flight may take to finish when the gateway stops.
    #[serde(default = "drain")]
    pub(crate) drain: HumanDuration,
    /// What is counted.
    #[serde(default)]
    pub(crate) metrics: MetricsSpec,
    /// How names of servers become addresses.
    #[serde(default)]
    pub(crate) resolver: ResolverSpec,
    /// Groups of servers by name; routes refer to them.
    #[serde(default)]
    pub(crate) upstreams: BTreeMap<String, UpstreamSpec>,
    /// Protection profiles by name; routes refer to them. `default` exists even if it is not written.
    #[serde(default)]
    pub(crate) profiles: BTreeMap<String, ProfileSpec>,
    /// Which requests go where, under which profile. The order of routes only matters between routes
    /// that are equally specific.
    #[serde(default)]
    pub(crate) routes: Vec<RouteSpec>,
}

/// What is counted.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct MetricsSpec {
    /// How many hosts have figures of their own (requests, success, time, bytes): the first that routes
    /// name, in the order of the files. All others are counted together as `other`. `0` counts none.
    #[schemars(range(min = 0, max = 100_000))]
    pub(crate) hosts: u32,
}

impl Default for MetricsSpec {
    fn default() -> Self {
        Self { hosts: 1000 }
    }
}

/// A further file of the configuration.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Palisade configuration, file in conf.d")]
pub(crate) struct FragmentSpec {
    /// Groups of servers by name; routes refer to them.
    #[serde(default)]
    pub(crate) upstreams: BTreeMap<String, UpstreamSpec>,
    /// Protection profiles by name; routes refer to them.
    #[serde(default)]
    pub(crate) profiles: BTreeMap<String, ProfileSpec>,
    /// Routes, after those of the main file.
    #[serde(default)]
    pub(crate) routes: Vec<RouteSpec>,
}

const fn drain() -> HumanDuration {
    HumanDuration(std::time::Duration::from_secs(30))
}
