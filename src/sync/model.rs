//! The primitives as the checkers have them. Both run many threads as coroutines on one, so std cannot tell them apart.

use std::{
    cell::Cell,
    collections::HashMap,
    hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher},
    ops::Deref,
    thread::Thread,
};

#[cfg(loom)]
#[path = "loom.rs"]
mod checker;

#[cfg(shuttle)]
#[path = "shuttle.rs"]
mod checker;

#[expect(unsafe_code, reason = "neither checker has an `Arc` with a `Weak` whose counts it sees")]
#[path = "model_arc.rs"]
mod arc;
#[path = "model_look.rs"]
mod look;
#[path = "model_once.rs"]
mod once;

pub use arc::{Arc, Weak, at_next_share};
pub(crate) use checker::{
    BUCKETS, LocalKey, Mutex, MutexGuard, StaticUsize,
    atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
    filled_array, globals, spin_loop, thread_cells, yield_now,
};
pub(crate) use once::OnceBox;

use crate::{Ident, TaskId};

/// Small, since each entry and each bucket is another step to interleave.
pub(crate) const FIRST_BUCKET: usize = 1;
/// Two, so that a place is more than its page.
pub(crate) const PAGE: usize = 2;
pub(crate) const FIRST_PAGES: usize = 1;
pub(crate) const CHAINS: usize = 1;

/// Hashes alike in each run, so that a schedule can be run again.
type Shard<K, V> = HashMap<K, V, BuildHasherDefault<DefaultHasher>>;

/// Stands for the registry's map: a lock per shard, as there.
pub(crate) struct Map<K, V>(Vec<Mutex<Shard<K, V>>>);

pub(crate) fn map<K, V>(_: usize) -> Map<K, V> {
    Map((0..2).map(|_| Mutex::new(Shard::default())).collect())
}

/// What the map's look-ups give.
pub(crate) struct Entry<V>(V);

impl<V> Deref for Entry<V> {
    type Target = V;

    fn deref(&self) -> &V {
        &self.0
    }
}

impl<K: Eq + Hash + Clone, V: Clone> Map<K, V> {
    fn shard(&self, key: &K) -> MutexGuard<'_, Shard<K, V>> {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        super::lock(&self.0[hasher.finish() as usize % self.0.len()])
    }

    pub(crate) fn insert(&self, key: K, value: V) -> Option<V> {
        self.shard(&key).insert(key, value)
    }

    pub(crate) fn remove_if(&self, key: &K, wanted: impl FnOnce(&K, &V) -> bool) -> Option<(K, V)> {
        let mut shard = self.shard(key);
        let (found, value) = shard.remove_entry(key)?;
        if wanted(&found, &value) {
            return Some((found, value));
        }
        shard.insert(found, value);
        None
    }

    pub(crate) fn get(&self, key: &K) -> Option<Entry<V>> {
        self.shard(key).get(key).cloned().map(Entry)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Entry<V>> {
        let shards = self.0.iter().flat_map(|shard| super::lock(shard).values().cloned().collect::<Vec<_>>());
        shards.map(Entry)
    }

    pub(crate) fn shrink_to_fit(&self) {
        self.0.iter().for_each(|shard| super::lock(shard).shrink_to_fit());
    }
}

/// What std's thread-locals of a `Cell` can do by themselves.
pub(crate) trait LocalCell<T: Copy> {
    fn get(&'static self) -> T;
    fn replace(&'static self, value: T) -> T;
    fn set(&'static self, value: T) {
        self.replace(value);
    }
}

impl<T: Copy + 'static> LocalCell<T> for LocalKey<Cell<T>> {
    fn get(&'static self) -> T {
        self.with(Cell::get)
    }

    fn replace(&'static self, value: T) -> T {
        self.with(|cell| cell.replace(value))
    }
}

/// Models end their threads themselves.
pub(crate) fn at_thread_end(_: unsafe extern "C" fn(*mut std::ffi::c_void)) {}

/// See the real one.
pub(crate) fn pause() {
    yield_now();
}

globals! {
    /// Numbers that no task is given: it would have to be the four-billionth context.
    static THREADS: AtomicU64 = AtomicU64::new(1 << 32);
}

/// A new ident for whoever asks: [`crate::current`] asks once per context.
pub(crate) fn this_thread() -> Option<(Ident, Option<Thread>)> {
    // Relaxed: the number alone matters, and the addition makes it unique.
    let number = THREADS.fetch_add(1, Ordering::Relaxed);
    Some((Ident::Task(TaskId::numbered(number)), None))
}
