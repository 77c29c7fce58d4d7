//! `htmlEntityDecode`: character references (HTML section 13.2.5.72), folded to one byte each.
//!
//! Numeric ones take any number of digits and give the value modulo 256, with or without `;`.
//! `quot amp lt gt nbsp` are matched caseless at the start of the name, which is eaten whole, as
//! libmodsecurity does. Beyond it, every other named reference that stands for an ASCII character is
//! decoded, in its exact spelling and with its `;`: browsers do, so `&colon;` and `&lpar;` would hide
//! a payload. Other names stay.

use super::hex;
use crate::byteset::ByteSet;

pub(super) const TRIGGERS: ByteSet = ByteSet::of(b"&");

pub(super) fn apply(input: &[u8], out: &mut Vec<u8>) {
    super::unescape(
        input,
        out,
        |text| memchr::memchr(b'&', text),
        |text| {
            let (decoded, behind) = reference(text.strip_prefix(b"&")?)?;
            Some((decoded, behind.strip_prefix(b";").unwrap_or(behind)))
        },
    );
}

/// The reference after an `&`, and what follows it up to its `;`.
fn reference(body: &[u8]) -> Option<(u8, &[u8])> {
    let Some(number) = body.strip_prefix(b"#") else {
        return named(body);
    };
    match number.split_first() {
        Some((b'x' | b'X', digits)) => numeric(digits, 16),
        _ => numeric(number, 10),
    }
}

fn numeric(digits: &[u8], radix: u8) -> Option<(u8, &[u8])> {
    let value = |byte: &u8| hex::digit(*byte).filter(|value| *value < radix);
    let count = digits.iter().map_while(value).count();
    let (number, behind) = digits.split_at_checked(count)?;
    let low = number.iter().filter_map(value).fold(0_u8, |low, value| {
        low.wrapping_mul(radix).wrapping_add(value)
    });
    (count > 0).then_some((low, behind))
}

fn named(body: &[u8]) -> Option<(u8, &[u8])> {
    let count = body
        .iter()
        .take_while(|byte| byte.is_ascii_alphanumeric())
        .count();
    let (name, behind) = body.split_at_checked(count)?;
    let loose = LOOSE.iter().find(|(known, _)| {
        name.get(..known.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(known))
    });
    if let Some((_, byte)) = loose {
        return Some((*byte, behind));
    }
    let (_, byte) = EXACT.iter().find(|(known, _)| *known == name)?;
    behind.starts_with(b";").then_some((*byte, behind))
}

const LOOSE: &[(&[u8], u8)] = &[
    (b"quot", b'"'),
    (b"amp", b'&'),
    (b"lt", b'<'),
    (b"gt", b'>'),
    (b"nbsp", 0xa0),
];

const EXACT: &[(&[u8], u8)] = &[
    (b"DiacriticalGrave", b'`'),
    (b"Hat", b'^'),
    (b"NewLine", b'\n'),
    (b"Tab", b'\t'),
    (b"UnderBar", b'_'),
    (b"VerticalLine", b'|'),
    (b"apos", b'\''),
    (b"ast", b'*'),
    (b"bsol", b'\\'),
    (b"colon", b':'),
    (b"comma", b','),
    (b"commat", b'@'),
    (b"dollar", b'$'),
    (b"equals", b'='),
    (b"excl", b'!'),
    (b"grave", b'`'),
    (b"lbrace", b'{'),
    (b"lbrack", b'['),
    (b"lcub", b'{'),
    (b"lowbar", b'_'),
    (b"lpar", b'('),
    (b"lsqb", b'['),
    (b"midast", b'*'),
    (b"num", b'#'),
    (b"percnt", b'%'),
    (b"period", b'.'),
    (b"plus", b'+'),
    (b"quest", b'?'),
    (b"rbrace", b'}'),
    (b"rbrack", b']'),
    (b"rcub", b'}'),
    (b"rpar", b')'),
    (b"rsqb", b']'),
    (b"semi", b';'),
    (b"sol", b'/'),
    (b"verbar", b'|'),
    (b"vert", b'|'),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn run(input: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        apply(input, &mut out);
        out
    }

    #[test]
    fn an_entity_encoded_payload_is_read() {
        assert_eq!(run(b"&LT;script&#0000062;"), b"<script>");
        assert_eq!(
            run(b"javascript&colon;alert&lpar;1&rpar;"),
            b"javascript:alert(1)"
        );
        assert_eq!(run(b"&#x6A&#97;va&Tab;script"), b"java\tscript");
    }

    #[test]
    fn ordinary_ampersands_stay() {
        for text in [
            "AT&T",
            "a & b",
            "x=1&colon=2",
            "&eacute;",
            "&#;",
            "&#x;",
            "&",
        ] {
            assert_eq!(run(text.as_bytes()), text.as_bytes());
        }
    }

    #[test]
    fn names_are_sorted_and_unique() {
        assert!(EXACT.is_sorted_by(|a, b| a.0 < b.0));
    }
}
