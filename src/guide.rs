//! The pages of `docs/`, as they stand in the repository.

#[doc = include_str!("../docs/design.md")]
pub mod design {}

#[doc = include_str!("../docs/limits.md")]
pub mod limits {}

#[doc = include_str!("../docs/propagation.md")]
pub mod propagation {}
