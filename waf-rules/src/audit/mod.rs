//! ModSecurity's audit log: what one transaction leaves for people and their tools.
//!
//! Directives become [`AuditSettings`], matches become lines in a [`Trail`] while the rules run, and
//! at the end [`Transaction::audit`](crate::Transaction::audit) renders an [`Entry`] that the host
//! writes: nothing here does I/O. The form is that of libmodsecurity 3 (Native and JSON, Serial and
//! Concurrent); it differs where the original can be forged or cannot be read back, see
//! `docs/audit-log.md`. A rule set that writes no audit log has no trail and pays nothing.
//!
//! Every byte of the network is escaped, backslash first, so that no value can end a line, close a
//! quoted field or pretend to be an escape; what is redacted is redacted before it is escaped. Bodies,
//! texts, lines and the whole entry are bounded.

mod body;
mod entry;
mod escape;
mod json;
mod layout;
mod line;
mod native;
mod offsets;
mod redact;
mod settings;
mod stamp;
mod status;
mod trail;

pub use entry::{Ending, Entry, EntryFile};
pub(crate) use entry::{lines, render};
pub use redact::Redaction;
pub use settings::AuditOutputs;
pub(crate) use settings::{AuditEngine, AuditSettings, Parts, PartsChange};
pub(crate) use status::Statuses;
pub(crate) use trail::{Hidden, Trail, note};

/// Notes that so many bytes of a body or value are walked, for the tests that count them: a request
/// waits for it, so it must not be done again for each hit.
fn walk(bytes: usize) {
    #[cfg(test)]
    tests::WALKED.with(|walked| walked.set(walked.get() + bytes));
    #[cfg(not(test))]
    let _ = bytes;
}

#[cfg(test)]
mod tests;
