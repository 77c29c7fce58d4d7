//! `length`: the number of bytes, in decimal.

pub(super) fn apply(input: &[u8], out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut rest = input.len();
    let mut used = 0;
    for slot in digits.iter_mut().rev() {
        *slot = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        used += 1;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend(digits.iter().skip(digits.len() - used));
}
