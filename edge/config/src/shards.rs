//! A map that is copied cheaply: a copy shares its entries, and a change copies only those beside it.
//!
//! Configurations with many thousand hosts are changed one host at a time, while requests read the
//! version before. The entries are spread over [`SHARDS`] small maps, each behind an `Arc`.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// With 20,000 entries a change copies about twenty.
const SHARDS: usize = 1024;

/// A map whose copies share what they have in common.
#[derive(Debug, Clone)]
pub struct Shards<K, V> {
    shards: Vec<Arc<HashMap<K, V>>>,
    len: usize,
}

impl<K, V> Default for Shards<K, V> {
    fn default() -> Self {
        Self {
            shards: Vec::new(),
            len: 0,
        }
    }
}

impl<K, V> Shards<K, V> {
    /// How many entries there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Shards<K, V> {
    /// The value of `key`.
    pub fn get<Q>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.shards.get(shard(key))?.get(key)
    }

    /// Whether `key` has a value.
    pub fn contains_key<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.get(key).is_some()
    }

    /// Every entry, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.shards.iter().flat_map(|shard| shard.iter())
    }

    /// Every key, in no order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    /// Every value, in no order.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// Sets the value of `key`; gives the one before.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        if self.shards.is_empty() {
            self.shards = vec![Arc::default(); SHARDS];
        }
        let shard = self.shards.get_mut(shard(&key))?;
        let before = Arc::make_mut(shard).insert(key, value);
        self.len += usize::from(before.is_none());
        before
    }

    /// Takes `key` out; gives its value.
    pub fn remove<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let shard = self.shards.get_mut(shard(key))?;
        if !shard.contains_key(key) {
            return None;
        }
        let before = Arc::make_mut(shard).remove(key);
        self.len -= usize::from(before.is_some());
        before
    }
}

impl<K: Hash + Eq + Clone, V: Clone> FromIterator<(K, V)> for Shards<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut all = Self::default();
        for (key, value) in entries {
            all.insert(key, value);
        }
        all
    }
}

impl<Q, K, V> std::ops::Index<&Q> for Shards<K, V>
where
    K: Hash + Eq + Clone + Borrow<Q>,
    V: Clone,
    Q: Hash + Eq + ?Sized,
{
    type Output = V;

    /// As in the maps of the standard library.
    #[expect(clippy::expect_used, reason = "the contract of Index")]
    fn index(&self, key: &Q) -> &V {
        self.get(key).expect("no entry for this key")
    }
}

/// Which shard holds `key`. All keys are the operator's, so nobody can crowd one; within a shard the
/// standard map's keyed hash decides.
fn shard<Q: Hash + ?Sized>(key: &Q) -> usize {
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
    key.hash(&mut hasher);
    let mixed = hasher.0 ^ (hasher.0 >> 32);
    usize::try_from(mixed & (SHARDS as u64 - 1)).unwrap_or(0)
}

struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_leaves_the_copy_before_as_it_was() {
        let mut map: Shards<String, u32> = (0..5000).map(|n| (n.to_string(), n)).collect();
        let before = map.clone();
        assert_eq!(map.insert("7".into(), 70), Some(7));
        assert_eq!(map.remove("8"), Some(8));
        assert_eq!(map.remove("none"), None);
        assert_eq!(map.insert("new".into(), 1), None);
        assert_eq!((before.get("7"), before.get("8")), (Some(&7), Some(&8)));
        assert_eq!((map.get("7"), map.get("8")), (Some(&70), None));
        assert_eq!((before.len(), map.len()), (5000, 5000));
        assert_eq!(map.iter().count(), 5000);
    }

    #[test]
    fn a_change_copies_a_small_part() {
        let mut map: Shards<String, u32> = (0..20_000)
            .map(|n| (format!("host-{n}.example"), n))
            .collect();
        let before = map.clone();
        map.insert("host-7.example".into(), 0);
        let pairs = map.shards.iter().zip(&before.shards);
        let copied: usize = pairs
            .filter(|(new, old)| !Arc::ptr_eq(new, old))
            .map(|(new, _)| new.len())
            .sum();
        assert!((1..100).contains(&copied), "{copied}");
    }
}
