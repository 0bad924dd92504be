//! Threads that the standard library did not make.

use std::{
    ffi::c_void,
    mem::MaybeUninit,
    panic::{self, AssertUnwindSafe},
    ptr,
};

type Body = Box<dyn FnOnce() + Send>;

/// A thread made by the C library.
pub(crate) struct Foreign(libc::pthread_t);

impl Foreign {
    /// Starts one with a stack of the smallest size that people use.
    pub(crate) fn start(body: impl FnOnce() + Send + 'static) -> Self {
        let body: Box<Body> = Box::new(Box::new(body));
        let mut attributes = MaybeUninit::uninit();
        let mut thread = MaybeUninit::uninit();
        // SAFETY: the pointer is to a place of ours for one.
        assert_eq!(unsafe { libc::pthread_attr_init(attributes.as_mut_ptr()) }, 0);
        // SAFETY: initialised by the call before.
        assert_eq!(unsafe { libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), 64 << 10) }, 0);
        let argument = Box::into_raw(body).cast();
        // SAFETY: the attributes are initialised, and `run` takes what `argument` is.
        let made = unsafe { libc::pthread_create(thread.as_mut_ptr(), attributes.as_ptr(), run, argument) };
        assert_eq!(made, 0);
        // SAFETY: initialised above, and not used again.
        unsafe { libc::pthread_attr_destroy(attributes.as_mut_ptr()) };
        // SAFETY: `pthread_create` has written it.
        Self(unsafe { thread.assume_init() })
    }

    /// Waits for its end; fails if its body panicked.
    pub(crate) fn join(self) {
        let mut result = ptr::null_mut();
        // SAFETY: the thread was started by us and is joined once.
        assert_eq!(unsafe { libc::pthread_join(self.0, &mut result) }, 0);
        assert!(result.is_null(), "the foreign thread panicked");
    }
}

extern "C" fn run(argument: *mut c_void) -> *mut c_void {
    // SAFETY: `start` leaked it for us.
    let body = unsafe { Box::from_raw(argument.cast::<Body>()) };
    match panic::catch_unwind(AssertUnwindSafe(body)) {
        Ok(()) => ptr::null_mut(),
        Err(_) => ptr::dangling_mut::<u8>().cast(),
    }
}
