//! Keeps credentials out of the audit log.
//!
//! Hidden are the values the host's [`Redaction`] names and those that rules name with `sanitiseArg`,
//! `sanitiseMatched`, `sanitiseRequestHeader` and `sanitiseResponseHeader`: where they stand, in the
//! texts of matches, and wherever else they turn up. What may hold a hidden value and cannot be taken
//! apart is hidden whole: this errs towards hiding, for a line in a log cannot be called back.

use std::borrow::Cow;
use std::collections::BTreeSet;

use aho_corasick::AhoCorasick;

use super::trail::{Hidden, Line, Trail};
use crate::body::uri::percent_decode;
use crate::engine::{Hit, State};
use crate::variables::Variable;

/// What stands in place of a hidden value.
pub(super) const MARKER: &[u8] = b"[redacted]";

/// Which values must not be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redaction {
    headers: BTreeSet<String>,
    cookies: bool,
    arguments: BTreeSet<String>,
}

impl Redaction {
    /// Hides the values of these header fields and arguments, and of cookies both ways if asked;
    /// names are compared without case.
    pub fn new<'n>(
        headers: impl IntoIterator<Item = &'n str>,
        cookies: bool,
        arguments: impl IntoIterator<Item = &'n str>,
    ) -> Self {
        Self {
            headers: headers.into_iter().map(str::to_ascii_lowercase).collect(),
            cookies,
            arguments: arguments.into_iter().map(str::to_ascii_lowercase).collect(),
        }
    }
}

/// For tests and fuzz targets; whoever hosts the engine hands its own lists in.
#[cfg(any(test, feature = "fuzzing"))]
impl Default for Redaction {
    fn default() -> Self {
        let arguments = ["access_token", "passwd", "password", "pwd", "secret"];
        Self::new(["authorization", "x-api-key"], true, arguments)
    }
}

/// Everything that is hidden in one transaction.
pub(super) struct Hide<'a> {
    state: &'a State,
    trail: &'a Trail,
    redaction: &'a Redaction,
    /// Finds the hidden values in other texts, in any case.
    secrets: Option<AhoCorasick>,
}

impl<'a> Hide<'a> {
    pub(super) fn new(state: &'a State, trail: &'a Trail, redaction: &'a Redaction) -> Self {
        let mut hide = Self {
            state,
            trail,
            redaction,
            secrets: None,
        };
        let secrets = hide.secrets();
        if !secrets.is_empty() {
            hide.secrets = AhoCorasick::builder()
                .ascii_case_insensitive(true)
                .match_kind(aho_corasick::MatchKind::LeftmostLongest)
                .build(secrets)
                .ok();
        }
        hide
    }

    /// The value of request header `name` as it may be written.
    pub(super) fn request_header<'v>(&self, name: &[u8], value: &'v [u8]) -> Cow<'v, [u8]> {
        if self.hides_request_header(name) {
            return Cow::Borrowed(MARKER);
        }
        if self.redaction.cookies && name.eq_ignore_ascii_case(b"cookie") {
            return Cow::Owned(cookie(value));
        }
        self.target(value)
    }

    /// The value of response header `name` as it may be written.
    pub(super) fn response_header<'v>(&self, name: &[u8], value: &'v [u8]) -> Cow<'v, [u8]> {
        let asked = self.asked(|hidden| match hidden {
            Hidden::ResponseHeader(wanted) => wanted.as_bytes().eq_ignore_ascii_case(name),
            _ => false,
        });
        if asked || self.listed_header(name) {
            return Cow::Borrowed(MARKER);
        }
        if self.redaction.cookies && name.eq_ignore_ascii_case(b"set-cookie") {
            return Cow::Owned(cookie(value));
        }
        self.target(value)
    }

    /// A request target, or text that may hold one: the values of hidden arguments behind its `?`.
    pub(super) fn target<'v>(&self, target: &'v [u8]) -> Cow<'v, [u8]> {
        let Some(mark) = target.iter().position(|byte| *byte == b'?') else {
            return self.scrubbed(target);
        };
        let (path, query) = target.split_at(mark + 1);
        match self.pairs(query) {
            Cow::Borrowed(_) => self.scrubbed(target),
            Cow::Owned(query) => {
                let whole = [path, query.as_slice()].concat();
                Cow::Owned(self.scrubbed(&whole).into_owned())
            }
        }
    }

    /// `a=1&b=2` with the values of hidden arguments hidden.
    pub(super) fn pairs<'v>(&self, pairs: &'v [u8]) -> Cow<'v, [u8]> {
        let secret = |pair: &[u8]| {
            let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
            name.len() < pair.len() && self.hides_argument(&decoded(name))
        };
        let ends = |byte: &u8| matches!(byte, b'&' | b';' | b'#' | b' ');
        if !pairs.split(ends).any(secret) {
            return Cow::Borrowed(pairs);
        }
        let mut out = Vec::with_capacity(pairs.len());
        for piece in pairs.split_inclusive(ends) {
            let end = piece.iter().position(ends).unwrap_or(piece.len());
            let (pair, end) = piece.split_at(end);
            match pair.iter().position(|byte| *byte == b'=') {
                Some(equals) if secret(pair) => {
                    out.extend_from_slice(pair.get(..=equals).unwrap_or_default());
                    out.extend_from_slice(MARKER);
                }
                _ => out.extend_from_slice(pair),
            }
            out.extend_from_slice(end);
        }
        Cow::Owned(out)
    }

    /// True if the values of argument `name` are hidden. Of a path (`json.user.password`,
    /// `user[password]`, `passwords.0`) the last word that is no index counts too.
    pub(super) fn hides_argument(&self, name: &[u8]) -> bool {
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        let index = |word: &&str| {
            let word = word.strip_prefix("array_").unwrap_or(word);
            word.is_empty() || word.bytes().all(|byte| byte.is_ascii_digit())
        };
        let last = name.rsplit(['.', '[', ']']).find(|word| !index(word));
        let known = |name: &str| {
            self.redaction.arguments.contains(name)
                || self.asked(|hidden| match hidden {
                    Hidden::Argument(wanted) => wanted.eq_ignore_ascii_case(name),
                    _ => false,
                })
        };
        known(&name) || last.is_some_and(known)
    }

    /// True if a hidden argument's name stands somewhere in `text`.
    pub(super) fn may_hold_argument(&self, text: &[u8]) -> bool {
        let text = String::from_utf8_lossy(text).to_ascii_lowercase();
        let listed = self.redaction.arguments.iter();
        listed.into_iter().any(|name| text.contains(name.as_str()))
            || self.asked(|hidden| match hidden {
                Hidden::Argument(name) => text.contains(&name.to_ascii_lowercase()),
                _ => false,
            })
    }

    /// True if what a rule saw must not be told.
    pub(super) fn hides_line(&self, line: &Line) -> bool {
        line.hits.iter().any(|hit| self.hides_hit(hit))
    }

    /// Text without the hidden values that stand in it.
    pub(super) fn scrubbed<'v>(&self, text: &'v [u8]) -> Cow<'v, [u8]> {
        match &self.secrets {
            Some(secrets) if secrets.is_match(text) => {
                let mut out = Vec::with_capacity(text.len());
                secrets.replace_all_with_bytes(text, &mut out, |_, _, out| {
                    out.extend_from_slice(MARKER);
                    true
                });
                Cow::Owned(out)
            }
            _ => Cow::Borrowed(text),
        }
    }

    fn asked(&self, is: impl Fn(&Hidden) -> bool) -> bool {
        self.trail.hidden.iter().any(is)
    }

    fn listed_header(&self, name: &[u8]) -> bool {
        let mut listed = self.redaction.headers.iter();
        listed.any(|known| known.as_bytes().eq_ignore_ascii_case(name))
    }

    fn hides_request_header(&self, name: &[u8]) -> bool {
        self.listed_header(name)
            || self.asked(|hidden| match hidden {
                Hidden::RequestHeader(wanted) => wanted.as_bytes().eq_ignore_ascii_case(name),
                _ => false,
            })
    }

    fn hides_hit(&self, hit: &Hit) -> bool {
        if hit.counted {
            return false;
        }
        let same = |hidden: &Hit| hidden.raw == hit.raw && hidden.name == hit.name;
        if self.trail.hidden_hits.iter().any(same) {
            return true;
        }
        let name = self.state.arena.get(hit.name);
        match hit.variable {
            Variable::RequestHeaders => {
                let cookie = self.redaction.cookies && name.eq_ignore_ascii_case(b"cookie");
                cookie || self.hides_request_header(name) || self.holds_hidden(hit)
            }
            Variable::ResponseHeaders => {
                let hidden = self.response_header(name, b"=x");
                hidden != &b"=x"[..]
            }
            Variable::RequestCookies => self.redaction.cookies,
            Variable::Args | Variable::ArgsGet | Variable::ArgsPost => self.hides_argument(name),
            // The name of a hit in MATCHED_VARS is the full name of the variable that matched.
            Variable::MatchedVars | Variable::MatchedVar => {
                let name = name.split(|byte| *byte == b':').nth(1).unwrap_or(name);
                self.hides_argument(name) || self.hides_request_header(name)
            }
            Variable::RequestUri
            | Variable::RequestUriRaw
            | Variable::RequestLine
            | Variable::QueryString
            | Variable::RequestBody
            | Variable::FullRequest => {
                self.may_hold_argument(self.state.arena.get(hit.raw)) || self.holds_hidden(hit)
            }
            Variable::Xml => self.may_hold_argument(&self.trail.body),
            _ => false,
        }
    }

    /// True if a query or form in the value, as it came, has a hidden argument, however its name is
    /// spelt.
    fn holds_hidden(&self, hit: &Hit) -> bool {
        let value = self.state.arena.get(hit.raw);
        matches!(self.target(value), Cow::Owned(_)) || matches!(self.pairs(value), Cow::Owned(_))
    }

    /// The hidden values themselves, bounded in number and length. Short ones are left out: they
    /// stand everywhere by chance.
    fn secrets(&self) -> Vec<&'a [u8]> {
        let (state, mut found) = (self.state, Vec::new());
        let mut add = |value: &'a [u8]| {
            if found.len() < SECRETS && (SHORTEST..=LONGEST).contains(&value.len()) {
                found.push(value);
            }
        };
        for (variable, hides) in [
            (
                Variable::Args,
                Self::hides_argument as fn(&Self, &[u8]) -> bool,
            ),
            (Variable::RequestHeaders, Self::hides_request_header),
            (Variable::RequestCookies, |hide, _| hide.redaction.cookies),
        ] {
            for (_, value) in state.values.of(variable) {
                if hides(self, state.arena.get(value.name)) {
                    add(state.arena.get(value.value));
                }
            }
        }
        for hit in &self.trail.hidden_hits {
            add(state.arena.get(hit.raw));
            add(state.arena.get(hit.value));
        }
        found
    }
}

/// An argument's name as rules see it.
fn decoded(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    percent_decode(name, &mut out);
    out
}

/// `a=1; b=2` with every value hidden but those of a `Set-Cookie`'s attributes, which are no
/// secrets; a crumb without `=` that is no attribute is all value.
fn cookie(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    for (index, crumb) in value.split(|byte| *byte == b';').enumerate() {
        if index > 0 {
            out.push(b';');
        }
        let name = crumb.split(|byte| *byte == b'=').next().unwrap_or_default();
        let attribute = index > 0
            && ATTRIBUTES
                .iter()
                .any(|known| name.trim_ascii().eq_ignore_ascii_case(known));
        if attribute || crumb.trim_ascii().is_empty() {
            out.extend_from_slice(crumb);
            continue;
        }
        if name.len() < crumb.len() {
            out.extend_from_slice(name);
            out.push(b'=');
        }
        out.extend_from_slice(MARKER);
    }
    out
}

/// Attributes of `Set-Cookie` (RFC 6265).
const ATTRIBUTES: [&[u8]; 8] = [
    b"domain",
    b"expires",
    b"httponly",
    b"max-age",
    b"partitioned",
    b"path",
    b"samesite",
    b"secure",
];
/// Most hidden values that are looked for in other texts.
const SECRETS: usize = 256;
/// Lengths of values that are looked for.
const SHORTEST: usize = 4;
const LONGEST: usize = 4 << 10;
