//! From a socket to requests that mean one thing only.
//!
//! The accept loop, the PROXY protocol, the connection caps and the strict HTTP/1 gate (RFC 9112),
//! in front of pingora's HTTP engine. Whatever two parsers could read differently is refused here,
//! before any layer of the pipeline, and every wait is bounded. TLS will stand between the PROXY
//! header and the gate, in `connection`.
//!
//! The parsers and the policy are pure and build without the feature `pingora`, for fuzzing.
#![forbid(unsafe_code)]

mod authority;
pub mod body;
pub mod cap;
pub mod chunked;
pub mod dns;
mod fields;
pub mod frames;
pub mod gate;
pub mod proxy_protocol;
mod refusal;
pub mod spec;
pub mod upgrade;

#[cfg(feature = "pingora")]
mod accept;
#[cfg(feature = "pingora")]
mod connection;
#[cfg(feature = "pingora")]
mod h2;
#[cfg(feature = "pingora")]
mod info;
#[cfg(feature = "pingora")]
mod pace;
#[cfg(feature = "pingora")]
mod stream;

#[cfg(feature = "pingora")]
pub use accept::{ListenerShared, bind, serve};
pub use body::BodyFault;
#[cfg(feature = "pingora")]
pub use info::{ConnectionInfo, body_fault, connection, take_head};
pub use refusal::{GateRefusal, Observer, Reason, TurnedAway};
pub use spec::{Listener, ListenerSpec};
