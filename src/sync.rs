//! The primitives every protocol of the crate is written with: std's, or loom's when the models run.

#[cfg(not(loom))]
#[path = "sync/real.rs"]
mod primitives;

#[cfg(loom)]
#[expect(unsafe_code, reason = "loom has no `Weak`")]
#[path = "sync/model.rs"]
mod primitives;

pub(crate) use primitives::*;

#[cfg(loom)]
pub use primitives::{Arc, Weak};

/// Locks a mutex of ours. None is ever held while user code runs, so a poisoned one still guards sound data.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
