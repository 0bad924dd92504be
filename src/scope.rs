//! A guard that sets a value for a while.

use std::{fmt, marker::PhantomData};

use crate::{Key, open_scopes::ScopeId, panics, stats, sync::Arc};

/// Holds a key's value in place until it drops, and then puts back what was there before, absence included.
///
/// What was set in between is dropped.
///
/// # Out of order
///
/// Guards of one key that do not nest each put back their own "before" all the same, so that the last one to drop decides:
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
/// Each guard that does not find its own value in place is counted, here both (`stats().scopes_out_of_order`). Usually these
/// are guards that futures hold over an await: each future sets the value for the others that are polled in between. Use
/// [`Key::scope_future`] there.
///
/// # Where it belongs
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
    /// The scope in its context, if there was one.
    scope: Option<ScopeId>,
    before: Option<Arc<T>>,
    /// Whether that had come by a snapshot.
    was_inherited: bool,
    not_send: PhantomData<*const ()>,
}

impl<T: Send + Sync + 'static> Scope<T> {
    pub(crate) fn new(
        key: &'static Key<T>,
        scope: Option<ScopeId>,
        before: Option<Arc<T>>,
        was_inherited: bool,
    ) -> Self {
        Self { key, scope, before, was_inherited, not_send: PhantomData }
    }
}

impl<T: Send + Sync + 'static> Drop for Scope<T> {
    /// A panic in the drop of what was in place is contained and counted: it may be on the way of another panic.
    fn drop(&mut self) {
        let Some(scope) = self.scope else { return };
        match self.key.restore(scope, self.before.take(), self.was_inherited) {
            Ok((displaced, is_in_order)) => {
                if !is_in_order {
                    stats::count(|counters| &counters.scopes_out_of_order);
                }
                panics::contain_drop(displaced);
            }
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
