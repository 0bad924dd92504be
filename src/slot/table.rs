//! A table that grows without moving: buckets of doubling size, each allocated when first needed.
//!
//! A reference into it stays good for as long as the table lives, so that readers on other threads never meet a
//! reallocation and the owner's look-up is two loads.

use std::{
    iter,
    marker::PhantomData,
    ptr::{self, NonNull},
};

use crate::sync::{self, AtomicPtr, AtomicU32, Ordering};

/// Entries in bucket 0; bucket `b` holds `FIRST << b`.
const FIRST: usize = sync::FIRST_BUCKET;
/// One more than can be filled: the last stays empty for ever, and [`At::NOWHERE`] points into it.
const BUCKETS: usize = sync::BUCKETS;
/// Bits of an [`At`] that name the bucket; the rest is the offset within it.
const BUCKET_BITS: u32 = BUCKETS.next_power_of_two().ilog2();

/// Where an entry is: bucket and offset in bytes, worked out once so that the hot path need not.
///
/// INVARIANT: the bucket is below `BUCKETS`, and the offset is that of one of its entries, or the bucket is the last.
pub(crate) struct At<S> {
    bits: usize,
    of: PhantomData<fn() -> S>,
}

impl<S> Clone for At<S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for At<S> {}

impl<S> At<S> {
    /// In the bucket that is never allocated: a look-up finds nothing.
    pub(crate) const NOWHERE: Self = Self::from_bits(BUCKETS - 1);

    /// Panics past 67 million entries.
    pub(crate) fn index(index: usize) -> Self {
        let position = index + FIRST;
        let bucket = (position / FIRST).ilog2() as usize;
        let offset = (position - (FIRST << bucket)).checked_mul(size_of::<S>());
        let offset = offset.filter(|offset| offset.leading_zeros() >= BUCKET_BITS && bucket < BUCKETS - 1);
        let offset = offset.unwrap_or_else(|| panic!("threadctx: a table cannot have {index} entries"));
        Self::from_bits(offset << BUCKET_BITS | bucket)
    }

    pub(crate) const fn bits(self) -> usize {
        self.bits
    }

    /// `bits` must come from [`At::bits`] of the same type: the table trusts them.
    pub(super) const fn from_bits(bits: usize) -> Self {
        Self { bits, of: PhantomData }
    }

    const fn bucket(self) -> usize {
        self.bits & ((1 << BUCKET_BITS) - 1)
    }

    const fn offset(self) -> usize {
        self.bits >> BUCKET_BITS
    }
}

/// INVARIANT: a bucket's pointer is null, or that of a leaked `Box<[S]>` of `FIRST << bucket` entries which only
/// `Drop` takes back. A bucket whose bit is set in `allocated` is not null.
pub(crate) struct Table<S> {
    buckets: [AtomicPtr<S>; BUCKETS],
    /// A bit for each bucket that is allocated: iteration need not look at the others.
    allocated: AtomicU32,
    owns: PhantomData<S>,
}

impl<S> Table<S> {
    #[cfg(not(loom))]
    pub(crate) const fn new() -> Self {
        let buckets = [const { AtomicPtr::new(ptr::null_mut()) }; BUCKETS];
        Self { buckets, allocated: AtomicU32::new(0), owns: PhantomData }
    }

    /// Loom's atomics cannot be made at compile time.
    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        let buckets = std::array::from_fn(|_| AtomicPtr::new(ptr::null_mut()));
        Self { buckets, allocated: AtomicU32::new(0), owns: PhantomData }
    }

    #[inline]
    pub(crate) fn get(&self, at: At<S>) -> Option<&S> {
        // Acquire: pairs with the release in `grow`, which publishes the bucket's entries.
        // SAFETY: by the INVARIANT of `At` there is such a bucket.
        let bucket = unsafe { self.buckets.get_unchecked(at.bucket()) }.load(Ordering::Acquire);
        if bucket.is_null() {
            return None;
        }
        // SAFETY: by the INVARIANT of `At` the offset of an entry of the bucket, which is allocated.
        let entry = unsafe { bucket.byte_add(at.offset()) };
        // SAFETY: by the INVARIANT the entry is initialised and lives as long as `self`; nobody has it mutably.
        Some(unsafe { &*entry })
    }

    /// Each allocated bucket's entries with the index of the first.
    fn allocated(&self) -> impl Iterator<Item = (usize, NonNull<[S]>)> {
        // Acquire: pairs with the release in `grow`. Whoever learnt from the owner that an entry is there finds it.
        let mut left = self.allocated.load(Ordering::Acquire);
        iter::from_fn(move || {
            let bucket = (left != 0).then(|| left.trailing_zeros() as usize)?;
            left &= left - 1;
            // Acquire: as in `get`.
            let entries = NonNull::new(self.buckets[bucket].load(Ordering::Acquire))?;
            let length = FIRST << bucket;
            Some((length - FIRST, NonNull::slice_from_raw_parts(entries, length)))
        })
    }

    /// Every allocated entry with its index.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &S)> {
        self.allocated().flat_map(|(first, entries)| {
            // SAFETY: by the INVARIANT a slice of that length that lives as long as `self`; nobody has it mutably.
            (first..).zip(unsafe { entries.as_ref() })
        })
    }
}

impl<S: Default> Table<S> {
    pub(crate) fn get_or_grow(&self, at: At<S>) -> &S {
        assert!(at.bucket() < BUCKETS - 1, "threadctx: a key was used before it had a place");
        self.get(at).unwrap_or_else(|| self.grow(at))
    }

    #[cold]
    fn grow(&self, at: At<S>) -> &S {
        let fresh: Box<[S]> = (0..FIRST << at.bucket()).map(|_| S::default()).collect();
        let fresh = Box::into_raw(fresh);
        // Release: publishes the entries to `get`'s acquire.
        let slot = &self.buckets[at.bucket()];
        if slot.compare_exchange(ptr::null_mut(), fresh.cast(), Ordering::Release, Ordering::Relaxed).is_err()
        {
            // SAFETY: it was leaked above and nobody has seen it, since the exchange failed.
            drop(unsafe { Box::from_raw(fresh) });
        }
        // Release: pairs with the acquire in `allocated`.
        self.allocated.fetch_or(1 << at.bucket(), Ordering::Release);
        self.get(at).expect("the bucket is there: it was just published, by us or by somebody else")
    }
}

impl<S> Drop for Table<S> {
    fn drop(&mut self) {
        for (_, entries) in self.allocated() {
            // SAFETY: by the INVARIANT this is the box that `grow` leaked, and nobody else frees it.
            drop(unsafe { Box::from_raw(entries.as_ptr()) });
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_index_has_a_place_of_its_own_that_iteration_finds() {
        let table: Table<std::sync::OnceLock<usize>> = Table::new();
        let mut places = HashSet::new();
        for index in 0..1_000 {
            let at = At::<std::sync::OnceLock<usize>>::index(index);
            assert!(places.insert(at.bits()), "{index} shares a place");
            table.get_or_grow(at).set(index).expect("untouched");
        }
        let seen: Vec<_> = table.iter().filter_map(|(index, entry)| Some((index, *entry.get()?))).collect();
        assert_eq!(seen, (0..1_000).map(|index| (index, index)).collect::<Vec<_>>());
    }

    #[test]
    fn nowhere_is_never_found() {
        let table: Table<u8> = Table::new();
        for index in [0, 7, 8, 100_000] {
            table.get_or_grow(At::index(index));
        }
        assert!(table.get(At::NOWHERE).is_none());
    }

    #[test]
    fn an_entry_never_moves() {
        let table: Table<u64> = Table::new();
        let before: *const u64 = table.get_or_grow(At::index(3));
        (0..10_000).for_each(|index| assert_eq!(*table.get_or_grow(At::index(index)), 0));
        assert!(ptr::eq(before, table.get_or_grow(At::index(3))));
    }
}
