//! Directives that set one thing.

use std::time::Duration;

use super::audit;
use super::directives::Directive;
use crate::body::json::Naming;
use crate::body::nested::Kinds;
use crate::engine::{EngineMode, Settings};

/// Most bytes any body limit may ask for.
const BODY_LIMIT: usize = 1 << 30;
/// Longest a record may be kept: ten years of seconds.
const COLLECTION_TIMEOUT: usize = 315_360_000;

/// Applies a setting directive with its arguments.
///
/// # Errors
/// What is wrong with the argument, or with their number.
pub(crate) fn apply(
    settings: &mut Settings,
    directive: Directive,
    arguments: &[&str],
) -> Result<(), String> {
    right_count(directive, arguments.len())?;
    let first = arguments.first().copied().unwrap_or("");
    match directive {
        Directive::SecAuditEngine
        | Directive::SecAuditLog
        | Directive::SecAuditLog2
        | Directive::SecAuditLogDirMode
        | Directive::SecAuditLogFileMode
        | Directive::SecAuditLogFormat
        | Directive::SecAuditLogParts
        | Directive::SecAuditLogRelevantStatus
        | Directive::SecAuditLogStorageDir
        | Directive::SecAuditLogType => audit::apply(&mut settings.audit, directive, first)?,
        Directive::SecRuleEngine => settings.engine = engine_mode(first)?,
        Directive::SecRequestBodyAccess => settings.request_body_access = switch(first)?,
        Directive::SecResponseBodyAccess => settings.response_body_access = switch(first)?,
        Directive::SecRequestBodyLimit => {
            settings.request_body_limit = Some(count(first, BODY_LIMIT)?);
        }
        Directive::SecRequestBodyNoFilesLimit => {
            settings.request_body_no_files_limit = Some(count(first, BODY_LIMIT)?);
        }
        Directive::SecResponseBodyLimit => {
            settings.response_body_limit = count(first, BODY_LIMIT)?;
        }
        Directive::SecRequestBodyLimitAction => {
            settings.request_body_partial = limit_action(first)?;
        }
        Directive::SecResponseBodyLimitAction => {
            settings.response_body_partial = limit_action(first)?;
        }
        Directive::SecResponseBodyMimeType => {
            settings.response_body_types = arguments
                .iter()
                .flat_map(|word| word.split_whitespace())
                .map(str::to_owned)
                .collect();
        }
        Directive::SecResponseBodyMimeTypesClear => settings.response_body_types.clear(),
        Directive::SecRequestBodyJsonDepthLimit => settings.json_depth = count(first, 10_000)?,
        Directive::SecResponseBodyJsonDepthLimit => {
            settings.response_json_depth = count(first, 10_000)?;
        }
        Directive::SecNestedArguments => {
            let words = arguments.iter().flat_map(|word| word.split_whitespace());
            settings.nested_arguments = Kinds::read(words)?;
        }
        Directive::SecRequestBodyJsonNaming => settings.json_naming = json_naming(first)?,
        Directive::SecArgumentsLimit => settings.arguments = count(first, 100_000)?,
        Directive::SecUploadFileLimit => settings.upload_files = count(first, 10_000)?,
        Directive::SecCollectionTimeout => {
            let seconds = count(first, COLLECTION_TIMEOUT)?;
            settings.collection_timeout = Duration::from_secs(seconds as u64);
        }
        Directive::SecHttpBlKey => settings.http_bl_key = http_bl_key(first)?,
        Directive::SecWebAppId => settings.application = application(first)?,
        Directive::SecArgumentSeparator => match first.as_bytes() {
            [separator] => settings.argument_separator = *separator,
            _ => return Err("expected one character".to_owned()),
        },
        Directive::SecCookieFormat if first != "0" => {
            return Err("only format 0 (Netscape cookies) is served".to_owned());
        }
        _ => {}
    }
    Ok(())
}

/// What is left over would be a setting that somebody wrote and nobody reads.
fn right_count(directive: Directive, count: usize) -> Result<(), String> {
    let (right, expected) = match directive {
        Directive::SecResponseBodyMimeTypesClear => (count == 0, "no argument"),
        Directive::SecResponseBodyMimeType | Directive::SecNestedArguments => {
            (count > 0, "at least one argument")
        }
        _ => (count == 1, "one argument"),
    };
    if right {
        Ok(())
    } else {
        Err(format!("expected {expected}, found {count}"))
    }
}

/// A name that can stand in a key beside others.
fn application(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > 256 || text.contains(char::is_control) {
        return Err("expected a name of 1 to 256 characters".to_owned());
    }
    Ok(text.to_owned())
}

/// It becomes a label of the names that are asked.
fn http_bl_key(text: &str) -> Result<String, String> {
    let fits = (1..=63).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric());
    if fits {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("expected the key's letters and digits".to_owned())
    }
}

/// On, Off or DetectionOnly.
pub(crate) fn engine_mode(text: &str) -> Result<EngineMode, String> {
    match text.to_ascii_lowercase().as_str() {
        "on" => Ok(EngineMode::On),
        "off" => Ok(EngineMode::Off),
        "detectiononly" => Ok(EngineMode::DetectionOnly),
        _ => Err("expected On, Off or DetectionOnly".to_owned()),
    }
}

/// On or Off.
pub(crate) fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("expected On or Off".to_owned()),
    }
}

/// Whose names the leaves of JSON have.
fn json_naming(text: &str) -> Result<Naming, String> {
    match text.to_ascii_lowercase().as_str() {
        "coraza" => Ok(Naming::Coraza),
        "modsecurity" => Ok(Naming::ModSecurity),
        _ => Err("expected Coraza or ModSecurity".to_owned()),
    }
}

/// True for ProcessPartial.
fn limit_action(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "reject" => Ok(false),
        "processpartial" => Ok(true),
        _ => Err("expected Reject or ProcessPartial".to_owned()),
    }
}

fn count(text: &str, most: usize) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(count) if count <= most => Ok(count),
        Ok(_) => Err(format!("the most is {most}")),
        Err(_) => Err("expected a number".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_checked() {
        let mut settings = Settings::default();
        let mut set = |directive, value: &str| apply(&mut settings, directive, &[value]);
        assert!(set(Directive::SecRuleEngine, "detectiononly").is_ok());
        assert!(set(Directive::SecRuleEngine, "Maybe").is_err());
        assert!(set(Directive::SecRequestBodyLimit, "-1").is_err());
        assert!(set(Directive::SecArgumentSeparator, "&&").is_err());
        assert!(set(Directive::SecCookieFormat, "1").is_err());
        assert!(set(Directive::SecRequestBodyJsonNaming, "modsecurity").is_ok());
        assert!(set(Directive::SecRequestBodyJsonNaming, "v3").is_err());
        assert_eq!(settings.engine, EngineMode::DetectionOnly);
        assert_eq!(settings.json_naming, Naming::ModSecurity);
    }

    #[test]
    fn a_wrong_number_of_arguments_is_refused() {
        let mut settings = Settings::default();
        let mut set = |directive, words: &[&str]| apply(&mut settings, directive, words);
        for (directive, words, expected) in [
            (
                Directive::SecRuleEngine,
                &["On", "Off"][..],
                "one argument, found 2",
            ),
            (Directive::SecRequestBodyLimit, &[], "one argument, found 0"),
            (
                Directive::SecAuditLog,
                &["/a", "/b"],
                "one argument, found 2",
            ),
            (Directive::SecCookieFormat, &[], "one argument, found 0"),
            (
                Directive::SecResponseBodyMimeType,
                &[],
                "at least one argument, found 0",
            ),
            (
                Directive::SecResponseBodyMimeTypesClear,
                &["text/html"],
                "no argument, found 1",
            ),
        ] {
            let error = set(directive, words).unwrap_err();
            assert_eq!(error, format!("expected {expected}"), "{directive:?}");
        }
        let types = ["text/html", "text/plain application/json"];
        assert_eq!(set(Directive::SecResponseBodyMimeType, &types), Ok(()));
        assert_eq!(set(Directive::SecResponseBodyMimeTypesClear, &[]), Ok(()));
        assert_eq!(set(Directive::SecRuleEngine, &["On"]), Ok(()));
    }
}
