//! More contexts at once than a system allows threads: each is that of a task, polled once and left waiting.

use std::{
    future::pending,
    pin::Pin,
    task::{Context, Waker},
};

use threadctx::{ContextRef, FutureExt};

/// Live contexts, until this is dropped.
pub(crate) struct Crowd {
    /// A handle to the context of the first.
    pub(crate) first: ContextRef,
    _tasks: Vec<Pin<Box<dyn Future<Output = ()>>>>,
}

impl Crowd {
    /// So many contexts, one at least, each filled by a call of `fill` within it.
    pub(crate) fn of(size: usize, fill: fn()) -> Self {
        let (task, first) = waiting(fill);
        let others = (1..size).map(|_| waiting(fill).0);
        Self { first, _tasks: [task].into_iter().chain(others).collect() }
    }
}

fn waiting(fill: fn()) -> (Pin<Box<dyn Future<Output = ()>>>, ContextRef) {
    let task = async move {
        fill();
        pending().await
    };
    let task = task.in_context();
    let (context, mut task) = (task.handle(), Box::pin(task));
    let polled = task.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending(), "it waits for ever");
    (task, context)
}
