//! Certificates, the TLS policy of each server name, client certificates, ACME.
//!
//! The transport asks [`Terminate`] once for each ClientHello and gets everything the handshake needs.
//! Certificates come from files, or from ACME through [`Install`]; both may change at any time, and a
//! handshake sees either the old or the new ones.
#![forbid(unsafe_code)]

pub mod acme;
mod certificate;
mod client;
mod configs;
mod pem;
mod policies;
mod settings;
mod sources;
pub mod spec;
mod store;
mod terminate;
mod terminator;

pub use client::client_certificate;
pub use settings::Settings;
pub use store::Expiry;
pub use terminate::{Choice, Install, Issued, Scope, Terminate};
pub use terminator::{Prepared, Terminator};
