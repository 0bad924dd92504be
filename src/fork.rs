//! fork: the child has one thread, and so one context.
//!
//! The locks of ours that a child goes on using (hooks, totals) are taken before each fork and let go of after it on
//! both sides, so that no vanished thread holds one. The registry's map is not: it is replaced, see `registry.rs`.

#[cfg(all(unix, not(any(loom, shuttle))))]
pub(crate) use unix::watch;

/// Where there is no fork there is nothing to watch for.
#[cfg(any(not(unix), loom, shuttle))]
pub(crate) fn watch() {}

#[cfg(all(unix, not(any(loom, shuttle))))]
mod unix {
    use std::{
        cell::Cell,
        mem::ManuallyDrop,
        sync::atomic::{AtomicBool, Ordering},
    };

    use crate::{current, hooks, os, sync::MutexGuard, total};

    type Held = (MutexGuard<'static, hooks::Lists>, MutexGuard<'static, total::Retained>);

    thread_local! {
        /// What `prepare` took, until `parent` or `child`. Without a destructor, so that it works in one.
        static HELD: Cell<Option<ManuallyDrop<Held>>> = const { Cell::new(None) };
    }

    /// Has forks handled from now on.
    pub(crate) fn watch() {
        static WATCHED: AtomicBool = AtomicBool::new(false);
        // Not a `Once`: a child must not wait for a thread that it does not have. Two threads that are here at once
        // have the handlers called twice, which they put up with. Relaxed: a call too many does no harm.
        // If the system refuses, for want of memory, the next call tries again.
        if !WATCHED.load(Ordering::Relaxed) && os::at_fork(prepare, parent, child) {
            WATCHED.store(true, Ordering::Relaxed);
        }
    }

    extern "C" fn prepare() {
        let held = HELD.take().unwrap_or_else(|| {
            ManuallyDrop::new((hooks::lock_lists_for_fork(), total::lock_retained_for_fork()))
        });
        HELD.set(Some(held));
    }

    extern "C" fn parent() {
        HELD.take().map(ManuallyDrop::into_inner);
    }

    extern "C" fn child() {
        if let Some(held) = HELD.take() {
            let (lists, mut retained) = ManuallyDrop::into_inner(held);
            retained.after_fork();
            drop((lists, retained));
            current::after_fork();
        }
    }
}
