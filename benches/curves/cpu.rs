//! How long this thread has had a core, where the system tells.

use std::time::Duration;

#[cfg(unix)]
#[expect(unsafe_code, reason = "a call into C")]
pub(crate) fn spent() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a local of the type asked for.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(failed, 0, "every Unix of ours has this clock");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Elsewhere: the time that has passed.
#[cfg(not(unix))]
pub(crate) fn spent() -> Duration {
    static START: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
    START.elapsed()
}
