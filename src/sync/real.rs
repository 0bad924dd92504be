//! The primitives as programs have them.

use std::{
    cell::Cell,
    hash::BuildHasherDefault,
    panic::catch_unwind,
    thread::{self, Thread},
    time::Duration,
};

pub(crate) use std::{
    hint::spin_loop,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
    },
    thread::yield_now,
};

/// One that sits in a static.
pub(crate) type StaticUsize = AtomicUsize;

pub(crate) use once_cell::race::OnceBox;

pub(crate) use crate::os::at_thread_end;

use crate::{Ident, ident::IdentHasher};

/// How many entries the table of identities begins with, and how many buckets it may have.
pub(crate) const FIRST_BUCKET: usize = 8;
pub(crate) const BUCKETS: usize = 40;
/// How many slots a page has, and for how many pages the first array has room.
pub(crate) const PAGE: usize = 8;
pub(crate) const FIRST_PAGES: usize = 4;
/// How many chains the identities are spread over.
pub(crate) const CHAINS: usize = 1024;

/// The registry's map.
pub(crate) type Map<K, V> = dashmap::DashMap<K, V, BuildHasherDefault<IdentHasher>>;

pub(crate) fn map<K: Eq + std::hash::Hash, V>(shards: usize) -> Map<K, V> {
    Map::with_capacity_and_hasher_and_shard_amount(0, BuildHasherDefault::default(), shards)
}

/// Thread-locals that are there from the start and cost no check.
macro_rules! thread_cells {
    ($($(#[$meta:meta])* static $name:ident: $type:ty = $init:expr;)*) => {
        ::std::thread_local! { $($(#[$meta])* static $name: $type = const { $init };)* }
    };
}
pub(crate) use thread_cells;

/// Statics that a model has afresh in each of its runs.
macro_rules! globals {
    ($($(#[$meta:meta])* static $name:ident: $type:ty = $init:expr;)*) => {
        $($(#[$meta])* static $name: $type = $init;)*
    };
}
pub(crate) use globals;

/// An array of so many, each made afresh.
macro_rules! filled_array {
    ($element:expr; $length:expr) => {
        [const { $element }; $length]
    };
}
pub(crate) use filled_array;

/// Gives the processor away for a while, after giving it away for a moment did not help.
pub(crate) fn pause() {
    thread::sleep(Duration::from_millis(1));
}

thread_cells! {
    /// Whether std is being asked for this thread, or has panicked over it.
    static ASKING: Cell<bool> = Cell::new(false);
}

/// The thread that this runs on. Std panics where a thread asks for itself after std's own clean-up: to us it is gone. It
/// is asked once then, and not again by a panic hook that comes here too.
pub(crate) fn this_thread() -> Option<(Ident, Option<Thread>)> {
    if ASKING.replace(true) {
        return None;
    }
    let thread = catch_unwind(thread::current).ok()?;
    ASKING.set(false);
    Some((Ident::Thread(thread.id()), Some(thread)))
}
