//! From a YAML file to a running policy.
//!
//! [`load`] reads one file and what it includes, puts the environment in, checks everything and gives
//! either a [`Policy`] that cannot be wrong or every mistake with its place. [`RouteTable`] answers
//! which route a request takes, [`client_address`] who sent it. The types of the file are private:
//! what they accept is published as a JSON schema ([`schema`]), and what runs is the [`Policy`].
//! Nothing here knows a runtime, opens a socket or resolves a name.
#![forbid(unsafe_code)]

mod check;
mod client;
mod env;
mod files;
mod load;
mod merge;
mod policy;
mod routes;
mod shards;
mod source;
mod spec;
mod store;
mod suggest;
mod tree;

pub use client::{ForwardedHeader, TrustedProxies, client_address};
pub use env::{Env, ProcessEnv};
pub use files::Overlay;
pub use load::{Loaded, load, load_text, load_watching, quick};
pub use policy::{
    AddressFamilies, Balance, BodyLimits, CheckKind, Ejection, HashBy, HeadBounds, Health,
    HostHeader, Limits, Origin, Place, Places, Policy, Profile, Protocol, Resolver, ResponseLimits,
    Retries, RetryOn, SameSite, Server, Sticky, Timeouts, Tls, Tuning, Upstream, Waf,
};
pub use routes::{AmbiguousPath, Route, RouteQuery, RouteTable, host_names};
pub use shards::Shards;
pub use store::{Change, Delta, Refreshed, Store};
pub use tree::digest::Checksum;

/// The JSON schema (draft 2020-12) of the main file.
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(spec::Spec).to_value()
}

/// The JSON schema of a file in `conf.d`.
#[must_use]
pub fn fragment_schema() -> serde_json::Value {
    schemars::schema_for!(spec::FragmentSpec).to_value()
}
