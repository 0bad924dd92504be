//! Code that runs in the destructor of a thread-local.

use std::{cell::Cell, thread::LocalKey};

use crate::solo::verdict;

/// A thread-local that runs, as it drops, the code that was put in.
pub(crate) struct AtDrop(Cell<Option<Box<dyn FnOnce()>>>);

impl AtDrop {
    pub(crate) const fn new() -> Self {
        Self(Cell::new(None))
    }

    /// Has `local` run `code`. The first call on a thread is what makes the thread-local, and so its age.
    pub(crate) fn put(local: &'static LocalKey<Self>, code: impl FnOnce() + 'static) {
        local.with(|local| local.0.set(Some(Box::new(code))));
    }
}

impl Drop for AtDrop {
    fn drop(&mut self) {
        if let Some(code) = self.0.take() {
            verdict(code);
        }
    }
}
