//! Values that a slot gave up while a reader was inside: they drop as soon as that reader has left.
//!
//! A reader that is inside a slot may hold the pointer to any value that the slot had since the reader entered. So the owner
//! puts the value that it replaces [aside](DeferredDrops::add), and looks once more whether a reader is inside. Both sides do
//! two things in opposite order, each with a read-modify-write of the slot's word in the middle:
//!
//! - the owner notes in `pending` that a value waits, and then asks the word for readers;
//! - a reader leaves by the word, and then looks at `pending`.
//!
//! So either the owner finds the slot without readers, or the last reader to leave finds that a value waits. Whichever it is
//! [collects](DeferredDrops::collect). Nobody waits for the collector: a thread that comes meanwhile leaves a request, and
//! the collector looks again.

use std::ptr;

use super::{Outgoing, RawSlot, Shared};
use crate::sync::{AtomicPtr, AtomicU32, Ordering, yield_now};

/// The values of one context that wait for readers to leave.
pub(crate) struct DeferredDrops {
    /// A stack, whole or in the hands of the collector. INVARIANT: each entry came from `Box::into_raw`.
    entries: AtomicPtr<Entry>,
    /// How many values wait: added to before one is pushed, and taken from after it was collected.
    pending: AtomicU32,
    /// 0, or how many times a collection was asked for since the one that is under way began.
    requests: AtomicU32,
}

struct Entry {
    /// Part of the context that the list belongs to, and so alive as long as the list.
    slot: *const RawSlot,
    value: Shared,
    next: *mut Entry,
}

impl Default for DeferredDrops {
    fn default() -> Self {
        Self {
            entries: AtomicPtr::new(ptr::null_mut()),
            pending: AtomicU32::new(0),
            requests: AtomicU32::new(0),
        }
    }
}

impl DeferredDrops {
    /// Puts a value aside that `slot`, of the same context, does not point to any more. The owner calls it, and then
    /// [`collect`](Self::collect).
    pub(super) fn add(&self, slot: &RawSlot, value: Shared) {
        // Relaxed: the owner's look at the slot's word, in `collect`, publishes it to each reader that leaves after it.
        self.pending.fetch_add(1, Ordering::Relaxed);
        self.push(Box::into_raw(Box::new(Entry { slot, value, next: ptr::null_mut() })));
    }

    fn push(&self, entry: *mut Entry) {
        let mut head = self.entries.load(Ordering::Relaxed);
        loop {
            // SAFETY: the entry came from `Box::into_raw`, and is in no list yet.
            unsafe { (*entry).next = head };
            // Release: pairs with the acquire in `take_entries`; publishes the entry.
            match self.entries.compare_exchange(head, entry, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    fn take_entries(&self) -> impl Iterator<Item = Box<Entry>> + use<> {
        // Acquire: pairs with the release in `push`.
        let mut next = self.entries.swap(ptr::null_mut(), Ordering::Acquire);
        std::iter::from_fn(move || {
            let entry = ptr::NonNull::new(next)?;
            // SAFETY: by the INVARIANT from `Box::into_raw`; the swap took it out of the list for us alone.
            let entry = unsafe { Box::from_raw(entry.as_ptr()) };
            next = entry.next;
            Some(entry)
        })
    }

    /// Whether a value waits for a reader.
    #[inline]
    pub(crate) fn is_pending(&self) -> bool {
        // Relaxed: for a reader that has left a slot, that orders it after the owner's note.
        self.pending.load(Ordering::Relaxed) != 0
    }

    /// The values that no reader can have any more. For every thread; if one collects already, it gets to do it once more.
    pub(crate) fn collect(&self) -> Outgoing {
        if self.hold() { self.release(1) } else { Outgoing::default() }
    }

    /// Takes the part of the collector, unless another thread has it. An exit does so first of all: readers that leave during the
    /// exit let the exiting thread drop what waited for them.
    pub(crate) fn hold(&self) -> bool {
        // Acquire and release: pairs with itself and the exchange below: the collector sees what came before each request.
        self.requests.fetch_add(1, Ordering::AcqRel) == 0
    }

    /// Collects, for the thread that [holds](Self::hold) the part, and gives the part up. As long as a value waits it looks
    /// again, up to `tries` times, and gives its time slice away in between.
    pub(crate) fn release(&self, tries: u32) -> Outgoing {
        let mut outgoing = Outgoing::default();
        let mut answered = 1;
        for tried in 1.. {
            self.collect_once(&mut outgoing);
            if tried < tries && self.is_pending() {
                yield_now();
                continue;
            }
            match self.requests.compare_exchange(answered, 0, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => break,
                Err(now) => answered = now,
            }
        }
        outgoing
    }

    fn collect_once(&self, outgoing: &mut Outgoing) {
        let mut collected = 0;
        for entry in self.take_entries() {
            // SAFETY: the slot is part of the context that this list is part of.
            if unsafe { &*entry.slot }.has_readers() {
                self.push(Box::into_raw(entry));
            } else {
                collected += 1;
                outgoing.push(entry.value);
            }
        }
        if collected != 0 {
            // Relaxed: a reader that still finds the former number asks once too often.
            self.pending.fetch_sub(collected, Ordering::Relaxed);
        }
    }

    /// In a forked child, on its only thread: a collector that was at work does not exist, and what it had in hand is lost.
    pub(crate) fn after_fork(&self) {
        let entries: Vec<_> = self.take_entries().collect();
        // Relaxed: there is one thread.
        self.requests.store(0, Ordering::Relaxed);
        self.pending.store(entries.len() as u32, Ordering::Relaxed);
        entries.into_iter().for_each(|entry| self.push(Box::into_raw(entry)));
    }
}

impl Drop for DeferredDrops {
    /// No reader is left: each keeps the context.
    fn drop(&mut self) {
        if self.is_pending() {
            let values: Outgoing = self.take_entries().map(|entry| entry.value).collect();
            drop(values);
        }
    }
}

#[cfg(all(test, not(loom), not(shuttle)))]
mod tests {
    use super::*;
    use crate::{slot::Takes, sync::Arc};

    /// One more count of `value`, in a value of a slot.
    fn counted(value: &Arc<()>) -> Shared {
        Shared::new(Arc::new(Arc::clone(value)))
    }

    #[test]
    fn a_value_waits_for_the_readers_of_its_own_slot_only() {
        let (value, slots, drops) =
            (Arc::new(()), [RawSlot::default(), RawSlot::default()], DeferredDrops::default());
        let inside = slots[0].enter(None, Takes::Count).expect("it never gives up");
        slots.iter().for_each(|slot| drops.add(slot, counted(&value)));
        drop(drops.collect());
        assert_eq!((Arc::strong_count(&value), drops.is_pending()), (2, true));
        drop(inside);
        drop(drops.collect());
        assert_eq!((Arc::strong_count(&value), drops.is_pending()), (1, false));
    }

    #[test]
    fn a_collector_that_vanished_in_a_fork_stops_no_other() {
        let (value, slot, drops) = (Arc::new(()), RawSlot::default(), DeferredDrops::default());
        drops.requests.store(1, Ordering::Relaxed);
        (0..2).for_each(|_| drops.add(&slot, counted(&value)));
        drop(drops.collect());
        assert_eq!(Arc::strong_count(&value), 3, "the collector would do it");
        drops.after_fork();
        assert!(drops.is_pending());
        drop(drops.collect());
        assert_eq!((Arc::strong_count(&value), drops.is_pending()), (1, false));
    }

    #[test]
    fn values_that_still_wait_drop_with_the_list() {
        let (value, slot, drops) = (Arc::new(()), RawSlot::default(), DeferredDrops::default());
        let inside = slot.enter(None, Takes::Count).expect("it never gives up");
        (0..2).for_each(|_| drops.add(&slot, counted(&value)));
        drop((drops.collect(), inside, drops));
        assert_eq!(Arc::strong_count(&value), 1);
    }
}
