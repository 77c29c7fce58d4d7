//! `hexDecode`, `hexEncode`, `sqlHexDecode`, and the hexadecimal digits every decoder here needs.
//!
//! `hexDecode` checks nothing, as libmodsecurity does: it takes the bytes in pairs, gives foreign
//! ones the value C's digit arithmetic gives them, and drops an odd last one.

use crate::byteset::ByteSet;

pub(super) const SQL_TRIGGERS: ByteSet = ByteSet::of(b"xX");

/// The value of a hexadecimal digit.
pub(super) fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// The byte two hexadecimal digits at the start of `input` stand for.
pub(super) fn pair(input: &[u8]) -> Option<u8> {
    let (high, low) = (input.first()?, input.get(1)?);
    Some(digit(*high)? << 4 | digit(*low)?)
}

pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) {
    out.extend(input.as_chunks().0.iter().map(|&[high, low]| {
        loose_digit(high)
            .wrapping_mul(16)
            .wrapping_add(loose_digit(low))
    }));
}

pub(super) fn encode(input: &[u8], out: &mut Vec<u8>) {
    out.extend(
        input
            .iter()
            .flat_map(|byte| [lower_digit(byte >> 4), lower_digit(byte & 15)]),
    );
}

/// Each `0x` followed by at least one pair of digits becomes the bytes; the rest stays.
pub(super) fn sql_decode(mut input: &[u8], out: &mut Vec<u8>) {
    while let Some((&first, rest)) = input.split_first() {
        input = rest;
        let digits = match rest.split_first() {
            Some((b'x' | b'X', digits)) if first == b'0' && pair(digits).is_some() => digits,
            _ => {
                out.push(first);
                continue;
            }
        };
        input = digits;
        while let Some(byte) = pair(input) {
            out.push(byte);
            input = input.get(2..).unwrap_or_default();
        }
    }
}

/// The lower-case digit of a value below sixteen.
pub(super) fn lower_digit(value: u8) -> u8 {
    match value {
        0..=9 => b'0' + value,
        _ => b'a' + (value & 15) - 10,
    }
}

fn loose_digit(byte: u8) -> u8 {
    if byte >= b'A' {
        (byte & 0xdf).wrapping_sub(b'A').wrapping_add(10)
    } else {
        byte.wrapping_sub(b'0')
    }
}
