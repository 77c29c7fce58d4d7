//! The order in which servers are tried.
//!
//! Weights become a [`Schedule`]: a fixed sequence in which each server stands as often as its weight
//! says, spread evenly (`a b a c a` rather than `a a a b c`). A request takes the next place by one
//! atomic addition, so the shares are exact and no lock is needed.

use std::sync::atomic::{AtomicU64, Ordering};

/// Places in a fixed sequence; each is the index of a server.
#[derive(Debug)]
pub(crate) struct Schedule {
    places: Box<[u32]>,
}

impl Schedule {
    /// The sequence for servers of these weights; a weight of 0 has no place.
    pub(crate) fn new(weights: &[u16]) -> Self {
        let shares = shares(weights);
        // The k-th of n places of a server belongs at (k + 1/2) / n of the way.
        let mut places: Vec<(u64, u32)> = Vec::new();
        for (server, share) in (0..).zip(shares) {
            let places_of = (0..share).map(|k| (((2 * k + 1) << 32) / (2 * share), server));
            places.extend(places_of);
        }
        places.sort_unstable();
        Self {
            places: places.into_iter().map(|(_, server)| server).collect(),
        }
    }

    /// The server at this ticket; `None` if there is none at all.
    pub(crate) fn at(&self, ticket: u64) -> Option<usize> {
        let length = u64::try_from(self.places.len()).ok()?;
        let place = usize::try_from(ticket.checked_rem(length)?).ok()?;
        self.places.get(place).map(|server| *server as usize)
    }
}

/// Hands out tickets.
#[derive(Debug, Default)]
pub(crate) struct Tickets(AtomicU64);

impl Tickets {
    /// The next one.
    pub(crate) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// A ticket far from its neighbours, for draws (the finaliser of SplitMix64).
pub(crate) const fn scatter(ticket: u64) -> u64 {
    let mut x = ticket.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Weights in lowest terms, and small enough for the sequence to stay within [`LONGEST`] places
/// (but at least one place for every server that has a weight).
pub(super) fn shares(weights: &[u16]) -> Vec<u64> {
    let divisor = weights.iter().copied().map(u64::from).fold(0, gcd).max(1);
    let total: u64 = weights
        .iter()
        .map(|weight| u64::from(*weight) / divisor)
        .sum();
    let scale = |weight: &u16| match u64::from(*weight) / divisor {
        0 => 0,
        share if total > LONGEST => (share * LONGEST / total).max(1),
        share => share,
    };
    weights.iter().map(scale).collect()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Servers among which least requests compares all.
pub(crate) const SCAN: usize = 32;
/// Servers drawn by least requests in larger groups.
pub(crate) const SAMPLE: usize = 8;
/// Places in a sequence, about; more precise weights are rounded.
const LONGEST: u64 = 1 << 14;

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(weights: &[u16]) -> Vec<u32> {
        Schedule::new(weights).places.into()
    }

    #[test]
    fn equal_weights_take_turns() {
        assert_eq!(sequence(&[7, 7, 7]), [0, 1, 2]);
    }

    #[test]
    fn shares_are_exact_and_spread() {
        assert_eq!(sequence(&[3, 1, 1]), [0, 0, 1, 2, 0]);
        assert_eq!(sequence(&[4, 2]), [0, 1, 0]);
        let sequence = sequence(&[50, 30, 20]);
        assert_eq!(sequence.len(), 10);
        assert!(
            sequence.windows(3).all(|three| three != [0, 0, 0]),
            "{sequence:?}"
        );
    }

    #[test]
    fn a_weight_of_zero_has_no_place() {
        assert_eq!(sequence(&[0, 1]), [1]);
        assert_eq!(Schedule::new(&[0, 0]).at(5), None);
        assert_eq!(Schedule::new(&[]).at(5), None);
    }

    #[test]
    fn awkward_weights_keep_the_sequence_short_and_forget_nobody() {
        let weights: Vec<u16> = (1..=5000).map(|n| n % 997 + 60_000).collect();
        let sequence = sequence(&weights);
        assert!(sequence.len() < 20_000, "{}", sequence.len());
        let mut seen: Vec<_> = sequence;
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 5000);
        let lopsided = Schedule::new(&[65_535, 1]).places;
        assert_eq!(lopsided.iter().filter(|server| **server == 1).count(), 1);
    }
}
