//! Proof that a request passed the pipeline.
//!
//! The upstream call takes a [`Permit`] as an argument, so "was this inspected?" is a question for
//! the compiler. Only [`Passage::complete`] makes one, and only `edge/src/pipeline.rs` holds a
//! [`Passage`]; `tests/layers.rs` checks that no other file names it.

use std::sync::Arc;

/// A request on its way through the layers.
#[derive(Debug)]
pub struct Passage(());

impl Passage {
    /// Starts the way through the pipeline. Called in `pipeline.rs`, nowhere else.
    #[must_use]
    pub const fn begin() -> Self {
        Self(())
    }

    /// Every layer of the profile has spoken and none refused.
    pub fn complete(self, route: Arc<str>) -> Permit {
        Permit { route }
    }
}

/// Allows one request to reach the upstream of the named route.
#[derive(Debug)]
#[must_use]
pub struct Permit {
    route: Arc<str>,
}

impl Permit {
    /// The route whose profile was applied.
    #[must_use]
    pub fn route(&self) -> &str {
        &self.route
    }
}
