//! The primitives every protocol of the crate is written with: std's, or those of a checker when the models run (`--cfg
//! loom` or `--cfg shuttle`).

#[cfg(not(any(loom, shuttle)))]
#[path = "sync/real.rs"]
mod primitives;

#[cfg(any(loom, shuttle))]
#[path = "sync/model.rs"]
mod primitives;

pub(crate) use primitives::*;

#[cfg(any(loom, shuttle))]
pub use primitives::{Arc, Weak, at_next_share};

/// Locks a mutex of ours. None is ever held while user code runs, so a poisoned one still guards sound data.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
