//! Models of the protocols, by scenario, checked by loom over the real code. Beside each stands the number of preemptions
//! within which every interleaving is tried.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release --test loom`
//!
//! Threads end with `exit_thread_ctx`: loom drops thread-locals too late for a destructor to be modelled. Loom itself
//! reports values that are read unordered with their making or their end, and values that never end.
#![cfg(loom)]
#![expect(unsafe_code, reason = "loom's cell is unsafe to look into")]

use loom::{
    cell::UnsafeCell,
    model::Builder,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};
use std::{sync::atomic::AtomicU64, time::Instant};

use threadctx::{
    Arc, ContextRef, Key, State, context, contexts, exit_thread_ctx, get_thread_ctx, on_thread_exit,
};

/// Tries every interleaving with so many preemptions at the most.
fn model(name: &str, preemptions: usize, scenario: impl Fn() + Send + Sync + 'static) {
    static RUNS: AtomicU64 = AtomicU64::new(0);
    RUNS.store(0, std::sync::atomic::Ordering::Relaxed);
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 20_000;
    let started = Instant::now();
    builder.check(move || {
        RUNS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        scenario();
    });
    let runs = RUNS.load(std::sync::atomic::Ordering::Relaxed);
    println!("{name}: {runs} interleavings within {preemptions} preemptions, {:.1?}", started.elapsed());
}

/// A value whose reads and whose end loom sees.
struct Tracked(UnsafeCell<u64>);

// SAFETY: loom checks each access, which is the point.
unsafe impl Sync for Tracked {}

impl Tracked {
    fn new(value: u64) -> Self {
        Self(UnsafeCell::new(value))
    }

    fn read(&self) -> u64 {
        // SAFETY: loom reports a concurrent write.
        self.0.with(|value| unsafe { *value })
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        // SAFETY: loom reports a concurrent access.
        self.0.with_mut(|value| unsafe { *value = u64::MAX });
    }
}

/// A key of this run's own: loom's statics do not outlive a run.
fn key() -> &'static Key<Tracked> {
    Box::leak(Box::new(Key::new("loom", "key")))
}

fn set(key: &'static Key<Tracked>, value: u64) {
    key.set(Tracked::new(value));
}

fn read_in(key: &'static Key<Tracked>, context: &ContextRef) -> Option<u64> {
    key.get_in(context).map(|value| value.read())
}

#[test]
fn slot_three_writes_against_a_reader() {
    model("three writes, one reader", 3, || {
        let key = key();
        set(key, 1);
        let owner = get_thread_ctx().handle();
        let reader = thread::spawn(move || read_in(key, &owner));
        (2..=4).for_each(|value| set(key, value));
        assert!(matches!(reader.join().unwrap(), Some(1..=4)));
        assert_eq!(key.with(Tracked::read), Some(4));
        exit_thread_ctx();
    });
}

#[test]
fn slot_a_write_against_two_readers() {
    model("one write, two readers", 1, || {
        let key = key();
        set(key, 1);
        let owner = get_thread_ctx().handle();
        let readers = [owner.clone(), owner].map(|owner| thread::spawn(move || read_in(key, &owner)));
        set(key, 2);
        for reader in readers {
            assert!(matches!(reader.join().unwrap(), Some(1 | 2)));
        }
        exit_thread_ctx();
    });
}

#[test]
fn slot_what_a_reader_keeps_does_not_change() {
    model("a reader that keeps its count", 3, || {
        let key = key();
        set(key, 1);
        let owner = get_thread_ctx().handle();
        let reader = thread::spawn(move || {
            let kept = key.get_in(&owner).expect("there is a value at any time");
            let before = kept.read();
            let again = read_in(key, &owner).expect("there is a value at any time");
            assert!(again >= before, "values do not go back");
            assert_eq!(kept.read(), before);
        });
        set(key, 2);
        set(key, 3);
        reader.join().unwrap();
        exit_thread_ctx();
    });
}

#[test]
fn slot_a_weak_that_is_upgraded_late_sees_its_value_or_nothing() {
    model("a weak count upgraded late", 3, || {
        let key = key();
        set(key, 1);
        let owner = get_thread_ctx().handle();
        let reader = thread::spawn(move || {
            let kept = key.get_in(&owner).expect("there is a value at any time");
            let (value, weak) = (kept.read(), Arc::downgrade(&kept));
            drop(kept);
            if let Some(late) = weak.upgrade() {
                assert_eq!(late.read(), value, "the allocation was reused under a weak count");
            }
        });
        set(key, 2);
        set(key, 3);
        reader.join().unwrap();
        exit_thread_ctx();
    });
}

#[test]
fn slot_what_the_owner_hands_out_is_exposed() {
    model("the owner's own count, read elsewhere", 3, || {
        let key = key();
        set(key, 1);
        let handed = key.get().expect("just set");
        let other = thread::spawn(move || handed.read());
        set(key, 2);
        set(key, 3);
        assert_eq!(other.join().unwrap(), 1);
        exit_thread_ctx();
    });
}

#[test]
fn slot_replace_and_take_against_a_reader() {
    model("replace and take, one reader", 3, || {
        let key = key();
        set(key, 1);
        let owner = get_thread_ctx().handle();
        let reader = thread::spawn(move || read_in(key, &owner));
        let former = key.replace(Tracked::new(2)).expect("there was a value");
        assert_eq!(former.read(), 1);
        drop(former);
        assert_eq!(key.take().expect("there was a value").read(), 2);
        assert!(matches!(reader.join().unwrap(), None | Some(1 | 2)));
        exit_thread_ctx();
    });
}

#[test]
fn slot_retired_values_end_once_nobody_is_inside() {
    model("the retire list", 3, || {
        let key = key();
        set(key, 1);
        let owner = get_thread_ctx().handle();
        let reader = thread::spawn(move || drop(key.get_in(&owner)));
        // A write during a borrow publishes and retires, whatever the reader does.
        key.with(|one| {
            set(key, 2);
            assert_eq!(one.read(), 1);
        });
        set(key, 3);
        reader.join().unwrap();
        set(key, 4);
        exit_thread_ctx();
    });
}

#[test]
fn registration_against_look_up_against_exit() {
    model("register, look up, exit", 2, || {
        let key = key();
        let worker = thread::spawn(move || {
            set(key, 1);
            let me = get_thread_ctx().ident();
            exit_thread_ctx();
            me
        });
        for found in contexts() {
            let seen = read_in(key, &found);
            assert!(matches!(seen, None | Some(1)));
            if found.state() == State::Exited {
                assert_eq!(read_in(key, &found), None, "who sees Exited sees the values gone");
            }
        }
        assert!(context(worker.join().unwrap()).is_none());
        assert_eq!(threadctx::stats().live, 0);
    });
}

#[test]
fn total_sees_each_value_once_while_a_thread_exits() {
    model("total against exit", 2, || {
        let key: &'static Key<u64> =
            Box::leak(Box::new(Key::new("loom", "total").keep_total(|one, other| one + other)));
        key.set(10);
        let is_set = Arc::new(AtomicUsize::new(0));
        let sees = Arc::clone(&is_set);
        let worker = thread::spawn(move || {
            key.set(1);
            is_set.store(1, Ordering::Release);
            exit_thread_ctx();
        });
        let was_set = sees.load(Ordering::Acquire) == 1;
        let total = key.total();
        assert!(total == Some(11) || (!was_set && total == Some(10)), "{total:?}");
        worker.join().unwrap();
        assert_eq!(key.total(), Some(11));
        exit_thread_ctx();
    });
}

#[test]
fn two_exits_pile_up_into_one_total() {
    model("two exits, one total", 2, || {
        let key: &'static Key<u64> =
            Box::leak(Box::new(Key::new("loom", "total").keep_total(|one, other| one + other)));
        let workers = [1, 2].map(|value| {
            thread::spawn(move || {
                key.set(value);
                exit_thread_ctx();
            })
        });
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        assert_eq!(key.total(), Some(3));
    });
}

#[test]
fn hooks_added_and_removed_against_an_exit() {
    model("hooks against exit", 2, || {
        let ran = Arc::new(AtomicUsize::new(0));
        let counts = Arc::clone(&ran);
        let stays = on_thread_exit(move |_| _ = counts.fetch_add(1, Ordering::Relaxed));
        let counts = Arc::clone(&ran);
        let goes = on_thread_exit(move |_| _ = counts.fetch_add(10, Ordering::Relaxed));
        let worker = thread::spawn(|| {
            get_thread_ctx();
            exit_thread_ctx();
        });
        drop(goes);
        let counts = Arc::clone(&ran);
        let comes = on_thread_exit(move |_| _ = counts.fetch_add(100, Ordering::Relaxed));
        worker.join().unwrap();
        let ran = ran.load(Ordering::Relaxed);
        assert_eq!(ran % 10, 1, "the hook that stays runs once");
        assert!(ran <= 111, "no hook runs twice");
        drop((stays, comes));
    });
}

#[test]
fn a_name_given_over_to_its_key_is_found_all_along() {
    model("adoption against a reader", 2, || {
        let ctx = get_thread_ctx();
        ctx.namespace("loom").insert_opaque("key", Tracked::new(1)).expect("the name is free");
        let owner = ctx.handle();
        let reader = thread::spawn(move || {
            let found = owner.namespace("loom").get::<Tracked>("key").expect("of this type");
            found.expect("there at any time").read()
        });
        assert_eq!(key().with(Tracked::read), Some(1));
        assert_eq!(reader.join().unwrap(), 1);
        exit_thread_ctx();
    });
}
