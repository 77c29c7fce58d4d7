//! The compiled, immutable rule set.

use std::sync::Arc;
use std::time::SystemTime;

use super::transaction::{Origin, Transaction};

/// Compiled rules; shared by all transactions.
#[derive(Debug, Default)]
pub struct RuleSet {
    ids: Vec<u64>,
}

impl RuleSet {
    /// Starts a transaction.
    #[must_use]
    pub fn begin(
        self: &Arc<Self>,
        origin: Origin,
        unique_id: &str,
        now: SystemTime,
    ) -> Transaction {
        Transaction::new(Arc::clone(self), origin, unique_id, now)
    }

    /// How many rules there are; a chain counts as one.
    #[must_use]
    pub fn rule_count(&self) -> usize {
        self.ids.len()
    }

    /// Identifiers of the rules, in load order.
    pub fn rule_ids(&self) -> impl Iterator<Item = u64> {
        self.ids.iter().copied()
    }
}
