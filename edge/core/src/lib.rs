//! The vocabulary every layer of the gateway shares.
//!
//! Types that travel through the whole life of a request ([`Exchange`], [`Head`], [`Finding`]), the
//! answers a layer may give ([`Verdict`], [`Fault`]), the proof that the pipeline was passed
//! ([`Permit`]) and the way mistakes in files are shown ([`Diagnostic`]). Nothing here does I/O,
//! knows a runtime or imports another package of ours.
#![forbid(unsafe_code)]

pub mod diagnostic;
pub mod exchange;
pub mod finding;
pub mod head;
pub mod permit;
pub mod secret;
pub mod units;
pub mod verdict;

pub use diagnostic::{Diagnostic, Level, Position};
pub use exchange::{ClientCertificate, Connection, Exchange, Inspected, RequestId, Timings, Tls};
pub use finding::{Finding, Severity};
pub use head::{Head, HeadError, Version};
pub use permit::{Passage, Permit};
pub use secret::Secret;
pub use units::{ByteSize, HumanDuration, UnitError};
pub use verdict::{Decision, Fault, Layer, Mode, OnFault, Refusal, Verdict};
