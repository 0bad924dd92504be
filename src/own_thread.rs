//! The crate's own threads: those of dumps that have limited patience, and those of the outlets.

use std::{cell::Cell, io, thread};

use crate::os::SignalMask;

thread_local! {
    /// On a thread of ours: the signal mask of the thread that started it.
    static USERS_MASK: Cell<Option<SignalMask>> = const { Cell::new(None) };
}

/// Starts a thread that takes no signals and that is never joined: it may be in the user's code for as long as that likes.
pub(crate) fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let mask = SignalMask::of_this_thread();
    let body = move || {
        USERS_MASK.set(Some(mask));
        SignalMask::full().set();
        body();
    };
    thread::Builder::new().name(name.to_owned()).spawn(body).map(drop)
}

/// Runs code of the user's on a thread of ours with the signal mask of the thread that started it: what the code starts, be it a
/// process or a thread, takes signals as if the code ran there. On any other thread it just runs the code.
pub(crate) fn run_users<R>(code: impl FnOnce() -> R) -> R {
    /// Puts back what was there, also after a panic.
    struct Restore(SignalMask);

    impl Drop for Restore {
        fn drop(&mut self) {
            self.0.set();
        }
    }

    let _restore = USERS_MASK.get().map(|mask| Restore(mask.set()));
    code()
}

/// Whether this is one. A panic on it comes from a renderer, and is part of what is dumped.
#[cfg(not(any(loom, shuttle)))]
pub(crate) fn is_ours() -> bool {
    USERS_MASK.get().is_some()
}
