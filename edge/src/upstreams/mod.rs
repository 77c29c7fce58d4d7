//! Groups of upstream servers: which one gets the next request.
//!
//! A [`Group`] is built from a checked upstream of the configuration, picks a server for every attempt,
//! leaves out servers that fail, and says whether a retry is still within its budget. Picking takes no
//! lock, does no I/O and reads no clock: time is an argument. One task, the [`keeper`], looks up names
//! and checks servers for all groups; nothing else here waits for anything but a [`gate`].

mod address;
mod balance;
mod budget;
mod check;
mod dial;
mod eject;
mod endpoint;
mod gate;
mod group;
mod judge;
pub(crate) mod keeper;
mod latency;
mod lease;
mod members;
mod report;
mod resolve;
mod ring;
mod sticky;
pub(crate) mod tls;
mod wish;

pub(crate) use address::Address;
pub(crate) use check::reason;
pub(crate) use dial::{AT_LIMIT, limit_connections, peer};
pub(crate) use eject::Outcome;
pub(crate) use gate::Entry;
pub(crate) use group::{Group, NoServer, Wish};
pub(crate) use lease::Lease;
