//! How many steps backtracking may take.
//!
//! One budget serves all values of a transaction, whatever rules ask about them: many values, or many
//! searches in one, buy no more time than one value does. Once it is spent, every further value in
//! which the relaxed pattern matches counts as a match.

/// Steps that are left.
#[derive(Debug)]
pub(crate) struct Budget {
    left: u32,
}

/// The budget is used up.
#[derive(Debug)]
pub(super) struct Exhausted;

impl Default for Budget {
    fn default() -> Self {
        Self { left: STEPS }
    }
}

impl Budget {
    /// True if nothing is left.
    pub(crate) const fn is_spent(&self) -> bool {
        self.left == 0
    }

    /// How many steps were taken.
    #[cfg(test)]
    pub(crate) const fn spent(&self) -> u32 {
        STEPS - self.left
    }

    /// Takes `steps`; what is too much spends the rest.
    pub(super) fn take(&mut self, steps: usize) -> Result<(), Exhausted> {
        let left = u32::try_from(steps)
            .ok()
            .and_then(|steps| self.left.checked_sub(steps));
        self.left = left.unwrap_or(0);
        left.map(|_| ()).ok_or(Exhausted)
    }
}

/// Steps of one transaction.
const STEPS: u32 = 4_000_000;
