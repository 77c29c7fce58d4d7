//! `parityEven7bit`, `parityOdd7bit`, `parityZero7bit`: the eighth bit becomes a parity bit, or zero.

use crate::byteset::ByteSet;

/// Every byte with the eighth bit set.
pub(super) const ZERO_TRIGGERS: ByteSet = ByteSet::range(0x80, 0xff);

pub(super) fn even(input: &[u8], out: &mut Vec<u8>) {
    out.extend(input.iter().map(|&byte| with_parity(byte, 0)));
}

pub(super) fn odd(input: &[u8], out: &mut Vec<u8>) {
    out.extend(input.iter().map(|&byte| with_parity(byte, 1)));
}

pub(super) fn zero(input: &[u8], out: &mut Vec<u8>) {
    out.extend(input.iter().map(|byte| byte & 0x7f));
}

/// `byte` with its eighth bit set so that the number of one bits is `wanted` modulo two.
fn with_parity(byte: u8, wanted: u32) -> u8 {
    let seven = byte & 0x7f;
    if seven.count_ones() % 2 == wanted {
        seven
    } else {
        seven | 0x80
    }
}
