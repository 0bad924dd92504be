//! Scenarios of the protocols over the real code, small enough to be tried in every interleaving: by loom, within the
//! bound beside each, and by shuttle, at random.
//!
//! Threads end with `exit_thread_ctx`: loom drops thread-locals too late for a destructor to be modelled.

#[cfg(loom)]
use loom as checker;
#[cfg(shuttle)]
use shuttle as checker;

pub(crate) use checker::{
    sync::{
        Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use threadctx::{ContextRef, Key};

mod hooks;
mod identity;
mod names;
mod pages;
mod registry;
mod slot;
mod stalls;
pub(crate) mod tasks;
mod totals;
mod tracked;

pub(crate) use tracked::{Tracked, alive, expect_nothing_left};

/// A key of this run's own: a checker's statics do not outlive a run.
fn key() -> &'static Key<Tracked> {
    leaked(Key::new("model", "key"))
}

/// Keys are statics; a run that is over has no more use for its own.
pub(crate) fn leaked<T: Send + Sync>(key: Key<T>) -> &'static Key<T> {
    Box::leak(Box::new(key))
}

fn set(key: &'static Key<Tracked>, value: u64) {
    key.set(Tracked::new(value));
}

fn read_in(key: &'static Key<Tracked>, context: &ContextRef) -> Option<u64> {
    key.get_in(context).map(|value| value.read())
}

/// Something that happens once and is waited for. A checker reports who waits for ever.
pub(crate) struct Event {
    happened: Mutex<bool>,
    changed: Condvar,
}

impl Event {
    pub(crate) fn new() -> std::sync::Arc<Self> {
        std::sync::Arc::new(Self { happened: Mutex::new(false), changed: Condvar::new() })
    }

    pub(crate) fn happen(&self) {
        *self.happened.lock().unwrap() = true;
        self.changed.notify_all();
    }

    pub(crate) fn wait(&self) {
        let mut happened = self.happened.lock().unwrap();
        while !*happened {
            happened = self.changed.wait(happened).unwrap();
        }
    }
}
