//! Tables of documents and the arguments they become.

use super::*;
use crate::body::testing::{Pairs, collect, pairs};

fn read(body: &[u8], naming: Naming) -> (Pairs, Result<(), BodyError>) {
    collect(|sink| parse(body, Limits::default(), naming, sink))
}

fn reason(body: &str) -> &'static str {
    read(body.as_bytes(), Naming::ModSecurity)
        .1
        .expect_err(body)
        .reason
}

const DOCUMENTS: &[(&str, &[(&str, &str)])] = &[
    (
        r#"{"a":{"b":1},"c":[1,{"d":2}]}"#,
        &[
            ("json.a.b", "1"),
            ("json.c.array_0", "1"),
            ("json.c.array_1.d", "2"),
        ],
    ),
    (
        r#"["x",["y"],{"z":"w"}]"#,
        &[
            ("json.array_0", "x"),
            ("json.array_1.array_0", "y"),
            ("json.array_2.z", "w"),
        ],
    ),
    (r#" "root" "#, &[("json", "root")]),
    ("12", &[("json", "12")]),
    (
        r#"{"":1,"a":{"":2}}"#,
        &[("json.empty-key", "1"), ("json.a.empty-key", "2")],
    ),
    (
        r#"{"t":true,"f":false,"n":null}"#,
        &[("json.t", "true"), ("json.f", "false"), ("json.n", "")],
    ),
    (
        r#"{"n":[-0,1.50,1e9999,-2E-3,12345678901234567890]}"#,
        &[
            ("json.n.array_0", "-0"),
            ("json.n.array_1", "1.50"),
            ("json.n.array_2", "1e9999"),
            ("json.n.array_3", "-2E-3"),
            ("json.n.array_4", "12345678901234567890"),
        ],
    ),
    ("", &[]),
    (" \r\n\t", &[]),
    ("{}", &[]),
    ("[ ]", &[]),
    // An empty container is a leaf, or its key would escape inspection.
    (
        r#"{"<script>":{},"b":[]}"#,
        &[("json.<script>", ""), ("json.b", "")],
    ),
    // Collisions and duplicates: every value is kept.
    (
        r#"{"a":{"b":"evil"},"a.b":"safe"}"#,
        &[("json.a.b", "evil"), ("json.a.b", "safe")],
    ),
    (r#"{"a":1,"a":2}"#, &[("json.a", "1"), ("json.a", "2")]),
    // Escapes.
    (r#""\"\\\/\b\f\n\r\t""#, &[("json", "\"\\/\x08\x0c\n\r\t")]),
    (r#"{"\u0061":"\u003cscript>"}"#, &[("json.a", "<script>")]),
    (r#""a\u0000b""#, &[("json", "a\0b")]),
    ("\u{feff}1", &[("json", "1")]),
];

#[test]
fn documents_become_the_arguments_of_modsecurity_v3() {
    for (document, expected) in DOCUMENTS {
        let (found, outcome) = read(document.as_bytes(), Naming::ModSecurity);
        assert_eq!(outcome, Ok(()), "{document}");
        assert_eq!(found, pairs(expected), "{document}");
    }
}

#[test]
fn coraza_names_members_by_number_and_adds_lengths() {
    let document = br#"{"a":{"b":1},"c":[1,{"d":2}],"":[]}"#;
    let (found, outcome) = read(document, Naming::Coraza);
    assert_eq!(outcome, Ok(()));
    let expected = [
        ("json.a.b", "1"),
        ("json.c.0", "1"),
        ("json.c.1.d", "2"),
        ("json.c", "2"),
        ("json.", "0"),
    ];
    assert_eq!(found, pairs(&expected));
}

#[test]
fn surrogates_are_joined_and_lone_ones_replaced() {
    let mut values = Vec::new();
    let document = r#"["\ud83d\ude00","\ud83d","\ude00x","\ud83d\u0041","\ud83d\ud83d\ude00"]"#;
    let outcome = parse(
        document.as_bytes(),
        Limits::default(),
        Naming::ModSecurity,
        &mut |_, value| {
            values.push(String::from_utf8(value.to_vec()).expect("UTF-8"));
            ControlFlow::Continue(())
        },
    );
    assert_eq!(outcome, Ok(()));
    assert_eq!(
        values,
        ["😀", "\u{fffd}", "\u{fffd}x", "\u{fffd}A", "\u{fffd}😀"]
    );
}

#[test]
fn what_is_not_json_is_an_error() {
    let cases = [
        ("{\"a\":1} x", "bytes after the JSON value"),
        ("{\"a\":1}{\"b\":2}", "bytes after the JSON value"),
        ("01", "bytes after the JSON value"),
        ("/*c*/1", "no JSON value"),
        ("NaN", "no JSON value"),
        ("'a'", "no JSON value"),
        ("[1,]", "no JSON value"),
        ("[,1]", "no JSON value"),
        ("{\"a\":1,}", "JSON key is not a string"),
        ("{a:1}", "JSON key is not a string"),
        ("{]", "JSON key is not a string"),
        ("[1}", "JSON separator missing"),
        ("[1 2]", "JSON separator missing"),
        ("{\"a\" 1}", "JSON colon missing"),
        ("-x", "malformed JSON number"),
        ("1.x", "malformed JSON number"),
        ("tru!", "unknown JSON literal"),
        ("\"\\x41\"", "unknown JSON escape"),
        ("\"\\u00g0\"", "malformed JSON escape"),
        ("\"a\nb\"", "control byte in a JSON string"),
    ];
    for (document, expected) in cases {
        assert!(
            [expected, "JSON separator missing"].contains(&reason(document)),
            "{document}: {}",
            reason(document)
        );
    }
}

#[test]
fn other_encodings_and_overlong_utf8_are_errors() {
    let utf16: Vec<u8> = "{\"a\":1}"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let bodies: [&[u8]; 5] = [
        &utf16,
        b"\xff\xfe{\0}\0",
        b"\"\xc0\xbc\"",
        b"\"\xff\"",
        b"\"\xed\xa0\x80\"",
    ];
    for body in bodies {
        let error = read(body, Naming::ModSecurity).1.expect_err("not UTF-8");
        assert!(!error.at_end, "{body:?}");
    }
    assert_eq!(read("\"é\"".as_bytes(), Naming::ModSecurity).1, Ok(()));
}

#[test]
fn what_stands_before_an_error_has_reached_the_sink() {
    let (found, outcome) = read(br#"{"a":"<x>","b":"#, Naming::ModSecurity);
    assert_eq!(found, pairs(&[("json.a", "<x>")]));
    assert!(outcome.expect_err("cut").at_end);
    let (found, outcome) = read(br#"{"a":"<x>"},"#, Naming::ModSecurity);
    assert_eq!(found, pairs(&[("json.a", "<x>")]));
    assert_eq!(outcome.expect_err("junk").offset, 11);
}

#[test]
fn a_string_cut_by_the_inspection_limit_is_handed_out() {
    let (found, outcome) = read(br#"{"a":"<x> \u0041aa"#, Naming::ModSecurity);
    assert_eq!(found, pairs(&[("json.a", "<x> Aaa")]));
    assert!(outcome.expect_err("cut").at_end);
    let (found, outcome) = read(br#"{"<x>"#, Naming::ModSecurity);
    assert_eq!(found, pairs(&[("json.<x>", "")]));
    assert!(outcome.expect_err("cut").at_end);
}

#[test]
fn depth_is_a_number_and_not_the_stack() {
    for open in ["[", "{\"a\":"] {
        let bomb = open.repeat(1_000_000);
        assert_eq!(reason(&bomb), "JSON is too deep");
    }
    let allowed = format!("{}{}", "[".repeat(1024), "]".repeat(1024));
    assert_eq!(read(allowed.as_bytes(), Naming::ModSecurity).1, Ok(()));
}

#[test]
fn shallow_values_do_not_hide_depth_behind_them() {
    let document = format!("[{}{}", "1,".repeat(900), "[".repeat(1_000_000));
    assert_eq!(reason(&document), "JSON is too deep");
}

#[test]
fn arguments_are_counted_while_reading() {
    let document = format!("[{}1]", "1,".repeat(1_000_000));
    let (found, outcome) = read(document.as_bytes(), Naming::ModSecurity);
    assert_eq!(found.len(), 1000);
    let error = outcome.expect_err("limit");
    assert_eq!(error.reason, "too many JSON arguments");
    assert!(
        error.offset < 3000,
        "the parser went on to {}",
        error.offset
    );
    let allowed = format!("[{}1]", "1,".repeat(999));
    assert_eq!(read(allowed.as_bytes(), Naming::ModSecurity).1, Ok(()));
}

#[test]
fn names_cannot_multiply() {
    let limits = Limits {
        arguments: usize::MAX,
        ..Limits::default()
    };
    let document = format!("{{\"{}\":[{}1]}}", "k".repeat(65_536), "1,".repeat(30_000));
    let mut bytes = 0;
    let outcome = parse(
        document.as_bytes(),
        limits,
        Naming::ModSecurity,
        &mut |name, _| {
            bytes += name.len();
            ControlFlow::Continue(())
        },
    );
    assert_eq!(
        outcome.expect_err("limit").reason,
        "JSON names are too long"
    );
    assert!(bytes <= limits.name_bytes);
}

#[test]
fn a_sink_that_breaks_off_is_an_error() {
    let outcome = parse(
        b"[1,2]",
        Limits::default(),
        Naming::ModSecurity,
        &mut |_, _| ControlFlow::Break(()),
    );
    assert_eq!(outcome.expect_err("stopped").reason, "too many arguments");
}

#[test]
fn every_prefix_of_a_document_is_an_early_end_and_nothing_else() {
    let sample = "{\"é\\ud83d\\ude00\":[1,-2.5e+3,true,null,\"\\n\u{1f600}\",{}],\"b\":{\"\":[]}}"
        .as_bytes();
    for end in 1..sample.len() {
        for naming in [Naming::ModSecurity, Naming::Coraza] {
            let error = read(&sample[..end], naming).1.expect_err("cut");
            assert!(error.at_end, "{end}: {error}");
        }
    }
}

#[test]
fn documents_a_line_are_members_of_one_array() {
    let lines = |naming, body: &str| {
        collect(|sink| parse_lines(body.as_bytes(), Limits::default(), naming, sink))
    };
    let body = "{\"a\":1}\r\n\n [2]\t\n\"x\"";
    let (found, outcome) = lines(Naming::Coraza, body);
    assert_eq!(outcome, Ok(()));
    let expected = [
        ("json.0.a", "1"),
        ("json.1.0", "2"),
        ("json.1", "1"),
        ("json.2", "x"),
        ("json", "3"),
    ];
    assert_eq!(found, pairs(&expected));
    let (found, _) = lines(Naming::ModSecurity, body);
    assert_eq!(found[1].0, "json.array_1.array_0");
    assert_eq!(lines(Naming::Coraza, "\n\n"), (Pairs::new(), Ok(())));
}

#[test]
fn a_line_holds_one_document_and_a_document_one_line() {
    for body in ["{\"a\":1}{\"b\":2}", "{\"a\":\n1}", "1 2", "{\"a\":1}\n}"] {
        let (_, outcome) =
            collect(|sink| parse_lines(body.as_bytes(), Limits::default(), Naming::Coraza, sink));
        assert!(outcome.is_err(), "{body:?}");
    }
}

#[test]
fn lines_are_counted_together() {
    let limits = Limits {
        arguments: 10,
        ..Limits::default()
    };
    let mut seen = 0;
    let outcome = parse_lines(&b"1\n".repeat(1000), limits, Naming::Coraza, &mut |_, _| {
        seen += 1;
        ControlFlow::Continue(())
    });
    assert_eq!(outcome.unwrap_err().reason, "too many JSON arguments");
    assert_eq!(seen, 10);
}
