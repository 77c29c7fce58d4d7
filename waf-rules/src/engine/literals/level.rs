//! Where literals hang: filters small enough for the first cache that say no at nearly every place of
//! a value, and the buckets behind them.

/// Makes letters of either case equal. It makes some other bytes equal too, which costs a comparison
/// and no more.
pub(super) const FOLD: u32 = 0x2020_2020;

/// The widths of grams; the widest a literal has is the one it hangs on.
pub(super) const WIDTHS: [usize; 3] = [4, 3, 2];

/// Sets of grams of four, three and two bytes; each may say "yes" wrongly.
///
/// Every gram belongs to one of eight classes, a bit each. A gram may be in a set if a class is marked
/// at both of its places; where there is but one place the bits are all the same.
#[derive(Debug)]
pub(super) struct Filters {
    four: Box<[[u8; 1 << 14]; 2]>,
    three: Box<[[u8; 1 << 11]; 2]>,
    two: Box<[u8; 1 << 13]>,
}

impl Default for Filters {
    fn default() -> Self {
        Self {
            four: Box::new([[0; 1 << 14]; 2]),
            three: Box::new([[0; 1 << 11]; 2]),
            two: Box::new([0; 1 << 13]),
        }
    }
}

impl Filters {
    /// Adds a folded gram of `width` bytes; `number` only spreads the classes.
    pub(super) fn insert(&mut self, width: usize, gram: u32, number: u32) {
        let hash = spread(gram);
        let class = 1 << (number % 8);
        let [four, four_again] = &mut *self.four;
        let [three, three_again] = &mut *self.three;
        let places = match width {
            4 => {
                let [one, other] = places_of_four(hash);
                [four.get_mut(one), four_again.get_mut(other)]
            }
            3 => {
                let [one, other] = places_of_three(hash);
                [three.get_mut(one), three_again.get_mut(other)]
            }
            _ => [self.two.get_mut(place_of_two(hash)), None],
        };
        for place in places.into_iter().flatten() {
            *place |= class;
        }
    }

    /// True if one of the sets may hold what `gram`, four folded bytes, begins with.
    #[inline(always)]
    pub(super) fn may_hold(&self, gram: u32) -> bool {
        let hash = spread(gram);
        self.four(hash) | self.three(hash) | self.two(hash) != 0
    }

    /// True if the set of grams of `width` bytes may hold what `gram` begins with.
    #[inline]
    pub(super) fn may_hold_of(&self, width: usize, gram: u32) -> bool {
        let hash = spread(gram);
        let classes = match width {
            4 => self.four(hash),
            3 => self.three(hash),
            _ => self.two(hash),
        };
        classes != 0
    }

    #[inline(always)]
    fn four(&self, hash: u32) -> u8 {
        let [first, second] = &*self.four;
        let [one, other] = places_of_four(hash);
        first.get(one).copied().unwrap_or(0) & second.get(other).copied().unwrap_or(0)
    }

    #[inline(always)]
    fn three(&self, hash: u32) -> u8 {
        let [first, second] = &*self.three;
        let [one, other] = places_of_three(hash);
        first.get(one).copied().unwrap_or(0) & second.get(other).copied().unwrap_or(0)
    }

    #[inline(always)]
    fn two(&self, hash: u32) -> u8 {
        self.two.get(place_of_two(hash)).copied().unwrap_or(0)
    }
}

/// The low n bits of the product depend on the low n bits of `gram` only, so one multiplication
/// serves all widths.
#[inline(always)]
fn spread(gram: u32) -> u32 {
    gram.wrapping_mul(SPREAD)
}

#[inline(always)]
fn places_of_four(hash: u32) -> [usize; 2] {
    [(hash >> 18) as usize, (hash >> 8 & 0x3fff) as usize]
}

#[inline(always)]
fn places_of_three(hash: u32) -> [usize; 2] {
    [(hash >> 13 & 0x7ff) as usize, (hash >> 6 & 0x7ff) as usize]
}

#[inline(always)]
fn place_of_two(hash: u32) -> usize {
    (hash >> 3 & 0x1fff) as usize
}

/// A literal, where it hangs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// Its folded gram; bytes beyond the level's width are zero.
    gram: u32,
    /// Another four bytes of it, folded: they say no where the gram alone is a coincidence.
    second: u32,
    /// Where both stand in the literal.
    offset: u32,
    second_offset: u32,
    pub(super) literal: u32,
}

impl Entry {
    /// The literal with this `number`, whose `gram` stands at `offset`.
    pub(super) fn new(literal: &[u8], gram: u32, offset: usize, number: u32) -> Option<Self> {
        let last = literal.len().saturating_sub(4);
        let second_offset = if offset > last / 2 { 0 } else { last };
        Some(Self {
            gram,
            second: folded_at(literal, second_offset).unwrap_or(0),
            offset: u32::try_from(offset).ok()?,
            second_offset: u32::try_from(second_offset).ok()?,
            literal: number,
        })
    }

    /// Where the literal would start in `value`, whose bytes at `at` are its gram; none if it does not
    /// stand there.
    #[inline]
    pub(super) fn start(&self, value: &[u8], at: usize) -> Option<usize> {
        let start = at.checked_sub(self.offset as usize)?;
        let second = folded_at(value, start + self.second_offset as usize);
        // No whole word is there to compare at the end of a value or for a literal of three bytes.
        let possible = self.second == 0 || second.is_none_or(|second| second == self.second);
        possible.then_some(start)
    }
}

fn folded_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_le_bytes(*bytes) | FOLD)
}

/// All literals of one width, in buckets.
#[derive(Debug, Default)]
pub(super) struct Level {
    width: usize,
    /// The bytes of a gram that count.
    mask: u32,
    /// How many buckets there are, less one: they are a power of two.
    last: usize,
    /// Where each bucket's entries start, and where the last one's end.
    starts: Vec<u32>,
    entries: Vec<Entry>,
}

impl Level {
    /// The entries, whose grams have `width` bytes.
    pub(super) fn new(width: usize, entries: Vec<Entry>) -> Self {
        let buckets = entries.len().next_power_of_two();
        let mut level = Self {
            width,
            mask: u32::MAX >> (32 - 8 * width),
            last: buckets - 1,
            starts: vec![0; buckets + 1],
            entries,
        };
        let mut entries = std::mem::take(&mut level.entries);
        entries.sort_by_key(|entry| level.number(entry.gram));
        for entry in &entries {
            let number = level.number(entry.gram);
            if let Some(end) = level.starts.get_mut(number + 1) {
                *end += 1;
            }
        }
        let mut sum = 0;
        for start in &mut level.starts {
            sum += *start;
            *start = sum;
        }
        level.entries = entries;
        level
    }

    /// True if something may hang on the beginning of `gram`, four folded bytes.
    #[inline]
    pub(super) fn may_hold(&self, filters: &Filters, gram: u32) -> bool {
        filters.may_hold_of(self.width, gram)
    }

    /// What hangs on the beginning of `gram`, four folded bytes; others may be among it.
    #[inline]
    pub(super) fn bucket(&self, gram: u32) -> &[Entry] {
        let number = self.number(gram);
        match self.starts.get(number..number + 2) {
            Some(&[start, end]) => self.entries.get(start as usize..end as usize),
            _ => None,
        }
        .unwrap_or_default()
    }

    /// True if `entry` hangs on the beginning of `gram`.
    #[inline]
    pub(super) fn holds(&self, entry: &Entry, gram: u32) -> bool {
        entry.gram == gram & self.mask
    }

    #[inline]
    fn number(&self, gram: u32) -> usize {
        (spread(gram & self.mask) >> 16) as usize & self.last
    }
}

/// 2^32 divided by the golden ratio, odd.
const SPREAD: u32 = 0x9e37_79b1;
