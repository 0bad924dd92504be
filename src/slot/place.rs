//! Where the slots of keys are: one place per key, the same in every context.

use std::{marker::PhantomData, mem, ptr};

use super::{At, Busy, Pages, RawSlot, Seen, Shared, Slot, Takes};
use crate::{
    identity::{self, Identity},
    sync::{Ordering, StaticUsize},
};

/// Where a key's slot is in every context.
///
/// INVARIANT: `at` is nowhere or that of an identity whose type is `T`.
pub(crate) struct Place<T> {
    at: At<RawSlot>,
    of: PhantomData<fn() -> T>,
}

impl<T> Clone for Place<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Place<T> {}

impl<T: Send + Sync + 'static> Place<T> {
    /// The place of `identity`, if it is one of values of type `T`.
    pub(crate) fn of(identity: &Identity) -> Option<Self> {
        identity.value_type().is::<T>().then(|| Self { at: identity.at(), of: PhantomData })
    }

    pub(crate) fn is_nowhere(self) -> bool {
        self.at.is_nowhere()
    }
}

/// A place that becomes known once.
pub(crate) struct PlaceCell<T> {
    page: StaticUsize,
    offset: StaticUsize,
    of: PhantomData<fn() -> T>,
}

impl<T> PlaceCell<T> {
    pub(crate) const fn nowhere() -> Self {
        let (page, offset) = At::<RawSlot>::NOWHERE.parts();
        Self { page: StaticUsize::new(page), offset: StaticUsize::new(offset), of: PhantomData }
    }

    #[inline]
    pub(crate) fn get(&'static self) -> Place<T> {
        // Acquire: pairs with the release in `set`. Whoever finds the page there finds the offset that goes with it, and the
        // identity counted.
        let page = self.page.load(Ordering::Acquire);
        // Relaxed: as above. Each that sets it stores the same. Whoever finds no page may find the offset all the same.
        let offset = self.offset.load(Ordering::Relaxed);
        Place { at: At::from_parts((page, offset)), of: PhantomData }
    }

    pub(crate) fn set(&'static self, place: Place<T>) {
        let (page, offset) = place.at.parts();
        self.offset.store(offset, Ordering::Relaxed);
        // Release: pairs with the acquire in `get`.
        self.page.store(page, Ordering::Release);
    }
}

/// The slots of a context's keys, each of its identity's type.
///
/// INVARIANT: the slot at an identity's index holds values of that identity's type only: it is written through a
/// `Place<T>`, which exists for that `T` alone.
#[derive(Default)]
pub(crate) struct KeySlots(Pages<RawSlot>);

impl KeySlots {
    #[inline]
    pub(crate) fn get<T>(&self, place: Place<T>) -> Option<&Slot<T>> {
        self.0.get(place.at).map(typed)
    }

    /// # Safety
    /// By the context's owner only.
    pub(crate) unsafe fn get_or_grow<T>(&self, place: Place<T>) -> &Slot<T> {
        // SAFETY: a context has one owner at a time.
        typed(unsafe { self.0.get_or_grow(place.at) })
    }

    /// The slot of `key`, if it was ever needed here.
    pub(crate) fn of(&self, key: &'static Identity) -> Option<KeySlot<'_>> {
        Some(KeySlot { key, slot: self.0.get(key.at())? })
    }

    /// # Safety
    /// By the context's owner only.
    pub(crate) unsafe fn of_or_grow(&self, identity: &Identity) -> &RawSlot {
        // SAFETY: a context has one owner at a time.
        unsafe { self.0.get_or_grow(identity.at()) }
    }

    /// The slots that have a value, by index.
    pub(crate) fn filled(&self) -> impl Iterator<Item = KeySlot<'_>> {
        let filled = self.0.iter().filter(|(_, slot)| slot.is_filled());
        filled.map(|(index, slot)| KeySlot { key: identity::at(index), slot })
    }

    /// The slots that have a key, filled or not, none of which has been looked at.
    pub(crate) fn keyed(&self) -> impl Iterator<Item = KeySlot<'_>> {
        self.0.iter().filter_map(|(index, slot)| Some(KeySlot { key: identity::get(index)?, slot }))
    }

    /// Every slot there is, filled or not.
    pub(crate) fn all(&self) -> impl Iterator<Item = &RawSlot> {
        self.0.iter().map(|(_, slot)| slot)
    }
}

/// The slot of a key in some context, for everybody.
///
/// INVARIANT: it holds values of the key's type.
#[derive(Clone, Copy)]
pub(crate) struct KeySlot<'a> {
    key: &'static Identity,
    slot: &'a RawSlot,
}

impl<'a> KeySlot<'a> {
    pub(crate) fn key(self) -> &'static Identity {
        self.key
    }

    pub(crate) fn raw(self) -> &'a RawSlot {
        self.slot
    }

    /// Everybody's read of the value: a count of it.
    pub(crate) fn read(self) -> Option<Shared> {
        self.inspect(None, Takes::Count, Shared::clone).unwrap_or(None)
    }

    /// The same, giving up after `tries` looks at a slot that is busy.
    pub(crate) fn read_within(self, tries: u32) -> Option<Shared> {
        self.inspect(Some(tries), Takes::Count, Shared::clone).ok().flatten()
    }

    /// A dump's look at the value. Gives up after `tries` looks at a busy slot (`None`: never).
    pub(crate) fn see(self, tries: Option<u32>) -> Result<Option<Seen>, Busy> {
        let takes = if self.key.value_type().is_copied() { Takes::Nothing } else { Takes::Count };
        self.inspect(tries, takes, Shared::see)
    }

    fn inspect<R>(
        self,
        tries: Option<u32>,
        takes: Takes,
        look: impl FnOnce(&Shared) -> R,
    ) -> Result<Option<R>, Busy> {
        self.slot.inspect(tries, takes, |value| {
            // SAFETY: a count of the key's type, by the INVARIANTs of `KeySlot` and `RawSlot`; the owner, seeing us
            // inside, lets it go to nobody and writes nothing in place, and ours is never dropped.
            let value = mem::ManuallyDrop::new(unsafe { Shared::from_raw(value, self.key.value_type()) });
            look(&value)
        })
    }
}

/// The slot that a `Place<T>` led to, as one of `T`.
fn typed<T>(raw: &RawSlot) -> &Slot<T> {
    // SAFETY: `Slot` is transparent over `RawSlot`; that it is one of `T` is the INVARIANT of `KeySlots`.
    unsafe { &*ptr::from_ref(raw).cast::<Slot<T>>() }
}
