//! `@eq`, `@ge`, `@gt`, `@le`, `@lt`: numbers as C's `atoll` reads them.
//!
//! Leading white space and a sign are read, then digits; what follows is ignored, and text without a
//! number counts as zero. Numbers beyond 64 bits saturate, so no length of digits wraps round.

/// Which comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Number {
    Eq,
    Ge,
    Gt,
    Le,
    Lt,
}

impl Number {
    pub(super) fn matches(self, value: &[u8], argument: &[u8]) -> bool {
        self.compare(leading_number(value), leading_number(argument))
    }

    /// True if `value` stands to `argument` as the operator asks.
    pub(crate) fn compare(self, value: i64, argument: i64) -> bool {
        match self {
            Self::Eq => value == argument,
            Self::Ge => value >= argument,
            Self::Gt => value > argument,
            Self::Le => value <= argument,
            Self::Lt => value < argument,
        }
    }
}

/// The number `text` starts with, or zero.
pub(crate) fn leading_number(text: &[u8]) -> i64 {
    let text = text.trim_ascii_start();
    let (negative, digits) = match text.split_first() {
        Some((b'-', digits)) => (true, digits),
        Some((b'+', digits)) => (false, digits),
        _ => (false, text),
    };
    digits
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0_i64, |number, digit| {
            let digit = i64::from(digit - b'0');
            let number = number.saturating_mul(10);
            if negative {
                number.saturating_sub(digit)
            } else {
                number.saturating_add(digit)
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_c_reads_them() {
        for (text, number) in [
            ("12abc", 12),
            (" \t-7", -7),
            ("+3", 3),
            ("x", 0),
            ("", 0),
            ("99999999999999999999", i64::MAX),
            ("-99999999999999999999", i64::MIN),
        ] {
            assert_eq!(leading_number(text.as_bytes()), number, "{text}");
        }
    }

    #[test]
    fn comparisons_stand_the_right_way_round() {
        assert!(Number::Lt.matches(b"1", b"2") && !Number::Lt.matches(b"2", b"2"));
        assert!(Number::Ge.matches(b"2", b"2") && !Number::Gt.matches(b"2", b"2"));
        assert!(Number::Le.matches(b"2", b"2") && Number::Eq.matches(b"5", b" 5 "));
    }
}
