//! Totals that never go backwards: live and exited contexts, each value exactly once, also while threads exit.

use std::{
    panic,
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use threadctx::{Key, exit_thread_ctx, get_thread_ctx};

use crate::support::{watchdog::within_a_minute, worker::Worker};

const NS: &str = "totals";

fn add(one: &u64, other: &u64) -> u64 {
    one + other
}

#[test]
fn a_total_is_none_while_there_is_no_value() {
    static KEY: Key<u64> = Key::new(NS, "none").keep_total(add);
    assert_eq!(KEY.total(), None);
    KEY.set(1);
    assert_eq!(KEY.total(), Some(1));
    KEY.take();
    assert_eq!(KEY.total(), None);
}

#[test]
fn a_total_has_what_live_contexts_have_and_what_exited_ones_had() {
    static KEY: Key<u64> = Key::new(NS, "both").keep_total(add);
    let workers: Vec<_> = (0..3).map(|_| Worker::start()).collect();
    for (worker, value) in workers.iter().zip([1, 10, 100]) {
        worker.run(move || KEY.set(value));
    }
    assert_eq!(KEY.total(), Some(111));
    let mut workers = workers.into_iter();
    for _ in 0..3 {
        workers.next().unwrap().end();
        assert_eq!(KEY.total(), Some(111));
    }
    KEY.set(1_000);
    assert_eq!(KEY.total(), Some(1_111));
    assert_eq!(KEY.iter().count(), 1, "the others are over");
}

#[test]
fn what_was_taken_replaced_or_cleared_is_not_in_it() {
    static KEY: Key<u64> = Key::new(NS, "taken").keep_total(add);
    Worker::start().run(|| {
        KEY.set(1);
        KEY.set(2);
        assert_eq!(KEY.total(), Some(2));
        drop(KEY.replace(3));
        KEY.scope(4, || assert_eq!(KEY.total(), Some(4)));
        assert_eq!(KEY.total(), Some(3));
        get_thread_ctx().clear();
        assert_eq!(KEY.total(), None);
        KEY.set(5);
        drop(KEY.take());
    });
    assert_eq!(KEY.total(), None);
}

#[test]
fn an_exit_asked_for_keeps_each_lifes_value() {
    static KEY: Key<u64> = Key::new(NS, "lives").keep_total(add);
    Worker::start().run(|| {
        for value in [1, 10, 100] {
            KEY.set(value);
            assert!(exit_thread_ctx());
        }
        assert_eq!(KEY.total(), Some(111));
        KEY.set(1_000);
        KEY.with(|_| assert!(exit_thread_ctx()));
        assert_eq!(KEY.total(), Some(1_111));
    });
    assert_eq!(KEY.total(), Some(1_111));
}

#[test]
fn a_value_that_a_hook_changes_at_exit_counts_as_what_it_was_in_the_end() {
    static KEY: Key<u64> = Key::new(NS, "hook").keep_total(add).on_exit(|value| {
        if *value < 10 {
            KEY.set(10 * *value);
        }
    });
    Worker::start().run(|| KEY.set(5));
    assert_eq!(KEY.total(), Some(50));
}

#[test]
fn a_value_that_comes_back_until_the_exit_gives_up_counts_once() {
    static KEY: Key<u64> = Key::new(NS, "comes back").keep_total(add).on_exit(|value| KEY.set(value + 1));
    Worker::start().run(|| KEY.set(1));
    // Eight rounds, in each of which the hook puts one more in its place.
    assert_eq!(KEY.total(), Some(9));
}

#[test]
fn a_value_put_in_by_name_counts() {
    static KEY: Key<u64> = Key::new(NS, "by name").keep_total(add);
    assert!(KEY.check().is_ok());
    let worker = Worker::start();
    worker.run(|| drop(get_thread_ctx().namespace(NS).insert("by name", 5_u64).unwrap()));
    assert_eq!(KEY.total(), Some(5));
    worker.end();
    assert_eq!(KEY.total(), Some(5));
}

#[test]
fn a_value_put_in_by_name_before_the_keys_first_use_counts_also_when_its_thread_is_over() {
    static KEY: Key<u64> = Key::new(NS, "by name before").keep_total(add);
    let worker = Worker::start();
    worker.run(|| drop(get_thread_ctx().namespace(NS).insert("by name before", 5_u64).unwrap()));
    assert_eq!(KEY.total(), Some(5));
    worker.end();
    assert_eq!(KEY.total(), Some(5), "a total does not go backwards");
}

#[test]
fn any_static_of_the_identity_may_say_that_it_keeps_a_total() {
    static SILENT: Key<u64> = Key::new(NS, "two statics");
    static KEEPS: Key<u64> = Key::new(NS, "two statics").keep_total(add);
    assert!(KEEPS.check().is_ok());
    Worker::start().run(|| SILENT.set(5));
    assert_eq!(KEEPS.total(), Some(5));
}

#[test]
fn a_total_neither_loses_nor_doubles_while_threads_exit() {
    // Everything there is to count is there before the readers begin, so each read must find exactly that.
    static KEY: Key<u64> = Key::new(NS, "while exiting").keep_total(add);
    within_a_minute(|| {
        const THREADS: u64 = 60;
        let done = &AtomicBool::new(false);
        let workers: Vec<_> = (0..THREADS).map(|_| Worker::start()).collect();
        for (n, worker) in (0..).zip(&workers) {
            worker.run(move || KEY.set(n));
        }
        let expected = Some((0..THREADS).sum());
        let ready = &Barrier::new(3);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(move || {
                    assert_eq!(KEY.total(), expected);
                    ready.wait();
                    while !done.load(Ordering::Relaxed) {
                        assert_eq!(KEY.total(), expected);
                    }
                });
            }
            ready.wait();
            workers.into_iter().for_each(Worker::end);
            done.store(true, Ordering::Relaxed);
        });
        assert_eq!(KEY.total(), expected);
    });
}

#[test]
fn a_total_of_counters_that_only_rise_only_rises() {
    static KEY: Key<u64> = Key::new(NS, "rises").init(|| 0).keep_total(add);
    within_a_minute(|| {
        const ROUNDS: u64 = 40;
        const STEPS: u64 = 50;
        let done = &AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(move || {
                    let mut last = 0;
                    while !done.load(Ordering::Relaxed) {
                        let total = KEY.total().unwrap_or(0);
                        assert!(total >= last, "{total} after {last}");
                        assert!(total <= 3 * ROUNDS * STEPS);
                        last = total;
                    }
                });
            }
            let count = || (0..STEPS).for_each(|_| _ = KEY.update(|n| *n += 1));
            for _ in 0..ROUNDS {
                let threads = [0; 3].map(|_| thread::spawn(count));
                threads.into_iter().for_each(|thread| thread.join().unwrap());
            }
            done.store(true, Ordering::Relaxed);
        });
        assert_eq!(KEY.total(), Some(3 * ROUNDS * STEPS));
    });
}

#[test]
fn a_merge_that_panics_at_an_exit_loses_no_value() {
    static FAILS: AtomicBool = AtomicBool::new(true);
    static KEY: Key<u64> = Key::new(NS, "merge panics").keep_total(|one, other| {
        assert!(!FAILS.load(Ordering::SeqCst), "expected");
        one + other
    });
    let before = threadctx::stats().hook_panics;
    for value in [1, 10, 100] {
        Worker::start().run(move || KEY.set(value));
    }
    assert!(threadctx::stats().hook_panics > before);
    FAILS.store(false, Ordering::SeqCst);
    assert_eq!(KEY.total(), Some(111));
    Worker::start().run(|| KEY.set(1_000));
    assert_eq!(KEY.total(), Some(1_111));
}

/// Each exit tries two values; one that no other can be merged with must not keep the others from it.
#[test]
fn one_value_that_cannot_be_merged_keeps_no_others_apart() {
    static ALIVE: AtomicU64 = AtomicU64::new(0);
    #[derive(Debug)]
    struct Counted(u64);
    impl Counted {
        fn new(n: u64) -> Self {
            ALIVE.fetch_add(1, Ordering::SeqCst);
            Self(n)
        }
    }
    impl Drop for Counted {
        fn drop(&mut self) {
            ALIVE.fetch_sub(1, Ordering::SeqCst);
        }
    }
    impl Clone for Counted {
        fn clone(&self) -> Self {
            Self::new(self.0)
        }
    }
    static ACCEPTS: AtomicBool = AtomicBool::new(false);
    static REFUSED: AtomicU64 = AtomicU64::new(0);
    static KEY: Key<Counted> = Key::new(NS, "one bad value").keep_total(|one, other| {
        let is_bad = one.0 == 666 || other.0 == 666;
        REFUSED.fetch_add(u64::from(is_bad), Ordering::SeqCst);
        assert!(ACCEPTS.load(Ordering::SeqCst) || !is_bad, "expected");
        Counted::new(one.0 + other.0)
    });
    let mut values = vec![1; 50];
    values.insert(1, 666);
    values.insert(30, 666);
    for value in values {
        Worker::start().run(move || KEY.set(Counted::new(value)));
    }
    // At most the two, each with the value that its merge was tried with, and the sum of all others.
    let (left, refused) = (ALIVE.load(Ordering::SeqCst), REFUSED.load(Ordering::SeqCst));
    assert!((3..=6).contains(&left), "{left} values are left");
    assert!(refused <= 12, "of 52 exits {refused} met a bad value");
    assert!(panic::catch_unwind(|| KEY.total()).is_err(), "the total cannot merge it either, and says so");
    ACCEPTS.store(true, Ordering::SeqCst);
    assert_eq!(KEY.total().unwrap().0, 50 + 2 * 666);
}

/// The value is held by name when its exit begins, and a hook of that exit makes the first use of the key.
#[test]
fn a_value_whose_key_is_first_used_during_its_exit_is_the_keys() {
    static HOOKS: AtomicU64 = AtomicU64::new(0);
    static BY_HOOK: Key<u64> = Key::new(NS, "first used in a context's exit hook")
        .keep_total(add)
        .on_exit(|_| _ = HOOKS.fetch_add(1, Ordering::SeqCst));
    static BY_DROP: Key<u64> = Key::new(NS, "first used in a drop at the exit")
        .keep_total(add)
        .on_exit(|_| _ = HOOKS.fetch_add(1, Ordering::SeqCst));

    struct UsesTheKey(std::sync::mpsc::Sender<Option<u64>>);
    impl Drop for UsesTheKey {
        fn drop(&mut self) {
            self.0.send(BY_DROP.total()).unwrap();
        }
    }

    let (send, totals) = std::sync::mpsc::channel();
    Worker::start().run(move || {
        let ctx = threadctx::get_thread_ctx();
        let names = ctx.namespace(NS);
        names.insert_opaque("first used in a context's exit hook", 5_u64).unwrap();
        names.insert_opaque("first used in a drop at the exit", 7_u64).unwrap();
        // It is the newest, and so the first to end.
        names.insert_opaque("ends first", UsesTheKey(send.clone())).unwrap();
        ctx.on_exit(move |_| send.send(BY_HOOK.total()).unwrap());
    });
    assert_eq!(totals.iter().take(2).collect::<Vec<_>>(), [Some(5), Some(7)]);
    assert_eq!((BY_HOOK.total(), BY_DROP.total()), (Some(5), Some(7)), "no total goes backwards");
    assert_eq!(HOOKS.load(Ordering::SeqCst), 2, "each key's hook ran once");
}

#[test]
fn a_merge_that_waits_holds_up_no_other_exit_and_no_total() {
    // The merge of an exiting thread waits until another thread with the same key has exited and was counted.
    static WAITS: AtomicBool = AtomicBool::new(false);
    static GATE: std::sync::LazyLock<Barrier> = std::sync::LazyLock::new(|| Barrier::new(2));
    static KEY: Key<u64> = Key::new(NS, "merge waits").keep_total(|one, other| {
        if WAITS.swap(false, Ordering::SeqCst) {
            GATE.wait();
            GATE.wait();
        }
        one + other
    });
    within_a_minute(|| {
        Worker::start().run(|| KEY.set(1));
        WAITS.store(true, Ordering::SeqCst);
        let waiting = Worker::start();
        waiting.run(|| KEY.set(10));
        let waiting = thread::spawn(|| waiting.end());
        GATE.wait();
        Worker::start().run(|| KEY.set(100));
        assert_eq!(KEY.total(), Some(111));
        GATE.wait();
        waiting.join().unwrap();
        assert_eq!(KEY.total(), Some(111));
    });
}

#[test]
fn values_that_are_kept_are_merged_as_threads_go_and_do_not_pile_up() {
    static ALIVE: AtomicU64 = AtomicU64::new(0);
    #[derive(Debug)]
    struct Counted(u64);
    impl Counted {
        fn new(n: u64) -> Self {
            ALIVE.fetch_add(1, Ordering::SeqCst);
            Self(n)
        }
    }
    impl Clone for Counted {
        fn clone(&self) -> Self {
            Self::new(self.0)
        }
    }
    impl Drop for Counted {
        fn drop(&mut self) {
            ALIVE.fetch_sub(1, Ordering::SeqCst);
        }
    }
    static KEY: Key<Counted> = Key::new(NS, "pile").keep_total(|one, other| Counted::new(one.0 + other.0));
    for _ in 0..100 {
        Worker::start().run(|| KEY.set(Counted::new(1)));
    }
    assert_eq!(ALIVE.load(Ordering::SeqCst), 1, "one value stands for all of them");
    assert_eq!(KEY.total().unwrap().0, 100);
    assert_eq!(ALIVE.load(Ordering::SeqCst), 1);
}

#[test]
fn a_reader_that_holds_an_exited_contexts_value_changes_no_total() {
    static KEY: Key<u64> = Key::new(NS, "held").keep_total(add);
    let worker = Worker::start();
    worker.run(|| KEY.set(7));
    let kept: Arc<u64> = KEY.get_in(&worker.handle()).unwrap();
    worker.end();
    Worker::start().run(|| KEY.set(3));
    assert_eq!((*kept, KEY.total()), (7, Some(10)));
}
