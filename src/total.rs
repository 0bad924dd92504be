//! Totals that do not go backwards: at exit, the value of a key that keeps a total moves here instead of dropping.
//!
//! One lock orders the moves against the readers: an exiting thread takes its value out of the slot and puts it here
//! under the lock, and a reader collects what is here and what live contexts hold under the same lock. So each value is
//! seen in exactly one of the two places. Merging is the user's code and happens outside, on counts of the values.

use std::collections::BTreeMap;

use crate::{
    ContextRef, Key, State,
    context::Context,
    current::{self, Owner},
    fork,
    identity::{Declared, Identity},
    panics::{self, What},
    registry,
    slot::{Displaced, Outgoing, Shared},
    sync::{Arc, Mutex, MutexGuard, globals, lock},
};

/// How many merges one exiting thread does at most: others may come faster than it can merge.
const MERGES: usize = 64;

/// By the key's index: what its exited contexts held.
pub(crate) struct Retained(BTreeMap<usize, Pile>);

/// What the exited contexts of one key held, merged as far as an exiting thread came to it.
#[derive(Default)]
struct Pile {
    /// Values to be merged, two at a time.
    waiting: Vec<Shared>,
    /// Values whose merge failed, put apart so that the others go on to be merged.
    apart: Vec<Shared>,
    /// How many merges failed, since there was one value last.
    failures: u32,
    /// After how many more exits those apart are tried again.
    rest: u64,
    /// Whether some thread is merging the first two of `waiting`.
    merging: bool,
}

impl Pile {
    fn add(&mut self, value: Shared) {
        self.waiting.push(value);
        self.rest = self.rest.saturating_sub(1);
        if self.rest == 0 {
            self.waiting.append(&mut self.apart);
        }
    }

    /// Puts the first two apart: for one exit, and for twice as many with each failure after that. A failure may have been one of
    /// the moment, and a value that no other can be merged with is not to panic at each exit.
    fn put_apart(&mut self) {
        self.apart.extend(self.waiting.drain(..2));
        self.rest = 1 << self.failures.min(32);
        self.failures += 1;
    }

    /// Puts `merged` in the place of the first two, and gives them.
    fn put_merged(&mut self, merged: Shared) -> Vec<Shared> {
        let pair = self.waiting.splice(..2, [merged]).collect();
        if self.waiting.len() == 1 && self.apart.is_empty() {
            self.failures = 0;
        }
        pair
    }

    fn values(&self) -> impl Iterator<Item = Shared> {
        self.waiting.iter().chain(&self.apart).cloned()
    }
}

globals! {
    static RETAINED: Mutex<Retained> = Mutex::new(Retained(BTreeMap::new()));
}

impl Retained {
    /// In a forked child: whoever was merging does not exist here.
    pub(crate) fn after_fork(&mut self) {
        self.0.values_mut().for_each(|pile| pile.merging = false);
    }
}

pub(crate) fn lock_retained() -> MutexGuard<'static, Retained> {
    fork::watch();
    lock_retained_for_fork()
}

/// The same inside a handler of a fork, which cannot have another one added.
pub(crate) fn lock_retained_for_fork() -> MutexGuard<'static, Retained> {
    lock(&RETAINED)
}

/// Counts of all values of `key`, each exactly once.
pub(crate) fn collect<T: Send + Sync + 'static>(
    key: &'static Key<T>,
    identity: &'static Identity,
) -> Vec<Arc<T>> {
    let Some(place) = key.known_place() else { return Vec::new() };
    // They outlive the lock: the last count of a context may be among them, and the end of a look may drop values.
    let (mut contexts, mut looks) = (Vec::new(), Vec::new());
    current::without_context(|| {
        let retained = lock_retained();
        let pile = retained.0.get(&identity.index()).into_iter().flat_map(Pile::values);
        let mut values: Vec<Arc<T>> = pile.filter_map(|value| value.downcast().ok()).collect();
        contexts.extend(registry::all());
        looks.extend(contexts.iter().filter_map(ContextRef::readable));
        values.extend(looks.iter().filter_map(|context| key.read_at(place, context)));
        values
    })
}

/// At exit: moves the current context's value from its slot to the pile of its key.
pub(crate) fn retain(identity: &'static Identity, key: &dyn Declared) -> Outgoing {
    let outgoing = current::owner(|owner| take_over(owner, identity)).unwrap_or_default();
    merge_some(identity.index(), key);
    outgoing
}

/// Keeps what the context of a dead thread counted, as a reader sees it, and says whether the context is over only now. A value
/// that its owner died writing is lost.
pub(crate) fn retain_of_the_dead(context: &Context, looks: u32) -> bool {
    // Under the lock, so that a total finds each value in the context or here.
    let counted = current::without_context(|| {
        let mut retained = lock_retained();
        if context.state() == State::Exited {
            return None;
        }
        let mut counted = Vec::new();
        for slot in context.filled_keys() {
            let Some(key) = slot.key().total() else { continue };
            let index = slot.key().index();
            if let Some(value) = slot.read_within(looks) {
                retained.0.entry(index).or_default().add(value);
            }
            counted.push((index, key));
        }
        context.set_state(State::Exited);
        Some(counted)
    });
    counted.iter().flatten().for_each(|(index, key)| merge_some(*index, *key));
    counted.is_some()
}

fn take_over(owner: Owner<'_>, identity: &'static Identity) -> Outgoing {
    let Some(slot) = owner.key(identity) else { return Outgoing::default() };
    let mut retained = lock_retained();
    let Displaced { shared, outgoing, .. } = slot.exchange(None);
    if let Some(value) = shared {
        retained.0.entry(identity.index()).or_default().add(value);
    }
    outgoing
}

/// Merges what has piled up, unless another thread is at it.
fn merge_some(index: usize, key: &dyn Declared) {
    for _ in 0..MERGES {
        let Some((one, other)) = begin_merge(index) else { return };
        let merged = panics::contain(What::Hook, || key.merge(one.as_any(), other.as_any())).flatten();
        let displaced = end_merge(index, merged, &[&one, &other]);
        displaced.into_iter().chain([one, other]).for_each(panics::contain_drop);
    }
}

/// Counts of the first two values, which nobody else merges until [`end_merge`].
fn begin_merge(index: usize) -> Option<(Shared, Shared)> {
    let mut retained = lock_retained();
    let pile = retained.0.get_mut(&index)?;
    let [one, other, ..] = &pile.waiting[..] else { return None };
    let pair = (one.clone(), other.clone());
    (!std::mem::replace(&mut pile.merging, true)).then_some(pair)
}

/// Puts `merged` in the place of the first two, or puts them apart if merging failed. In a child that was forked inside the
/// merge, another thread may have begun it anew, and they are not there any more. The values without a place come back, to be
/// dropped outside the lock.
fn end_merge(index: usize, merged: Option<Shared>, pair: &[&Shared; 2]) -> Vec<Shared> {
    current::without_context(|| {
        let mut retained = lock_retained();
        let pile = retained.0.entry(index).or_default();
        pile.merging = false;
        let is_there = |(there, merged): (&Shared, &&Shared)| there.same(merged);
        if pile.waiting.len() < 2 || !pile.waiting.iter().zip(pair).all(is_there) {
            return merged.into_iter().collect();
        }
        match merged {
            None => {
                pile.put_apart();
                Vec::new()
            }
            Some(merged) => pile.put_merged(merged),
        }
    })
}

#[cfg(all(test, not(loom), not(shuttle)))]
mod tests {
    use super::*;

    /// As in a child that was forked inside the merge, where another thread has merged meanwhile.
    #[test]
    fn what_was_merged_too_late_comes_back_to_be_dropped_outside_the_lock() {
        const NO_KEYS: usize = usize::MAX;
        let shared = |number: u64| Shared::new(Arc::new(number));
        lock_retained().0.entry(NO_KEYS).or_default().waiting = vec![shared(3), shared(4)];
        let late = end_merge(NO_KEYS, Some(shared(7)), &[&shared(1), &shared(2)]);
        assert_eq!(
            late.into_iter().map(|value| *value.downcast::<u64>().ok().unwrap()).collect::<Vec<_>>(),
            [7]
        );
        let kept = lock_retained().0.remove(&NO_KEYS).expect("it was put in").waiting;
        assert_eq!(kept.len(), 2, "and nothing else changed");
    }
}
