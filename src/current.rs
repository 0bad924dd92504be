//! Who am I on this thread: the pointer to the current context, its registration, and what is left when it is gone.
//!
//! [`CURRENT`] is the hot path: one thread-local word without a destructor, so that reading it needs no check and works
//! at any time in a thread's life. It is null before the first touch, [`GONE`] after the exit, and otherwise points to
//! the context that is current: the thread's own, or a task's while it is being polled. [`HOME`] holds the thread's own
//! meanwhile. A second thread-local has a destructor and exists for it only: it runs the exit.
//!
//! The right to write a context is an [`Owner`]. It can be had for the current context only, inside a closure that runs
//! no code of the user's, so that nobody exits the context under it.

use std::{
    cell::{Cell, RefCell},
    ffi::c_void,
    marker::PhantomData,
    mem,
    ptr::{self, NonNull},
    sync::Arc,
    thread::ThreadId,
};

use crate::{
    Ident, Snapshot, TaskId,
    context::{Context, Own, State},
    exit::{self, Leftovers},
    ghosts::Ghost,
    hooks,
    identity::Identity,
    names::{NameIndex, Named},
    registry,
    slot::{At, Borrowed, Outgoing, OwnedRaw, OwnedSlot, Place, RawSlot, RetireList},
    sync::{self, this_thread, thread_cells},
};

#[cfg(any(loom, shuttle))]
use crate::sync::LocalCell;

/// In [`CURRENT`] after the exit. No allocation has this address: it is below any that is aligned for a context.
const GONE: *const Context = ptr::dangling();

thread_cells! {
    /// INVARIANT: null, `GONE`, or a context that is in no other thread's `CURRENT` and kept alive until this is changed:
    /// by `HOME`'s count, or by the `Task` that is running.
    static CURRENT: Cell<*const Context> = Cell::new(ptr::null());
    /// The thread's own context, or null. INVARIANT: if not null, one strong count is this cell's.
    static HOME: Cell<*const Context> = Cell::new(ptr::null());
    /// Who this thread is, once somebody needed to know: it is asked for when std cannot tell any more.
    static IDENT: Cell<Option<Ident>> = Cell::new(None);
    /// The same, as the contexts of tasks note it.
    static CARRIER: Cell<Carrier> = Cell::new(Carrier::UNKNOWN);
    static AT_THREAD_EXIT: AtThreadExit = AtThreadExit;
}

/// Runs the thread's exit when the thread's locals are dropped.
struct AtThreadExit;

#[cfg(not(any(loom, shuttle)))]
impl Drop for AtThreadExit {
    fn drop(&mut self) {
        leave(GONE);
    }
}

/// Runs the exit of a thread whose first touch came after its thread-locals were dropped, or while they were.
extern "C" fn at_thread_end(_: *mut c_void) {
    leave(GONE);
}

/// What only the thread may touch that its context is current on: see [`Owner`].
pub(crate) struct OwnerCell<T>(T);

// SAFETY: `Owner::own` and `Owner::index` are the only ways in, and an `Owner` exists only on the thread that the context
// is current on; one context is current on one thread at a time. A task's is next current elsewhere when its `Task`,
// which is exclusive, has got there, and whatever brought it orders the two. One whose thread does not exist any more is
// taken over once, by `bury`, after the system has ordered the two. `T: Send` since it is used there, and dropped
// by whoever lets go of the context last.
unsafe impl<T: Send> Sync for OwnerCell<T> {}

impl<T> OwnerCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(value)
    }
}

/// The right to write the context that is current here.
#[derive(Clone, Copy)]
pub(crate) struct Owner<'a> {
    context: &'a Context,
    not_send: PhantomData<*const ()>,
}

impl<'a> Owner<'a> {
    /// `context` must be current on this thread, or have been until a borrow of it that has not ended was left behind, or
    /// have been taken from a thread that does not exist any more, by this one: see [`bury`].
    fn of(context: &'a Context) -> Self {
        Self { context, not_send: PhantomData }
    }

    #[inline]
    pub(crate) fn context(self) -> &'a Context {
        self.context
    }

    pub(crate) fn own(self) -> &'a Own {
        &self.context.own.0
    }

    pub(crate) fn retired(self) -> &'a RetireList {
        &self.own().retired
    }

    /// Numbers the values of the context in the order in which they were filled.
    pub(crate) fn next_fill(self) -> u64 {
        let fills = &self.own().fills;
        fills.set(fills.get() + 1);
        fills.get()
    }

    /// Notes that a slot which was empty or not is empty or not now.
    pub(crate) fn count_values(self, was_empty: bool, is_empty: bool) {
        let values = &self.own().values;
        values.set(values.get() + usize::from(was_empty) - usize::from(is_empty));
    }

    #[inline]
    pub(crate) fn slot<T: Send + Sync + 'static>(self, place: Place<T>) -> Option<OwnedSlot<'a, T>> {
        let slot = self.context.keys.get(place)?;
        // SAFETY: the slot is one of this owner's context.
        Some(unsafe { OwnedSlot::new(slot, self) })
    }

    pub(crate) fn slot_or_grow<T: Send + Sync + 'static>(self, place: Place<T>) -> OwnedSlot<'a, T> {
        // SAFETY: we are the context's owner.
        let slot = unsafe { self.context.keys.get_or_grow(place) };
        // SAFETY: the slot is one of this owner's context.
        unsafe { OwnedSlot::new(slot, self) }
    }

    /// The slot of a key whose type is not known here, if it was ever needed.
    pub(crate) fn key(self, identity: &'static Identity) -> Option<OwnedRaw<'a>> {
        let slot = self.context.keys.of(identity)?.raw();
        // SAFETY: the slot is one of this owner's context, and that of the identity, which is of this type.
        Some(unsafe { OwnedRaw::new(slot, identity.value_type(), self) })
    }

    pub(crate) fn key_or_grow(self, identity: &Identity) -> OwnedRaw<'a> {
        // SAFETY: we are the context's owner.
        let slot = unsafe { self.context.keys.of_or_grow(identity) };
        // SAFETY: the slot is one of this owner's context, and that of the identity, which is of this type.
        unsafe { OwnedRaw::new(slot, identity.value_type(), self) }
    }

    /// The slot of the name at `index` in the context's names, if it was ever needed.
    pub(crate) fn name(self, index: usize) -> Option<OwnedSlot<'a, Named>> {
        let slot = self.context.names()?.slot(index)?;
        // SAFETY: the slot is one of this owner's context.
        Some(unsafe { OwnedSlot::new(slot, self) })
    }

    pub(crate) fn name_or_grow(self, index: usize) -> OwnedSlot<'a, Named> {
        // SAFETY: we are the context's owner, and it has one at a time.
        let slot = unsafe { self.context.names_or_new().slots.get_or_grow(At::index(index)) };
        // SAFETY: the slot is one of this owner's context.
        unsafe { OwnedSlot::new(slot, self) }
    }

    /// The way to the context's names, if there ever were any.
    pub(crate) fn index(self) -> Option<&'a RefCell<NameIndex>> {
        Some(&self.context.names()?.index.0)
    }

    pub(crate) fn index_or_new(self) -> &'a RefCell<NameIndex> {
        &self.context.names_or_new().index.0
    }

    /// Whether there never was a value, and no hook is waiting: an exit has nothing to do.
    fn has_nothing(self) -> bool {
        !self.own().has_hooks() && self.context.raw_slots().next().is_none()
    }

    /// For a context that has exited: what is borrowed of it was retired when its slot was emptied.
    fn has_open_borrows(self) -> bool {
        !self.retired().is_empty() && self.context.raw_slots().any(|slot| slot.is_borrowed(self))
    }
}

/// Runs `code` as the owner of the current context; `None` where there is none. INVARIANT: `code` runs nothing of the
/// user's, so the context is still current when it returns.
#[inline]
pub(crate) fn owner<R>(code: impl FnOnce(Owner<'_>) -> R) -> Option<R> {
    let current = CURRENT.get();
    if current.addr() <= GONE.addr() {
        return None;
    }
    // SAFETY: by `CURRENT`'s INVARIANT a context that is alive until `CURRENT` is changed, which `code` does not do.
    let context = unsafe { &*current };
    Some(code(Owner::of(context)))
}

/// The owner's read of a slot, if it is the only one.
#[inline]
pub(crate) fn borrow_alone<T: Send + Sync + 'static>(place: Place<T>) -> Option<Borrowed<T>> {
    owner(|owner| owner.slot(place)?.borrow_alone())?
}

/// The owner's read of a slot.
pub(crate) fn borrow<T: Send + Sync + 'static>(place: Place<T>) -> Option<Borrowed<T>> {
    owner(|owner| owner.slot(place)?.borrow())?
}

/// Whether this thread has exited, for us.
pub(crate) fn is_gone() -> bool {
    CURRENT.get() == GONE
}

/// Makes sure that there is a current context; false when this thread has exited.
#[inline]
pub(crate) fn touch() -> bool {
    CURRENT.get().addr() > GONE.addr() || register()
}

/// Who the current context belongs to, or would.
pub(crate) fn ident() -> Ident {
    owner(|owner| owner.context().ident()).unwrap_or_else(thread_ident)
}

fn thread_ident() -> Ident {
    IDENT.get().or_else(ask_ident).unwrap_or(TaskId::NOBODY.into())
}

#[cold]
fn ask_ident() -> Option<Ident> {
    let ident = this_thread().map(|(ident, _)| ident);
    IDENT.set(ident);
    ident
}

#[cold]
fn register() -> bool {
    register_from(None)
}

/// Registers a thread that this crate spawned, unless it has been touched.
pub(crate) fn begin_thread(parent: Ident, inherited: Snapshot) {
    if CURRENT.get().is_null() {
        register_from(Some((parent, inherited)));
    }
}

/// The first touch. Does not panic: what is the matter, if anything, is that the thread is gone.
fn register_from(origin: Option<(Ident, Snapshot)>) -> bool {
    // Until it is done: what an allocator or a panic hook might call meanwhile finds a thread that is gone.
    let was_gone = CURRENT.replace(GONE) == GONE;
    let exit_will_run = !was_gone && AT_THREAD_EXIT.try_with(|_| ()).is_ok();
    if exit_will_run {
        sync::at_thread_end(at_thread_end);
    }
    let thread = if exit_will_run { this_thread() } else { None };
    let Some((ident, thread)) = thread else { return false };
    IDENT.set(Some(ident));
    let (parent, inherited) = origin.unzip();
    let context = Context::of_thread(ident, thread, parent);
    if let Some(inherited) = inherited {
        inherited.move_in(Owner::of(&context));
    }
    registry::add(Arc::clone(&context));
    let home = Arc::into_raw(context);
    HOME.set(home);
    CURRENT.set(home);
    owner(|owner| owner.own().starting.set(true));
    hooks::run_start();
    owner(|owner| owner.own().starting.set(false));
    true
}

/// Runs this thread's exit now and lets it start afresh; false where there is nothing to exit or it is not the time.
pub(crate) fn exit_now() -> bool {
    let own_is_current = ptr::eq(CURRENT.get(), HOME.get());
    let is_running =
        |owner: Owner<'_>| owner.context().state() == State::Running && !owner.own().starting.get();
    let exits = own_is_current && owner(is_running) == Some(true);
    if exits {
        leave(ptr::null());
    }
    exits
}

/// The exit of the thread's own context, after which `CURRENT` is `after`.
fn leave(after: *const Context) {
    let home = HOME.get();
    // SAFETY: if not null, by `HOME`'s INVARIANT a context that one count of ours keeps alive.
    let Some(context) = (unsafe { home.as_ref() }) else {
        CURRENT.set(after);
        return;
    };
    if context.state() != State::Running {
        // `process::exit` in an exit hook: the hook never returns, and what it left undone dies with the process.
        CURRENT.set(GONE);
        return;
    }
    // A task's context that is current now is being left by `process::exit` in a poll.
    CURRENT.set(home);
    end_current(context, hooks::run_exit);
    HOME.set(ptr::null());
    CURRENT.set(after);
    // SAFETY: `HOME`'s count, which is not in `HOME` any more.
    park(&unsafe { Arc::from_raw(home) });
}

/// The exit of `context`, which is current, and after which nothing is.
fn end_current(context: &Context, for_all: fn()) {
    exit::run(for_all);
    CURRENT.set(GONE);
    exit::take_leftovers(Owner::of(context)).drop_contained();
    over(context);
}

/// The end of an exit: the context leaves the registry.
fn over(context: &Context) {
    context.set_state(State::Exited);
    registry::remove(context);
}

/// Ends a context whose thread died without an exit, and gives what was in it; `None` if it had its exit after all, or if
/// another sweep was first.
pub(crate) fn bury(ghost: &Ghost) -> Option<Leftovers> {
    let context = ghost.context();
    // A child that was forked past the handlers may take its own context for its parent's thread's.
    let is_own = ptr::eq(HOME.get(), Arc::as_ptr(context));
    if is_own || context.state() == State::Exited || !context.take_from_the_dead() {
        return None;
    }
    context.set_state(State::Exiting);
    // The one owner: by the INVARIANT of `Ghost` the thread that was is no more and all it did is seen here, and the swap
    // keeps other sweeps out.
    let owner = Owner::of(context);
    context.raw_slots().for_each(|slot| slot.abandon_borrows(owner));
    let left = exit::take_all_of_the_dead(owner);
    over(context);
    // SAFETY: the count that was in the `HOME` of the thread, which died with it: an exit would have set `Exited` before it
    // let go of the count.
    drop(unsafe { Arc::from_raw(Arc::as_ptr(context)) });
    Some(left)
}

/// Keeps a context that has exited, where a borrow further up the stack goes on, until that borrow's end.
fn park(context: &Arc<Context>) {
    let owner = Owner::of(context);
    if owner.has_open_borrows() {
        owner.own().parked.set(Some(Arc::clone(context)));
    }
}

/// What a borrow kept waiting. Dropped after everything is let go: the values run the user's code.
#[must_use]
#[derive(Default)]
pub(crate) struct EndOfBorrow {
    _values: Outgoing,
    _context: Option<Arc<Context>>,
}

/// Called as a borrow of `slot` ends, if something waits for the last one.
pub(crate) fn end_of_borrow(context: NonNull<Context>, slot: NonNull<RawSlot>) -> EndOfBorrow {
    // SAFETY: the borrow was counted until now, so exit has kept the context, and nothing has run since.
    let context = unsafe { context.as_ref() };
    // SAFETY: as above; the slot is part of the context.
    let slot = unsafe { slot.as_ref() };
    let owner = Owner::of(context);
    if slot.is_borrowed(owner) {
        return EndOfBorrow::default();
    }
    slot.forget_borrows(owner);
    let values = slot.settle(owner);
    let parked = owner.own().parked.take();
    let waits_on = parked.is_some() && owner.has_open_borrows();
    let context = if waits_on { owner.own().parked.replace(parked) } else { parked };
    EndOfBorrow { _values: values, _context: context }
}

/// A task's context, and the exclusive right to make it current. Dropping it is the task's exit, wherever that happens.
pub(crate) struct Task {
    id: TaskId,
    context: Arc<Context>,
    is_over: bool,
}

impl Task {
    /// The context of a new task, with the values of `inherited`.
    pub(crate) fn begin(inherited: Snapshot) -> Self {
        let (id, context) = Context::of_task(ident());
        // Nobody else has it yet, so it is as good as current here.
        inherited.move_in(Owner::of(&context));
        registry::add(Arc::clone(&context));
        Self { id, context, is_over: false }
    }

    /// Runs `code` with the task's context current; afterwards, also after a panic, the one before it is again.
    #[inline]
    pub(crate) fn run<R>(&mut self, code: impl FnOnce() -> R) -> R {
        let _switched = Switched::to(self);
        code()
    }

    /// The task's exit, here and now.
    pub(crate) fn end(&mut self) {
        if mem::replace(&mut self.is_over, true) {
            return;
        }
        if Owner::of(&self.context).has_nothing() {
            over(&self.context);
            return;
        }
        let switched = Switched::to(self);
        end_current(&self.context, || ());
        drop(switched);
        park(&self.context);
    }

    pub(crate) fn handle(&self) -> Arc<Context> {
        Arc::clone(&self.context)
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.end();
    }
}

/// Another context is current for as long as this lives. It lives in a frame of `Task` only, which holds the task
/// exclusively meanwhile.
struct Switched<'a> {
    context: &'a Context,
    before: *const Context,
}

impl<'a> Switched<'a> {
    #[inline]
    fn to(task: &'a Task) -> Self {
        let carrier = CARRIER.get();
        task.context.set_carrier(if carrier == Carrier::UNKNOWN { ask_carrier() } else { carrier });
        let before = CURRENT.replace(Arc::as_ptr(&task.context));
        let switched = Self { context: &task.context, before };
        if let Some(before) = switched.before() {
            before.set_carries(Some(task.id));
        }
        switched
    }

    #[inline]
    fn before(&self) -> Option<&Context> {
        // SAFETY: it was in `CURRENT`, so by the INVARIANT a context that was alive then. It still is: a thread's own does
        // not exit while another one is current, and a task's is in a frame of its `Task` further up the stack.
        (self.before.addr() > GONE.addr()).then(|| unsafe { &*self.before })
    }
}

impl Drop for Switched<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(before) = self.before() {
            before.set_carries(None);
        }
        CURRENT.set(self.before);
        self.context.set_carrier(Carrier::UNKNOWN);
    }
}

#[cold]
fn ask_carrier() -> Carrier {
    let carrier = Carrier::of(thread_ident());
    CARRIER.set(carrier);
    carrier
}

/// A thread's id in a word, to be stored atomically.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Carrier(u64);

impl Carrier {
    const UNKNOWN: Self = Self(0);

    fn of(ident: Ident) -> Self {
        match ident {
            // SAFETY: both are 8 bytes, or this does not compile, and an id is a number of 64 bits: no byte is padding.
            Ident::Thread(id) => Self(unsafe { mem::transmute::<ThreadId, u64>(id) }),
            Ident::Task(_) => Self::UNKNOWN,
        }
    }

    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    /// `bits` must come from [`bits`](Self::bits).
    pub(crate) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    pub(crate) fn ident(self) -> Option<Ident> {
        // SAFETY: if not 0, the bits of a `ThreadId`: see `of`.
        (self != Self::UNKNOWN).then(|| unsafe { mem::transmute::<u64, ThreadId>(self.0) }.into())
    }
}

/// In a forked child, on its only thread: a registry with this thread's own context, if it has one. A task in whose poll
/// the fork happened goes on too, though the registry has not got it.
pub(crate) fn after_fork() {
    let home = HOME.get();
    // SAFETY: if not null, by `HOME`'s INVARIANT a context that one count of ours keeps alive.
    let own = unsafe { home.as_ref() };
    let count = own.map(|_| {
        // SAFETY: the pointer came from `Arc::into_raw`, and our count keeps it alive.
        unsafe { Arc::increment_strong_count(home) };
        // SAFETY: the count just taken.
        unsafe { Arc::from_raw(home) }
    });
    registry::restart(count);
    own.into_iter().for_each(|own| own.after_fork(Owner::of(own)));
    owner(|owner| owner.context().after_fork(owner));
}

/// The contexts of this thread: the current one, and its own if that is another. For panic hooks: nothing in here panics or
/// asks std who the thread is.
pub(crate) fn contexts_here() -> Vec<Arc<Context>> {
    let home = HOME.get();
    let own = (!home.is_null()).then(|| {
        // SAFETY: by `HOME`'s INVARIANT the pointer of an `Arc` that is alive.
        unsafe { Arc::increment_strong_count(home) };
        // SAFETY: the count just taken.
        unsafe { Arc::from_raw(home) }
    });
    let mut contexts: Vec<_> = handle().into_iter().chain(own).collect();
    contexts.dedup_by(|one, other| Arc::ptr_eq(one, other));
    contexts
}

/// Another count of the current context.
pub(crate) fn handle() -> Option<Arc<Context>> {
    let current = CURRENT.get();
    owner(|_| {
        // SAFETY: there is an owner, so by `CURRENT`'s INVARIANT this is the pointer of an `Arc` that is alive.
        unsafe { Arc::increment_strong_count(current) };
        // SAFETY: the count just taken.
        unsafe { Arc::from_raw(current) }
    })
}
