//! The clock that values are stamped with: coarse where the system has one, since a write should not wait for a precise
//! one. On Linux it moves every few milliseconds. Deadlines go by std's `Instant`, which is precise.
//!
//! `--cfg threadctx_tick="3999999"` makes its steps that many nanoseconds long, so that tests meet the clocks of other machines.

use std::time::Duration;

use crate::os;

/// Nanoseconds since some moment in the past, odd, and so never 0.
#[inline]
pub(crate) fn now() -> u64 {
    in_ticks(os::coarse_nanoseconds()) | 1
}

/// How long ago `then` was, as [`now`] gave it.
pub(crate) fn since(then: u64) -> Duration {
    Duration::from_nanos(now().saturating_sub(then))
}

#[cfg(not(any(threadctx_tick = "3999999", threadctx_tick = "10000000", threadctx_tick = "1")))]
#[inline]
fn in_ticks(nanoseconds: u64) -> u64 {
    nanoseconds
}

#[cfg(threadctx_tick = "3999999")]
fn in_ticks(nanoseconds: u64) -> u64 {
    nanoseconds / 3_999_999 * 3_999_999
}

#[cfg(threadctx_tick = "10000000")]
fn in_ticks(nanoseconds: u64) -> u64 {
    nanoseconds / 10_000_000 * 10_000_000
}

/// The precise clock: any step of its is as short as the system has it.
#[cfg(threadctx_tick = "1")]
fn in_ticks(_: u64) -> u64 {
    os::precise_nanoseconds()
}
