//! Code that runs on a thread after its context is gone.

use std::cell::RefCell;

use threadctx::{get_thread_ctx, try_get_thread_ctx};

/// Runs its content when it drops.
struct AtTheEnd(Option<Box<dyn FnOnce()>>);

impl Drop for AtTheEnd {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(|last| last());
    }
}

/// Has `last` run at the end of this thread, from a thread-local that is older than the thread's context and so, where
/// they drop in reverse order, drops later. To be called before the first touch, which this is.
pub(crate) fn after_the_exit(last: impl FnOnce() + 'static) {
    thread_local! {
        static LAST: RefCell<Option<AtTheEnd>> = const { RefCell::new(None) };
    }
    let checked = || {
        assert!(try_get_thread_ctx().is_err(), "this is meant to run after the exit");
        last();
    };
    LAST.set(Some(AtTheEnd(Some(Box::new(checked)))));
    get_thread_ctx();
}
