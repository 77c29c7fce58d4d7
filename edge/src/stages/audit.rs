//! The audit logs that rule sets ask for: from a finished transaction to the recorder.
//!
//! The engine renders, the recorder writes; here stands only what the engine cannot know: what was
//! sent to the client, this machine's name, and what the operator wants hidden.

use std::fs;
use std::sync::Arc;

use edge_audit::{Logs, RuleEntry, RuleEntryFile, RuleLogs};
use edge_core::Exchange;
use waf_rules::{Ending, Entry, Redaction, RuleSet};

use super::waf::Inspection;

/// What every entry of one configuration has in common.
pub(crate) struct Audit {
    redaction: Redaction,
    server: String,
}

impl Audit {
    /// Hides what `logs` hide.
    pub(crate) fn new(logs: &Logs) -> Self {
        let redact = logs.redact();
        Self {
            redaction: Redaction::new(
                redact.headers.iter().map(String::as_str),
                redact.cookies,
                redact.parameters.iter().map(String::as_str),
            ),
            server: fs::read_to_string(HOSTNAME).unwrap_or_default(),
        }
    }

    /// The entry of a finished inspection, if one is to be written. `headers` are those that were
    /// sent to the client.
    pub(crate) fn entry(
        &self,
        inspection: &mut Inspection,
        exchange: &mut Exchange,
        headers: &[(&[u8], &[u8])],
    ) -> Option<Box<RuleEntry>> {
        let ending = Ending {
            status: exchange.response_status,
            headers,
            sent: exchange.bytes_out,
            server: self.server.trim(),
            redaction: &self.redaction,
        };
        let entry = inspection.audit(&ending);
        let entry = entry.unwrap_or_else(|fault| {
            exchange.faults.push(fault);
            None
        });
        entry.map(to_write)
    }
}

/// What the audit logs of these rule sets need to be opened, each file once.
pub(crate) fn logs<'r>(sets: impl Iterator<Item = &'r Arc<RuleSet>>) -> RuleLogs {
    let mut logs = RuleLogs::default();
    for outputs in sets.filter_map(|rules| rules.audit_outputs()) {
        for path in outputs.logs {
            logs.files.entry(path).or_insert(outputs.file_mode);
        }
        let storage = outputs.storage.into_iter();
        logs.folders.extend(storage);
    }
    logs.folders.sort_unstable();
    logs.folders.dedup();
    logs
}

fn to_write(entry: Entry) -> Box<RuleEntry> {
    let Entry { logs, text, file } = entry;
    let file = file.map(|file| RuleEntryFile {
        path: file.path,
        content: file.content,
        dir_mode: file.dir_mode,
        file_mode: file.file_mode,
    });
    Box::new(RuleEntry { logs, text, file })
}

/// Where Linux tells the name of the machine.
const HOSTNAME: &str = "/proc/sys/kernel/hostname";
