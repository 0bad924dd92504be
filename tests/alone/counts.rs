//! `stats()` to the last one.

use std::{panic, sync::Arc, thread};

use threadctx::{
    FutureExt, Key, Snapshot, Stats, exit_thread_ctx, get_thread_ctx, on_thread_exit, on_thread_start, stats,
};

use crate::{
    alone,
    support::{executor::block_on, last::after_the_exit},
};

/// What `code`, run on a thread of its own, adds to the figures.
fn added(code: impl FnOnce() + Send + 'static) -> Stats {
    let before = stats();
    thread::spawn(code).join().unwrap();
    let after = stats();
    assert_eq!((before.live, after.live), (0, 0));
    let mut added = Stats::default();
    added.registered = after.registered - before.registered;
    added.exited = after.exited - before.exited;
    added.hook_panics = after.hook_panics - before.hook_panics;
    added.drop_panics = after.drop_panics - before.drop_panics;
    added.refused = after.refused - before.refused;
    added.hooks_refused = after.hooks_refused - before.hooks_refused;
    added.scopes_misplaced = after.scopes_misplaced - before.scopes_misplaced;
    added.scopes_out_of_order = after.scopes_out_of_order - before.scopes_out_of_order;
    added.updates_lost = after.updates_lost - before.updates_lost;
    added.left_over = after.left_over - before.left_over;
    added
}

/// One thread that came and went.
fn one_life() -> Stats {
    one_life_and(|_| ())
}

fn one_life_and(more: impl FnOnce(&mut Stats)) -> Stats {
    let mut stats = Stats::default();
    (stats.registered, stats.exited) = (1, 1);
    more(&mut stats);
    stats
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("expected");
    }
}

#[test]
fn a_thread_that_touches_nothing_counts_for_nothing() {
    static KEY: Key<u8> = Key::new("counts", "nothing");
    alone(|| {
        assert_eq!(added(|| ()), Stats::default());
        assert_eq!(added(|| _ = (KEY.get(), KEY.take(), exit_thread_ctx())), Stats::default());
        assert_eq!(added(|| KEY.set(1)), one_life());
    });
}

#[test]
fn each_panic_in_a_hook_is_counted_once() {
    static KEY: Key<u8> = Key::new("counts", "hook").on_exit(|_| panic!("expected"));
    alone(|| {
        let _hooks = [on_thread_start(|_| panic!("expected")), on_thread_exit(|_| panic!("expected"))];
        let added = added(|| {
            KEY.set(1);
            get_thread_ctx().on_exit(|_| panic!("expected"));
        });
        assert_eq!(added, one_life_and(|stats| stats.hook_panics = 4));
    });
}

#[test]
fn each_panic_in_a_drop_at_exit_is_counted_once() {
    static KEY: Key<Bomb> = Key::new("counts", "drop");
    static BORROWED: Key<Bomb> = Key::new("counts", "borrowed drop");
    alone(|| {
        let at_exit = added(|| {
            KEY.set(Bomb);
            get_thread_ctx().namespace("counts").insert_opaque("name", Bomb).unwrap();
        });
        assert_eq!(at_exit, one_life_and(|stats| stats.drop_panics = 2));
        let after_a_borrow = added(|| {
            BORROWED.set(Bomb);
            BORROWED.with(|_| assert!(exit_thread_ctx()));
        });
        assert_eq!(after_a_borrow, one_life_and(|stats| stats.drop_panics = 1));
    });
}

#[test]
fn what_comes_after_the_exit_is_counted() {
    static KEY: Key<u8> = Key::new("counts", "gone");
    alone(|| {
        let added = added(|| {
            after_the_exit(|| {
                KEY.set(1);
                KEY.set(2);
                assert!(KEY.try_set(3).is_err(), "handed back, and so not counted");
                get_thread_ctx().on_exit(|_| unreachable!());
            });
        });
        assert_eq!(added, one_life_and(|stats| (stats.refused, stats.hooks_refused) = (2, 1)));
    });
}

#[test]
fn a_scope_that_ends_after_its_context_is_counted() {
    static KEY: Key<u8> = Key::new("counts", "misplaced");
    alone(|| {
        let added = added(|| {
            let one = KEY.enter(1);
            KEY.scope(2, || assert!(exit_thread_ctx()));
            drop(one);
            KEY.scope(3, || ());
        });
        assert_eq!(
            added,
            one_life_and(|stats| (stats.scopes_misplaced, stats.registered, stats.exited) = (2, 2, 2))
        );
    });
}

#[test]
fn what_is_written_inside_an_update_of_its_key_and_lost_is_counted_once_for_each_update_that_wins() {
    static KEY: Key<u8> = Key::new("counts", "update").init(|| 0);
    static OTHER: Key<u8> = Key::new("counts", "update: other").init(|| 0);
    fn lost(number: u64, code: impl Fn(&mut u8) + Send + 'static) {
        let added = added(move || _ = KEY.update(|value| code(value)));
        assert_eq!(added, one_life_and(|stats| stats.updates_lost = number));
    }
    alone(|| {
        lost(1, |_| _ = KEY.update(|inner| *inner += 1));
        lost(1, |_| _ = (KEY.get(), KEY.update(|inner| *inner += 1)));
        lost(1, |_| (0..5).for_each(|n| KEY.set(n)));
        lost(1, |_| _ = KEY.replace(1));
        lost(2, |_| _ = KEY.update(|_| KEY.update(|inner| *inner += 1)));
        lost(1, |_| _ = OTHER.update(|_| KEY.update(|inner| *inner += 1)));
        lost(1, |_| _ = KEY.with(|_| KEY.update(|inner| *inner += 1)));
        lost(0, |outer| *outer += 1);
        lost(0, |_| _ = (KEY.get(), KEY.cloned(), KEY.with(|_| ())));
        lost(0, |_| _ = OTHER.update(|other| *other += 1));
        lost(0, |_| KEY.scope(7, || _ = KEY.update(|inner| *inner += 1)));
        lost(0, |_| _ = KEY.take());
        lost(0, |_| _ = panic::catch_unwind(|| KEY.update(|_| panic!("expected"))));
        lost(0, |_| _ = std::thread::spawn(|| ()).join());
    });
}

#[test]
fn the_values_that_snapshots_hold_are_counted_for_as_long_as_they_do() {
    static ONE: Key<Arc<()>> = Key::new("counts", "snapshot: one").inherit();
    static TWO: Key<u8> = Key::new("counts", "snapshot: two").inherit();
    static STAYS: Key<u8> = Key::new("counts", "snapshot: stays");
    fn held() -> u64 {
        stats().snapshot_values
    }
    alone(|| {
        let value = Arc::new(());
        let given = Arc::clone(&value);
        let taken = thread::spawn(move || {
            ONE.set(given);
            TWO.set(1);
            STAYS.set(1);
            Snapshot::capture()
        });
        let taken = taken.join().unwrap();
        assert_eq!((stats().live, Arc::strong_count(&value), held()), (0, 2, 2), "it outlives its thread");
        let again = taken.run(|| ((TWO.take(), Snapshot::capture()).1, held()));
        assert_eq!(again.1, 3, "of two snapshots each counts");
        drop(again);
        let copy = taken.clone();
        assert_eq!((held(), copy.run(held), copy.wrap(held)()), (2, 2, 2), "of a clone nothing");
        assert_eq!(held(), 2, "the last clone is left");
        drop(taken);
        assert_eq!((held(), Arc::strong_count(&value)), (0, 1));
        assert_eq!((Snapshot::capture().is_empty(), held()), (true, 0));

        TWO.set(1);
        let task = async { held() }.in_context();
        assert_eq!((held(), block_on(task)), (0, 0), "what a task begins with is its own");
        assert_eq!(threadctx::spawn(held).join().unwrap(), 0);
        let shared = Snapshot::capture();
        let task = async { held() }.in_context_of(shared.clone());
        assert_eq!((held(), block_on(task), held()), (1, 1, 1));
        drop(shared);
        assert_eq!(held(), 0);
    });
}

#[test]
fn the_values_of_a_snapshot_count_no_more_after_a_panic_in_its_drop_or_in_its_job() {
    static BOMB: Key<Bomb> = Key::new("counts", "snapshot: bomb").inherit();
    static OTHER: Key<u8> = Key::new("counts", "snapshot: other").inherit();
    alone(|| {
        let taken = BOMB.scope(Bomb, || OTHER.scope(1, Snapshot::capture));
        assert_eq!(stats().snapshot_values, 2);
        drop(taken);
        assert_eq!(stats().snapshot_values, 0);
        let job = OTHER.scope(1, Snapshot::capture).wrap(|| panic!("expected"));
        assert_eq!(stats().snapshot_values, 1);
        assert!(panic::catch_unwind(panic::AssertUnwindSafe(job)).is_err());
        assert_eq!(stats().snapshot_values, 0);
    });
}

#[test]
fn a_key_that_comes_back_for_ever_is_stopped_after_eight_rounds_and_counted() {
    static KEY: Key<Again> = Key::new("counts", "again").on_exit(|again| again.tell("hook"));
    struct Again(Option<std::sync::mpsc::Sender<&'static str>>);
    impl Again {
        fn tell(&self, what: &'static str) {
            self.0.iter().for_each(|to| to.send(what).unwrap());
        }
    }
    impl Drop for Again {
        fn drop(&mut self) {
            self.tell("drop");
            // What is left over drops when nothing can be set any more; it comes back here with nobody to tell.
            let again = self.0.take().map(|to| KEY.try_set(Self(Some(to))));
            _ = again.map(|tried| tried.map_err(|refused| refused.into_value().0.take()));
        }
    }
    alone(|| {
        let (tell, told) = std::sync::mpsc::channel();
        let given = tell.clone();
        let added = added(move || KEY.set(Again(Some(given))));
        drop(tell);
        let seen: Vec<_> = told.try_iter().collect();
        let rounds = [["hook", "drop"]; 8].concat();
        assert_eq!(
            seen,
            [&*rounds, &["drop"]].concat(),
            "eight rounds, and what was left is dropped without its hook"
        );
        assert_eq!(added, one_life_and(|stats| stats.left_over = 1));
    });
}

#[test]
fn hooks_that_come_back_for_ever_are_stopped_after_eight_rounds_and_counted() {
    fn again(tell: std::sync::mpsc::Sender<()>) {
        get_thread_ctx().on_exit(move |_| {
            tell.send(()).unwrap();
            again(tell);
        });
    }
    alone(|| {
        let (tell, told) = std::sync::mpsc::channel();
        let added = added(move || again(tell));
        assert_eq!(told.iter().count(), 8);
        assert_eq!(added, one_life_and(|stats| stats.left_over = 1));
    });
}

#[test]
fn hooks_that_are_left_over_and_panic_as_they_drop_are_contained_each() {
    fn again(_bomb: Bomb) {
        get_thread_ctx().on_exit(|_| again(_bomb));
    }
    alone(|| {
        let added = added(|| (0..2).for_each(|_| again(Bomb)));
        assert_eq!(added, one_life_and(|stats| (stats.left_over, stats.drop_panics) = (2, 2)));
    });
}

#[test]
fn a_value_that_its_own_hook_takes_out_and_that_panics_as_it_drops_is_contained() {
    static KEY: Key<Bomb> = Key::new("counts", "taken by its hook").on_exit(|_| drop(KEY.take()));
    static OLDER: Key<Bomb> = Key::new("counts", "older than it");
    alone(|| {
        let added = added(|| (OLDER.set(Bomb), KEY.set(Bomb)).0);
        assert_eq!(added, one_life_and(|stats| stats.drop_panics = 2));
    });
}

#[test]
fn what_is_created_in_the_last_round_but_one_is_still_cleaned() {
    static KEY: Key<Countdown> = Key::new("counts", "countdown");
    struct Countdown(u8);
    impl Drop for Countdown {
        fn drop(&mut self) {
            if self.0 > 0 {
                KEY.set(Self(self.0 - 1));
            }
        }
    }
    // The value drops in the first round, and seven more come after it.
    alone(|| assert_eq!(added(|| KEY.set(Countdown(7))), one_life()));
}

#[test]
fn a_panic_outside_of_hooks_and_exits_is_the_callers_and_not_counted() {
    static KEY: Key<Bomb> = Key::new("counts", "callers own");
    alone(|| {
        let added = added(|| {
            KEY.set(Bomb);
            let displaced = KEY.take();
            assert!(panic::catch_unwind(panic::AssertUnwindSafe(|| drop(displaced))).is_err());
        });
        assert_eq!(added, one_life());
    });
}
