//! Keeps credentials out of the audit log.
//!
//! Hidden are the values the host's [`Redaction`] names and those that rules name with `sanitiseArg`,
//! `sanitiseMatched`, `sanitiseRequestHeader` and `sanitiseResponseHeader`: where they stand, in the
//! texts of matches, and wherever else they turn up. What may hold a hidden value and cannot be taken
//! apart is hidden whole: this errs towards hiding, for a line in a log cannot be called back.

use std::borrow::Cow;
use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeSet, HashMap, HashSet};

use aho_corasick::AhoCorasick;

use super::trail::{BODY, Hidden, Line, Trail};
use super::{body, walk};
use crate::body::uri::percent_decode;
use crate::engine::{Hit, State, Text};
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
    /// Names of hidden arguments, in lower case.
    arguments: Vec<Cow<'a, str>>,
    /// Finds them in texts, in any case.
    names: Option<AhoCorasick>,
    /// Names of arguments that hold a hidden one in another form, in lower case.
    coded: HashSet<String>,
    /// Finds the hidden values in other texts, in any case.
    secrets: Option<AhoCorasick>,
    /// Whether values hold a hidden argument; each is walked once, however many rules it met.
    holding: RefCell<HashMap<(Text, bool), bool>>,
    document: OnceCell<bool>,
    response: OnceCell<bool>,
}

impl<'a> Hide<'a> {
    pub(super) fn new(state: &'a State, trail: &'a Trail, redaction: &'a Redaction) -> Self {
        let asked = trail.hidden.iter().filter_map(|hidden| match hidden {
            Hidden::Argument(name) => Some(Cow::Owned(name.to_ascii_lowercase())),
            _ => None,
        });
        let listed = redaction.arguments.iter();
        let listed = listed.map(|name| Cow::Borrowed(name.as_str()));
        let arguments: Vec<Cow<'a, str>> = listed
            .chain(asked)
            .filter(|name| !name.is_empty())
            .collect();
        let names = arguments.iter().map(|name| name.as_bytes());
        let mut hide = Self {
            state,
            trail,
            redaction,
            names: AhoCorasick::builder()
                .ascii_case_insensitive(true)
                .build(names)
                .ok(),
            arguments,
            coded: HashSet::new(),
            secrets: None,
            holding: RefCell::default(),
            document: OnceCell::new(),
            response: OnceCell::new(),
        };
        hide.coded = hide.coded();
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

    /// True if the values of argument `name` are hidden. Of a path (`json.password.value`,
    /// `password[current]`, `password.base64`) every word counts: what stands below a hidden name, or
    /// was decoded from its value, is no less secret.
    pub(super) fn hides_argument(&self, name: &[u8]) -> bool {
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        self.names_hidden(&name) || self.coded.contains(&name)
    }

    /// True if a hidden argument's name stands somewhere in `text`.
    pub(super) fn may_hold_argument(&self, text: &[u8]) -> bool {
        match &self.names {
            Some(names) => names.is_match(text),
            None => !self.arguments.is_empty(),
        }
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

    /// The first `most` bytes, hidden values hidden, and how many are left out.
    pub(super) fn excerpt(&self, text: &[u8], most: usize) -> (Vec<u8>, usize) {
        let (mut out, mut rest) = (Vec::with_capacity(most), text);
        while out.len() < most && !rest.is_empty() {
            let room = most - out.len();
            let window = rest.get(..room + LONGEST).unwrap_or(rest);
            let secret = self.secrets.as_ref().and_then(|known| known.find(window));
            let secret = secret.filter(|found| found.start() < room);
            let plain = secret.map_or(room.min(rest.len()), |found| found.start());
            out.extend_from_slice(rest.get(..plain).unwrap_or_default());
            if secret.is_some() {
                out.extend_from_slice(MARKER);
            }
            let read = secret.map_or(plain, |found| found.end());
            rest = rest.get(read..).unwrap_or_default();
        }
        (out, rest.len())
    }

    /// True if a word of `path`, which is in lower case, is a hidden name.
    fn names_hidden(&self, path: &str) -> bool {
        self.may_hold_argument(path.as_bytes())
            && self.arguments.iter().any(|name| has_word(path, name))
    }

    /// Names of the arguments that a hidden one was decoded from, in lower case.
    fn coded(&self) -> HashSet<String> {
        let mut found = HashSet::new();
        if self.state.nested.is_empty() {
            return found;
        }
        for (_, value) in self.state.values.of(Variable::Args) {
            let name = String::from_utf8_lossy(self.state.arena.get(value.name));
            let name = name.to_ascii_lowercase();
            if !self.names_hidden(&name) {
                continue;
            }
            for form in [".base64", ".url", ".json"] {
                let ends = name.match_indices(form).take(DECODINGS);
                found.extend(ends.filter_map(|(end, _)| Some(name.get(..end)?.to_owned())));
            }
        }
        found
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
            // The name of a hit in MATCHED_VARS is the full name of the variable that matched.
            Variable::MatchedVars | Variable::MatchedVar => {
                let colon = name.iter().position(|byte| *byte == b':');
                let (variable, key) = name.split_at(colon.unwrap_or(name.len()));
                let variable = std::str::from_utf8(variable).ok();
                let variable = variable.and_then(Variable::from_name);
                let key = key.strip_prefix(b":").unwrap_or(key);
                variable.is_some_and(|variable| self.hides_member(variable, key, hit.raw))
            }
            variable => self.hides_member(variable, name, hit.raw),
        }
    }

    /// True if member `name` of `variable`, with this value, is hidden.
    fn hides_member(&self, variable: Variable, name: &[u8], value: Text) -> bool {
        match variable {
            Variable::RequestHeaders => {
                let cookie = self.redaction.cookies && name.eq_ignore_ascii_case(b"cookie");
                cookie || self.hides_request_header(name) || self.holds_hidden(value, false)
            }
            Variable::ResponseHeaders => {
                let hidden = self.response_header(name, b"=x");
                hidden != &b"=x"[..] || self.holds_hidden(value, false)
            }
            Variable::RequestCookies => self.redaction.cookies,
            Variable::Args
            | Variable::ArgsGet
            | Variable::ArgsPost
            | Variable::ArgsJson
            | Variable::ArgsPath
            | Variable::ResponseArgs => self.hides_argument(name),
            Variable::RequestUri
            | Variable::RequestUriRaw
            | Variable::RequestLine
            | Variable::QueryString
            | Variable::RequestBody
            | Variable::FullRequest => self.holds_hidden(value, true),
            Variable::Xml | Variable::RequestXml => self.hides_document(),
            Variable::ResponseXml | Variable::ResponseBody => self.hides_response(),
            _ => false,
        }
    }

    /// True if a query or form in the value, as it came, has a hidden argument, however its name is
    /// spelt; with `names` also if such a name just stands there. Asked once of each value. One that is
    /// longer than an entry shows of a body is not walked, and may hold anything.
    fn holds_hidden(&self, value: Text, names: bool) -> bool {
        if value.len() > BODY {
            return true;
        }
        if let Some(known) = self.holding.borrow().get(&(value, names)) {
            return *known;
        }
        walk(value.len());
        let text = self.state.arena.get(value);
        let holds = (names && self.may_hold_argument(text))
            || matches!(self.target(text), Cow::Owned(_))
            || matches!(self.pairs(text), Cow::Owned(_));
        self.holding.borrow_mut().insert((value, names), holds);
        holds
    }

    /// True if a hidden name may stand in the XML of the request, of which only the start was kept.
    fn hides_document(&self) -> bool {
        let (kept, length) = (&self.trail.body, self.trail.body_length);
        *self.document.get_or_init(|| {
            walk(kept.len());
            length > kept.len() || self.may_hold_argument(kept)
        })
    }

    /// True if the response has a hidden member, or a hidden name behind what an entry shows of it.
    fn hides_response(&self) -> bool {
        *self.response.get_or_init(|| {
            let whole = self.state.values.of(Variable::ResponseBody).next();
            let whole = whole.map_or(&b""[..], |(_, value)| self.state.arena.get(value.value));
            let (shown, rest) = whole.split_at(whole.len().min(BODY));
            walk(whole.len());
            self.may_hold_argument(rest) || body::without_members(self.state, shown, self) != shown
        })
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
            (Variable::ResponseArgs, Self::hides_argument),
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

/// True if `word` stands in `path`, a name such as `a.b[c]`, as a word or several.
fn has_word(path: &str, word: &str) -> bool {
    let ends = |byte: Option<&u8>| byte.is_none_or(|byte| matches!(byte, b'.' | b'[' | b']'));
    path.match_indices(word).any(|(at, _)| {
        let (before, rest) = path.as_bytes().split_at(at);
        ends(before.last()) && ends(rest.get(word.len()))
    })
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
/// Most words of one name that are taken for a decoding.
const DECODINGS: usize = 16;
