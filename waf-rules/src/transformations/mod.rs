//! transformations
