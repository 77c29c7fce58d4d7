//! The admin listener: is the gateway alive, is it ready, what does it count.
//!
//! Nothing here changes the gateway but `fragments`, which asks for a token and is off by default;
//! nothing about requests (addresses, headers, bodies) is shown. It is bound to loopback by default and has no login, so it refuses any `Host`
//! that is a name the operator did not list: a web page that rebinds its own name to this address
//! learns nothing. Live state comes through [`Live`].
#![forbid(unsafe_code)]

mod api;
mod fragments;
mod hosts;
mod live;
mod serve;

pub use fragments::{Action, Answer, Edit, Expected, Order, Write, tag};
pub use hosts::Hosts;
pub use live::{Live, Page, Readiness, Sort, Status};
pub use serve::serve;
