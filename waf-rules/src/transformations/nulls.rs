//! `removeNulls`, `replaceNulls`: NUL bytes go, or become spaces.

use crate::byteset::ByteSet;

pub(super) const TRIGGERS: ByteSet = ByteSet::of(b"\0");

pub(super) fn remove(input: &[u8], out: &mut Vec<u8>) {
    out.extend(input.iter().filter(|byte| **byte != 0));
}

pub(super) fn replace(input: &[u8], out: &mut Vec<u8>) {
    out.extend(
        input
            .iter()
            .map(|&byte| if byte == 0 { b' ' } else { byte }),
    );
}
