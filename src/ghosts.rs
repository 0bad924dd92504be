//! Ghosts: contexts whose threads are gone without an exit.
//!
//! A thread leaves one if its first touch comes so late that nothing of its is left to run the exit (in the last round of
//! the destructors of its pthread keys), or if something ends it that unwinds nothing. Its context has no owner any more,
//! so whoever sweeps becomes the owner. For that to be sound two things must be certain:
//!
//! - *The thread will not write any more.* Its number says so: two threads of one process never have one number at the same
//!   time, and the system forgets a number after the thread's last instruction in the program. So a context is a ghost if the
//!   system knows no thread of this process by its number, or if a younger context has the same number. A number that has
//!   gone to a thread *without* a context hides the ghost until that thread touches or ends. A thread that is on its way
//!   out, be it past its own exit, is still there; that it has had its exit shows in the state.
//! - *What it wrote is seen.* Nobody joined the thread, so nothing of the language orders its writes before the sweep's
//!   reads. The system does, see [`os::see_what_the_dead_did`]; where it cannot, nothing is swept.
//!
//! In a forked child there are no ghosts of the parent's: the registry starts afresh. Tasks have no number and are nobody's
//! ghosts: whoever owns the future drops it.

use std::{cell::Cell, collections::HashMap, sync::Arc};

use crate::{ContextRef, State, context::Context, current, os, registry, stats, sync::thread_cells};

#[cfg(any(loom, shuttle))]
use crate::sync::LocalCell;

thread_cells! {
    /// Whether this thread sweeps: a drop that sweeps would have the next drop sweep inside it, and so on.
    static SWEEPING: Cell<bool> = Cell::new(false);
}

/// A context whose thread does not exist any more. INVARIANT: made by [`found`] only, so that this is certain, and that all
/// the thread ever did is visible to whoever has it.
pub(crate) struct Ghost(ContextRef);

impl Ghost {
    pub(crate) fn context(&self) -> &Arc<Context> {
        self.0.shared()
    }
}

/// Ends the contexts of threads that are gone without an exit, and says how many they were.
///
/// It cannot happen to threads that end by returning or by a panic; see [limits](crate::guide::limits) for those to which it
/// can. Such a context stays listed, with its values; a dump says that its thread is gone. A sweep drops its values on the
/// thread that calls, without running any hook, and takes it out of the registry; values of keys that keep a total are kept
/// for it. A panic in a drop is contained and counted in [`stats`](crate::stats()).
///
/// Nothing calls this by itself; called from a drop that it causes, it leaves the rest to the sweep that is under way. It
/// takes a call into the system for each thread that has a context (less than a microsecond). On other systems than Linux it
/// finds nothing.
///
/// ```
/// assert_eq!(threadctx::sweep(), 0);
/// ```
pub fn sweep() -> usize {
    if SWEEPING.replace(true) {
        return 0;
    }
    let swept = found().iter().filter(|ghost| end(ghost)).count();
    SWEEPING.set(false);
    swept
}

/// The ghosts there are. Some may have had their exit after all.
fn found() -> Vec<Ghost> {
    let found = without_thread(registry::all());
    if found.is_empty() || !os::see_what_the_dead_did() {
        return Vec::new();
    }
    found.into_iter().map(Ghost).collect()
}

/// Those of `contexts` whose threads are gone.
fn without_thread(mut contexts: Vec<ContextRef>) -> Vec<ContextRef> {
    let youngest = youngest_by_number(&contexts);
    contexts.retain(|context| {
        let is_gone = |number| {
            let is_youngest = youngest.get(&number) == Some(&context.context().serial());
            !is_youngest || os::has_thread(number) == Some(false)
        };
        context.state() != State::Exited && context.os_tid().is_some_and(is_gone)
    });
    contexts
}

/// The serial of the youngest context for each number of a thread.
fn youngest_by_number(contexts: &[ContextRef]) -> HashMap<u64, u64> {
    let mut youngest = HashMap::new();
    for context in contexts {
        let Some(number) = context.os_tid() else { continue };
        let serial = youngest.entry(number).or_default();
        *serial = context.context().serial().max(*serial);
    }
    youngest
}

/// Ends one ghost; false if it had its exit after all, or if another sweep was first.
fn end(ghost: &Ghost) -> bool {
    let Some(left) = current::bury(ghost) else { return false };
    stats::count(|counters| &counters.swept);
    left.drop_contained();
    true
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    /// As when the system gives the number of a ghost to a new thread.
    #[test]
    fn of_two_contexts_with_one_number_the_older_is_a_ghost() {
        let me = std::thread::current().id().into();
        let context = || ContextRef::new(Context::of_thread(me, None, None));
        let (older, younger) = (context(), context());
        let serials = |contexts: Vec<ContextRef>| -> Vec<_> {
            contexts.iter().map(|context| context.context().serial()).collect()
        };
        let ghosts = serials(without_thread(vec![younger.clone(), older.clone()]));
        let expected = if older.os_tid().is_some() { vec![older.context().serial()] } else { vec![] };
        assert_eq!(ghosts, expected);
        assert_eq!(serials(without_thread(vec![younger])), [0; 0], "this thread is alive");
    }

    /// As a thread leaves it that ends without an exit: one count is the registry's, one was in the thread's `HOME`.
    fn left_behind() -> Arc<Context> {
        let make = || {
            let context = Context::of_thread(std::thread::current().id().into(), None, None);
            registry::add(Arc::clone(&context));
            std::mem::forget(Arc::clone(&context));
            context
        };
        std::thread::spawn(make).join().expect("it does not panic")
    }

    /// The last moment at which a thread, or another sweep, may have been first.
    #[test]
    fn one_that_had_its_exit_after_all_or_is_being_swept_is_left_alone() {
        for be_first in [(|context| context.set_state(State::Exited)) as fn(&Context), |context| {
            assert!(context.take_from_the_dead())
        }] {
            let ghost = Ghost(ContextRef::new(left_behind()));
            be_first(ghost.context());
            assert!(!end(&ghost));
            assert_eq!(Arc::strong_count(ghost.context()), 3);
            registry::remove(ghost.context());
        }
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[test]
    fn a_sweep_lets_go_of_every_count_but_those_of_others() {
        let context = left_behind();
        while os::has_thread(context.os_tid().expect("a number")) != Some(false) {
            std::thread::yield_now();
        }
        assert_eq!(Arc::strong_count(&context), 3);
        assert!(sweep() >= 1);
        assert_eq!((Arc::strong_count(&context), context.state()), (1, State::Exited));
    }

    #[test]
    fn a_task_is_nobodys_ghost() {
        let (_, task) = Context::of_task(crate::TaskId::NOBODY.into());
        assert!(without_thread(vec![ContextRef::new(task)]).is_empty());
    }
}
