//! All of what `owner.rs` compares, with statics of its own, so that no two copies are merged.

use std::{
    cell::{Cell, RefCell},
    hint::black_box,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
};

use thread_local::ThreadLocal;
use threadctx::Key;

use crate::{
    row::Row,
    timing::{Plan, interleaved, looped},
};

static KEY: Key<u64> = Key::new("owner", "opaque");
static SHOWN: Key<u64> = Key::new("owner", "shown").debug();
static PER_THREAD: ThreadLocal<Cell<u64>> = ThreadLocal::new();

thread_local! {
    static CONST: RefCell<u64> = const { RefCell::new(7) };
    static LAZY: RefCell<u64> = RefCell::new(black_box(7));
}

/// What any write must do that others may look in on: keep them out, store, let them in.
struct Guarded {
    word: AtomicU32,
    value: AtomicU64,
}

static GUARDED: Guarded = Guarded { word: AtomicU32::new(0), value: AtomicU64::new(0) };

impl Guarded {
    #[inline]
    fn set(&self, value: u64) -> bool {
        let is_alone = self.word.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_ok();
        if is_alone {
            self.value.store(value, Ordering::Relaxed);
            self.word.store(0, Ordering::Release);
        }
        is_alone
    }
}

/// A look at the clock that visible values are stamped with.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "a call into the C library")]
fn coarse_clock() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is that of a time of ours.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &mut time) };
    time.tv_nsec
}

#[cfg(not(target_os = "linux"))]
fn coarse_clock() -> std::time::Instant {
    std::time::Instant::now()
}

/// The same behind a call, as where the code that reads or writes is a function of its own.
mod called {
    use super::*;

    #[inline(never)]
    pub(super) fn with() -> Option<u64> {
        KEY.with(|value| *value)
    }

    #[inline(never)]
    pub(super) fn borrow() -> u64 {
        CONST.with_borrow(|value| *value)
    }

    #[inline(never)]
    pub(super) fn get_or() -> u64 {
        PER_THREAD.get_or_default().get()
    }

    #[inline(never)]
    pub(super) fn set(value: u64) {
        KEY.set(value);
    }

    #[inline(never)]
    pub(super) fn set_cell(value: u64) {
        CONST.set(value);
    }
}

pub(crate) fn rows(plan: &Plan) -> Vec<Row> {
    KEY.set(7);
    SHOWN.set(7);
    show_to_the_compiler();
    let measured =
        [reads_called(plan), writes(plan), reads(plan), reads_used_within(plan), writes_called(plan)];
    measured.into_iter().flatten().collect()
}

/// Cells that nothing but the loop can reach would be kept in registers while it runs, and nothing be measured. Once their
/// addresses have gone elsewhere, they are read and written each time, as between any two calls in a real program.
fn show_to_the_compiler() {
    CONST.with(|cell| drop(black_box(cell).borrow()));
    LAZY.with(|cell| drop(black_box(cell).borrow()));
}

fn reads(plan: &Plan) -> Vec<Row> {
    let [with, borrow, get_or, lazy] = interleaved(
        plan,
        [
            looped(|| KEY.with(|value| *value)),
            looped(|| CONST.with_borrow(|value| *value)),
            looped(|| PER_THREAD.get_or_default().get()),
            looped(|| LAZY.with_borrow(|value| *value)),
        ],
    );
    vec![
        Row::shown("with / thread_local! RefCell<u64> borrow, inlined", &with, &borrow),
        Row::shown("with / lazily initialised thread_local! RefCell borrow, inlined", &with, &lazy),
        Row::shown("with / thread_local crate get_or, inlined", &with, &get_or),
    ]
}

/// The value is used while it is borrowed, by code the compiler knows nothing of: no side's borrow can be optimised away.
fn reads_used_within(plan: &Plan) -> Vec<Row> {
    let [with, borrow] = interleaved(
        plan,
        [
            looped(|| KEY.with(|value| *black_box(value))),
            looped(|| CONST.with_borrow(|value| *black_box(value))),
        ],
    );
    vec![Row::shown("with / RefCell borrow, the value used within", &with, &borrow)]
}

fn reads_called(plan: &Plan) -> Vec<Row> {
    let [with, borrow, get_or] =
        interleaved(plan, [looped(called::with), looped(called::borrow), looped(called::get_or)]);
    vec![
        Row::new("Key<u64>::with / thread_local crate get_or, each behind a call", &with, &get_or, 0.75),
        Row::new(
            "Key<u64>::with / thread_local! RefCell<u64> borrow, each behind a call",
            &with,
            &borrow,
            1.75,
        ),
    ]
}

fn writes(plan: &Plan) -> Vec<Row> {
    let [opaque, shown, guarded, guarded_and_dated, cell] = interleaved(
        plan,
        [
            looped(|| KEY.set(black_box(7))),
            looped(|| SHOWN.set(black_box(7))),
            looped(|| GUARDED.set(black_box(7))),
            looped(|| (GUARDED.set(black_box(7)), black_box(coarse_clock()))),
            looped(|| CONST.set(black_box(7))),
        ],
    );
    vec![
        Row::new("Key<u64>::set, opaque / compare-exchange, store, store", &opaque, &guarded, 1.25),
        Row::new("Key<u64>::set, visible / the same and the coarse clock", &shown, &guarded_and_dated, 1.25),
        Row::shown("set, opaque / thread_local! RefCell<u64> set, inlined", &opaque, &cell),
        Row::shown("set, visible / thread_local! RefCell<u64> set, inlined", &shown, &cell),
    ]
}

fn writes_called(plan: &Plan) -> Vec<Row> {
    let [set, set_cell] =
        interleaved(plan, [looped(|| called::set(black_box(7))), looped(|| called::set_cell(black_box(7)))]);
    vec![Row::shown("set, opaque / RefCell set, each behind a call", &set, &set_cell)]
}
