//! A value whose reads and whose end a checker sees.

use std::{cell::Cell, fmt};

thread_local! {
    /// Values that have not ended. A checker runs all threads of a run on this one.
    static ALIVE: Cell<usize> = const { Cell::new(0) };
}

/// How many values have not ended.
pub(crate) fn alive() -> usize {
    ALIVE.get()
}

/// Called at the end of a run, when every context has exited.
pub(crate) fn expect_nothing_left() {
    let alive = ALIVE.replace(0);
    assert_eq!(alive, 0, "values that never end");
    assert_eq!(threadctx::stats().live, 0, "contexts that never end");
}

pub(crate) struct Tracked(Content);

impl Tracked {
    pub(crate) fn new(value: u64) -> Self {
        ALIVE.set(ALIVE.get() + 1);
        Self(Content::new(value))
    }

    pub(crate) fn read(&self) -> u64 {
        self.0.read()
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.0.end();
        ALIVE.set(ALIVE.get() - 1);
    }
}

impl fmt::Debug for Tracked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.read())
    }
}

#[cfg(loom)]
use under_loom::Content;
#[cfg(shuttle)]
use under_shuttle::Content;

#[cfg(loom)]
#[expect(unsafe_code, reason = "loom's cell is unsafe to look into")]
mod under_loom {
    use loom::cell::UnsafeCell;

    /// Loom reports accesses that are not ordered.
    pub(super) struct Content(UnsafeCell<u64>);

    // SAFETY: loom checks each access, which is the point.
    unsafe impl Sync for Content {}

    impl Content {
        pub(super) fn new(value: u64) -> Self {
            Self(UnsafeCell::new(value))
        }

        pub(super) fn read(&self) -> u64 {
            // SAFETY: loom reports a concurrent write.
            self.0.with(|value| unsafe { *value })
        }

        pub(super) fn end(&mut self) {
            // SAFETY: loom reports a concurrent access.
            self.0.with_mut(|value| unsafe { *value = u64::MAX });
        }
    }
}

#[cfg(shuttle)]
mod under_shuttle {
    use shuttle::sync::atomic::{AtomicU64, Ordering};

    const ENDED: u64 = u64::MAX;

    /// Twice the same: another thread may run between the two looks, and whatever it does to the value shows.
    pub(super) struct Content([AtomicU64; 2]);

    impl Content {
        pub(super) fn new(value: u64) -> Self {
            Self([value, value].map(AtomicU64::new))
        }

        pub(super) fn read(&self) -> u64 {
            let [one, other] = self.0.each_ref().map(|half| half.load(Ordering::SeqCst));
            assert_eq!(one, other, "replaced, or ended, while it was read");
            assert_ne!(one, ENDED, "read after its end");
            one
        }

        pub(super) fn end(&mut self) {
            for half in &self.0 {
                assert_ne!(half.swap(ENDED, Ordering::SeqCst), ENDED, "ended twice");
            }
        }
    }
}
