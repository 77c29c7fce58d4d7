//! From a socket to requests that mean one thing only.
//!
//! The accept loop, the PROXY protocol, the connection caps, the TLS handshake and the strict HTTP/1
//! gate (RFC 9112), in front of pingora's HTTP engine. Whatever two parsers could read differently is
//! refused here, before any layer of the pipeline, and every wait is bounded.
//!
//! The parsers and the policy are pure and build without the feature `pingora`, for fuzzing.
#![forbid(unsafe_code)]

mod authority;
pub mod body;
pub mod cap;
pub mod chunked;
pub mod client_hello;
pub mod dns;
mod fields;
pub mod frames;
pub mod gate;
pub mod ja4;
pub mod proxy_protocol;
mod refusal;
pub mod spec;
pub mod upgrade;

#[cfg(feature = "pingora")]
mod accept;
#[cfg(feature = "pingora")]
mod connection;
#[cfg(feature = "pingora")]
mod direct;
#[cfg(feature = "pingora")]
mod h2;
#[cfg(feature = "pingora")]
mod handshake;
#[cfg(feature = "pingora")]
mod info;
#[cfg(feature = "pingora")]
mod pace;
#[cfg(feature = "pingora")]
mod prefixed;
#[cfg(feature = "pingora")]
mod stream;

#[cfg(feature = "pingora")]
pub use accept::{ListenerShared, bind, serve};
pub use body::BodyFault;
#[cfg(feature = "pingora")]
pub use direct::{Client, Direct, Http1, Http2, Plain, Served};
#[cfg(feature = "pingora")]
pub use info::{ConnectionInfo, body_fault, connection, take_head, take_prepared};
#[cfg(feature = "pingora")]
pub use pace::Alarm;
pub use refusal::{GateRefusal, HandshakeFault, Observer, Reason, TurnedAway};
pub use spec::{Listener, ListenerSpec};
