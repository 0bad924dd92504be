//! The crate's own threads: those of dumps that have limited patience, and those of the outlets.

use std::{cell::Cell, io, thread};

use crate::os;

thread_local! {
    static IS_OURS: Cell<bool> = const { Cell::new(false) };
}

/// Starts a thread that takes no signals and that nobody joins: it may be in the user's code for as long as that likes.
pub(crate) fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let body = || {
        IS_OURS.set(true);
        os::block_signals();
        body();
    };
    thread::Builder::new().name(name.to_owned()).spawn(body).map(drop)
}

/// Whether this is one. A panic on it comes from a renderer, and is part of what is dumped.
#[cfg(not(any(loom, shuttle)))]
pub(crate) fn is_ours() -> bool {
    IS_OURS.get()
}
