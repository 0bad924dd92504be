//! Values that report when, where and how often they drop.

use std::{
    sync::{Arc, Mutex},
    thread::{self, ThreadId},
};

/// Where values report.
#[derive(Clone, Default)]
pub(crate) struct Drops(Arc<Mutex<Vec<(u64, ThreadId)>>>);

/// Reports its drop by its number.
pub(crate) struct Tracked {
    pub(crate) number: u64,
    drops: Drops,
}

impl Drops {
    pub(crate) fn value(&self, number: u64) -> Tracked {
        Tracked { number, drops: self.clone() }
    }

    /// The numbers of those that dropped, in order.
    pub(crate) fn numbers(&self) -> Vec<u64> {
        self.0.lock().unwrap().iter().map(|(number, _)| *number).collect()
    }

    /// The threads on which they dropped.
    pub(crate) fn threads(&self) -> Vec<ThreadId> {
        self.0.lock().unwrap().iter().map(|(_, thread)| *thread).collect()
    }

    /// Fails unless each number below `end` dropped once.
    pub(crate) fn assert_each_once(&self, end: u64) {
        let mut numbers = self.numbers();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..end).collect::<Vec<_>>());
    }
}

/// A clone is another value with the same number.
impl Clone for Tracked {
    fn clone(&self) -> Self {
        self.drops.value(self.number)
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.drops.0.lock().unwrap().push((self.number, thread::current().id()));
    }
}

impl std::fmt::Debug for Tracked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tracked({})", self.number)
    }
}
