//! The target list of a rule: `ARGS|!ARGS:token|&TX:x|REQUEST_COOKIES:/re/|XML:/*`.

use super::lines::Line;
use super::source::{Flaw, Span};
use super::words::Word;

/// One item of a target list, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TargetText {
    /// `!`: leaves something out.
    pub(crate) excluded: bool,
    /// `&`: the count instead of the values.
    pub(crate) counted: bool,
    pub(crate) name: String,
    pub(crate) selector: Option<SelectorText>,
    pub(crate) span: Span,
}

/// What follows the colon.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum SelectorText {
    /// One key.
    Key(String),
    /// `/regular expression/` over the keys.
    Regex(String),
}

/// Parses a target list; with `commas`, as in the `SecRuleUpdateTarget…` directives, keys hold none.
pub(crate) fn parse_targets(
    word: &Word,
    line: &Line,
    commas: bool,
) -> Result<Vec<TargetText>, Flaw> {
    let mut reader = Reader {
        text: &word.text,
        at: 0,
        commas,
    };
    let mut targets = Vec::new();
    loop {
        reader.skip_blanks();
        let start = reader.at;
        let parsed = reader.target();
        let span = word.span(line, start, reader.at.max(start + 1));
        let (excluded, counted, name, selector) =
            parsed.map_err(|message| Flaw::new(span, message))?;
        targets.push(TargetText {
            excluded,
            counted,
            name,
            selector,
            span,
        });
        reader.skip_blanks();
        if reader.at >= word.text.len() {
            return Ok(targets);
        }
        // Where no key can hold a comma, one separates targets, as in ModSecurity.
        let separated = reader.eat('|') || reader.eat(',');
        if !separated {
            return Err(Flaw::new(
                word.span(line, reader.at, reader.at + 1),
                "expected `|` between two targets",
            ));
        }
    }
}

/// Parses one target that stands alone, as in `ctl:ruleRemoveTargetById=1;ARGS:x`.
pub(crate) fn parse_target(text: &str) -> Result<(String, Option<SelectorText>), String> {
    let mut reader = Reader {
        text,
        at: 0,
        commas: false,
    };
    reader.skip_blanks();
    let (_, _, name, selector) = reader.target()?;
    reader.skip_blanks();
    if reader.at < text.len() {
        return Err("expected one target".to_owned());
    }
    Ok((name, selector))
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    commas: bool,
}

type Parts = (bool, bool, String, Option<SelectorText>);

impl Reader<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.rest().starts_with(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    fn skip_blanks(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn target(&mut self) -> Result<Parts, String> {
        let excluded = self.eat('!');
        let counted = !excluded && self.eat('&');
        let length = self
            .rest()
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .unwrap_or(self.rest().len());
        let name = self.rest().get(..length).unwrap_or("").to_owned();
        if name.is_empty() {
            return Err("expected the name of a variable".to_owned());
        }
        self.at += length;
        // A dot does for the colon, as in the names of `setvar`.
        if !self.eat(':') && !self.eat('.') {
            return Ok((excluded, counted, name, None));
        }
        // XPath expressions begin with a slash and are no regular expressions.
        let path = ["XML", "REQUEST_XML", "RESPONSE_XML"]
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known));
        let selector = self.selector(path)?;
        Ok((excluded, counted, name, Some(selector)))
    }

    fn selector(&mut self, path: bool) -> Result<SelectorText, String> {
        if self.eat('\'') {
            let inner = self.until('\'', "this selector's quote is never closed")?;
            let regex = inner.len() > 1 && inner.starts_with('/') && inner.ends_with('/');
            return Ok(match inner.get(1..inner.len().saturating_sub(1)) {
                Some(pattern) if regex => SelectorText::Regex(pattern.to_owned()),
                _ => SelectorText::Key(inner),
            });
        }
        if !path && self.eat('/') {
            return self
                .until('/', "this selector's regular expression is never closed")
                .map(SelectorText::Regex);
        }
        let commas = self.commas;
        let length = self
            .rest()
            .find(|c| c == '|' || (commas && c == ','))
            .unwrap_or(self.rest().len());
        let key = self
            .rest()
            .get(..length)
            .unwrap_or("")
            .trim_end()
            .to_owned();
        self.at += length;
        if key.is_empty() {
            return Err("expected a key after the colon".to_owned());
        }
        Ok(SelectorText::Key(key))
    }

    /// Everything up to the first `end` that no backslash escapes, which is consumed.
    fn until(&mut self, end: char, open: &str) -> Result<String, String> {
        let mut inner = String::new();
        for (at, character) in self.rest().char_indices() {
            if character != end {
                inner.push(character);
            } else if inner.ends_with('\\') {
                inner.pop();
                inner.push(end);
            } else {
                self.at += at + end.len_utf8();
                return Ok(inner);
            }
        }
        Err(open.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::super::lines::lines;
    use super::super::source::Source;
    use super::super::words::words;
    use super::*;

    fn parse(text: &str, commas: bool) -> Result<Vec<String>, String> {
        let source = Source::new("x", format!("\"{text}\""));
        let line = lines(&source).remove(0);
        let word = words(&line).unwrap().remove(0);
        parse_targets(&word, &line, commas)
            .map(|targets| targets.iter().map(show).collect())
            .map_err(|flaw| flaw.message)
    }

    fn show(target: &TargetText) -> String {
        let mark = match (target.excluded, target.counted) {
            (true, _) => "!",
            (_, true) => "&",
            _ => "",
        };
        let selector = match &target.selector {
            None => String::new(),
            Some(SelectorText::Key(key)) => format!(" key {key}"),
            Some(SelectorText::Regex(regex)) => format!(" regex {regex}"),
        };
        format!("{mark}{}{selector}", target.name)
    }

    #[test]
    fn every_form_of_target_is_read() {
        let parsed = parse(
            r"ARGS|!ARGS:a b|&TX:/x|y\/z/|XML:/*|XML://@*|F:'/q/'|G:'k|'|tx.a",
            false,
        );
        assert_eq!(
            parsed.unwrap(),
            [
                "ARGS",
                "!ARGS key a b",
                "&TX regex x|y/z",
                "XML key /*",
                "XML key //@*",
                "F regex q",
                "G key k|",
                "tx key a"
            ]
        );
    }

    #[test]
    fn commas_separate_where_no_key_can_hold_them() {
        assert_eq!(
            parse("ARGS:a,!ARGS:b", true).unwrap(),
            ["ARGS key a", "!ARGS key b"]
        );
        assert_eq!(parse("ARGS:a,b", false).unwrap(), ["ARGS key a,b"]);
        assert_eq!(parse("ARGS,TX", false).unwrap(), ["ARGS", "TX"]);
    }

    #[test]
    fn an_empty_item_or_an_open_regex_is_an_error() {
        assert!(parse("ARGS||TX", false).is_err());
        assert!(parse("ARGS:", false).is_err());
        assert!(parse("ARGS:/abc", false).is_err());
    }
}
