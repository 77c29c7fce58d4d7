//! `@pm`, `@pmFromFile`: one of many phrases occurs, in any ASCII case.
//!
//! `@pm` splits its argument on blanks and reads `|41 42|` as bytes (Snort's notation); text that is
//! not valid in it is taken as it stands. A file holds one phrase a line: blanks count, lines that
//! are empty or whose first visible character is `#` are comments. `TX:0` is the phrase of the first
//! match to end, as the list spells it.

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::{Captures, Prefilter};

#[derive(Debug)]
pub(super) struct Phrases {
    automaton: AhoCorasick,
    list: Vec<Vec<u8>>,
}

impl Phrases {
    pub(super) fn from_argument(argument: &str) -> Result<Self, String> {
        let text = snort_bytes(argument.as_bytes()).unwrap_or_else(|| argument.as_bytes().to_vec());
        let words = text
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty());
        Self::new(words.map(<[u8]>::to_vec).collect())
    }

    pub(super) fn from_file(content: &[u8]) -> Result<Self, String> {
        let lines = content
            .split(|byte| *byte == b'\n')
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let is_phrase = |line: &&[u8]| !matches!(line.trim_ascii_start(), [] | [b'#', ..]);
        Self::new(lines.filter(is_phrase).map(<[u8]>::to_vec).collect())
    }

    fn new(list: Vec<Vec<u8>>) -> Result<Self, String> {
        if list.is_empty() {
            return Err("the list of phrases is empty".to_owned());
        }
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(&list)
            .map_err(|error| error.to_string())?;
        Ok(Self { automaton, list })
    }

    pub(super) fn matches(&self, value: &[u8], captures: Option<&mut Captures>) -> bool {
        let Some(captures) = captures else {
            return self.automaton.is_match(value);
        };
        let found = self.automaton.find(value);
        if let Some(phrase) = found.and_then(|found| self.list.get(found.pattern().as_usize())) {
            captures.set(0, phrase);
        }
        found.is_some()
    }

    /// Where the phrase lies that [`Phrases::matches`] found.
    pub(super) fn place(&self, value: &[u8]) -> Option<(usize, usize)> {
        let found = self.automaton.find(value)?;
        Some((found.start(), found.range().len()))
    }

    pub(super) fn prefilter(&self) -> Option<Prefilter> {
        Prefilter::of_literals(&self.list, true).useful()
    }
}

/// `text` with its `|hex|` parts as bytes and `\: \; \" \\` unescaped; none if it is not valid.
fn snort_bytes(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.trim_ascii_start();
    let text = match text.strip_prefix(b"\"") {
        Some(quoted) => quoted.strip_suffix(b"\"").unwrap_or(quoted),
        None => text,
    };
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'|' => {
                let mut high = None;
                for byte in bytes.by_ref().take_while(|byte| *byte != b'|') {
                    if byte.is_ascii_whitespace() {
                        continue;
                    }
                    let digit = u8::try_from(char::from(byte).to_digit(16)?).ok()?;
                    match high.take() {
                        None => high = Some(digit),
                        Some(high) => out.push(high << 4 | digit),
                    }
                }
            }
            b'\\' => out.push(bytes.next().filter(|next| b":;\\\"".contains(next))?),
            _ => out.push(byte),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capture(phrases: &Phrases, value: &[u8]) -> Option<Vec<u8>> {
        let mut captures = Captures::default();
        let matched = phrases.matches(value, Some(&mut captures));
        assert_eq!(matched, phrases.matches(value, None));
        assert!(
            !matched
                || phrases
                    .prefilter()
                    .is_none_or(|filter| filter.admits(value))
        );
        captures.iter().next().map(|(_, bytes)| bytes.to_vec())
    }

    #[test]
    fn the_phrase_is_captured_as_the_list_spells_it() {
        let phrases = Phrases::from_argument("Nikto sqlmap b").expect("valid");
        assert_eq!(capture(&phrases, b"xNIKTOx"), Some(b"Nikto".to_vec()));
        assert_eq!(capture(&phrases, b"nikt"), None);
    }

    #[test]
    fn hexadecimal_parts_are_bytes_and_other_text_is_taken_as_it_stands() {
        let phrases = Phrases::from_argument("a|42 43|d").expect("valid");
        assert_eq!(capture(&phrases, b"abcd"), Some(b"aBCd".to_vec()));
        let phrases = Phrases::from_argument("\\x |zz").expect("valid");
        assert_eq!(capture(&phrases, b"\\X"), Some(b"\\x".to_vec()));
    }

    #[test]
    fn a_file_keeps_blanks_and_skips_comments() {
        let phrases =
            Phrases::from_file(b"# phrases\n\n SQL error \r\nfoo#bar\n  # more\n").expect("valid");
        assert_eq!(
            capture(&phrases, b"a sql error b"),
            Some(b" SQL error ".to_vec())
        );
        assert_eq!(capture(&phrases, b"a sql errors"), None);
        assert_eq!(capture(&phrases, b"FOO#BAR"), Some(b"foo#bar".to_vec()));
        assert_eq!(capture(&phrases, b"phrases"), None);
        assert!(Phrases::from_file(b"# nothing\n").is_err());
    }
}
