//! The action list of a rule: `id:1,phase:2,msg:'a, b',t:none`.
//!
//! A value in single quotes may hold commas; `\'` stands for a quote inside it.

use super::lines::Line;
use super::source::{Flaw, Span};
use super::words::Word;

/// One action as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ActionText {
    pub(crate) name: String,
    pub(crate) value: Option<String>,
    pub(crate) span: Span,
}

/// Splits the third argument of `SecRule` (the first of `SecAction`).
pub(crate) fn parse_actions(word: &Word, line: &Line) -> Result<Vec<ActionText>, Flaw> {
    let mut actions = Vec::new();
    let mut start = 0;
    while let Some(rest) = word.text.get(start..).filter(|rest| !rest.is_empty()) {
        let length = item_length(rest)
            .map_err(|at| Flaw::new(word.span(line, start + at, start + at + 1), OPEN_QUOTE))?;
        let item = rest.get(..length).unwrap_or("");
        let trimmed = item.trim();
        if !trimmed.is_empty() {
            let from = start + (item.len() - item.trim_start().len());
            let span = word.span(line, from, from + trimmed.len());
            actions.push(action(trimmed, span));
        }
        start += length + 1;
    }
    Ok(actions)
}

const OPEN_QUOTE: &str = "this quote is never closed";

/// Bytes up to the comma that ends the item, or the offset of a quote that is never closed.
fn item_length(text: &str) -> Result<usize, usize> {
    let mut open = None;
    let mut before = ' ';
    for (at, character) in text.char_indices() {
        match (character, open) {
            ('\'', None) if before == ':' || before == '=' || before == '!' => open = Some(at),
            ('\'', Some(_)) if before != '\\' => open = None,
            (',', None) => return Ok(at),
            _ => {}
        }
        before = character;
    }
    open.map_or(Ok(text.len()), Err)
}

fn action(item: &str, span: Span) -> ActionText {
    let (name, value) = match item.split_once(':') {
        Some((name, value)) => (name.trim(), Some(unquoted(value.trim()))),
        None => (item, None),
    };
    ActionText {
        name: name.to_owned(),
        value,
        span,
    }
}

/// Drops the quotes around the whole value, or around what follows its `=`, and their escapes.
fn unquoted(value: &str) -> String {
    if let Some(inner) = strip_quotes(value) {
        return inner;
    }
    match value.split_once('=') {
        Some((name, quoted)) => match strip_quotes(quoted) {
            Some(inner) => format!("{name}={inner}"),
            None => value.to_owned(),
        },
        None => value.to_owned(),
    }
}

fn strip_quotes(value: &str) -> Option<String> {
    let inner = value.strip_prefix('\'')?.strip_suffix('\'')?;
    Some(inner.replace("\\'", "'"))
}

#[cfg(test)]
mod tests {
    use super::super::lines::lines;
    use super::super::source::Source;
    use super::super::words::words;
    use super::*;

    fn parse(text: &str) -> Result<Vec<(String, Option<String>)>, Flaw> {
        let source = Source::new("x", format!("\"{text}\""));
        let line = lines(&source).remove(0);
        let word = words(&line).unwrap().remove(0);
        parse_actions(&word, &line)
            .map(|actions| actions.into_iter().map(|a| (a.name, a.value)).collect())
    }

    #[test]
    fn commas_inside_quotes_do_not_separate() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            parse(r"id:'1', msg:'it\'s, well' ,deny,setvar:tx.a='x,y',t:none,").unwrap(),
            [
                ("id".to_owned(), some("1")),
                ("msg".to_owned(), some("it's, well")),
                ("deny".to_owned(), None),
                ("setvar".to_owned(), some("tx.a=x,y")),
                ("t".to_owned(), some("none")),
            ]
        );
    }

    #[test]
    fn an_open_quote_is_reported() {
        assert!(parse("id:1,msg:'never").is_err());
    }

    #[test]
    fn an_apostrophe_inside_a_bare_value_is_text() {
        assert_eq!(
            parse("msg:don't,deny").unwrap()[0].1.as_deref(),
            Some("don't")
        );
    }
}
