//! One shared value with its type forgotten: an `Arc<T>` behind a thin pointer that knows how to become one again.
//!
//! `Arc<dyn Any>` would do the same, but a slot has room for a thin pointer only, and loom's `Arc` does not coerce.

use std::{
    any::{Any, TypeId},
    fmt, mem,
    ptr::{self, NonNull},
};

use super::seen::{Copied, Seen};
use crate::{current, sync::Arc};

/// What is known of a type once its name is gone from the signature.
pub(crate) struct ValueType {
    id: fn() -> TypeId,
    name: fn() -> &'static str,
    share: unsafe fn(NonNull<()>),
    release: unsafe fn(NonNull<()>),
    any: unsafe fn(NonNull<()>) -> NonNull<dyn Any + Send + Sync>,
    is_copied: fn() -> bool,
    copy: unsafe fn(NonNull<()>) -> Option<Copied>,
}

impl ValueType {
    pub(crate) fn of<T: Send + Sync + 'static>() -> &'static Self {
        const {
            &Self {
                id: TypeId::of::<T>,
                name: std::any::type_name::<T>,
                share: share::<T>,
                release: release::<T>,
                any: any::<T>,
                is_copied: Copied::takes::<T>,
                copy: copy::<T>,
            }
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        (self.name)()
    }

    pub(crate) fn is<T: Send + Sync + 'static>(&self) -> bool {
        self.same(Self::of::<T>())
    }

    /// Whether a dump [sees](Shared::see) values of this type by a copy.
    pub(super) fn is_copied(&self) -> bool {
        (self.is_copied)()
    }

    #[inline]
    pub(crate) fn same(&self, other: &Self) -> bool {
        // One type may have several of these, one in each part of the program that was compiled by itself.
        ptr::eq(self, other) || (self.id)() == (other.id)()
    }
}

/// # Safety
/// `value` is of an `Arc<T>` that is alive.
unsafe fn share<T>(value: NonNull<()>) {
    // SAFETY: the caller's promise.
    unsafe { Arc::increment_strong_count(value.cast::<T>().as_ptr()) };
}

/// # Safety
/// `value` is of an `Arc<T>`, one strong count of which the caller gives up.
unsafe fn release<T>(value: NonNull<()>) {
    // SAFETY: the caller's promise.
    drop(unsafe { Arc::from_raw(value.cast::<T>().as_ptr()) });
}

/// # Safety
/// None: no memory is touched. It is unsafe so that only an owner of the right pointer finds it callable.
unsafe fn any<T: Any + Send + Sync>(value: NonNull<()>) -> NonNull<dyn Any + Send + Sync> {
    value.cast::<T>()
}

/// # Safety
/// `value` is of an `Arc<T>` that is alive, and nobody writes it meanwhile.
unsafe fn copy<T: 'static>(value: NonNull<()>) -> Option<Copied> {
    // SAFETY: the caller's promise.
    Copied::of(unsafe { value.cast::<T>().as_ref() })
}

/// One strong count of an `Arc` of some type.
///
/// INVARIANT: `value` came from `Arc::<T>::into_raw` where `of` is `ValueType::of::<T>()`, and one strong count is ours.
pub(crate) struct Shared {
    value: NonNull<()>,
    of: &'static ValueType,
}

// SAFETY: it is an `Arc<T>`, and `ValueType::of` asks for `T: Send + Sync`: one thread may read the value while
// another drops the last count, just as with the `Arc`.
unsafe impl Send for Shared {}
// SAFETY: as above; `&Shared` gives `&T` and clones of the `Arc`, which two threads may have at once.
unsafe impl Sync for Shared {}

impl Shared {
    pub(crate) fn new<T: Send + Sync + 'static>(value: Arc<T>) -> Self {
        let value = NonNull::new(Arc::into_raw(value).cast_mut()).expect("an Arc is never null");
        Self { value: value.cast(), of: ValueType::of::<T>() }
    }

    /// # Safety
    /// `value` came from [`into_raw`](Self::into_raw) of a `Shared` of this type, and its strong count is given up to
    /// the result.
    pub(super) unsafe fn from_raw(value: NonNull<()>, of: &'static ValueType) -> Self {
        Self { value, of }
    }

    pub(super) fn as_ptr(&self) -> NonNull<()> {
        self.value
    }

    pub(super) fn into_raw(self) -> NonNull<()> {
        mem::ManuallyDrop::new(self).value
    }

    /// The same as an `Arc` of its type, or itself where `T` is not that.
    pub(crate) fn downcast<T: Send + Sync + 'static>(self) -> Result<Arc<T>, Self> {
        if !self.of.is::<T>() {
            return Err(self);
        }
        let value = self.into_raw().cast::<T>().as_ptr();
        // SAFETY: by the INVARIANT this is the pointer of an `Arc<T>`; `into_raw` gave its count up to us.
        Ok(unsafe { Arc::from_raw(value) })
    }

    /// Another count as an `Arc` of its type, if `T` is that.
    pub(crate) fn share_as<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let value = self.of.is::<T>().then(|| self.value.cast::<T>().as_ptr())?;
        // SAFETY: by the INVARIANT of an `Arc<T>`, alive by our own count.
        unsafe { Arc::increment_strong_count(value) };
        // SAFETY: the count just taken.
        Some(unsafe { Arc::from_raw(value) })
    }

    pub(crate) fn as_any(&self) -> &(dyn Any + Send + Sync) {
        // SAFETY: the pointer is of the type `of` was made for, by the INVARIANT.
        let any = unsafe { (self.of.any)(self.value) };
        // SAFETY: our strong count keeps the value alive and shared for as long as `self` is borrowed.
        unsafe { any.as_ref() }
    }

    /// The value as a dump keeps it.
    pub(crate) fn see(&self) -> Seen {
        // SAFETY: by the INVARIANT of this type; our strong count keeps the value alive and shared.
        let copied = unsafe { (self.of.copy)(self.value) };
        copied.map_or_else(|| Seen::Counted(self.clone()), Seen::Copied)
    }

    pub(crate) fn of(&self) -> &'static ValueType {
        self.of
    }

    /// Whether both are counts of one allocation.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Clone for Shared {
    fn clone(&self) -> Self {
        // SAFETY: by the INVARIANT an `Arc` of this type, alive by our own count.
        unsafe { (self.of.share)(self.value) };
        Self { value: self.value, of: self.of }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // It may be the last count, and the value's drop is the user's code.
        current::assert_outside_owner();
        // SAFETY: by the INVARIANT one count is ours, and this is its end.
        unsafe { (self.of.release)(self.value) };
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shared<{}>", self.of.name())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn comes_back_as_what_it_was_and_as_nothing_else() {
        let value = Arc::new(String::from("kept"));
        let shared = Shared::new(Arc::clone(&value));
        let shared = shared.downcast::<u64>().expect_err("it is a String");
        assert_eq!(shared.as_any().downcast_ref::<String>(), Some(&*value));
        let copy = shared.clone();
        assert!(copy.same(&shared));
        assert!(Arc::ptr_eq(&copy.downcast::<String>().expect("a String"), &value));
        drop(shared);
        assert_eq!(Arc::strong_count(&value), 1);
    }

    #[test]
    fn holds_a_type_without_a_size() {
        let shared = Shared::new(Arc::new(()));
        assert!(shared.clone().downcast::<()>().is_ok());
        assert!(shared.of().is::<()>());
    }
}
