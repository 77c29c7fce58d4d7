//! Where the boundary is read from, and which Content-Types leave it in doubt.

use super::*;

#[test]
fn the_boundary_is_read_where_every_backend_reads_it() {
    let accepted: &[(&str, Flags)] = &[
        ("multipart/form-data; boundary=b", clean()),
        ("Multipart/Form-Data;boundary=b", clean()),
        ("multipart/form-data; boundary=b; charset=UTF-8", clean()),
        ("multipart/form-data; charset=utf-8; boundary=b;", clean()),
        (
            "multipart/form-data; boundary=\"b\"",
            Flags {
                boundary_quoted: true,
                ..clean()
            },
        ),
        (
            "multipart/form-data boundary=b",
            Flags {
                missing_semicolon: true,
                ..clean()
            },
        ),
        (
            "multipart/form-data; boundary =b",
            Flags {
                boundary_whitespace: true,
                ..clean()
            },
        ),
        (
            "multipart/form-data; boundary= b",
            Flags {
                boundary_whitespace: true,
                ..clean()
            },
        ),
        (
            "multipart/form-data; boundary=b ",
            Flags {
                boundary_whitespace: true,
                ..clean()
            },
        ),
    ];
    let body = disposed("form-data; name=\"a\"");
    for (content_type, flags) in accepted {
        let parsed = read(content_type, &body);
        assert_eq!(parsed.error, None, "{content_type}");
        assert_eq!(parsed.flags, *flags, "{content_type}");
        assert_eq!(fields(&parsed), [("a".to_owned(), "value".to_owned())]);
        assert_eq!(parsed.flags.strict_error(), *flags != clean());
    }
}

const AMBIGUOUS: &[(&str, &str)] = &[
    (
        "multipart/form-data",
        "Multipart: Boundary not found in C-T",
    ),
    (
        "multipart/form-data; boundary=b; boundary=c",
        "Multipart: Multiple boundary parameters in C-T",
    ),
    (
        "multipart/form-data; boundary=b; Boundary=b",
        "Multipart: Multiple boundary parameters in C-T",
    ),
    (
        "multipart/form-data; boundary*0=b; boundary*1=c",
        "Multipart: Invalid boundary in C-T (parameter name)",
    ),
    (
        "multipart/form-data; boundary*=us-ascii''b",
        "Multipart: Invalid boundary in C-T (parameter name)",
    ),
    (
        "multipart/form-data; xboundary=c; boundary=b",
        "Multipart: Invalid boundary in C-T (parameter name)",
    ),
    (
        "multipart/form-data; x=\"boundary=c\"; boundary=b",
        "Multipart: Invalid boundary in C-T (parameter name)",
    ),
    (
        "multipart/form-data; boundary=",
        "Multipart: Invalid boundary in C-T (empty)",
    ),
    (
        "multipart/form-data; boundary=\"\"",
        "Multipart: Invalid boundary in C-T (empty)",
    ),
    (
        "multipart/form-data; boundary=b,c",
        "Multipart: Invalid boundary in C-T (characters)",
    ),
    (
        "multipart/form-data; boundary=b, text/plain",
        "Multipart: Invalid boundary in C-T (malformed)",
    ),
    (
        "multipart/form-data; boundary=\"b c\"",
        "Multipart: Invalid boundary in C-T (characters)",
    ),
    (
        "multipart/form-data; boundary=b\"",
        "Multipart: Invalid boundary in C-T (quote)",
    ),
    (
        "multipart/form-data; boundary=\"b",
        "Multipart: Invalid boundary in C-T (quote)",
    ),
    (
        "multipart/ form-data; boundary=b",
        "Multipart: Invalid boundary in C-T (malformed)",
    ),
    (
        "multipart/form-dataX; boundary=b",
        "Multipart: Invalid boundary in C-T (malformed)",
    ),
    (
        "multipart/mixed; boundary=b",
        "Multipart: Invalid boundary in C-T (malformed)",
    ),
    (
        "multipart/form-data, x",
        "Multipart: Invalid boundary in C-T (malformed)",
    ),
    (
        "multipart/form-data; =b",
        "Multipart: Invalid boundary in C-T (malformed)",
    ),
];

#[test]
fn an_ambiguous_boundary_is_an_error_and_the_body_one_value() {
    let long = format!("multipart/form-data; boundary={}", "b".repeat(71));
    let padded = format!("multipart/form-data; x={}; boundary=b", "x".repeat(1024));
    let sizes = [
        (long.as_str(), "Multipart: Invalid boundary in C-T (length)"),
        (
            padded.as_str(),
            "Multipart: Invalid boundary in C-T (length)",
        ),
    ];
    for (content_type, expected) in AMBIGUOUS.iter().copied().chain(sizes) {
        let parsed = read(content_type, "<payload>");
        assert_eq!(reason(&parsed), expected, "{content_type}");
        assert_eq!(fields(&parsed), [(String::new(), "<payload>".to_owned())]);
    }
}
