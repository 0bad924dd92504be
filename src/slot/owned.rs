//! The owner's side of a slot: borrows, writes, and what they leave to be dropped later.

use std::{cell::Cell, marker::PhantomData, mem, ops::Deref, ptr, ptr::NonNull};

use super::{
    ARRIVED, BORROWS, INITIALISING, ONE_BORROW, PRESENT, PRESENT_ONE, RETIRED, RawSlot, Shared, Slot,
    ValueType, WRITER, Writing,
};
use crate::{
    context::Context,
    current::{self, Owner},
    panics,
    sync::{Arc, Ordering},
};

/// Values that slots gave up while the owner had borrowed them.
#[derive(Default)]
pub(crate) struct RetireList(Cell<Vec<Retired>>);

/// A value that waits for the owner's borrows of it to end.
struct Retired {
    /// Where it came from. Compared, never followed.
    slot: *const RawSlot,
    value: Shared,
    /// How many of its borrows are open; `UNCOUNTED` if it waits until none of the slot's is.
    borrows: u32,
}

/// In `Retired::borrows`: more than the slot could count.
const UNCOUNTED: u32 = PRESENT / PRESENT_ONE;

// SAFETY: the pointer is compared, never followed, and the value is `Send`.
unsafe impl Send for Retired {}

/// Values on their way out. Dropping them runs code of the user's: let go of everything first.
///
/// They drop in order, and a panic in one is contained and counted, so that the others drop too.
#[must_use = "dropping the values runs the user's code: choose where"]
#[derive(Default)]
pub(crate) struct Outgoing {
    /// The usual one, which needs no allocation. Without it there are no others.
    first: Option<Shared>,
    others: Vec<Shared>,
}

impl FromIterator<Shared> for Outgoing {
    fn from_iter<I: IntoIterator<Item = Shared>>(values: I) -> Self {
        let mut values = values.into_iter();
        Self { first: values.next(), others: values.collect() }
    }
}

impl From<Displaced<()>> for Outgoing {
    fn from(displaced: Displaced<()>) -> Self {
        let mut outgoing = Self::default();
        outgoing.add(displaced);
        outgoing
    }
}

impl Outgoing {
    pub(crate) fn add(&mut self, displaced: Displaced<()>) {
        let Displaced { value: _, shared, outgoing } = displaced;
        if let Some(value) = shared {
            self.push(value);
        }
        self.append(outgoing);
    }

    pub(crate) fn push(&mut self, value: Shared) {
        match self.first {
            None => self.first = Some(value),
            Some(_) => self.others.push(value),
        }
    }

    pub(crate) fn append(&mut self, mut other: Self) {
        if other.first.is_some() {
            other.take().for_each(|value| self.push(value));
        }
    }

    fn take(&mut self) -> impl Iterator<Item = Shared> + use<> {
        self.first.take().into_iter().chain(mem::take(&mut self.others))
    }
}

impl RetireList {
    fn add(&self, slot: &RawSlot, value: Shared, borrows: u32) {
        let mut list = self.0.take();
        list.push(Retired { slot, value, borrows });
        self.0.set(list);
    }

    /// Notes the end of a borrow of `value`, and takes the values out whose last borrow that was: all of the slot's, if it has
    /// no borrow any more.
    pub(super) fn end_borrow(&self, slot: &RawSlot, value: NonNull<()>) -> Vec<Shared> {
        let mut list = self.0.take();
        let of_value = list.iter_mut().find(|retired| retired.is(slot, value));
        if let Some(counted) = of_value.filter(|retired| retired.borrows != UNCOUNTED) {
            counted.borrows -= 1;
        }
        let is_over =
            |retired: &Retired| ptr::eq(retired.slot, slot) && (retired.borrows == 0 || slot.borrows() == 0);
        let (over, kept): (Vec<_>, _) = list.into_iter().partition(is_over);
        self.0.set(kept);
        over.into_iter().map(|retired| retired.value).collect()
    }

    pub(super) fn has(&self, slot: &RawSlot) -> bool {
        let list = self.0.take();
        let has = list.iter().any(|retired| ptr::eq(retired.slot, slot));
        self.0.set(list);
        has
    }

    pub(crate) fn is_empty(&self) -> bool {
        let list = self.0.take();
        let is_empty = list.is_empty();
        self.0.set(list);
        is_empty
    }
}

impl Retired {
    fn is(&self, slot: &RawSlot, value: NonNull<()>) -> bool {
        ptr::eq(self.slot, slot) && self.value.as_ptr() == value
    }
}

impl Drop for RetireList {
    fn drop(&mut self) {
        if !self.is_empty() {
            drop(self.0.take().into_iter().map(|retired| retired.value).collect::<Outgoing>());
        }
    }
}

impl Drop for Outgoing {
    #[inline]
    fn drop(&mut self) {
        if self.first.is_some() {
            self.take().for_each(panics::contain_drop);
        }
    }
}

/// What a write displaced, for the caller to drop or pass on once it has let go of everything.
#[must_use = "dropping the values runs the user's code: choose where"]
pub(crate) struct Displaced<T> {
    /// The former value, moved out.
    pub(crate) value: Option<T>,
    /// The former value, shared.
    pub(crate) shared: Option<Shared>,
    pub(crate) outgoing: Outgoing,
}

/// What a slot knew of a value that was put aside.
#[derive(Clone, Copy)]
pub(crate) struct Past {
    filled: u64,
    writes: u64,
}

/// A slot of the current context, with the right to write it.
pub(crate) struct OwnedRaw<'a> {
    slot: &'a RawSlot,
    of: &'static ValueType,
    owner: Owner<'a>,
}

impl<'a> OwnedRaw<'a> {
    /// # Safety
    /// `slot` is one of `owner`'s context, and `of` is the type that it is for.
    #[inline]
    pub(crate) unsafe fn new(slot: &'a RawSlot, of: &'static ValueType, owner: Owner<'a>) -> Self {
        Self { slot, of, owner }
    }

    /// Puts `new`, of the slot's type, in and gives what was there.
    pub(crate) fn exchange(&self, new: Option<Shared>) -> Displaced<()> {
        let exposed = new.is_some();
        self.put(new, exposed)
    }

    /// The same; `exposed`: whether somebody else may have `new`.
    fn put(&self, new: Option<Shared>, exposed: bool) -> Displaced<()> {
        let slot = self.slot;
        assert!(
            new.as_ref().is_none_or(|new| new.of().same(self.of)),
            "threadctx: a slot holds its own type only"
        );
        let was_empty = !slot.is_filled();
        let new = new.map_or(ptr::null_mut(), |new| new.into_raw().as_ptr());
        if was_empty && !new.is_null() {
            slot.filled.set(self.owner.next_fill());
            slot.writes.store(0, Ordering::Relaxed);
        }
        self.owner.count_values(was_empty, new.is_null());
        let alone = if slot.is_present_borrowed() { None } else { slot.try_write() };
        let Some(writing) = alone else { return self.publish(new, exposed) };
        // Release: pairs with the acquire in `is_filled`. For whoever enters, `leave` publishes it.
        let old = NonNull::new(slot.value.swap(new, Ordering::Release));
        writing.leave(exposed);
        // SAFETY: the slot's count, by its INVARIANT of this type, is given up: nobody was inside under WRITER, and
        // whoever enters now finds the new pointer.
        let shared = old.map(|old| unsafe { Shared::from_raw(old, self.of) });
        Displaced { value: None, shared, outgoing: Outgoing::default() }
    }

    /// The write when a reader may be inside, or the owner has borrowed the value: the old count is kept for them.
    fn publish(&self, new: *mut (), exposed: bool) -> Displaced<()> {
        if exposed {
            self.slot.expose();
        }
        // Release: pairs with the acquire load in `read`. Acquire is not needed: the old pointer is our own store.
        let old = NonNull::new(self.slot.value.swap(new, Ordering::Release));
        let borrows = self.slot.forget_present();
        // SAFETY: the slot's count, of this type by its INVARIANT, is given up.
        let old = old.map(|old| unsafe { Shared::from_raw(old, self.of) });
        let shared = old.clone();
        let outgoing = old.map(|old| self.put_aside(old, borrows)).unwrap_or_default();
        Displaced { value: None, shared, outgoing }
    }

    /// Keeps a count that the slot gave up, for as long as a borrow or a reader may have it.
    fn put_aside(&self, old: Shared, borrows: u32) -> Outgoing {
        if borrows != 0 {
            self.owner.retired().add(self.slot, old, borrows);
            self.slot.note(RETIRED, true);
            return Outgoing::default();
        }
        let deferred = self.owner.context().deferred();
        deferred.add(self.slot, old);
        deferred.collect()
    }

    pub(crate) fn raw(&self) -> &'a RawSlot {
        self.slot
    }

    pub(crate) fn owner(&self) -> Owner<'a> {
        self.owner
    }

    /// Another count of the value.
    pub(crate) fn share(&self) -> Option<Shared> {
        self.slot.expose();
        // Relaxed: the owner stored it.
        let value = NonNull::new(self.slot.value.load(Ordering::Relaxed))?;
        // SAFETY: by the slot's INVARIANT a count of this type, which the slot keeps: ours is never dropped.
        let value = mem::ManuallyDrop::new(unsafe { Shared::from_raw(value, self.of) });
        Some(Shared::clone(&value))
    }

    /// When the value was filled, if there is one.
    pub(crate) fn filled_at(&self) -> Option<u64> {
        self.slot.filled_at(self.owner)
    }

    /// Counts the present value as filled when that of `other` was, from which it came.
    pub(crate) fn take_over_filled(&self, other: &OwnedRaw<'_>) {
        self.slot.filled.set(other.slot.filled.get());
    }

    /// Takes over when the value of `other` was written, and how often. That may not be known, though the times of this slot
    /// are wanted: what came by an exchange is EXPOSED, so the next write is no fast one, and notes its time.
    pub(crate) fn take_over_history(&self, other: &OwnedRaw<'_>) {
        let (written, writes) = other.slot.history();
        // Relaxed: as in `stamp`.
        self.slot.written.store(written, Ordering::Relaxed);
        self.slot.writes.store(writes, Ordering::Relaxed);
    }

    /// Counts the present value as newly filled.
    pub(crate) fn refill(&self) {
        self.slot.filled.set(self.owner.next_fill());
    }

    /// Whether the value is this one.
    pub(crate) fn holds(&self, value: &Shared) -> bool {
        // Relaxed: the owner stored it.
        self.slot.value.load(Ordering::Relaxed) == value.as_ptr().as_ptr()
    }

    /// Notes that the present value came by a snapshot at this time, for keys that a dump shows.
    pub(crate) fn note_arrival(&self, at: u64) {
        // Relaxed: as in `stamp`.
        self.slot.written.store(at, Ordering::Relaxed);
        self.slot.writes.store(ARRIVED, Ordering::Relaxed);
    }

    /// What [`bring_back`](Self::bring_back) needs.
    pub(crate) fn past(&self) -> Past {
        Past { filled: self.slot.filled.get(), writes: self.slot.writes.load(Ordering::Relaxed) }
    }

    /// Counts the present value as the one that was put aside: filled when that was, and with its writes.
    pub(crate) fn bring_back(&self, past: Past) {
        self.slot.filled.set(past.filled);
        // Relaxed: as in `stamp`.
        self.slot.writes.store(past.writes, Ordering::Relaxed);
    }

    /// Notes the time of a change that is no write.
    pub(crate) fn note_time(&self, at: u64) {
        // Relaxed: as in `stamp`.
        self.slot.written.store(at, Ordering::Relaxed);
    }

    pub(crate) fn is_initialising(&self) -> bool {
        self.slot.owner.get() & INITIALISING != 0
    }

    pub(crate) fn set_initialising(&self, on: bool) {
        self.slot.note(INITIALISING, on);
    }
}

/// The same with the type known.
pub(crate) struct OwnedSlot<'a, T> {
    raw: OwnedRaw<'a>,
    of: PhantomData<Arc<T>>,
}

impl<'a, T> Deref for OwnedSlot<'a, T> {
    type Target = OwnedRaw<'a>;

    fn deref(&self) -> &OwnedRaw<'a> {
        &self.raw
    }
}

impl<'a, T: Send + Sync + 'static> OwnedSlot<'a, T> {
    /// # Safety
    /// `slot` is one of `owner`'s context.
    #[inline]
    pub(crate) unsafe fn new(slot: &'a Slot<T>, owner: Owner<'a>) -> Self {
        // SAFETY: the caller's promise; a `Slot<T>` is for values of type `T`.
        let raw = unsafe { OwnedRaw::new(slot, ValueType::of::<T>(), owner) };
        Self { raw, of: PhantomData }
    }

    /// The owner's read when no other borrow is open and nothing is noted: no atomic beyond a relaxed load.
    ///
    /// The count is compared and stored, never added to: a read that had to load what the one before has just stored would
    /// wait for it longer than for all the rest.
    #[inline]
    pub(crate) fn borrow_alone(&self) -> Option<Borrowed<T>> {
        if self.raw.slot.owner.get() == 0 { self.borrow_as(ONE_BORROW) } else { None }
    }

    /// The owner's read in every other case.
    ///
    /// # Panics
    ///
    /// If there are more open borrows of the slot than can be counted.
    pub(crate) fn borrow(&self) -> Option<Borrowed<T>> {
        let noted = self.raw.slot.owner.get();
        assert!(
            noted & BORROWS < BORROWS,
            "threadctx: {BORROWS} nested reads of one key; a read that never ends (a coroutine that was leaked inside `with`) \
             counts for ever"
        );
        let present = if noted & PRESENT == PRESENT { 0 } else { PRESENT_ONE };
        self.borrow_as(noted + present + 1)
    }

    #[inline]
    fn borrow_as(&self, noted: u32) -> Option<Borrowed<T>> {
        let slot = self.raw.slot;
        // Relaxed: the owner stored it.
        let value = NonNull::new(slot.value.load(Ordering::Relaxed))?.cast();
        slot.owner.set(noted);
        Some(Borrowed { value, slot: NonNull::from(slot), context: NonNull::from(self.raw.owner.context()) })
    }

    /// The fast write, for when the value is the owner's alone: the old value, or `new` back where this way is closed. Notes
    /// the time where one is noted.
    #[inline]
    pub(crate) fn set_in_place(&self, new: T) -> Result<T, T> {
        let slot = self.raw.slot;
        // Relaxed: the owner stored it.
        let value = slot.value.load(Ordering::Relaxed).cast::<T>();
        // Acquire: as in `try_write`. From 0 exactly: no reader, and nobody ever had an `Arc` of this allocation.
        let alone = !value.is_null()
            && slot.owner.get() == 0
            && slot.word.compare_exchange(0, WRITER, Ordering::Acquire, Ordering::Relaxed).is_ok();
        if !alone {
            return Err(new);
        }
        // SAFETY: a count of an `Arc<T>` by the slot's INVARIANT. Not EXPOSED: it is the only one, and there is no
        // `Weak`. WRITER: nobody can get one. No borrow of our own is open. So this is the value's only reference.
        let old = unsafe { ptr::replace(value, new) };
        Writing { slot, exposed: false }.leave(false);
        if slot.is_stamped() {
            slot.stamp();
        }
        Ok(old)
    }

    /// The owner's write in every other case.
    pub(crate) fn store(&self, new: T) -> Displaced<T> {
        let new = match self.store_if_unique(new) {
            Ok(displaced) => return displaced,
            Err(new) => new,
        };
        let Displaced { shared, outgoing, .. } = self.replace(new);
        Displaced { value: None, shared, outgoing }
    }

    /// Puts `new` in without looking whether it could go in place, and gives the `Arc` that was there.
    pub(crate) fn replace(&self, new: T) -> Displaced<()> {
        self.raw.put(Some(Shared::new(Arc::new(new))), false)
    }

    /// Replaces in place if `Arc::get_mut` finds nobody else, be it by a count or by a `Weak`.
    fn store_if_unique(&self, new: T) -> Result<Displaced<T>, T> {
        let slot = self.raw.slot;
        if slot.is_present_borrowed() || !slot.is_filled() {
            return Err(new);
        }
        let Some(writing) = slot.try_write() else { return Err(new) };
        // Relaxed: the owner stored it.
        let value = slot.value.load(Ordering::Relaxed).cast::<T>();
        // SAFETY: the slot's own count, of this type by its INVARIANT; the slot keeps it, so ours is never dropped.
        let mut value = mem::ManuallyDrop::new(unsafe { Arc::from_raw(value) });
        let Some(unique) = Arc::get_mut(&mut value) else {
            let exposed = writing.exposed;
            writing.leave(exposed);
            return Err(new);
        };
        let old = mem::replace(unique, new);
        writing.leave(false);
        Ok(Displaced { value: Some(old), shared: None, outgoing: Outgoing::default() })
    }

    /// The owner's look that needs no count: `look` is ours, and writes nothing.
    pub(crate) fn peek<R>(&self, look: impl FnOnce(&T) -> R) -> Option<R> {
        // Relaxed: the owner stored it.
        let value = NonNull::new(self.raw.slot.value.load(Ordering::Relaxed))?.cast::<T>();
        // SAFETY: a count of an `Arc<T>` by the slot's INVARIANT, which the owner, being here, does not let go of.
        Some(look(unsafe { value.as_ref() }))
    }

    /// Another count of the value.
    pub(crate) fn get(&self) -> Option<Arc<T>> {
        self.raw.slot.expose();
        // Relaxed: the owner stored it.
        let value = NonNull::new(self.raw.slot.value.load(Ordering::Relaxed))?.cast::<T>().as_ptr();
        // SAFETY: a count of an `Arc<T>` by the slot's INVARIANT, which the owner, being here, does not let go of.
        unsafe { Arc::increment_strong_count(value) };
        // SAFETY: the count just taken.
        Some(unsafe { Arc::from_raw(value) })
    }
}

/// The owner's own look at a value, in place. Counted in the slot, so that a write meanwhile leaves the value alone and
/// an exit meanwhile leaves the context alone.
pub(crate) struct Borrowed<T> {
    value: NonNull<T>,
    slot: NonNull<RawSlot>,
    context: NonNull<Context>,
}

impl<T> Borrowed<T> {
    /// Ends the borrow if it is the only one and no write went past it; gives it back otherwise.
    #[inline]
    pub(crate) fn end(self) -> Result<(), Self> {
        let noted = &self.slot().owner;
        if noted.get() != ONE_BORROW {
            return Err(self);
        }
        noted.set(0);
        mem::forget(self);
        Ok(())
    }

    /// Whether the slot has another value by now: a write went past the borrow.
    pub(crate) fn is_replaced(&self) -> bool {
        // Relaxed: the owner stored it.
        let present = self.slot().value.load(Ordering::Relaxed);
        present != self.value.as_ptr().cast() && !present.is_null()
    }

    #[inline]
    fn slot(&self) -> &RawSlot {
        // SAFETY: the slot lives in its context, which exit keeps while a borrow is counted (`Owner::park`).
        unsafe { self.slot.as_ref() }
    }
}

impl<T> Deref for Borrowed<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: while the slot counts this borrow, its owner (this thread: a `Borrowed` is not `Send`) replaces
        // nothing in place and retires the count instead of dropping it.
        unsafe { self.value.as_ref() }
    }
}

impl<T> Drop for Borrowed<T> {
    #[inline]
    fn drop(&mut self) {
        let noted = &self.slot().owner;
        match noted.get() {
            ONE_BORROW => noted.set(0),
            _ => end_of_borrow(self.context, self.slot, self.value.cast()),
        }
    }
}

/// The end of a borrow of `value` that is not the only one, or that a write or an exit went past: what had to wait for it goes
/// now, if it was the last.
#[cold]
fn end_of_borrow(context: NonNull<Context>, slot: NonNull<RawSlot>, value: NonNull<()>) {
    // SAFETY: as in the drop of `Borrowed`, which this is a part of.
    let raw = unsafe { slot.as_ref() };
    let mut noted = raw.owner.get() - 1;
    // Relaxed: the owner stored it.
    let is_present = raw.value.load(Ordering::Relaxed) == value.as_ptr();
    if noted & BORROWS == 0 {
        noted &= !PRESENT;
    } else if is_present && !matches!(noted & PRESENT, 0 | PRESENT) {
        return raw.owner.set(noted - PRESENT_ONE);
    }
    raw.owner.set(noted);
    if noted & RETIRED != 0 {
        drop(current::end_of_borrow(context, slot, value));
    }
}

#[cfg(all(test, not(loom), not(shuttle)))]
mod tests {
    use super::*;

    /// One more count of `value`, in a value on its way out.
    fn outgoing(value: &Arc<()>) -> Outgoing {
        [Shared::new(Arc::new(Arc::clone(value)))].into_iter().collect()
    }

    #[test]
    fn what_is_added_to_values_on_their_way_out_drops_with_them() {
        let value = Arc::new(());
        let mut all = Outgoing::default();
        (0..3).for_each(|_| all.append(outgoing(&value)));
        assert_eq!(Arc::strong_count(&value), 4);
        drop(all);
        assert_eq!(Arc::strong_count(&value), 1);
    }

    #[test]
    fn more_nested_reads_than_can_be_counted_are_refused_and_change_nothing() {
        static KEY: crate::Key<u64> = crate::Key::new("owned", "nested");
        KEY.set(7);
        let place = KEY.known_place().expect("it is known after a write");
        let noted = |change: Option<u32>| {
            current::owner(|owner| {
                let slot = owner.slot(place)?.raw();
                change.inspect(|noted| slot.owner.set(*noted));
                Some(slot.owner.get())
            })
            .flatten()
        };
        let most = BORROWS | PRESENT;
        noted(Some(most));
        let refused = std::panic::catch_unwind(|| KEY.with(|value| *value)).expect_err("one too many");
        let message = refused.downcast_ref::<String>().expect("a text");
        assert!(message.contains("nested reads of one key"), "{message}");
        assert_eq!(noted(None), Some(most));
        // One fewer can be counted, and its end gives the place back. The count of the present value stays at its maximum.
        noted(Some(most - 1));
        assert_eq!(KEY.with(|value| *value), Some(7));
        assert_eq!(noted(None), Some(most - 1));
        noted(Some(0));
        assert_eq!(KEY.with(|value| *value), Some(7));
    }

    #[test]
    fn a_retire_list_gives_what_is_of_a_slot_and_drops_the_rest() {
        let (value, slots, list) =
            (Arc::new(()), [RawSlot::default(), RawSlot::default()], RetireList::default());
        let ended = [&slots[0], &slots[1], &slots[0]].map(|slot| {
            let shared = Shared::new(Arc::new(Arc::clone(&value)));
            let ended = shared.as_ptr();
            slot.owner.set(slot.owner.get() + 2);
            list.add(slot, shared, 2);
            ended
        });
        // The second borrow of a value is its last.
        assert_eq!(list.end_borrow(&slots[0], ended[2]).len(), 0);
        assert_eq!(list.end_borrow(&slots[0], ended[2]).len(), 1);
        assert!(list.has(&slots[0]));
        // Of a slot without borrows nothing stays.
        slots[0].owner.set(0);
        assert_eq!(list.end_borrow(&slots[0], ended[2]).len(), 1);
        assert!(!list.has(&slots[0]));
        assert_eq!((Arc::strong_count(&value), list.is_empty()), (2, false));
        drop(list);
        assert_eq!(Arc::strong_count(&value), 1);
    }
}
