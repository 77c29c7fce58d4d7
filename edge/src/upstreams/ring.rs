//! Consistent hashing: each server owns many points of a ring, a key goes to the next point.
//!
//! If a server goes, only its keys move, and they spread over all others. The points depend on
//! addresses and weights alone, so every instance of a fleet agrees. A client that chooses its own key
//! can choose its server; it could as well repeat one key, so the hash is not secret.

use super::balance::{scatter, shares};

/// The points of a ring, sorted; each belongs to a server's index.
#[derive(Debug)]
pub(crate) struct Ring {
    points: Box<[(u64, u32)]>,
}

impl Ring {
    /// A ring for servers of these names and weights.
    pub(crate) fn new(servers: &[(String, u16)]) -> Self {
        let weights: Vec<u16> = servers.iter().map(|(_, weight)| *weight).collect();
        let shares = shares(&weights);
        let total: u64 = shares.iter().sum::<u64>().max(1);
        let count = u64::try_from(servers.len()).unwrap_or(u64::MAX).max(1);
        let points_in_all = count.saturating_mul(POINTS).min(MOST_POINTS.max(count));
        let mut points = Vec::new();
        for ((index, (name, _)), share) in (0..).zip(servers).zip(shares) {
            let own = match share {
                0 => 0,
                share => (points_in_all * share / total).max(1),
            };
            let base = hash(name.as_bytes());
            points.extend((0..own).map(|n| (scatter(base ^ scatter(n)), index)));
        }
        points.sort_unstable();
        Self {
            points: points.into(),
        }
    }

    /// Servers in the order in which they take over `key`; a server may come more than once.
    pub(crate) fn walk(&self, key: u64) -> impl Iterator<Item = usize> {
        let start = self.points.partition_point(|(point, _)| *point < key);
        let (before, after) = self.points.split_at_checked(start).unwrap_or_default();
        after.iter().chain(before).map(|(_, index)| *index as usize)
    }
}

/// FNV-1a, then scattered: the same everywhere and for ever.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    scatter(bytes.iter().fold(0xcbf2_9ce4_8422_2325, fold))
}

/// Points of a server of average weight.
const POINTS: u64 = 160;
/// Points of a ring, unless it has more servers.
const MOST_POINTS: u64 = 1 << 16;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn servers(count: u16) -> Vec<(String, u16)> {
        (0..count).map(|n| (format!("10.0.0.{n}:80"), 1)).collect()
    }

    fn owner(ring: &Ring, key: u32) -> usize {
        ring.walk(hash(&key.to_be_bytes())).next().unwrap()
    }

    #[test]
    fn keys_spread_evenly_and_by_weight() {
        let mut uneven = servers(4);
        uneven[0].1 = 2;
        let ring = Ring::new(&uneven);
        let mut counts = BTreeMap::new();
        for key in 0..50_000 {
            *counts.entry(owner(&ring, key)).or_insert(0_u32) += 1;
        }
        assert!((16_000..24_000).contains(&counts[&0]), "{counts:?}");
        assert!((7_500..12_500).contains(&counts[&3]), "{counts:?}");
    }

    #[test]
    fn only_the_keys_of_a_server_that_goes_move() {
        let (all, fewer) = (Ring::new(&servers(10)), Ring::new(&servers(9)));
        let moved = (0..10_000).filter(|key| owner(&all, *key) != owner(&fewer, *key));
        let moved: Vec<u32> = moved.collect();
        assert!(moved.iter().all(|key| owner(&all, *key) == 9));
        assert!((600..1_500).contains(&moved.len()), "{}", moved.len());
    }

    #[test]
    fn a_walk_meets_every_server_and_an_empty_ring_none() {
        let ring = Ring::new(&servers(10));
        let mut met: Vec<usize> = ring.walk(7).collect();
        met.sort_unstable();
        met.dedup();
        assert_eq!(met.len(), 10);
        assert_eq!(Ring::new(&[]).walk(7).count(), 0);
        assert_eq!(Ring::new(&[("a".to_owned(), 0)]).walk(7).count(), 0);
    }
}
