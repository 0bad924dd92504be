//! Promise 10, on threads: what is captured travels, and nothing else; where it was entered nothing is left of it.

use std::{
    panic::{self, AssertUnwindSafe},
    sync::{Arc, Barrier, mpsc},
    thread,
};

use threadctx::{Key, Snapshot, dump, exit_thread_ctx, get_thread_ctx, stats};

use crate::support::{
    last::after_the_exit,
    tracked::{Drops, Tracked},
    worker::Worker,
};

const NS: &str = "snapshots";

/// The JSON of this thread's value `name`, as a dump has it.
fn in_dump(name: &str) -> serde_json::Value {
    let dump: serde_json::Value = serde_json::from_str(&get_thread_ctx().handle().dump().to_json()).unwrap();
    let values = dump["contexts"][0]["values"].as_array().unwrap();
    values.iter().find(|value| value["name"] == name).cloned().unwrap_or_default()
}

#[test]
fn what_inherits_travels_and_what_does_not_stays() {
    static TRAVELS: Key<u8> = Key::new(NS, "travels").inherit();
    static STAYS: Key<u8> = Key::new(NS, "stays");
    TRAVELS.set(1);
    STAYS.set(2);
    get_thread_ctx().namespace(NS).insert("by name", 3).unwrap();
    let snapshot = Snapshot::capture();
    let seen = move || {
        let by_name = get_thread_ctx().namespace(NS).contains("by name");
        (TRAVELS.cloned(), STAYS.cloned(), by_name)
    };
    assert_eq!(Worker::start().run(move || snapshot.run(seen)), (Some(1), None, false));
}

#[test]
fn the_same_arc_travels() {
    static KEY: Key<String> = Key::new(NS, "same").inherit();
    KEY.set("value".to_owned());
    let snapshot = Snapshot::capture();
    let there = Worker::start().run(move || snapshot.run(|| KEY.get().unwrap()));
    assert!(Arc::ptr_eq(&there, &KEY.get().unwrap()));
}

#[test]
fn a_snapshot_never_changes_whatever_either_side_does() {
    static KEY: Key<u32> = Key::new(NS, "immutable").inherit();
    KEY.set(1);
    let snapshot = Snapshot::capture();
    KEY.set(2);
    snapshot.run(|| {
        assert_eq!(KEY.cloned(), Some(1));
        KEY.update(|value| *value += 10);
        assert_eq!(KEY.cloned(), Some(11));
    });
    assert_eq!(KEY.cloned(), Some(2));
    KEY.take();
    assert_eq!(snapshot.run(|| KEY.cloned()), Some(1));
    assert_eq!(KEY.cloned(), None);
}

#[test]
fn a_value_written_on_one_side_is_not_seen_on_the_other() {
    static KEY: Key<u32> = Key::new(NS, "sides").inherit();
    KEY.set(1);
    let snapshot = Snapshot::capture();
    let both = Barrier::new(2);
    thread::scope(|scope| {
        scope.spawn(|| {
            snapshot.run(|| {
                both.wait();
                KEY.set(2);
                both.wait();
                assert_eq!(KEY.cloned(), Some(2));
                both.wait();
            });
        });
        both.wait();
        both.wait();
        assert_eq!(KEY.cloned(), Some(1));
        KEY.set(3);
        both.wait();
    });
    assert_eq!(snapshot.run(|| KEY.cloned()), Some(1));
}

#[test]
fn a_warm_pool_thread_shows_the_snapshot_inside_and_its_own_after() {
    static BOTH: Key<u8> = Key::new(NS, "both").inherit();
    static THEIRS: Key<u8> = Key::new(NS, "theirs").inherit();
    static OURS: Key<u8> = Key::new(NS, "ours").inherit();
    static KEPT: Key<u8> = Key::new(NS, "kept");
    let pool = Worker::start();
    pool.run(|| (BOTH.set(10), THEIRS.set(11), KEPT.set(12)));
    BOTH.set(1);
    OURS.set(2);
    let snapshot = Snapshot::capture();
    let seen = || (BOTH.cloned(), THEIRS.cloned(), OURS.cloned(), KEPT.cloned());
    assert_eq!(pool.run(move || snapshot.run(seen)), (Some(1), None, Some(2), Some(12)));
    assert_eq!(pool.run(seen), (Some(10), Some(11), None, Some(12)));
}

#[test]
fn leaving_undoes_whatever_was_done_to_inheriting_keys_and_nothing_else() {
    static HAD: Key<u8> = Key::new(NS, "had").inherit();
    static LACKED: Key<u8> = Key::new(NS, "lacked").inherit();
    static MADE: Key<u8> = Key::new(NS, "made").inherit().init(|| 9);
    static OTHER: Key<u8> = Key::new(NS, "other");
    HAD.set(1);
    LACKED.take();
    OTHER.set(1);
    for snapshot in [Snapshot::capture(), Snapshot::default()] {
        let inside: &[&dyn Fn()] = &[
            &|| (HAD.set(5), LACKED.set(5)).0,
            &|| _ = (HAD.take(), LACKED.replace(5)),
            &|| _ = MADE.with(|made| assert_eq!(*made, 9)),
            &|| get_thread_ctx().clear(),
            &|| _ = get_thread_ctx().namespace(NS).insert("lacked", 7_u8).unwrap(),
        ];
        for code in inside {
            OTHER.set(1);
            snapshot.run(|| (code(), OTHER.set(2)));
            assert_eq!((HAD.cloned(), LACKED.cloned(), OTHER.cloned()), (Some(1), None, Some(2)));
            assert!(!get_thread_ctx().namespace(NS).contains("made"));
        }
    }
}

#[test]
fn a_key_first_used_inside_is_restored_too() {
    static KEY: Key<u8> = Key::new(NS, "first used inside").inherit();
    Snapshot::default().run(|| KEY.set(1));
    assert_eq!(KEY.cloned(), None);
}

#[test]
fn a_value_by_name_whose_key_comes_inside_is_not_lost() {
    static KEY: Key<u8> = Key::new(NS, "named before").inherit();
    get_thread_ctx().namespace(NS).insert("named before", 1_u8).unwrap();
    Snapshot::default().run(|| _ = KEY.get());
    assert_eq!(KEY.cloned(), Some(1));
}

#[test]
fn a_value_put_in_by_name_travels_if_its_key_does() {
    static KEY: Key<String> = Key::new(NS, "put by name").inherit();
    KEY.check().unwrap();
    get_thread_ctx().namespace(NS).insert("put by name", "value".to_owned()).unwrap();
    let snapshot = Snapshot::capture();
    assert_eq!(Worker::start().run(move || snapshot.run(|| KEY.cloned())).as_deref(), Some("value"));
}

#[test]
fn any_static_of_an_identity_may_say_that_it_travels() {
    static SILENT: Key<u8> = Key::new(NS, "two statics");
    static SAYS: Key<u8> = Key::new(NS, "two statics").inherit();
    SILENT.set(1);
    assert!(SAYS.check().is_ok());
    let snapshot = Snapshot::capture();
    assert_eq!(Worker::start().run(move || snapshot.run(|| SILENT.cloned())), Some(1));
}

#[test]
fn what_keeps_a_total_stays_whatever_another_static_says() {
    static COUNTS: Key<u64> = Key::new(NS, "total and travel").keep_total(|one, other| one + other);
    static SAYS: Key<u64> = Key::new(NS, "total and travel").inherit();
    COUNTS.set(1);
    SAYS.check().unwrap();
    threadctx::spawn(|| assert_eq!(COUNTS.cloned(), None)).join().unwrap();
    assert_eq!(Snapshot::default().run(|| COUNTS.cloned()), Some(1), "nor is it hidden");
    assert_eq!(COUNTS.total(), Some(1), "nothing is counted twice");
}

#[test]
fn an_empty_snapshot_entered_shows_nothing() {
    static KEY: Key<u8> = Key::new(NS, "empty").inherit();
    let empty = Worker::start().run(Snapshot::capture);
    assert!(empty.is_empty());
    KEY.set(1);
    assert!(!Snapshot::capture().is_empty());
    assert_eq!(empty.run(|| KEY.cloned()), None);
    assert_eq!(KEY.cloned(), Some(1));
}

#[test]
fn capturing_registers_nothing() {
    let worker = Worker::start();
    let id = worker.id();
    assert!(worker.run(Snapshot::capture).is_empty());
    assert!(threadctx::context(id).is_none());
}

#[test]
fn two_snapshots_on_one_pool_thread_do_not_mix() {
    static USER: Key<&str> = Key::new(NS, "mix: user").inherit();
    static ROLE: Key<&str> = Key::new(NS, "mix: role").inherit();
    let pool = Worker::start();
    let alice = USER.scope("alice", || ROLE.scope("admin", Snapshot::capture));
    let bob = USER.scope("bob", Snapshot::capture);
    let seen = || (USER.cloned(), ROLE.cloned());
    assert_eq!(pool.run(move || alice.run(seen)), (Some("alice"), Some("admin")));
    assert_eq!(pool.run(move || bob.run(seen)), (Some("bob"), None));
    assert_eq!(pool.run(seen), (None, None));
}

#[test]
fn a_wrapper_takes_its_snapshot_when_wrapping_not_when_running() {
    static KEY: Key<u8> = Key::new(NS, "wrapper").inherit();
    KEY.set(1);
    let wrapped = Snapshot::capture().wrap(|| KEY.cloned());
    KEY.set(2);
    assert_eq!(wrapped(), Some(1));
    assert_eq!(KEY.cloned(), Some(2));
}

#[test]
fn run_where_it_was_taken_it_changes_nothing() {
    static KEY: Key<Tracked> = Key::new(NS, "same thread").inherit().secret();
    let drops = Drops::default();
    KEY.set(drops.value(0));
    let before = in_dump("same thread");
    let value = KEY.get().unwrap();
    Snapshot::capture().run(|| {
        assert!(Arc::ptr_eq(&value, &KEY.get().unwrap()));
        assert_eq!(in_dump("same thread")["inherited"], false);
    });
    assert!(Arc::ptr_eq(&value, &KEY.get().unwrap()));
    assert_eq!(in_dump("same thread")["writes"], before["writes"]);
    drop((KEY.take(), value));
    drops.assert_each_once(1);
}

#[test]
fn it_holds_its_values_strongly_and_lets_go_of_each_once() {
    static KEY: Key<Tracked> = Key::new(NS, "strong").inherit();
    let drops = Drops::default();
    KEY.set(drops.value(0));
    let snapshot = Snapshot::capture();
    KEY.take();
    assert!(drops.numbers().is_empty(), "the snapshot has it");
    let copy = snapshot.clone();
    drop(snapshot);
    assert_eq!(Worker::start().run(move || copy.run(|| KEY.with(|value| value.number))), Some(0));
    drops.assert_each_once(1);
}

#[test]
fn what_was_set_inside_drops_as_it_is_left() {
    static KEY: Key<Tracked> = Key::new(NS, "drops").inherit();
    let drops = Drops::default();
    KEY.set(drops.value(0));
    Snapshot::default().run(|| KEY.set(drops.value(1)));
    assert_eq!(drops.numbers(), [1]);
    KEY.take();
    drops.assert_each_once(2);
}

#[test]
fn a_panic_inside_passes_through_and_restores() {
    static KEY: Key<u8> = Key::new(NS, "panic").inherit();
    KEY.set(1);
    let result = panic::catch_unwind(|| {
        Snapshot::default().run(|| {
            KEY.set(2);
            panic::panic_any("payload");
        })
    });
    assert_eq!(result.unwrap_err().downcast_ref(), Some(&"payload"));
    assert_eq!(KEY.cloned(), Some(1));
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("expected");
    }
}

#[test]
fn values_that_panic_in_their_drop_are_contained_on_leaving_and_in_a_snapshot() {
    static ONE: Key<Bomb> = Key::new(NS, "bomb one").inherit();
    static TWO: Key<Bomb> = Key::new(NS, "bomb two").inherit();
    static AFTER: Key<Tracked> = Key::new(NS, "bomb: after").inherit();
    let (drops, before) = (Drops::default(), stats().drop_panics);
    let snapshot = Snapshot::default().run(|| {
        ONE.set(Bomb);
        TWO.set(Bomb);
        AFTER.set(drops.value(0));
        Snapshot::capture()
    });
    drop(snapshot);
    assert!(stats().drop_panics >= before + 2);
    let unwinding = AssertUnwindSafe(|| {
        Snapshot::default().run(|| {
            ONE.set(Bomb);
            TWO.set(Bomb);
            AFTER.set(drops.value(1));
            panic!("on the way, where a second panic would abort");
        })
    });
    assert!(panic::catch_unwind(unwinding).is_err());
    drops.assert_each_once(2);
}

/// Uses the crate in its drop, snapshots included.
struct Meddler(mpsc::Sender<Option<u8>>);

static MEDDLED: Key<u8> = Key::new(NS, "meddled").inherit();

impl Drop for Meddler {
    fn drop(&mut self) {
        let seen = MEDDLED.cloned();
        Snapshot::capture().run(|| MEDDLED.set(77));
        _ = self.0.send(seen);
    }
}

#[test]
fn a_value_whose_drop_uses_the_crate_finds_everything_put_back() {
    static KEY: Key<Meddler> = Key::new(NS, "meddler").inherit();
    let (send, seen) = mpsc::channel();
    MEDDLED.set(1);
    Snapshot::default().run(|| {
        MEDDLED.set(2);
        KEY.set(Meddler(send));
    });
    assert_eq!(seen.try_recv(), Ok(Some(1)));
    assert_eq!(MEDDLED.cloned(), Some(1));
}

#[test]
fn guards_dropped_out_of_order_each_put_back_their_own_before() {
    static KEY: Key<u8> = Key::new(NS, "order").inherit();
    KEY.set(0);
    let of = |value| KEY.scope(value, Snapshot::capture);
    let (one, two) = (of(1), of(2));
    let one = one.enter(); // before it: 0
    let two = two.enter(); // before it: 1
    assert_eq!(KEY.cloned(), Some(2));
    drop(one);
    assert_eq!(KEY.cloned(), Some(0));
    drop(two);
    assert_eq!(KEY.cloned(), Some(1));
}

#[test]
fn guards_of_keys_and_of_snapshots_nest() {
    static KEY: Key<u8> = Key::new(NS, "nest").inherit();
    KEY.set(0);
    KEY.scope(1, || {
        Snapshot::default().run(|| {
            assert_eq!(KEY.cloned(), None);
            KEY.scope(2, || Snapshot::capture().run(|| assert_eq!(KEY.cloned(), Some(2))));
            assert_eq!(KEY.cloned(), None);
        });
        assert_eq!(KEY.cloned(), Some(1));
    });
    assert_eq!(KEY.cloned(), Some(0));
}

#[test]
fn entering_inside_a_borrow_leaves_the_borrowed_value_alone() {
    static KEY: Key<String> = Key::new(NS, "borrow").inherit();
    KEY.set("mine".to_owned());
    KEY.with(|borrowed| {
        Snapshot::default().run(|| {
            KEY.set("other".to_owned());
            assert_eq!(borrowed, "mine");
        });
        assert_eq!(borrowed, "mine");
    });
    assert_eq!(KEY.cloned().as_deref(), Some("mine"));
}

#[test]
fn a_guard_that_outlives_its_context_touches_nothing_and_counts() {
    static KEY: Key<u8> = Key::new(NS, "misplaced").inherit();
    Worker::start().run(|| {
        KEY.set(1);
        let scope = Snapshot::default().enter();
        assert!(exit_thread_ctx());
        KEY.set(2);
        let misplaced = stats().scopes_misplaced;
        drop(scope);
        assert!(stats().scopes_misplaced > misplaced);
        assert_eq!(KEY.cloned(), Some(2));
    });
}

#[test]
fn after_the_exit_it_just_runs_the_closure() {
    static KEY: Key<u8> = Key::new(NS, "gone").inherit();
    KEY.set(1);
    let snapshot = Snapshot::capture();
    let (send, seen) = mpsc::channel();
    let thread = thread::spawn(move || {
        after_the_exit(move || {
            let inside = snapshot.run(|| (KEY.cloned(), Snapshot::capture().is_empty()));
            send.send(inside).unwrap();
        });
    });
    thread.join().unwrap();
    assert_eq!(seen.try_recv(), Ok((None, true)));
}

#[test]
fn many_jobs_on_a_pool_each_read_their_own() {
    static JOB: Key<usize> = Key::new(NS, "jobs").inherit();
    let workers: Vec<_> = (0..10).map(|_| Worker::start()).collect();
    for round in 0..10 {
        thread::scope(|scope| {
            for (number, worker) in workers.iter().enumerate() {
                let job = round * 10 + number;
                let snapshot = JOB.scope(job, Snapshot::capture);
                scope.spawn(move || {
                    let read = worker
                        .run(move || snapshot.run(|| (JOB.cloned(), thread::yield_now(), JOB.cloned())));
                    assert_eq!(read, (Some(job), (), Some(job)));
                });
            }
        });
    }
    workers.iter().for_each(|worker| assert_eq!(worker.run(|| JOB.cloned()), None));
}

#[test]
fn what_came_by_a_snapshot_says_so_in_a_dump_until_it_is_written() {
    static SHOWN: Key<u8> = Key::new(NS, "marked").inherit().debug();
    static SECRET: Key<u8> = Key::new(NS, "marked secret").inherit().secret();
    static OPAQUE: Key<u8> = Key::new(NS, "marked opaque").inherit();
    SHOWN.set(1);
    SECRET.set(2);
    OPAQUE.set(3);
    assert_eq!(in_dump("marked")["inherited"], false);
    let snapshot = Snapshot::capture();
    Worker::start().run(move || {
        (3..=5).for_each(|n| SHOWN.set(n));
        snapshot.run(|| {
            let shown = in_dump("marked");
            assert_eq!((&shown["inherited"], &shown["writes"]), (&true.into(), &0.into()));
            assert_eq!(in_dump("marked secret")["inherited"], true);
            assert_eq!(in_dump("marked opaque").get("inherited"), None, "nobody keeps its history");
            let text = get_thread_ctx().handle().dump().to_string();
            assert!(
                text.lines().any(|line| line.contains("marked") && line.ends_with("  inherited")),
                "{text}"
            );
            SHOWN.scope(7, || assert_eq!(in_dump("marked")["inherited"], false));
            assert_eq!(in_dump("marked")["inherited"], true, "it is the inherited one again");
            SHOWN.set(6);
            let shown = in_dump("marked");
            assert_eq!((&shown["inherited"], &shown["writes"]), (&false.into(), &1.into()));
        });
        let shown = in_dump("marked");
        assert_eq!((&shown["inherited"], &shown["writes"]), (&false.into(), &3.into()));
    });
}

#[test]
fn what_comes_back_is_as_old_as_it_was_at_the_exit() {
    static HIDDEN: Key<Tracked> = Key::new(NS, "hidden and back").inherit();
    static YOUNGER: Key<Tracked> = Key::new(NS, "younger");
    let drops = Drops::default();
    let values = [drops.value(0), drops.value(1)];
    Worker::start().run(move || {
        let [older, younger] = values;
        HIDDEN.set(older);
        YOUNGER.set(younger);
        Worker::start().run(Snapshot::capture).run(|| assert!(HIDDEN.get().is_none()));
        exit_thread_ctx();
    });
    assert_eq!(drops.numbers(), [1, 0], "newest first");
}

#[test]
fn a_snapshot_prints_its_names_and_no_value() {
    static KEY: Key<&str> = Key::new(NS, "printed").inherit().debug();
    let snapshot = Worker::start().run(|| KEY.scope("hunter2", Snapshot::capture));
    assert_eq!(format!("{snapshot:?}"), r#"Snapshot {"snapshots.printed"}"#);
    assert!(!dump().to_string().contains("hunter2"));
}
