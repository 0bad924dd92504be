//! `Arc` and `Weak` as std has them, count by count, on the checker's atomics. Loom's own `Arc` has no `Weak`, and one that
//! is upgraded at the wrong moment is just what the slot protocol has to survive; shuttle's is std's, whose counts it does
//! not see.

use std::{
    cell::Cell,
    fmt,
    mem::{ManuallyDrop, offset_of},
    ops::Deref,
    ptr::{self, NonNull},
};

use super::{
    checker::{Track, atomic::fence},
    {AtomicUsize, Ordering, thread_cells, yield_now},
};

/// In `weak`: `get_mut` is looking at the counts.
const LOCKED: usize = usize::MAX;

#[repr(C)]
struct Inner<T> {
    strong: AtomicUsize,
    /// The weak ones, and one more for all the strong ones together.
    weak: AtomicUsize,
    /// Loom reports it if this is never dropped.
    tracked: Track<()>,
    value: ManuallyDrop<T>,
}

thread_cells! {
    static AT_NEXT_SHARE: Cell<Option<Box<dyn FnOnce()>>> = Cell::new(None);
}

/// Has `code` run where this thread next takes a count by a value's address. A reader does so inside a slot, so there it
/// can be made to stay.
pub fn at_next_share(code: impl FnOnce() + 'static) {
    AT_NEXT_SHARE.with(|next| next.set(Some(Box::new(code))));
}

/// A strong count.
pub struct Arc<T>(NonNull<Inner<T>>);

/// A weak count.
pub struct Weak<T>(NonNull<Inner<T>>);

// SAFETY: as for std's: the value is shared, and dropped by whoever is last.
unsafe impl<T: Send + Sync> Send for Arc<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Arc<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Send for Weak<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Weak<T> {}

impl<T> Arc<T> {
    /// See std's.
    pub fn new(value: T) -> Self {
        let inner = Inner {
            strong: AtomicUsize::new(1),
            weak: AtomicUsize::new(1),
            tracked: Track::new(()),
            value: ManuallyDrop::new(value),
        };
        Self(NonNull::from(Box::leak(Box::new(inner))))
    }

    fn inner(&self) -> &Inner<T> {
        // SAFETY: our count keeps the allocation.
        unsafe { self.0.as_ref() }
    }

    /// See std's.
    pub fn into_raw(this: Self) -> *const T {
        let inner = ManuallyDrop::new(this).0.as_ptr();
        inner.cast::<u8>().wrapping_add(offset_of!(Inner<T>, value)).cast()
    }

    /// # Safety
    /// See std's.
    pub unsafe fn from_raw(value: *const T) -> Self {
        let inner = value.cast_mut().cast::<u8>().wrapping_sub(offset_of!(Inner<T>, value));
        Self(NonNull::new(inner.cast()).expect("an Arc is never null"))
    }

    /// # Safety
    /// See std's.
    pub unsafe fn increment_strong_count(value: *const T) {
        AT_NEXT_SHARE.with(Cell::take).into_iter().for_each(|code| code());
        // SAFETY: the caller's promise.
        let this = ManuallyDrop::new(unsafe { Self::from_raw(value) });
        let _more = ManuallyDrop::new(Self::clone(&this));
    }

    /// See std's.
    pub fn get_mut(this: &mut Self) -> Option<&mut T> {
        let inner = this.inner();
        let locked = inner.weak.compare_exchange(1, LOCKED, Ordering::Acquire, Ordering::Relaxed).is_ok();
        let unique = locked && inner.strong.load(Ordering::Acquire) == 1;
        if locked {
            inner.weak.store(1, Ordering::Release);
        }
        // SAFETY: the one strong count is ours, and there is no weak one.
        unique.then(|| unsafe { &mut *ptr::from_mut(&mut this.0.as_mut().value).cast::<T>() })
    }

    /// See std's.
    pub fn downgrade(this: &Self) -> Weak<T> {
        let weak = &this.inner().weak;
        loop {
            let count = weak.load(Ordering::Relaxed);
            let more = count != LOCKED
                && weak.compare_exchange(count, count + 1, Ordering::Acquire, Ordering::Relaxed).is_ok();
            if more {
                return Weak(this.0);
            }
            yield_now();
        }
    }

    /// See std's.
    pub fn try_unwrap(this: Self) -> Result<T, Self> {
        let alone = this.inner().strong.compare_exchange(1, 0, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if !alone {
            return Err(this);
        }
        fence(Ordering::Acquire);
        let mut this = ManuallyDrop::new(this);
        let _weak = Weak(this.0);
        // SAFETY: the last strong count is gone, so this is the value's only owner.
        Ok(unsafe { ManuallyDrop::take(&mut this.0.as_mut().value) })
    }

    /// See std's.
    pub fn ptr_eq(this: &Self, other: &Self) -> bool {
        this.0 == other.0
    }
}

impl<T> Clone for Arc<T> {
    fn clone(&self) -> Self {
        self.inner().strong.fetch_add(1, Ordering::Relaxed);
        Self(self.0)
    }
}

impl<T> Deref for Arc<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner().value
    }
}

impl<T> Drop for Arc<T> {
    fn drop(&mut self) {
        if self.inner().strong.fetch_sub(1, Ordering::Release) == 1 {
            fence(Ordering::Acquire);
            let _weak = Weak(self.0);
            // SAFETY: the last strong count is gone.
            unsafe { ManuallyDrop::drop(&mut self.0.as_mut().value) };
        }
    }
}

impl<T> Weak<T> {
    /// See std's.
    pub fn upgrade(&self) -> Option<Arc<T>> {
        // SAFETY: our count keeps the allocation.
        let strong = unsafe { &self.0.as_ref().strong };
        let mut count = strong.load(Ordering::Relaxed);
        while count != 0 {
            match strong.compare_exchange(count, count + 1, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Some(Arc(self.0)),
                Err(now) => count = now,
            }
        }
        None
    }
}

impl<T> Drop for Weak<T> {
    fn drop(&mut self) {
        // SAFETY: our count keeps the allocation.
        let weak = unsafe { &self.0.as_ref().weak };
        if weak.fetch_sub(1, Ordering::Release) == 1 {
            fence(Ordering::Acquire);
            // SAFETY: nobody has a count any more; the value is gone already, and `ManuallyDrop` leaves it alone.
            drop(unsafe { Box::from_raw(self.0.as_ptr()) });
        }
    }
}

impl<T: PartialEq> PartialEq for Arc<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Eq> Eq for Arc<T> {}

impl<T: fmt::Debug> fmt::Debug for Arc<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        T::fmt(self, f)
    }
}
