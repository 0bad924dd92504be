//! User code that panics where nobody could catch it: contained, counted, and the rest goes on.

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::{current, stats};

/// What panicked, which is which counter goes up.
#[derive(Clone, Copy)]
pub(crate) enum What {
    Hook,
    Drop,
}

/// Runs `code`; a panic in it is counted and goes no further.
///
/// Unwind safety is asserted: what the code leaves broken is its own, and nothing of ours is borrowed while it runs.
pub(crate) fn contain<R>(what: What, code: impl FnOnce() -> R) -> Option<R> {
    current::assert_outside_owner();
    match catch_unwind(AssertUnwindSafe(code)) {
        Ok(result) => Some(result),
        Err(payload) => {
            match what {
                What::Hook => stats::count(|counters| &counters.hook_panics),
                What::Drop => stats::count(|counters| &counters.drop_panics),
            }
            discard(payload);
            None
        }
    }
}

/// Runs `code`; a panic in it becomes an error with its message.
pub(crate) fn catch<R>(code: impl FnOnce() -> R) -> Result<R, String> {
    current::assert_outside_owner();
    catch_unwind(AssertUnwindSafe(code)).map_err(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
        let message = text.unwrap_or("something that is no text").to_owned();
        discard(payload);
        message
    })
}

/// Drops `value`, the user's, likewise.
pub(crate) fn contain_drop<T>(value: T) {
    contain(What::Drop, || drop(value));
}

/// A payload is a value of the user's too, and may panic in its drop; a second one is leaked.
fn discard(payload: Box<dyn std::any::Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        mem::forget(again);
    }
}
