//! The one place that knows the crate `libinjectionrs`, a port of libinjection's tokenisers.
//!
//! What differs from the C code, and what is done about it here:
//! - the port does not join keywords of three words and more whose first words only make a bare word
//!   (`IN BOOLEAN MODE`, `LOCK IN SHARE MODE`): such a phrase is replaced by one keyword of the same
//!   kind and the value is judged again;
//! - it compares `INTO` in its `INTO OUTFILE` exception with case: a value with that phrase is judged
//!   again in upper case;
//! - it looks up the start of a word at every dot in it, copying that start: a word of tens of
//!   thousands of dots would cost seconds. Dots far behind the longest keyword become letters.
//!
//! The first two can only add matches; the third touches no value with fewer dots. [`events`] adds the
//! handlers that the list of events lacks, in the C code as well.
//!
//! Before any of it stands a quick look ([`words`]) that lets most values through at once.

mod events;
mod words;

use std::borrow::Cow;
use std::sync::OnceLock;

use aho_corasick::AhoCorasick;
use libinjectionrs::{SqliFlags, SqliState, XssDetector};

use self::words::is_plain;
use crate::byteset::ByteSet;

/// A value without one of these bytes is no XSS.
pub(crate) const XSS_BYTES: ByteSet = ByteSet::of(b"<=");

/// Up to five letters that name the kinds of tokens an SQL injection consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fingerprint(String);

impl Fingerprint {
    /// The letters.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// The fingerprint of `value`, if it is an SQL injection.
pub(crate) fn sqli(value: &[u8]) -> Option<Fingerprint> {
    if is_plain(value) {
        return None;
    }
    let value = with_few_dots(value);
    detect(&value).or_else(|| detect(&respelt(&value)?))
}

/// True if `value` is HTML that runs script.
pub(crate) fn xss(value: &[u8]) -> bool {
    XSS_BYTES.intersects(ByteSet::of(value))
        && (XssDetector::new().detect(value).is_injection() || events::handles(value))
}

/// True unless a quick look would hide what the tokenisers find in `value`.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn quick_look_agrees(value: &[u8]) -> bool {
    let sqli = !is_plain(value) || detect(value).is_none();
    let html = XSS_BYTES.intersects(ByteSet::of(value));
    sqli && (html || !XssDetector::new().detect(value).is_injection())
}

fn detect(value: &[u8]) -> Option<Fingerprint> {
    let mut state = SqliState::new(value, SqliFlags::FLAG_NONE);
    state
        .detect()
        .then(|| Fingerprint(state.fingerprint_string()))
}

/// `value` without the dots and backquotes that no keyword can end before.
fn with_few_dots(value: &[u8]) -> Cow<'_, [u8]> {
    if value.len() < MAX_DOTS {
        return Cow::Borrowed(value);
    }
    let mut tamed = Cow::Borrowed(value);
    let (mut start, mut dots) = (0, 0);
    for (at, &byte) in value.iter().enumerate() {
        if WORD_ENDS.contains(byte) {
            (start, dots) = (at + 1, 0);
        } else if matches!(byte, b'.' | b'`') && at - start >= MAX_DOTS {
            dots += 1;
            if dots > MAX_DOTS
                && let Some(dot) = tamed.to_mut().get_mut(at)
            {
                *dot = b'a';
            }
        }
    }
    tamed
}

/// `value` with the phrases the port misreads in a spelling it reads; none if it has no such phrase.
fn respelt(value: &[u8]) -> Option<Vec<u8>> {
    if !may_be_misread(value) {
        return None;
    }
    let mut text = value.to_ascii_uppercase();
    let mut changed = find_phrase(&text, &[b"INTO", b"OUTFILE"]).is_some()
        || find_phrase(&text, &[b"INTO", b"DUMPFILE"]).is_some();
    for (phrase, stand_in) in MISREAD {
        if let Some(replaced) = replace_phrase(&text, phrase, stand_in) {
            text = replaced;
            changed = true;
        }
    }
    changed.then_some(text)
}

/// True if `value` has a word that every one of the phrases has one of.
fn may_be_misread(value: &[u8]) -> bool {
    static WORDS: OnceLock<Option<AhoCorasick>> = OnceLock::new();
    let words = WORDS.get_or_init(|| {
        AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .build(TELLING)
            .ok()
    });
    value.iter().any(|byte| is_blank(*byte))
        && words.as_ref().is_none_or(|words| words.is_match(value))
}

/// `text` with each `phrase` replaced; none if there is none.
fn replace_phrase(text: &[u8], phrase: &[&[u8]], stand_in: &[u8]) -> Option<Vec<u8>> {
    let mut rest = text;
    let mut out = Vec::new();
    while let Some((start, end)) = find_phrase(rest, phrase) {
        out.extend_from_slice(rest.get(..start)?);
        out.extend_from_slice(stand_in);
        rest = rest.get(end..)?;
    }
    if out.is_empty() {
        return None;
    }
    out.extend_from_slice(rest);
    Some(out)
}

/// Where the words of `phrase` first stand in `text` with nothing but white space between them.
fn find_phrase(text: &[u8], phrase: &[&[u8]]) -> Option<(usize, usize)> {
    let (first, others) = phrase.split_first()?;
    memchr::memmem::find_iter(text, first).find_map(|start| {
        let mut end = start + first.len();
        for word in others {
            let rest = text.get(end..)?;
            let blanks = rest.iter().take_while(|byte| is_blank(**byte)).count();
            let found = blanks > 0 && rest.get(blanks..)?.starts_with(word);
            end = found.then_some(end + blanks + word.len())?;
        }
        Some((start, end))
    })
}

/// White space to the tokeniser.
fn is_blank(byte: u8) -> bool {
    byte <= b' ' || byte == 0xa0 || byte == 0x7f
}

/// Where the tokeniser ends a word.
const WORD_ENDS: ByteSet = ByteSet::of(b" []{}<>:\\?=@!#~+-*/&|^%(),';\t\n\x0b\x0c\r\"\xa0\0");

/// Twice the longest keyword: dots from here on are dots inside a word and no more.
const MAX_DOTS: usize = 64;

/// Words of which every phrase has one; ordinary text seldom has them.
const TELLING: &[&str] = &[
    "distinct", "dumpfile", "mode", "outfile", "replace", "value", "zone",
];

/// A phrase, word by word, and the keyword of its kind that stands in for it.
type Misread = (&'static [&'static [u8]], &'static [u8]);

/// Phrases whose words the port does not join.
const MISREAD: &[Misread] = &[
    (&[b"AT", b"TIME", b"ZONE"], b"ALTER"),
    (&[b"CREATE", b"OR", b"REPLACE"], b"DECLARE"),
    (&[b"IN", b"BOOLEAN", b"MODE"], b"ALTER"),
    (&[b"IS", b"DISTINCT", b"FROM"], b"RLIKE"),
    (&[b"IS", b"NOT", b"DISTINCT", b"FROM"], b"RLIKE"),
    (&[b"LOCK", b"IN", b"SHARE", b"MODE"], b"ALTER"),
    (&[b"NEXT", b"VALUE", b"FOR"], b"ALTER"),
    (&[b"PREVIOUS", b"VALUE", b"FOR"], b"ALTER"),
];

#[cfg(test)]
mod tests {
    use libinjectionrs::sqli::sqli_data::SQL_KEYWORDS;

    use super::*;

    #[test]
    fn attacks_are_found_and_their_neighbours_are_not() {
        for attack in [
            "1' OR '1'='1",
            "1 union select 1,2",
            "x' and 1=1--",
            "1 into outfile '/tmp/x'",
            "ascii(substring(version() from 1 for 1))",
        ] {
            assert!(sqli(attack.as_bytes()).is_some(), "{attack}");
        }
        for innocent in [
            "O'Brien",
            "this is not isqli",
            "select a colour",
            "10 of 12",
            "",
            "select",
        ] {
            assert_eq!(sqli(innocent.as_bytes()), None, "{innocent}");
        }
        for attack in [
            "<script>alert(1)</script>",
            "x onload=alert(1)",
            "\"><svg/onload=x>",
        ] {
            assert!(xss(attack.as_bytes()), "{attack}");
        }
        for innocent in ["a < b", "x = y", "<b>bold</b>", "onload", ""] {
            assert!(!xss(innocent.as_bytes()), "{innocent}");
        }
    }

    #[test]
    fn words_of_thousands_of_dots_cost_little_and_mean_the_same() {
        assert_eq!(
            *with_few_dots(b"www.example.org/a.b.c"),
            b"www.example.org/a.b.c"[..]
        );
        let long = format!("1' union select 1,{} from x -- ", "a.".repeat(30_000));
        let tamed = with_few_dots(long.as_bytes());
        assert_eq!(tamed.len(), long.len());
        let dots = tamed.iter().filter(|byte| **byte == b'.').count();
        assert!(dots <= 2 * MAX_DOTS, "{dots}");
        assert!(sqli(long.as_bytes()).is_some());
        assert_eq!(
            sqli("a.".repeat(300).as_bytes()),
            detect("a.".repeat(300).as_bytes())
        );
    }

    #[test]
    fn misread_phrases_are_found_wherever_they_stand() {
        let found =
            |text: &[u8]| respelt(text).map(|text| String::from_utf8_lossy(&text).into_owned());
        assert_eq!(
            found(b"a in  boolean\tmode b In Boolean Mode"),
            Some("A ALTER B ALTER".into())
        );
        assert_eq!(found(b"1 into outfile"), Some("1 INTO OUTFILE".into()));
        assert_eq!(found(b"in boolean x mode"), None);
    }

    #[test]
    fn the_misread_phrases_are_the_only_ones() {
        let kind = |text: &str| {
            let keyword = SQL_KEYWORDS.iter().find(|keyword| keyword.word == text)?;
            Some(keyword.token_type)
        };
        let misread = |text: &str| {
            let spaces: Vec<_> = text.match_indices(' ').map(|(at, _)| at).collect();
            let starts: Vec<_> = spaces.iter().skip(1).map(|at| kind(&text[..*at])).collect();
            starts.contains(&Some(b'n')) && !starts.contains(&None)
        };
        let found: Vec<_> = SQL_KEYWORDS
            .iter()
            .filter(|keyword| keyword.token_type != b'n' && misread(keyword.word))
            .map(|keyword| keyword.word.as_bytes())
            .collect();
        let ours: Vec<_> = MISREAD
            .iter()
            .map(|(phrase, _)| phrase.join(&b' '))
            .collect();
        assert_eq!(found, ours);
        for phrase in ours {
            assert!(may_be_misread(&phrase), "{}", phrase.escape_ascii());
        }
        for (phrase, stand_in) in MISREAD {
            let phrase = String::from_utf8_lossy(&phrase.join(&b' ')).into_owned();
            assert_eq!(
                kind(&phrase),
                kind(&String::from_utf8_lossy(stand_in)),
                "{phrase}"
            );
        }
    }
}
