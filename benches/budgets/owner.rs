//! The owner's read and write, beside what else a thread can keep a number in.

use std::{
    cell::{Cell, RefCell},
    hint::black_box,
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

/// The same behind a call, as where the code that reads is a function of its own.
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
        [reads(plan), reads_used_within(plan), reads_called(plan), writes(plan), writes_called(plan)];
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
        Row::new("Key<u64>::with / thread_local! RefCell<u64> borrow", with, borrow, 0.75),
        Row::new("Key<u64>::with / thread_local crate get_or", with, get_or, 0.75),
        Row::shown("with / lazily initialised thread_local! RefCell borrow", with, lazy),
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
    vec![Row::shown("with / RefCell borrow, the value used within", with, borrow)]
}

fn reads_called(plan: &Plan) -> Vec<Row> {
    let [with, borrow, get_or] =
        interleaved(plan, [looped(called::with), looped(called::borrow), looped(called::get_or)]);
    vec![
        Row::shown("with / RefCell borrow, each behind a call", with, borrow),
        Row::shown("with / get_or, each behind a call", with, get_or),
    ]
}

fn writes(plan: &Plan) -> Vec<Row> {
    let [opaque, shown, cell, lazy] = interleaved(
        plan,
        [
            looped(|| KEY.set(black_box(7))),
            looped(|| SHOWN.set(black_box(7))),
            looped(|| CONST.set(black_box(7))),
            looped(|| LAZY.set(black_box(7))),
        ],
    );
    vec![
        Row::new("Key<u64>::set, opaque / RefCell<u64> set", opaque, cell, 1.25),
        Row::new("Key<u64>::set, visible / RefCell<u64> set", shown, cell, 2.5),
        Row::shown("set, opaque / lazily initialised thread_local! RefCell set", opaque, lazy),
    ]
}

fn writes_called(plan: &Plan) -> Vec<Row> {
    let [set, set_cell] =
        interleaved(plan, [looped(|| called::set(black_box(7))), looped(|| called::set_cell(black_box(7)))]);
    vec![Row::shown("set, opaque / RefCell set, each behind a call", set, set_cell)]
}
