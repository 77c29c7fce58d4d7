//! The actions rules can name: one enum, one table, with what becomes of each.

mod ctl;
mod setvar;

#[cfg(test)]
pub(crate) use ctl::rows as control_rows;
pub(crate) use ctl::{Ctl, parse_ctl};
pub(crate) use setvar::{ChangeText, parse_assignment, parse_setvar};

/// What the engine does with a known name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Support {
    /// It runs.
    Runs,
    /// It is accepted and has no effect; the note says why that is harmless.
    Ignored(&'static str),
    /// It may be switched `Off`, which it is; anything else would promise a protection that is not
    /// there, so it does not load.
    OffOnly(&'static str),
    /// A rule that needs it would not do what it says, so it does not load.
    Refused(&'static str),
}

macro_rules! actions {
    ($($name:literal $action:ident $support:expr;)*) => {
        /// An action.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Action {
            $(#[doc = $name] $action,)*
        }

        const TABLE: &[(&str, Action, Support)] = &[
            $(($name, Action::$action, $support),)*
        ];
    };
}

use Support::{Ignored, Refused, Runs};

const NO_ENGINE: Support = Ignored("no current engine acts on it");

actions! {
    "accuracy" Accuracy Runs;
    "allow" Allow Runs;
    "append" Append NO_ENGINE;
    "auditlog" AuditLog Runs;
    "block" Block Runs;
    "capture" Capture Runs;
    "chain" Chain Runs;
    "ctl" Ctl Runs;
    "deny" Deny Runs;
    "deprecatevar" DeprecateVar NO_ENGINE;
    "drop" Drop Runs;
    "exec" Exec Refused("rules cannot start programs or scripts");
    "expirevar" ExpireVar Runs;
    "id" Id Runs;
    "initcol" InitCol Runs;
    "log" Log Runs;
    "logdata" LogData Runs;
    "maturity" Maturity Runs;
    "msg" Msg Runs;
    "multiMatch" MultiMatch Runs;
    "noauditlog" NoAuditLog Runs;
    "nolog" NoLog Runs;
    "pass" Pass Runs;
    "pause" Pause NO_ENGINE;
    "phase" Phase Runs;
    "prepend" Prepend NO_ENGINE;
    "proxy" Proxy NO_ENGINE;
    "redirect" Redirect Runs;
    "rev" Rev Runs;
    "sanitiseArg" SanitiseArg Runs;
    "sanitiseMatched" SanitiseMatched Runs;
    "sanitiseMatchedBytes" SanitiseMatchedBytes Runs;
    "sanitiseRequestHeader" SanitiseRequestHeader Runs;
    "sanitiseResponseHeader" SanitiseResponseHeader Runs;
    "setenv" SetEnv Runs;
    "setrsc" SetRsc Runs;
    "setsid" SetSid Runs;
    "setuid" SetUid Runs;
    "setvar" SetVar Runs;
    "severity" Severity Runs;
    "skip" Skip Runs;
    "skipAfter" SkipAfter Runs;
    "status" Status Runs;
    "t" Transformation Runs;
    "tag" Tag Runs;
    "ver" Ver Runs;
    "xmlns" XmlNs Runs;
}

impl Action {
    /// The action called `name`, whatever its letters' case, and what becomes of it.
    pub(crate) fn from_name(name: &str) -> Option<(Self, Support)> {
        TABLE
            .iter()
            .find(|(known, ..)| known.eq_ignore_ascii_case(name))
            .map(|(_, action, support)| (*action, *support))
    }

    /// Every name with what becomes of it, for the documents.
    #[cfg(test)]
    pub(crate) fn rows() -> impl Iterator<Item = (&'static str, Support)> {
        TABLE.iter().map(|(name, _, support)| (*name, *support))
    }

    /// Every name, for suggestions.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        TABLE.iter().map(|(name, ..)| *name)
    }
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
}
