//! The owner's way from a title to the slot of a dynamic name.

use std::{
    borrow::Borrow,
    collections::HashMap,
    hash::{Hash, Hasher},
};

use crate::{
    identity::{self, Identity},
    sync::Arc,
    title::{Hashed, Title, TitleRef},
};

/// Which slot a name's value is in.
#[derive(Default)]
pub(crate) struct NameIndex {
    by_title: HashMap<Entry, usize, Hashed>,
    /// Slots that were used and are empty.
    free: Vec<usize>,
    /// How many identities there were when names were last given over to their keys.
    pub(super) adopted: usize,
    /// Whether some name is in use with another type than the key's that goes by it.
    pub(super) clashes: bool,
}

impl NameIndex {
    pub(super) fn find(&self, title: TitleRef<'_>) -> Option<usize> {
        self.by_title.get(&title as &dyn Titled).copied()
    }

    /// A slot for a new name.
    pub(super) fn add(&mut self, title: Arc<Title>) -> usize {
        let slot = self.free.pop().unwrap_or(self.by_title.len());
        self.by_title.insert(Entry(title), slot);
        slot
    }

    pub(super) fn remove(&mut self, title: TitleRef<'_>) -> Option<usize> {
        let slot = self.by_title.remove(&title as &dyn Titled)?;
        self.free.push(slot);
        if self.clashes {
            // The next access finds out afresh whether one is left.
            self.adopted = 0;
        }
        Some(slot)
    }

    /// The names that a key goes by.
    pub(super) fn with_a_key(&self) -> Vec<(Arc<Title>, &'static Identity)> {
        let with_key = |title: &Arc<Title>| Some((Arc::clone(title), identity::find(title.borrowed())?));
        self.titles().filter_map(with_key).collect()
    }

    pub(super) fn titles(&self) -> impl Iterator<Item = &Arc<Title>> {
        self.by_title.keys().map(|entry| &entry.0)
    }
}

/// Either form of a title, so that a look-up needs no allocation.
trait Titled {
    fn title(&self) -> TitleRef<'_>;
}

impl Titled for Entry {
    fn title(&self) -> TitleRef<'_> {
        self.0.borrowed()
    }
}

impl Titled for TitleRef<'_> {
    fn title(&self) -> TitleRef<'_> {
        *self
    }
}

/// The map's key: hashes and compares as `dyn Titled` does.
struct Entry(Arc<Title>);

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.title() == other.title()
    }
}

impl Eq for Entry {}

impl<'a> Borrow<dyn Titled + 'a> for Entry {
    fn borrow(&self) -> &(dyn Titled + 'a) {
        self
    }
}

impl Hash for Entry {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.title().hash());
    }
}

impl Hash for dyn Titled + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.title().hash());
    }
}

impl PartialEq for dyn Titled + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.title() == other.title()
    }
}

impl Eq for dyn Titled + '_ {}
