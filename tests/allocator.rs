//! A global allocator that uses the crate: it is called from the middle of the crate's own work, and finds no context there.

#![cfg(not(any(loom, shuttle)))]
#![expect(unsafe_code, reason = "an allocator")]

#[path = "support/patience.rs"]
mod patience;
#[path = "support/watchdog.rs"]
mod watchdog;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use threadctx::{
    FutureExt, Key, Snapshot, contexts, dump, exit_thread_ctx, get_thread_ctx, on_thread_exit,
    on_thread_start,
};
use watchdog::within_a_minute;

static ALLOCATIONS: Key<u64> = Key::new("allocator", "allocations").init(|| 0).debug();
static LAST: Key<String> = Key::new("allocator", "last").debug().inherit();
static TOTAL: Key<u64> = Key::new("allocator", "total").keep_total(|one, other| one + other);

/// Allocations that used the crate, on all threads.
static CALLS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Whether allocations of this thread use the crate. What they allocate in turn does not.
    static USES: Cell<bool> = const { Cell::new(false) };
}

struct Noting;

#[global_allocator]
static ALLOCATOR: Noting = Noting;

fn note(size: usize) {
    if USES.replace(false) {
        let number = CALLS.fetch_add(1, Ordering::Relaxed);
        ALLOCATIONS.update(|allocations| *allocations += 1);
        ALLOCATIONS.with(|_| LAST.set(format!("{size} bytes")));
        TOTAL.set(TOTAL.cloned().unwrap_or(0) + 1);
        if number % 7 == 0 {
            let names = get_thread_ctx().namespace("allocator");
            drop(names.insert("by name", number));
            drop(LAST.scope("in a scope".to_owned(), || names.get::<u64>("by name")));
        }
        if number % 1_001 == 0 {
            exit_thread_ctx();
        }
        USES.set(true);
    }
}

// SAFETY: everything is passed on to the system's.
unsafe impl GlobalAlloc for Noting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        note(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// A bit of everything that allocates, with the keys that the allocator writes too.
fn work(step: usize) {
    let ctx = get_thread_ctx();
    LAST.set(format!("step {step}"));
    LAST.with(|_| {
        // A write to what is borrowed puts the former value aside, which allocates.
        (0..3).for_each(|n| LAST.set(format!("step {step}.{n}")));
        ALLOCATIONS.with(|_| ALLOCATIONS.set(0));
    });
    for name in ["a", "b", "by name"] {
        drop(ctx.namespace("allocator").insert(name, step as u64));
        drop(ctx.namespace("allocator").get::<u64>(name));
    }
    ctx.namespace("allocator").remove("a");
    let snapshot = Snapshot::capture();
    snapshot.run(|| LAST.update(|last| last.push('!')));
    let task = async { LAST.set("in a task".to_owned()) }.in_context();
    drop(task);
    drop((on_thread_start(|_| ()), on_thread_exit(|_| ())));
    drop((contexts(), TOTAL.total()));
    if step % 10 == 0 {
        assert!(!dump().to_json().is_empty());
        ctx.on_exit(|_| LAST.set("at the exit".to_owned()));
    }
}

#[test]
fn an_allocator_may_use_the_crate_in_the_middle_of_the_crates_own_work() {
    within_a_minute(|| {
        let before = CALLS.load(Ordering::Relaxed);
        let threads = [0, 1].map(|start| {
            thread::spawn(move || {
                USES.set(true);
                (start..start + 300).for_each(work);
                USES.set(false);
            })
        });
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(CALLS.load(Ordering::Relaxed) - before > 10_000);
        assert!(contexts().iter().all(|context| context.namespace("allocator").names().is_empty()));
    });
}

/// Up to the thread's very end: its exit, and the destructors after it.
#[test]
fn an_allocator_may_use_the_crate_while_its_thread_ends() {
    within_a_minute(|| {
        for _ in 0..50 {
            let thread = thread::spawn(|| {
                USES.set(true);
                work(0);
                get_thread_ctx().handle()
            });
            assert_eq!(thread.join().unwrap().state(), threadctx::State::Exited);
        }
    });
}
