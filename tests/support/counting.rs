//! An allocator that counts the bytes that the process has asked for and not given back.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::atomic::{AtomicIsize, Ordering},
};

static HELD: AtomicIsize = AtomicIsize::new(0);

thread_local! {
    /// The part of this thread: without what others gave it, and with what it gave to others.
    static OWN: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

fn count(bytes: isize) {
    HELD.fetch_add(bytes, Ordering::Relaxed);
    OWN.set(OWN.get() + bytes);
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: everything is passed on to the system's, and the counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// The bytes held now.
pub(crate) fn held() -> isize {
    HELD.load(Ordering::Relaxed)
}

/// The bytes that this thread has asked for, less those that it has given back.
#[allow(dead_code, reason = "not every test needs it")]
pub(crate) fn held_by_this_thread() -> isize {
    OWN.get()
}
