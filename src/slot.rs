//! Where one key's value sits in one context: written by one thread, read by all, and nobody waits for the reader.
//!
//! A slot holds at most one strong count of an `Arc<T>`. Only the **owner**, the thread its context is current on,
//! changes which one; **readers** on any thread take a count of their own.
//!
//! The atomic `word` says who is inside:
//!
//! | word | meaning |
//! |---|---|
//! | 0 | idle, and nobody but the slot has ever had the present allocation |
//! | `WRITER` | the owner is replacing the value; readers try again |
//! | n (low bits) | n readers are between having entered and having what they came for |
//! | `EXPOSED` | an `Arc` of the present allocation was handed out at some time, or the owner is to think so |
//!
//! *Owner read* ([`OwnedSlot::borrow`]): load the pointer, count the borrow in a plain cell. Nobody else changes the
//! pointer, so there is nothing to synchronise with.
//!
//! *Reader* ([`RawSlot::inspect`]): enter by compare-exchange, setting `EXPOSED`; take a count; leave. Who takes no count, but
//! copies a number or looks at something of ours, leaves `EXPOSED` alone. No code of the user's runs inside, so the stay is a
//! handful of instructions, though the scheduler may stretch it.
//!
//! *Owner write*: from 0 to `WRITER` and the value is the owner's alone: it is replaced in place
//! ([`OwnedSlot::set_in_place`]). If only `EXPOSED` stands in the way, `Arc::get_mut` decides under `WRITER`; its answer
//! also covers a `Weak` somebody kept, which a look at the strong count would not. Otherwise a new `Arc` is published by
//! swapping the pointer ([`OwnedRaw::exchange`]). With a reader inside, the old count goes to the context's
//! [`DeferredDrops`] until the last reader has left; with a borrow of the owner's own open, to the owner's [`RetireList`] until
//! the last borrow has ended.
//!
//! So a reader that is descheduled in the middle costs the owner an allocation, never a wait.

use std::{cell::Cell, marker::PhantomData, ops::Deref, ptr::NonNull};

use crate::{
    clock,
    current::Owner,
    sync::{Arc, AtomicPtr, AtomicU32, AtomicU64, Ordering, pause, spin_loop, yield_now},
};

mod deferred;
mod owned;
mod pages;
mod place;
mod seen;
mod shared;

pub(crate) use deferred::DeferredDrops;
pub(crate) use owned::{Borrowed, Displaced, Outgoing, OwnedRaw, OwnedSlot, Past, RetireList};
pub(crate) use pages::{At, Pages};
pub(crate) use place::{KeySlot, KeySlots, Place, PlaceCell};
pub(crate) use seen::Seen;
pub(crate) use shared::{Shared, ValueType};

/// The owner is inside; readers keep out and look again.
const WRITER: u32 = 1 << 31;
/// Set by whoever hands out an `Arc`, and by [`RawSlot::divert`]; cleared by the owner, under `WRITER`, once the value is
/// proven its own again.
const EXPOSED: u32 = 1 << 30;
/// The number of readers inside.
const READERS: u32 = EXPOSED - 1;

/// In `RawSlot::owner`: the retire list has former values of this slot.
const RETIRED: u32 = 1 << 31;
/// In `RawSlot::owner`: an initialiser of this slot is running further up the stack.
const INITIALISING: u32 = 1 << 30;
/// In `RawSlot::owner`: how many borrows of the owner's are open, of the present value and of former ones.
const BORROWS: u32 = PRESENT_ONE - 1;
/// In `RawSlot::owner`: how many open borrows are of the present value. At its maximum it stays there until no borrow is open. A
/// borrow that began while its value was the present one, and that is not counted here, is of a value in the retire list.
const PRESENT: u32 = INITIALISING - PRESENT_ONE;
const PRESENT_ONE: u32 = 1 << 22;
/// `RawSlot::owner` with one open borrow, which is of the present value, and nothing else.
const ONE_BORROW: u32 = PRESENT_ONE | 1;

/// Added to `RawSlot::writes` of a value that came by a snapshot, so that exactly this is one that nobody has written since. No
/// process writes a value so often that the count gets here.
const ARRIVED: u64 = 1 << 63;

/// How often a reader spins before it gives its time slice away, and how often it does that before it sleeps. A reader of
/// real-time priority has to sleep to let the owner run on its processor.
const SPINS: u32 = 32;
const YIELDS: u32 = 256;

/// The slot, its type forgotten. It drops nothing: exit empties every slot, and what a context still holds that never
/// got to exit (a forked child's copy of another thread's) may only be leaked.
///
/// INVARIANT: `value` is null or one strong count of an `Arc` of the type the slot is for, and only the owner stores it.
#[derive(Default)]
pub(crate) struct RawSlot {
    word: AtomicU32,
    /// Owner only: `RETIRED`, `INITIALISING`, `PRESENT` and `BORROWS`.
    owner: Cell<u32>,
    value: AtomicPtr<()>,
    /// Owner only: when it was filled, in the context's own count.
    filled: Cell<u64>,
    /// When it was last written, if anybody wants to know: see `is_stamped`; 0 otherwise.
    written: AtomicU64,
    /// How often since it was filled, if anybody wants to know, and `ARRIVED`.
    writes: AtomicU64,
}

// SAFETY: the two `Cell`s are touched through an `OwnedSlot`, a `Borrowed` or `RawSlot::after_fork` only, which exist
// on the one thread where the context is current; another thread gets at the atomics alone. A context that becomes
// current elsewhere (a task's) was handed over by whatever moved it there, which orders the cells too.
unsafe impl Sync for RawSlot {}

/// A reader found the owner writing each time it looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Busy;

/// What a reader keeps when it has left.
#[derive(Clone, Copy)]
enum Takes {
    /// A count of the value's.
    Count,
    /// Nothing that its owner has to know of.
    Nothing,
}

impl Takes {
    /// What it leaves in the word.
    fn mark(self) -> u32 {
        match self {
            Self::Count => EXPOSED,
            Self::Nothing => 0,
        }
    }
}

/// A reader between having entered and having what it came for.
struct Reading<'a>(&'a RawSlot);

/// The owner, with nobody else inside.
struct Writing<'a> {
    slot: &'a RawSlot,
    exposed: bool,
}

impl RawSlot {
    /// Enters as a reader, giving up after `tries` looks (`None`: never).
    fn enter(&self, tries: Option<u32>, takes: Takes) -> Result<Reading<'_>, Busy> {
        // A guess: as the word of a slot is that its owner writes again and again. If it is wrong, the word is known now, and
        // its line of memory is here; a load would have asked for the line to read it, and then again to write it.
        let mut word = 0;
        let mut tried: u32 = 0;
        loop {
            word = match self.enter_from(word, takes) {
                Ok(reading) => return Ok(reading),
                Err(now) => now,
            };
            tried = tried.wrapping_add(1);
            match tries {
                Some(most) if tried >= most => return Err(Busy),
                // It is only not as it was thought to be.
                _ if word & WRITER == 0 => {}
                _ if tried % SPINS != 0 => spin_loop(),
                None if tried / SPINS > YIELDS => pause(),
                _ => yield_now(),
            }
        }
    }

    /// One try to enter; the word as it is now if that did not do.
    fn enter_from(&self, word: u32, takes: Takes) -> Result<Reading<'_>, u32> {
        if word & WRITER != 0 {
            return Err(self.word.load(Ordering::Relaxed));
        }
        // Acquire: pairs with the release in `Writing::leave`; what the owner wrote in place is seen whole. A pointer
        // published without WRITER is ordered by its own swap and load.
        self.word
            .compare_exchange(word, (word + 1) | takes.mark(), Ordering::Acquire, Ordering::Relaxed)
            .map(|_| Reading(self))
    }

    /// Everybody's look at the present value, from inside: `look` is ours, short, and lets nothing panic, wait or drop.
    fn inspect<R>(
        &self,
        tries: Option<u32>,
        takes: Takes,
        look: impl FnOnce(NonNull<()>) -> R,
    ) -> Result<Option<R>, Busy> {
        let _inside = self.enter(tries, takes)?;
        // Acquire: pairs with the release swap in `publish`, which publishes the new value's contents.
        Ok(NonNull::new(self.value.load(Ordering::Acquire)).map(look))
    }

    #[inline]
    pub(crate) fn is_filled(&self) -> bool {
        // Acquire: pairs with the release swaps in `exchange` and `publish`. Whoever finds a name's slot empty, because the
        // owner has given the value over to its key, finds it in the key's slot.
        !self.value.load(Ordering::Acquire).is_null()
    }

    /// When the value was filled, if there is one.
    pub(crate) fn filled_at(&self, _: Owner<'_>) -> Option<u64> {
        self.is_filled().then(|| self.filled.get())
    }

    /// When it was last written (see [`clock`]) and how often since it was filled; zeros where nobody counts.
    pub(crate) fn history(&self) -> (u64, u64) {
        // Relaxed: two figures for people; they need not agree to the instruction.
        (self.written.load(Ordering::Relaxed), self.writes.load(Ordering::Relaxed) & !ARRIVED)
    }

    /// Whether the value came by a snapshot and nobody has written it since, where somebody counts.
    pub(crate) fn is_inherited(&self) -> bool {
        // Relaxed: as in `history`.
        self.writes.load(Ordering::Relaxed) == ARRIVED
    }

    /// Enters as the owner, if no reader is inside.
    #[inline]
    fn try_write(&self) -> Option<Writing<'_>> {
        let word = self.word.load(Ordering::Relaxed);
        // WRITER stands only if this runs inside a write of the same slot, called back by an allocator.
        if word & (READERS | WRITER) != 0 {
            return None;
        }
        // Acquire: pairs with the release in `Reading`'s drop: whoever was inside has taken its count before we look.
        self.word
            .compare_exchange(word, word | WRITER, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
            .then_some(Writing { slot: self, exposed: word & EXPOSED != 0 })
    }

    /// An `Arc` of the present allocation is being handed out, or one that was is being put in.
    #[inline]
    fn expose(&self) {
        // Relaxed: only the owner decides by this bit what it may do in place, and the owner is who sets it here.
        if self.word.load(Ordering::Relaxed) & EXPOSED == 0 {
            self.word.fetch_or(EXPOSED, Ordering::Relaxed);
        }
    }

    fn borrows(&self) -> u32 {
        self.owner.get() & BORROWS
    }

    /// Whether some borrow may be one of the present value.
    fn is_present_borrowed(&self) -> bool {
        self.owner.get() & PRESENT != 0
    }

    /// Notes that the present value is a new one, which is not borrowed, and gives the number of borrows of the former one.
    fn forget_present(&self) -> u32 {
        let noted = self.owner.get();
        self.owner.set(noted & !PRESENT);
        (noted & PRESENT) / PRESENT_ONE
    }

    /// Whether a reader is inside that entered before this call.
    fn has_readers(&self) -> bool {
        // Acquire, in both: pairs with the release in `Reading`'s drop.
        let mut word = self.word.load(Ordering::Acquire);
        while word & WRITER == 0 {
            // A read-modify-write that changes nothing, so that it has its place in the order of what readers do. Release: pairs
            // with the acquire in `Reading`'s drop (see `deferred`), and with the one in `enter`: a reader that enters after this
            // finds the pointer that the owner has published before it.
            match self.word.compare_exchange(word, word, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return word & READERS != 0,
                Err(now) => word = now,
            }
        }
        // The owner entered when no reader was inside.
        false
    }

    fn note(&self, bit: u32, on: bool) {
        self.owner.set(if on { self.owner.get() | bit } else { self.owner.get() & !bit });
    }

    /// Whether the fast write has to note its time: if there is one noted.
    ///
    /// Asked of the slot itself, which the write has at hand, and not of what it is for: that lies elsewhere in memory. Who
    /// begins to want the times of a slot that has none sends the owner's next write [another way](Self::divert).
    #[inline]
    fn is_stamped(&self) -> bool {
        // Relaxed: the owner stored it.
        self.written.load(Ordering::Relaxed) != 0
    }

    /// Has the owner's next write not be a [fast one](OwnedSlot::set_in_place), so that it asks again what the slot is for.
    /// For everybody; waits as a reader does.
    pub(crate) fn divert(&self) {
        // The fast write wants a word of 0, and who takes a count leaves EXPOSED.
        drop(self.enter(None, Takes::Count));
    }

    /// Notes the time of a write of the owner's.
    #[inline]
    pub(crate) fn stamp(&self) {
        // Relaxed, and no read-modify-write: the owner alone writes them.
        self.writes.store(self.writes.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        self.written.store(clock::now(), Ordering::Relaxed);
    }

    /// Notes that nobody wants the times of what is here now.
    pub(crate) fn forget_times(&self) {
        // Relaxed: as in `stamp`.
        self.written.store(0, Ordering::Relaxed);
        self.writes.store(0, Ordering::Relaxed);
    }

    /// After the end of a borrow of `value`: lets the retired values go that are not borrowed any more. Those that no reader can
    /// have either come out.
    pub(crate) fn end_borrow(&self, owner: Owner<'_>, value: NonNull<()>) -> Outgoing {
        let (retired, deferred) = (owner.retired(), owner.context().deferred());
        retired.end_borrow(self, value).into_iter().for_each(|value| deferred.add(self, value));
        self.note(RETIRED, retired.has(self));
        deferred.collect()
    }

    pub(crate) fn is_borrowed(&self, _: Owner<'_>) -> bool {
        self.borrows() != 0
    }

    /// In a forked child, for the context of the thread that forked: readers that were inside no longer exist.
    pub(crate) fn after_fork(&self, _: Owner<'_>) {
        // Relaxed: there is one thread.
        let word = self.word.load(Ordering::Relaxed);
        self.word.store(word & EXPOSED, Ordering::Relaxed);
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        // Release: pairs with the acquire in `try_write` and `has_readers`: our count was taken before the owner finds us gone.
        // Acquire: pairs with the release in `has_readers`: if the owner found us inside, we find that a value waits for us.
        self.0.word.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Writing<'_> {
    /// Lets readers in again. `exposed`: whether somebody may have the value that is there now.
    #[inline]
    fn leave(self, exposed: bool) {
        // Release: pairs with the acquire in `enter`. A plain store: while WRITER stands nobody else changes the word.
        self.slot.word.store(if exposed { EXPOSED } else { 0 }, Ordering::Release);
    }
}

/// A slot of a type that is known by construction.
#[repr(transparent)]
pub(crate) struct Slot<T> {
    raw: RawSlot,
    of: PhantomData<Arc<T>>,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self { raw: RawSlot::default(), of: PhantomData }
    }
}

impl<T> Deref for Slot<T> {
    type Target = RawSlot;

    fn deref(&self) -> &RawSlot {
        &self.raw
    }
}

impl<T: Send + Sync + 'static> Slot<T> {
    /// Everybody's read: a count of the present value.
    pub(crate) fn read(&self) -> Option<Arc<T>> {
        let shared = self.raw.inspect(None, Takes::Count, |value| {
            // SAFETY: by the slot's INVARIANT a count of an `Arc<T>`; the owner, seeing us inside, lets it go to nobody.
            unsafe { Arc::increment_strong_count(value.cast::<T>().as_ptr()) };
            value.cast::<T>().as_ptr()
        });
        // SAFETY: the pointer is of an `Arc<T>`, and the count taken above is ours to give.
        shared.unwrap_or(None).map(|value| unsafe { Arc::from_raw(value) })
    }

    /// Everybody's look at the value from inside, for types of ours: see [`RawSlot::inspect`].
    pub(crate) fn look<R>(&self, tries: Option<u32>, look: impl FnOnce(&T) -> R) -> Result<Option<R>, Busy> {
        // SAFETY: by the slot's INVARIANT a count of an `Arc<T>`; the owner, seeing us inside, lets it go to nobody and
        // writes nothing in place.
        self.raw.inspect(tries, Takes::Nothing, |value| look(unsafe { value.cast::<T>().as_ref() }))
    }
}

#[cfg(all(test, not(loom), not(shuttle)))]
mod tests {
    use super::*;
    use std::{thread, time::Duration};

    #[test]
    fn a_reader_waits_for_the_owner_to_leave_and_gives_up_when_told_to() {
        let slot = RawSlot::default();
        slot.word.store(WRITER, Ordering::Relaxed);
        assert!(slot.enter(Some(100), Takes::Count).is_err());
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(10));
                slot.word.store(0, Ordering::Release);
            });
            assert!(slot.enter(Some(u32::MAX), Takes::Count).is_ok());
        });
        assert_eq!(slot.word.load(Ordering::Relaxed), EXPOSED, "it has left, and leaves its mark");
    }

    /// A thread that only yields is always ready to run.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[test]
    fn a_reader_that_waits_for_long_sleeps_so_that_the_owner_can_run_on_its_processor() {
        let slot = RawSlot::default();
        slot.word.store(WRITER, Ordering::Relaxed);
        let (send, receive) = std::sync::mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(|| {
                send.send(crate::os::thread_number()).expect("it is received");
                drop(slot.enter(None, Takes::Count));
            });
            let stat = format!("/proc/self/task/{}/stat", receive.recv().expect("it is sent"));
            let sleeps = || std::fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") S "));
            while !sleeps() {
                thread::yield_now();
            }
            slot.word.store(0, Ordering::Release);
        });
        assert_eq!(slot.word.load(Ordering::Relaxed), EXPOSED);
    }

    #[test]
    fn as_many_writes_as_there_can_be_are_counted_and_none_of_them_reads_as_an_arrival() {
        let slot = RawSlot::default();
        for before in [0, ARRIVED, (1 << 31) - 1, u64::from(u32::MAX), u64::from(u32::MAX) | ARRIVED] {
            slot.writes.store(before, Ordering::Relaxed);
            slot.stamp();
            let after = (before & !ARRIVED) + 1;
            assert_eq!((slot.history().1, slot.is_inherited()), (after, false), "after {before:#x}");
        }
    }
}
