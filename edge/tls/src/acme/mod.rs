//! Certificates that renew themselves: ACME, RFC 8555.
//!
//! The protocol itself is the library `instant-acme`. Here stands what makes it dependable: when to
//! renew and when to try again, where everything is kept, how names are proven, and how instances share.
//! All of it runs on one thread with a runtime of its own; the request path only reads
//! [`Challenges`] and leaves word at [`Demand`].

mod accounts;
mod board;
mod challenges;
mod check;
mod check_dns;
mod demand;
mod dns;
mod failure;
mod https;
mod keeper;
mod material;
mod order;
mod probe;
mod proofs;
mod renewals;
mod schedule;
mod secrets;
mod settings;
mod share;
pub mod spec;
mod state;
mod world;

pub use board::CertificateStatus;
pub use challenges::Challenges;
pub use demand::Demand;
pub use failure::{Failure, Problem};
pub use probe::probe;
pub use renewals::{Prepared, Renewals};
pub use settings::Acme;
