//! Dynamic names: the values of a context that were put in by name and that no key goes by (yet).
//!
//! Each sits in a slot of its own, in a table beside the keys' table. The owner finds it through a private index; other
//! threads look through the table. A slot whose name was removed is used again for the next new name.

use std::{cell::RefCell, collections::BTreeSet, ops::Deref, panic::Location};

use crate::{
    context::Context,
    current::{Owner, OwnerCell},
    dump::Shown,
    error::Holder,
    identity::{self, Identity},
    slot::{At, Displaced, KeySlot, Outgoing, OwnedSlot, Pages, RawSlot, Shared, Slot, ValueType},
    sync::{Arc, AtomicU32, Ordering},
    title::{Title, TitleRef},
};

mod index;

pub(crate) use index::NameIndex;

/// The names of one context.
pub(crate) struct Names {
    /// As everybody sees them.
    pub(crate) slots: Pages<NamedSlot>,
    /// The owner's way to them.
    pub(crate) index: OwnerCell<RefCell<NameIndex>>,
}

impl Default for Names {
    fn default() -> Self {
        Self { slots: Pages::default(), index: OwnerCell::new(RefCell::default()) }
    }
}

/// Where the value of one name sits.
#[derive(Default)]
pub(crate) struct NamedSlot {
    slot: Slot<Named>,
    /// Part of the name's hash, so that readers skip what cannot be theirs.
    hash_tag: AtomicU32,
}

impl Deref for NamedSlot {
    type Target = Slot<Named>;

    fn deref(&self) -> &Slot<Named> {
        &self.slot
    }
}

impl NamedSlot {
    fn is_tagged(&self, title: TitleRef<'_>) -> bool {
        // Relaxed: a filter; what passes it is checked against the value itself.
        self.hash_tag.load(Ordering::Relaxed) == title.mark()
    }

    pub(crate) fn tag(&self, title: TitleRef<'_>) {
        // Relaxed: as in `is_tagged`.
        self.hash_tag.store(title.mark(), Ordering::Relaxed);
    }
}

/// A value with what is known of it.
pub(crate) struct Named {
    pub(crate) about: About,
    pub(crate) value: Shared,
}

impl Named {
    /// A count of the value, or, where it is not a `T`, who says so.
    fn of_type<T: Send + Sync + 'static>(&self) -> Result<Arc<T>, Holder> {
        self.value.share_as().ok_or_else(|| self.about.holder())
    }
}

/// What can be said of a named value without touching it.
#[derive(Clone)]
pub(crate) struct About {
    pub(crate) title: Arc<Title>,
    pub(crate) value_type: &'static ValueType,
    pub(crate) shown: Shown,
    /// Where the name got its type.
    pub(crate) origin: &'static Location<'static>,
}

impl About {
    pub(crate) fn holder(&self) -> Holder {
        Holder { type_name: self.value_type.name(), place: self.origin }
    }
}

/// Everybody's side.
impl Names {
    pub(crate) fn raw_slots(&self) -> impl Iterator<Item = &RawSlot> {
        self.slots.iter().map(|(_, slot)| &***slot)
    }

    /// The slots that have a value.
    pub(crate) fn filled(&self) -> impl Iterator<Item = (usize, &NamedSlot)> {
        self.slots.iter().filter(|(_, slot)| slot.is_filled())
    }

    /// What can be said of each value, without touching it.
    pub(crate) fn about(&self) -> impl Iterator<Item = About> {
        self.filled().filter_map(|(_, slot)| slot.look(None, |named| named.about.clone()).ok().flatten())
    }

    /// The value that goes by this name, or, where that is not a `T`, who says so.
    pub(crate) fn read<T>(&self, title: TitleRef<'_>) -> Option<Result<Arc<T>, Holder>>
    where
        T: Send + Sync + 'static,
    {
        self.look_for(title, Named::of_type)
    }

    fn has(&self, title: TitleRef<'_>) -> bool {
        self.look_for(title, |_| ()).is_some()
    }

    /// A look, from inside its slot, at what goes by this name.
    fn look_for<R>(&self, title: TitleRef<'_>, look: impl Fn(&Named) -> R) -> Option<R> {
        let candidates = self.filled().filter(|(_, slot)| slot.is_tagged(title));
        let look_if = |named: &Named| (named.about.title.borrowed() == title).then(|| look(named));
        candidates.map(|(_, slot)| slot.look(None, look_if).ok().flatten()).find_map(Option::flatten)
    }

    pub(crate) fn slot(&self, index: usize) -> Option<&NamedSlot> {
        self.slots.get(At::index(index))
    }
}

/// A value that a name of another type did not take.
pub(crate) struct WrongType {
    pub(crate) held: Holder,
    pub(crate) value: Shared,
}

/// What a write by name displaced, for the caller to drop once it has let go of everything.
#[must_use = "dropping the values runs the user's code: choose where"]
#[derive(Default)]
pub(crate) struct DisplacedByName {
    pub(crate) former: Option<Shared>,
    pub(crate) outgoing: Outgoing,
}

impl From<DisplacedByName> for Outgoing {
    fn from(DisplacedByName { former, mut outgoing }: DisplacedByName) -> Self {
        outgoing.append(former.into_iter().collect());
        outgoing
    }
}

/// The owner's side.
impl<'a> Owner<'a> {
    fn named(self, title: TitleRef<'_>) -> Option<OwnedSlot<'a, Named>> {
        self.name(self.index()?.borrow().find(title)?)
    }

    /// Who gave the name its type, if it has one, and that type.
    pub(crate) fn holder_of_name(self, title: TitleRef<'_>) -> Option<(Holder, &'static ValueType)> {
        match self.named(title) {
            Some(slot) => slot.peek(|named| (named.about.holder(), named.about.value_type)),
            None => identity::find(title).map(|identity| (identity.holder(), identity.value_type())),
        }
    }

    /// The value that goes by this name, or, where that is not a `T`, who says so.
    pub(crate) fn read_name<T>(self, title: TitleRef<'_>) -> Option<Result<Arc<T>, Holder>>
    where
        T: Send + Sync + 'static,
    {
        if let Some(slot) = self.named(title) {
            return slot.peek(Named::of_type);
        }
        let identity = identity::find(title)?;
        let slot = self.key(identity).filter(|slot| slot.raw().is_filled())?;
        if !identity.value_type().is::<T>() {
            return Some(Err(identity.holder()));
        }
        slot.share()?.downcast().ok().map(Ok)
    }

    pub(crate) fn has_name(self, title: TitleRef<'_>) -> bool {
        let is_filled =
            |identity| self.context().keys.of(identity).is_some_and(|slot| slot.raw().is_filled());
        self.named(title).is_some() || identity::find(title).is_some_and(is_filled)
    }

    /// Stores `value` under a name, as the key's value where a key goes by it; or hands it back if the name has another type.
    pub(crate) fn put(
        self,
        title: TitleRef<'_>,
        value: Shared,
        (shown, origin): (Shown, &'static Location<'static>),
    ) -> Result<DisplacedByName, WrongType> {
        if let Some(slot) = self.named(title) {
            return put_again(&slot, value, shown);
        }
        if let Some(identity) = identity::find(title) {
            return if value.of().same(identity.value_type()) {
                Ok(self.put_in_key(identity, value, shown))
            } else {
                Err(WrongType { held: identity.holder(), value })
            };
        }
        let owned = Arc::new(Title::of(title));
        let about = About { title: Arc::clone(&owned), value_type: value.of(), shown, origin };
        let index = self.index_or_new().borrow_mut().add(owned);
        let slot = self.name_or_grow(index, title);
        Ok(stored(&slot, Named { about, value }))
    }

    fn put_in_key(self, identity: &'static Identity, value: Shared, shown: Shown) -> DisplacedByName {
        let mut outgoing = if shown.is_secret() { identity.make_secret() } else { Outgoing::default() };
        let slot = self.key_or_grow(identity);
        let displaced = slot.exchange(Some(value));
        if identity.is_stamped() {
            slot.raw().stamp();
        }
        outgoing.append(displaced.outgoing);
        DisplacedByName { former: displaced.shared, outgoing }
    }

    /// Removes what goes by this name; `None` if nothing does.
    pub(crate) fn take_name(self, title: TitleRef<'_>) -> Option<Outgoing> {
        let mut outgoing = Outgoing::default();
        let displaced = match self.named(title) {
            Some(slot) => {
                self.index()?.borrow_mut().remove(title);
                slot.exchange(None)
            }
            None => self.key(identity::find(title)?)?.exchange(None),
        };
        let was_there = displaced.shared.is_some();
        outgoing.add(displaced);
        was_there.then_some(outgoing)
    }

    /// Removes the name whose slot is at `index`.
    pub(crate) fn take_name_at(self, index: usize) -> Option<Outgoing> {
        let title = self.name(index)?.peek(|named| Arc::clone(&named.about.title))?;
        self.take_name(title.borrowed())
    }

    /// Removes the names for which `wanted`.
    pub(crate) fn take_names(self, wanted: impl Fn(&Title) -> bool) -> Outgoing {
        let mut outgoing = Outgoing::default();
        let Some(index) = self.index() else { return outgoing };
        let titles: Vec<_> = index.borrow().titles().cloned().collect();
        for title in titles.iter().filter(|title| wanted(title)) {
            outgoing.append(self.take_name(title.borrowed()).unwrap_or_default());
        }
        outgoing
    }

    /// Whether every name that a key goes by has been given over to it.
    pub(crate) fn are_names_settled(self) -> bool {
        self.index().is_none_or(|index| {
            let index = index.borrow();
            index.adopted == identity::count() && !index.clashes
        })
    }

    /// Gives names over to keys that have come since this was last done, where the types agree.
    pub(crate) fn adopt_names(self) -> Outgoing {
        let mut outgoing = Outgoing::default();
        // Before the look at the names: a key that comes meanwhile is looked for again.
        let count = identity::count();
        let Some(index) = self.index().filter(|index| index.borrow().adopted != count) else {
            return outgoing;
        };
        let mut clashes = false;
        let with_a_key = index.borrow().with_a_key();
        for (title, identity) in with_a_key {
            match self.adopt_name(&title, identity) {
                Some(adopted) => outgoing.append(adopted),
                None => clashes = true,
            }
        }
        let mut index = index.borrow_mut();
        (index.adopted, index.clashes) = (count, clashes);
        outgoing
    }

    /// Gives one name over to its key, if the types agree. A value that the key has already stays: it came later, since a write by
    /// name goes to the name as long as the name has a value.
    fn adopt_name(self, title: &Title, identity: &'static Identity) -> Option<Outgoing> {
        let slot = self.named(title.borrowed())?;
        let (value_type, shown) = slot.peek(|named| (named.about.value_type, named.about.shown))?;
        if !value_type.same(identity.value_type()) {
            return None;
        }
        let mut outgoing = Outgoing::default();
        let key = self.key_or_grow(identity);
        if key.raw().is_filled() {
            if shown.is_secret() {
                outgoing.append(identity.make_secret());
            }
        } else {
            // First into the key, then out of the names: a reader finds the value in one of the two at any time.
            let value = slot.peek(|named| named.value.clone())?;
            outgoing.append(self.put_in_key(identity, value, shown).into());
            key.take_over_filled(&slot);
            // What nothing shows has no times.
            if identity.is_stamped() {
                key.take_over_history(&slot);
            }
        }
        outgoing.append(self.take_name(title.borrowed())?);
        Some(outgoing)
    }

    /// Who uses this name, which a key goes by, with another type than the key's.
    pub(crate) fn name_clash(self, title: impl FnOnce() -> TitleRef<'static>) -> Option<Holder> {
        self.index().filter(|index| index.borrow().clashes)?;
        self.named(title())?.peek(|named| named.about.holder())
    }
}

/// Stores another value of the same type under a name that has one, or hands it back if that has another type.
fn put_again(slot: &OwnedSlot<'_, Named>, value: Shared, shown: Shown) -> Result<DisplacedByName, WrongType> {
    let about = slot.peek(|Named { about, .. }| {
        let agrees = value.of().same(about.value_type);
        if agrees { Ok(About { shown, ..about.clone() }) } else { Err(about.holder()) }
    });
    match about.expect("the index leads to slots that are filled") {
        Ok(about) => Ok(stored(slot, Named { about, value })),
        Err(held) => Err(WrongType { held, value }),
    }
}

/// Stores a named value in its slot and gives what was there.
fn stored(slot: &OwnedSlot<'_, Named>, named: Named) -> DisplacedByName {
    let is_stamped = !named.about.shown.is_opaque();
    let displaced = slot.store(named);
    if is_stamped {
        slot.raw().stamp();
    } else {
        // It may have been shown before, or the slot another name's.
        slot.raw().forget_times();
    }
    let Displaced { value, shared, mut outgoing } = displaced;
    let in_place = value.map(|named| named.value);
    let swapped = shared.as_ref().and_then(|named| named.as_any().downcast_ref::<Named>());
    let former = in_place.or_else(|| swapped.map(|named| named.value.clone()));
    outgoing.append(shared.into_iter().collect());
    DisplacedByName { former, outgoing }
}

/// What everybody can read and list.
impl Context {
    /// The value that goes by this name, be it a key's, or, where that is not a `T`, who says so.
    pub(crate) fn read<T>(&self, title: TitleRef<'_>) -> Option<Result<Arc<T>, Holder>>
    where
        T: Send + Sync + 'static,
    {
        let by_key = || {
            let identity = identity::find(title)?;
            let value = self.keys.of(identity)?.read()?;
            Some(value.downcast().map_err(|_| identity.holder()))
        };
        // Between the two looks the owner may move a value from its name to the key: never back.
        by_key().or_else(|| self.names()?.read(title)).or_else(by_key)
    }

    fn titles(&self) -> BTreeSet<(String, String)> {
        // Names first: while the owner gives one over to its key, it is found in one place or the other.
        let names = self.names().into_iter().flat_map(Names::about);
        let names = names.map(|about| (about.title.namespace.to_string(), about.title.name.to_string()));
        let keys = self
            .filled_keys()
            .map(KeySlot::key)
            .map(|key| (key.namespace().to_owned(), key.name().to_owned()));
        names.chain(keys).collect()
    }

    /// Whether anything goes by this name.
    pub(crate) fn has(&self, title: TitleRef<'_>) -> bool {
        let by_key = || {
            let slot = identity::find(title).and_then(|identity| self.keys.of(identity));
            slot.is_some_and(|slot| slot.raw().is_filled())
        };
        // As in `read`.
        by_key() || self.names().is_some_and(|names| names.has(title)) || by_key()
    }

    /// The namespaces that have a value in them, sorted.
    pub(crate) fn namespaces(&self) -> Vec<String> {
        let mut namespaces: Vec<_> = self.titles().into_iter().map(|(namespace, _)| namespace).collect();
        namespaces.dedup();
        namespaces
    }

    /// The names in `namespace` that have a value, sorted.
    pub(crate) fn names_in(&self, namespace: &str) -> Vec<String> {
        self.titles().into_iter().filter(|(of, _)| of == namespace).map(|(_, name)| name).collect()
    }
}
