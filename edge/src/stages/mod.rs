//! One small adapter per engine.

pub(crate) mod inspect;
pub(crate) mod waf;
