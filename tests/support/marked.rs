//! Hooks of the process run on every thread of every test: these run on the threads that ask for them.

use std::cell::Cell;

use threadctx::{HookGuard, ThreadCtx, on_thread_exit, on_thread_start};

thread_local! {
    static MARKED: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Has the hooks `of` a test run on this thread from now on.
pub(crate) fn mark(of: &'static str) {
    MARKED.set(Some(of));
}

pub(crate) fn at_start(of: &'static str, hook: impl Fn(ThreadCtx) + Send + Sync + 'static) -> HookGuard {
    on_thread_start(move |ctx| run(of, ctx, &hook))
}

pub(crate) fn at_exit(of: &'static str, hook: impl Fn(ThreadCtx) + Send + Sync + 'static) -> HookGuard {
    on_thread_exit(move |ctx| run(of, ctx, &hook))
}

fn run(of: &'static str, ctx: ThreadCtx, hook: &dyn Fn(ThreadCtx)) {
    if MARKED.get() == Some(of) {
        hook(ctx);
    }
}
