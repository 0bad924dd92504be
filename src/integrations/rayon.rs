//! Twins of rayon's calls that carry the caller's context to whichever worker runs the job, and pools whose workers are
//! registered by name.
//!
//! A job runs with the caller's [`Snapshot`] entered, and the worker has its own values back afterwards, also after a
//! panic. What a job sets under a key that does not inherit is the worker's, and stays with it: that is what such keys are
//! for (buffers, counts). rayon's own calls carry nothing.
//!
//! # Jobs inside jobs
//!
//! A worker that waits for another job (in [`join`], [`scope`], [`install`] or a parallel iterator) runs other jobs meanwhile, on
//! top of the one that waits. A job that was started through here brings its own inheriting values and takes them away again; a
//! plain one finds those of the job that waits. Keys that do not inherit are the worker's, and so shared by both. Therefore:
//!
//! - Do not wait inside the closure of [`Key::update`](crate::Key::update): if the other job updates the same key, what it wrote is
//!   lost, also for a key that keeps a total. It is counted in [`stats`](crate::stats()) (`updates_lost`). Wait first, then update.
//! - Do not wait between a read and the write that depends on it, nor rely on a value of the worker's over a wait.
//! - Do not call [`exit_thread_ctx`] in a job: it ends the worker's context under the jobs that wait further down.
//! - A value that is borrowed by [`Key::with`](crate::Key::with) over a wait stays as it is, whatever the other job does.
//!
//! Parallel iterators hand out pieces of their work by themselves. Capture before, and enter in each piece:
//!
//! ```
//! use rayon::prelude::*;
//! use threadctx::{Key, Snapshot};
//!
//! static USER: Key<String> = Key::new("http", "user").inherit();
//!
//! USER.set("alice".to_owned());
//! let snapshot = Snapshot::capture();
//! let letters: usize =
//!     (0..100).into_par_iter().map(|_| snapshot.run(|| USER.with(|user| user.len()).unwrap_or(0))).sum();
//! assert_eq!(letters, 500);
//! ```

use ::rayon::{ThreadPool, ThreadPoolBuilder};

use crate::{Snapshot, exit_thread_ctx, get_thread_ctx};

/// [`ThreadPool::install`] with the caller's values.
///
/// ```
/// static USER: threadctx::Key<&str> = threadctx::Key::new("http", "user").inherit();
///
/// let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build()?;
/// USER.set("alice");
/// assert_eq!(threadctx::rayon::install(&pool, || USER.cloned()), Some("alice"));
/// assert_eq!(pool.install(|| USER.cloned()), None);
/// # Ok::<_, rayon::ThreadPoolBuildError>(())
/// ```
pub fn install<F, R>(pool: &ThreadPool, job: F) -> R
where
    F: FnOnce() -> R + Send,
    R: Send,
{
    pool.install(Snapshot::capture().wrap(job))
}

/// [`rayon::spawn`](::rayon::spawn) with the caller's values, as they are now.
///
/// ```
/// static USER: threadctx::Key<&str> = threadctx::Key::new("http", "user").inherit();
///
/// let (send, seen) = std::sync::mpsc::channel();
/// USER.scope("alice", || threadctx::rayon::spawn(move || send.send(USER.cloned()).unwrap()));
/// assert_eq!(seen.recv().unwrap(), Some("alice"));
/// ```
pub fn spawn<F>(job: F)
where
    F: FnOnce() + Send + 'static,
{
    ::rayon::spawn(Snapshot::capture().wrap(job));
}

/// [`ThreadPool::spawn`] with the caller's values, as they are now.
///
/// ```
/// static USER: threadctx::Key<&str> = threadctx::Key::new("http", "user").inherit();
///
/// let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build()?;
/// let (send, seen) = std::sync::mpsc::channel();
/// USER.scope("alice", || threadctx::rayon::spawn_in(&pool, move || send.send(USER.cloned()).unwrap()));
/// assert_eq!(seen.recv().unwrap(), Some("alice"));
/// # Ok::<_, rayon::ThreadPoolBuildError>(())
/// ```
pub fn spawn_in<F>(pool: &ThreadPool, job: F)
where
    F: FnOnce() + Send + 'static,
{
    pool.spawn(Snapshot::capture().wrap(job));
}

/// [`rayon::join`](::rayon::join) with the caller's values on both sides.
///
/// ```
/// static USER: threadctx::Key<&str> = threadctx::Key::new("http", "user").inherit();
///
/// USER.set("alice");
/// let both = threadctx::rayon::join(|| USER.cloned(), || USER.cloned());
/// assert_eq!(both, (Some("alice"), Some("alice")));
/// ```
pub fn join<A, B, RA, RB>(one: A, other: B) -> (RA, RB)
where
    A: FnOnce() -> RA + Send,
    B: FnOnce() -> RB + Send,
    RA: Send,
    RB: Send,
{
    let snapshot = Snapshot::capture();
    ::rayon::join(|| snapshot.run(one), || snapshot.run(other))
}

/// [`rayon::scope`](::rayon::scope) with the caller's values: in `op`, and in each job with those that were current where
/// the job was spawned.
///
/// ```
/// static STEP: threadctx::Key<u32> = threadctx::Key::new("build", "step").inherit();
///
/// let (send, seen) = std::sync::mpsc::channel();
/// threadctx::rayon::scope(|scope| {
///     for step in 0..3 {
///         let send = send.clone();
///         STEP.scope(step, || scope.spawn(move |_| send.send(STEP.cloned().unwrap()).unwrap()));
///     }
/// });
/// drop(send);
/// let mut steps: Vec<_> = seen.into_iter().collect();
/// steps.sort();
/// assert_eq!(steps, [0, 1, 2]);
/// ```
pub fn scope<'scope, OP, R>(op: OP) -> R
where
    OP: FnOnce(Scope<'_, 'scope>) -> R + Send,
    R: Send,
{
    let snapshot = Snapshot::capture();
    ::rayon::scope(|scope| snapshot.run(|| op(Scope { scope })))
}

/// Where [`scope`] spawns its jobs: rayon's scope, whose jobs carry.
///
/// ```
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use threadctx::rayon::Scope;
///
/// fn count<'scope>(scope: Scope<'_, 'scope>, left: u32, jobs: &'scope AtomicU32) {
///     jobs.fetch_add(1, Ordering::SeqCst);
///     if left > 0 {
///         scope.spawn(move |scope| count(scope, left - 1, jobs)); // a job may spawn others
///     }
/// }
///
/// let jobs = AtomicU32::new(0);
/// threadctx::rayon::scope(|scope| count(scope, 3, &jobs));
/// assert_eq!(jobs.into_inner(), 4);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a, 'scope> {
    scope: &'a ::rayon::Scope<'scope>,
}

impl<'scope> Scope<'_, 'scope> {
    /// Spawns a job that runs with the values that are current here and now, before the scope ends.
    ///
    /// ```
    /// let sum = std::sync::atomic::AtomicU32::new(0);
    /// threadctx::rayon::scope(|scope| {
    ///     scope.spawn(|_| _ = sum.fetch_add(1, std::sync::atomic::Ordering::SeqCst));
    /// });
    /// assert_eq!(sum.into_inner(), 1);
    /// ```
    pub fn spawn<F>(self, job: F)
    where
        F: FnOnce(Scope<'_, 'scope>) + Send + 'scope,
    {
        let snapshot = Snapshot::capture();
        self.scope.spawn(move |scope| snapshot.run(|| job(Scope { scope })));
    }
}

/// Pools whose workers have a context from their start to their end.
///
/// ```
/// use threadctx::rayon::PoolBuilderExt;
///
/// let pool = rayon::ThreadPoolBuilder::new().num_threads(1).register_workers().build()?;
/// let worker = pool.install(|| std::thread::current().id());
/// assert!(threadctx::context(worker).is_some());
/// # Ok::<_, rayon::ThreadPoolBuildError>(())
/// ```
pub trait PoolBuilderExt {
    /// Registers each worker as it starts, so that it is listed by its name before it first has something to say; and runs
    /// its exit as it ends.
    ///
    /// rayon keeps one `start_handler` and one `exit_handler`, and the last one set wins: this replaces yours if it comes
    /// after them, and is replaced by yours if it comes before. For code that is to run besides, use
    /// [`on_thread_start`](crate::on_thread_start) and [`on_thread_exit`](crate::on_thread_exit) of this crate, which are
    /// lists.
    ///
    /// ```
    /// use threadctx::rayon::PoolBuilderExt;
    ///
    /// let pool = rayon::ThreadPoolBuilder::new()
    ///     .num_threads(2)
    ///     .thread_name(|number| format!("cruncher-{number}"))
    ///     .register_workers()
    ///     .build()?;
    /// pool.broadcast(|_| ());
    /// let names: Vec<_> = threadctx::contexts().iter().filter_map(|it| Some(it.thread_name()?.to_owned())).collect();
    /// assert!(names.contains(&"cruncher-1".to_owned()));
    /// # Ok::<_, rayon::ThreadPoolBuildError>(())
    /// ```
    fn register_workers(self) -> Self;
}

impl<S> PoolBuilderExt for ThreadPoolBuilder<S> {
    fn register_workers(self) -> Self {
        self.start_handler(|_| _ = get_thread_ctx()).exit_handler(|_| _ = exit_thread_ctx())
    }
}
