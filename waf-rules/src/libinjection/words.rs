//! Values that are certain to be no SQL injection, told by their words and their punctuation.
//!
//! Security argument: this may only err towards "maybe". The tokeniser turns a value into kinds of
//! tokens, joins and drops some, and looks the kinds up in its list of fingerprints. A value is plain
//! if its bytes can only become numbers, bare words, operators, dots, colons, commas, semicolons and
//! unknown bytes: no quotes, parentheses, braces, variables or comments begin in it, and no word in it
//! is a keyword or a part of one, so that bare words stay what they are and none of them join. No
//! fingerprint consists of these kinds alone; a test looks at all of them. A word may begin where a
//! number ends (`1union`): what follows each end a number may have is looked up too.

use std::sync::OnceLock;

use libinjectionrs::sqli::sqli_data::SQL_KEYWORDS;

use crate::byteset::ByteSet;

/// True if `value` cannot have a fingerprint.
pub(super) fn is_plain(value: &[u8]) -> bool {
    let keywords = keywords();
    let (mut start, mut before) = (0, 0);
    for (at, &byte) in value.iter().enumerate() {
        let pair = [std::mem::replace(&mut before, byte), byte];
        if WORD.contains(byte) {
            continue;
        }
        let run = value.get(start..at).unwrap_or_default();
        if !HARMLESS.contains(byte) || PAIRS.contains(&pair) || !are_bare(keywords, run) {
            return false;
        }
        start = at + 1;
    }
    are_bare(keywords, value.get(start..).unwrap_or_default())
}

/// True if what the tokeniser makes of `run`, which has no byte that ends a word, are numbers, dots
/// and words that no keyword has.
fn are_bare(keywords: &Keywords, run: &[u8]) -> bool {
    let mut number = false;
    run.split(|byte| *byte == b'.').all(|word| {
        // A number may reach over a dot into the next word: `1.e5or`.
        number |= word.first().is_none_or(u8::is_ascii_digit);
        let bare = !keywords.hold(word);
        bare && (!number || !ends_of_number(word).any(|rest| keywords.hold(rest)))
    })
}

/// What is left of `word` behind each end that a number at its start may have.
fn ends_of_number(word: &[u8]) -> impl Iterator<Item = &[u8]> {
    let plain = skip(word, u8::is_ascii_digit);
    let exponent = strip(plain, b"eE").map(|rest| skip(rest, u8::is_ascii_digit));
    let hexadecimal = word
        .strip_prefix(b"0")
        .and_then(|rest| strip(rest, b"xX"))
        .map(|rest| skip(rest, u8::is_ascii_hexdigit));
    let binary = word
        .strip_prefix(b"0")
        .and_then(|rest| strip(rest, b"bB"))
        .map(|rest| skip(rest, |byte| matches!(byte, b'0' | b'1')));
    let ends = [Some(plain), exponent, hexadecimal, binary];
    // `1f` and `1d` are numbers of Oracle's.
    let suffixed = [Some(plain), exponent].map(|end| end.and_then(|end| strip(end, b"dDfF")));
    ends.into_iter().chain(suffixed).flatten()
}

fn skip(word: &[u8], what: impl Fn(&u8) -> bool) -> &[u8] {
    let count = word.iter().take_while(|byte| what(byte)).count();
    word.get(count..).unwrap_or_default()
}

fn strip<'a>(word: &'a [u8], one_of: &[u8]) -> Option<&'a [u8]> {
    let (first, rest) = word.split_first()?;
    one_of.contains(first).then_some(rest)
}

/// Every word that is a keyword or a part of one, by its hash.
struct Keywords {
    buckets: Vec<Vec<&'static [u8]>>,
    longest: usize,
}

impl Keywords {
    fn new() -> Self {
        let keywords = SQL_KEYWORDS
            .iter()
            .filter(|keyword| keyword.token_type != b'F');
        let parts = keywords.flat_map(|keyword| {
            keyword
                .word
                .as_bytes()
                .split(|byte| !WORD.contains(*byte) || *byte == b'.')
        });
        let mut all: Vec<_> = parts.filter(|part| !part.is_empty()).collect();
        all.sort_unstable();
        all.dedup();
        let mut words = Self {
            buckets: vec![Vec::new(); (2 * all.len()).next_power_of_two()],
            longest: all.iter().map(|part| part.len()).max().unwrap_or(0),
        };
        for part in all {
            let at = words.bucket(part);
            if let Some(bucket) = words.buckets.get_mut(at) {
                bucket.push(part);
            }
        }
        words
    }

    /// True if `word` is one of them, in any case.
    fn hold(&self, word: &[u8]) -> bool {
        if word.is_empty() || word.len() > self.longest {
            return false;
        }
        let bucket = self.buckets.get(self.bucket(word));
        bucket.is_some_and(|bucket| bucket.iter().any(|part| part.eq_ignore_ascii_case(word)))
    }

    fn bucket(&self, word: &[u8]) -> usize {
        // FNV-1a, without case.
        let hash = word.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte | 0x20)).wrapping_mul(0x100_0000_01b3)
        });
        usize::try_from(hash >> 20).unwrap_or(0) & (self.buckets.len() - 1)
    }
}

fn keywords() -> &'static Keywords {
    static KEYWORDS: OnceLock<Keywords> = OnceLock::new();
    KEYWORDS.get_or_init(Keywords::new)
}

/// What words and numbers are made of; a byte beyond ASCII is a letter to the tokeniser, but for the
/// Latin-1 blank.
const WORD: ByteSet = ByteSet::range(b'a', b'z')
    .union(ByteSet::range(b'A', b'Z'))
    .union(ByteSet::range(b'0', b'9'))
    .union(ByteSet::range(0x80, 0x9f))
    .union(ByteSet::range(0xa1, 0xff))
    .union(ByteSet::of(b"_."));

/// What ends a word and becomes nothing, an operator, a colon, a comma, a semicolon or an unknown
/// byte.
const HARMLESS: ByteSet = ByteSet::of(b" \t\n\r\x0b\x0c\xa0-/+*%=<>!~^&|:,;?");

/// Two harmless bytes that mean something else together: comments and logical operators.
const PAIRS: &[[u8; 2]] = &[*b"--", *b"/*", *b"&&", *b"||"];

#[cfg(test)]
mod tests {
    use libinjectionrs::{SqliFlags, SqliState};

    use super::*;

    fn is_injection(value: &[u8]) -> bool {
        SqliState::new(value, SqliFlags::FLAG_NONE).detect()
    }

    #[test]
    fn the_quick_look_never_hides_what_the_tokeniser_finds() {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut throw = |bound: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state >> 16).expect("48 bits") % bound
        };
        let mut plain = 0;
        for round in 0..200_000 {
            let mut value = String::new();
            let known = if round % 2 == 0 { 54 } else { WORDS.len() };
            for _ in 0..=throw(8) {
                value.push_str(WORDS[throw(known)]);
                if throw(3) == 0 {
                    value.push(' ');
                }
            }
            if is_plain(value.as_bytes()) {
                plain += 1;
                assert!(!is_injection(value.as_bytes()), "{value}");
            }
        }
        assert!(plain > 10_000, "{plain}");
    }

    #[test]
    fn ordinary_values_are_plain_and_what_holds_a_keyword_is_not() {
        for plain in [
            "2024-05-06T10:20:30Z",
            "/assets/js/app.bundle.js?v=1.2.3&lang=en",
            "8f14e45fceea167a5a36dedd4bea2543",
            "image/webp,application/xhtml;q=0.9",
            "GA1.2.1234567890.1700000000",
            "caf\u{e9} com leite",
            "10%",
            "",
        ] {
            assert!(is_plain(plain.as_bytes()), "{plain}");
        }
        for other in [
            "1union",
            "1e5or",
            "1.e5or 1",
            "0x1for",
            "1.5.select",
            "a.union",
            "x--y",
            "a/*b",
            "a||b",
            "a && b",
            "O'Brien",
            "f(x)",
            "@a",
            "1fUNION",
            "0b1and",
            "a\u{a0}or b",
        ] {
            assert!(!is_plain(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn no_fingerprint_consists_of_what_plain_values_become() {
        let harmless = |word: &str| {
            let kinds = word.strip_prefix('0').unwrap_or(word);
            kinds.bytes().all(|kind| b"N1O.:,;?".contains(&kind))
        };
        let fingerprints = SQL_KEYWORDS
            .iter()
            .filter(|keyword| keyword.token_type == b'F');
        let found: Vec<_> = fingerprints
            .map(|keyword| keyword.word)
            .filter(|word| harmless(word))
            .collect();
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn operators_of_two_bytes_are_operators_or_no_pair_of_harmless_bytes() {
        for keyword in SQL_KEYWORDS
            .iter()
            .filter(|keyword| keyword.word.len() == 2)
        {
            let bytes = keyword.word.as_bytes();
            if bytes.iter().all(|byte| HARMLESS.contains(*byte)) {
                let pair = PAIRS.iter().any(|pair| pair == bytes);
                assert!(keyword.token_type == b'o' || pair, "{}", keyword.word);
            }
        }
    }

    /// Those that may be part of a plain value first.
    #[rustfmt::skip]
    const WORDS: &[&str] = &[
        "1", "22", "007", "x", "name", "_a1", "E10", "union", "select", "or", "and", "in",
        "boolean", "mode", "x1", "1e1", "0x1", "0b", "1e", "1.", ".5", ".", "1f", "3d", "b", "n",
        "q", "u", "e", "group", "natural", "join", "version", "a.b", "\u{a0}", "\u{e9}", "-", "/",
        "*", "=", "<", ">", "!", "&", "|", "+", "%", ":", ";", ",", "?", "^", "~", "\n", "\0",
        "{", "(", ")", "'", "@x", "#", "`", "$1", "a_very_long_word_of_more_than_thirty_letters",
    ];
}
