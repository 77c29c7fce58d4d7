//! Cases that are left out, each with its reason.

/// File, numbers in it (none: the whole file), reason.
const TABLE: &[(&str, &[usize], &str)] = &[
    ("action-exec.json", &[1, 2], PROGRAMS),
    ("action-expirevar.json", &[], PERSISTENT),
    ("action-initcol.json", &[], PERSISTENT),
    (
        "action-setenv.json",
        &[],
        "rules cannot change the process environment",
    ),
    ("action-setrsc.json", &[], PERSISTENT),
    ("action-setuid.json", &[], PERSISTENT),
    ("action-skip.json", &[0, 2], PERSISTENT),
    ("collection-lua.json", &[], PROGRAMS),
    ("collection-resource.json", &[], PERSISTENT),
    (
        "config-body_limits.json",
        &[0],
        "SecResponseBodyLimit bounds bodies that the rules look at; others stream",
    ),
    (
        "config-body_limits.json",
        &[2],
        "a body over SecRequestBodyLimit is answered 413, as Coraza does, not 403",
    ),
    ("config-secremoterules.json", &[0, 2], REMOTE),
    ("config-xml_external_entity.json", &[], DTD),
    ("issue-1725.json", &[], CLOCK),
    ("issue-1831.json", &[], PERSISTENT),
    ("offset-variable.json", &[30, 31], NOT_FOR_MULTIPART),
    (
        "offset-variable.json",
        &[44, 45],
        "uploads are never written to disk",
    ),
    ("operator-inpectFile.json", &[], PROGRAMS),
    ("operator-ipMatchFromFile.json", &[2], REMOTE),
    (
        "operator-rx.json",
        &[2],
        "a pattern that does not parse is an error at load, not a rule that never matches",
    ),
    ("operator-rx.json", &[3, 4, 5], LINEAR),
    (
        "request-body-parser-multipart.json",
        MULTIPART_CASES,
        MULTIPART,
    ),
    ("request-body-parser-xml-validade-dtd.json", &[], DTD),
    (
        "variable-ARGS_POST_NAMES.json",
        &[3],
        "libmodsecurity counts the lines of multipart bodies with CR LF otherwise",
    ),
    ("variable-DURATION.json", &[], CLOCK),
    (
        "variable-FULL_REQUEST_LENGTH.json",
        &[],
        "the raw request is not kept",
    ),
    (
        "variable-GEO.json",
        &[],
        "country rules run before the rule engine",
    ),
    (
        "variable-INBOUND_DATA_ERROR.json",
        &[1],
        "without SecRequestBodyLimitAction a body over the limit is refused, as ModSecurity 2 and \
         Coraza do: no later phase runs",
    ),
    ("variable-REQUEST_BODY.json", &[], NOT_FOR_MULTIPART),
    ("variable-SESSIONID.json", &[], PERSISTENT),
    ("variable-USERID.json", &[], PERSISTENT),
    ("variable-WEBAPPID.json", &[], PERSISTENT),
    ("variable-XML.json", &[], SUBSET),
];

const CLOCK: &str = "the engine has no clock of its own";
const DTD: &str = "documents are not validated, and no entity is ever fetched";
const LINEAR: &str = "patterns are matched in linear time: there is no limit to hit";
const MULTIPART: &str =
    "the multipart parser has flags and one error, and no further lines for a log";
const NOT_FOR_MULTIPART: &str = "REQUEST_BODY is set as ModSecurity 2 and Coraza do, which the CRS \
                                 relies on: not for multipart";
const PERSISTENT: &str = "collections that outlive a request are not kept";
const PROGRAMS: &str = "rules cannot start programs or scripts";
const REMOTE: &str = "rules and data are read from local files only";
const SUBSET: &str =
    "a document with an internal DTD subset is refused, and its rest inspected raw";

/// The cases of the multipart parser that want its words.
const MULTIPART_CASES: &[usize] = &[0, 27, 30, 40, 53];

/// Why the case is left out, if it is.
pub(super) fn reason(file: &str, number: usize) -> Option<&'static str> {
    TABLE
        .iter()
        .find(|(name, of, _)| *name == file && (of.is_empty() || of.contains(&number)))
        .map(|(_, _, reason)| *reason)
}

#[test]
fn the_table_is_sorted() {
    assert!(TABLE.is_sorted_by_key(|(file, of, _)| (*file, *of)));
}
