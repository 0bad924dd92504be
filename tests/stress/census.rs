//! Which threads may have values now: from before they are started until after they were joined.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

pub(crate) static CENSUS: Census = Census(Mutex::new(People { next: 0, alive: BTreeSet::new() }));

pub(crate) struct Census(Mutex<People>);

#[derive(Clone)]
pub(crate) struct People {
    next: u64,
    alive: BTreeSet<u64>,
}

impl People {
    /// Whether a look that was begun after this was taken may find a value of that thread.
    pub(crate) fn may_be_seen(&self, number: u64) -> bool {
        number >= self.next || self.alive.contains(&number)
    }
}

impl Census {
    fn people(&self) -> MutexGuard<'_, People> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number for a thread that is about to be started.
    pub(crate) fn born(&self) -> u64 {
        let mut people = self.people();
        let number = people.next;
        people.next += 1;
        people.alive.insert(number);
        number
    }

    /// That thread was joined.
    pub(crate) fn died(&self, number: u64) {
        self.people().alive.remove(&number);
    }

    pub(crate) fn taken(&self) -> People {
        self.people().clone()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.people().alive.is_empty()
    }
}
