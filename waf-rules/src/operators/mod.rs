//! Operators: the question a rule asks of one value, one file a name (or a tight family).
//!
//! Semantics are those of libmodsecurity 3 unless the file says otherwise. An operator is compiled
//! once at load, where every error is reported, and then asked without I/O. What would need I/O or
//! another engine while a request waits is refused at load with its reason.

mod blocklist;
mod captures;
mod ip_match;
mod number;
mod phrases;
mod places;
mod prefilter;
mod rest_path;
mod rx;
mod text;
mod validate;
mod verify;

pub(crate) use self::blocklist::Blocklist;
pub(crate) use self::captures::Captures;
pub(crate) use self::number::{Number, leading_number};
pub(crate) use self::prefilter::Prefilter;
pub(crate) use self::rest_path::RestPath;

use self::ip_match::IpMatch;
use self::phrases::Phrases;
use self::rx::Rx;
use self::text::Text;
use self::verify::{Scheme, Verify};
use crate::byteset::ByteSet;
use crate::libinjection;
use crate::regex::{Budget, Pattern};

/// Loads a data file named in an argument.
pub(crate) type Read<'a> = dyn FnMut(&str) -> Result<Vec<u8>, String> + 'a;

/// A compiled `@name argument`, without its `!`.
#[derive(Debug)]
pub(crate) struct Operator {
    name: &'static str,
    argument: Box<str>,
    kind: Kind,
}

/// What the operator does; macros and arguments aside, one variant a file.
#[derive(Debug)]
enum Kind {
    Blocklist(Blocklist),
    DetectSqli,
    DetectXss,
    GeoLookup,
    IpMatch(IpMatch),
    NoMatch,
    Number(Number),
    Phrases(Phrases),
    RestPath(RestPath),
    Rx(Rx),
    RxGlobal(Rx),
    Text(Text),
    UnconditionalMatch,
    ValidateByteRange(ByteSet),
    ValidateUrlEncoding,
    ValidateUtf8Encoding,
    Verify(Verify),
}

/// What an operator asks beside the value; the engine answers it, [`Operator::matches_within`] cannot.
pub(crate) enum Lookup<'o> {
    Blocklist(&'o Blocklist),
    Geo,
    Path(&'o RestPath),
}

impl Operator {
    /// Compiles `@name argument`; `read` loads the data files of `@pmFromFile` and `@ipMatchFromFile`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the name or the argument.
    pub(crate) fn compile(name: &str, argument: &str, read: &mut Read<'_>) -> Result<Self, String> {
        let Some((_, display, make)) = TABLE
            .iter()
            .find(|(known, ..)| known.eq_ignore_ascii_case(name))
        else {
            return Err(refusal(name));
        };
        let kind = make(argument, read).map_err(|reason| format!("@{name}: {reason}"))?;
        Ok(Self {
            name: display,
            argument: argument.into(),
            kind,
        })
    }

    /// Every name, for suggestions.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        TABLE.iter().map(|(name, ..)| *name)
    }

    /// Every name of another engine that is refused, and why, for the documents.
    #[cfg(test)]
    pub(crate) fn refused() -> &'static [(&'static str, &'static str)] {
        REFUSED
    }

    /// The name as ModSecurity prints it in messages: `Rx`, `Pm`, `DetectSQLi`.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// What whoever loads the operator should know.
    pub(crate) fn warning(&self) -> Option<&'static str> {
        match &self.kind {
            Kind::Rx(rx) | Kind::RxGlobal(rx) if rx.backtracks() => Some(
                "look-around and back-references are matched by bounded backtracking: a value that \
                 takes too many steps counts as a match",
            ),
            _ => None,
        }
    }

    /// What the operator looks up, if it is such a one.
    pub(crate) fn lookup(&self) -> Option<Lookup<'_>> {
        match &self.kind {
            Kind::Blocklist(list) => Some(Lookup::Blocklist(list)),
            Kind::GeoLookup => Some(Lookup::Geo),
            Kind::RestPath(path) => Some(Lookup::Path(path)),
            _ => None,
        }
    }

    /// The list that `@rbl` asks.
    pub(crate) fn blocklist(&self) -> Option<&Blocklist> {
        match &self.kind {
            Kind::Blocklist(list) => Some(list),
            _ => None,
        }
    }

    /// True if the argument holds macros: [`Operator::matches_within`] is then given the expanded text.
    pub(crate) fn takes_macro(&self) -> bool {
        match &self.kind {
            Kind::Rx(rx) | Kind::RxGlobal(rx) => rx.takes_macro(),
            Kind::Number(_) | Kind::Text(_) => has_macro(&self.argument),
            _ => false,
        }
    }

    /// As [`Operator::matches_within`], with a budget of its own.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn matches(
        &self,
        value: &[u8],
        argument: &[u8],
        captures: Option<&mut Captures>,
    ) -> bool {
        self.matches_within(value, argument, captures, &mut Budget::default())
    }

    /// True if `value` matches. `argument` is the macro-expanded argument where
    /// [`Operator::takes_macro`] says so, else the literal one. `captures` is added to on a match.
    /// What takes backtracking does so at the expense of `budget`.
    pub(crate) fn matches_within(
        &self,
        value: &[u8],
        argument: &[u8],
        captures: Option<&mut Captures>,
        budget: &mut Budget,
    ) -> bool {
        match &self.kind {
            Kind::DetectSqli => match libinjection::sqli(value) {
                Some(fingerprint) => capture(captures, fingerprint.as_bytes()),
                None => false,
            },
            Kind::DetectXss => libinjection::xss(value) && capture(captures, value),
            Kind::IpMatch(list) => list.matches(value),
            // Lookups; the engine answers them.
            Kind::Blocklist(_) | Kind::GeoLookup | Kind::RestPath(_) => false,
            Kind::NoMatch => false,
            Kind::Number(number) => number.matches(value, argument),
            Kind::Phrases(phrases) => phrases.matches(value, captures),
            Kind::Rx(rx) => rx.matches(value, argument, captures, budget),
            Kind::RxGlobal(rx) => rx.matches_all(value, argument, captures, budget),
            Kind::Text(text) => text.matches(value, argument),
            Kind::UnconditionalMatch => true,
            Kind::ValidateByteRange(allowed) => validate::outside(*allowed, value),
            Kind::ValidateUrlEncoding => validate::bad_url_encoding(value),
            Kind::ValidateUtf8Encoding => validate::bad_utf8(value),
            Kind::Verify(verify) => verify.matches(value, captures, budget),
        }
    }

    /// What of a matching `value` made it match: what `TX:0` would hold; where the operator captures
    /// nothing, the part that is known, else the whole value. For people: rules never see it.
    pub(crate) fn evidence(&self, value: &[u8], argument: &[u8], budget: &mut Budget) -> Vec<u8> {
        let mut captures = Captures::default();
        self.matches_within(value, argument, Some(&mut captures), budget);
        if let Some((0, found)) = captures.iter().next() {
            return found.to_vec();
        }
        match &self.kind {
            Kind::Text(text) if text.finds_a_part() => argument.to_vec(),
            Kind::ValidateByteRange(allowed) => {
                let bad = value.iter().find(|byte| !allowed.contains(**byte));
                bad.copied().into_iter().collect()
            }
            _ => value.to_vec(),
        }
    }

    /// The comparison, if it is one of numbers.
    pub(crate) fn number(&self) -> Option<Number> {
        match &self.kind {
            Kind::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// True if the answer depends on the value and the literal argument alone, so that it can be
    /// remembered. An operator that asks anything else, or leaves a trace without matching, is not.
    pub(crate) fn is_pure(&self) -> bool {
        match &self.kind {
            Kind::DetectSqli
            | Kind::DetectXss
            | Kind::IpMatch(_)
            | Kind::NoMatch
            | Kind::Number(_)
            | Kind::Phrases(_)
            | Kind::Rx(_)
            | Kind::RxGlobal(_)
            | Kind::Text(_)
            | Kind::UnconditionalMatch
            | Kind::ValidateByteRange(_)
            | Kind::ValidateUrlEncoding
            | Kind::ValidateUtf8Encoding
            | Kind::Verify(_) => !self.takes_macro(),
            Kind::Blocklist(_) | Kind::GeoLookup | Kind::RestPath(_) => false,
        }
    }

    /// The pattern, if it is one of `@rx` that never changes.
    pub(crate) fn pattern(&self) -> Option<&Pattern> {
        match &self.kind {
            Kind::Rx(rx) => rx.pattern(),
            _ => None,
        }
    }

    /// What a value must have to match at all; `None` if nothing cheap can be said.
    pub(crate) fn prefilter(&self) -> Option<Prefilter> {
        match &self.kind {
            Kind::DetectSqli => Some(Prefilter::of_length(2)),
            Kind::DetectXss => Some(Prefilter::of_mask(libinjection::XSS_BYTES)),
            Kind::Phrases(phrases) => phrases.prefilter(),
            Kind::Rx(rx) | Kind::RxGlobal(rx) => rx.prefilter(),
            Kind::Text(_) if has_macro(&self.argument) => None,
            Kind::Text(text) => text.prefilter(&self.argument),
            Kind::ValidateByteRange(allowed) => Some(validate::outside_prefilter(*allowed)),
            Kind::ValidateUrlEncoding => Some(validate::url_prefilter()),
            Kind::ValidateUtf8Encoding => Some(validate::utf8_prefilter()),
            Kind::Verify(verify) => verify.prefilter(),
            Kind::Blocklist(_)
            | Kind::GeoLookup
            | Kind::IpMatch(_)
            | Kind::NoMatch
            | Kind::Number(_)
            | Kind::RestPath(_)
            | Kind::UnconditionalMatch => None,
        }
    }
}

/// Sets `TX:0`; true, for it stands behind a match.
fn capture(captures: Option<&mut Captures>, bytes: &[u8]) -> bool {
    if let Some(captures) = captures {
        captures.set(0, bytes);
    }
    true
}

/// True if `argument` holds `%{name`: a `%` repeated `{2}` times is not one.
fn has_macro(argument: &str) -> bool {
    argument
        .split("%{")
        .skip(1)
        .any(|inside| inside.starts_with(|first: char| first.is_ascii_alphabetic()))
}

/// Why `name` is not among the operators.
fn refusal(name: &str) -> String {
    let refused = REFUSED
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name));
    match refused {
        Some((_, reason)) => format!("@{name} is not supported: {reason}"),
        None => format!("unknown operator @{name}"),
    }
}

type Make = fn(&str, &mut Read<'_>) -> Result<Kind, String>;

/// Every operator: its name, the name messages print, and how it is made.
const TABLE: &[(&str, &str, Make)] = &[
    ("beginsWith", "BeginsWith", |_, _| {
        Ok(Kind::Text(Text::BeginsWith))
    }),
    ("contains", "Contains", |_, _| {
        Ok(Kind::Text(Text::Contains))
    }),
    ("containsWord", "ContainsWord", |_, _| {
        Ok(Kind::Text(Text::ContainsWord))
    }),
    ("detectSQLi", "DetectSQLi", |_, _| Ok(Kind::DetectSqli)),
    ("detectXSS", "DetectXSS", |_, _| Ok(Kind::DetectXss)),
    ("endsWith", "EndsWith", |_, _| {
        Ok(Kind::Text(Text::EndsWith))
    }),
    ("eq", "Eq", |_, _| Ok(Kind::Number(Number::Eq))),
    ("ge", "Ge", |_, _| Ok(Kind::Number(Number::Ge))),
    ("geoLookup", "GeoLookup", |_, _| Ok(Kind::GeoLookup)),
    ("gt", "Gt", |_, _| Ok(Kind::Number(Number::Gt))),
    ("ipMatch", "IpMatch", |list, _| {
        IpMatch::from_argument(list).map(Kind::IpMatch)
    }),
    ("ipMatchF", "IpMatchFromFile", ip_match_from_file),
    (
        "ipMatchFromDataset",
        "IpMatchFromDataset",
        ip_match_from_file,
    ),
    ("ipMatchFromFile", "IpMatchFromFile", ip_match_from_file),
    ("le", "Le", |_, _| Ok(Kind::Number(Number::Le))),
    ("lt", "Lt", |_, _| Ok(Kind::Number(Number::Lt))),
    ("noMatch", "NoMatch", |_, _| Ok(Kind::NoMatch)),
    ("pm", "Pm", |list, _| {
        Phrases::from_argument(list).map(Kind::Phrases)
    }),
    ("pmf", "PmFromFile", pm_from_file),
    ("pmFromDataset", "PmFromDataset", pm_from_file),
    ("pmFromFile", "PmFromFile", pm_from_file),
    ("rbl", "Rbl", |zone, _| {
        Blocklist::compile(zone).map(Kind::Blocklist)
    }),
    ("restpath", "RestPath", |path, _| {
        RestPath::compile(path).map(Kind::RestPath)
    }),
    ("rx", "Rx", |pattern, _| Rx::compile(pattern).map(Kind::Rx)),
    ("rxGlobal", "RxGlobal", |pattern, _| {
        Rx::compile(pattern).map(Kind::RxGlobal)
    }),
    ("streq", "StrEq", |_, _| Ok(Kind::Text(Text::Streq))),
    ("strmatch", "StrMatch", |_, _| {
        Ok(Kind::Text(Text::Contains))
    }),
    ("unconditionalMatch", "UnconditionalMatch", |_, _| {
        Ok(Kind::UnconditionalMatch)
    }),
    ("validateByteRange", "ValidateByteRange", |list, _| {
        validate::byte_range(list).map(Kind::ValidateByteRange)
    }),
    ("validateNid", "ValidateNid", |argument, _| {
        Verify::national(argument).map(Kind::Verify)
    }),
    ("validateUrlEncoding", "ValidateUrlEncoding", |_, _| {
        Ok(Kind::ValidateUrlEncoding)
    }),
    ("validateUtf8Encoding", "ValidateUtf8Encoding", |_, _| {
        Ok(Kind::ValidateUtf8Encoding)
    }),
    ("verifyCC", "VerifyCC", |pattern, _| {
        Verify::compile(Scheme::Cc, pattern).map(Kind::Verify)
    }),
    ("verifyCPF", "VerifyCPF", |pattern, _| {
        Verify::compile(Scheme::Cpf, pattern).map(Kind::Verify)
    }),
    ("verifySSN", "VerifySSN", |pattern, _| {
        Verify::compile(Scheme::Ssn, pattern).map(Kind::Verify)
    }),
    ("verifySVNR", "VerifySVNR", |pattern, _| {
        Verify::compile(Scheme::Svnr, pattern).map(Kind::Verify)
    }),
    ("within", "Within", |_, _| Ok(Kind::Text(Text::Within))),
];

fn pm_from_file(path: &str, read: &mut Read<'_>) -> Result<Kind, String> {
    Phrases::from_file(&read(path.trim())?).map(Kind::Phrases)
}

fn ip_match_from_file(path: &str, read: &mut Read<'_>) -> Result<Kind, String> {
    IpMatch::from_file(&read(path.trim())?).map(Kind::IpMatch)
}

/// Operators of other engines, and why they are not here.
const REFUSED: &[(&str, &str)] = &[
    ("fuzzyHash", "it needs the ssdeep library, which is C"),
    ("gsbLookup", "no engine implements it any more"),
    (
        "inspectFile",
        "it would start a program while a request waits",
    ),
    ("rsub", "no engine implements it any more"),
    (
        "validateDTD",
        "it needs a validating XML parser, which fetches what a DTD names",
    ),
    ("validateHash", "no engine implements it any more"),
    (
        "validateSchema",
        "it needs a validating parser; check depth, names and values with rules on ARGS and XML",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(name: &str, argument: &str) -> Result<Operator, String> {
        Operator::compile(name, argument, &mut |path| match path {
            "list.data" => Ok(b"sqlmap\nnikto\n10.0.0.0/8\n".to_vec()),
            "nets.data" => Ok(b"10.0.0.0/8\n".to_vec()),
            _ => Err(format!("{path} does not exist")),
        })
    }

    #[test]
    fn names_are_known_in_any_case_and_printed_in_one() {
        assert_eq!(
            compile("DETECTsqli", "").expect("known").name(),
            "DetectSQLi"
        );
        assert_eq!(
            compile("pmf", "list.data").expect("known").name(),
            "PmFromFile"
        );
        assert!(TABLE.is_sorted_by_key(|(name, ..)| name.to_ascii_lowercase()));
        assert!(REFUSED.is_sorted_by_key(|(name, _)| name.to_ascii_lowercase()));
    }

    #[test]
    fn mistakes_are_reported_at_load() {
        for (name, argument, reason) in [
            ("rbl", "example org", "name of a list"),
            ("inspectFile", "/bin/x", "program"),
            ("nope", "", "unknown operator @nope"),
            ("rx", "(?R)", "recursion"),
            ("pmFromFile", "missing.data", "does not exist"),
            ("ipMatch", "10.0.0.0/99", "prefix"),
            ("validateByteRange", "1-999", "no byte"),
        ] {
            let error = compile(name, argument).expect_err(name);
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn files_are_read_at_load() {
        assert!(
            compile("pmFromFile", " list.data ")
                .expect("read")
                .matches(b"xNIKTOx", b"", None)
        );
        assert!(
            compile("ipMatchF", "nets.data")
                .expect("read")
                .matches(b"10.1.2.3", b"", None)
        );
    }

    #[test]
    fn macros_are_told_from_repetition() {
        assert!(
            compile("streq", "%{request_headers.host}")
                .expect("known")
                .takes_macro()
        );
        assert!(
            compile("within", "%{tx.a}")
                .expect("known")
                .prefilter()
                .is_none()
        );
        assert!(!compile("rx", "%{2}").expect("valid").takes_macro());
        assert!(!compile("pm", "%{tx.a}").expect("known").takes_macro());
    }

    #[test]
    fn the_evidence_is_the_part_that_matched_or_else_the_value() {
        for (name, argument, value, expected) in [
            ("rx", "(?i)b(.)d", "abcde", "bcd"),
            ("pm", "nikto Sqlmap", "my sqlmap/1", "Sqlmap"),
            ("detectSQLi", "", "1' or '1'='1", "s&sos"),
            ("contains", "bc", "abcd", "bc"),
            ("streq", "abc", "abc", "abc"),
            ("within", "a,b", "b", "b"),
            ("gt", "3", "17", "17"),
            ("validateByteRange", "32-126", "ab\tcd", "\t"),
        ] {
            let operator = compile(name, argument).expect(name);
            let found = operator.evidence(
                value.as_bytes(),
                argument.as_bytes(),
                &mut Budget::default(),
            );
            assert_eq!(found, expected.as_bytes(), "{name}");
        }
    }

    #[test]
    fn detections_capture_what_rules_log() {
        let mut captures = Captures::default();
        let sqli = compile("detectSQLi", "").expect("known");
        assert!(sqli.matches(b"1' or '1'='1", b"", Some(&mut captures)));
        assert_eq!(captures.iter().next(), Some((0, &b"s&sos"[..])));
        captures.clear();
        let xss = compile("detectXSS", "").expect("known");
        assert!(xss.matches(b"<script>", b"", Some(&mut captures)));
        assert_eq!(captures.iter().next(), Some((0, &b"<script>"[..])));
    }
}
