//! The values that travel: captured here, to be entered elsewhere.
//!
//! What travels is up to the key ([`Key::inherit`](crate::Key::inherit)); that it travels is up to whoever captures and
//! enters. A snapshot holds counts of its own, in the order in which the program's inheriting keys came, so that entering is
//! one walk over both.

use std::{
    fmt,
    iter::Peekable,
    marker::PhantomData,
    slice,
    sync::{Arc, atomic::Ordering},
};

use crate::{
    clock,
    current::{self, Owner},
    identity::{self, Identity},
    open_scopes::{Covers, ScopeId},
    panics, registry,
    slot::{Outgoing, Past, Shared},
    stats::{self, Counters},
};

/// The values of the keys that [inherit](crate::Key::inherit), as the context had them where the snapshot was taken.
///
/// It never changes, and keeps its values alive for as long as it lives: `stats().snapshot_values` counts them. One without values holds nothing and costs
/// nothing to make or to clone.
///
/// ```
/// use threadctx::{Key, Snapshot};
///
/// static USER: Key<String> = Key::new("http", "user").inherit();
/// static BUFFER: Key<String> = Key::new("http", "buffer");
///
/// USER.set("alice".to_owned());
/// BUFFER.set("half a line".to_owned());
/// let snapshot = Snapshot::capture();
///
/// let worker = std::thread::spawn(move || {
///     USER.set("the worker's own".to_owned());
///     snapshot.run(|| assert_eq!((USER.cloned().as_deref(), BUFFER.cloned()), (Some("alice"), None)));
///     assert_eq!(USER.cloned().as_deref(), Some("the worker's own"));
/// });
/// worker.join().unwrap();
/// ```
#[derive(Clone, Default)]
pub struct Snapshot {
    /// `None` if there are none. In the order of [`identity::inheriting`].
    values: Option<Arc<Values>>,
}

/// The values of a snapshot and its clones, counted in [`Stats::snapshot_values`](stats::Stats::snapshot_values).
struct Values {
    carried: Vec<Carried>,
    /// Where they are counted. A forked child has others.
    counted_in: &'static Counters,
}

impl Values {
    fn new(carried: Vec<Carried>) -> Self {
        let counted_in = registry::counters();
        // Relaxed, here and below: a figure for people.
        counted_in.snapshot_values.fetch_add(carried.len() as u64, Ordering::Relaxed);
        Self { carried, counted_in }
    }
}

impl Drop for Values {
    fn drop(&mut self) {
        self.counted_in.snapshot_values.fetch_sub(self.carried.len() as u64, Ordering::Relaxed);
    }
}

/// One value on its way, or, in a guard, absence.
struct Carried {
    identity: &'static Identity,
    value: Option<Shared>,
}

/// How many values there is room for at first.
const USUAL: usize = 8;

/// Puts `value` in the slot of a context that is new.
fn settle(owner: Owner<'_>, identity: &Identity, value: Option<Shared>, now: u64) {
    let slot = owner.key_or_grow(identity);
    // It was empty: nothing comes out.
    drop(slot.exchange(value));
    if identity.is_stamped() {
        slot.note_arrival(now);
    }
}

impl Drop for Carried {
    /// A panic in the value's drop is contained and counted: the next one's would end the process.
    fn drop(&mut self) {
        panics::contain_drop(self.value.take());
    }
}

impl Snapshot {
    /// Takes the present values of the current context's inheriting keys. Registers nothing: where there is no context,
    /// there are no values.
    ///
    /// ```
    /// use threadctx::{Key, Snapshot};
    ///
    /// static USER: Key<String> = Key::new("http", "user").inherit();
    ///
    /// USER.set("alice".to_owned());
    /// let snapshot = Snapshot::capture();
    /// USER.set("bob".to_owned());
    /// assert_eq!(snapshot.run(|| USER.cloned()).as_deref(), Some("alice"));
    /// ```
    pub fn capture() -> Self {
        drop(current::owner(|owner| owner.adopt_names()));
        let carried = current::owner(carried_by).unwrap_or_default();
        Self { values: (!carried.is_empty()).then(|| Arc::new(Values::new(carried))) }
    }

    /// Whether there is no value in it. Entering it still hides those of the context where it is entered.
    ///
    /// ```
    /// assert!(threadctx::Snapshot::default().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.values.is_none()
    }

    /// Sets every inheriting key of the current context to what the snapshot has, and those it lacks to absent, until the
    /// guard drops. See [`SnapshotScope`].
    ///
    /// ```
    /// use threadctx::{Key, Snapshot};
    ///
    /// static USER: Key<String> = Key::new("http", "user").inherit();
    ///
    /// USER.set("alice".to_owned());
    /// let nobody = Snapshot::default().enter();
    /// assert_eq!(USER.cloned(), None);
    /// drop(nobody);
    /// assert_eq!(USER.cloned().as_deref(), Some("alice"));
    /// ```
    pub fn enter(&self) -> SnapshotScope {
        if !current::touch() {
            return SnapshotScope::new(None);
        }
        drop(current::owner(|owner| owner.adopt_names()));
        let (entered, outgoing) = current::owner(|owner| self.exchange(owner)).unzip();
        drop(outgoing);
        SnapshotScope::new(entered)
    }

    /// Runs `f` with the snapshot [entered](Self::enter), and leaves it: on return, and on a panic. After this thread's
    /// exit it just runs `f`.
    ///
    /// If `f` only makes a future, nothing of the future runs with the snapshot entered: use
    /// [`in_context_of`](crate::FutureExt::in_context_of).
    ///
    /// ```
    /// use threadctx::{Key, Snapshot};
    ///
    /// static USER: Key<String> = Key::new("http", "user").inherit();
    ///
    /// USER.set("alice".to_owned());
    /// let snapshot = Snapshot::capture();
    /// let on_another = move || snapshot.run(|| USER.cloned());
    /// assert_eq!(std::thread::spawn(on_another).join().unwrap().as_deref(), Some("alice"));
    /// ```
    pub fn run<R>(&self, f: impl FnOnce() -> R) -> R {
        let _scope = self.enter();
        f()
    }

    /// `f` as a closure that runs with the snapshot entered, whenever and wherever it is called: for pools and callbacks. Not
    /// for a closure that makes a future, as for [`run`](Self::run).
    ///
    /// ```
    /// use threadctx::{Key, Snapshot};
    ///
    /// static USER: Key<String> = Key::new("http", "user").inherit();
    ///
    /// USER.set("alice".to_owned());
    /// let job = Snapshot::capture().wrap(|| USER.cloned());
    /// USER.set("bob".to_owned());
    /// assert_eq!(std::thread::spawn(job).join().unwrap().as_deref(), Some("alice"));
    /// ```
    pub fn wrap<R, F: FnOnce() -> R>(self, f: F) -> impl FnOnce() -> R + use<R, F> {
        move || self.run(f)
    }

    fn carried(&self) -> &[Carried] {
        self.values.as_deref().map_or(&[], |values| &values.carried)
    }

    /// Gives a context that is new, and has no values yet, those of the snapshot for good.
    pub(crate) fn move_in(self, owner: Owner<'_>) {
        let Some(values) = self.values else { return };
        let now = clock::now();
        match Arc::try_unwrap(values) {
            Ok(mut alone) => alone
                .carried
                .iter_mut()
                .for_each(|Carried { identity, value }| settle(owner, identity, value.take(), now)),
            Err(shared) => shared
                .carried
                .iter()
                .for_each(|Carried { identity, value }| settle(owner, identity, value.clone(), now)),
        }
    }

    /// Puts the snapshot's values in place of those that there are.
    fn exchange(&self, owner: Owner<'_>) -> (Entered, Outgoing) {
        let now = clock::now();
        let mut entered =
            Entered { scope: owner.begin_scope(Covers::Inheriting), known: 0, limit: 0, before: Vec::new() };
        let mut outgoing = Outgoing::default();
        let mut carried = self.carried().iter().peekable();
        for identity in identity::inheriting() {
            entered.known += 1;
            let new = next_of(&mut carried, identity).and_then(|carried| carried.value.as_ref());
            if identity.travels() {
                entered.exchange(owner, (identity, new), now, &mut outgoing);
            }
        }
        entered.limit = owner.next_fill();
        (entered, outgoing)
    }
}

/// What a snapshot of the current context has in it.
fn carried_by(owner: Owner<'_>) -> Vec<Carried> {
    let mut carried = Vec::new();
    for identity in identity::inheriting().filter(|identity| identity.travels()) {
        if let Some(slot) = owner.key(identity).filter(|slot| slot.raw().is_filled()) {
            if carried.is_empty() {
                carried.reserve(USUAL);
            }
            carried.push(Carried { identity, value: slot.share() });
        }
    }
    carried
}

/// The next in `carried`, if it is `identity`'s.
fn next_of<'a>(carried: &mut Peekable<slice::Iter<'a, Carried>>, identity: &Identity) -> Option<&'a Carried> {
    carried.next_if(|carried| std::ptr::eq(carried.identity, identity))
}

impl fmt::Debug for Snapshot {
    /// The names only: what may be shown of a value is for its key to say.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self
            .carried()
            .iter()
            .map(|Carried { identity, .. }| format!("{}.{}", identity.namespace(), identity.name()));
        f.write_str("Snapshot ")?;
        f.debug_set().entries(names).finish()
    }
}

/// Holds a [`Snapshot`] in place until it drops, and then puts every inheriting key of the context back to what it was,
/// absence included.
///
/// What was set in between under such a key is dropped; other keys are left alone. Guards that drop out of order each put
/// back their own "before" and are counted, as [`Scope`](crate::Scope#out-of-order)s are. It belongs to the context in which it was made: where that one is
/// not current when it drops, it touches nothing and is counted in [`stats`](crate::stats()).
///
/// ```
/// use threadctx::{Key, Snapshot};
///
/// static USER: Key<&str> = Key::new("http", "user").inherit();
///
/// let alices = USER.scope("alice", Snapshot::capture);
/// USER.set("bob");
/// let scope = alices.enter();
/// assert_eq!(USER.cloned(), Some("alice"));
/// drop(scope);
/// assert_eq!(USER.cloned(), Some("bob"));
/// ```
///
/// A guard stays on its thread:
///
/// ```compile_fail,E0277
/// let scope = threadctx::Snapshot::capture().enter();
/// std::thread::spawn(move || drop(scope));
/// ```
#[must_use = "the values are in place for as long as this lives; `let _ = ...` drops it at once"]
pub struct SnapshotScope {
    /// Nothing where there was no context to enter.
    entered: Option<Entered>,
    not_send: PhantomData<*const ()>,
}

/// What leaving puts back.
struct Entered {
    /// The scope in its context.
    scope: ScopeId,
    /// How many inheriting keys there were.
    known: usize,
    /// What the context counted when all was in place: what is filled later is no older than this.
    limit: u64,
    /// In the order of [`identity::inheriting`], without those that were absent and stayed so.
    before: Vec<Kept>,
}

/// What one key had before; once it is restored, what it had until then.
struct Kept {
    carried: Carried,
    past: Past,
}

impl SnapshotScope {
    fn new(entered: Option<Entered>) -> Self {
        Self { entered, not_send: PhantomData }
    }
}

impl Entered {
    /// Puts a value, or absence, in place of what a key has, and keeps that.
    fn exchange(
        &mut self,
        owner: Owner<'_>,
        (identity, new): (&'static Identity, Option<&Shared>),
        now: u64,
        outgoing: &mut Outgoing,
    ) {
        let found = match new {
            Some(_) => Some(owner.key_or_grow(identity)),
            None => owner.key(identity).filter(|slot| slot.raw().is_filled()),
        };
        let Some(slot) = found else { return };
        let past = slot.past();
        // If the very value is here already, it did not come by this snapshot.
        let is_here = new.is_some_and(|new| slot.holds(new));
        let value = if is_here {
            new.cloned()
        } else {
            let displaced = slot.exchange(new.cloned());
            outgoing.append(displaced.outgoing);
            if new.is_some() && identity.is_stamped() {
                slot.note_arrival(now);
            }
            displaced.shared
        };
        self.before.push(Kept { carried: Carried { identity, value }, past });
    }

    /// Puts everything back. What was in place is in `before` then, and in what this gives.
    fn restore(&mut self, owner: Owner<'_>) -> Outgoing {
        let mut outgoing = Outgoing::default();
        let now = clock::now();
        let mut before = self.before.iter_mut().peekable();
        for (index, identity) in identity::inheriting().enumerate() {
            if let Some(kept) = before.next_if(|kept| std::ptr::eq(kept.carried.identity, identity)) {
                outgoing.append(kept.restore(owner, now));
            } else if let Some(slot) = owner.key(identity).filter(|slot| slot.raw().is_filled()) {
                // A key that came since had its value, if it is an old one, by name, and that did not travel.
                let is_new = index < self.known || slot.filled_at() >= Some(self.limit);
                if identity.travels() && is_new {
                    outgoing.add(slot.exchange(None));
                }
            }
        }
        outgoing
    }
}

impl Kept {
    fn restore(&mut self, owner: Owner<'_>, now: u64) -> Outgoing {
        let Carried { identity, value } = &mut self.carried;
        let slot = owner.key_or_grow(identity);
        let is_here = value.as_ref().is_some_and(|value| slot.holds(value));
        let is_there_then = value.is_some();
        let outgoing = if is_here {
            Outgoing::default()
        } else {
            let displaced = slot.exchange(value.take());
            *value = displaced.shared;
            displaced.outgoing
        };
        if is_there_then {
            slot.bring_back(self.past);
            if !is_here && identity.is_stamped() {
                slot.note_time(now);
            }
        }
        outgoing
    }
}

impl Drop for SnapshotScope {
    /// A panic in the drop of what was in place is contained and counted: it may be on the way of another panic.
    fn drop(&mut self) {
        let Some(mut entered) = self.entered.take() else { return };
        drop(current::owner(|owner| owner.adopt_names()));
        let restored = current::owner(|owner| {
            owner.has_scope(entered.scope).then(|| {
                let is_in_order = owner.end_scope(entered.scope).is_some_and(|later| later.is_empty());
                (entered.restore(owner), is_in_order)
            })
        });
        match restored.as_ref().and_then(Option::as_ref) {
            None => stats::count(|counters| &counters.scopes_misplaced),
            Some((_, false)) => stats::count(|counters| &counters.scopes_out_of_order),
            Some((_, true)) => {}
        }
        drop((entered, restored));
    }
}

impl fmt::Debug for SnapshotScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotScope").finish_non_exhaustive()
    }
}
