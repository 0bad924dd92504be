//! Threads that begin with the values of whoever spawned them.

use std::{
    io,
    thread::{Builder, JoinHandle},
};

use crate::{Snapshot, current};

/// Spawns a thread that begins with the values of the caller's keys that [inherit](crate::Key::inherit), and knows the
/// caller as its [parent](crate::ContextRef::parent). Otherwise like [`std::thread::spawn`], which carries nothing.
///
/// The values are the new thread's own: they are there before its start hooks run, and at its exit, when its hooks do. For
/// a scoped thread see [`Snapshot::wrap`].
///
/// # Panics
///
/// If the system makes no more threads; [`spawn_with`] gives an error instead.
///
/// ```
/// use threadctx::Key;
///
/// static USER: Key<String> = Key::new("http", "user").inherit();
///
/// USER.set("alice".to_owned());
/// assert_eq!(threadctx::spawn(|| USER.cloned()).join().unwrap().as_deref(), Some("alice"));
/// assert_eq!(std::thread::spawn(|| USER.cloned()).join().unwrap(), None);
/// ```
pub fn spawn<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    spawn_with(Builder::new(), f).expect("threadctx: the system made no thread")
}

/// The same with a name and a stack size of yours.
///
/// # Errors
///
/// Those of [`Builder::spawn`].
///
/// ```
/// let named = std::thread::Builder::new().name("indexer".to_owned());
/// let thread = threadctx::spawn_with(named, || threadctx::get_thread_ctx().handle())?;
/// assert_eq!(thread.join().unwrap().thread_name(), Some("indexer"));
/// # Ok::<_, std::io::Error>(())
/// ```
pub fn spawn_with<F, T>(builder: Builder, f: F) -> io::Result<JoinHandle<T>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let (parent, inherited) = (current::ident(), Snapshot::capture());
    builder.spawn(move || {
        current::begin_thread(parent, inherited);
        f()
    })
}
