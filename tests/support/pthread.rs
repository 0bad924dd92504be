//! Threads of the C library's, and its own kind of thread-local: a key whose destructor may ask to be called again.

use std::{cell::Cell, ffi::c_void, mem::MaybeUninit, ptr, sync::OnceLock};

use crate::solo::verdict;

type Body = Box<dyn FnOnce() + Send>;

/// A thread that the standard library did not make.
pub(crate) struct Pthread(libc::pthread_t);

impl Pthread {
    pub(crate) fn start(body: impl FnOnce() + Send + 'static) -> Self {
        let body: Box<Body> = Box::new(Box::new(body));
        let mut thread = MaybeUninit::uninit();
        // SAFETY: `run` takes what the argument is.
        let made = unsafe {
            libc::pthread_create(thread.as_mut_ptr(), ptr::null(), run, Box::into_raw(body).cast())
        };
        assert_eq!(made, 0);
        // SAFETY: written by the call that succeeded.
        Self(unsafe { thread.assume_init() })
    }

    /// Waits for its end, destructors of every kind included.
    pub(crate) fn join(self) {
        // SAFETY: started by us, and not joined before.
        assert_eq!(unsafe { libc::pthread_join(self.0, ptr::null_mut()) }, 0);
    }

    pub(crate) fn detach(self) {
        // SAFETY: started by us, and not joined.
        assert_eq!(unsafe { libc::pthread_detach(self.0) }, 0);
    }
}

extern "C" fn run(body: *mut c_void) -> *mut c_void {
    // SAFETY: `start` leaked it for us.
    verdict(unsafe { Box::from_raw(body.cast::<Body>()) });
    ptr::null_mut()
}

/// What a key's destructor is to do: `code`, told the round, so many times.
struct Late {
    code: Box<dyn Fn(u32)>,
    round: Cell<u32>,
    rounds: u32,
}

/// Has the destructor of a key of the C library's call `code` on this thread, in `rounds` rounds one after the other.
pub(crate) fn at_key_drop(rounds: u32, code: impl Fn(u32) + 'static) {
    let late = Late { code: Box::new(code), round: Cell::new(1), rounds };
    arm(Box::into_raw(Box::new(late)));
}

/// How many rounds the system promises at least.
pub(crate) fn rounds() -> u32 {
    // SAFETY: it takes a number.
    let rounds = unsafe { libc::sysconf(libc::_SC_THREAD_DESTRUCTOR_ITERATIONS) };
    rounds.try_into().unwrap_or(4)
}

fn arm(late: *mut Late) {
    static KEY: OnceLock<libc::pthread_key_t> = OnceLock::new();
    let key = KEY.get_or_init(|| {
        let mut key = 0;
        // SAFETY: the pointer is to a key of ours; `drop_late` takes what is stored under it below.
        assert_eq!(unsafe { libc::pthread_key_create(&mut key, Some(drop_late)) }, 0);
        key
    });
    // SAFETY: the key was made above.
    assert_eq!(unsafe { libc::pthread_setspecific(*key, late.cast()) }, 0);
}

extern "C" fn drop_late(late: *mut c_void) {
    // SAFETY: `at_key_drop` leaked it, and only this thread has the pointer.
    let state = unsafe { &*late.cast::<Late>() };
    let round = state.round.get();
    state.round.set(round + 1);
    verdict(|| (state.code)(round));
    if round < state.rounds {
        arm(late.cast());
    } else {
        // SAFETY: as above; it is not armed again.
        drop(unsafe { Box::from_raw(late.cast::<Late>()) });
    }
}
