//! The clock that values are stamped with: coarse where the system has one, since a write should not wait for a precise
//! one. On Linux it moves every few milliseconds.

use std::time::Duration;

use crate::os;

/// Nanoseconds since some moment in the past, odd, and so never 0.
#[inline]
pub(crate) fn now() -> u64 {
    os::coarse_nanoseconds() | 1
}

/// How long ago `then` was, as [`now`] gave it.
pub(crate) fn since(then: u64) -> Duration {
    Duration::from_nanos(now().saturating_sub(then))
}
