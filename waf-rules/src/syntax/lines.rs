//! Physical lines -> logical lines: joins `\` continuations, drops comments and blank lines.
//! A line that ends in a backtick goes on, lines and all, to the next backtick (`SecDataset`).
//!
//! A continued line keeps the next line's indent. `#` starts a comment only as the first character
//! that is not blank, and a comment never continues.

use super::source::{Source, Span};

/// One directive's text, with the way back to the source.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) text: String,
    /// (offset in `text`, offset in the source) of every piece, ascending.
    pieces: Vec<(usize, usize)>,
}

impl Line {
    /// Where `start..end` of the text stands in the source.
    pub(crate) fn span(&self, start: usize, end: usize) -> Span {
        let start_in_source = self.offset(start);
        Span {
            start: start_in_source,
            end: self
                .offset(end.saturating_sub(1).max(start))
                .saturating_add(1),
        }
    }

    fn offset(&self, at: usize) -> usize {
        let index = self.pieces.partition_point(|(text, _)| *text <= at);
        let (text, source) = self
            .pieces
            .get(index.saturating_sub(1))
            .copied()
            .unwrap_or((0, 0));
        source + (at - text)
    }
}

/// The logical lines of `source`, in order.
pub(crate) fn lines(source: &Source) -> Vec<Line> {
    let mut done = Vec::new();
    let mut open: Option<Line> = None;
    let mut offset = 0;
    let mut block = false;
    for physical in source.text.split_inclusive('\n') {
        let content = physical.strip_suffix('\n').unwrap_or(physical);
        let content = content.strip_suffix('\r').unwrap_or(content);
        let blank = content.trim_start();
        if open.is_some() || !(blank.is_empty() || blank.starts_with('#')) {
            let line = open.get_or_insert_with(|| Line {
                text: String::new(),
                pieces: Vec::new(),
            });
            line.pieces.push((line.text.len(), offset));
            let opens = !block && is_block_start(content);
            let closes = block && content.contains('`');
            block = (block || opens) && !closes;
            match content.strip_suffix('\\') {
                _ if block => {
                    line.text.push_str(content);
                    line.text.push('\n');
                }
                Some(continued) => line.text.push_str(continued),
                None => {
                    line.text.push_str(content);
                    done.extend(open.take());
                }
            }
        }
        offset += physical.len();
    }
    done.extend(open);
    done
}

/// A directive whose last argument is one opening backtick.
fn is_block_start(content: &str) -> bool {
    let before = content.trim_end().strip_suffix('`');
    before.is_some_and(|before| before.ends_with(char::is_whitespace) && !before.contains('`'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn continuations_join_and_positions_lead_back() {
        let source = Source::new(
            "x",
            "# no\n\nSecRule A \\\n    \"@rx b\"\nSecMarker c".to_owned(),
        );
        let lines = lines(&source);
        let texts: Vec<_> = lines.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(texts, ["SecRule A     \"@rx b\"", "SecMarker c"]);
        let at = lines[0].text.find("@rx").unwrap();
        let span = lines[0].span(at, at + 3);
        assert_eq!(source.text.get(span.start..span.end), Some("@rx"));
        assert_eq!(source.line_of(span.start), 4);
    }

    #[test]
    fn a_block_in_backticks_keeps_its_lines() {
        let text = "SecDataset a `\n# one\n\ntwo\\\n`\nSecMarker b\nSecMarker c`\nSecMarker d\n";
        let source = Source::new("x", text.to_owned());
        let lines = lines(&source);
        let texts: Vec<_> = lines.iter().map(|line| line.text.as_str()).collect();
        let block = "SecDataset a `\n# one\n\ntwo\\\n`";
        assert_eq!(texts, [block, "SecMarker b", "SecMarker c`", "SecMarker d"]);
    }

    #[test]
    fn a_hash_inside_a_line_is_no_comment() {
        let source = Source::new("x", "  # comment \\\nSecMarker a#b\n".to_owned());
        let lines = lines(&source);
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].text, "SecMarker a#b");
    }
}
