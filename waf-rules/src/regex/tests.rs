//! Tricky patterns against generated values: PCRE's meaning, and a prefilter that never says no to a
//! match.

use super::*;
use crate::byteset::ByteSet;
use crate::operators::Prefilter;

pub(super) const TRICKY: &[&str] = &[
    "",
    "^$",
    "a|",
    "(?:ab|cd)+e?",
    "(?i)union\\s+select",
    "(?i:<script[^>]*>|javascript:|on(?:load|error)\\s*=)",
    "[aA]b[0-9]{2,}c",
    "(?:a{3}|b{2,4}|c{0,2})d",
    "^(?:ab?|ba)$",
    "x*?y+?z??",
    "(a)(b)?(c|)",
    "[^a-z]+a",
    "\\bor\\b",
    "\\Bb\\B",
    "(?-i)A(?i)b",
    "(?:\\x00|\\xff)a",
    "(?s-m:^a.b$)",
    "a(?:b(?:c(?:d|e)|f)|g)h",
    "[\\s'\"`]*=",
    "(?:(?:a|b)(?:c|d)(?:e|f)){1,3}",
    "\\.\\./",
    "[[:punct:]]{2}",
    "(?:.*a){2}",
    "a.?b",
    "(?:foo|bar|b[aeiou]z)\\d",
    "\\n^",
    "a\\z",
    "[^\\x00-\\xff]",
    "a[^\\x00-\\xff]?b",
];

pub(super) fn values() -> impl Iterator<Item = Vec<u8>> {
    const ALPHABET: &[u8] =
        b"aAbBcCdDeEfFghxyz0123 \t\n'\"=<>./\xff\0ornscriptunionselectjavascript:onload<foo";
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % bound as u64) as usize
    };
    const WORDS: &[&[u8]] = &[
        b"union select",
        b"UNION\tSELECT",
        b"<script>",
        b"javascript:",
        b"onload =",
        b"../",
        b"aaad",
        b"acegh",
        b"abcdh",
        b"afh",
        b"bazz1",
        b"foo2",
        b"A12c",
        b"or ",
    ];
    (0..6000).map(move |round| {
        let mut value = Vec::new();
        for _ in 0..round % 14 {
            if next(4) == 0 {
                value.extend_from_slice(WORDS[next(WORDS.len())]);
            } else {
                value.push(ALPHABET[next(ALPHABET.len())]);
            }
        }
        value
    })
}

#[test]
fn the_prefilter_never_says_no_to_a_match() {
    let mut matched = 0;
    for text in TRICKY {
        let pattern = Pattern::new(text).expect(text);
        let filter = Prefilter::from(pattern.requirements());
        for value in values() {
            if pattern.is_match(&value) {
                matched += 1;
                assert!(filter.admits(&value), "{text} {}", value.escape_ascii());
            }
        }
    }
    assert!(
        matched > 10_000,
        "the values hardly match anything: {matched}"
    );
}

#[test]
fn captures_and_is_match_agree() {
    for text in TRICKY {
        let pattern = Pattern::new(text).expect(text);
        for value in values().take(1500) {
            let found = pattern.captures_at(&value, 0, |_, _| {});
            assert_eq!(found.is_some(), pattern.is_match(&value), "{text}");
        }
    }
}

#[test]
fn requirements_are_read_off_the_tree() {
    let requirements = |text: &str| Pattern::new(text).expect(text).requirements().clone();
    let literals = |text: &str| requirements(text).literals;
    assert_eq!(
        literals("(?i)union\\s+select"),
        Some(vec![b"select".to_vec()])
    );
    assert_eq!(
        literals("x(?:foo|Bar)y?"),
        Some(vec![b"xbar".to_vec(), b"xfoo".to_vec()])
    );
    assert_eq!(literals("(?:foo)?"), None);
    assert_eq!(literals("[<>]"), None);
    assert_eq!(requirements("[<>]x?").masks, [ByteSet::of(b"<>")]);
    assert_eq!(requirements("a{4}.").min_len, 5);
}

#[test]
fn flags_are_those_of_libmodsecurity() {
    let is_match = |text: &str, value: &[u8]| Pattern::new(text).expect(text).is_match(value);
    assert!(is_match("a.b", b"a\nb"));
    assert!(is_match("^b", b"a\nb"));
    assert!(is_match("a$", b"a\nb"));
    assert!(!is_match("SELECT", b"select"));
    assert!(is_match("\\s", b"\x0b"));
    assert!(is_match("[\\xc2\\x{a0}]", b"\xa0"));
    assert!(is_match("é?x", b"\xc3x"));
    assert!(
        Pattern::caseless("^/Admin")
            .expect("valid")
            .is_match(b"/aDMIN")
    );
}

#[test]
fn a_line_does_not_begin_after_a_final_line_feed() {
    let is_match = |text: &str, value: &[u8]| Pattern::new(text).expect(text).is_match(value);
    assert!(!is_match("^$", b"foo\n"));
    assert!(is_match("^$", b"foo\n\n"));
    assert!(is_match("^$", b""));
    assert!(is_match("^$", b"\n"));
    assert!(is_match("$", b"foo\n"));
    assert!(is_match("\\z", b"foo\n"));
    assert!(!is_match("^[\\d]*$", b"foo\n"));
}

#[test]
fn errors_name_the_construct() {
    for (text, reason) in [
        ("(?<=a*)b", "look-behind"),
        ("(?<n>a)\\k<n>", "back-reference"),
        ("(a", "unclosed"),
        ("(?:a{1000}){1000}", "states"),
        ("[a", "unclosed class"),
    ] {
        let error = Pattern::new(text).expect_err(text);
        assert!(error.contains(reason), "{text}: {error}");
    }
}

#[test]
fn the_cache_is_bounded_and_remembers() {
    let cache = PatternCache::default();
    for number in 0..100 {
        let pattern = cache.pattern(&format!("^{number}$")).expect("valid");
        assert!(pattern.is_match(number.to_string().as_bytes()));
    }
    assert!(cache.lock().len() <= MAX_CACHED);
    assert!(cache.pattern("(").is_none());
    assert!(cache.pattern("(").is_none());
}
