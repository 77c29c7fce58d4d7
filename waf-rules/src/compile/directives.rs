//! The directives rule files can hold: one enum, one table, with what becomes of each.

use crate::actions::Support;

macro_rules! directives {
    ($($name:literal $directive:ident $support:expr;)*) => {
        /// A directive.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Directive {
            $(#[doc = $name] $directive,)*
        }

        const TABLE: &[(&str, Directive, Support)] = &[
            $(($name, Directive::$directive, $support),)*
        ];
    };
}

use Support::{Ignored, OffOnly, Refused, Runs};

const BOUNDED: Support =
    Ignored("matching is linear or has a budget; a value that uses it up matches");
const UPLOADS: Support = Ignored("uploads are never written to disk");
const MEMORY: Support = Ignored("the host bounds memory");
const CONNECTIONS: Support = Ignored("the host limits connections");
const HASHES: Support = Ignored("hash enforcement is not part of the engine");
const NO_ENGINE: Support = Ignored("no current engine acts on it");
const REMOTE: Support = Refused("rules are read from local files only");

directives! {
    "Include" Include Runs;
    "SecAction" SecAction Runs;
    "SecArgumentSeparator" SecArgumentSeparator Runs;
    "SecArgumentsLimit" SecArgumentsLimit Runs;
    "SecAuditEngine" SecAuditEngine Runs;
    "SecAuditLog" SecAuditLog Runs;
    "SecAuditLog2" SecAuditLog2 Runs;
    "SecAuditLogDirMode" SecAuditLogDirMode Runs;
    "SecAuditLogFileMode" SecAuditLogFileMode Runs;
    "SecAuditLogFormat" SecAuditLogFormat Runs;
    "SecAuditLogParts" SecAuditLogParts Runs;
    "SecAuditLogPrefix" SecAuditLogPrefix NO_ENGINE;
    "SecAuditLogRelevantStatus" SecAuditLogRelevantStatus Runs;
    "SecAuditLogStorageDir" SecAuditLogStorageDir Runs;
    "SecAuditLogType" SecAuditLogType Runs;
    "SecCacheTransformations" SecCacheTransformations Ignored("transformations are always cached");
    "SecChrootDir" SecChrootDir NO_ENGINE;
    "SecCollectionTimeout" SecCollectionTimeout Runs;
    "SecComponentSignature" SecComponentSignature Runs;
    "SecConnEngine" SecConnEngine OffOnly("the host limits connections");
    "SecConnReadStateLimit" SecConnReadStateLimit CONNECTIONS;
    "SecConnWriteStateLimit" SecConnWriteStateLimit CONNECTIONS;
    "SecContentInjection" SecContentInjection NO_ENGINE;
    "SecCookieFormat" SecCookieFormat Runs;
    "SecCookieV0Separator" SecCookieV0Separator Refused("cookies are separated by `;` only");
    "SecDataDir" SecDataDir Ignored("the host keeps collections");
    "SecDataset" SecDataset Runs;
    "SecDebugLog" SecDebugLog Ignored("the host writes logs");
    "SecDebugLogLevel" SecDebugLogLevel Ignored("the host writes logs");
    "SecDefaultAction" SecDefaultAction Runs;
    "SecDisableBackendCompression" SecDisableBackendCompression Ignored("the host decodes bodies");
    "SecGeoLookupDb" SecGeoLookupDb Runs;
    "SecGsbLookupDb" SecGsbLookupDb Refused("no engine implements @gsbLookup any more");
    "SecGuardianLog" SecGuardianLog NO_ENGINE;
    "SecHashEngine" SecHashEngine
        OffOnly("hash enforcement is not part of the engine");
    "SecHashKey" SecHashKey HASHES;
    "SecHashMethodPm" SecHashMethodPm HASHES;
    "SecHashMethodRx" SecHashMethodRx HASHES;
    "SecHashParam" SecHashParam HASHES;
    "SecHttpBlKey" SecHttpBlKey Runs;
    "SecIgnoreRuleCompilationErrors" SecIgnoreRuleCompilationErrors Runs;
    "SecInterceptOnError" SecInterceptOnError NO_ENGINE;
    "SecMarker" SecMarker Runs;
    "SecNestedArguments" SecNestedArguments Runs;
    "SecPcreMatchLimit" SecPcreMatchLimit BOUNDED;
    "SecPcreMatchLimitRecursion" SecPcreMatchLimitRecursion BOUNDED;
    "SecRemoteRules" SecRemoteRules REMOTE;
    "SecRemoteRulesFailAction" SecRemoteRulesFailAction REMOTE;
    "SecRequestBodyAccess" SecRequestBodyAccess Runs;
    "SecRequestBodyInMemoryLimit" SecRequestBodyInMemoryLimit MEMORY;
    "SecRequestBodyJsonDepthLimit" SecRequestBodyJsonDepthLimit Runs;
    "SecRequestBodyJsonNaming" SecRequestBodyJsonNaming Runs;
    "SecRequestBodyLimit" SecRequestBodyLimit Runs;
    "SecRequestBodyLimitAction" SecRequestBodyLimitAction Runs;
    "SecRequestBodyNoFilesLimit" SecRequestBodyNoFilesLimit Runs;
    "SecResponseBodyAccess" SecResponseBodyAccess Runs;
    "SecResponseBodyJsonDepthLimit" SecResponseBodyJsonDepthLimit Runs;
    "SecResponseBodyLimit" SecResponseBodyLimit Runs;
    "SecResponseBodyLimitAction" SecResponseBodyLimitAction Runs;
    "SecResponseBodyMimeType" SecResponseBodyMimeType Runs;
    "SecResponseBodyMimeTypesClear" SecResponseBodyMimeTypesClear Runs;
    "SecRule" SecRule Runs;
    "SecRuleEngine" SecRuleEngine Runs;
    "SecRuleInheritance" SecRuleInheritance NO_ENGINE;
    "SecRulePerfTime" SecRulePerfTime NO_ENGINE;
    "SecRuleRemoveById" SecRuleRemoveById Runs;
    "SecRuleRemoveByMsg" SecRuleRemoveByMsg Runs;
    "SecRuleRemoveByTag" SecRuleRemoveByTag Runs;
    "SecRuleScript" SecRuleScript Refused("rules cannot start programs or scripts");
    "SecRuleUpdateActionById" SecRuleUpdateActionById Runs;
    "SecRuleUpdateTargetById" SecRuleUpdateTargetById Runs;
    "SecRuleUpdateTargetByMsg" SecRuleUpdateTargetByMsg Runs;
    "SecRuleUpdateTargetByTag" SecRuleUpdateTargetByTag Runs;
    "SecRxPreFilter" SecRxPreFilter Ignored("the prefilter is always on");
    "SecSensorId" SecSensorId NO_ENGINE;
    "SecServerSignature" SecServerSignature Ignored("the host writes response headers");
    "SecStatusEngine" SecStatusEngine NO_ENGINE;
    "SecStreamInBodyInspection" SecStreamInBodyInspection
        OffOnly("bodies are inspected whole, as REQUEST_BODY");
    "SecStreamOutBodyInspection" SecStreamOutBodyInspection
        OffOnly("bodies are inspected whole, as RESPONSE_BODY");
    "SecTmpDir" SecTmpDir UPLOADS;
    "SecTmpSaveUploadedFiles" SecTmpSaveUploadedFiles UPLOADS;
    "SecUnicodeMap" SecUnicodeMap Ignored("t:urlDecodeUni has its own table");
    "SecUnicodeMapFile" SecUnicodeMapFile Runs;
    "SecUploadDir" SecUploadDir UPLOADS;
    "SecUploadFileLimit" SecUploadFileLimit Runs;
    "SecUploadFileMode" SecUploadFileMode UPLOADS;
    "SecUploadKeepFiles" SecUploadKeepFiles UPLOADS;
    "SecWebAppId" SecWebAppId Runs;
    "SecXmlExternalEntity" SecXmlExternalEntity Ignored("external entities are never fetched");
}

impl Directive {
    /// The directive called `name`, whatever its letters' case, and what becomes of it.
    pub(crate) fn from_name(name: &str) -> Option<(Self, Support)> {
        TABLE
            .iter()
            .find(|(known, ..)| known.eq_ignore_ascii_case(name))
            .map(|(_, directive, support)| (*directive, *support))
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
            assert!(pair[0].0 < pair[1].0, "{}", pair[1].0);
        }
    }
}
