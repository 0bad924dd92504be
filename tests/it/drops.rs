//! Promise 4: every value is dropped exactly once, at the latest when its thread exits.

use std::{
    panic::{self, AssertUnwindSafe},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
};

use threadctx::{ContextRef, Key, State, context, contexts, exit_thread_ctx, get_thread_ctx};

use crate::support::{
    tracked::{Drops, Tracked},
    watchdog::within_a_minute,
    worker::Worker,
};

#[test]
fn what_threads_in_turn_leave_behind_is_dead_after_their_join() {
    static KEY: Key<Vec<u8>> = Key::new("drops", "in turn");
    for threads in [20, 50, 100] {
        let (mut left, mut contexts_left) = (Vec::<Weak<Vec<u8>>>::new(), Vec::new());
        for _ in 0..threads {
            let thread = thread::spawn(|| {
                KEY.set(vec![0; 100]);
                let by_name = Arc::new(vec![0; 100]);
                let namespace = get_thread_ctx().namespace("drops");
                namespace.insert("by name", Arc::clone(&by_name)).unwrap();
                let weak = [Arc::downgrade(&KEY.get().unwrap()), Arc::downgrade(&by_name)];
                (weak, get_thread_ctx().handle())
            });
            let (weak, context) = thread.join().unwrap();
            left.extend(weak);
            contexts_left.push(context);
        }
        assert!(left.iter().all(|weak| weak.upgrade().is_none()));
        // Nor does looking revive anything.
        for over in &contexts_left {
            assert_eq!(over.state(), State::Exited);
            assert!(KEY.get_in(over).is_none());
            assert!(over.namespace("drops").names().is_empty());
            assert!(context(over.ident()).is_none());
            assert!(contexts().iter().all(|live| live.ident() != over.ident()));
        }
    }
}

#[test]
fn values_drop_at_exit_though_somebody_still_holds_the_join_handle_the_thread_and_the_context() {
    struct Tells(mpsc::Sender<Weak<()>>, Arc<()>);
    impl Drop for Tells {
        fn drop(&mut self) {
            self.0.send(Arc::downgrade(&self.1)).unwrap();
        }
    }
    static KEY: Key<Tells> = Key::new("drops", "held");
    let (tell, told) = mpsc::channel();
    let (give, given) = mpsc::channel();
    let handle = thread::spawn(move || {
        KEY.set(Tells(tell, Arc::new(())));
        give.send(get_thread_ctx().handle()).unwrap();
    });
    let (thread, context) = (handle.thread().clone(), given.recv().unwrap());
    within_a_minute(move || drop(told.recv().unwrap()));
    handle.join().unwrap();
    assert!(KEY.get_in(&context).is_none());
    drop(thread);
}

#[test]
fn a_value_drops_on_the_thread_that_had_it() {
    static KEY: Key<Tracked> = Key::new("drops", "where");
    let drops = Drops::default();
    let value = drops.value(0);
    let thread = thread::spawn(move || KEY.set(value));
    let id = thread.thread().id();
    thread.join().unwrap();
    assert_eq!((drops.numbers(), drops.threads()), (vec![0], vec![id]));
}

#[test]
fn a_value_that_a_reader_holds_drops_when_the_reader_lets_go() {
    static KEY: Key<Tracked> = Key::new("drops", "reader");
    let drops = Drops::default();
    let worker = Worker::start();
    let value = drops.value(0);
    worker.run(|| KEY.set(value));
    let kept = KEY.get_in(&worker.handle()).unwrap();
    worker.end();
    assert_eq!(kept.number, 0);
    assert!(drops.numbers().is_empty());
    drop(kept);
    assert_eq!(drops.threads(), [thread::current().id()]);
}

#[test]
fn a_value_that_holds_its_own_context_does_not_keep_it_alive() {
    struct Cycle {
        _own: ContextRef,
        _alive: Arc<()>,
    }
    static KEY: Key<Cycle> = Key::new("drops", "cycle");
    let alive = Arc::new(());
    let (weak, also) = (Arc::downgrade(&alive), Arc::clone(&alive));
    let id = thread::spawn(move || {
        let ctx = get_thread_ctx();
        KEY.set(Cycle { _own: ctx.handle(), _alive: alive });
        ctx.namespace("drops").insert_opaque("cycle", Cycle { _own: ctx.handle(), _alive: also }).unwrap();
        ctx.on_exit({
            let own = ctx.handle();
            move |_| assert_eq!(own.state(), State::Exiting)
        });
        thread::current().id()
    })
    .join()
    .unwrap();
    assert!(weak.upgrade().is_none());
    assert!(context(id).is_none());
}

#[test]
fn a_detached_thread_leaves_nothing_behind() {
    static KEY: Key<Tells> = Key::new("drops", "detached");
    struct Tells(mpsc::Sender<ContextRef>);
    impl Drop for Tells {
        fn drop(&mut self) {
            self.0.send(get_thread_ctx().handle()).unwrap();
        }
    }
    let (tell, told) = mpsc::channel();
    drop(thread::spawn(move || KEY.set(Tells(tell))));
    let over = within_a_minute(move || told.recv().unwrap());
    // Its last value is dropped; what is left of the exit takes no time, but nobody can be asked to wait for it.
    within_a_minute(move || {
        while over.state() != State::Exited || context(over.ident()).is_some() {
            thread::yield_now();
        }
        assert!(KEY.get_in(&over).is_none());
    });
}

#[test]
fn every_way_out_drops_a_value_once() {
    static KEY: Key<Tracked> = Key::new("drops", "ways out");
    let drops = Drops::default();
    let numbers = std::cell::Cell::new(0);
    let next = || drops.value(numbers.replace(numbers.get() + 1));
    let namespace = || get_thread_ctx().namespace("drops");
    let ways: &[&dyn Fn()] = &[
        &|| KEY.set(next()),
        &|| drop(KEY.try_set(next())),
        &|| drop(KEY.replace(next())),
        &|| drop((KEY.get(), KEY.replace(next()))),
        &|| drop(KEY.take()),
        &|| drop(KEY.get_or_init(&next)),
        &|| drop(KEY.get_or_init(&next)),
        &|| KEY.scope(next(), || KEY.set(next())),
        &|| KEY.scope(next(), || drop(KEY.take())),
        &|| _ = KEY.with(|_| KEY.set(next())),
        &|| _ = KEY.with(|_| drop((KEY.take(), KEY.set(next()), KEY.get()))),
        &|| drop(namespace().insert("ways out", next()).unwrap()),
        &|| drop(namespace().insert("name", next()).unwrap()),
        &|| drop(namespace().insert_opaque("name", next()).unwrap()),
        &|| drop(namespace().get_or_insert_with("name", next).unwrap()),
        &|| drop(namespace().insert("a number", 1).unwrap()),
        &|| drop(namespace().insert("a number", next()).unwrap_err()),
        &|| drop(namespace().insert("a number", next()).unwrap_err().into_value()),
        &|| _ = namespace().remove("name"),
        &|| _ = namespace().remove("ways out"),
        &|| drop(KEY.replace(next())),
        &|| drop(namespace().insert("name", next()).unwrap()),
        &|| namespace().clear(),
        &|| KEY.set(next()),
        &|| get_thread_ctx().clear(),
        &|| KEY.set(next()),
        &|| _ = exit_thread_ctx(),
        &|| {
            KEY.set(next());
            let unwound = panic::catch_unwind(AssertUnwindSafe(|| {
                KEY.scope(next(), || {
                    KEY.set(next());
                    panic!("expected");
                });
            }));
            assert!(unwound.is_err());
        },
        &|| _ = KEY.with(|_| _ = (KEY.set(next()), exit_thread_ctx())),
        &|| KEY.set(next()),
    ];
    ways.iter().for_each(|way| way());
    exit_thread_ctx();
    drops.assert_each_once(numbers.get());
}

#[test]
fn an_update_drops_the_former_value_once_and_its_clone_when_that_panics() {
    static KEY: Key<Tracked> = Key::new("drops", "update");
    let drops = Drops::default();
    KEY.set(drops.value(0));
    assert_eq!(KEY.update(|clone| clone.number = 1), Some(()));
    assert_eq!(drops.numbers(), [0]);
    let update = || {
        KEY.update(|clone| {
            clone.number = 2;
            panic!("expected");
        })
    };
    assert!(panic::catch_unwind(AssertUnwindSafe(update)).is_err());
    assert_eq!(drops.numbers(), [0, 2]);
    drop(KEY.take());
    assert_eq!(drops.numbers(), [0, 2, 1]);
}

#[test]
fn every_value_drops_once_while_readers_come_and_go() {
    static KEY: Key<Tracked> = Key::new("drops", "storm");
    within_a_minute(|| {
        const VALUES: u64 = 4_000;
        let drops = Drops::default();
        let done = &AtomicBool::new(false);
        let (give, given) = mpsc::channel();
        let values = drops.clone();
        let owner = thread::spawn(move || {
            KEY.set(values.value(0));
            give.send(get_thread_ctx().handle()).unwrap();
            for n in 1..VALUES {
                match n % 4 {
                    0 => drop(KEY.replace(values.value(n))),
                    1 => drop(KEY.with(|_| KEY.set(values.value(n)))),
                    2 => drop((KEY.take(), KEY.set(values.value(n)))),
                    _ => KEY.set(values.value(n)),
                }
            }
        });
        let context = &given.recv().unwrap();
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(move || {
                    let mut kept = Vec::new();
                    while !done.load(Ordering::Relaxed) {
                        kept.extend(KEY.get_in(context));
                        kept.truncate(20);
                    }
                });
            }
            owner.join().unwrap();
            done.store(true, Ordering::Relaxed);
        });
        drops.assert_each_once(VALUES);
    });
}

#[test]
fn what_writes_displaced_during_a_borrow_drops_as_the_last_borrow_of_it_ends() {
    static KEY: Key<Tracked> = Key::new("drops", "borrowed");
    let drops = Drops::default();
    let worker = Worker::start();
    worker.run(move || {
        KEY.set(drops.value(0));
        KEY.with(|outer| {
            KEY.set(drops.value(1));
            KEY.with(|inner| {
                KEY.set(drops.value(2));
                assert_eq!((outer.number, inner.number), (0, 1));
            });
            assert_eq!(drops.numbers(), [1], "the outer value is still borrowed");
        });
        drops.assert_each_once(2);
        drop(KEY.take());
        drops.assert_each_once(3);
    });
}

#[test]
fn of_many_writes_during_a_borrow_only_what_is_borrowed_stays() {
    static KEY: Key<Tracked> = Key::new("drops", "written again and again");
    let drops = Drops::default();
    Worker::start().run(move || {
        KEY.set(drops.value(0));
        KEY.with(|first| {
            (1..=100).for_each(|n| KEY.set(drops.value(n)));
            assert_eq!((first.number, drops.numbers()), (0, (1..100).collect()));
        });
        drop(KEY.take());
        drops.assert_each_once(101);
    });
}

#[test]
fn of_many_updates_during_a_borrow_only_what_is_borrowed_stays() {
    static KEY: Key<Tracked> = Key::new("drops", "read and written again and again");
    let drops = Drops::default();
    Worker::start().run(move || {
        KEY.set(drops.value(0));
        KEY.with(|first| {
            for n in 1..=100 {
                let before = KEY.with(|value| value.number);
                assert_eq!(before, Some(n - 1));
                // A borrow of the present value, inside which it is replaced, and one more.
                KEY.with(|_| KEY.with(|_| KEY.set(drops.value(n))));
            }
            // Each value was replaced while it was borrowed, and kept no longer than that.
            assert_eq!((first.number, drops.numbers()), (0, (1..100).collect()));
        });
        drop(KEY.take());
        drops.assert_each_once(101);
    });
    let drops = Drops::default();
    Worker::start().run(move || {
        KEY.set(drops.value(0));
        KEY.with(|first| {
            for n in 1..=100 {
                assert_eq!(KEY.with(|value| value.number), Some(n - 1));
                KEY.set(drops.value(n));
            }
            assert_eq!((first.number, drops.numbers()), (0, (1..100).collect()));
        });
        drop(KEY.take());
        drops.assert_each_once(101);
    });
}
