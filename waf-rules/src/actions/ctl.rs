//! `ctl:name=value`: what a rule can change about the rest of its transaction.

use super::Support;
use crate::syntax::did_you_mean;

/// A `ctl` as written, its name known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CtlText {
    pub(crate) kind: Ctl,
    pub(crate) value: String,
    pub(crate) note: Option<&'static str>,
}

macro_rules! controls {
    ($($name:literal $ctl:ident $support:expr;)*) => {
        /// A control.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Ctl {
            $(#[doc = $name] $ctl,)*
        }

        const TABLE: &[(&str, Ctl, Support)] = &[
            $(($name, Ctl::$ctl, $support),)*
        ];
    };
}

use Support::{Ignored, Refused, Runs};

const HOST_RECORDS: Support = Ignored("the host decides what its records hold");
const HASHES: Support = Refused("hash enforcement is not part of the engine");
const HOST_LIMITS: Support = Refused("limits cannot change within a request");

controls! {
    "auditEngine" AuditEngine Runs;
    "auditLogParts" AuditLogParts Runs;
    "debugLogLevel" DebugLogLevel HOST_RECORDS;
    "forceRequestBodyVariable" ForceRequestBodyVariable Runs;
    "forceResponseBodyVariable" ForceResponseBodyVariable
        Ignored("RESPONSE_BODY is always set when the body is inspected");
    "hashEnforcement" HashEnforcement HASHES;
    "hashEngine" HashEngine HASHES;
    "nestedArguments" NestedArguments Runs;
    "requestBodyAccess" RequestBodyAccess Runs;
    "requestBodyLimit" RequestBodyLimit HOST_LIMITS;
    "requestBodyProcessor" RequestBodyProcessor Runs;
    "responseBodyAccess" ResponseBodyAccess Runs;
    "responseBodyLimit" ResponseBodyLimit HOST_LIMITS;
    "responseBodyProcessor" ResponseBodyProcessor Runs;
    "ruleEngine" RuleEngine Runs;
    "ruleRemoveById" RuleRemoveById Runs;
    "ruleRemoveByMsg" RuleRemoveByMsg Runs;
    "ruleRemoveByTag" RuleRemoveByTag Runs;
    "ruleRemoveTargetById" RuleRemoveTargetById Runs;
    "ruleRemoveTargetByMsg" RuleRemoveTargetByMsg Runs;
    "ruleRemoveTargetByTag" RuleRemoveTargetByTag Runs;
}

/// Splits the value of a `ctl` action.
///
/// # Errors
/// A message and, where there is one, a suggestion.
pub(crate) fn parse_ctl(text: &str) -> Result<CtlText, (String, Option<String>)> {
    let Some((name, value)) = text.split_once('=') else {
        return Err(("expected name=value".to_owned(), None));
    };
    let known = TABLE
        .iter()
        .find(|(known, ..)| known.eq_ignore_ascii_case(name.trim()));
    let Some((name, kind, support)) = known else {
        let help = did_you_mean(name.trim(), TABLE.iter().map(|(name, ..)| *name));
        return Err((format!("unknown control `{}`", name.trim()), help));
    };
    let note = match support {
        Runs => None,
        Ignored(note) => Some(*note),
        Refused(reason) | Support::OffOnly(reason) => {
            return Err((format!("ctl:{name} is not executed: {reason}"), None));
        }
    };
    Ok(CtlText {
        kind: *kind,
        value: value.trim().to_owned(),
        note,
    })
}

/// Every control with what becomes of it, for the documents.
#[cfg(test)]
pub(crate) fn rows() -> impl Iterator<Item = (&'static str, Support)> {
    TABLE.iter().map(|(name, _, support)| (*name, *support))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_unique() {
        for pair in TABLE.windows(2) {
            let [a, b] = [pair[0].0, pair[1].0].map(str::to_lowercase);
            assert!(a < b, "{b}");
        }
    }

    #[test]
    fn a_refused_control_says_why_and_a_slip_gets_a_hint() {
        assert!(parse_ctl("hashEngine=On").is_err());
        let (_, help) = parse_ctl("ruleEngin=Off").unwrap_err();
        assert_eq!(help.as_deref(), Some("did you mean `ruleEngine`?"));
        assert_eq!(parse_ctl("ruleengine=Off").unwrap().kind, Ctl::RuleEngine);
    }
}
