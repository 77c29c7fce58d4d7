//! The `SecAudit…` directives.

use std::path::Path;
use std::sync::Arc;

use super::directives::Directive;
use crate::audit::{AuditEngine, AuditSettings, Parts, Statuses};

/// Applies an audit directive with its argument.
///
/// # Errors
/// What is wrong with the argument.
pub(super) fn apply(
    settings: &mut AuditSettings,
    directive: Directive,
    argument: &str,
) -> Result<(), String> {
    match directive {
        Directive::SecAuditEngine => settings.engine = AuditEngine::from_name(argument)?,
        Directive::SecAuditLog => settings.log = Some(file(argument)?),
        Directive::SecAuditLog2 => settings.second = Some(file(argument)?),
        Directive::SecAuditLogStorageDir => settings.storage = Some(file(argument)?),
        Directive::SecAuditLogDirMode => settings.dir_mode = mode(argument, 0o750)?,
        Directive::SecAuditLogFileMode => settings.file_mode = mode(argument, 0o640)?,
        Directive::SecAuditLogParts => settings.parts = Parts::parse(argument)?,
        Directive::SecAuditLogRelevantStatus => {
            settings.relevant = Some(Statuses::new(argument)?);
        }
        Directive::SecAuditLogType => settings.concurrent = concurrent(argument)?,
        Directive::SecAuditLogFormat => settings.json = json(argument)?,
        _ => {}
    }
    Ok(())
}

/// A path as the operating system takes it: relative ones to the working directory.
fn file(path: &str) -> Result<Arc<Path>, String> {
    if path.is_empty() {
        return Err("expected a path".to_owned());
    }
    if path.starts_with('|') {
        return Err("a log is never piped into a program; write a file".to_owned());
    }
    if path.contains("://") {
        return Err("an audit log is written to files only; ship it with a log shipper".to_owned());
    }
    Ok(Path::new(path).into())
}

fn mode(text: &str, default: u32) -> Result<u32, String> {
    if text.eq_ignore_ascii_case("default") {
        return Ok(default);
    }
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err("expected an octal mode, such as 0640, or default".to_owned()),
    }
}

fn concurrent(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "serial" => Ok(false),
        "concurrent" | "parallel" => Ok(true),
        "https" => Err("entries are never sent over the network; ship the file".to_owned()),
        "syslog" => Err("entries go to files only; a log shipper can read them".to_owned()),
        _ => Err("expected Serial or Concurrent".to_owned()),
    }
}

fn json(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "native" => Ok(false),
        "json" => Ok(true),
        "jsonlegacy" | "ocsf" => Err("only ModSecurity's Native and JSON are written".to_owned()),
        _ => Err("expected Native or JSON".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_not_be_written_as_asked_is_refused() {
        let mut settings = AuditSettings::default();
        let mut set = |directive, value: &str| apply(&mut settings, directive, value);
        for (directive, bad) in [
            (Directive::SecAuditEngine, "Maybe"),
            (Directive::SecAuditLog, "|/usr/bin/mlogc"),
            (Directive::SecAuditLog, "https://collector.example/"),
            (Directive::SecAuditLogType, "Https"),
            (Directive::SecAuditLogType, "syslog"),
            (Directive::SecAuditLogFormat, "OCSF"),
            (Directive::SecAuditLogFormat, "JsonLegacy"),
            (Directive::SecAuditLogParts, "ABQ"),
            (Directive::SecAuditLogFileMode, "0999"),
            (Directive::SecAuditLogRelevantStatus, "(4"),
        ] {
            assert!(set(directive, bad).is_err(), "{bad}");
        }
        for (directive, good) in [
            (Directive::SecAuditEngine, "relevantonly"),
            (Directive::SecAuditLog, "/var/log/audit.log"),
            (Directive::SecAuditLogType, "parallel"),
            (Directive::SecAuditLogFormat, "json"),
            (Directive::SecAuditLogFileMode, "default"),
            (Directive::SecAuditLogDirMode, "0700"),
            (Directive::SecAuditLogRelevantStatus, "^(?:5|4(?!04))"),
        ] {
            assert_eq!(set(directive, good), Ok(()), "{good}");
        }
        assert!(settings.concurrent && settings.json);
        assert_eq!((settings.dir_mode, settings.file_mode), (0o700, 0o640));
    }
}
