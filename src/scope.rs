//! A guard that sets a value for a while.

use std::{fmt, marker::PhantomData};

use crate::{Key, panics, stats, sync::Arc};

/// Holds a key's value in place until it drops, and then puts back what was there before, absence included.
///
/// What was set in between is dropped. Guards that drop out of order each put back their own "before":
///
/// ```
/// static LEVEL: threadctx::Key<u8> = threadctx::Key::new("example", "level");
///
/// LEVEL.set(0);
/// let one = LEVEL.enter(1); // before it: 0
/// let two = LEVEL.enter(2); // before it: 1
/// drop(one);
/// assert_eq!(LEVEL.cloned(), Some(0));
/// drop(two);
/// assert_eq!(LEVEL.cloned(), Some(1));
/// ```
///
/// A guard stays on its thread:
///
/// ```compile_fail,E0277
/// static LEVEL: threadctx::Key<u8> = threadctx::Key::new("example", "level");
///
/// let one = LEVEL.enter(1);
/// std::thread::spawn(move || drop(one));
/// ```
///
/// It belongs to the context in which it was made. Where that one is not current when it drops (its thread has exited
/// since, or a task's context is current), it touches nothing and is counted in [`stats`](crate::stats()).
#[must_use = "the value is in place for as long as this lives; `let _ = ...` drops it at once"]
pub struct Scope<T: Send + Sync + 'static> {
    key: &'static Key<T>,
    /// The context in which it was made, if there was one.
    serial: Option<u64>,
    before: Option<Arc<T>>,
    /// Whether that had come by a snapshot.
    was_inherited: bool,
    not_send: PhantomData<*const ()>,
}

impl<T: Send + Sync + 'static> Scope<T> {
    pub(crate) fn new(
        key: &'static Key<T>,
        serial: Option<u64>,
        before: Option<Arc<T>>,
        was_inherited: bool,
    ) -> Self {
        Self { key, serial, before, was_inherited, not_send: PhantomData }
    }
}

impl<T: Send + Sync + 'static> Drop for Scope<T> {
    /// A panic in the drop of what was in place is contained and counted: it may be on the way of another panic.
    fn drop(&mut self) {
        let Some(serial) = self.serial else { return };
        match self.key.restore(serial, self.before.take(), self.was_inherited) {
            Ok(displaced) => panics::contain_drop(displaced),
            Err(before) => {
                stats::count(|counters| &counters.scopes_misplaced);
                panics::contain_drop(before);
            }
        }
    }
}

impl<T: Send + Sync + 'static> fmt::Debug for Scope<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Scope").field(self.key).finish()
    }
}
