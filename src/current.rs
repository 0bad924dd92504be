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
    ptr::{self, NonNull},
    sync::Arc,
};

use crate::{
    Ident, TaskId,
    context::{Context, Own, State},
    exit, hooks,
    identity::Identity,
    names::{NameIndex, Named},
    registry,
    slot::{Borrowed, Outgoing, OwnedRaw, OwnedSlot, Place, RawSlot, RetireList},
    sync::{self, this_thread, thread_cells},
};

#[cfg(loom)]
use crate::sync::LocalCell;

/// In [`CURRENT`] after the exit. No allocation has this address: it is below any that is aligned for a context.
const GONE: *const Context = ptr::dangling();

thread_cells! {
    /// INVARIANT: null, `GONE`, or a context that is claimed by this thread and kept alive until this is changed: by
    /// `HOME`'s count or by a `Switched`.
    static CURRENT: Cell<*const Context> = Cell::new(ptr::null());
    /// The thread's own context, or null. INVARIANT: if not null, one strong count is this cell's.
    static HOME: Cell<*const Context> = Cell::new(ptr::null());
    /// Who this thread is, once somebody needed to know: it is asked for when std cannot tell any more.
    static IDENT: Cell<Option<Ident>> = Cell::new(None);
    static AT_THREAD_EXIT: AtThreadExit = AtThreadExit;
}

/// Runs the thread's exit when the thread's locals are dropped.
struct AtThreadExit;

#[cfg(not(loom))]
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

// SAFETY: `Owner::own` and `Owner::index` are the only ways in, and an `Owner` exists only on the thread that the context is current on; one
// context is current on one thread at a time (`Context::claim`). When it is next current elsewhere, the claim orders the
// two. `T: Send` since it is used there, and dropped by whoever lets go of the context last.
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
    /// `context` must be current on this thread, or have been until a borrow of it that has not ended was left behind.
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

    #[inline]
    pub(crate) fn slot<T: Send + Sync + 'static>(self, place: Place<T>) -> Option<OwnedSlot<'a, T>> {
        let slot = self.context.keys.get(place)?;
        // SAFETY: the slot is one of this owner's context.
        Some(unsafe { OwnedSlot::new(slot, self) })
    }

    pub(crate) fn slot_or_grow<T: Send + Sync + 'static>(self, place: Place<T>) -> OwnedSlot<'a, T> {
        let slot = self.context.keys.get_or_grow(place);
        // SAFETY: the slot is one of this owner's context.
        unsafe { OwnedSlot::new(slot, self) }
    }

    /// The slot of a key whose type is not known here, if it was ever needed.
    pub(crate) fn key(self, identity: &Identity) -> Option<OwnedRaw<'a>> {
        let slot = self.context.keys.of(identity)?;
        // SAFETY: the slot is one of this owner's context, and that of the identity, which is of this type.
        Some(unsafe { OwnedRaw::new(slot, identity.value_type(), self) })
    }

    pub(crate) fn key_or_grow(self, identity: &Identity) -> OwnedRaw<'a> {
        let slot = self.context.keys.of_or_grow(identity);
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
        let slot = self.context.names_or_new().slot_or_grow(index);
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

/// The owner's read of a slot.
#[inline]
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
    IDENT.get().or_else(|| this_thread().map(|(ident, _)| ident)).unwrap_or(TaskId::NOBODY.into())
}

/// The first touch. Does not panic: what is the matter, if anything, is that the thread is gone.
#[cold]
fn register() -> bool {
    // Until it is done: what an allocator or a panic hook might call meanwhile finds a thread that is gone.
    let was_gone = CURRENT.replace(GONE) == GONE;
    let exit_will_run = !was_gone && AT_THREAD_EXIT.try_with(|_| ()).is_ok();
    if exit_will_run {
        sync::at_thread_end(at_thread_end);
    }
    let thread = if exit_will_run { this_thread() } else { None };
    let Some((ident, thread)) = thread else { return false };
    IDENT.set(Some(ident));
    let context = Arc::new(Context::of_thread(ident, thread));
    let _claimed = context.claim();
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
    exit::run();
    CURRENT.set(GONE);
    exit::take_leftovers(Owner::of(context)).drop_contained();
    context.set_state(State::Exited);
    registry::remove(context);
    HOME.set(ptr::null());
    CURRENT.set(after);
    // SAFETY: `HOME`'s count, which is not in `HOME` any more.
    park_or_drop(unsafe { Arc::from_raw(home) });
}

/// Lets go of a context that has exited, at once or, where a borrow further up the stack goes on, at that borrow's end.
fn park_or_drop(context: Arc<Context>) {
    let owner = Owner::of(&context);
    if owner.has_open_borrows() {
        owner.own().parked.set(Some(Arc::clone(&context)));
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

/// Makes a task's context the current one for as long as the guard lives; `None` while it is current somewhere else.
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "scopes' tests switch; no public call makes a task's context yet")
)]
pub(crate) fn switch_to(context: &Arc<Context>) -> Option<Switched> {
    context.claim().then(|| {
        let before = CURRENT.replace(Arc::as_ptr(context));
        Switched { before, context: Arc::clone(context), not_send: PhantomData }
    })
}

/// See [`switch_to`].
#[must_use = "the context is current for as long as this lives"]
pub(crate) struct Switched {
    before: *const Context,
    context: Arc<Context>,
    not_send: PhantomData<*const ()>,
}

impl Drop for Switched {
    fn drop(&mut self) {
        // The thread's own context cannot have exited meanwhile: `exit_now` refuses while another one is current.
        CURRENT.set(self.before);
        self.context.unclaim();
    }
}

/// In a forked child, on its only thread: a registry with this thread's own context, if it has one.
pub(crate) fn after_fork() {
    let home = HOME.get();
    // SAFETY: if not null, by `HOME`'s INVARIANT a context that one count of ours keeps alive.
    let Some(context) = (unsafe { home.as_ref() }) else {
        registry::restart(None);
        return;
    };
    // SAFETY: the pointer came from `Arc::into_raw`, and our count keeps it alive.
    unsafe { Arc::increment_strong_count(home) };
    // SAFETY: the count just taken.
    registry::restart(Some(unsafe { Arc::from_raw(home) }));
    context.after_fork(Owner::of(context));
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
