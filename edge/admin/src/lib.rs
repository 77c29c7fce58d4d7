//! The admin listener: is the gateway alive, is it ready, what does it count.
//!
//! Read-only: nothing here changes the gateway, and nothing about requests (addresses, headers,
//! bodies) is shown. It is bound to loopback by default and has no login, so it refuses any `Host`
//! that is a name the operator did not list: a web page that rebinds its own name to this address
//! learns nothing. Live state comes through [`Live`].
#![forbid(unsafe_code)]

mod api;
mod hosts;
mod live;
mod serve;

pub use hosts::Hosts;
pub use live::{Live, Readiness, Status};
pub use serve::serve;
