//! A look that takes no count, for models: a dump takes such a look at numbers, of which a checker sees nothing.

use crate::{ContextRef, Key};

impl<T: Send + Sync + 'static> Key<T> {
    /// What `look` makes of the value in `context`.
    pub fn look_in<R>(&'static self, context: &ContextRef, look: impl FnOnce(&T) -> R) -> Option<R> {
        let context = context.readable()?;
        let slot = context.keys.get(self.known_place()?)?;
        slot.look(None, look).unwrap_or(None)
    }
}
