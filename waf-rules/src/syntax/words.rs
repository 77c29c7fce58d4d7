//! A logical line -> its words: blanks separate, quotes group.
//!
//! Inside quotes only the escaped quote is an escape; every other backslash belongs to the word,
//! because the word is usually a regular expression.

use super::lines::Line;
use super::source::{Flaw, Span};

/// One argument of a directive, quotes and their escapes removed.
#[derive(Debug)]
pub(crate) struct Word {
    pub(crate) text: String,
    /// Offset in the line of the first byte of the text.
    start: usize,
    /// The quote was never closed: the word ends with its line.
    pub(crate) open: bool,
    /// Offsets in the text before which an escaping backslash was dropped.
    escapes: Vec<usize>,
}

impl Word {
    /// Where `start..end` of the word's text stands in the source.
    pub(crate) fn span(&self, line: &Line, start: usize, end: usize) -> Span {
        line.span(self.offset(start), self.offset(end))
    }

    /// Where the whole word stands.
    pub(crate) fn whole(&self, line: &Line) -> Span {
        self.span(line, 0, self.text.len())
    }

    /// Where the quote stands that opens a word in quotes.
    pub(crate) fn quote(&self, line: &Line) -> Span {
        line.span(self.start.saturating_sub(1), self.start)
    }

    fn offset(&self, at: usize) -> usize {
        let dropped = self.escapes.iter().filter(|escape| **escape <= at).count();
        self.start + at + dropped
    }
}

/// Splits `line` into words.
pub(crate) fn words(line: &Line) -> Result<Vec<Word>, Flaw> {
    let mut words = Vec::new();
    let mut rest = line.text.as_str();
    loop {
        rest = rest.trim_start();
        let start = line.text.len() - rest.len();
        let word = match rest.chars().next() {
            None => return Ok(words),
            Some(quote @ ('"' | '\'' | '`')) => quoted(line, start + 1, quote),
            Some(_) => {
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                let (text, after) = rest.split_at(end);
                rest = after;
                words.push(Word {
                    text: text.to_owned(),
                    start,
                    open: false,
                    escapes: Vec::new(),
                });
                continue;
            }
        };
        let end = start + 1 + word.text.len() + word.escapes.len() + 1;
        rest = line.text.get(end..).unwrap_or("");
        if !(rest.is_empty() || rest.starts_with(char::is_whitespace)) {
            return Err(Flaw::new(
                line.span(end - 1, end + 1),
                "a blank is missing after the closing quote",
            )
            .help(Some("inside quotes, write \\\" for a quote".to_owned())));
        }
        words.push(word);
    }
}

/// The word behind a quote, up to the quote that closes it or, as in ModSecurity, to the line's end.
fn quoted(line: &Line, start: usize, quote: char) -> Word {
    let mut text = String::new();
    let mut escapes = Vec::new();
    let body = line.text.get(start..).unwrap_or("");
    for character in body.chars() {
        if character != quote {
            text.push(character);
        } else if text.ends_with('\\') {
            text.pop();
            escapes.push(text.len());
            text.push(quote);
        } else {
            return Word {
                text,
                start,
                open: false,
                escapes,
            };
        }
    }
    Word {
        text,
        start,
        open: true,
        escapes,
    }
}

#[cfg(test)]
mod tests {
    use super::super::lines::lines;
    use super::super::source::Source;
    use super::*;

    fn split(text: &str) -> Result<Vec<String>, Flaw> {
        let source = Source::new("x", text.to_owned());
        let lines = lines(&source);
        words(&lines[0]).map(|words| words.into_iter().map(|word| word.text).collect())
    }

    #[test]
    fn quotes_group_and_only_the_quote_is_escaped() {
        let words = split(r#"SecRule ARGS "@rx \"a\\b\d" "id:1,msg:'it\'s'""#).unwrap();
        assert_eq!(
            words,
            ["SecRule", "ARGS", r#"@rx "a\\b\d"#, r"id:1,msg:'it\'s'"]
        );
    }

    #[test]
    fn an_open_quote_ends_with_its_line_and_is_marked() {
        let source = Source::new("x", r#"SecRule ARGS "@rx a"#.to_owned());
        let line = lines(&source).remove(0);
        let words = words(&line).unwrap();
        let open: Vec<_> = words.iter().map(|word| word.open).collect();
        assert_eq!(open, [false, false, true]);
        assert_eq!(words[2].text, "@rx a");
        let span = words[2].quote(&line);
        assert_eq!(span, Span { start: 13, end: 14 });
    }

    #[test]
    fn text_glued_to_a_closing_quote_is_an_error() {
        assert!(split(r#"SecRule ARGS "a"b "id:1""#).is_err());
    }

    #[test]
    fn positions_after_an_escape_lead_back_to_the_source() {
        let source = Source::new("x", r#"SecRule A "a\"bcd""#.to_owned());
        let line = lines(&source).remove(0);
        let word = words(&line).unwrap().remove(2);
        assert_eq!(word.text, r#"a"bcd"#);
        let span = word.span(&line, 3, 5);
        assert_eq!(source.text.get(span.start..span.end), Some("cd"));
    }
}
