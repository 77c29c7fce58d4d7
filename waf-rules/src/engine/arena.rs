//! The bytes of one transaction: everything a rule can look at lies in one growing buffer.
//!
//! Values are ranges of it, so a value is copied once when it arrives and never again. Growth is
//! bounded: what does not fit is cut, and the cut is remembered, for which the transaction is refused.

/// A transaction never holds more than this.
const LIMIT: usize = 512 << 20;

/// A range of an [`Arena`]; the default is the empty text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Text {
    start: u32,
    len: u32,
}

impl Text {
    pub(crate) fn len(self) -> usize {
        self.len as usize
    }
}

/// The buffer.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    bytes: Vec<u8>,
    cut: bool,
}

impl Arena {
    /// Copies `bytes` in, as far as the limit allows.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Text {
        let room = LIMIT.saturating_sub(self.bytes.len());
        let kept = bytes.get(..room).unwrap_or(bytes);
        self.cut |= kept.len() < bytes.len();
        let text = Text {
            start: narrow(self.bytes.len()),
            len: narrow(kept.len()),
        };
        self.bytes.extend_from_slice(kept);
        text
    }

    /// Writes a number in decimal.
    pub(crate) fn push_number(&mut self, number: i64) -> Text {
        let mut digits = [0_u8; 20];
        let mut left = digits.len();
        let mut rest = number.unsigned_abs();
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
            left -= 1;
            if rest == 0 {
                break;
            }
        }
        if number < 0 {
            left = left.saturating_sub(1);
            if let Some(sign) = digits.get_mut(left) {
                *sign = b'-';
            }
        }
        self.push(digits.get(left..).unwrap_or(b"0"))
    }

    /// The bytes of `text`.
    pub(crate) fn get(&self, text: Text) -> &[u8] {
        let start = text.start as usize;
        self.bytes.get(start..start + text.len()).unwrap_or(&[])
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes it owns, used or not.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// True if something did not fit.
    pub(crate) fn is_cut(&self) -> bool {
        self.cut
    }

    /// Forgets everything pushed since the arena had this length; texts from then on dangle
    /// harmlessly (they read as other bytes or as nothing).
    pub(crate) fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len);
    }
}

/// Offsets stay below [`LIMIT`], which fits.
fn narrow(offset: usize) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back() {
        let mut arena = Arena::default();
        let first = arena.push(b"hello");
        let second = arena.push(b"world");
        assert_eq!(arena.get(first), b"hello");
        assert_eq!(arena.get(second), b"world");
        assert_eq!(arena.get(Text::default()), b"");
    }

    #[test]
    fn what_does_not_fit_is_cut_and_remembered() {
        let mut arena = Arena::default();
        arena.bytes.resize(LIMIT - 1, 0);
        arena.push(b"x");
        assert!(!arena.is_cut());
        arena.push(b"y");
        assert!(arena.is_cut());
    }

    #[test]
    fn numbers_are_written_in_decimal() {
        let mut arena = Arena::default();
        for number in [0, 7, 10, -5, i64::MAX, i64::MIN] {
            let text = arena.push_number(number);
            assert_eq!(arena.get(text), number.to_string().as_bytes());
        }
    }
}
