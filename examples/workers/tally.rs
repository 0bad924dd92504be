//! Adds up what was counted, and what was left out and why.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    io::{self, ErrorKind},
    ops::AddAssign,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::{Serialize, Serializer};

/// Of one file, or of many.
#[derive(Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) files: u64,
    /// Those of the files that are no text.
    pub(crate) binary: u64,
    pub(crate) lines: u64,
    pub(crate) words: u64,
    pub(crate) bytes: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.files += other.files;
        self.binary += other.binary;
        self.lines += other.lines;
        self.words += other.words;
        self.bytes += other.bytes;
    }
}

/// Why something was not counted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LeftOut {
    Hidden,
    Cache,
    Link,
    /// A pipe, a socket, a device.
    Special,
    Failed(ErrorKind),
}

impl From<Option<&io::Error>> for LeftOut {
    fn from(error: Option<&io::Error>) -> Self {
        Self::Failed(error.map_or(ErrorKind::Other, io::Error::kind))
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hidden => f.pad("hidden folder"),
            Self::Cache => f.pad("cache folder"),
            Self::Link => f.pad("symbolic link"),
            Self::Special => f.pad("pipe, socket or device"),
            Self::Failed(ErrorKind::NotFound) => f.pad("gone before it was read"),
            Self::Failed(kind) => f.pad(&kind.to_string()),
        }
    }
}

/// The counts by extension, and how often something was left out, by reason.
#[derive(Clone, Default)]
pub(crate) struct Tally {
    pub(crate) sum: Counts,
    pub(crate) by_extension: HashMap<String, Counts>,
    pub(crate) left_out: BTreeMap<LeftOut, u64>,
}

impl Tally {
    pub(crate) fn add(&mut self, extension: &str, counts: Counts) {
        self.sum += counts;
        match self.by_extension.get_mut(extension) {
            Some(sum) => *sum += counts,
            None => drop(self.by_extension.insert(extension.to_owned(), counts)),
        }
    }

    pub(crate) fn leave_out(&mut self, reason: LeftOut) {
        *self.left_out.entry(reason).or_default() += 1;
    }

    fn merge(&mut self, other: &Self) {
        for (extension, counts) in &other.by_extension {
            self.add(extension, *counts);
        }
        for (reason, number) in &other.left_out {
            *self.left_out.entry(*reason).or_default() += number;
        }
    }
}

/// A tally that its owner changes in place. `Key::update` would copy the whole table for each file; so there is a lock
/// around it, for which nobody waits: the others look in a few times a second.
#[derive(Default)]
pub(crate) struct Counters(Mutex<Tally>);

impl Counters {
    pub(crate) fn merged(&self, other: &Self) -> Self {
        let mut tally = self.lock().clone();
        tally.merge(&other.lock());
        Self(Mutex::new(tally))
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Tally)) {
        change(&mut self.lock());
    }

    pub(crate) fn into_tally(self) -> Tally {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Tally> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clone for Counters {
    fn clone(&self) -> Self {
        Self(Mutex::new(self.lock().clone()))
    }
}

/// What a dump shows of a tally: one short line.
#[derive(Serialize)]
struct Summary {
    files: u64,
    bytes: u64,
    left_out: u64,
}

impl Serialize for Counters {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let tally = self.lock();
        let Counts { files, bytes, .. } = tally.sum;
        let left_out = tally.left_out.values().sum();
        drop(tally);
        Summary { files, bytes, left_out }.serialize(serializer)
    }
}
