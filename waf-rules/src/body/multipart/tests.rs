//! Each irregularity beside the innocent body that looks like it.

mod boundary;

use super::*;
use crate::body::testing::text;

const TYPE: &str = "multipart/form-data; boundary=b";

fn read<'a>(content_type: &str, body: &'a str) -> Multipart<'a> {
    parse(content_type.as_bytes(), body.as_bytes(), Limits::default())
}

/// A body of one part with these header lines.
fn one(headers: &str) -> String {
    format!("--b\r\n{headers}\r\n\r\nvalue\r\n--b--\r\n")
}

/// A body of one part with this Content-Disposition.
fn disposed(disposition: &str) -> String {
    one(&format!("Content-Disposition: {disposition}"))
}

fn reason(parsed: &Multipart<'_>) -> &'static str {
    parsed.error.map_or("", |error| error.reason)
}

fn fields(parsed: &Multipart<'_>) -> Vec<(String, String)> {
    parsed
        .fields
        .iter()
        .map(|field| (text(&field.name), text(field.value)))
        .collect()
}

fn file_names(parsed: &Multipart<'_>) -> Vec<String> {
    parsed
        .files
        .iter()
        .flat_map(|file| &file.file_names)
        .map(|name| text(&name.value))
        .collect()
}

fn clean() -> Flags {
    Flags::default()
}

const BROWSER: &str = "------WebKitFormBoundaryX\r\n\
    Content-Disposition: form-data; name=\"comment\"\r\n\r\n\
    two\nlines -- and\r\n-- more\r\n\
    ------WebKitFormBoundaryX\r\n\
    Content-Disposition: form-data; name=\"f[]\"; filename=\"r\u{e9}sum\u{e9} (1).pdf\"\r\n\
    Content-Type: application/pdf\r\n\r\n\
    %PDF\0\n\r\n\r\n\
    ------WebKitFormBoundaryX\r\n\
    Content-Disposition: form-data; name=\"none\"; filename=\"\"\r\n\
    Content-Type: application/octet-stream\r\n\r\n\r\n\
    ------WebKitFormBoundaryX--\r\n";
const BROWSER_TYPE: &str = "multipart/form-data; boundary=----WebKitFormBoundaryX";

#[test]
fn what_a_browser_sends_is_read_without_a_flag() {
    let body = BROWSER.replace("\r\n-- more", "\r\n- more");
    let parsed = read(BROWSER_TYPE, &body);
    assert_eq!(parsed.error, None);
    assert_eq!(parsed.flags, clean());
    let expected = [("comment", "two\nlines -- and\r\n- more"), ("none", "")];
    assert_eq!(
        fields(&parsed),
        expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
    assert_eq!(parsed.files.len(), 2);
    let file = &parsed.files[0];
    assert_eq!(text(&file.name), "f[]");
    assert_eq!(&*file.file_names[0].value, "résumé (1).pdf".as_bytes());
    assert_eq!(&body.as_bytes()[file.content.clone()], b"%PDF\0\n\r\n");
    let headers: Vec<String> = parsed
        .part_headers
        .iter()
        .map(|header| format!("{}|{}", text(&header.part), text(&header.line)))
        .collect();
    assert_eq!(headers.len(), 5);
    assert_eq!(headers[2], "f[]|Content-Type: application/pdf");
}

#[test]
fn dispositions_are_read_as_modsecurity_v3_reads_them() {
    // disposition, name, file names, flags.invalid_quoting
    let cases: &[(&str, &str, &[&str], bool)] = &[
        ("form-data; name=\"a\"", "a", &[], false),
        ("form-data; name=a", "a", &[], false),
        ("form-data; name=\"a\";", "a", &[], false),
        ("form-data;name=\"a;b=c\"", "a;b=c", &[], false),
        ("form-data; name=\"it's\"", "it's", &[], false),
        ("form-data; name='a'", "a", &[], true),
        ("form-data; name=it's", "it's", &[], true),
        (r#"form-data; name="a\"b\\c\d""#, r#"a"b\c\d"#, &[], false),
        (
            r#"form-data; name="a"; filename="C:\new\x.txt""#,
            "a",
            &[r"C:\new\x.txt"],
            false,
        ),
        (
            "form-data; name=\"a\"; filename=\"x.php \"",
            "a",
            &["x.php "],
            false,
        ),
        ("form-data; filename=x.txt; name=a", "a", &["x.txt"], false),
        // Both names are kept: the backend may use either.
        (
            "form-data; name=\"a\"; filename=\"ok.txt\"; filename*=iso-8859-1''evil%2ephp",
            "a",
            &["ok.txt", "evil.php"],
            false,
        ),
    ];
    for (disposition, name, names, quoting) in cases {
        let body = disposed(disposition);
        let parsed = read(TYPE, &body);
        assert_eq!(parsed.error, None, "{disposition}");
        assert_eq!(parsed.flags.invalid_quoting, *quoting, "{disposition}");
        assert_eq!(parsed.flags.strict_error(), *quoting);
        assert_eq!(file_names(&parsed), *names, "{disposition}");
        if names.is_empty() {
            assert_eq!(fields(&parsed), [((*name).to_owned(), "value".to_owned())]);
        } else {
            assert_eq!(text(&parsed.files[0].name), *name);
            assert!(parsed.fields.is_empty(), "{disposition}");
        }
    }
}

const REFUSED: &[(&str, &str)] = &[
    (
        "attachment; name=\"kept\"",
        "Multipart: Invalid Content-Disposition header (-1): not form-data",
    ),
    (
        "name=\"kept\"",
        "Multipart: Invalid Content-Disposition header (-1): not form-data",
    ),
    (
        "form-data name=\"kept\"",
        "Multipart: Invalid Content-Disposition header (-2): semicolon missing",
    ),
    (
        "form-data; name=\"kept\"; x",
        "Multipart: Invalid Content-Disposition header (-4): equals sign missing",
    ),
    (
        "form-data; x; name=\"kept\"",
        "Multipart: Invalid Content-Disposition header (-13): equals sign missing",
    ),
    (
        "form-data; name=\"kept\"; x=y",
        "Multipart: Invalid Content-Disposition header (-11): unknown parameter",
    ),
    (
        "form-data; Name=\"kept\"",
        "Multipart: Invalid Content-Disposition header (-11): unknown parameter",
    ),
    (
        "form-data; name*=utf-8''kept",
        "Multipart: Invalid Content-Disposition header (-11): unknown parameter",
    ),
    (
        "form-data; name=\"kept\"; name=\"b\"",
        "Multipart: Invalid Content-Disposition header (-14): Duplicate Content-Disposition name",
    ),
    (
        "form-data; name=\"kept",
        "Multipart: Invalid Content-Disposition header: unclosed quote",
    ),
    (
        "form-data; name = \"kept\"",
        "Multipart: Invalid Content-Disposition header: blanks around the equals sign",
    ),
    (
        "form-data; name=\"kept\"x",
        "Multipart: Invalid Content-Disposition header (-12): junk after a value",
    ),
    (
        "form-data; name=kept kept",
        "Multipart: Invalid Content-Disposition header (-12): neither quoted nor a token",
    ),
    (
        "form-data; name=a; filename=\"x\"; filename=\"kept\"",
        "Multipart: Invalid Content-Disposition header (-15): Duplicate Content-Disposition filename",
    ),
    (
        "form-data; name=a; filename*=UTF-8'en'k%65pt",
        "Multipart: Invalid Content-Disposition header (-21): Warning: no filename= but filename*",
    ),
    (
        "form-data; name=a; filename=kept; filename*=''x",
        "Multipart: Invalid Content-Disposition header (-16): filename* without a charset",
    ),
    (
        "form-data; name=a; filename=kept; filename*=UTF-8'x",
        "Multipart: Invalid Content-Disposition header (-17): filename* without its quotes",
    ),
    (
        "form-data; name=a; filename=kept; filename*=UTF-8''%4G",
        "Multipart: Invalid Content-Disposition header (-18): bad escape in filename*",
    ),
    (
        "form-data; name=a; filename*0=\"x\"; filename*1=\"kept\"",
        "Multipart: Invalid Content-Disposition header (-11): unknown parameter",
    ),
];

#[test]
fn what_modsecurity_v3_refuses_is_an_error_and_its_value_is_kept() {
    for (disposition, expected) in REFUSED {
        let body = disposed(disposition);
        let parsed = read(TYPE, &body);
        assert_eq!(reason(&parsed), *expected, "{disposition}");
        let kept = parsed
            .fields
            .iter()
            .any(|field| text(&field.name).contains("kept"))
            || file_names(&parsed).iter().any(|name| name == "kept");
        assert!(kept, "{disposition}: {parsed:?}");
    }
}

#[test]
fn an_extended_name_is_taken_apart() {
    let body = disposed("form-data; name=a; filename=b; filename*=UTF-8'en'%e2%82%ac");
    let parsed = read(TYPE, &body);
    let name = &parsed.files[0].file_names[1];
    assert_eq!(&*name.value, "€".as_bytes());
    assert_eq!(name.charset.as_deref(), Some(b"UTF-8".as_slice()));
    assert_eq!(name.language.as_deref(), Some(b"en".as_slice()));
}

#[test]
fn an_empty_file_name_hides_no_field() {
    for disposition in [
        "form-data; name=\"a\"; filename=\"\"",
        "form-data; name=\"a\"; filename=\"\"; filename*=utf-8''x",
    ] {
        let body = disposed(disposition);
        let parsed = read(TYPE, &body);
        assert_eq!(fields(&parsed), [("a".to_owned(), "value".to_owned())]);
        assert_eq!(parsed.files.len(), 1);
    }
}

#[test]
fn part_headers_are_strict() {
    let disposition = "Content-Disposition: form-data; name=\"a\"";
    let cases = [
        (
            format!("{disposition}\r\n{disposition}"),
            "Multipart: Duplicate part header",
        ),
        (
            format!("{disposition}\r\nX: 1\r\nx: 2"),
            "Multipart: Duplicate part header",
        ),
        (
            "X: 1".to_owned(),
            "Multipart: Part missing Content-Disposition header",
        ),
        (
            "Content-Disposition: form-data".to_owned(),
            "Multipart: Content-Disposition header missing name field",
        ),
        (
            "Content-Disposition : form-data; name=\"a\"".to_owned(),
            "Multipart: Invalid part header (contains invalid character)",
        ),
        (
            format!("{disposition}\r\nX\u{e9}: 1"),
            "Multipart: Invalid part header (contains invalid character)",
        ),
        (
            format!("{disposition}\r\n: 1"),
            "Multipart: Invalid part header (header name missing)",
        ),
        (
            format!("{disposition}\r\nX: a\0b"),
            "Multipart: Invalid part header (contains invalid character)",
        ),
        (
            format!("{disposition}\r\nX: a\rb"),
            "Multipart: Invalid part header (contains invalid character)",
        ),
        (
            format!("{disposition}\r\nX: {}", "x".repeat(4096)),
            "Multipart: part header is too long",
        ),
        (
            format!("{disposition}{}", "\r\n X".repeat(4096)),
            "Multipart: part header is too long",
        ),
        (
            " folded".to_owned(),
            "Multipart: Invalid part header (folding error)",
        ),
        (
            format!("{disposition}\r\n<script>"),
            "Multipart: Invalid part header (colon missing)",
        ),
    ];
    for (headers, expected) in &cases {
        let body = one(headers);
        let parsed = read(TYPE, &body);
        assert_eq!(reason(&parsed), *expected, "{headers:.60}");
        assert!(fields(&parsed)[0].1.ends_with("value"), "{headers:.60}");
    }
    let parsed_body = one(&format!("{disposition}\r\nX-A: caf\u{e9}\tb"));
    assert_eq!(read(TYPE, &parsed_body).error, None);
    let twice = one(&cases[0].0);
    assert!(read(TYPE, &twice).flags.duplicate_part_header);
}

#[test]
fn of_two_dispositions_both_are_inspected() {
    let body = one(
        "Content-Disposition: form-data; name=\"a\"; filename=\"x\"\r\n\
         Content-Disposition: form-data; name=\"b\"",
    );
    let parsed = read(TYPE, &body);
    assert!(parsed.flags.strict_error());
    assert_eq!(fields(&parsed), [("a".to_owned(), "value".to_owned())]);
    assert_eq!(file_names(&parsed), ["x"]);
    assert_eq!(parsed.part_headers.len(), 2);
}

#[test]
fn folded_headers_are_joined_and_flagged() {
    let body = one("Content-Disposition: form-data;\r\n name=\"a\";\r\n\tfilename=\"x\"");
    let parsed = read(TYPE, &body);
    assert_eq!(parsed.error, None);
    assert!(parsed.flags.header_folding && !parsed.flags.invalid_header_folding);
    assert_eq!(file_names(&parsed), ["x"]);
    assert_eq!(
        text(&parsed.part_headers[0].line),
        "Content-Disposition: form-data; name=\"a\";\tfilename=\"x\""
    );
    let body = one("Content-Disposition: form-data;\r\n\x0bname=\"a\"");
    let parsed = read(TYPE, &body);
    assert!(parsed.flags.invalid_header_folding);
}

#[test]
fn the_frame_is_strict() {
    let part = "Content-Disposition: form-data; name=\"a\"\r\n\r\nvalue";
    let whole = format!("--b\r\n{part}\r\n--b--\r\n");
    // body, reason, check of the flags
    type Check = fn(Flags) -> bool;
    let cases: [(String, &str, Check); 16] = [
        (whole.clone(), "", |flags| flags == clean()),
        (format!("--b\r\n{part}\r\n--b--"), "", |flags| {
            flags == clean()
        }),
        (format!("\r\n{whole}\r\n"), "", |flags| flags == clean()),
        (format!("<x>\r\n{whole}"), "", |flags| flags.data_before),
        (format!("{whole}<x>"), "", |flags| flags.data_after),
        (format!("{whole}{whole}"), "", |flags| flags.data_after),
        (whole.replace("\r\n", "\n"), "", |flags| {
            flags.lf_line && !flags.crlf_lf_lines
        }),
        (whole.replace("\r\n\r\n", "\n\n"), "", |flags| {
            flags.lf_line && flags.crlf_lf_lines
        }),
        (whole.replace("\r\n--b--", "\n--b--"), "", |flags| {
            flags.lf_line
        }),
        (
            whole.replace("\r\n", "\r"),
            "Multipart: Invalid boundary (junk behind it)",
            |flags| flags.unmatched_boundary == 1,
        ),
        (
            whole.replace("--b--", "--b"),
            "Multipart: Final boundary missing",
            |flags| flags.unmatched_boundary == 0,
        ),
        (whole.replace("value", "value\r\n--c"), "", |flags| {
            flags.unmatched_boundary == 2 && !flags.strict_error()
        }),
        (
            whole.replace("value", "--bx"),
            "Multipart: Invalid boundary (junk behind it)",
            |flags| flags.unmatched_boundary == 2,
        ),
        (
            whole.replace("value", "v\r\n--b \r\nv"),
            "Multipart: Invalid boundary (junk behind it)",
            |flags| flags.unmatched_boundary == 2,
        ),
        (
            whole.replace("value", "v\r\n-- \"b\"\r\nv"),
            "Multipart: Invalid boundary (blanks or quotes before it)",
            |flags| flags.unmatched_boundary == 2,
        ),
        (
            "<payload>".to_owned(),
            "Multipart: No boundaries found in payload",
            |flags| flags.unmatched_boundary == 0,
        ),
    ];
    for (body, expected, check) in &cases {
        let parsed = read(TYPE, body);
        assert_eq!(reason(&parsed), *expected, "{body:?}");
        assert!(check(parsed.flags), "{body:?}: {:?}", parsed.flags);
    }
    assert_eq!(read(TYPE, "").error, None);
}

#[test]
fn a_part_without_its_empty_line_is_an_error_and_is_inspected() {
    let body = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n<payload>\r\n--b--\r\n";
    let parsed = read(TYPE, body);
    assert_eq!(
        reason(&parsed),
        "Multipart: Invalid part header (colon missing)"
    );
    assert_eq!(fields(&parsed), [("a".to_owned(), "<payload>".to_owned())]);
    let body = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n--b--\r\n";
    assert_eq!(
        reason(&read(TYPE, body)),
        "Multipart: part has no empty line"
    );
    let body = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n--b--\r\n";
    let parsed = read(TYPE, body);
    assert_eq!(parsed.error, None);
    assert_eq!(fields(&parsed), [("a".to_owned(), String::new())]);
}

#[test]
fn an_empty_name_is_an_invalid_part() {
    let body = disposed("form-data; name=\"\"");
    let parsed = read(TYPE, &body);
    assert_eq!(parsed.error, None);
    assert!(parsed.flags.invalid_part && parsed.flags.strict_error());
    assert_eq!(fields(&parsed), [(String::new(), "value".to_owned())]);
}

#[test]
fn parts_files_and_headers_are_capped() {
    let part = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n";
    let body = format!("{}--b--\r\n", part.repeat(1000));
    assert_eq!(read(TYPE, &body).error, None);
    let body = format!("{}--b--\r\n", part.repeat(100_000));
    let parsed = read(TYPE, &body);
    assert_eq!(reason(&parsed), "Multipart: too many parts");
    assert_eq!(parsed.fields.len(), 1000);

    let file = "--b\r\nContent-Disposition: form-data; name=\"a\"; filename=\"f\"\r\n\r\n1\r\n";
    let body = format!("{}--b--\r\n", file.repeat(100));
    assert_eq!(read(TYPE, &body).flags, clean());
    let body = format!("{}--b--\r\n", file.repeat(101));
    assert!(read(TYPE, &body).flags.file_limit_exceeded);

    let lines: String = (0..17).map(|line| format!("X{line}: 1\r\n")).collect();
    let body = one(lines.trim_end());
    let parsed = read(TYPE, &body);
    assert_eq!(reason(&parsed), "Multipart: too many part headers");
    assert_eq!(parsed.part_headers.len(), 16);
}

#[test]
fn a_body_cut_by_the_inspection_limit_is_no_error() {
    let limits = Limits {
        partial: true,
        ..Limits::default()
    };
    let body = BROWSER.replace("\r\n-- more", "\r\n- more");
    for end in 1..body.len() {
        let parsed = parse(BROWSER_TYPE.as_bytes(), &body.as_bytes()[..end], limits);
        assert_eq!(parsed.error, None, "{end}");
        assert!(!parsed.flags.strict_error(), "{end}: {:?}", parsed.flags);
        assert_ne!(parsed.flags.unmatched_boundary, 1);
    }
    let cut = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n<payload>";
    let parsed = parse(TYPE.as_bytes(), cut.as_bytes(), limits);
    assert_eq!(fields(&parsed), [("a".to_owned(), "<payload>".to_owned())]);
}

#[test]
fn every_prefix_of_a_body_is_an_early_end_and_loses_no_content() {
    for end in 1..BROWSER.len() - 2 {
        let parsed = parse(
            BROWSER_TYPE.as_bytes(),
            &BROWSER.as_bytes()[..end],
            Limits::default(),
        );
        let error = parsed.error.expect("cut");
        assert!(error.at_end, "{end}: {error}");
        // Only a first boundary line alone has no content.
        assert!(!parsed.fields.is_empty() || matches!(end, 25 | 27), "{end}");
    }
    for end in 0..=BROWSER_TYPE.len() {
        read(&BROWSER_TYPE[..end], BROWSER);
    }
    let sample = "form-data; name=\"a\\\"b\"; filename='x'; filename*=utf-8''%zz%41; q=\"\\";
    for end in 0..=sample.len() {
        let body = disposed(&sample[..end]);
        assert_eq!(read(TYPE, &body).part_headers.len(), 1);
    }
}
