//! A value for part of a future: in place while the future is polled and dropped, put aside in between.
//!
//! A guard that a future holds over an await sets its value for everything that runs on the thread meanwhile. Here the value
//! and what the future has made of it are exchanged for those outside around each poll, so futures that take turns on one
//! thread, or in one task, do not meet.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use crate::{
    Key, current,
    future::polled_after_the_end,
    open_scopes::{Covers, OpenScope, ScopeId},
    panics,
    slot::{Outgoing, OwnedSlot, Past, Shared},
    stats,
    sync::Arc,
};

impl<T: Send + Sync + 'static> Key<T> {
    /// Runs `future` with `value` in place of the current context's value: the asynchronous [`scope`](Self::scope).
    ///
    /// The value is in place during each poll and while the future drops. In between the context has its own value back, and
    /// what the future has set under this key is kept for its next poll. So futures that take turns on one thread or in one
    /// task (`join!`, `select!`, a `FuturesUnordered`, a `LocalSet`) each have their own, where a guard over an await would set
    /// the value for all of them. See [`ScopeFuture`].
    ///
    /// # Panics
    ///
    /// If the key's identity is used with another type.
    ///
    /// ```
    /// static USER: threadctx::Key<&str> = threadctx::Key::new("example", "user");
    ///
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// # runtime.block_on(async {
    /// let handler = |name| {
    ///     USER.scope_future(name, async {
    ///         tokio::task::yield_now().await; // meanwhile the other one runs
    ///         USER.cloned()
    ///     })
    /// };
    /// assert_eq!(tokio::join!(handler("alice"), handler("bob")), (Some("alice"), Some("bob")));
    /// assert_eq!(USER.cloned(), None);
    /// # });
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn scope_future<F: Future>(&'static self, value: T, future: F) -> ScopeFuture<T, F> {
        // A clash of types is the caller's to hear of.
        self.ready();
        let inside = Held { value: Some(Arc::new(value)), history: None };
        ScopeFuture { future: Some(future), aside: Aside { key: self, inside, scopes: Vec::new() } }
    }
}

pin_project! {
    /// A future with a value of its own for one key, made by [`Key::scope_future`].
    ///
    /// The value belongs to the future, not to a context: it is set in whichever context is current at each poll, a thread's
    /// or a task's, and taken out again when the poll returns or panics. Between two polls no dump shows it. When the future
    /// is done it is dropped with the value in place, and then the value drops, as it does if this is dropped half-way.
    ///
    /// Where there is no context any more, after a thread's exit, the future is just polled. If the context exits inside a
    /// poll, it takes the value along, and that is counted in [`stats`](crate::stats()) as a scope that is misplaced.
    ///
    /// The value does not travel by being here: a [`Snapshot`](crate::Snapshot) that is captured inside a poll has it if the
    /// key [inherits](Key::inherit). To give a future values of several keys, nest these; to give it a context of its own, see
    /// [`FutureExt::in_context`](crate::FutureExt::in_context). Both go together in either order.
    ///
    /// # Panics
    ///
    /// When polled after it was done.
    ///
    /// ```
    /// use threadctx::{FutureExt, Key, ScopeFuture};
    ///
    /// static STEP: Key<&str> = Key::new("job", "step").debug();
    ///
    /// /// A job whose first part goes by a step of its own.
    /// async fn job() -> Option<&'static str> {
    ///     STEP.set("parse");
    ///     let fetch: ScopeFuture<_, _> = STEP.scope_future("fetch", async { STEP.replace("fetched") });
    ///     assert_eq!(fetch.await.as_deref(), Some(&"fetch"));
    ///     STEP.cloned()
    /// }
    ///
    /// # let mut task = std::pin::pin!(job().in_context());
    /// # let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    /// # let std::task::Poll::Ready(step) = task.as_mut().poll(&mut cx) else { unreachable!() };
    /// # /*
    /// let step = job().in_context().await;
    /// # */
    /// assert_eq!(step, Some("parse"));
    /// ```
    #[must_use = "futures do nothing unless polled"]
    pub struct ScopeFuture<T, F>
    where
        T: Send,
        T: Sync,
        T: 'static,
    {
        // Nothing once it is done.
        #[pin]
        future: Option<F>,
        aside: Aside<T>,
    }

    impl<T, F> PinnedDrop for ScopeFuture<T, F>
    where
        T: Send,
        T: Sync,
        T: 'static,
    {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if this.future.is_some() {
                this.aside.run(|| this.future.set(None));
            }
        }
    }
}

impl<T: Send + Sync + 'static, F: Future> Future for ScopeFuture<T, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        this.aside.check();
        let polled = this.aside.run(|| {
            let Some(future) = this.future.as_mut().as_pin_mut() else { polled_after_the_end() };
            let polled = future.poll(cx);
            if polled.is_ready() {
                this.future.set(None);
            }
            polled
        });
        if polled.is_ready() {
            this.aside.inside.let_go();
        }
        polled
    }
}

impl<T: Send + Sync + 'static, F> fmt::Debug for ScopeFuture<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ScopeFuture").field(self.aside.key).finish()
    }
}

/// What a slot has, or is to have: a value or absence, with its past.
struct Held<T> {
    value: Option<Arc<T>>,
    /// How often and when the value was written; `None` before it was first in place.
    history: Option<(Past, u64)>,
}

impl<T: Send + Sync + 'static> Held<T> {
    fn nothing() -> Self {
        Self { value: None, history: None }
    }

    /// Exchanges this for what is in the slot. The exchange is no write: each value keeps its age.
    fn exchange(&mut self, key: &Key<T>, slot: &OwnedSlot<'_, T>) -> Outgoing {
        let found = (slot.past(), slot.raw().history().0);
        let is_value = self.value.is_some();
        let displaced = slot.exchange(self.value.take().map(Shared::new));
        match self.history.replace(found) {
            Some((past, written)) if is_value => {
                slot.bring_back(past);
                slot.note_time(written);
            }
            _ => key.stamp(slot.raw()),
        }
        self.value = displaced.shared.map(|value| value.downcast().expect("a slot holds its own type only"));
        displaced.outgoing
    }

    /// Drops the value. A panic in its drop is contained and counted: it may be on the way of another panic.
    fn let_go(&mut self) {
        panics::contain_drop(self.value.take());
    }
}

impl<T> Drop for Held<T> {
    fn drop(&mut self) {
        panics::contain_drop(self.value.take());
    }
}

/// What is inside the scope, between two polls.
struct Aside<T: Send + Sync + 'static> {
    key: &'static Key<T>,
    inside: Held<T>,
    /// The scopes of this key that the future has open.
    scopes: Vec<OpenScope>,
}

impl<T: Send + Sync + 'static> Aside<T> {
    /// Runs `code` inside the scope.
    fn run<R>(&mut self, code: impl FnOnce() -> R) -> R {
        let _entered = self.enter();
        code()
    }

    /// # Panics
    ///
    /// If the current context has a value of another type under the key's name.
    fn check(&self) {
        if current::touch() {
            self.key.ready();
        }
    }

    fn enter(&mut self) -> Entered<'_, T> {
        let outside = if current::touch() { self.begin() } else { None };
        Entered { aside: self, outside }
    }

    /// Puts the value in place of the one outside, which this returns. Does not panic: a drop may need it.
    fn begin(&mut self) -> Option<(ScopeId, Held<T>)> {
        let place = self.key.try_ready().ok()?;
        let (scope, outgoing) = current::owner(|owner| {
            let scope = owner.begin_scope(Covers::One(self.key.known_identity()));
            owner.resume_scopes(std::mem::take(&mut self.scopes));
            (scope, self.inside.exchange(self.key, &owner.slot_or_grow(place)))
        })
        .unzip();
        drop(outgoing);
        Some((scope?, std::mem::replace(&mut self.inside, Held::nothing())))
    }

    /// Takes what is inside now, and puts back what is outside.
    fn end(&mut self, scope: ScopeId, mut outside: Held<T>) {
        let place = self.key.known_place();
        let ended = current::owner(|owner| {
            let slot = owner.slot(place?).filter(|_| owner.has_scope(scope))?;
            Some((owner.end_scope(scope), outside.exchange(self.key, &slot)))
        });
        match ended.flatten() {
            None => {
                stats::count(|counters| &counters.scopes_misplaced);
                outside.let_go();
            }
            Some((later, outgoing)) => {
                self.inside = outside;
                self.put_scopes_aside(later);
                drop(outgoing);
            }
        }
    }

    /// Keeps the scopes of this key that the future has left open; others that end with this one are out of order.
    fn put_scopes_aside(&mut self, later: Option<Vec<OpenScope>>) {
        let is_first_to_end = later.is_some();
        let (own, others): (Vec<_>, Vec<_>) =
            later.unwrap_or_default().into_iter().partition(OpenScope::is_of_one_key);
        if !is_first_to_end || !others.is_empty() {
            stats::count(|counters| &counters.scopes_out_of_order);
        }
        self.scopes = own;
    }
}

/// The value is in place for as long as this lives.
struct Entered<'a, T: Send + Sync + 'static> {
    aside: &'a mut Aside<T>,
    /// `None` where there is no context.
    outside: Option<(ScopeId, Held<T>)>,
}

impl<T: Send + Sync + 'static> Drop for Entered<'_, T> {
    fn drop(&mut self) {
        if let Some((scope, outside)) = self.outside.take() {
            self.aside.end(scope, outside);
        }
    }
}
