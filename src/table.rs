//! A table that any thread may grow, without a lock and without moving what is in it: buckets of doubling size, each made
//! when it is first needed.

use crate::sync::{BUCKETS, FIRST_BUCKET, OnceBox};

/// Bucket `b` has `FIRST_BUCKET << b` entries.
pub(crate) struct Table<T> {
    buckets: [OnceBox<Vec<T>>; BUCKETS],
}

/// The bucket of an index, and where in it the entry is.
fn place(index: usize) -> (usize, usize) {
    let position = index + FIRST_BUCKET;
    let bucket = (position / FIRST_BUCKET).ilog2() as usize;
    (bucket, position - (FIRST_BUCKET << bucket))
}

impl<T> Table<T> {
    #[cfg(not(loom))]
    pub(crate) const fn new() -> Self {
        Self { buckets: [const { OnceBox::new() }; BUCKETS] }
    }

    /// Loom's atomics cannot be made at compile time.
    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        Self { buckets: std::array::from_fn(|_| OnceBox::new()) }
    }

    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        let (bucket, offset) = place(index);
        self.buckets.get(bucket)?.get()?.get(offset)
    }
}

impl<T: Default> Table<T> {
    pub(crate) fn get_or_grow(&self, index: usize) -> &T {
        let (bucket, offset) = place(index);
        // If two threads make the same bucket, the one that comes second takes the other's.
        let make = || Box::new((0..FIRST_BUCKET << bucket).map(|_| T::default()).collect());
        &self.buckets[bucket].get_or_init(make)[offset]
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::{ptr, sync::OnceLock};

    #[test]
    fn every_index_has_an_entry_of_its_own() {
        let table: Table<OnceLock<usize>> = Table::new();
        assert!((0..1_000).all(|index| table.get(index).is_none_or(|entry| entry.get().is_none())));
        (0..1_000).for_each(|index| table.get_or_grow(index).set(index).expect("nobody else's"));
        assert!((0..1_000).all(|index| table.get(index).and_then(OnceLock::get) == Some(&index)));
    }

    #[test]
    fn an_entry_never_moves() {
        let table: Table<OnceLock<usize>> = Table::new();
        let before = ptr::from_ref(table.get_or_grow(3));
        (0..10_000).for_each(|index| assert!(table.get_or_grow(index).get().is_none()));
        assert!(ptr::eq(before, table.get_or_grow(3)));
    }
}
