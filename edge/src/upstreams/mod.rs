//! Groups of upstream servers: which one gets the next request.
//!
//! A [`Group`] is built from plain [`Settings`], picks a server for every attempt, leaves out servers
//! that fail, and says whether a retry is still within its budget. Picking takes no lock, does no
//! I/O and reads no clock: time is an argument. Names are turned into addresses by [`resolve`], the
//! only module here that waits for anything. Nothing here knows how a server is spoken to.

mod balance;
mod budget;
mod eject;
mod group;
pub(crate) mod resolve;

pub(crate) use balance::Balance;
pub(crate) use eject::Ejection;
pub(crate) use group::{Dial, Group, Lease, Server, Settings};
