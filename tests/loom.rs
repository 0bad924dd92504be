//! Models of the protocols, by scenario, checked by loom over the real code: `RUSTFLAGS="--cfg loom" cargo test --release
//! --test loom`. Beside each stands the bound within which every interleaving is tried.
//!
//! Threads end with `exit_thread_ctx`: loom drops thread-locals too late for a destructor to be modelled.
#![cfg(loom)]
#![expect(unsafe_code, reason = "loom's cell is unsafe to look into")]

use loom::{cell::UnsafeCell, model::Builder, sync::Arc, thread};
use threadctx::{Key, exit_thread_ctx, get_thread_ctx};

/// Tries every interleaving with so many preemptions at the most.
fn model(preemptions: usize, scenario: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(scenario);
}

/// A value whose reads and whose end loom sees: a read that is not ordered after the making, or not before the drop, is
/// reported as a race.
struct Tracked(UnsafeCell<u64>);

// SAFETY: loom checks each access, which is the point.
unsafe impl Sync for Tracked {}

impl Tracked {
    fn new(value: u64) -> Self {
        Self(UnsafeCell::new(value))
    }

    fn read(&self) -> u64 {
        // SAFETY: loom reports a concurrent write.
        self.0.with(|value| unsafe { *value })
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        // SAFETY: loom reports a concurrent access.
        self.0.with_mut(|value| unsafe { *value = u64::MAX });
    }
}

/// A key of this run's own: loom's statics do not outlive a run.
fn key(name: &'static str) -> &'static Key<Tracked> {
    Box::leak(Box::new(Key::new("loom", name)))
}

fn read(value: Option<Arc<Tracked>>) -> Option<u64> {
    value.map(|value| value.read())
}

#[test]
fn a_write_against_a_reader_shows_the_old_or_the_new_value() {
    model(3, || {
        let key = key("one-reader");
        key.set(Tracked::new(1));
        let owner = get_thread_ctx().handle();
        let reader = thread::spawn(move || read(key.get_in(&owner)));
        key.set(Tracked::new(2));
        assert!(matches!(reader.join().unwrap(), Some(1 | 2)));
        assert_eq!(key.with(Tracked::read), Some(2));
        exit_thread_ctx();
    });
}
