//! The configuration of the decision record and of the access log.
//!
//! [`AuditSpec`] and [`AccessLogSpec`] are what the user wrote; [`Logs`] is what runs and can only be
//! made from values that were checked. A wrong value is named by its key; its position in the file is
//! found by the package that read the file.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::redact::Redaction;
use crate::rule_logs::RuleLogs;

/// The decision record: one JSON line for every exchange.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AuditSpec {
    /// Where records go: `off`, `stdout`, `stderr` or the path of a file.
    pub output: Output,
    /// Records that may wait for the writer; one more is dropped and counted. Read at start only.
    pub queue: usize,
    /// Longest value written, in bytes; the rest is cut off and counted.
    pub max_value: usize,
    /// Longest record, in bytes; messages that do not fit are left out and counted.
    pub max_record: usize,
    /// What must not be written.
    pub redact: RedactSpec,
}

impl Default for AuditSpec {
    fn default() -> Self {
        Self {
            output: Output::Stderr,
            queue: 8192,
            max_value: 4096,
            max_record: 256 * 1024,
            redact: RedactSpec::default(),
        }
    }
}

/// Values that are replaced by `[redacted]` in the decision record and in the access log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RedactSpec {
    /// Header fields whose values are hidden; names are compared without case.
    pub headers: Vec<String>,
    /// Whether the values of cookies are hidden; their names stay.
    pub cookies: bool,
    /// Query and body parameters whose values are hidden; names are compared without case.
    pub parameters: Vec<String>,
}

impl Default for RedactSpec {
    fn default() -> Self {
        Self {
            headers: HEADERS.map(str::to_owned).to_vec(),
            cookies: true,
            parameters: PARAMETERS.map(str::to_owned).to_vec(),
        }
    }
}

/// The access log: one line for every exchange, made for people and log shippers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AccessLogSpec {
    /// Where lines go: `off`, `stdout`, `stderr` or the path of a file.
    pub output: Output,
    /// The form of a line.
    pub format: AccessLogFormat,
}

impl Default for AccessLogSpec {
    fn default() -> Self {
        Self {
            output: Output::Off,
            format: AccessLogFormat::default(),
        }
    }
}

/// The form of an access log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AccessLogFormat {
    /// The Combined Log Format, followed by time, request identifier, route and verdict.
    #[default]
    Combined,
    /// One JSON object with the same values.
    Json,
}

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "String", into = "String")]
#[schemars(with = "String")]
pub enum Output {
    /// Nowhere; costs nothing.
    Off,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// Appended to this file.
    File(PathBuf),
}

impl From<String> for Output {
    fn from(text: String) -> Self {
        match text.as_str() {
            "off" => Self::Off,
            "stdout" | "-" => Self::Stdout,
            "stderr" => Self::Stderr,
            _ => Self::File(text.into()),
        }
    }
}

impl From<Output> for String {
    fn from(output: Output) -> Self {
        match output {
            Output::Off => "off".to_owned(),
            Output::Stdout => "stdout".to_owned(),
            Output::Stderr => "stderr".to_owned(),
            Output::File(path) => path.display().to_string(),
        }
    }
}

/// A value that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}`: {message}")]
pub struct SpecError {
    /// The key, with dots between levels, from the section on: `audit.queue`.
    pub key: &'static str,
    /// What is wrong and what is expected.
    pub message: String,
}

/// Checked settings of both logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logs {
    pub(crate) record: Output,
    pub(crate) access: Output,
    pub(crate) format: AccessLogFormat,
    pub(crate) queue: usize,
    pub(crate) style: Style,
    pub(crate) rules: RuleLogs,
    redact: RedactSpec,
}

impl Logs {
    /// These logs and those that rule sets name themselves.
    #[must_use]
    pub fn with_rules(mut self, rules: RuleLogs) -> Self {
        self.rules = rules;
        self
    }

    /// What must not be written, for whoever renders entries.
    #[must_use]
    pub const fn redact(&self) -> &RedactSpec {
        &self.redact
    }

    /// Records that may wait for the writer.
    #[must_use]
    pub const fn queue(&self) -> usize {
        self.queue
    }
}

/// How values are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Style {
    pub(crate) redaction: Redaction,
    pub(crate) max_value: usize,
    pub(crate) max_record: usize,
}

impl TryFrom<(AuditSpec, AccessLogSpec)> for Logs {
    /// Every mistake, not only the first.
    type Error = Vec<SpecError>;

    fn try_from((audit, access): (AuditSpec, AccessLogSpec)) -> Result<Self, Vec<SpecError>> {
        let mut errors = Vec::new();
        let mut within = |key, value: usize, min, max| {
            if !(min..=max).contains(&value) {
                let message = format!("must be between {min} and {max}, not {value}");
                errors.push(SpecError { key, message });
            }
        };
        within("audit.queue", audit.queue, 1, 1 << 20);
        within("audit.max_value", audit.max_value, 64, 1 << 20);
        within("audit.max_record", audit.max_record, 4096, 16 << 20);
        check_output(&mut errors, "audit.output", &audit.output);
        check_output(&mut errors, "access_log.output", &access.output);
        if matches!(&audit.output, Output::File(path) if *path != Path::new(""))
            && audit.output == access.output
        {
            errors.push(SpecError {
                key: "access_log.output",
                message: "is the file of the decision record; give each its own".to_owned(),
            });
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let RedactSpec {
            headers,
            cookies,
            parameters,
        } = &audit.redact;
        Ok(Self {
            record: audit.output,
            access: access.output,
            format: access.format,
            queue: audit.queue,
            style: Style {
                redaction: Redaction::new(headers, *cookies, parameters),
                max_value: audit.max_value,
                max_record: audit.max_record,
            },
            rules: RuleLogs::default(),
            redact: audit.redact,
        })
    }
}

fn check_output(errors: &mut Vec<SpecError>, key: &'static str, output: &Output) {
    if matches!(output, Output::File(path) if path.as_os_str().is_empty()) {
        let message =
            "is empty; expected `off`, `stdout`, `stderr` or the path of a file".to_owned();
        errors.push(SpecError { key, message });
    }
}

/// Header fields that carry credentials.
const HEADERS: [&str; 7] = [
    "authorization",
    "proxy-authorization",
    "x-amz-security-token",
    "x-api-key",
    "x-auth-token",
    "x-csrf-token",
    "x-goog-api-key",
];

/// Parameters that carry credentials in common frameworks and in OAuth 2.
const PARAMETERS: [&str; 10] = [
    "access_token",
    "api_key",
    "apikey",
    "client_secret",
    "id_token",
    "passwd",
    "password",
    "pwd",
    "refresh_token",
    "secret",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_section_is_the_default() {
        assert_eq!(
            serde_json::from_str::<AuditSpec>("{}").unwrap(),
            AuditSpec::default()
        );
        let access: AccessLogSpec = serde_json::from_str("{}").unwrap();
        assert_eq!(access.output, Output::Off);
        Logs::try_from((AuditSpec::default(), access)).unwrap();
    }

    #[test]
    fn an_output_is_a_word_or_a_path() {
        for (text, output) in [
            ("off", Output::Off),
            ("stdout", Output::Stdout),
            ("stderr", Output::Stderr),
            ("/var/log/p.json", Output::File("/var/log/p.json".into())),
        ] {
            let spec: AuditSpec =
                serde_json::from_value(serde_json::json!({"output": text})).unwrap();
            assert_eq!(spec.output, output);
            assert_eq!(String::from(output), text);
        }
    }

    #[test]
    fn an_unknown_key_is_an_error() {
        assert!(serde_json::from_str::<AuditSpec>(r#"{"outptu": "off"}"#).is_err());
        assert!(serde_json::from_str::<AuditSpec>(r#"{"redact": {"cookie": true}}"#).is_err());
    }

    #[test]
    fn every_mistake_is_named_at_once() {
        let audit = AuditSpec {
            queue: 0,
            max_value: 1,
            output: Output::File("x".into()),
            ..AuditSpec::default()
        };
        let access = AccessLogSpec {
            output: Output::File("x".into()),
            ..AccessLogSpec::default()
        };
        let keys: Vec<_> = Logs::try_from((audit, access))
            .unwrap_err()
            .into_iter()
            .map(|error| error.key)
            .collect();
        assert_eq!(
            keys,
            ["audit.queue", "audit.max_value", "access_log.output"]
        );
    }
}
