//! What the threads of the outlets have in common.

use std::{
    sync::{Mutex, MutexGuard, TryLockError},
    thread,
    time::{Duration, Instant},
};

use super::OutletError;
use crate::{
    current,
    dump::{self, ReservedHelper},
    own_thread,
    panics::{self, What},
};

/// Starts an outlet's thread, and the one on which its dumps render values; asks what dumps say of the process. When a dump is due
/// there may be no thread to be had, and nothing to ask with. The opener keeps the second thread once nothing can fail any more.
pub(super) fn spawn(
    name: &'static str,
    body: impl FnOnce() + Send + 'static,
) -> Result<ReservedHelper, OutletError> {
    dump::note_process();
    let spawned = ReservedHelper::new().and_then(|helper| own_thread::spawn(name, body).map(|()| helper));
    spawned.map_err(|error| OutletError::thread(name, error))
}

/// Runs code of the user's on an outlet's thread: a panic goes no further, and a context that it made is over.
pub(super) fn run(code: impl FnOnce()) {
    panics::contain(What::Hook, || own_thread::run_users(code));
    current::exit_now();
}

/// How long a lock of ours may take. It is held for a few instructions; only a forked child, one of whose parent's threads had it,
/// can meet one that stays locked.
pub(super) const LOCK: Duration = Duration::from_millis(100);

/// Locks a mutex of ours, unless that takes too long: for those who must not wait.
pub(super) fn lock_within<T>(mutex: &Mutex<T>, patience: Duration) -> Option<MutexGuard<'_, T>> {
    let deadline = Instant::now() + patience;
    loop {
        match mutex.try_lock() {
            Ok(guard) => return Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => return None,
            Err(TryLockError::WouldBlock) => thread::yield_now(),
        }
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_waited_for_as_long_as_it_is_said_and_taken_when_it_is_free() {
        const WAIT: Duration = Duration::from_millis(50);
        let mutex = Mutex::new(());
        let held = mutex.lock().expect("nothing has panicked");
        let started = Instant::now();
        assert!(lock_within(&mutex, WAIT).is_none());
        assert!(started.elapsed() >= WAIT);
        thread::scope(|scope| {
            let waits = scope.spawn(|| lock_within(&mutex, 1_000 * WAIT).is_some());
            thread::sleep(WAIT);
            drop(held);
            assert!(waits.join().expect("it does not panic"));
        });
        // A panic under it does not close it.
        let panics = || {
            let _held = mutex.lock();
            panic!("expected");
        };
        assert!(thread::scope(|scope| scope.spawn(panics).join()).is_err());
        assert!(lock_within(&mutex, WAIT).is_some());
    }
}
