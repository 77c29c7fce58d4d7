//! What the gateway tells about its work: decision records, access log, metrics.
//!
//! A finished [`Exchange`](edge_core::Exchange) is handed to the [`Recorder`], whose one writer thread
//! turns it into lines; the request path itself never waits for a disk. [`Metrics`] holds every
//! Prometheus metric under a constant name. Nothing here decides anything about a request.
#![forbid(unsafe_code)]

mod access_log;
mod escape;
pub mod metrics;
pub mod outcome;
mod record;
mod recorder;
mod redact;
mod rule_logs;
mod sink;
pub mod spec;
mod timestamp;

pub use metrics::Metrics;
pub use outcome::Outcome;
pub use record::document;
pub use recorder::{AuditError, Recorder};
pub use rule_logs::{RuleEntry, RuleEntryFile, RuleLogs};
pub use spec::{AccessLogSpec, AuditSpec, Logs, Output, RedactSpec, SpecError};
