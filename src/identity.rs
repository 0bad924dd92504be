//! The keys of the program: which (namespace, name) has which index and type.
//!
//! Keys are statics, so identities are never removed, and looking one up takes no lock: nobody waits for a thread that
//! is descheduled here, and a forked child finds nothing locked. (For one thing a first use does wait: see
//! [`Identity::note_times`].)

use std::{
    any::Any,
    panic::{Location, RefUnwindSafe},
};

use once_cell::race::OnceRef;

use crate::{
    ContextRef, TypeMismatch,
    chain::Chain,
    dump::Shown,
    error::Holder,
    registry,
    slot::{At, Outgoing, RawSlot, Shared, ValueType},
    sync::{Arc, AtomicBool, AtomicUsize, CHAINS, Ordering, fence, filled_array, globals},
    table::Table,
    title::TitleRef,
};

globals! {
    static BY_NAME: [Chain<&'static Identity>; CHAINS] = filled_array![Chain::new(); CHAINS];
    static BY_INDEX: Table<OnceRef<'static, Identity>> = Table::new();
    /// Indexes given out.
    static INDEXES: AtomicUsize = AtomicUsize::new(0);
    /// Identities that can be found.
    static FOUND: AtomicUsize = AtomicUsize::new(0);
    /// Those of keys that inherit.
    static INHERITING: Chain<&'static Identity> = Chain::new();
}

/// What a `Key` says of itself, its type forgotten.
pub(crate) trait Declared: Sync {
    fn shown(&self) -> Shown;
    fn inherits(&self) -> bool;
    fn has_exit_hook(&self) -> bool;
    /// Runs the key's exit hook, which is the user's code, with a value of the key's type.
    fn run_exit_hook(&self, value: &dyn Any);
    fn keeps_total(&self) -> bool;
    /// Merges two values of the key's type, which is the user's code.
    fn merge(&self, one: &dyn Any, other: &dyn Any) -> Option<Shared>;
}

/// One (namespace, name) that keys go by. INVARIANT: no two have one `index`.
pub(crate) struct Identity {
    title: TitleRef<'static>,
    index: usize,
    /// Where the slot is that `index` stands for.
    at: At<RawSlot>,
    value_type: &'static ValueType,
    origin: &'static Location<'static>,
    counted: AtomicBool,
    /// Whether somebody wants the times of its values: a dump that shows them, or who watches them.
    stamped: AtomicBool,
    /// Whether every context knows.
    told: AtomicBool,
    /// Whether some static of it keeps a total: what is counted stays, whatever another static says.
    stays: AtomicBool,
    /// The statics of this identity, as far as each says something that those before it do not.
    declared: Chain<&'static dyn Declared>,
}

/// What is asked for: an identity as one static declares it.
pub(crate) struct Declaration {
    pub(crate) title: TitleRef<'static>,
    pub(crate) origin: &'static Location<'static>,
    pub(crate) value_type: &'static ValueType,
    pub(crate) key: &'static dyn Declared,
}

/// Stands among the statics of a key, a value of which somebody put in by name as a secret.
struct SaysSecret;

impl Declared for SaysSecret {
    fn shown(&self) -> Shown {
        Shown::Secret
    }

    fn inherits(&self) -> bool {
        false
    }

    fn has_exit_hook(&self) -> bool {
        false
    }

    fn run_exit_hook(&self, _: &dyn Any) {}

    fn keeps_total(&self) -> bool {
        false
    }

    fn merge(&self, _: &dyn Any, _: &dyn Any) -> Option<Shared> {
        None
    }
}

// Nothing in here is changed by steps that a panic of the user's code could part.
impl RefUnwindSafe for Identity {}

impl Identity {
    pub(crate) fn namespace(&self) -> &'static str {
        self.title.namespace
    }

    pub(crate) fn name(&self) -> &'static str {
        self.title.name
    }

    pub(crate) fn index(&self) -> usize {
        self.index
    }

    pub(crate) fn at(&self) -> At<RawSlot> {
        self.at
    }

    pub(crate) fn value_type(&self) -> &'static ValueType {
        self.value_type
    }

    pub(crate) fn holder(&self) -> Holder {
        Holder { type_name: self.value_type.name(), place: self.origin }
    }

    /// What a dump may show: nothing if any static of the identity says secret, else what the first says that says.
    pub(crate) fn shown(&self) -> Shown {
        let all = || self.declared.iter().map(|key| key.shown());
        let secret = all().find(|shown| shown.is_secret());
        secret.or_else(|| all().find(|shown| !shown.is_opaque())).unwrap_or(Shown::Opaque)
    }

    /// Whether writes of its values are noted with the time. Asked by all but the fast write: see
    /// [`note_times`](Self::note_times).
    #[inline]
    pub(crate) fn is_stamped(&self) -> bool {
        // Relaxed: a value that is written just as its key becomes visible may go without an age.
        self.stamped.load(Ordering::Relaxed)
    }

    /// From now on the writes of its values are noted with the time, those included that are there already: each context's
    /// next write is one that asks. (Tasks that a forked child goes on polling are not in its registry: there it is any write
    /// but a fast one.)
    ///
    /// The first time, it waits for the registry's locks and then, holding none of them, for owners inside slots of this
    /// identity, as a reader does. It gives the values that waited for it to leave such a slot.
    pub(crate) fn note_times(&'static self) -> Outgoing {
        let mut outgoing = Outgoing::default();
        // Acquire: pairs with the release below. Two threads that are here at once both tell: neither waits for the other, nor
        // does a child that was forked meanwhile.
        if self.told.load(Ordering::Acquire) {
            return outgoing;
        }
        // Relaxed: the slot's word orders it for the owner of a slot that is told, the registry's locks for a context that is
        // not in it yet, and the fence, which pairs with the one in `Pages::grow`, for a slot that is not there yet: either
        // we find the slot, or its owner finds this.
        self.stamped.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let contexts = registry::all();
        for context in contexts.iter().map(ContextRef::context) {
            if let Some(slot) = context.keys.of(self) {
                slot.raw().divert();
                if context.deferred().is_pending() {
                    outgoing.append(context.deferred().collect());
                }
            }
        }
        self.told.store(true, Ordering::Release);
        // One of them may have exited meanwhile, and its values drop with the last count.
        outgoing.push(Shared::new(Arc::new(contexts)));
        outgoing
    }

    /// Whether its values go along in a snapshot, if it is among the [`inheriting`].
    #[inline]
    pub(crate) fn travels(&self) -> bool {
        // Relaxed: as in `is_stamped`.
        !self.stays.load(Ordering::Relaxed)
    }

    pub(crate) fn exit_hook(&self) -> Option<&'static dyn Declared> {
        self.declared.iter().copied().find(|key| key.has_exit_hook())
    }

    pub(crate) fn total(&self) -> Option<&'static dyn Declared> {
        self.declared.iter().copied().find(|key| key.keeps_total())
    }

    /// From now on nothing of this identity is rendered.
    pub(crate) fn make_secret(&'static self) -> Outgoing {
        self.declare(&SaysSecret)
    }

    /// Counts it, once. Every way to its slots passes here, be it after another thread: [`find`], and [`of`] for a key's place.
    fn be_counted(&self) {
        // Acquire and release: pair with one another, so that the figure has gone up before anybody goes on. Two threads
        // that are here at once count it twice, which makes contexts look once more than they need.
        if !self.counted.load(Ordering::Acquire) {
            FOUND.fetch_add(1, Ordering::Release);
            self.counted.store(true, Ordering::Release);
        }
    }

    /// Notes what `key` says, unless it adds nothing: a key made again and again must not make this grow.
    fn declare(&'static self, key: &'static dyn Declared) -> Outgoing {
        let outgoing = if key.shown().is_opaque() { Outgoing::default() } else { self.note_times() };
        if key.keeps_total() {
            self.stays.store(true, Ordering::Relaxed);
        }
        if key.inherits() {
            INHERITING.find_or_add(|have| std::ptr::eq(*have, self), self);
        }
        let covers = |have: &&'static dyn Declared| {
            let shows =
                key.shown().is_opaque() || have.shown().is_secret() || have.shown().same_kind(key.shown());
            let hooks = !key.has_exit_hook() || have.has_exit_hook();
            shows && hooks && (!key.keeps_total() || have.keeps_total())
        };
        self.declared.find_or_add(covers, key);
        outgoing
    }
}

/// The identity that `declaration` goes by, made at the first use of its first key.
pub(crate) fn of(declaration: &Declaration) -> Result<&'static Identity, TypeMismatch> {
    let Declaration { title, origin, value_type, key } = *declaration;
    let identity = find(title).unwrap_or_else(|| add(declaration));
    if !identity.value_type.same(value_type) {
        let asked = Holder { type_name: value_type.name(), place: origin };
        return Err(TypeMismatch::new(title, identity.holder(), asked));
    }
    let outgoing = identity.declare(key);
    identity.be_counted();
    drop(outgoing);
    Ok(identity)
}

#[cold]
fn add(declaration: &Declaration) -> &'static Identity {
    let Declaration { title, origin, value_type, key } = *declaration;
    // Relaxed: the number alone matters, and the addition makes it unique. If another thread adds the same identity at
    // this moment, one of the two is never found and its index never used.
    let index = INDEXES.fetch_add(1, Ordering::Relaxed);
    let is_shown = !key.shown().is_opaque();
    let identity = Box::new(Identity {
        title,
        index,
        at: At::index(index),
        value_type,
        origin,
        counted: AtomicBool::new(false),
        stamped: AtomicBool::new(is_shown),
        // Nobody has written a value of it yet.
        told: AtomicBool::new(is_shown),
        stays: AtomicBool::new(false),
        declared: Chain::new(),
    });
    let identity: &'static Identity = Box::leak(identity);
    let by_index = BY_INDEX.get_or_grow(index);
    assert!(by_index.set(identity).is_ok(), "threadctx: an index was given out twice");
    chain(title).find_or_add(|have| have.title == title, identity)
}

/// The identity that goes by this, if a key of it was used before. It is counted: a value that goes to its slot from here on is
/// one that [`count`] has told of.
pub(crate) fn find(title: TitleRef<'_>) -> Option<&'static Identity> {
    let found = chain(title).iter().copied().find(|identity| identity.title == title);
    found.inspect(|identity| identity.be_counted())
}

/// The identity at `index`, if that was given out.
pub(crate) fn get(index: usize) -> Option<&'static Identity> {
    BY_INDEX.get(index).and_then(OnceRef::get)
}

/// The identity at `index`, at which a slot is filled.
pub(crate) fn at(index: usize) -> &'static Identity {
    get(index).expect("an identity can be found by its index before anything is stored for it")
}

/// The identities of keys that inherit, in an order that is the same for everybody.
pub(crate) fn inheriting() -> impl Iterator<Item = &'static Identity> {
    INHERITING.iter().copied()
}

/// Goes up each time that an identity has come.
pub(crate) fn count() -> usize {
    FOUND.load(Ordering::Acquire)
}

fn chain(title: TitleRef<'_>) -> &'static Chain<&'static Identity> {
    &BY_NAME[title.hash() as usize % CHAINS]
}
