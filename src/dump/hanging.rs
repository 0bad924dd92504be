//! Values whose renderers do not end: until one does, no dump gives it another thread.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use super::picture::Title;
use crate::sync::lock_briefly;

/// Which value it is: of which context, and by which name.
#[derive(Clone, Debug)]
pub(super) struct ValueId {
    pub(super) serial: u64,
    pub(super) title: Title,
}

impl ValueId {
    fn is(&self, other: &Self) -> bool {
        self.serial == other.serial && self.title.cmp(&other.title).is_eq()
    }
}

struct Hanging {
    value: ValueId,
    /// Set by the thread that renders it, when that is back.
    is_over: Arc<AtomicBool>,
}

/// How many renderers hang at most before no more are given a thread that they could keep.
const MAX: usize = 64;

static HANGING: Mutex<Vec<Hanging>> = Mutex::new(Vec::new());

/// Notes that the thread that sets `is_over` does not come back from `value`.
pub(super) fn note(value: ValueId, is_over: Arc<AtomicBool>) {
    if let Some(mut hanging) = lock_briefly(&HANGING) {
        hanging.push(Hanging { value, is_over });
    }
}

/// Whether a thread is inside the renderer of `value`.
pub(super) fn is_hanging(value: &ValueId) -> bool {
    still_hanging(|hanging| hanging.iter().any(|hanging| hanging.value.is(value)))
}

/// Whether so many threads are inside renderers that none more is risked.
pub(super) fn are_too_many() -> bool {
    still_hanging(|hanging| hanging.len() >= MAX)
}

fn still_hanging<R>(look: impl FnOnce(&[Hanging]) -> R) -> R {
    let Some(mut hanging) = lock_briefly(&HANGING) else { return look(&[]) };
    // Acquire: pairs with the release in the helper's `Over`.
    let (over, still): (Vec<_>, _) =
        hanging.drain(..).partition(|hanging| hanging.is_over.load(Ordering::Acquire));
    *hanging = still;
    let result = look(&hanging);
    drop(hanging);
    // A name may be the last one: what it holds is ours, but memory is given back without a lock.
    drop(over);
    result
}
