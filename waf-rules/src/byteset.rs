//! A set of byte values: the cheapest question a prefilter can ask.

/// 256 bits, one a byte value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub(crate) struct ByteSet([u64; 4]);

impl ByteSet {
    /// No byte.
    pub(crate) const EMPTY: Self = Self([0; 4]);
    /// Every byte.
    pub(crate) const ALL: Self = Self([u64::MAX; 4]);

    /// The set of the bytes that stand in `bytes`.
    #[expect(
        clippy::indexing_slicing,
        reason = "a byte is below 256, and the sets have four words"
    )]
    pub(crate) const fn of(bytes: &[u8]) -> Self {
        // A table, for a shift by a byte into one of four words in memory waits for the last one.
        let mut set = [0; 4];
        let mut at = 0;
        while at < bytes.len() {
            let single = &SINGLE[bytes[at] as usize];
            set[0] |= single[0];
            set[1] |= single[1];
            set[2] |= single[2];
            set[3] |= single[3];
            at += 1;
        }
        Self(set)
    }

    /// The set of the bytes from `first` to `last`, both included.
    #[expect(
        clippy::indexing_slicing,
        reason = "a byte shifted right by six is below four"
    )]
    pub(crate) const fn range(first: u8, last: u8) -> Self {
        let mut set = [0; 4];
        let mut byte = first as u16;
        while byte <= last as u16 {
            set[(byte >> 6) as usize] |= 1 << (byte & 63);
            byte += 1;
        }
        Self(set)
    }

    /// Every byte that is not in the set.
    pub(crate) const fn complement(self) -> Self {
        let [a, b, c, d] = self.0;
        Self([!a, !b, !c, !d])
    }

    /// The bytes of the set, in order.
    pub(crate) fn iter(self) -> impl Iterator<Item = u8> {
        (0..=u8::MAX).filter(move |byte| self.contains(*byte))
    }

    /// Adds every byte of `other`.
    pub(crate) const fn union(self, other: Self) -> Self {
        let ([a, b, c, d], [e, f, g, h]) = (self.0, other.0);
        Self([a | e, b | f, c | g, d | h])
    }

    /// True if the two sets share a byte.
    pub(crate) const fn intersects(self, other: Self) -> bool {
        let ([a, b, c, d], [e, f, g, h]) = (self.0, other.0);
        (a & e) | (b & f) | (c & g) | (d & h) != 0
    }

    /// True if `byte` is in the set.
    #[expect(
        clippy::indexing_slicing,
        reason = "a byte shifted right by six is below four"
    )]
    pub(crate) const fn contains(self, byte: u8) -> bool {
        self.0[(byte >> 6) as usize] & (1 << (byte & 63)) != 0
    }
}

/// The set of each byte alone.
static SINGLE: [[u64; 4]; 256] = singles();

#[expect(
    clippy::indexing_slicing,
    reason = "a byte shifted right by six is below four"
)]
const fn singles() -> [[u64; 4]; 256] {
    let mut all = [[0; 4]; 256];
    let mut byte = 0;
    while byte < 256 {
        all[byte][byte >> 6] = 1 << (byte & 63);
        byte += 1;
    }
    all
}
