//! How many connections one client address may hold.
//!
//! Counted before a byte is parsed and shared by all workers. IPv6 clients are counted by /64, the
//! least anyone is given, and mapped IPv4 addresses as IPv4. Entries exist only while a connection
//! does, so the table is bounded by the connections themselves.

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts connections by address; clones share the counts.
#[derive(Debug, Clone)]
pub struct AddressCap(Arc<Shards>);

#[derive(Debug)]
struct Shards {
    limit: u32,
    hasher: RandomState,
    shards: [Mutex<HashMap<u64, u32>>; SHARDS],
}

/// One counted connection; dropping it gives the place back.
#[derive(Debug)]
pub struct Place {
    shards: Arc<Shards>,
    key: u64,
}

impl AddressCap {
    /// At most `limit` connections from one address; 0 means no limit.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        let (hasher, shards) = (RandomState::new(), Default::default());
        Self(Arc::new(Shards {
            limit,
            hasher,
            shards,
        }))
    }

    /// Takes a place for `address`, if there is one.
    #[must_use]
    pub fn enter(&self, address: IpAddr) -> Option<Place> {
        let key = key(address);
        match self.0.shard(key).entry(key) {
            Entry::Vacant(slot) => {
                slot.insert(1);
            }
            Entry::Occupied(slot) if self.0.limit != 0 && *slot.get() >= self.0.limit => {
                return None;
            }
            Entry::Occupied(mut slot) => *slot.get_mut() += 1,
        }
        Some(Place {
            shards: Arc::clone(&self.0),
            key,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Entry::Occupied(mut slot) = self.shards.shard(self.key).entry(self.key) {
            *slot.get_mut() -= 1;
            if *slot.get() == 0 {
                slot.remove();
            }
        }
    }
}

impl Shards {
    /// Counts stay true across a panic elsewhere, so a poisoned lock is taken over.
    #[expect(clippy::indexing_slicing, reason = "the remainder is below the length")]
    fn shard(&self, key: u64) -> MutexGuard<'_, HashMap<u64, u32>> {
        let index = self.hasher.hash_one(key) as usize % SHARDS;
        self.shards[index]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// IPv6 by its /64. IPv4 is put where IPv6 has `::/64`, which is reserved and holds no clients.
fn key(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => u64::from(address.to_bits()),
        IpAddr::V6(address) => match (address.to_bits() >> 64) as u64 {
            0 => u64::MAX, // loopback and the like, away from 0.0.0.0/0
            prefix => prefix,
        },
    }
}

const SHARDS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_gets_its_places_and_no_more() {
        let cap = AddressCap::new(2);
        let first = cap.enter(ip("192.0.2.1")).unwrap();
        let _second = cap.enter(ip("::ffff:192.0.2.1")).unwrap();
        assert!(cap.clone().enter(ip("192.0.2.1")).is_none());
        assert!(
            cap.enter(ip("192.0.2.2")).is_some(),
            "the neighbour is free"
        );
        drop(first);
        assert!(cap.enter(ip("192.0.2.1")).is_some());
    }

    #[test]
    fn a_client_cannot_multiply_itself_inside_its_64() {
        let cap = AddressCap::new(1);
        let _one = cap.enter(ip("2001:db8:0:1::1")).unwrap();
        assert!(cap.enter(ip("2001:db8:0:1:ffff::9")).is_none());
        assert!(cap.enter(ip("2001:db8:0:2::1")).is_some());
    }

    #[test]
    fn nothing_is_kept_for_addresses_that_left() {
        let cap = AddressCap::new(0);
        let places: Vec<_> = (0..1000)
            .map(|n| cap.enter(ip(&format!("10.0.{}.1", n % 250))))
            .collect();
        assert!(places.iter().all(Option::is_some));
        drop(places);
        assert!(
            cap.0
                .shards
                .iter()
                .all(|shard| shard.lock().unwrap().is_empty())
        );
    }
}
