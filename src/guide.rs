//! The pages of `docs/`, as they stand in the repository.

#[doc = include_str!("../docs/coming-from.md")]
pub mod coming_from {}

#[doc = include_str!("../docs/design.md")]
pub mod design {}

#[doc = include_str!("../docs/outlets.md")]
pub mod outlets {}

#[doc = include_str!("../docs/limits.md")]
pub mod limits {}

#[doc = include_str!("../docs/dump.md")]
pub mod dump {}

#[doc = include_str!("../docs/performance.md")]
///
/// ## The plots
///
#[cfg_attr(doc, doc = include_str!("../docs/performance/by-contexts.svg"))]
///
#[cfg_attr(doc, doc = include_str!("../docs/performance/by-threads.svg"))]
///
#[cfg_attr(doc, doc = include_str!("../docs/performance/by-keys.svg"))]
///
#[cfg_attr(doc, doc = include_str!("../docs/performance/by-names.svg"))]
pub mod performance {}

#[doc = include_str!("../docs/propagation.md")]
pub mod propagation {}

#[doc = include_str!("../docs/verification.md")]
pub mod verification {}
