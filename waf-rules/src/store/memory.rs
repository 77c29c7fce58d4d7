//! A [`Store`] in the memory of this process.
//!
//! Clients choose keys, so records and bytes are bounded; when there is no room, the record that has
//! been left alone longest goes. A client can so push out others only by making more records than
//! fit, while those in use stay.
//!
//! A record holds so many members. One that belongs to a client refuses more, so that nobody can push
//! out what was counted against him. `GLOBAL` and `RESOURCE` belong to everybody: were they to refuse,
//! one client could have all others refused, so there the member left alone longest goes.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::{Full, Member, MemberChange, Store, StoreKey};
use crate::operators::leading_number;

/// Locks; a power of two well above the number of workers.
const SHARDS: usize = 64;
/// What a record costs beside its bytes, about.
const RECORD_COST: usize = 256;
/// What a member costs beside its bytes, about.
const MEMBER_COST: usize = 64;
/// Expired records that a change clears away.
const SWEEP: usize = 4;

/// How much a [`MemoryStore`] keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreLimits {
    /// Records of all collections.
    pub records: usize,
    /// Bytes of all records, about.
    pub bytes: usize,
    /// Members of one record.
    pub members: usize,
    /// Bytes of one record, about.
    pub record_bytes: usize,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self {
            records: 200_000,
            bytes: 64 << 20,
            members: 256,
            record_bytes: 32 << 10,
        }
    }
}

/// Keeps records in this process, apart by key in shards that are locked for one step at a time.
#[derive(Debug)]
pub struct MemoryStore {
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
    limits: StoreLimits,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new(limits: StoreLimits) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            limits,
        }
    }

    /// How many records there are, expired ones that nobody has met since included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| locked(shard).records.len())
            .sum()
    }

    /// True if there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, key: &[u8]) -> Option<MutexGuard<'_, Shard>> {
        let hash = self.hasher.hash_one(key);
        let number = usize::try_from(hash % SHARDS as u64).unwrap_or(0);
        self.shards.get(number).map(locked)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(StoreLimits::default())
    }
}

impl Store for MemoryStore {
    fn load(&self, key: &StoreKey<'_>, now: SystemTime) -> Vec<Member> {
        let key = joined(key);
        let Some(shard) = self.shard(&key) else {
            return Vec::new();
        };
        match shard.records.get(&*key) {
            Some(record) if record.expires > now => {
                let members = record.members.iter();
                members
                    .filter(|member| lives(member, now))
                    .cloned()
                    .collect()
            }
            _ => Vec::new(),
        }
    }

    fn change(
        &self,
        key: &StoreKey<'_>,
        name: &[u8],
        change: MemberChange<'_>,
        now: SystemTime,
        timeout: Duration,
    ) -> Result<Option<Member>, Full> {
        let shared = matches!(key.collection, "GLOBAL" | "RESOURCE");
        let key = joined(key);
        let Some(mut shard) = self.shard(&key) else {
            return Ok(None);
        };
        shard.sweep(now);
        let expires = now.checked_add(timeout).unwrap_or(now);
        let changed = shard.change(&self.limits, &key, expires, |record| {
            record.change(&self.limits, shared, name, change, now)
        });
        shard.make_room(&self.limits, &key);
        changed
    }
}

/// A part of the records.
#[derive(Debug, Default)]
struct Shard {
    records: HashMap<Arc<[u8]>, Record>,
    /// Keys by their records' last change, oldest first.
    order: BTreeMap<u64, Arc<[u8]>>,
    changes: u64,
    bytes: usize,
}

impl Shard {
    /// Runs `act` on the record under `key`, made where it is missing or has expired.
    fn change<T>(
        &mut self,
        limits: &StoreLimits,
        key: &[u8],
        expires: SystemTime,
        act: impl FnOnce(&mut Record) -> Result<T, Full>,
    ) -> Result<T, Full> {
        if key.len() > limits.record_bytes {
            return Err(Full);
        }
        let mut record = match self.records.remove_entry(key) {
            Some((key, record)) => {
                self.order.remove(&record.changed);
                self.bytes = self.bytes.saturating_sub(record.bytes);
                (key, record)
            }
            None => (Arc::from(key), Record::new(key.len())),
        };
        let result = act(&mut record.1);
        self.changes += 1;
        record.1.changed = self.changes;
        if result.is_ok() {
            record.1.expires = expires;
        }
        self.bytes += record.1.bytes;
        self.order.insert(self.changes, Arc::clone(&record.0));
        self.records.insert(record.0, record.1);
        result
    }

    /// Takes out what has expired among the records left alone longest.
    fn sweep(&mut self, now: SystemTime) {
        for _ in 0..SWEEP {
            let oldest = self.order.values().next();
            let expired = oldest.is_some_and(|key| {
                self.records
                    .get(key)
                    .is_none_or(|record| record.expires <= now)
            });
            if !expired {
                return;
            }
            self.drop_oldest();
        }
    }

    /// Keeps within the share of this shard; the record under `last` stays.
    fn make_room(&mut self, limits: &StoreLimits, last: &[u8]) {
        let records = (limits.records / SHARDS).max(1);
        let bytes = limits.bytes / SHARDS;
        while self.records.len() > records || self.bytes > bytes {
            if self.order.values().next().is_none_or(|key| **key == *last) {
                return;
            }
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((_, key)) = self.order.pop_first()
            && let Some(record) = self.records.remove(&key)
        {
            self.bytes = self.bytes.saturating_sub(record.bytes);
        }
    }
}

/// The members under one key.
#[derive(Debug)]
struct Record {
    /// By their last change, oldest first.
    members: Vec<Member>,
    expires: SystemTime,
    /// Number of the last change.
    changed: u64,
    bytes: usize,
}

impl Record {
    fn new(key: usize) -> Self {
        Self {
            members: Vec::new(),
            expires: SystemTime::UNIX_EPOCH,
            changed: 0,
            bytes: RECORD_COST + key,
        }
    }

    fn change(
        &mut self,
        limits: &StoreLimits,
        shared: bool,
        name: &[u8],
        change: MemberChange<'_>,
        now: SystemTime,
    ) -> Result<Option<Member>, Full> {
        let dead = self.expires <= now;
        let freed: usize = self.retain(|member| !dead && lives(member, now));
        self.bytes = self.bytes.saturating_sub(freed);
        let found = self.members.iter().position(|member| *member.name == *name);
        let old = found.map(|at| self.members.remove(at));
        self.bytes = self.bytes.saturating_sub(old.as_ref().map_or(0, cost));
        let value = match (change, &old) {
            (MemberChange::Remove, _) | (MemberChange::Expire(_), None) => return Ok(None),
            (MemberChange::Set(value), _) => value.into(),
            (MemberChange::Add(by), old) => {
                let number = old.as_ref().map_or(0, |old| leading_number(&old.value));
                number.saturating_add(by).to_string().into_bytes().into()
            }
            (MemberChange::Expire(_), Some(old)) => old.value.clone(),
        };
        let expires = match change {
            MemberChange::Expire(at) => Some(at),
            _ => old.as_ref().and_then(|old| old.expires),
        };
        let member = Member {
            name: name.into(),
            value,
            expires,
        };
        if shared {
            self.make_room(limits, cost(&member));
        }
        if !self.fits(limits, cost(&member)) {
            self.bytes += old.as_ref().map_or(0, cost);
            self.members.extend(old);
            return Err(Full);
        }
        self.bytes += cost(&member);
        self.members.push(member.clone());
        Ok(Some(member).filter(|member| lives(member, now)))
    }

    /// True if one more member that costs so much fits.
    fn fits(&self, limits: &StoreLimits, cost: usize) -> bool {
        self.members.len() < limits.members
            && self.bytes + cost <= limits.record_bytes + RECORD_COST
    }

    /// Lets the oldest members go for one that costs so much; none, where it would not fit alone.
    fn make_room(&mut self, limits: &StoreLimits, new: usize) {
        let held: usize = self.members.iter().map(cost).sum();
        let empty = self.bytes.saturating_sub(held);
        if empty + new > limits.record_bytes + RECORD_COST {
            return;
        }
        while !self.members.is_empty() && !self.fits(limits, new) {
            let oldest = self.members.remove(0);
            self.bytes = self.bytes.saturating_sub(cost(&oldest));
        }
    }

    /// Keeps the members `keep` says; returns the bytes of the others.
    fn retain(&mut self, keep: impl Fn(&Member) -> bool) -> usize {
        let mut freed = 0;
        self.members.retain(|member| {
            let kept = keep(member);
            if !kept {
                freed += cost(member);
            }
            kept
        });
        freed
    }
}

fn lives(member: &Member, now: SystemTime) -> bool {
    member.expires.is_none_or(|expires| expires > now)
}

fn cost(member: &Member) -> usize {
    MEMBER_COST + member.name.len() + member.value.len()
}

/// The key as bytes; the parts in front hold no NUL that could move their ends.
fn joined(key: &StoreKey<'_>) -> Vec<u8> {
    let parts = [
        key.application.as_bytes(),
        key.collection.as_bytes(),
        key.key,
    ];
    parts.join(&0)
}

/// A panic elsewhere leaves a record at worst without its last change.
fn locked(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: SystemTime = SystemTime::UNIX_EPOCH;
    const HOUR: Duration = Duration::from_secs(3600);

    fn key(key: &[u8]) -> StoreKey<'_> {
        StoreKey {
            application: "default",
            collection: "IP",
            key,
        }
    }

    fn add(store: &MemoryStore, id: &[u8], by: i64, now: SystemTime) -> Option<Box<[u8]>> {
        let change = MemberChange::Add(by);
        let changed = store.change(&key(id), b"n", change, now, HOUR).unwrap();
        changed.map(|member| member.value)
    }

    #[test]
    fn requests_that_count_at_the_same_time_lose_nothing() {
        let store = MemoryStore::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        add(&store, b"a", 1, START);
                    }
                });
            }
        });
        let members = store.load(&key(b"a"), START);
        assert_eq!(*members[0].value, *b"4000");
        assert!(store.load(&key(b"b"), START).is_empty());
    }

    #[test]
    fn records_expire_after_their_last_change_and_members_at_their_time() {
        let store = MemoryStore::default();
        add(&store, b"a", 1, START);
        let soon = START + Duration::from_secs(10);
        let expire = MemberChange::Expire(soon);
        let left = store.change(&key(b"a"), b"n", expire, START, HOUR);
        assert!(left.unwrap().is_some());
        let set = MemberChange::Set(b"x");
        store
            .change(&key(b"a"), b"other", set, START, HOUR)
            .unwrap();
        assert_eq!(store.load(&key(b"a"), START).len(), 2);
        assert_eq!(store.load(&key(b"a"), soon).len(), 1);
        // What has expired counts from nothing.
        assert_eq!(add(&store, b"a", 1, soon).as_deref(), Some(&b"1"[..]));
        assert!(store.load(&key(b"a"), soon + HOUR).is_empty());
        assert_eq!(
            add(&store, b"a", 1, soon + HOUR).as_deref(),
            Some(&b"1"[..])
        );
    }

    #[test]
    fn a_flood_of_keys_is_bounded_and_spares_the_record_in_use() {
        let limits = StoreLimits {
            records: SHARDS * 8,
            ..StoreLimits::default()
        };
        let store = MemoryStore::new(limits);
        for number in 0..20_000_u32 {
            add(&store, &number.to_be_bytes(), 1, START);
            if number % 16 == 0 {
                add(&store, b"kept", 1, START);
            }
        }
        assert!(store.len() <= SHARDS * 8);
        let kept = store.load(&key(b"kept"), START);
        assert_eq!(*kept[0].value, *b"1250");
    }

    #[test]
    fn a_record_is_bounded_and_says_so() {
        let limits = StoreLimits {
            members: 2,
            record_bytes: 300,
            ..StoreLimits::default()
        };
        let store = MemoryStore::new(limits);
        let set = |name: &[u8], value: &[u8]| {
            let change = MemberChange::Set(value);
            store
                .change(&key(b"a"), name, change, START, HOUR)
                .map(|_| ())
        };
        assert_eq!(set(b"a", b"1"), Ok(()));
        assert_eq!(set(b"b", &[b'x'; 500]), Err(Full));
        assert_eq!(set(b"b", b"2"), Ok(()));
        assert_eq!(set(b"c", b"3"), Err(Full));
        assert_eq!(set(b"a", b"4"), Ok(()));
        assert_eq!(store.load(&key(b"a"), START).len(), 2);
    }

    #[test]
    fn a_full_record_of_everybody_lets_the_oldest_member_go_and_keeps_the_one_in_use() {
        let store = MemoryStore::default();
        let global = StoreKey {
            collection: "GLOBAL",
            ..key(b"all")
        };
        let change = |name: &[u8], change| store.change(&global, name, change, START, HOUR);
        for number in 0..1000_u32 {
            let name = format!("x_{number}");
            assert!(change(name.as_bytes(), MemberChange::Set(b"1")).is_ok());
            assert!(change(b"hits", MemberChange::Add(1)).is_ok());
        }
        let members = store.load(&global, START);
        assert_eq!(members.len(), StoreLimits::default().members);
        let hits = members.iter().find(|member| *member.name == *b"hits");
        assert_eq!(*hits.unwrap().value, *b"1000");
        assert!(members.iter().any(|member| *member.name == *b"x_999"));
        // What fits nowhere is refused, and costs nobody else his place.
        let long = vec![b'x'; StoreLimits::default().record_bytes + 1];
        assert_eq!(change(b"long", MemberChange::Set(&long)), Err(Full));
        assert_eq!(store.load(&global, START).len(), members.len());
    }

    #[test]
    fn what_has_expired_is_cleared_away_by_others() {
        let store = MemoryStore::default();
        for number in 0..2000_u32 {
            add(&store, &number.to_be_bytes(), 1, START);
        }
        for number in 2000..4000_u32 {
            add(&store, &number.to_be_bytes(), 1, START + HOUR);
        }
        assert!(store.len() < 2200, "{}", store.len());
    }
}
