//! What the owner's fast calls cost in memory: nothing. And that memory goes down again after a burst.

#![cfg(not(loom))]

#[path = "support/patience.rs"]
mod patience;
#[path = "support/watchdog.rs"]
mod watchdog;
#[allow(dead_code, reason = "half of it is for other tests")]
#[path = "support/worker.rs"]
mod worker;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicIsize, Ordering},
    },
    thread,
};

use threadctx::{Key, get_thread_ctx};
use watchdog::within_a_minute;
use worker::Worker;

thread_local! {
    /// How often this thread has asked for memory.
    static ASKED: Cell<usize> = const { Cell::new(0) };
}
/// The bytes that the process has asked for and not given back.
static HELD: AtomicIsize = AtomicIsize::new(0);

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[expect(unsafe_code, reason = "an allocator")]
// SAFETY: everything is passed on to the system's, the counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ASKED.set(ASKED.get() + 1);
        HELD.fetch_add(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// How often `code` asks for memory.
fn asked_by(code: impl FnOnce()) -> usize {
    let before = ASKED.get();
    code();
    ASKED.get() - before
}

static OPAQUE: Key<u64> = Key::new("allocations", "opaque");
static VISIBLE: Key<u64> = Key::new("allocations", "visible").debug();

#[test]
fn reads_of_the_owner_allocate_nothing() {
    static TEXT: Key<String> = Key::new("allocations", "text");
    TEXT.set("text".to_owned());
    for key in [&OPAQUE, &VISIBLE] {
        key.set(1);
        let asked = asked_by(|| {
            for _ in 0..100 {
                assert_eq!(key.with(|value| *value), Some(1));
                assert_eq!(key.cloned(), Some(1));
                assert_eq!(key.get().as_deref(), Some(&1));
                assert_eq!(TEXT.with(String::len), Some(4));
                key.with(|_| key.with(|_| TEXT.with(|_| ())));
            }
        });
        assert_eq!(asked, 0);
    }
}

#[test]
fn a_read_that_finds_nothing_allocates_nothing() {
    static ABSENT: Key<u64> = Key::new("allocations", "absent");
    assert!(ABSENT.check().is_ok());
    let asked =
        asked_by(|| (0..100).for_each(|_| assert!(ABSENT.get().is_none() && ABSENT.with(|_| ()).is_none())));
    assert_eq!(asked, 0);
}

#[test]
fn a_set_of_a_key_that_has_a_value_allocates_nothing() {
    for key in [&OPAQUE, &VISIBLE] {
        key.set(0);
        assert_eq!(asked_by(|| (0..100).for_each(|n| key.set(n))), 0);
    }
}

#[test]
fn a_set_after_a_reader_has_come_and_gone_allocates_nothing() {
    OPAQUE.set(0);
    let me = get_thread_ctx().handle();
    for n in 1..10 {
        let me = me.clone();
        thread::spawn(move || drop(OPAQUE.get_in(&me))).join().unwrap();
        assert_eq!(asked_by(|| OPAQUE.set(n)), 0, "the value is the owner's alone again");
        drop(OPAQUE.get());
        assert_eq!(asked_by(|| (0..10).for_each(|_| OPAQUE.set(n))), 0);
    }
}

#[test]
fn a_look_up_by_name_allocates_nothing() {
    let namespace = get_thread_ctx().namespace("allocations");
    namespace.insert("name", 1_u64).unwrap();
    OPAQUE.set(1);
    let asked = asked_by(|| {
        for name in ["name", "opaque"] {
            assert!(namespace.contains(name));
            assert!(namespace.get::<u64>(name).unwrap().is_some());
        }
        assert!(!namespace.contains("absent"));
    });
    assert_eq!(asked, 0);
}

/// The bytes held after `burst` beyond those held before it, when it has run often enough that caches are warm.
fn kept_by(burst: impl Fn()) -> isize {
    // One at a time: the bytes are counted for the whole process.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    burst();
    // Other tests hold a little for a moment: the least of several is what is kept.
    (0..5)
        .map(|_| {
            let before = HELD.load(Ordering::Relaxed);
            burst();
            HELD.load(Ordering::Relaxed) - before
        })
        .min()
        .unwrap()
}

#[test]
fn memory_goes_down_again_after_many_threads_at_once() {
    within_a_minute(|| {
        let kept = kept_by(|| {
            let start = || Worker::with(thread::Builder::new().stack_size(64 << 10));
            let workers: Vec<_> = (0..400).map(|_| start()).collect();
            for worker in &workers {
                worker.run(|| {
                    OPAQUE.set(1);
                    get_thread_ctx().namespace("allocations").insert("burst", 1).unwrap();
                });
            }
        });
        // A context alone takes some hundred bytes: one in ten kept would be seen.
        assert!(kept < 16 << 10, "{kept} bytes are kept");
    });
}

#[test]
fn memory_goes_down_again_after_many_threads_in_turn() {
    within_a_minute(|| {
        let kept = kept_by(|| (0..500).for_each(|n| thread::spawn(move || OPAQUE.set(n)).join().unwrap()));
        assert!(kept < 16 << 10, "{kept} bytes are kept");
    });
}

#[test]
fn memory_goes_down_again_after_many_names_hooks_and_writes() {
    within_a_minute(|| {
        let kept = kept_by(|| {
            let namespace = get_thread_ctx().namespace("allocations, many");
            (0..1_000).for_each(|n| _ = namespace.insert(&n.to_string(), [n; 10]).unwrap());
            namespace.clear();
            for n in 0..1_000 {
                VISIBLE.with(|_| VISIBLE.set(n));
                VISIBLE.set(n);
                drop(threadctx::on_thread_start(|_| ()));
            }
            threadctx::exit_thread_ctx();
        });
        assert!(kept < 16 << 10, "{kept} bytes are kept");
    });
}

#[test]
fn memory_goes_down_again_after_exits_inside_borrows() {
    static OTHER: Key<u64> = Key::new("allocations", "other");
    within_a_minute(|| {
        let kept = kept_by(|| {
            for n in 0..500 {
                OPAQUE.set(n);
                OTHER.set(n);
                OPAQUE.with(|_| OTHER.with(|_| assert!(threadctx::exit_thread_ctx())));
            }
        });
        assert!(kept < 16 << 10, "{kept} bytes are kept");
    });
}
