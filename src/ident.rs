//! Who a context belongs to.

use std::{
    fmt,
    hash::Hasher,
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

impl Ident {
    pub(crate) fn thread(self) -> Option<ThreadId> {
        match self {
            Self::Thread(id) => Some(id),
            Self::Task(_) => None,
        }
    }
}

/// The identity of a task. Later tasks have higher numbers; some are left out.
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

impl TaskId {
    /// No task has it.
    pub(crate) const NOBODY: Self = Self(0);

    /// What a thread answers of which std cannot say who it is any more: a number that no task and no other thread has.
    pub(crate) fn of_unnamed_thread() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(1 << 63);
        // Relaxed: the number alone matters, and the addition makes it unique.
        Self(COUNT.fetch_add(1, Ordering::Relaxed))
    }

    /// `number` is nobody else's.
    pub(crate) fn numbered(number: u64) -> Self {
        Self(number)
    }

    pub(crate) fn number(self) -> u64 {
        self.0
    }

    /// The task that was given this number; 0 is nobody's.
    pub(crate) fn from_number(number: u64) -> Option<Self> {
        Some(Self(number)).filter(|task| *task != Self::NOBODY)
    }
}

/// For maps by ident: ids count up, so a multiplication spreads them, over the low bits as well as the high ones.
#[derive(Default)]
pub(crate) struct IdentHasher(u64);

impl Hasher for IdentHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        // The golden ratio's bits.
        self.0 = (self.0.rotate_left(32) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_isize(&mut self, number: isize) {
        self.write_u64(number as u64);
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

#[cfg(all(test, not(loom)))]
mod tests {
    use std::{collections::HashSet, hash::BuildHasher, hash::BuildHasherDefault};

    use super::*;

    #[test]
    fn threads_that_std_cannot_name_are_not_one() {
        let [one, other] = [TaskId::of_unnamed_thread(), TaskId::of_unnamed_thread()];
        assert_ne!(one, other);
        assert!(TaskId::from_number(one.number()).is_some());
    }

    #[test]
    fn idents_that_follow_one_another_spread_over_shards_and_buckets() {
        let hasher = BuildHasherDefault::<IdentHasher>::default();
        let hash = |number| hasher.hash_one(Ident::Task(TaskId(number)));
        let low: HashSet<_> = (0..1024).map(|number| hash(number) % 1024).collect();
        let high: HashSet<_> = (0..1024).map(|number| hash(number) << 7 >> 54).collect();
        assert!(low.len() > 900, "{}", low.len());
        assert!(high.len() > 600, "{}", high.len());
        assert_ne!(hash(1), hasher.hash_one(std::thread::current().id()));
    }
}
