//! The slots of one context: small pages that never move, found through an array that its owner makes longer.
//!
//! A reference into a page stays good for as long as the pages live, so that readers on other threads never meet a
//! reallocation. A context that uses few of many keys has few pages.

use std::{array, cell::Cell, iter, marker::PhantomData};

use crate::sync::{self, AtomicPtr, AtomicUsize, Ordering, fence};

/// Entries in a page.
const PAGE: usize = sync::PAGE;
/// How many pages the first array has room for.
const FIRST: usize = sync::FIRST_PAGES;

/// In this order: an offset in the page is one in its entries.
#[repr(C)]
struct Page<S> {
    entries: [S; PAGE],
    number: usize,
    /// The page after this one by number, or null.
    next: AtomicPtr<Self>,
}

/// Where an entry is: page and offset in bytes, worked out once so that the hot path need not.
///
/// INVARIANT: the offset is that of one of a page's entries, whether the page is there or not.
pub(crate) struct At<S> {
    page: usize,
    offset: usize,
    of: PhantomData<fn() -> S>,
}

impl<S> Clone for At<S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for At<S> {}

impl<S> At<S> {
    /// In a page that there never is: a look-up finds nothing.
    pub(crate) const NOWHERE: Self = Self::from_parts((usize::MAX, 0));

    pub(super) fn is_nowhere(self) -> bool {
        self.page == Self::NOWHERE.page
    }

    pub(crate) fn index(index: usize) -> Self {
        Self::from_parts((index / PAGE, index % PAGE * size_of::<S>()))
    }

    pub(super) const fn parts(self) -> (usize, usize) {
        (self.page, self.offset)
    }

    /// The offset must come from [`At::parts`] of the same type: the pages trust it.
    pub(super) const fn from_parts((page, offset): (usize, usize)) -> Self {
        Self { page, offset, of: PhantomData }
    }
}

/// INVARIANT: `pages` points to at least `length` pointers, in `all` or one of the arrays before it. Each is null or that of
/// a leaked `Box<Page>`, which only `Drop` takes back. From `first` on, `next` leads to each of them.
pub(crate) struct Pages<S> {
    /// Never more than `pages` has room for, whichever of the two somebody sees first: see `lengthen`.
    length: AtomicUsize,
    pages: AtomicPtr<AtomicPtr<Page<S>>>,
    /// The page of the lowest number, or null: whoever wants all pages need not look for them among the pointers.
    first: AtomicPtr<Page<S>>,
    all: Cell<Array<S>>,
    owns: PhantomData<S>,
}

// SAFETY: whoever has a page may share and drop its entries. `all` is touched by `lengthen`, which its callers promise to
// call from one thread at a time, and by `Drop`.
unsafe impl<S: Send + Sync> Sync for Pages<S> {}

/// The pointers to the pages. A `Vec`, since a `Box` that moves would claim what others are reading.
struct Array<S> {
    pages: Vec<AtomicPtr<Page<S>>>,
    /// The shorter one in which somebody may still be reading.
    _before: Option<Box<Self>>,
}

impl<S> Default for Array<S> {
    fn default() -> Self {
        Self { pages: Vec::new(), _before: None }
    }
}

impl<S> Default for Pages<S> {
    fn default() -> Self {
        Self {
            length: AtomicUsize::new(0),
            pages: AtomicPtr::default(),
            first: AtomicPtr::default(),
            all: Cell::default(),
            owns: PhantomData,
        }
    }
}

impl<S> Pages<S> {
    #[inline]
    pub(crate) fn get(&self, at: At<S>) -> Option<&S> {
        // Acquire: pairs with the release in `grow`, which publishes the page's entries.
        let page = self.pointer(at.page)?.load(Ordering::Acquire);
        if page.is_null() {
            return None;
        }
        // SAFETY: by the INVARIANT of `At` the offset of an entry, and by that of `Pages` the page is there.
        let entry = unsafe { page.byte_add(at.offset) }.cast::<S>();
        // SAFETY: by the INVARIANT the entry is initialised and lives as long as `self`; nobody has it mutably.
        Some(unsafe { &*entry })
    }

    #[inline]
    fn pointer(&self, page: usize) -> Option<&AtomicPtr<Page<S>>> {
        // Acquire, both: pair with the releases in `lengthen`.
        if page >= self.length.load(Ordering::Acquire) {
            return None;
        }
        // SAFETY: by the INVARIANT there are so many pointers.
        let pointer = unsafe { self.pages.load(Ordering::Acquire).add(page) };
        // SAFETY: it points into an array, which is kept for as long as `self`.
        Some(unsafe { &*pointer })
    }

    /// Every page there is, by number.
    fn present(&self) -> impl Iterator<Item = &Page<S>> {
        iter::successors(self.follow(&self.first), |page| self.follow(&page.next))
    }

    fn follow(&self, link: &AtomicPtr<Page<S>>) -> Option<&Page<S>> {
        // Acquire: pairs with the release in `grow`. Whoever learnt from the owner that an entry is there finds it.
        let page = link.load(Ordering::Acquire);
        // SAFETY: by the INVARIANT null or a page that lives as long as `self`; nobody has it mutably.
        unsafe { page.as_ref() }
    }

    /// Every entry there is, with its index.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &S)> {
        self.present().flat_map(|page| (page.number * PAGE..).zip(&page.entries))
    }
}

impl<S: Default> Pages<S> {
    /// # Safety
    /// Not on two threads at once.
    pub(crate) unsafe fn get_or_grow(&self, at: At<S>) -> &S {
        self.get(at).unwrap_or_else(|| {
            self.grow(at.page);
            self.get(at).expect("the page is there now")
        })
    }

    /// An allocator that calls back here may do the same meanwhile: whoever comes second takes what the other made.
    #[cold]
    fn grow(&self, page: usize) {
        assert!(page != At::<S>::NOWHERE.page, "threadctx: a key was used before it had a place");
        self.lengthen(page);
        let entries = array::from_fn(|_| S::default());
        let fresh = Box::new(Page { entries, number: page, next: AtomicPtr::default() });
        let pointer = self.pointer(page).expect("the array is long enough now");
        // Relaxed, all that is not said to be anything else: no other thread writes any of this.
        if !pointer.load(Ordering::Relaxed).is_null() {
            return;
        }
        let link = self.link_to(page);
        fresh.next.store(link.load(Ordering::Relaxed), Ordering::Relaxed);
        let fresh = Box::into_raw(fresh);
        // Release, both: they publish the page.
        pointer.store(fresh, Ordering::Release);
        link.store(fresh, Ordering::Release);
        // Pairs with the one in `Identity::note_times`: who leaves a note for all owners and then looks for their pages finds
        // this one, or its owner, from here on, finds the note.
        fence(Ordering::SeqCst);
    }

    /// What leads to a page of this number, or would.
    fn link_to(&self, page: usize) -> &AtomicPtr<Page<S>> {
        let before = (0..page).rev().find_map(|before| self.follow(self.pointer(before)?));
        before.map_or(&self.first, |before| &before.next)
    }

    /// Makes room for the pointer to `page`.
    fn lengthen(&self, page: usize) {
        // Relaxed, all loads: no other thread writes what is loaded.
        let length = self.length.load(Ordering::Relaxed);
        if page < length {
            return;
        }
        let pages: Vec<_> =
            (0..(page + 1).next_power_of_two().max(FIRST)).map(|_| AtomicPtr::default()).collect();
        let mut link = (length > 0).then(Box::<Array<S>>::default);
        if self.length.load(Ordering::Relaxed) != length {
            return self.lengthen(page);
        }
        // From here on nothing allocates or frees.
        let before = self.all.take();
        for (new, old) in pages.iter().zip(&before.pages) {
            new.store(old.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        if let Some(link) = &mut link {
            **link = before;
        }
        // Release, both, in this order: who sees the new length sees the new array, and what is in it.
        self.pages.store(pages.as_ptr().cast_mut(), Ordering::Release);
        self.length.store(pages.len(), Ordering::Release);
        self.all.set(Array { pages, _before: link });
    }
}

impl<S> Drop for Pages<S> {
    fn drop(&mut self) {
        // Relaxed, both: nobody else is here.
        let mut page = self.first.load(Ordering::Relaxed);
        while !page.is_null() {
            // SAFETY: by the INVARIANT this is the box that `grow` leaked, and nobody else frees it.
            let last = unsafe { Box::from_raw(page) };
            page = last.next.load(Ordering::Relaxed);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::{collections::HashSet, ptr, sync::OnceLock};

    /// Each test has its pages to itself.
    fn grown<S: Default>(pages: &Pages<S>, index: usize) -> &S {
        // SAFETY: there is one thread.
        unsafe { pages.get_or_grow(At::index(index)) }
    }

    #[test]
    fn every_index_has_a_place_of_its_own_that_iteration_finds() {
        let pages: Pages<OnceLock<usize>> = Pages::default();
        let mut places = HashSet::new();
        for index in 0..1_000 {
            assert!(places.insert(At::<OnceLock<usize>>::index(index).parts()), "{index} shares a place");
            grown(&pages, index).set(index).expect("nobody else's");
        }
        let seen: Vec<_> = pages.iter().filter_map(|(index, entry)| Some((index, *entry.get()?))).collect();
        assert_eq!(seen, (0..1_000).map(|index| (index, index)).collect::<Vec<_>>());
    }

    #[test]
    fn nowhere_is_never_found() {
        let pages: Pages<u8> = Pages::default();
        assert!(pages.get(At::NOWHERE).is_none());
        [0, 7, 8, 100_000].iter().for_each(|index| assert_eq!(*grown(&pages, *index), 0));
        assert!(pages.get(At::NOWHERE).is_none());
    }

    #[test]
    fn an_entry_never_moves() {
        let pages: Pages<u64> = Pages::default();
        let before = ptr::from_ref(grown(&pages, 3));
        (0..10_000).for_each(|index| assert_eq!(*grown(&pages, index), 0));
        assert!(ptr::eq(before, grown(&pages, 3)));
    }

    #[test]
    fn whoever_still_looks_into_a_shorter_array_finds_what_was_there() {
        let pages: Pages<u64> = Pages::default();
        grown(&pages, 0);
        let pointer = pages.pointer(0).expect("it was grown");
        let page = pointer.load(Ordering::Relaxed);
        (1..1_000).for_each(|number| assert_eq!(*grown(&pages, number * PAGE), 0));
        assert_eq!(pointer.load(Ordering::Relaxed), page);
    }

    #[test]
    fn there_are_the_pages_that_were_needed_and_no_others_in_order() {
        let pages: Pages<u64> = Pages::default();
        for index in [100_003, 3, 50_000, 9, 100_003] {
            grown(&pages, index);
        }
        let there: Vec<_> = pages.iter().map(|(index, _)| index).step_by(PAGE).collect();
        assert_eq!(there, [0, 8, 50_000, 100_000]);
        assert!(pages.get(At::index(50_008)).is_none());
    }
}
