//! The operator of a rule: `!@rx pattern`, `@eq 0`, or a bare pattern.

use super::lines::Line;
use super::source::Span;
use super::words::Word;

/// An operator as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OperatorText {
    pub(crate) negated: bool,
    /// Without `@`; `rx` where none is written.
    pub(crate) name: String,
    pub(crate) argument: String,
    pub(crate) name_span: Span,
    pub(crate) argument_span: Span,
}

/// Splits the second argument of `SecRule`.
pub(crate) fn parse_operator(word: &Word, line: &Line) -> OperatorText {
    let text = word.text.as_str();
    let rest = text.trim_start_matches([' ', '\t']);
    let (negated, rest) = match rest.strip_prefix('!') {
        Some(rest) => (true, rest.trim_start_matches([' ', '\t'])),
        None => (false, rest),
    };
    let at = |rest: &str| text.len() - rest.len();
    let Some(named) = rest.strip_prefix('@') else {
        return OperatorText {
            negated,
            name: "rx".to_owned(),
            argument: rest.to_owned(),
            name_span: word.whole(line),
            argument_span: word.span(line, at(rest), text.len()),
        };
    };
    let end = named.find([' ', '\t']).unwrap_or(named.len());
    let (name, argument) = named.split_at(end);
    let argument = argument.trim_start_matches([' ', '\t']);
    OperatorText {
        negated,
        name: name.to_owned(),
        argument: argument.to_owned(),
        name_span: word.span(line, at(rest), at(rest) + 1 + name.len()),
        argument_span: word.span(line, at(argument), text.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::lines::lines;
    use super::super::source::Source;
    use super::super::words::words;
    use super::*;

    fn parse(text: &str) -> (bool, String, String) {
        let source = Source::new("x", format!("\"{text}\""));
        let line = lines(&source).remove(0);
        let operator = parse_operator(&words(&line).unwrap()[0], &line);
        (operator.negated, operator.name, operator.argument)
    }

    #[test]
    fn the_name_the_negation_and_the_argument_come_apart() {
        let expected = |n, name: &str, argument: &str| (n, name.to_owned(), argument.to_owned());
        assert_eq!(parse("@rx a b "), expected(false, "rx", "a b "));
        assert_eq!(parse("!@within  x"), expected(true, "within", "x"));
        assert_eq!(parse("! @eq 0"), expected(true, "eq", "0"));
        assert_eq!(parse("^a@b"), expected(false, "rx", "^a@b"));
        assert_eq!(parse("!^$"), expected(true, "rx", "^$"));
        assert_eq!(parse("@detectSQLi"), expected(false, "detectSQLi", ""));
    }
}
