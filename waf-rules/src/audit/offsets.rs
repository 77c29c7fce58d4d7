//! `[ref "o0,4v8,11t:urlDecodeUni"]`: where a match lies in the request as it was sent.
//!
//! For each value that matched: `o` places of the operator in the transformed value, `v` place of the
//! variable in the request (the head's lines ending in one byte each, as libmodsecurity counts), `t:`
//! the transformations. What has no place of its own (`TX`, JSON members, counts) has no `v`. Worked
//! out when a logged rule has matched, from the values and the start of the body that was kept: what
//! lies beyond it has no place.

use std::fmt::Write;

use super::Trail;
use super::layout::{Layout, Part, Place};
use super::trail::BODY;
use crate::engine::{Hit, Processor, Rule, RuleSet, State, Text};
use crate::regex::Budget;
use crate::variables::Variable;

/// The reference of a match of `rule` on `hits`, each with the number of its link.
pub(super) fn reference(
    rules: &RuleSet,
    state: &State,
    rule: &Rule,
    trail: &Trail,
    hits: &[(usize, Hit)],
) -> String {
    let request = Request::new(rules, state, trail);
    let mut out = String::new();
    let mut budget = Budget::default();
    for (number, hit) in hits {
        let Some(link) = rule.links.get(*number) else {
            continue;
        };
        let Some(check) = &link.check else { continue };
        if out.len() > REFERENCE {
            break;
        }
        if !check.negated && check.template.is_none() {
            let value = start(state.arena.get(hit.value));
            let places = check
                .operator
                .places(value, check.argument.as_bytes(), &mut budget);
            write(&mut out, 'o', &places);
        }
        let places = request.places(hit);
        write(&mut out, 'v', &places);
        let pipeline = rules.pipelines.get(link.pipeline as usize);
        if places.is_empty() && hit.counted {
            continue;
        }
        for (index, step) in pipeline
            .iter()
            .flat_map(|line| line.steps.iter())
            .enumerate()
        {
            let comma = if index > 0 { "," } else { "" };
            // Writing to a string cannot fail.
            let _ = write!(out, "{comma}t:{}", step.name());
        }
    }
    out
}

/// As much of a text as is walked for each hit.
fn start(text: &[u8]) -> &[u8] {
    text.get(..BODY).unwrap_or(text)
}

fn write(out: &mut String, letter: char, places: &[Place]) {
    for (offset, length) in places.iter().take(PLACES) {
        let _ = write!(out, "{letter}{offset},{length}");
    }
}

/// The request, to be measured.
struct Request<'a> {
    state: &'a State,
    layout: &'a Layout,
    body: &'a [u8],
    /// How long the whole body was.
    body_length: usize,
    separator: u8,
}

impl<'a> Request<'a> {
    fn new(rules: &RuleSet, state: &'a State, trail: &'a Trail) -> Self {
        let mut request = Self {
            state,
            layout: &trail.layout,
            body: &trail.body,
            body_length: trail.body_length,
            separator: rules.settings.argument_separator,
        };
        if request.body.is_empty() {
            // No part shows the body, but the rules keep that of a form.
            request.body = start(request.first(Variable::RequestBody));
        }
        request
    }

    fn places(&self, hit: &Hit) -> Vec<Place> {
        if hit.counted {
            return Vec::new();
        }
        let length = hit.raw.len();
        let target = self.length(Variable::RequestMethod) + 1;
        let uri = self.first(Variable::RequestUriRaw);
        let path = uri.iter().position(|byte| matches!(byte, b'?' | b'#'));
        let path = uri.get(..path.unwrap_or(uri.len())).unwrap_or_default();
        match hit.variable {
            Variable::RequestLine | Variable::RequestMethod | Variable::RemoteAddr => {
                vec![(0, length)]
            }
            Variable::RequestProtocol => vec![(target + uri.len() + 1, length)],
            Variable::RequestUri | Variable::RequestUriRaw => vec![(target, uri.len())],
            Variable::RequestFilename | Variable::PathInfo => vec![(target, path.len())],
            Variable::RequestBasename => {
                let slash = path.iter().rposition(|byte| matches!(byte, b'/' | b'\\'));
                let start = slash.map_or(0, |at| at + 1);
                vec![(target + start, path.len() - start)]
            }
            Variable::QueryString => self.query().into_iter().collect(),
            Variable::RequestBodyLength => vec![(self.body_or_answer(), self.body_length)],
            Variable::RequestBody | Variable::ResponseBody | Variable::ResponseHeaders => {
                vec![(self.body_or_answer(), length)]
            }
            Variable::ArgsCombinedSize => self.all_arguments(),
            Variable::FilesCombinedSize => self.all_files(),
            _ => self.member(hit).into_iter().collect(),
        }
    }

    /// The place of a member of a collection.
    fn member(&self, hit: &Hit) -> Option<Place> {
        let length = hit.raw.len();
        match hit.variable {
            Variable::RequestHeaders => {
                let index = self.index(Variable::RequestHeaders, |value| value.1 == hit.raw)?;
                Some((self.header(index)?.1, length))
            }
            Variable::RequestHeadersNames => {
                let index = self.index(Variable::RequestHeaders, |value| value.0 == hit.raw)?;
                Some((self.header(index)?.0, length))
            }
            Variable::ServerName => Some((self.header_called(b"host")?.1, length)),
            Variable::AuthType => Some((self.header_called(b"authorization")?.1, length)),
            Variable::RemoteUser => {
                let (_, start, length) = self.header_called(b"authorization")?;
                Some((start, length))
            }
            Variable::RequestCookies => self.cookie(hit, false),
            Variable::RequestCookiesNames => self.cookie(hit, true),
            Variable::Args | Variable::ArgsGet | Variable::ArgsPost => self.argument(hit, false),
            Variable::ArgsNames | Variable::ArgsGetNames | Variable::ArgsPostNames => {
                self.argument(hit, true)
            }
            Variable::Files => self.file(hit, |part| part.file),
            Variable::FilesNames => self.file(hit, |part| Some(part.name)),
            Variable::MultipartFilename => self.part(hit, |part| part.file),
            Variable::MultipartName => self.part(hit, |part| Some(part.name)),
            Variable::FilesSizes | Variable::FilesTmpContent => {
                self.file(hit, |part| Some(part.content))
            }
            _ => None,
        }
    }

    /// Names and values of `variable`, in wire order.
    fn texts(&self, variable: Variable) -> impl Iterator<Item = (Text, Text)> {
        let values = self.state.values.of(variable);
        values.map(|(_, value)| (value.name, value.value))
    }

    fn index(&self, variable: Variable, is: impl Fn((Text, Text)) -> bool) -> Option<usize> {
        self.texts(variable).position(is)
    }

    fn first(&self, variable: Variable) -> &'a [u8] {
        let text = self.texts(variable).next();
        text.map_or(b"", |(_, value)| self.state.arena.get(value))
    }

    fn length(&self, variable: Variable) -> usize {
        self.first(variable).len()
    }

    /// Where name and value of every header begin, and how long the value is.
    fn headers(&self) -> impl Iterator<Item = (Text, usize, usize, usize)> {
        let mut at = self.length(Variable::RequestLine) + 1;
        self.texts(Variable::RequestHeaders)
            .map(move |(name, value)| {
                let start = at;
                at += name.len() + 2 + value.len() + 1;
                (name, start, start + name.len() + 2, value.len())
            })
    }

    fn header(&self, index: usize) -> Option<Place> {
        let (_, name, value, _) = self.headers().nth(index)?;
        Some((name, value))
    }

    fn header_called(&self, wanted: &[u8]) -> Option<(usize, usize, usize)> {
        let is = |name: Text| self.state.arena.get(name).eq_ignore_ascii_case(wanted);
        let found = self.headers().find(|(name, ..)| is(*name))?;
        Some((found.1, found.2, found.3))
    }

    /// Where the body begins.
    fn head(&self) -> usize {
        let last = self.headers().last();
        let line = self.length(Variable::RequestLine) + 1;
        last.map_or(line, |(_, _, value, length)| value + length + 1) + 1
    }

    /// Where libmodsecurity lets the body as a whole and the response begin: it counts the empty line
    /// behind the head only once it has read a form.
    fn body_or_answer(&self) -> usize {
        let form = self.state.processor == Some(Processor::UrlEncoded) && !self.body.is_empty();
        self.head() - usize::from(!form)
    }

    /// The query in the request line.
    fn query(&self) -> Option<Place> {
        let uri = self.first(Variable::RequestUriRaw);
        let mark = uri.iter().position(|byte| *byte == b'?')?;
        let start = self.length(Variable::RequestMethod) + 1 + mark + 1;
        Some((start, self.length(Variable::QueryString)))
    }

    fn cookie(&self, hit: &Hit, names: bool) -> Option<Place> {
        let wanted = |(name, value): (Text, Text)| {
            if names {
                name == hit.raw
            } else {
                value == hit.raw
            }
        };
        let mut left = self.index(Variable::RequestCookies, wanted)?;
        for ((name, value), (_, _, start, _)) in
            self.texts(Variable::RequestHeaders).zip(self.headers())
        {
            if !self.state.arena.get(name).eq_ignore_ascii_case(b"cookie") {
                continue;
            }
            let mut at = start;
            for piece in self.state.arena.get(value).split(|byte| *byte == b';') {
                let blanks = piece.iter().take_while(|byte| byte.is_ascii_whitespace());
                let blanks = blanks.count();
                let begin = at + blanks;
                at += piece.len() + 1;
                if blanks == piece.len() {
                    continue;
                }
                if left == 0 {
                    let equals = piece.iter().position(|byte| *byte == b'=');
                    let value = equals.map_or(piece.len(), |equals| equals + 1) - blanks;
                    return Some((begin + if names { 0 } else { value }, hit.raw.len()));
                }
                left -= 1;
            }
        }
        None
    }

    fn argument(&self, hit: &Hit, names: bool) -> Option<Place> {
        let wanted = |(name, value): (Text, Text)| {
            if names {
                name == hit.raw
            } else {
                value == hit.raw
            }
        };
        if let Some(index) = self.index(Variable::ArgsGet, wanted) {
            let (start, _) = self.query()?;
            let pair = self.query_pairs().get(index)?;
            let offset = if names { pair.0 } else { pair.1 };
            return Some((start + offset, hit.raw.len()));
        }
        let index = self.index(Variable::ArgsPost, wanted)?;
        match self.state.processor {
            Some(Processor::UrlEncoded) => {
                let pair = self.layout.body(self.body, self.separator).get(index)?;
                let offset = if names { pair.0 } else { pair.1 };
                Some((self.head() + offset, hit.raw.len()))
            }
            Some(Processor::Multipart) => {
                let mut fields = self.parts().iter().filter(|part| part.file.is_none());
                let part = fields.nth(index)?;
                let (offset, length) = if names { part.name } else { part.content };
                Some((self.head() + offset, length))
            }
            _ => None,
        }
    }

    fn query_pairs(&self) -> &'a [Place] {
        let query = self.first(Variable::QueryString);
        self.layout.query(query, self.separator)
    }

    fn parts(&self) -> &'a [Part] {
        self.layout.parts(self.body)
    }

    /// Every name and every value, as the size of all was summed up.
    fn all_arguments(&self) -> Vec<Place> {
        let Some((start, _)) = self.query() else {
            return Vec::new();
        };
        let arguments = self.texts(Variable::ArgsGet).zip(self.query_pairs());
        arguments
            .flat_map(|((name, value), (name_at, value_at))| {
                [
                    (start + name_at, name.len()),
                    (start + value_at, value.len()),
                ]
            })
            .collect()
    }

    fn all_files(&self) -> Vec<Place> {
        let head = self.head();
        let files = self.parts().iter().filter(|part| part.file.is_some());
        files
            .map(|part| (head + part.content.0, part.content.1))
            .collect()
    }

    /// The place of a part's word that reads like the hit.
    fn part(&self, hit: &Hit, place: impl Fn(&Part) -> Option<Place>) -> Option<Place> {
        let wanted = self.state.arena.get(hit.raw);
        let places = self.parts().iter();
        let (at, length) = places
            .filter_map(place)
            .find(|(at, length)| self.body.get(*at..at + length) == Some(wanted))?;
        Some((self.head() + at, length))
    }

    fn file(&self, hit: &Hit, place: impl Fn(&Part) -> Option<Place>) -> Option<Place> {
        let index = self
            .state
            .values
            .of(hit.variable)
            .position(|(_, value)| value.value == hit.raw && value.name == hit.name)?;
        let mut files = self.parts().iter().filter(|part| part.file.is_some());
        let part = files.nth(index)?;
        let (offset, length) = place(part)?;
        Some((self.head() + offset, length))
    }
}

/// Longest reference, about.
const REFERENCE: usize = 2 << 10;
/// Most places of one operator or variable.
const PLACES: usize = 32;
