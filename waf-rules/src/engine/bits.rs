//! A fixed-size set of small numbers: rules, filters.

/// One bit a number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Bits {
    words: Vec<u64>,
}

impl Bits {
    /// An empty set with room for the numbers below `count`.
    pub(crate) fn with_room(count: usize) -> Self {
        Self {
            words: vec![0; count.div_ceil(64)],
        }
    }

    /// Adds `number` if there is room for it.
    pub(crate) fn insert(&mut self, number: usize) {
        if let Some(word) = self.words.get_mut(number / 64) {
            *word |= 1 << (number % 64);
        }
    }

    /// True if `number` is in the set.
    pub(crate) fn contains(&self, number: usize) -> bool {
        has(&self.words, number)
    }

    /// Adds everything in `other`, growing where needed.
    pub(crate) fn union(&mut self, other: &Self) {
        if self.words.len() < other.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        for (word, more) in self.words.iter_mut().zip(&other.words) {
            *word |= more;
        }
    }

    /// How many numbers are in the set.
    pub(crate) fn len(&self) -> usize {
        self.words
            .iter()
            .map(|word| word.count_ones() as usize)
            .sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// The bits, lowest number first.
    pub(crate) fn words(&self) -> &[u64] {
        &self.words
    }
}

/// Adds everything in `more` to `words`, which is as long.
pub(crate) fn unite(words: &mut [u64], more: &[u64]) {
    for (word, more) in words.iter_mut().zip(more) {
        *word |= more;
    }
}

/// True if bit `number` of `words` is set.
pub(crate) fn has(words: &[u64], number: usize) -> bool {
    words
        .get(number / 64)
        .is_some_and(|word| word & (1 << (number % 64)) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_kept_and_sets_unite() {
        let mut one = Bits::with_room(10);
        one.insert(9);
        one.insert(64);
        let mut other = Bits::with_room(70);
        other.insert(69);
        one.union(&other);
        assert!(one.contains(9) && one.contains(69));
        assert!(!one.contains(64) && !one.contains(1000));
    }
}
