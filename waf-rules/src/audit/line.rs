//! The sentence about one match: part H of an entry, the error log, and the messages of JSON.
//!
//! `ModSecurity: Warning. Matched "Operator `Rx' with parameter …" against variable … [file "…"] …`: tools
//! read the bracketed fields by their names, so a value must never hold a quote of its own.

use std::borrow::Cow;

use super::entry::Page;
use super::escape::{authored, cut, plain, quoted};
use super::redact::MARKER;
use super::trail::{Line, Told};
use crate::engine::{Hit, Rule};
use crate::variables::Variable;

/// A line with its rule, values hidden as they must be.
pub(super) struct Message<'a> {
    pub(super) rule: &'a Rule,
    line: &'a Line,
    hidden: bool,
    pub(super) msg: Cow<'a, [u8]>,
    pub(super) data: Cow<'a, [u8]>,
    pub(super) tags: Vec<Cow<'a, [u8]>>,
    /// The operator's sentence, escaped; empty for a `SecAction`.
    pub(super) matched: Vec<u8>,
}

impl<'a> Message<'a> {
    /// The message of `line`; none if its rule is not known, which cannot be.
    pub(super) fn new(page: &Page<'a>, line: &'a Line) -> Option<Self> {
        let rule = page.rules.rules.get(line.rule as usize)?;
        let hide = &page.hide;
        let hidden = hide.hides_line(line);
        let secret = |text: &'a [u8]| {
            if hidden && !text.is_empty() {
                Cow::Borrowed(MARKER)
            } else {
                hide.scrubbed(text)
            }
        };
        let tags = line.tags.iter();
        let mut message = Self {
            rule,
            line,
            hidden,
            msg: if line.constant {
                Cow::Borrowed(&line.msg)
            } else {
                secret(&line.msg)
            },
            data: secret(&line.data),
            tags: tags
                .map(|tag| match &rule.meta.tag_templates {
                    None => Cow::Borrowed(tag.as_slice()),
                    Some(_) => secret(tag),
                })
                .collect(),
            matched: Vec::new(),
        };
        if let Some(told) = &line.told {
            message.matched = message.sentence(page, told);
        }
        Some(message)
    }

    /// The severity of the last link that names one.
    pub(super) fn severity(&self) -> u8 {
        let links = self.rule.links.iter().rev();
        let severity = links.filter_map(|link| link.severity).next();
        severity.or(self.rule.meta.severity).unwrap_or(0)
    }

    /// Where the match lies in the request.
    pub(super) fn reference(&self) -> &str {
        &self.line.reference
    }

    /// Appends the whole line, without its end.
    pub(super) fn write(&self, page: &Page<'_>, out: &mut Vec<u8>) {
        match self.line.refused {
            None => out.extend_from_slice(b"ModSecurity: Warning. "),
            Some(status) => {
                let phase = self.rule.phase;
                let denied =
                    format!("ModSecurity: Access denied with code {status} (phase {phase}). ");
                out.extend_from_slice(denied.as_bytes());
            }
        }
        out.extend_from_slice(&self.matched);
        let meta = &self.rule.meta;
        let (id, line) = (self.rule.id.to_string(), meta.line.to_string());
        let severity = self.severity().to_string();
        let maturity = meta.maturity.to_string();
        let accuracy = meta.accuracy.to_string();
        for (name, value) in [
            ("file", meta.file.as_bytes()),
            ("line", line.as_bytes()),
            ("id", id.as_bytes()),
            ("rev", meta.rev.as_deref().unwrap_or_default().as_bytes()),
            ("msg", &self.msg),
            ("data", &self.data),
            ("severity", severity.as_bytes()),
            ("ver", meta.ver.as_deref().unwrap_or_default().as_bytes()),
            ("maturity", maturity.as_bytes()),
            ("accuracy", accuracy.as_bytes()),
        ] {
            field(out, name, value);
        }
        for tag in &self.tags {
            field(out, "tag", tag);
        }
        field(out, "hostname", page.value(Variable::ServerAddr));
        let path = page.value(Variable::RequestFilename);
        field(out, "uri", &page.hide.scrubbed(path));
        field(out, "unique_id", page.value(Variable::UniqueId));
        field(out, "ref", self.line.reference.as_bytes());
    }

    /// What ModSecurity says of the operator.
    fn sentence(&self, page: &Page<'_>, told: &Told) -> Vec<u8> {
        let check = self
            .rule
            .links
            .get(told.link)
            .and_then(|link| link.check.as_ref());
        let name = check.map_or("", |check| check.operator.name());
        match name {
            "DetectSQLi" => return b"detected SQLi using libinjection.".to_vec(),
            "DetectXSS" => return b"detected XSS using libinjection.".to_vec(),
            _ => {}
        }
        let mut out = format!("Matched \"Operator `{name}' with parameter `").into_bytes();
        let (parameter, rest) = cut(&told.parameter, PARAMETER);
        if told.expanded {
            quoted(&mut out, &page.hide.scrubbed(parameter));
        } else {
            authored(&mut out, parameter);
        }
        out.extend_from_slice(rest.as_bytes());
        out.extend_from_slice(b"' against variable `");
        variable(page, &told.hit, &mut out);
        out.extend_from_slice(b"' (Value: `");
        if self.hidden {
            out.extend_from_slice(MARKER);
        } else {
            // As it came: `data` shows what the rule made of it.
            let value = page.state.arena.get(told.hit.raw);
            let (value, omitted) = page.hide.excerpt(value, VALUE);
            quoted(&mut out, &value);
            if omitted > 0 {
                out.extend_from_slice(format!(" ({omitted} characters omitted)").as_bytes());
            }
        }
        out.extend_from_slice(b"' )");
        out
    }
}

/// `ARGS:name`.
fn variable(page: &Page<'_>, hit: &Hit, out: &mut Vec<u8>) {
    let name = page.state.arena.get(hit.name);
    if matches!(
        hit.variable,
        Variable::MatchedVars | Variable::MatchedVarsNames
    ) {
        return quoted(out, name);
    }
    plain(out, hit.variable.name().as_bytes());
    if hit.variable.keyed() && !(hit.counted && name.is_empty()) {
        out.push(b':');
        quoted(out, name);
    }
}

fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(b" [");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b" \"");
    quoted(out, value);
    out.extend_from_slice(b"\"]");
}

/// Most bytes of an operator's parameter, as in ModSecurity.
const PARAMETER: usize = 200;
/// Most bytes of a value, as in ModSecurity.
const VALUE: usize = 100;
