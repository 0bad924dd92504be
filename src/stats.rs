//! What has happened so far, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::registry;

/// What has happened in this process so far. A forked child counts afresh.
///
/// The figures are read one after the other while the program goes on, so they need not agree to the last one.
///
/// ```
/// threadctx::get_thread_ctx();
/// let stats = threadctx::stats();
/// assert!(stats.live >= 1);
/// assert!(stats.registered >= stats.exited);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Contexts in the registry now, of threads and tasks.
    pub live: usize,
    /// Contexts that came into the registry.
    pub registered: u64,
    /// Contexts that left it.
    pub exited: u64,
    /// Contexts among the exited ones that [`sweep`](crate::sweep()) ended, since their threads were gone.
    pub swept: u64,
    /// Panics in hooks (thread start and exit, a context's, a key's, a key's merge at exit), contained.
    pub hook_panics: u64,
    /// Panics in the drop of values at exit, or when dropped belatedly, contained.
    pub drop_panics: u64,
    /// Values that `set` or another write without an error dropped because the thread's context was gone.
    pub refused: u64,
    /// Exit hooks that came after the exit and were dropped without running.
    pub hooks_refused: u64,
    /// Scopes that ended where their context was not the current one, and so restored nothing.
    pub scopes_misplaced: u64,
    /// Scopes that did not find their own value in place when they ended, because an overlapping scope of the same key had
    /// begun later or ended earlier: see [`Scope`](crate::Scope#out-of-order). Usually a guard that is held over an await
    /// next to another one: use [`Key::scope_future`](crate::Key::scope_future) there.
    pub scopes_out_of_order: u64,
    /// Values that were written inside the closure of an [`update`](crate::Key::update) of the very key, and lost when the update
    /// put its own result in their place.
    pub updates_lost: u64,
    /// Values that [`Snapshot`](crate::Snapshot)s hold now. They are kept alive though no context has them and no dump shows them. A
    /// snapshot and its clones count each of its values once; two snapshots of one value count it twice. What a thread or a
    /// task was begun with is its own, and not counted; neither is what an open scope will put back.
    pub snapshot_values: u64,
    /// Values and hooks that were still there after the last round of an exit and were dropped unheard, or that came after
    /// the exit out of one another's drop, again and again, and were leaked.
    pub left_over: u64,
    /// Reports of outlets of which standard error, or the panic hook's writer, did not take all in time, or at all.
    pub reports_cut: u64,
}

/// The same, being counted.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) exited: AtomicU64,
    pub(crate) swept: AtomicU64,
    pub(crate) hook_panics: AtomicU64,
    pub(crate) drop_panics: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) hooks_refused: AtomicU64,
    pub(crate) scopes_misplaced: AtomicU64,
    pub(crate) scopes_out_of_order: AtomicU64,
    pub(crate) updates_lost: AtomicU64,
    /// What was taken and is not dropped yet.
    pub(crate) snapshot_values: AtomicU64,
    pub(crate) left_over: AtomicU64,
    pub(crate) reports_cut: AtomicU64,
}

/// Counts one of what `which` picks.
pub(crate) fn count(which: impl FnOnce(&Counters) -> &AtomicU64) {
    add(which, 1);
}

/// Counts `number` of what `which` picks.
pub(crate) fn add(which: impl FnOnce(&Counters) -> &AtomicU64, number: u64) {
    // Relaxed, here and below: figures for people.
    which(registry::counters()).fetch_add(number, Ordering::Relaxed);
}

/// What has happened so far, in numbers. Touches nothing and waits for nobody.
///
/// ```
/// let before = threadctx::stats().exited;
/// std::thread::spawn(|| drop(threadctx::get_thread_ctx().handle())).join().unwrap();
/// assert!(threadctx::stats().exited > before);
/// ```
pub fn stats() -> Stats {
    let counters = registry::counters();
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    Stats {
        live: registry::live(),
        registered: registry::registered(),
        exited: read(&counters.exited),
        swept: read(&counters.swept),
        hook_panics: read(&counters.hook_panics),
        drop_panics: read(&counters.drop_panics),
        refused: read(&counters.refused),
        hooks_refused: read(&counters.hooks_refused),
        scopes_misplaced: read(&counters.scopes_misplaced),
        scopes_out_of_order: read(&counters.scopes_out_of_order),
        updates_lost: read(&counters.updates_lost),
        snapshot_values: read(&counters.snapshot_values),
        left_over: read(&counters.left_over),
        reports_cut: read(&counters.reports_cut),
    }
}
