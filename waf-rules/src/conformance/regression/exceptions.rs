//! Cases that are left out, each with its reason.

/// File, numbers in it (none: the whole file), reason.
const TABLE: &[(&str, &[usize], &str)] = &[
    ("action-exec.json", &[1, 2], PROGRAMS),
    ("collection-lua.json", &[], PROGRAMS),
    ("collection-resource.json", &[], RECORD),
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
    (
        "issue-1725.json",
        &[],
        "DURATION is in milliseconds, as the manual says",
    ),
    ("issue-1831.json", &[2, 3], UNOPENED),
    ("offset-variable.json", &[30, 31], NOT_FOR_MULTIPART),
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
    (
        "variable-GEO.json",
        &[0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
        "databases are read in MaxMind's DB format only",
    ),
    (
        "variable-INBOUND_DATA_ERROR.json",
        &[1],
        "without SecRequestBodyLimitAction a body over the limit is refused, as ModSecurity 2 and \
         Coraza do: no later phase runs",
    ),
    ("variable-REQUEST_BODY.json", &[], NOT_FOR_MULTIPART),
    ("variable-XML.json", &[], SUBSET),
];

const DTD: &str = "documents are not validated, and no entity is ever fetched";
const LINEAR: &str = "patterns are matched in linear time: there is no limit to hit";
const MULTIPART: &str =
    "the multipart parser has flags and one error, and no further lines for a log";
const NOT_FOR_MULTIPART: &str = "REQUEST_BODY is set as ModSecurity 2 and Coraza do, which the CRS \
                                 relies on: not for multipart";
const PROGRAMS: &str = "rules cannot start programs or scripts";
const RECORD: &str = "the name of a member does not tell the key of its record";
const REMOTE: &str = "rules and data are read from local files only";
const SUBSET: &str =
    "a document with an internal DTD subset is refused, and its rest inspected raw";
const UNOPENED: &str = "a collection that no rule has opened has no members";

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
