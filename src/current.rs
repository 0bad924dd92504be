//! Who am I on this thread: the pointer to the current context, its registration, and what is left when it is gone.
//!
//! [`CURRENT`] is the hot path: one thread-local word without a destructor, so that reading it needs no check and works
//! at any time in a thread's life. It is null before the first touch, [`GONE`] after the exit, and otherwise points to
//! the context that is current: the thread's own, or a task's while it is being polled. [`HOME`] holds the thread's own
//! meanwhile. A second thread-local has a destructor and exists for it only: it runs the exit.
//!
//! The right to write a context is an [`Owner`]. [`owner`] grants it for the current context, for the time of a closure.
//! During that closure `CURRENT` is [`INSIDE`]: a call of the crate from inside it finds no context, and an exit does nothing.
//! So even a closure that drops a user's value by mistake cannot free the context under itself. Debug builds assert that none
//! does ([`assert_outside_owner`]).
//!
//! The polls of tasks on one thread form a list, [`TOP`] first. Usually the last one to begin ends first; where stackful
//! coroutines suspend a poll, another one may end before it, and takes itself out of the middle of the list.

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
    exit, hooks,
    identity::Identity,
    names::{NameIndex, Named},
    registry,
    slot::{At, Borrowed, Outgoing, OwnedRaw, OwnedSlot, Place, RawSlot, RetireList},
    stats,
    sync::{self, this_thread, thread_cells},
    title::TitleRef,
};

#[cfg(any(loom, shuttle))]
use crate::sync::LocalCell;

/// In [`CURRENT`] while a closure of [`owner`] runs.
const INSIDE: *const Context = ptr::without_provenance(1);
/// In [`CURRENT`] and [`HOME`] after the exit.
const GONE: *const Context = ptr::without_provenance(2);
const _: () = assert!(align_of::<Context>() > 2, "no context has the address of a marker");

thread_cells! {
    /// INVARIANT: null, `INSIDE`, `GONE`, or a context that is in no other thread's `CURRENT` and kept alive until this is
    /// changed: by `HOME`'s count, or by the `Task` that is running.
    static CURRENT: Cell<*const Context> = Cell::new(ptr::null());
    /// The thread's own context: null before the first touch, `GONE` after the exit. INVARIANT: a context in it has one strong
    /// count that is this cell's.
    static HOME: Cell<*const Context> = Cell::new(ptr::null());
    /// The latest poll on this thread that has not ended. INVARIANT: null, or a node in a frame of this thread that has not
    /// returned: each takes itself out of the list before it returns. The same holds for each node's `below`.
    static TOP: Cell<*const Poll> = Cell::new(ptr::null());
    /// Who this thread is, once somebody needed to know: it is asked for when std cannot tell any more.
    static IDENT: Cell<Option<Ident>> = Cell::new(None);
    /// The same, as the contexts of tasks note it.
    static CARRIER: Cell<Option<ThreadId>> = Cell::new(None);
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
// which is exclusive, has got there, and whatever brought it orders the two. `T: Send` since it is used there, and dropped
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
    /// # Safety
    /// Until the last use of the result:
    /// - no other thread has an `Owner` of `context`: it is current here, or was until its exit on this thread, or is not in
    ///   the registry yet, or its `Task` is borrowed exclusively;
    /// - no other `Owner` of it is used on this thread, and no value of the user's drops.
    unsafe fn of(context: &'a Context) -> Self {
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

    /// The slot of the name at `index`, which is `title` from now on.
    pub(crate) fn name_or_grow(self, index: usize, title: TitleRef<'_>) -> OwnedSlot<'a, Named> {
        // SAFETY: we are the context's owner, and it has one at a time.
        let slot = unsafe { self.context.names_or_new().slots.get_or_grow(At::index(index)) };
        slot.tag(title);
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

/// Runs `code` with the right to write the current context; `None` where there is none.
///
/// Meanwhile no context is current: a nested call finds none, and an exit does nothing.
#[inline]
pub(crate) fn owner<R>(code: impl FnOnce(Owner<'_>) -> R) -> Option<R> {
    let inside = Inside::enter()?;
    // SAFETY: by `CURRENT`'s INVARIANT the context is alive until `CURRENT` is changed, and `Inside` keeps everybody from
    // finding it there.
    let context = unsafe { &*inside.0 };
    // SAFETY: it is current here, and `INSIDE` stands for it until `code` has returned.
    Some(code(unsafe { Owner::of(context) }))
}

/// The same without the marker, for the calls that are counted in instructions.
///
/// # Safety
/// `code` runs nothing of the user's: it drops no value, makes no call into the allocator and does not panic.
#[inline]
unsafe fn owner_unmarked<R>(code: impl FnOnce(Owner<'_>) -> R) -> Option<R> {
    let current = CURRENT.get();
    if current.addr() <= GONE.addr() {
        return None;
    }
    // SAFETY: by `CURRENT`'s INVARIANT a context that is alive until `CURRENT` is changed, which `code` does not do.
    let context = unsafe { &*current };
    // SAFETY: it is current here, and `code` gives nothing else a chance to get an `Owner`.
    Some(code(unsafe { Owner::of(context) }))
}

/// `CURRENT` is `INSIDE` for as long as this lives, and then again what it was.
struct Inside(*const Context);

impl Inside {
    #[inline]
    fn enter() -> Option<Self> {
        let current = CURRENT.get();
        (current.addr() > GONE.addr()).then(|| Self(CURRENT.replace(INSIDE)))
    }
}

impl Drop for Inside {
    #[inline]
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

/// Runs `code` while no context is current, for code of ours that allocates under a lock: an allocator of the user's that
/// calls the crate from there finds no context, and takes no lock to register one.
pub(crate) fn without_context<R>(code: impl FnOnce() -> R) -> R {
    let _inside = Inside(CURRENT.replace(INSIDE));
    code()
}

/// Asserts, in debug builds and models, that no closure of [`owner`] runs on this thread. Called wherever a value of the
/// user's may drop or code of the user's runs.
#[inline]
pub(crate) fn assert_outside_owner() {
    if cfg!(any(debug_assertions, loom, shuttle)) {
        // A checker drops its statics when it has no thread-locals any more.
        let is_outside = CURRENT.try_with(|current| current.get() != INSIDE).unwrap_or(true);
        assert!(is_outside, "threadctx: code of the user's runs inside a closure of `owner`");
    }
}

/// The owner's read of a slot, if it is the only one.
#[inline]
pub(crate) fn borrow_alone<T: Send + Sync + 'static>(place: Place<T>) -> Option<Borrowed<T>> {
    // SAFETY: it loads a pointer and sets a cell.
    unsafe { owner_unmarked(|owner| owner.slot(place)?.borrow_alone())? }
}

/// The fast write of a slot: see [`OwnedSlot::set_in_place`]. The value comes back where this way is closed.
#[inline]
pub(crate) fn set_in_place<T: Send + Sync + 'static>(place: Place<T>, value: T) -> Result<T, T> {
    let mut value = Some(value);
    let write = |owner: Owner<'_>| {
        let slot = owner.slot(place)?;
        match slot.set_in_place(value.take()?) {
            Ok(old) => Some(old),
            Err(back) => {
                value = Some(back);
                None
            }
        }
    };
    // SAFETY: it moves values in and out, and drops none.
    let old = unsafe { owner_unmarked(write) };
    old.flatten().ok_or_else(|| value.take().expect("a value that is not stored comes back"))
}

/// A clone of the `Arc` in a slot.
#[inline]
pub(crate) fn get<T: Send + Sync + 'static>(place: Place<T>) -> Option<sync::Arc<T>> {
    // SAFETY: it loads a pointer and counts up.
    unsafe { owner_unmarked(|owner| owner.slot(place)?.get())? }
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
    // SAFETY: it copies an ident.
    unsafe { owner_unmarked(|owner| owner.context().ident()) }.unwrap_or_else(thread_ident)
}

fn thread_ident() -> Ident {
    IDENT.get().unwrap_or_else(ask_ident)
}

/// Std's ident of this thread. If it is too late to ask for that, one of its own, which is no other's.
#[cold]
fn ask_ident() -> Ident {
    let ident = this_thread().map_or_else(|| TaskId::of_unnamed_thread().into(), |(ident, _)| ident);
    IDENT.set(Some(ident));
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
    if !CURRENT.get().is_null() {
        return false;
    }
    // Until it is done: what an allocator or a panic hook might call meanwhile finds a thread that is gone.
    set_own(GONE);
    let exit_will_run = AT_THREAD_EXIT.try_with(|_| ()).is_ok();
    if exit_will_run {
        sync::at_thread_end(at_thread_end);
    }
    let thread = if exit_will_run { this_thread() } else { None };
    let Some((ident, thread)) = thread else { return false };
    IDENT.set(Some(ident));
    let (parent, inherited) = origin.unzip();
    let context = Context::of_thread(ident, thread, parent);
    if let Some(inherited) = inherited {
        // SAFETY: this thread made the context, and has shown it to no other.
        inherited.move_in(unsafe { Owner::of(&context) });
    }
    registry::add(Arc::clone(&context));
    set_own(Arc::into_raw(context));
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

/// Makes `own` the thread's own context, and current.
fn set_own(own: *const Context) {
    HOME.set(own);
    CURRENT.set(own);
}

/// The thread's own context, if it has one.
fn own_context() -> Option<NonNull<Context>> {
    NonNull::new(HOME.get().cast_mut()).filter(|home| home.addr().get() > GONE.addr())
}

/// Another count of the thread's own context.
fn share_own() -> Option<Arc<Context>> {
    own_context().map(|own| {
        // SAFETY: by `HOME`'s INVARIANT the pointer of an `Arc` that is alive.
        unsafe { Arc::increment_strong_count(own.as_ptr()) };
        // SAFETY: the count just taken.
        unsafe { Arc::from_raw(own.as_ptr()) }
    })
}

/// The exit of the thread's own context, after which `CURRENT` is `after`.
fn leave(after: *const Context) {
    if CURRENT.get() == INSIDE {
        // `process::exit` in a drop that an owner's closure should not have run: that closure never returns.
        return;
    }
    let Some(own) = own_context() else {
        set_own(after);
        return;
    };
    // SAFETY: by `HOME`'s INVARIANT one count keeps it alive, which is given up below.
    let context = unsafe { own.as_ref() };
    if context.state() != State::Running {
        // `process::exit` in an exit hook: the hook never returns, and what it left undone dies with the process.
        CURRENT.set(GONE);
        return;
    }
    // A task's context that is current now is being left by `process::exit` in a poll, or by a coroutine that is suspended in one.
    CURRENT.set(own.as_ptr());
    end_current(context, hooks::run_exit);
    set_own(after);
    polls().for_each(|poll| poll.replace_before(own.as_ptr(), after));
    // SAFETY: `HOME`'s count, which is not in `HOME` any more.
    park(&unsafe { Arc::from_raw(own.as_ptr()) });
}

/// The exit of `context`, which is current, and after which nothing is.
fn end_current(context: &Context, for_all: fn()) {
    exit::run(for_all);
    CURRENT.set(GONE);
    // SAFETY: it was current here until now, and nothing else on this thread can reach it any more.
    exit::take_leftovers(unsafe { Owner::of(context) }).drop_contained();
    over(context);
}

/// The end of an exit: the context leaves the registry.
fn over(context: &Context) {
    context.set_state(State::Exited);
    registry::remove(context);
}

/// Keeps a context that has exited, where a borrow further up the stack goes on, until that borrow's end.
fn park(context: &Arc<Context>) {
    // SAFETY: it was current on this thread until its exit, which is over.
    let owner = unsafe { Owner::of(context) };
    if owner.has_open_borrows() {
        owner.own().parked.set(Some(Arc::clone(context)));
    }
}

/// What a borrow kept waiting. Dropped after everything is let go: the values run the user's code.
#[must_use]
pub(crate) struct EndOfBorrow {
    _values: Outgoing,
    _context: Option<Arc<Context>>,
}

/// Called as a borrow of `value` in `slot` ends, if former values of the slot are retired.
pub(crate) fn end_of_borrow(
    context: NonNull<Context>,
    slot: NonNull<RawSlot>,
    value: NonNull<()>,
) -> EndOfBorrow {
    // SAFETY: the borrow was counted until now, so exit has kept the context, and nothing has run since.
    let context = unsafe { context.as_ref() };
    // SAFETY: as above; the slot is part of the context.
    let slot = unsafe { slot.as_ref() };
    // SAFETY: the borrow began when the context was current on this thread; a task's context moves to another one only when
    // its poll, and all that the poll borrowed, is over.
    let owner = unsafe { Owner::of(context) };
    let values = without_context(|| slot.end_borrow(owner, value));
    if slot.is_borrowed(owner) {
        return EndOfBorrow { _values: values, _context: None };
    }
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
        // SAFETY: this thread made the context, and has shown it to no other.
        inherited.move_in(unsafe { Owner::of(&context) });
        registry::add(Arc::clone(&context));
        Self { id, context, is_over: false }
    }

    /// Runs `code` with the task's context current; afterwards, also after a panic, the one before it is again.
    #[inline]
    pub(crate) fn run<R>(&mut self, code: impl FnOnce() -> R) -> R {
        let poll = Poll::of(self);
        let _entered = EnterGuard::enter(&poll);
        code()
    }

    /// The task's exit, here and now.
    pub(crate) fn end(&mut self) {
        if mem::replace(&mut self.is_over, true) {
            return;
        }
        // SAFETY: the task is borrowed exclusively, so its context is current nowhere.
        if unsafe { Owner::of(&self.context) }.has_nothing() {
            over(&self.context);
            return;
        }
        let poll = Poll::of(self);
        let entered = EnterGuard::enter(&poll);
        end_current(&self.context, || ());
        drop(entered);
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

/// A poll (or the exit) of a task on this thread. It stands in a frame of `Task`, which borrows the task exclusively meanwhile.
struct Poll {
    task: TaskId,
    context: NonNull<Context>,
    /// The poll that this one began in, or null.
    below: Cell<*const Poll>,
    /// What was in `CURRENT` when this one began. INVARIANT: that of `CURRENT`. A context in it is that of the poll below, or the
    /// thread's own: whichever of the two ends first puts something else here.
    before: Cell<*const Context>,
}

impl Poll {
    #[inline]
    fn of(task: &Task) -> Self {
        Self {
            task: task.id,
            context: NonNull::from(&*task.context),
            below: Cell::new(ptr::null()),
            before: Cell::new(ptr::null()),
        }
    }

    fn context(&self) -> &Context {
        // SAFETY: the frame that this stands in borrows the task, which keeps its context.
        unsafe { self.context.as_ref() }
    }

    /// Notes for people which task is polled in the place of the context before.
    #[inline]
    fn note_before(&self, carries: Option<TaskId>) {
        let before = self.before.get();
        if before.addr() > GONE.addr() {
            // SAFETY: by the INVARIANT a context that is alive.
            unsafe { &*before }.set_carries(carries);
        }
    }

    /// Another context than `ended` is to be current when this poll has ended.
    fn replace_before(&self, ended: *const Context, by: *const Context) {
        if self.before.get() == ended {
            self.before.set(by);
        }
    }
}

/// The polls on this thread that have not ended, the latest first.
fn polls<'a>() -> impl Iterator<Item = &'a Poll> {
    let mut next: *const Poll = TOP.get();
    std::iter::from_fn(move || {
        // SAFETY: by `TOP`'s INVARIANT null or a node in a frame that has not returned, as none does while the list is walked.
        let poll = unsafe { next.as_ref() }?;
        next = poll.below.get();
        Some(poll)
    })
}

/// The context of `poll` is current for as long as this lives.
struct EnterGuard<'p> {
    poll: &'p Poll,
}

impl<'p> EnterGuard<'p> {
    #[inline]
    fn enter(poll: &'p Poll) -> Self {
        assert_outside_owner();
        if !poll.context().is_of_this_process() {
            enter_after_fork(poll);
        }
        poll.context().set_carrier(CARRIER.get().or_else(ask_carrier));
        poll.below.set(TOP.replace(poll));
        poll.before.set(CURRENT.replace(poll.context.as_ptr()));
        poll.note_before(Some(poll.task));
        Self { poll }
    }
}

impl Drop for EnterGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        let poll = self.poll;
        if ptr::eq(TOP.get(), poll) {
            TOP.set(poll.below.get());
            CURRENT.set(poll.before.get());
            poll.note_before(None);
        } else {
            end_out_of_order(poll);
        }
        poll.context().set_carrier(None);
    }
}

/// In a forked child, before the first poll of a task that came with the fork: readers that were inside its slots do not exist.
#[cold]
fn enter_after_fork(poll: &Poll) {
    let context = poll.context();
    // SAFETY: the frame that `poll` stands in borrows the task exclusively.
    context.after_fork(unsafe { Owner::of(context) });
}

/// Takes `poll` out of the list below the polls that began after it and have not ended: a coroutine suspended them.
#[cold]
fn end_out_of_order(poll: &Poll) {
    stats::count(|counters| &counters.scopes_misplaced);
    if let Some(above) = polls().find(|other| ptr::eq(other.below.get(), poll)) {
        above.below.set(poll.below.get());
        above.replace_before(poll.context.as_ptr(), poll.before.get());
        above.note_before(Some(above.task));
    }
}

#[cold]
fn ask_carrier() -> Option<ThreadId> {
    let carrier = thread_ident().thread();
    CARRIER.set(carrier);
    carrier
}

/// In a forked child, on its only thread: a registry with this thread's own context, if it has one. A task in whose poll
/// the fork happened goes on too, though the registry has not got it.
pub(crate) fn after_fork() {
    let own = share_own();
    registry::restart(own.clone());
    if let Some(own) = own {
        // SAFETY: it is this thread's own, and the child has no other.
        own.after_fork(unsafe { Owner::of(&own) });
    }
    owner(|owner| owner.context().after_fork(owner));
}

/// The contexts of this thread: the current one, and its own if that is another. For panic hooks: nothing in here panics or
/// asks std who the thread is.
pub(crate) fn contexts_here() -> Vec<Arc<Context>> {
    let mut contexts: Vec<_> = handle().into_iter().chain(share_own()).collect();
    contexts.dedup_by(|one, other| Arc::ptr_eq(one, other));
    contexts
}

/// Another count of the current context.
pub(crate) fn handle() -> Option<Arc<Context>> {
    let current = CURRENT.get();
    (current.addr() > GONE.addr()).then(|| {
        // SAFETY: neither null nor a marker, so by `CURRENT`'s INVARIANT the pointer of an `Arc` that is alive.
        unsafe { Arc::increment_strong_count(current) };
        // SAFETY: the count just taken.
        unsafe { Arc::from_raw(current) }
    })
}
