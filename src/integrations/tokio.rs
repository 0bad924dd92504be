//! Twins of tokio's spawns that carry the caller's context along, and runtimes whose workers are registered by name.
//!
//! A spawned future gets a context of its own, with the values that travel; a blocking job runs with them entered on
//! whatever thread of the pool it gets, and leaves that thread as it was. tokio's own functions carry nothing. For those
//! that have no twin here (a `JoinSet`, a `Handle`), use the parts: `set.spawn(future.in_context())`,
//! `handle.spawn_blocking(Snapshot::capture().wrap(job))`.
//!
//! ```
//! use threadctx::{Key, tokio::BuilderExt};
//!
//! static USER: Key<String> = Key::new("http", "user").inherit();
//!
//! let runtime = tokio::runtime::Builder::new_multi_thread().register_workers().build()?;
//! runtime.block_on(async {
//!     USER.set("alice".to_owned());
//!     let task = threadctx::tokio::spawn(async {
//!         tokio::task::yield_now().await;
//!         let blocking = threadctx::tokio::spawn_blocking(|| USER.cloned());
//!         (USER.cloned(), blocking.await.unwrap())
//!     });
//!     let alice = Some("alice".to_owned());
//!     assert_eq!(task.await.unwrap(), (alice.clone(), alice));
//! });
//! # Ok::<_, std::io::Error>(())
//! ```

use std::future::Future;

use ::tokio::{
    runtime::Builder,
    task::{self, JoinHandle},
};

use crate::{FutureExt, Snapshot, exit_thread_ctx, get_thread_ctx};

/// [`tokio::spawn`](::tokio::spawn) of the future in a context of its own: see [`FutureExt::in_context`].
///
/// # Panics
///
/// Outside a runtime, as tokio's does.
///
/// ```
/// # ::tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let task = threadctx::tokio::spawn(async { threadctx::get_thread_ctx().ident() });
/// assert!(matches!(task.await.unwrap(), threadctx::Ident::Task(_)));
/// # });
/// ```
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    ::tokio::spawn(future.in_context())
}

/// [`tokio::task::spawn_local`](task::spawn_local) of the future in a context of its own.
///
/// # Panics
///
/// Outside a `LocalSet`, as tokio's does.
///
/// ```
/// # ::tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # ::tokio::task::LocalSet::new().run_until(async {
/// let here = std::rc::Rc::new(1);
/// let task = threadctx::tokio::spawn_local(async move { *here });
/// assert_eq!(task.await.unwrap(), 1);
/// # }).await });
/// ```
#[track_caller]
pub fn spawn_local<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    task::spawn_local(future.in_context())
}

/// [`tokio::task::spawn_blocking`](task::spawn_blocking) of the job with the caller's [`Snapshot`] entered. The thread that
/// runs it has its own values back afterwards; what the job sets under a key that does not inherit is that thread's.
///
/// # Panics
///
/// Outside a runtime, as tokio's does.
///
/// ```
/// # ::tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// static USER: threadctx::Key<&str> = threadctx::Key::new("http", "user").inherit();
///
/// USER.set("alice");
/// assert_eq!(threadctx::tokio::spawn_blocking(|| USER.cloned()).await.unwrap(), Some("alice"));
/// assert_eq!(tokio::task::spawn_blocking(|| USER.cloned()).await.unwrap(), None);
/// # });
/// ```
#[track_caller]
pub fn spawn_blocking<F, R>(job: F) -> JoinHandle<R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    task::spawn_blocking(Snapshot::capture().wrap(job))
}

/// Runtimes whose threads have a context from their start to their stop.
///
/// ```
/// use threadctx::tokio::BuilderExt;
///
/// let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).register_workers().build()?;
/// let worker = runtime.block_on(runtime.spawn(async { std::thread::current().id() })).unwrap();
/// assert!(threadctx::context(worker).is_some());
/// # Ok::<_, std::io::Error>(())
/// ```
pub trait BuilderExt {
    /// Registers each thread of the runtime, those for blocking jobs included, as it starts, so that it is listed by its
    /// name before it first has something to say; and runs its exit as it stops, before it is joined.
    ///
    /// tokio keeps one `on_thread_start` and one `on_thread_stop`, and the last one set wins: this replaces yours if it comes
    /// after them, and is replaced by yours if it comes before. For code that is to run besides, use
    /// [`on_thread_start`](crate::on_thread_start) and [`on_thread_exit`](crate::on_thread_exit) of this crate, which are
    /// lists. If this is replaced, a thread registers at its first touch, and exits with its thread-locals.
    ///
    /// ```
    /// use threadctx::tokio::BuilderExt;
    ///
    /// let runtime = tokio::runtime::Builder::new_multi_thread()
    ///     .thread_name("orders")
    ///     .register_workers()
    ///     .build()?;
    /// let worker = runtime.spawn(async { threadctx::get_thread_ctx().handle() });
    /// let worker = runtime.block_on(worker).unwrap();
    /// assert_eq!(worker.thread_name(), Some("orders"));
    /// drop(runtime);
    /// assert_eq!(worker.state(), threadctx::State::Exited);
    /// # Ok::<_, std::io::Error>(())
    /// ```
    fn register_workers(&mut self) -> &mut Self;
}

impl BuilderExt for Builder {
    fn register_workers(&mut self) -> &mut Self {
        self.on_thread_start(|| _ = get_thread_ctx()).on_thread_stop(|| _ = exit_thread_ctx())
    }
}
