//! Who a context belongs to.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    thread::ThreadId,
};

/// Who a context belongs to: a thread or a task. Never given to another one within the process.
///
/// Prints as logs do: `ThreadId(7)`, `TaskId(12)`.
///
/// ```
/// use threadctx::{Ident, get_thread_ctx};
///
/// let mine = get_thread_ctx().ident();
/// assert_eq!(mine, Ident::Thread(std::thread::current().id()));
/// assert!(mine.to_string().starts_with("ThreadId("));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ident {
    /// A thread of the operating system, whoever made it.
    Thread(ThreadId),
    /// An async task, or another unit of work that moves between threads.
    Task(TaskId),
}

/// The identity of a task, counted from 1 within the process.
///
/// ```
/// use threadctx::{FutureExt, Ident, context};
///
/// let task = async { 1 + 1 }.in_context().handle();
/// assert!(matches!(task.ident(), Ident::Task(_)));
/// assert!(context(task.ident()).is_none(), "it is over: nobody kept the future");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(u64);

static TASKS: AtomicU64 = AtomicU64::new(0);

impl TaskId {
    /// Nobody's: what a thread answers that is so far gone that not even std knows it any more.
    pub(crate) const NOBODY: Self = Self(0);

    pub(crate) fn next() -> Self {
        // Relaxed: the number alone matters, and the addition makes it unique.
        Self(TASKS.fetch_add(1, Ordering::Relaxed) + 1)
    }

    pub(crate) fn number(self) -> u64 {
        self.0
    }

    /// The task that was given this number; 0 is nobody's.
    pub(crate) fn from_number(number: u64) -> Option<Self> {
        Some(Self(number)).filter(|task| *task != Self::NOBODY)
    }
}

impl From<ThreadId> for Ident {
    fn from(id: ThreadId) -> Self {
        Self::Thread(id)
    }
}

impl From<TaskId> for Ident {
    fn from(id: TaskId) -> Self {
        Self::Task(id)
    }
}

impl fmt::Display for Ident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Thread(id) => write!(f, "{id:?}"),
            Self::Task(id) => write!(f, "{id}"),
        }
    }
}

impl fmt::Debug for Ident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskId({})", self.0)
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
