//! What only the operating system knows: the coarse clock, a thread's own number, and that the process has forked.

#[cfg(unix)]
pub(crate) use unix::*;

#[cfg(not(unix))]
pub(crate) use other::*;

#[cfg(unix)]
#[expect(unsafe_code, reason = "calls into the C library")]
mod unix {
    use std::{ffi::c_void, mem::MaybeUninit, num::NonZero, ptr};

    use once_cell::race::OnceNonZeroUsize;

    #[cfg(any(target_os = "linux", target_os = "android"))]
    const COARSE: libc::clockid_t = libc::CLOCK_MONOTONIC_COARSE;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const COARSE: libc::clockid_t = libc::CLOCK_MONOTONIC;

    #[inline]
    pub(crate) fn coarse_nanoseconds() -> u64 {
        let mut time = MaybeUninit::<libc::timespec>::zeroed();
        // SAFETY: the pointer is to a timespec of ours. If the call fails, it stays zeroed.
        unsafe { libc::clock_gettime(COARSE, time.as_mut_ptr()) };
        // SAFETY: zeroed, a timespec is valid.
        let time = unsafe { time.assume_init() };
        (time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as u64)
    }

    /// Has `last` run at this thread's end, after the destructors of its thread-locals; also if it is asked for from such a
    /// destructor, or from one of a pthread key, unless that comes in the last of their rounds.
    pub(crate) fn at_thread_end(last: unsafe extern "C" fn(*mut c_void)) {
        static KEY: OnceNonZeroUsize = OnceNonZeroUsize::new();
        // Two threads that are here first at once make a key each, and one is never used.
        let key = KEY.get_or_try_init(|| make_key(last)).map(|key| key.get() - 1);
        if let Ok(key) = key {
            // SAFETY: the key was made and is never deleted. Its value is not null, or the destructor would not run; nobody
            // follows it.
            unsafe { libc::pthread_setspecific(key as libc::pthread_key_t, ptr::dangling::<c_void>()) };
        }
    }

    /// A new key, counted from 1; an error where there are too many.
    fn make_key(last: unsafe extern "C" fn(*mut c_void)) -> Result<NonZero<usize>, ()> {
        let mut key = 0;
        // SAFETY: the pointer is to a key of ours; the destructor lives as long as the code does.
        let made = unsafe { libc::pthread_key_create(&mut key, Some(last)) };
        NonZero::new(key as usize + 1).filter(|_| made == 0).ok_or(())
    }

    /// The number that system tools show for this thread; 0 where the system has none.
    pub(crate) fn thread_number() -> u64 {
        number::of_this_thread()
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    mod number {
        pub(super) fn of_this_thread() -> u64 {
            // SAFETY: the call takes nothing and cannot fail.
            let number = unsafe { libc::gettid() };
            number as u64
        }
    }

    #[cfg(target_vendor = "apple")]
    mod number {
        pub(super) fn of_this_thread() -> u64 {
            let mut number = 0;
            // SAFETY: 0 stands for the calling thread, and the pointer is to a number of ours.
            unsafe { libc::pthread_threadid_np(0, &mut number) };
            number
        }
    }

    #[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
    mod number {
        pub(super) fn of_this_thread() -> u64 {
            0
        }
    }

    /// Has `prepare` run before each fork, and `parent` and `child` after it in the respective process, all on the
    /// thread that forks.
    pub(crate) fn at_fork(prepare: extern "C" fn(), parent: extern "C" fn(), child: extern "C" fn()) {
        // SAFETY: the three are plain functions that live as long as the code does.
        unsafe { libc::pthread_atfork(Some(prepare), Some(parent), Some(child)) };
    }
}

#[cfg(not(unix))]
mod other {
    use std::{sync::OnceLock, time::Instant};

    static START: OnceLock<Instant> = OnceLock::new();

    pub(crate) fn coarse_nanoseconds() -> u64 {
        START.get_or_init(Instant::now).elapsed().as_nanos() as u64 + 1
    }

    pub(crate) fn thread_number() -> u64 {
        0
    }

    /// Where there are no such late destructors, there is nothing to do.
    pub(crate) fn at_thread_end(_: unsafe extern "C" fn(*mut std::ffi::c_void)) {}
}
