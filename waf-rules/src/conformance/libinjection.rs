//! libinjection's own corpus: its data files through our two questions, its small tests through the
//! tokenisers of the crate behind them.

use libinjectionrs::sqli::{SqliTokenizer, Token, TokenType};
use libinjectionrs::xss::{Html5Flags, Html5State};
use libinjectionrs::{SqliFlags, SqliState};

use super::{Outcome, Tally, corpus, expect, files_with};
use crate::libinjection;
use crate::transformations::Transformation;

/// Lines that the C code (of libmodsecurity 3.0.9) judges wrongly as well, by file. Asked about all
/// 18,935 lines and the values of the attack and legitimate corpora, it gives the same fingerprints
/// as we do, without an exception.
const SHARED_MISTAKES: &[(&str, &[usize])] = &[
    (
        "false_positives.txt",
        &[
            79, 85, 150, 223, 224, 242, 243, 272, 273, 279, 280, 322, 323, 352, 353, 365, 370, 400,
            406, 408, 409,
        ],
    ),
    ("sqli-forums.txt", &[3091, 3275, 4652, 13862, 13878, 13954]),
    ("sqli-misc.txt", &[8, 545]),
    ("sqli-phpids.txt", &[5, 28, 214]),
    ("xss-html5secorg.txt", &[153, 159, 164, 171, 380]),
];

#[test]
fn libinjection_corpus() {
    let Some(root) = corpus("LIBINJECTION_TESTS", "libinjection-tests") else {
        return;
    };
    let mut attacks = Tally::default();
    let mut innocent = Tally::default();
    let mut surprises = Vec::new();
    for file in files_with(&root.join("data"), "txt") {
        let name = file
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default()
            .to_owned();
        let content = std::fs::read(&file).expect("a readable data file");
        let shared = SHARED_MISTAKES.iter().find(|(file, _)| *file == name);
        for (number, line) in content.split(|byte| *byte == b'\n').enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let mut value = Vec::new();
            Transformation::UrlDecode.apply(line, &mut value);
            let label = format!("{name}:{}: {}", number + 1, value.escape_ascii());
            let (tally, right) = if name.starts_with("sqli-") {
                (&mut attacks, libinjection::sqli(&value).is_some())
            } else if name.starts_with("xss-") {
                (&mut attacks, libinjection::xss(&value))
            } else if name.starts_with("false_positives") {
                (&mut innocent, libinjection::sqli(&value).is_none())
            } else {
                continue;
            };
            tally.count(expect(right), &label);
            let expected = !shared.is_some_and(|(_, lines)| lines.contains(&(number + 1)));
            if right != expected {
                surprises.push(label);
            }
        }
    }
    attacks.report("libinjection attacks");
    innocent.report("libinjection false positives");
    for (tally, least) in [(&attacks, 18_450), (&innocent, 395)] {
        assert!(tally.passed >= least, "only {} passed", tally.passed);
    }
    assert!(surprises.is_empty(), "{surprises:#?}");
}

#[test]
fn libinjection_tests() {
    let Some(root) = corpus("LIBINJECTION_TESTS", "libinjection-tests") else {
        return;
    };
    let mut tally = Tally::default();
    for file in files_with(&root.join("tests"), "txt") {
        let name = file
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let content = std::fs::read(&file).expect("a readable test");
        let (input, expected) = sections(&content);
        let found = match name.split('-').nth(1) {
            Some("sqli") => libinjection::sqli(input)
                .map_or_else(Vec::new, |fingerprint| fingerprint.as_bytes().to_vec()),
            Some("tokens") => tokens(input),
            Some("folding") => folded(input),
            _ => html(input),
        };
        let outcome = if found.trim_ascii_end() == expected {
            Outcome::Passed
        } else {
            let [input, found, expected] = [input, &found, expected].map(<[u8]>::escape_ascii);
            Outcome::Failed(format!("{input}: {found}, not {expected}"))
        };
        tally.count(outcome, name);
    }
    tally.report("libinjection tests");
    assert!(
        tally.failed.is_empty(),
        "{} tests differ",
        tally.failed.len()
    );
    assert!(tally.passed >= 380, "only {} ran", tally.passed);
}

/// What stands under `--INPUT--` and under `--EXPECTED--`.
fn sections(content: &[u8]) -> (&[u8], &[u8]) {
    let find = |name: &[u8]| memchr::memmem::find(content, name).expect("a section");
    let (input, expected) = (find(b"--INPUT--"), find(b"--EXPECTED--"));
    let input = &content[input + b"--INPUT--".len() + 1..expected];
    let expected = &content[expected + b"--EXPECTED--".len()..];
    (input.trim_ascii_end(), expected.trim_ascii())
}

fn tokens(input: &[u8]) -> Vec<u8> {
    let mut tokenizer = SqliTokenizer::new(input, SqliFlags::FLAG_SQL_ANSI);
    let mut out = Vec::new();
    while let Some(token) = tokenizer.next_token() {
        push_token(&token, &mut out);
    }
    out
}

fn folded(input: &[u8]) -> Vec<u8> {
    let mut state = SqliState::new(input, SqliFlags::FLAG_NONE);
    let count = state.fold_tokens();
    let mut out = Vec::new();
    for token in state.tokens.iter().take(count) {
        push_token(token, &mut out);
    }
    out
}

/// One line as libinjection's test driver prints it: the kind, then the text with its quotes.
fn push_token(token: &Token, out: &mut Vec<u8>) {
    let mut kind = [0; 4];
    out.extend_from_slice(token.token_type.to_char().encode_utf8(&mut kind).as_bytes());
    let quoted = matches!(token.token_type, TokenType::String | TokenType::Variable);
    let quote = |quote: u8| (quoted && quote != 0).then_some(quote);
    let text = &token.val[..token.len];
    if !text.is_empty() || quoted {
        out.push(b' ');
    }
    if token.token_type == TokenType::Variable && token.str_open != 0 {
        out.extend((0..token.count).map(|_| b'@'));
    }
    out.extend(quote(token.str_open));
    out.extend_from_slice(text);
    out.extend(quote(token.str_close));
    out.push(b'\n');
}

fn html(input: &[u8]) -> Vec<u8> {
    let mut state = Html5State::new(input, Html5Flags::DataState);
    let mut out = Vec::new();
    while state.next() {
        let line = format!("{},{},", state.token_type, state.token_len);
        out.extend_from_slice(line.as_bytes());
        out.extend_from_slice(&state.token_start[..state.token_len]);
        out.push(b'\n');
    }
    out
}
