//! What comes after the exit is dropped at once. If its drop brings more of the kind, that is dropped inside the drop, and
//! so on until the stack ends; so from some depth on it is leaked.

use std::{cell::Cell, mem};

use crate::{stats, sync::thread_cells};

#[cfg(any(loom, shuttle))]
use crate::sync::LocalCell;

/// How many late arrivals drop one inside the other: as many as an exit has rounds.
const DEPTH: u32 = 8;

thread_cells! {
    /// How many late arrivals are being dropped here, one inside the other.
    static DROPPING: Cell<u32> = Cell::new(0);
}

/// Notes the end of a drop, also of one that panics.
struct Dropping;

impl Drop for Dropping {
    fn drop(&mut self) {
        DROPPING.set(DROPPING.get() - 1);
    }
}

/// Drops what came too late, or leaks and counts it if it came out of the drop of what came too late, and so on.
pub(crate) fn drop_late<T>(arrival: T) {
    if DROPPING.get() == DEPTH {
        stats::count(|counters| &counters.left_over);
        return mem::forget(arrival);
    }
    DROPPING.set(DROPPING.get() + 1);
    let _dropping = Dropping;
    drop(arrival);
}
