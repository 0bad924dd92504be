//! Contexts of dead threads: threads that the system ended without an exit.
//!
//! A thread leaves one behind if its first touch comes so late that nothing of its is left to run the exit (in the last round of
//! the destructors of its pthread keys), or if something ends it that unwinds nothing.
//!
//! Such a context is unlisted and leaked. Nothing orders what the dead thread wrote before another thread's reads, and the thread
//! may have died in the middle of a write; so nobody becomes its owner: its plain cells are never read, and its values never drop.
//! Only what a reader may do is done: a value of a key that keeps a total is read, and kept for it. So a sweep would do no harm
//! even to a thread that is alive.
//!
//! *Which threads are dead.* The number of a thread says so: two threads of one process never have one number at the same time, and
//! the system forgets a number after the thread's last instruction. So a thread is dead if the system knows no thread of this
//! process by its number, or if a younger context has the same number. A number that has gone to a thread *without* a context
//! hides the dead one until that thread touches the crate or ends. A child that was forked without its handlers (`_Fork`, `clone`)
//! is another process with other numbers: there no thread is taken for dead.
//!
//! Tasks have no number: the owner of the future drops it.

use std::collections::HashMap;

use crate::{ContextRef, State, registry, stats, total};

/// How often a total looks at a value that its dead owner may have been writing.
const LOOKS: u32 = 100;

/// Unlists the contexts of threads that are gone without an exit, and returns how many they were.
///
/// It cannot happen to threads that end by returning or by a panic; see [limits](crate::guide::limits) for those to which it
/// can. Such a context stays listed, with its values, until a sweep takes it out of the registry; a dump says that its thread is
/// gone. Its memory and its values are leaked: no other thread can know in what state the dead one left them. No hook runs and
/// nothing drops. Values of keys that keep a total are kept for it.
///
/// Nothing calls this by itself. It makes a system call for each thread that has a context (less than a microsecond). On
/// other systems than Linux it finds nothing.
///
/// ```
/// assert_eq!(threadctx::sweep(), 0);
/// ```
pub fn sweep() -> usize {
    without_thread(registry::all()).iter().filter(|dead| unlist(dead)).count()
}

/// Those of `contexts` whose threads are gone.
fn without_thread(mut contexts: Vec<ContextRef>) -> Vec<ContextRef> {
    let youngest = youngest_by_number(&contexts);
    contexts.retain(|context| {
        let is_gone = |number| {
            let is_youngest = youngest.get(&number) == Some(&context.context().serial());
            let has_thread = registry::has_thread(number);
            has_thread.is_some() && (!is_youngest || has_thread == Some(false))
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

/// Takes one out of the registry; false if it had its exit after all, or if another sweep was first.
fn unlist(dead: &ContextRef) -> bool {
    let context = dead.context();
    let is_ours = total::retain_of_the_dead(context, LOOKS);
    if is_ours {
        registry::remove(context);
        stats::count(|counters| &counters.swept);
    }
    is_ours
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{context::Context, os};

    /// As when the system gives the number of a dead thread to a new one.
    #[test]
    fn of_two_contexts_with_one_number_the_older_is_a_dead_threads() {
        let me = std::thread::current().id().into();
        let context = || ContextRef::new(Context::of_thread(me, None, None));
        let (older, younger) = (context(), context());
        let serials = |contexts: Vec<ContextRef>| -> Vec<_> {
            contexts.iter().map(|context| context.context().serial()).collect()
        };
        let dead = serials(without_thread(vec![younger.clone(), older.clone()]));
        let expected = if older.os_tid().is_some() { vec![older.context().serial()] } else { vec![] };
        assert_eq!(dead, expected);
        assert_eq!(serials(without_thread(vec![younger])), [0; 0], "this thread is alive");
    }

    /// As a dead thread leaves it: one count is the registry's, one was in the thread's `HOME`.
    fn left_behind() -> Arc<Context> {
        let make = || {
            let context = Context::of_thread(std::thread::current().id().into(), None, None);
            registry::add(Arc::clone(&context));
            std::mem::forget(Arc::clone(&context));
            context
        };
        std::thread::spawn(make).join().expect("it does not panic")
    }

    /// The last moment at which the thread, or another sweep, may have been first.
    #[test]
    fn one_that_had_its_exit_after_all_is_left_alone() {
        let context = left_behind();
        context.set_state(State::Exited);
        let swept = stats().swept;
        assert!(!unlist(&ContextRef::new(Arc::clone(&context))));
        assert_eq!((Arc::strong_count(&context), stats().swept), (3, swept));
        registry::remove(&context);
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[test]
    fn a_sweep_lets_go_of_the_registrys_count_and_no_other() {
        for state in [State::Running, State::Exiting] {
            let context = left_behind();
            context.set_state(state);
            while os::has_thread(context.os_tid().expect("a number")) != Some(false) {
                std::thread::yield_now();
            }
            assert!(sweep() >= 1);
            assert_eq!((Arc::strong_count(&context), context.state()), (2, State::Exited));
        }
    }

    #[test]
    fn a_task_has_no_thread_that_could_be_dead() {
        let (_, task) = Context::of_task(crate::TaskId::NOBODY.into());
        assert!(without_thread(vec![ContextRef::new(task)]).is_empty());
    }

    use crate::stats::stats;
}
