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

/// Locks a std mutex of ours that no handler holds over a fork: in a child, a thread that does not exist may have it. It is held
/// for a few instructions at a time, so a lock that cannot be had soon cannot be had at all.
pub(crate) fn lock_briefly<T>(mutex: &std::sync::Mutex<T>) -> Option<std::sync::MutexGuard<'_, T>> {
    const TRIES: usize = 10_000;
    (0..TRIES).find_map(|_| match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(std::sync::TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(std::sync::TryLockError::WouldBlock) => {
            std::thread::yield_now();
            None
        }
    })
}

/// Locks a mutex of ours. None is ever held while user code runs, so a poisoned one still guards sound data.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
