//! Documents, the arguments they become, and what they cost.

use super::*;
use crate::body::testing::{Pairs, collect, pairs};

fn read(text: &str) -> (Pairs, Document) {
    let limits = Limits::default();
    collect(|sink| parse(text.as_bytes(), limits, Naming::Coraza, b"graphql", sink))
}

fn cost(text: &str) -> (usize, usize, usize, usize) {
    let (_, document) = read(text);
    assert_eq!(document.error, None, "{text}");
    let cost = document.cost;
    (cost.depth, cost.fields, cost.aliases, cost.directives)
}

fn reason(text: &str) -> &'static str {
    read(text).1.error.expect(text).reason
}

#[test]
fn literals_stand_under_the_path_of_their_field() {
    let cases: &[(&str, &[(&str, &str)])] = &[
        ("{ shop { items { name price } } }", &[]),
        (
            r#"query Q { user(name: "x' or 1=1") { posts(filter: {tags: ["a", "b"], n: 5}) { id } } }"#,
            &[
                ("graphql.user.name", "x' or 1=1"),
                ("graphql.user.posts.filter.tags.0", "a"),
                ("graphql.user.posts.filter.tags.1", "b"),
                ("graphql.user.posts.filter.n", "5"),
            ],
        ),
        (
            r#"mutation { me: rename(to: $name, kind: ADMIN, on: true, old: null) { ok } }"#,
            &[
                ("graphql.rename.kind", "ADMIN"),
                ("graphql.rename.on", "true"),
                ("graphql.rename.old", ""),
            ],
        ),
        (
            r#"query ($id: [Int!]! = [1], $s: String = "d") @live(by: "x") { a }"#,
            &[
                ("graphql.$id.0", "1"),
                ("graphql.$s", "d"),
                ("graphql.@live.by", "x"),
            ],
        ),
        (
            r#"{ a @include(if: $b) { ... on T @skip(if: false) { b(c: -1.5e+3) } ...F } }
               fragment F on T { d(e: {}, f: []) }"#,
            &[
                ("graphql.a.@skip.if", "false"),
                ("graphql.a.b.c", "-1.5e+3"),
            ],
        ),
        (
            "# who's there?\r{ a # <script>\n }",
            &[("graphql.#", " who's there?"), ("graphql.#", " <script>")],
        ),
    ];
    for (text, expected) in cases {
        let (found, document) = read(text);
        assert_eq!(document.error, None, "{text}");
        assert_eq!(found, pairs(expected), "{text}");
    }
}

#[test]
fn strings_are_decoded_as_servers_decode_them() {
    for (literal, expected) in [
        (r#""a\"b\\c\/\u003cscript\u{3e}\n""#, "a\"b\\c/<script>\n"),
        (r#""\ud83d\ude00 \ud83d""#, "\u{1f600} \u{fffd}"),
        (
            r#""""block "quoted" \""" \u003c""""#,
            "block \"quoted\" \"\"\" \\u003c",
        ),
        (r#""""#, ""),
        (r#""""""""#, ""),
    ] {
        let mut values = Vec::new();
        let text = format!("{{a(b:{literal})}}");
        let limits = Limits::default();
        let document = parse(
            text.as_bytes(),
            limits,
            Naming::Coraza,
            b"g",
            &mut |_, value| {
                values.push(String::from_utf8(value.to_vec()).unwrap());
                std::ops::ControlFlow::Continue(())
            },
        );
        assert_eq!(document.error, None, "{literal}");
        assert_eq!(values, [expected], "{literal}");
    }
}

#[test]
fn depth_fields_aliases_and_directives_are_counted() {
    assert_eq!(cost("{a}"), (1, 1, 0, 0));
    assert_eq!(cost("{a{b c{d}}}"), (3, 4, 0, 0));
    assert_eq!(cost("{x:a y:a z:a @d @d}"), (1, 3, 3, 2));
    assert_eq!(cost("{a} query B {b{c}}"), (2, 3, 0, 0));
    // An inline fragment is no field.
    assert_eq!(cost("{a{...on T{b}...{c}}}"), (2, 3, 0, 0));
}

#[test]
fn fragments_count_wherever_they_are_spread() {
    assert_eq!(
        cost("{a{...F}} fragment F on T {b{c} ...G} fragment G on T {x:d}"),
        (3, 4, 1, 0)
    );
    let mut text = "{...F0 ...F0}".to_owned();
    for n in 0..80 {
        text += &format!(" fragment F{n} on T {{...F{m} ...F{m}}}", m = n + 1);
    }
    text += " fragment F80 on T {a}";
    assert_eq!(cost(&text).1, usize::MAX);
    assert_eq!(
        reason("{...A} fragment A on T {...B} fragment B on T {...A}"),
        "GraphQL fragments contain themselves"
    );
    assert_eq!(
        reason("{...A} fragment A on T {a} fragment A on T {b}"),
        "GraphQL fragment is defined twice"
    );
}

#[test]
fn operations_and_fields_are_named() {
    let text = "query One {__schema{types}} mutation {a} subscription S {b}";
    let (_, document) = read(text);
    let operations: Vec<_> = document
        .operations
        .iter()
        .map(|(kind, name)| (*kind, &text[name.clone()]))
        .collect();
    assert_eq!(
        operations,
        [("query", "One"), ("mutation", ""), ("subscription", "S")]
    );
    let fields: Vec<_> = document
        .field_names
        .iter()
        .map(|name| &text[name.clone()])
        .collect();
    assert_eq!(fields, ["__schema", "types", "a", "b"]);
}

#[test]
fn what_is_not_graphql_is_an_error() {
    for text in [
        "",
        "hello",
        "{}{",
        "{a",
        "{a(b:)}",
        "{a(b:1 c)}",
        "{a(:1)}",
        "{a(b:01x)}",
        "{a(b:1.)}",
        "{a(b:\"\n\")}",
        "{a(b:\"\\q\")}",
        "{a(b:\"x)}",
        "{a;b}",
        "{a'b}",
        "{a} extra",
        "type T {a: Int}",
        "query {a} fragment on on T {a}",
        "fragment F on T {a}",
        "query ($a) {a}",
        "query ($a: [Int) {a}",
        "{a(b:[1}",
        "{... on T}",
        "{a(b:{\"c\":1})}",
        "{a|b}",
    ] {
        reason(text);
    }
    let (_, document) = collect(|sink| {
        parse(
            b"{a(b:\"\xff\")}",
            Limits::default(),
            Naming::Coraza,
            b"g",
            sink,
        )
    });
    assert_eq!(document.error.unwrap().reason, "GraphQL is not UTF-8");
}

#[test]
fn depth_fields_and_arguments_stop_the_parser() {
    let deep = "{a".repeat(1_000_000);
    assert_eq!(reason(&deep), "GraphQL is too deep");
    let deep = format!("{{a(b:{}", "[".repeat(1_000_000));
    assert_eq!(reason(&deep), "GraphQL is too deep");
    let deep = format!("query($a:{}", "[".repeat(1_000_000));
    assert_eq!(reason(&deep), "GraphQL is too deep");
    let wide = format!("{{{}}}", "a ".repeat(20_000));
    assert_eq!(reason(&wide), "too many GraphQL fields");
    let many = "{a}".repeat(20_000);
    assert_eq!(reason(&many), "too many GraphQL operations");
    let many = format!("{{a}} {}", "fragment F on T{a}".repeat(20_000));
    assert_eq!(reason(&many), "too many GraphQL fragments");
    let many = format!("{{{}}}", "...F ".repeat(20_000));
    assert_eq!(reason(&many), "too many GraphQL spreads");
    let many = format!("{{a {}}} fragment F on T{{a}}", "...F ".repeat(5000));
    assert_eq!(read(&many).1.error, None);
    let many = format!("{{a(b:[{}])}}", "1 ".repeat(2000));
    let (found, document) = read(&many);
    assert_eq!(document.error.unwrap().reason, "too many GraphQL arguments");
    assert_eq!(found.len(), 1000);
    let long = format!("{{{}(b:[{}])}}", "n".repeat(20_000), "1 ".repeat(900));
    assert_eq!(reason(&long), "GraphQL names are too long");
}

#[test]
fn a_string_cut_by_the_inspection_limit_is_handed_out() {
    let (found, document) = read("{a(b:\"<script>");
    assert_eq!(found, pairs(&[("graphql.a.b", "<script>")]));
    assert!(document.error.unwrap().at_end);
}

#[test]
fn every_prefix_of_a_document_is_an_early_end_and_nothing_else() {
    let sample = "query Q($a: [T!]! = {b: [1.5e3]}) @c { x: a(s: \"\\u0041\\ud83d\\ude00\", t: \"\"\"u\"\"\") \
                  { ...F ... on T { b } } } # z\nfragment F on T { c }";
    assert_eq!(read(sample).1.error, None);
    for end in 0..sample.len() {
        if let Some(error) = read(&sample[..end]).1.error {
            assert!(error.at_end, "{error} in {}", &sample[..end]);
        }
    }
}
