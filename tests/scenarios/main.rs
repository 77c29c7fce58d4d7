//! What a user would notice, told with real processes: one file a subject.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and skips aloud"
)]

mod acme;
mod answers;
mod attacks;
mod audit_logs;
mod audit_peer;
mod battery;
mod bodies;
mod change;
mod commands;
mod framing;
mod http2;
mod lifecycle;
mod lookups;
mod malformed_answers;
mod proxy_protocol;
mod proxying;
mod records;
mod refused;
mod routing;
mod sharing;
mod slow;
mod streams;
mod tls;
mod upstreams;
mod yielding;
