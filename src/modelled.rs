//! What models need of the inside: the shared values as the checker sees them, and contexts that move between threads.

pub use crate::sync::{Arc, Weak, at_next_share};

use crate::{
    ContextRef, Snapshot, current,
    sync::{Mutex, lock},
};

/// A task among threads that may all want to poll it. It moves as an executor moves it: whoever polls takes it out of a
/// queue and puts it back, which is what orders one poll before the next.
#[derive(Clone)]
pub struct Task {
    queue: std::sync::Arc<Mutex<Option<current::Task>>>,
    handle: ContextRef,
}

impl Task {
    /// A registered one.
    pub fn new() -> Self {
        let task = current::Task::begin(Snapshot::default());
        let handle = ContextRef::new(task.handle());
        Self { queue: std::sync::Arc::new(Mutex::new(Some(task))), handle }
    }

    /// A handle to its context.
    pub fn handle(&self) -> ContextRef {
        self.handle.clone()
    }

    /// Runs `code` with its context current; `None` while that is current somewhere else.
    pub fn poll<R>(&self, code: impl FnOnce() -> R) -> Option<R> {
        let mut task = lock(&self.queue).take()?;
        let result = task.run(code);
        *lock(&self.queue) = Some(task);
        Some(result)
    }

    /// Has it exit, unless it is current somewhere else.
    pub fn leave(self) {
        let task = lock(&self.queue).take();
        drop(task);
    }
}

impl Default for Task {
    fn default() -> Self {
        Self::new()
    }
}
