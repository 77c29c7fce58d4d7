//! PCRE's meaning of look-around and references; the machine against the automaton where both can
//! match; values made to use up the budget.

use regex_automata::{Anchored, Input};

use super::super::tests::{TRICKY, values};
use super::super::{Pattern, parse, rewrite};
use super::{Backtracker, Budget, Starts, Tried};

fn found(pattern: &str, value: &str) -> Option<String> {
    let pattern = Pattern::new(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
    assert!(pattern.backtracks());
    let span = pattern.find_at(value.as_bytes(), 0)?;
    Some(value[span.range()].to_owned())
}

#[test]
fn look_around_and_references_mean_what_pcre_says() {
    for (pattern, value, expected) in [
        ("a(?!b)", "abac", Some("a")),
        ("a(?!b)", "abab", None),
        ("a(?=b|c).", "adac", Some("ac")),
        ("(?<!x)a", "xaa", Some("a")),
        ("(?<=ab|c)d", "bd cd", Some("d")),
        ("(?<!&amp|&lt);", "a&amp; b;", Some(";")),
        ("(?<!&amp|&lt);", "a&amp;&lt;", None),
        ("(?<=^)a", "ba\na", Some("a")),
        (r"(\w)\1", "abccd", Some("cc")),
        (r"(\w)\1", "aAb", None),
        (r"(?i)(\w)\1", "aAb", Some("aA")),
        (r"(?i:(\w))\1", "aAbb", Some("bb")),
        (r"\b(\w+) (?!\1\b)\w+", "or or and", Some("or and")),
        (r"\b(\w+)=\b\1\b", "x=1 1=1", Some("1=1")),
        (r"(a)|b\1", "b", None),
        (r"(?:(a)|b)\1", "ba aa", Some("aa")),
        (r"(?=(a+))\1b", "aab", Some("aab")),
        (r"(?!(a)b)\w\1?", "ab", Some("b")),
        (r"(a*)*(?!b)c", "aac", Some("aac")),
        (r"(?:a|ab)(?=c)", "abc", Some("ab")),
        (r"x(?!)", "x", None),
        (r"((?<n>a)b)\2", "aba", Some("aba")),
        (r"^(?!$)", "\n", None),
        (r"a{2,3}?(?=a)", "aaaa", Some("aa")),
        (
            r"(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)\10",
            "123456789aa",
            Some("123456789aa"),
        ),
    ] {
        assert_eq!(
            found(pattern, value).as_deref(),
            expected,
            "{pattern} on {value:?}"
        );
    }
}

#[test]
fn a_loop_over_look_around_or_a_reference_ends() {
    for (text, value, matches) in [
        (r"(?:(?=(b))|a)*\1", "b", true),
        (r"(?:(?=(b))|a)*\1", "ab", true),
        (r"(?:(?=(b))|a)*\1", "c", false),
        (r"(?:(?=(b))|a)*?\1c", "abc", true),
        (r"(?:(?!b)|(?<=a))*c\b(?=!)", "c?", false),
        (r"(c*)(?:\1)*d(?!e)", "de", false),
        (r"(c*)(?:\1)+d(?!e)", "ccdd", true),
        (r"(?:(?=a)\w)*b(?!c)", "aabc", false),
    ] {
        let (found, spent) = asked(text, value.as_bytes());
        assert_eq!(found, matches, "{text} on {value}");
        assert!(spent < 1000, "{text} on {value}: {spent} steps");
    }
}

#[test]
fn a_loop_with_look_around_takes_steps_in_proportion() {
    let steps = |count: usize| {
        let value = format!("{}!", "a".repeat(count));
        let (found, spent) = asked("(?:(?=[a-z])\\w)+!", value.as_bytes());
        assert!(found);
        spent
    };
    let (once, twice) = (steps(2000), steps(4000));
    assert!(twice < once * 21 / 10, "{once} and {twice} steps");
}

/// Whether the machine matches anywhere, and the steps that took.
fn asked(text: &str, value: &[u8]) -> (bool, u32) {
    let marked = rewrite::marked(text).expect("a pattern");
    let backtracker = Backtracker::new(&parse(&marked, false).expect("a pattern"));
    let backtracker = backtracker.expect("a program");
    let mut budget = Budget::default();
    let found = (0..=value.len())
        .map(|start| backtracker.machine(value, &mut budget).try_at(start))
        .find(|tried| *tried != Tried::Failed);
    assert_ne!(found, Some(Tried::Exhausted), "{text}");
    (found.is_some(), budget.spent())
}

#[test]
fn the_values_of_a_transaction_share_one_budget() {
    let pattern = Pattern::new(r"(\w+)\s+\1\b").expect("a pattern");
    let mut budget = Budget::default();
    for number in 0..125 {
        let words = format!("the number {number} of some words, each of them once. ").repeat(20);
        assert!(!pattern.is_match_within(words.as_bytes(), &mut budget));
    }
    assert!(!budget.is_spent(), "{} steps", budget.spent());
    let costly = format!("{} b", "a".repeat(1000));
    let matched = (0..125).map(|_| pattern.is_match_within(costly.as_bytes(), &mut budget));
    let matched = matched.filter(|matched| *matched).count();
    assert!(budget.is_spent() && matched > 100, "{matched}");
    assert!(pattern.is_match_within(b"no more of it", &mut budget));
    assert!(!pattern.is_match_within(b"nothing-here", &mut budget));
}

#[test]
fn a_short_match_does_not_make_every_place_read_to_the_end() {
    let steps = |count: usize| {
        let mut budget = Budget::default();
        let value = format!("{}b", "ab".repeat(count));
        let pattern = Pattern::new("a(?!b)(?:.*!)?").expect("a pattern");
        assert!(!pattern.is_match_within(value.as_bytes(), &mut budget));
        budget.spent()
    };
    assert!(steps(20_000) < 2 * steps(10_000) + 100);
}

#[test]
fn the_pass_from_the_end_finds_every_start() {
    for text in TRICKY {
        let pattern = Pattern::new(text).expect("a pattern");
        let hir = parse(&pattern.rewritten, false).expect("a pattern");
        let automaton = pattern.automaton().expect("an automaton");
        let starts = Starts::default();
        for (value, from) in values().take(300).zip([0, 1, 2].into_iter().cycle()) {
            let from = from.min(value.len());
            let starts_at = |start: &usize| {
                let input = Input::new(&value).range(*start..).anchored(Anchored::Yes);
                automaton.is_match(input)
            };
            let expected: Vec<_> = (from..=value.len()).filter(starts_at).collect();
            let got = starts.from(&hir, &value, from).map(Iterator::collect);
            let got: Vec<_> = got.unwrap_or_default();
            assert_eq!(got, expected, "{text} on {}", value.escape_ascii());
        }
    }
}

#[test]
fn atomic_groups_are_refused_only_where_they_would_lose_matches() {
    for text in [
        r"foo(?!\w++a)",
        r"foo(?!a*+a)",
        r"foo(?!a?+a)",
        r"(?<!a{2}+)b",
        r"foo(?!(?:x(?>a|ab)c))",
    ] {
        let error = Pattern::new(text).expect_err(text);
        assert!(error.contains("in a negative look-around"), "{error}");
    }
    for (text, value) in [
        (r"foo(?!\w+a)\w++", "foobb"),
        (r"foo(?=\w++)", "fooba"),
        (r"(?>foo)(?!\+\+)", "foo"),
    ] {
        assert!(found(text, value).is_some(), "{text}");
    }
}

#[test]
fn what_even_backtracking_does_not_know_is_refused_by_name() {
    for (pattern, reason) in [
        (r"(?<!a*)b", "look-behind over more"),
        (r"(a)(?<!\1)b", "look-behind that holds"),
        (r"(?<!a(?=b))b", "look-behind that holds"),
        (r"\1(?=a)", "group that is not there"),
        ("(?=a)(?R)", "recursion"),
        (r"(?:(?=a)b){30000}", "instructions"),
    ] {
        let error = Pattern::new(pattern).expect_err(pattern);
        assert!(error.contains(reason), "{pattern}: {error}");
    }
    assert!(Pattern::caseless("(?!a)b").is_ok());
}

#[test]
fn the_machine_agrees_with_the_automaton_where_both_can_match() {
    // Only the machine takes back a longer match that ends in `^`, as PCRE does.
    for text in TRICKY.iter().filter(|text| **text != "\\n^") {
        let marked = rewrite::marked(text).expect("a pattern");
        let backtracker = Backtracker::new(&parse(&marked, false).expect("a pattern"));
        let backtracker = backtracker.expect("a program");
        let pattern = Pattern::new(text).expect("a pattern");
        for value in values().take(400) {
            let mut expected = Vec::new();
            pattern.captures_at(&value, 0, |group, bytes| {
                expected.push((group, bytes.to_vec()));
            });
            let tried = (0..=value.len()).find_map(|start| {
                let mut budget = Budget::default();
                match backtracker.machine(&value, &mut budget).try_at(start) {
                    Tried::Matched(groups) => Some(groups),
                    Tried::Failed => None,
                    Tried::Exhausted => panic!("{text} is cheap"),
                }
            });
            let groups = tried.unwrap_or_default().into_iter().enumerate();
            let got: Vec<_> = groups
                .filter_map(|(group, range)| Some((group, value[range?].to_vec())))
                .collect();
            assert_eq!(got, expected, "{text} on {}", value.escape_ascii());
        }
    }
}

/// The three of the CRS 3.3.4 in kind: a quote or `;` that ends no entity, a tautology, a PHP tag.
const LIKE_CRS3: [&str; 3] = [
    r#"(?<!&(?:[aou]uml)|&(?:amp)|&(?:apos));|['\"=]"#,
    r#"(?i:[\s'\"`()]*?\b([\d\w]+)\b[\s'\"`()]*?(?:<(?:=(?:[\s'\"`()]*?(?!\b\1\b)[\d\w]+|>[\s'\"`()]*?(?:\b\1\b))|>?[\s'\"`()]*?(?!\b\1\b)[\d\w]+)|(?:not\s+(?:regexp|like)|is\s+not|>=?|!=|\^)[\s'\"`()]*?(?!\b\1\b)[\d\w]+|(?:(?:sounds\s+)?like|r(?:egexp|like)|=)[\s'\"`()]*?(?:\b\1\b)))"#,
    r"<\?(?!xml)",
];

#[test]
fn no_value_of_a_megabyte_takes_more_than_the_budget() {
    let classical = [
        r"(a+)+(?!b)$",
        r"(\w+\s?)*(?!x)=\1",
        r"(.*)(.*)(.*)\1\2\3!",
        r"(?:a|a)*(?!a)b",
        r"a(?!a)(?:.*!)?",
        r"(?:(?=(b))|a)*\1",
        r"(?:(?=[a-z])\w)+!",
        r"(\w+)\s+\1\b",
        r"(.{1,1000})\1x(?!y)",
    ];
    let pieces = [
        "a", " ", "'", "a ", "a=b ", "a<", "=", "<", "(", "<?xml ", "&amp;", "1=2 or ", "a!", "\n",
        "a'\"`() ",
    ];
    for text in LIKE_CRS3.iter().chain(&classical) {
        let pattern = Pattern::new(text).expect("a pattern");
        for piece in pieces {
            let value = piece.repeat((1 << 20) / piece.len());
            // A step that were not counted would show as a test that takes minutes.
            let mut budget = Budget::default();
            let matched = pattern.is_match_within(value.as_bytes(), &mut budget);
            assert!(matched || !budget.is_spent(), "{text} on {piece:?}");
        }
    }
}

#[test]
fn a_look_around_costs_what_it_tried_and_not_what_was_tried_before_it() {
    let pattern = Pattern::new("^(?:a(?=a))+(?!a)c").expect("a pattern");
    // Each `a` leaves a choice behind, and a look-around follows it.
    for size in [1_000, 10_000] {
        let mut budget = Budget::default();
        let value = format!("{}c", "a".repeat(size));
        let matched = pattern.is_match_within(value.as_bytes(), &mut budget);
        let steps = 4 * size..40 * size;
        let spent = budget.spent() as usize;
        assert!(!matched && steps.contains(&spent), "{size}: {spent}");
    }
}

#[test]
fn a_value_that_uses_up_the_budget_counts_as_a_match() {
    let pattern = Pattern::new(r"(a+)+(?!b)[^a]").expect("a pattern");
    assert!(!pattern.is_match(b"aaaaaaaaab"));
    assert!(pattern.is_match(format!("{}b", "a".repeat(64)).as_bytes()));
    let mut captured = 0;
    let span = pattern.captures_at(&[b'a'; 64], 0, |_, _| captured += 1);
    assert!(
        span.is_none(),
        "the relaxed pattern sees that in linear time"
    );
    assert_eq!(captured, 0);
}

#[test]
fn ordinary_text_of_a_megabyte_stays_within_the_budget() {
    let text = "The quick brown fox = 'lazy' dog; see \"chapter 12\" of the book (page 7), x < y and y > z.\n";
    let value = text.repeat((1 << 20) / text.len());
    assert!(
        !Pattern::new(LIKE_CRS3[1]).expect("a pattern").is_match(
            value
                .replace("x < y", "x is y")
                .replace("y > z", "y is z")
                .as_bytes()
        )
    );
    assert!(
        !Pattern::new(LIKE_CRS3[2])
            .expect("a pattern")
            .is_match(value.as_bytes())
    );
}
