//! Promise 9: scopes restore exactly what was there. (That guards stay on their thread is in `tests/compile_fail`.)

use std::panic::{self, AssertUnwindSafe};

use threadctx::{Key, get_thread_ctx};

use crate::support::{
    tracked::{Drops, Tracked},
    worker::Worker,
};

const NS: &str = "scopes";

#[test]
fn a_scope_shows_its_value_inside_and_gives_the_closures_result() {
    static KEY: Key<u8> = Key::new(NS, "result");
    KEY.set(1);
    assert_eq!(KEY.scope(2, || (KEY.cloned(), "result")), (Some(2), "result"));
    assert_eq!(KEY.cloned(), Some(1));
}

#[test]
fn nested_scopes_restore_each_its_own_before() {
    static KEY: Key<u8> = Key::new(NS, "nested");
    KEY.set(0);
    KEY.scope(1, || {
        KEY.scope(2, || {
            KEY.scope(3, || assert_eq!(KEY.cloned(), Some(3)));
            assert_eq!(KEY.cloned(), Some(2));
        });
        assert_eq!(KEY.cloned(), Some(1));
    });
    assert_eq!(KEY.cloned(), Some(0));
}

#[test]
fn absent_is_restored_as_absent() {
    static KEY: Key<u8> = Key::new(NS, "absent");
    KEY.scope(1, || assert_eq!(KEY.cloned(), Some(1)));
    assert_eq!(KEY.get(), None);
    assert!(!get_thread_ctx().namespace(NS).contains("absent"));
}

#[test]
fn absent_is_restored_as_absent_though_the_key_could_make_a_value() {
    static KEY: Key<u8> = Key::new(NS, "absent but can make").init(|| 9);
    KEY.scope(1, || ());
    assert!(!get_thread_ctx().namespace(NS).contains("absent but can make"));
    assert_eq!(KEY.cloned(), Some(9));
}

#[test]
fn whatever_is_done_inside_the_value_on_leaving_is_the_one_at_entering() {
    static KEY: Key<Tracked> = Key::new(NS, "inside");
    let drops = &Drops::default();
    KEY.set(drops.value(0));
    let before = KEY.get().unwrap();
    let inside: &[&dyn Fn()] = &[
        &|| KEY.set(drops.value(1)),
        &|| drop(KEY.replace(drops.value(1))),
        &|| drop(KEY.take()),
        &|| _ = KEY.update(|value| value.number = 1),
        &|| drop((KEY.take(), KEY.get_or_init(|| drops.value(1)))),
        &|| get_thread_ctx().clear(),
        &|| get_thread_ctx().namespace(NS).clear(),
        &|| _ = get_thread_ctx().namespace(NS).remove("inside"),
        &|| drop(get_thread_ctx().namespace(NS).insert("inside", drops.value(1)).unwrap()),
        &|| _ = KEY.with(|_| KEY.set(drops.value(1))),
    ];
    for action in inside {
        KEY.scope(drops.value(2), action);
        let after = KEY.get().unwrap();
        assert!(std::sync::Arc::ptr_eq(&before, &after), "the very same value");
    }
    // The number 0 is alive; what was put in inside is not.
    assert!(!drops.numbers().contains(&0));
    assert_eq!(drops.numbers().iter().filter(|number| **number == 2).count(), inside.len());
}

#[test]
fn a_value_set_inside_is_dropped_at_the_end() {
    static KEY: Key<Tracked> = Key::new(NS, "dropped");
    let drops = Drops::default();
    KEY.scope(drops.value(0), || {
        KEY.set(drops.value(1));
        assert_eq!(drops.numbers(), [0]);
    });
    assert_eq!(drops.numbers(), [0, 1]);
}

#[test]
fn a_panic_is_passed_through_with_its_payload_and_what_was_there_is_restored() {
    static KEY: Key<u8> = Key::new(NS, "panic");
    for before in [None, Some(1)] {
        before.into_iter().for_each(|value| KEY.set(value));
        let unwound = panic::catch_unwind(|| KEY.scope(2, || panic::panic_any(77_u64)));
        assert_eq!(*unwound.unwrap_err().downcast::<u64>().unwrap(), 77);
        assert_eq!(KEY.cloned(), before);
    }
}

#[test]
fn a_panic_through_many_scopes_restores_them_all() {
    static ONE: Key<u8> = Key::new(NS, "many 1");
    static TWO: Key<u8> = Key::new(NS, "many 2");
    ONE.set(1);
    let unwound = panic::catch_unwind(|| {
        ONE.scope(2, || {
            let _two = TWO.enter(3);
            ONE.scope(4, || panic!("expected"))
        })
    });
    assert!(unwound.is_err());
    assert_eq!((ONE.cloned(), TWO.cloned()), (Some(1), None));
}

#[test]
fn an_early_return_restores() {
    static KEY: Key<u8> = Key::new(NS, "early return");
    fn fails() -> Result<(), std::num::ParseIntError> {
        let _scope = KEY.enter(1);
        KEY.set("many".parse()?);
        Ok(())
    }
    KEY.set(0);
    assert!(fails().is_err());
    assert_eq!(KEY.cloned(), Some(0));
}

#[test]
fn guards_dropped_out_of_order_restore_each_its_own_before() {
    static KEY: Key<u8> = Key::new(NS, "out of order");
    KEY.set(0);
    let (one, two, three) = (KEY.enter(1), KEY.enter(2), KEY.enter(3));
    drop(two);
    assert_eq!(KEY.cloned(), Some(1));
    drop(one);
    assert_eq!(KEY.cloned(), Some(0));
    drop(three);
    assert_eq!(KEY.cloned(), Some(2));
}

#[test]
fn scopes_of_several_keys_restore_their_own_and_a_key_that_others_set_survives() {
    static ONE: Key<u8> = Key::new(NS, "own 1");
    static TWO: Key<u8> = Key::new(NS, "own 2");
    static OTHER: Key<u8> = Key::new(NS, "other");
    ONE.set(1);
    {
        let _one = ONE.enter(10);
        let _two = TWO.enter(20);
        OTHER.set(30);
        get_thread_ctx().namespace(NS).insert("a name", 40).unwrap();
        assert_eq!((ONE.cloned(), TWO.cloned()), (Some(10), Some(20)));
    }
    assert_eq!((ONE.cloned(), TWO.cloned(), OTHER.cloned()), (Some(1), None, Some(30)));
    assert!(get_thread_ctx().namespace(NS).contains("a name"));
}

#[test]
fn a_scope_is_seen_by_others_while_it_lasts() {
    static KEY: Key<u8> = Key::new(NS, "others");
    let worker = Worker::start();
    worker.run(|| KEY.set(1));
    let context = worker.handle();
    worker.run({
        let context = context.clone();
        move || {
            KEY.scope(2, || {
                let seen = std::thread::spawn(move || KEY.get_in(&context)).join().unwrap();
                assert_eq!(seen.as_deref(), Some(&2));
            });
        }
    });
    assert_eq!(KEY.get_in(&context).as_deref(), Some(&1));
}

#[test]
fn a_scope_leaves_what_was_borrowed_as_it_is() {
    static KEY: Key<u8> = Key::new(NS, "borrowed");
    KEY.set(1);
    KEY.with(|outer| {
        KEY.scope(2, || {
            KEY.with(|inner| assert_eq!((*outer, *inner), (1, 2)));
        });
        assert_eq!((*outer, KEY.cloned()), (1, Some(1)));
    });
}

#[test]
fn a_value_whose_drop_reads_its_key_during_the_end_of_a_scope_sees_what_was_restored() {
    static KEY: Key<Reads> = Key::new(NS, "reads in drop");
    struct Reads(u8, std::sync::mpsc::Sender<(u8, Option<u8>)>);
    impl Drop for Reads {
        fn drop(&mut self) {
            // The one that is left at the thread's exit finds nobody listening.
            let _ = self.1.send((self.0, KEY.with(|reads| reads.0)));
        }
    }
    let (tell, told) = std::sync::mpsc::channel();
    KEY.set(Reads(1, tell.clone()));
    KEY.scope(Reads(2, tell.clone()), || ());
    assert_eq!(told.try_recv(), Ok((2, Some(1))));
}

#[test]
fn a_drop_that_panics_at_the_end_of_a_scope_takes_nothing_with_it() {
    static KEY: Key<Bomb> = Key::new(NS, "bomb");
    struct Bomb(u8);
    impl Drop for Bomb {
        fn drop(&mut self) {
            assert_ne!(self.0, 0, "expected");
        }
    }
    KEY.set(Bomb(1));
    // While another panic is on its way a second one would end the process.
    let unwound = panic::catch_unwind(AssertUnwindSafe(|| KEY.scope(Bomb(0), || panic!("on its way"))));
    assert_eq!(*unwound.unwrap_err().downcast::<&str>().unwrap(), "on its way");
    assert_eq!(KEY.with(|bomb| bomb.0), Some(1));
}

#[test]
fn a_pool_of_ten_workers_keeps_ten_jobs_each_apart() {
    static KEY: Key<(usize, usize)> = Key::new(NS, "pool");
    let workers: Vec<_> = (0..10).map(|_| Worker::start()).collect();
    let all = std::sync::Arc::new(std::sync::Barrier::new(10));
    std::thread::scope(|scope| {
        for (number, worker) in workers.iter().enumerate() {
            let all = std::sync::Arc::clone(&all);
            scope.spawn(move || {
                for job in 0..10 {
                    let all = std::sync::Arc::clone(&all);
                    worker.run(move || {
                        let _scope = KEY.enter((number, job));
                        // Everybody is in a job of its own at this moment.
                        all.wait();
                        assert_eq!(KEY.cloned(), Some((number, job)));
                    });
                    assert_eq!(worker.run(|| KEY.get()), None, "the next job starts clean");
                }
            });
        }
    });
}
