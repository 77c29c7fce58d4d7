//! Certificates that renew themselves: ACME, RFC 8555.

mod challenges;

pub use challenges::Challenges;
