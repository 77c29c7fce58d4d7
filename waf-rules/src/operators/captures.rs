//! What a match leaves in `TX:0` to `TX:9`.
//!
//! Bytes are copied, into buffers that are reused: a capture may outlive the transformed value.

use std::ops::Range;

/// At most ten groups of the last match.
#[derive(Debug, Default)]
pub(crate) struct Captures {
    bytes: Vec<u8>,
    groups: [Option<Range<usize>>; Captures::MAX],
}

impl Captures {
    /// `TX:0` to `TX:9`.
    pub(crate) const MAX: usize = 10;

    /// Forgets every group.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.groups = Default::default();
    }

    /// Sets group `group`; groups from [`Captures::MAX`] on are dropped.
    pub(crate) fn set(&mut self, group: usize, bytes: &[u8]) {
        if let Some(slot) = self.groups.get_mut(group) {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(bytes);
            *slot = Some(start..self.bytes.len());
        }
    }

    /// The groups that took part in the match, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &[u8])> {
        self.groups.iter().enumerate().filter_map(|(group, range)| {
            let bytes = self.bytes.get(range.clone()?)?;
            Some((group, bytes))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_come_back_in_order_and_the_eleventh_is_dropped() {
        let mut captures = Captures::default();
        captures.set(2, b"two");
        captures.set(0, b"zero");
        captures.set(10, b"ten");
        let all: Vec<_> = captures.iter().collect();
        assert_eq!(all, [(0, &b"zero"[..]), (2, &b"two"[..])]);
        captures.clear();
        assert_eq!(captures.iter().count(), 0);
    }
}
