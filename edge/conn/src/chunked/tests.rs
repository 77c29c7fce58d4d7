use super::*;

/// All at once, byte by byte, and with bytes of a next request behind it.
fn check(content: &[u8]) -> Result<usize, ChunkError> {
    let whole = Chunked::new().advance(content);
    let mut by_bytes = Chunked::new();
    let mut used = 0;
    let slow = content
        .chunks(1)
        .try_for_each(|byte| by_bytes.advance(byte).map(|n| used += n));
    match (whole, slow) {
        (Ok(n), Ok(())) => assert_eq!(n, used),
        (whole, slow) => assert_eq!(whole.err(), slow.err()),
    }
    whole
}

fn is_done(content: &[u8]) -> bool {
    let mut chunked = Chunked::new();
    chunked.advance(content).is_ok() && chunked.is_done()
}

#[test]
fn honest_contents_pass_and_end_where_they_end() {
    for content in [
        "0\r\n\r\n",
        "3\r\nabc\r\n0\r\n\r\n",
        "00A\r\n0123456789\r\n0000\r\n\r\n",
        "3;a=b\r\nabc\r\n0;last\r\n\r\n",
        "3;a=\"b c;d=e\";f\r\nabc\r\n0\r\n\r\n",
        "3\r\nabc\r\n0\r\nX-Checksum: 1\r\nY:\r\n\r\n",
        "3\r\n\n\r\n\r\n0\r\n\r\n",
    ] {
        assert!(is_done(content.as_bytes()), "{content:?}");
        let next = format!("{content}GET / HTTP/1.1\r\n");
        assert_eq!(check(next.as_bytes()), Ok(content.len()), "{content:?}");
        let part = content.as_bytes().get(..content.len() - 1).unwrap();
        assert!(!is_done(part), "{content:?} cut short");
    }
}

#[test]
fn sizes_that_readers_disagree_about_are_refused() {
    for size in [
        "",
        "0x3",
        "+3",
        "-3",
        " 3",
        "3 ",
        "3\t",
        "0_3",
        "g",
        "3.",
        "\u{0}3",
        "\"3\"",
        "00000000000000003",
    ] {
        let content = format!("{size}\r\nabc\r\n0\r\n\r\n");
        assert_eq!(check(content.as_bytes()), Err(ChunkError::Size), "{size:?}");
    }
    for size in ["ffffffffffffffff", "8000000000000000"] {
        assert_eq!(
            check(format!("{size}\r\n").as_bytes()),
            Err(ChunkError::Overflow)
        );
    }
    let sum = format!("1\r\na\r\n{:x}\r\n", i64::MAX);
    assert_eq!(check(sum.as_bytes()), Err(ChunkError::Overflow));
}

#[test]
fn lines_end_with_cr_lf_everywhere() {
    for content in [
        "3\nabc\r\n0\r\n\r\n",
        "3;a\nabc\r\n0\r\n\r\n",
        "3;a=\"\n\"\r\nabc\r\n0\r\n\r\n",
        "3\rabc\r\n0\r\n\r\n",
        "3\r\nabc\n0\r\n\r\n",
        "3\r\nabcXX0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "3\r\nabc\r\r\n0\r\n\r\n",
        "3\r\nabc\r\n0\n\r\n",
        "3\r\nabc\r\n0\r\n\n",
        "3\r\nabc\r\n0\r\nX: y\n\r\n",
        "3\r\nabc\r\n0\r\nX: y\rz\r\n\r\n",
        "0\r\n\rX",
    ] {
        assert_eq!(
            check(content.as_bytes()),
            Err(ChunkError::LineEnd),
            "{content:?}"
        );
    }
}

#[test]
fn extensions_play_no_games() {
    for extension in [
        ";",
        ";;a",
        "; a",
        ";a b",
        ";a=",
        ";a=b=c",
        ";a=\"b",
        ";a=\"b\\\"\"",
        ";a=\"b\"c",
        ";a=\"\r\n\"",
        ";a=\u{b}",
        ";a=\u{e9}",
        ";a\u{0}",
        ";=b",
    ] {
        let content = format!("3{extension}\r\nabc\r\n0\r\n\r\n");
        assert_eq!(
            check(content.as_bytes()),
            Err(ChunkError::Extension),
            "{extension:?}"
        );
    }
    let long = format!("3;{}\r\n", "a".repeat(9000));
    assert_eq!(check(long.as_bytes()), Err(ChunkError::ExtensionTooLong));
    let many = format!("1;{}\r\na\r\n", "a".repeat(1000)).repeat(20);
    assert_eq!(check(many.as_bytes()), Err(ChunkError::ExtensionTooLong));
}

#[test]
fn trailers_neither_frame_nor_route_nor_grow() {
    for name in [
        "Transfer-Encoding",
        "content-length",
        "Host",
        "Cookie",
        "X_Forwarded_For",
    ] {
        let content = format!("0\r\n{name}: 1\r\n\r\n");
        assert_eq!(
            check(content.as_bytes()),
            Err(ChunkError::TrailerForbidden),
            "{name}"
        );
    }
    for trailer in [
        "X : y",
        " X: y",
        ": y",
        "X",
        "X: \u{0}",
        "X\u{e9}: y",
        "X: \u{7f}",
    ] {
        let content = format!("0\r\n{trailer}\r\n\r\n");
        assert_eq!(
            check(content.as_bytes()),
            Err(ChunkError::Trailer),
            "{trailer:?}"
        );
    }
    let many = format!("0\r\n{}\r\n", "X: y\r\n".repeat(20_000));
    assert_eq!(check(many.as_bytes()), Err(ChunkError::TrailersTooLarge));
    let long = format!("0\r\nX: {}\r\n\r\n", "y".repeat(9000));
    assert_eq!(check(long.as_bytes()), Err(ChunkError::TrailersTooLarge));
    assert_eq!(
        check(format!("0\r\n{}: y\r\n\r\n", "x".repeat(65)).as_bytes()),
        Err(ChunkError::TrailersTooLarge)
    );
}
