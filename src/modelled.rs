//! What models need of the inside: the shared values as the checker sees them, and contexts that move between threads.

pub use crate::sync::{Arc, Weak, at_next_share};

use crate::{ContextRef, context::Context, current, registry};

/// The context of a task, which whoever polls it makes current meanwhile.
#[derive(Clone)]
pub struct Task(std::sync::Arc<Context>);

impl Task {
    /// A registered one.
    pub fn new() -> Self {
        let context = std::sync::Arc::new(Context::of_task(current::ident()));
        registry::add(std::sync::Arc::clone(&context));
        Self(context)
    }

    /// A handle to its context.
    pub fn handle(&self) -> ContextRef {
        ContextRef::new(std::sync::Arc::clone(&self.0))
    }

    /// Runs `code` with its context current; `None` while that is current somewhere else.
    pub fn poll<R>(&self, code: impl FnOnce() -> R) -> Option<R> {
        let _current = current::switch_to(&self.0)?;
        Some(code())
    }

    /// Takes it out of the registry. Its values must be gone.
    pub fn leave(self) {
        registry::remove(&self.0);
    }
}

impl Default for Task {
    fn default() -> Self {
        Self::new()
    }
}
