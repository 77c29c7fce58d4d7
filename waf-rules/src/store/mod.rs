//! What outlives a request: the records behind `IP`, `GLOBAL`, `SESSION`, `USER` and `RESOURCE`.
//!
//! The engine reads a record once, when a rule opens it, and sends every change on at once. An
//! increment is sent as an increment, never as the sum, so requests that count at the same time lose
//! nothing. A store must answer without waiting: one that lives elsewhere keeps a copy at hand.

mod memory;

use std::fmt;
use std::time::{Duration, SystemTime};

pub use memory::{MemoryStore, StoreLimits};

/// Keeps records between requests. Names of members are given in lower case.
pub trait Store: fmt::Debug + Send + Sync {
    /// Everything under `key` that has not expired at `now`.
    fn load(&self, key: &StoreKey<'_>, now: SystemTime) -> Vec<Member>;

    /// Changes the member called `name`, as one step. The record expires `timeout` after its last
    /// change. Returns the member as it is now; nothing where it was removed or expired.
    ///
    /// # Errors
    /// The change does not fit into what a record may hold.
    fn change(
        &self,
        key: &StoreKey<'_>,
        name: &[u8],
        change: MemberChange<'_>,
        now: SystemTime,
        timeout: Duration,
    ) -> Result<Option<Member>, Full>;
}

/// Which record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StoreKey<'a> {
    /// `SecWebAppId`: keeps applications with equal keys apart.
    pub application: &'a str,
    /// Name of the collection, such as `IP`.
    pub collection: &'a str,
    /// What the rule opened it with, such as the client's address.
    pub key: &'a [u8],
}

/// One variable of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name, in lower case.
    pub name: Box<[u8]>,
    /// Its value.
    pub value: Box<[u8]>,
    /// When it goes, where `expirevar` said so.
    pub expires: Option<SystemTime>,
}

/// What happens to a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberChange<'a> {
    /// It gets this value; an `expirevar` before it still holds.
    Set(&'a [u8]),
    /// Its number grows by this; what is no number counts as 0.
    Add(i64),
    /// It goes.
    Remove,
    /// It goes at this time, if it is there.
    Expire(SystemTime),
}

/// A record holds all it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the record is full")]
pub struct Full;
