//! One small adapter per engine.

pub(crate) mod audit;
pub(crate) mod inspect;
pub(crate) mod resolver;
pub(crate) mod waf;
