//! Futures with a context of their own, on any executor.
//!
//! A thread's context is of no use to a task: the task moves, and others are polled on the thread in between. So a task
//! brings its own, which is current while the future is polled and while it is dropped, and never in between. The future
//! owns the right to that ([`Task`]), so that one thread at a time writes the context, as with a thread's.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{self, Poll},
};

use pin_project_lite::pin_project;

use crate::{ContextRef, Snapshot, current::Task};

/// Gives any future a context of its own.
///
/// ```
/// use threadctx::{FutureExt, Key};
///
/// static USER: Key<String> = Key::new("http", "user").inherit();
///
/// # fn block_on<F: Future>(future: F) -> F::Output {
/// #     let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
/// #     let mut future = std::pin::pin!(future);
/// #     loop { if let std::task::Poll::Ready(output) = future.as_mut().poll(&mut cx) { return output; } }
/// # }
/// USER.set("alice".to_owned());
/// let task = async {
///     assert_eq!(USER.cloned().as_deref(), Some("alice"));
///     USER.set("the task's own".to_owned());
/// };
/// block_on(task.in_context());
/// assert_eq!(USER.cloned().as_deref(), Some("alice"));
/// ```
pub trait FutureExt: Future {
    /// Gives the future a context of its own, with the values that travel from the context where this is called: they are
    /// [captured](Snapshot::capture) now, not at the first poll.
    ///
    /// ```
    /// use threadctx::FutureExt;
    ///
    /// let me = threadctx::get_thread_ctx().ident();
    /// let task = async {}.in_context();
    /// assert_eq!(task.handle().parent(), Some(me));
    /// ```
    fn in_context(self) -> InContext<Self>
    where
        Self: Sized,
    {
        self.in_context_of(Snapshot::capture())
    }

    /// Gives the future a context of its own with the values of `snapshot`. The parent is who is current here.
    ///
    /// ```
    /// use threadctx::{FutureExt, Key, Snapshot};
    ///
    /// static USER: Key<String> = Key::new("http", "user").inherit();
    ///
    /// USER.set("alice".to_owned());
    /// let task = async {}.in_context_of(Snapshot::default());
    /// assert!(USER.get_in(&task.handle()).is_none());
    /// ```
    fn in_context_of(self, snapshot: Snapshot) -> InContext<Self>
    where
        Self: Sized,
    {
        InContext { future: Some(self), task: Task::begin(snapshot) }
    }
}

impl<F: Future> FutureExt for F {}

pin_project! {
    /// A future with a context of its own, which is current while the future is polled and while it is dropped. Made by
    /// [`FutureExt`].
    ///
    /// The context is in the registry, as a [`TaskId`](crate::TaskId)'s, from the call that made this until the future is
    /// done or dropped. Then the future is dropped with its context current, and the context exits in order: the hooks of
    /// [`ThreadCtx::on_exit`](crate::ThreadCtx::on_exit), then the values, newest first; on whatever thread that happens, also
    /// one that has exited itself, and also after a panic. Hooks for threads do not run: a task is none.
    ///
    /// It is `Send` if the future is, and may be polled on another thread each time. One may be polled inside another, be
    /// it directly or by an executor that blocks inside a poll: the innermost one's context is current.
    ///
    /// # Panics
    ///
    /// When polled after it was done.
    ///
    /// ```
    /// use threadctx::{FutureExt, InContext, Key};
    ///
    /// static STEP: Key<&str> = Key::new("job", "step").debug().inherit();
    ///
    /// /// One that waits to be polled.
    /// fn job() -> InContext<impl Future<Output = ()>> {
    ///     STEP.scope("queued", || async { STEP.set("working") }.in_context())
    /// }
    ///
    /// let job = job();
    /// assert_eq!(STEP.get_in(&job.handle()).as_deref(), Some(&"queued"));
    /// assert_eq!(STEP.get(), None);
    /// ```
    #[must_use = "futures do nothing unless polled"]
    pub struct InContext<F> {
        // Nothing once it is done.
        #[pin]
        future: Option<F>,
        task: Task,
    }

    impl<F> PinnedDrop for InContext<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if this.future.is_some() {
                this.task.run(|| this.future.set(None));
            }
        }
    }
}

impl<F> InContext<F> {
    /// A future with a context of its own that is current already while `make` makes the future, with the values of
    /// `snapshot`. So `make` can put in what the task is to begin with, whether that travels or not.
    ///
    /// ```
    /// use threadctx::{InContext, Key, Snapshot};
    ///
    /// static JOB: Key<u64> = Key::new("queue", "job");
    ///
    /// let task = InContext::begin(Snapshot::default(), || {
    ///     JOB.set(7);
    ///     async { JOB.cloned() }
    /// });
    /// assert_eq!(JOB.get_in(&task.handle()).as_deref(), Some(&7));
    /// assert_eq!(JOB.cloned(), None);
    /// ```
    pub fn begin(snapshot: Snapshot, make: impl FnOnce() -> F) -> Self {
        let mut task = Task::begin(snapshot);
        let future = task.run(make);
        Self { future: Some(future), task }
    }

    /// Names the task, for people: a dump shows it where it shows a thread's name. Named again, it keeps the first name.
    ///
    /// Names may repeat, as threads' may; name it by what it is there for, and put what it is at into values.
    ///
    /// ```
    /// use threadctx::FutureExt;
    ///
    /// let task = async { threadctx::dump().to_string() }.in_context().named("checkout");
    /// # let mut task = std::pin::pin!(task);
    /// # let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    /// # let std::task::Poll::Ready(dump) = task.as_mut().poll(&mut cx) else { unreachable!() };
    /// # /*
    /// let dump = task.await;
    /// # */
    /// assert!(dump.contains("\"checkout\"  TaskId("));
    /// ```
    pub fn named(self, name: impl Into<Box<str>>) -> Self {
        self.task.handle().name_task(name.into());
        self
    }

    /// Polls what is inside with the context current. If `is_over` says so of the result, that is dropped and the context exits.
    /// `None` once that has happened.
    #[inline]
    pub(crate) fn poll_until<R>(
        self: Pin<&mut Self>,
        poll: impl FnOnce(Pin<&mut F>) -> R,
        is_over: impl FnOnce(&R) -> bool,
    ) -> Option<R> {
        let mut this = self.project();
        let (polled, is_over) = this.task.run(|| {
            let polled = poll(this.future.as_mut().as_pin_mut()?);
            let is_over = is_over(&polled);
            if is_over {
                this.future.set(None);
            }
            Some((polled, is_over))
        })?;
        if is_over {
            this.task.end();
        }
        Some(polled)
    }

    #[cfg(feature = "stream")]
    pub(crate) fn inner(&self) -> Option<&F> {
        self.future.as_ref()
    }

    /// A handle to the task's context, for everybody; once the task is done it is an exited one.
    ///
    /// ```
    /// use threadctx::FutureExt;
    ///
    /// let task = async {}.in_context();
    /// let context = task.handle();
    /// assert!(threadctx::context(context.ident()).is_some());
    /// drop(task);
    /// assert_eq!(context.state(), threadctx::State::Exited);
    /// ```
    pub fn handle(&self) -> ContextRef {
        ContextRef::new(self.task.handle())
    }
}

impl<F: Future> Future for InContext<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<F::Output> {
        self.poll_until(|future| future.poll(cx), Poll::is_ready).unwrap_or_else(|| polled_after_the_end())
    }
}

#[cold]
pub(crate) fn polled_after_the_end() -> ! {
    panic!(
        "threadctx: an `InContext` or a `ScopeFuture` was polled after it was done, or after its future had panicked in its \
         drop; a future is polled until it is ready, and then no more"
    )
}

impl<F> fmt::Debug for InContext<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InContext").finish_non_exhaustive()
    }
}
