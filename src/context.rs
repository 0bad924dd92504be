//! Everything kept for one ident, the owner's handle to it and everybody else's.

use std::{
    cell::Cell,
    fmt,
    marker::PhantomData,
    ops::Deref,
    panic::RefUnwindSafe,
    sync::Arc,
    thread::{Thread, ThreadId},
};

use crossbeam_utils::atomic::AtomicCell;

use crate::{
    AccessError, Dump, DumpOptions, Ident, Namespace, NamespaceRef, TaskId, clock,
    current::{self, Owner, OwnerCell},
    identity::Identity,
    late,
    names::Names,
    open_scopes::OpenScopes,
    os, registry,
    slot::{DeferredDrops, KeySlot, KeySlots, Outgoing, RawSlot, RetireList},
    stats,
    sync::{AtomicU8, AtomicU32, AtomicU64, OnceBox, Ordering},
};

/// Where a context is in its life.
///
/// ```
/// let mine = threadctx::get_thread_ctx().handle();
/// assert_eq!(mine.state(), threadctx::State::Running);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// In use.
    Running,
    /// Its exit hooks run and its values drop.
    Exiting,
    /// It is over, and everything that was in it is gone.
    Exited,
}

impl State {
    const ALL: [Self; 3] = [Self::Running, Self::Exiting, Self::Exited];
}

pub(crate) type ExitHook = Box<dyn FnOnce(ThreadCtx) + Send>;

/// Everything kept for one ident.
pub(crate) struct Context {
    ident: Ident,
    /// Counts up over all contexts: their order of age, and what tells two of one thread apart.
    serial: u64,
    thread: Option<Thread>,
    /// What the task was named.
    task_name: OnceBox<Box<str>>,
    parent: Option<Ident>,
    os_tid: AtomicU64,
    /// [`clock::now`] at the registration.
    registered: u64,
    state: AtomicU8,
    /// For a task's: the thread on which it is current.
    carrier: AtomicCell<Option<ThreadId>>,
    /// The number of the task whose context is current in place of this one; 0 if none is.
    carries: AtomicU64,
    /// The process it lives in, counted by forks.
    process: AtomicU32,
    pub(crate) keys: KeySlots,
    names: OnceBox<Names>,
    deferred: DeferredDrops,
    pub(crate) own: OwnerCell<Own>,
}

/// The part of a context that nobody but its owner sees.
#[derive(Default)]
pub(crate) struct Own {
    /// How many slots were filled so far.
    pub(crate) fills: Cell<u64>,
    /// How many are filled now.
    pub(crate) values: Cell<usize>,
    pub(crate) hooks: Cell<Vec<ExitHook>>,
    pub(crate) retired: RetireList,
    /// The scopes that are open, if there ever was one.
    pub(crate) scopes: Cell<Option<Box<OpenScopes>>>,
    /// Whether the start hooks are running.
    pub(crate) starting: Cell<bool>,
    /// Whether its exit collects the values that wait for readers.
    pub(crate) holds_deferred: Cell<bool>,
    /// The context itself, once it has exited while one of its values is still borrowed.
    pub(crate) parked: Cell<Option<Arc<Context>>>,
}

impl Own {
    fn add_hook(&self, hook: &mut Option<ExitHook>) {
        let mut hooks = self.hooks.take();
        hooks.extend(hook.take());
        self.hooks.set(hooks);
    }

    pub(crate) fn has_hooks(&self) -> bool {
        let hooks = self.hooks.take();
        let is_empty = hooks.is_empty();
        self.hooks.set(hooks);
        !is_empty
    }
}

impl Context {
    pub(crate) fn of_thread(ident: Ident, thread: Option<Thread>, parent: Option<Ident>) -> Arc<Self> {
        Arc::new(Self::new(ident, (thread, os::thread_number()), parent, registry::next_serial()))
    }

    /// The task's id is the context's serial, so that a task costs one number.
    pub(crate) fn of_task(parent: Ident) -> (TaskId, Arc<Self>) {
        let serial = registry::next_serial();
        let id = TaskId::numbered(serial);
        (id, Arc::new(Self::new(id.into(), (None, 0), Some(parent), serial)))
    }

    /// Stands for the context of somebody who has none any more.
    fn exited(ident: Ident) -> Arc<Self> {
        let context = Self::new(ident, (None, 0), None, 0);
        context.set_state(State::Exited);
        Arc::new(context)
    }

    /// Inlined, so that it is made where it is to be and not moved there.
    #[inline(always)]
    fn new(ident: Ident, thread: (Option<Thread>, u64), parent: Option<Ident>, serial: u64) -> Self {
        Self {
            ident,
            serial,
            thread: thread.0,
            task_name: OnceBox::new(),
            parent,
            os_tid: AtomicU64::new(thread.1),
            registered: clock::now(),
            state: AtomicU8::new(State::Running as u8),
            carrier: AtomicCell::new(None),
            carries: AtomicU64::new(0),
            process: AtomicU32::new(registry::process()),
            keys: KeySlots::default(),
            names: OnceBox::new(),
            deferred: DeferredDrops::default(),
            own: OwnerCell::new(Own::default()),
        }
    }

    pub(crate) fn ident(&self) -> Ident {
        self.ident
    }

    pub(crate) fn serial(&self) -> u64 {
        self.serial
    }

    pub(crate) fn thread_name(&self) -> Option<&str> {
        self.thread.as_ref()?.name()
    }

    /// The thread's name, or the task's.
    pub(crate) fn name(&self) -> Option<&str> {
        self.thread_name().or_else(|| self.task_name.get().map(|name| &**name))
    }

    /// Names the task. The first name stays: somebody may be reading it.
    pub(crate) fn name_task(&self, name: Box<str>) {
        drop(self.task_name.set(Box::new(name)));
    }

    pub(crate) fn registered(&self) -> u64 {
        self.registered
    }

    pub(crate) fn os_tid(&self) -> Option<u64> {
        // Relaxed: a number for people.
        Some(self.os_tid.load(Ordering::Relaxed)).filter(|tid| *tid != 0)
    }

    /// A context that a fork left behind is over: its thread does not exist in this process.
    pub(crate) fn state(&self) -> State {
        if !self.is_of_this_process() {
            return State::Exited;
        }
        // Acquire: pairs with the release in `set_state`: who sees `Exited` sees the slots empty.
        State::ALL[usize::from(self.state.load(Ordering::Acquire))]
    }

    pub(crate) fn set_state(&self, state: State) {
        // Release: pairs with the acquire in `state`.
        self.state.store(state as u8, Ordering::Release);
    }

    pub(crate) fn is_of_this_process(&self) -> bool {
        // Relaxed: it changes in a forked child only, before that has a second thread.
        self.process.load(Ordering::Relaxed) == registry::process()
    }

    /// The thread on which the task's context is current.
    pub(crate) fn carrier(&self) -> Option<Ident> {
        self.carrier.load().map(Ident::Thread)
    }

    #[inline]
    pub(crate) fn set_carrier(&self, carrier: Option<ThreadId>) {
        self.carrier.store(carrier);
    }

    /// The task whose context is current in place of this one.
    pub(crate) fn carries(&self) -> Option<TaskId> {
        // Relaxed, here and below: for people, who look at a moment that has passed.
        TaskId::from_number(self.carries.load(Ordering::Relaxed))
    }

    #[inline]
    pub(crate) fn set_carries(&self, task: Option<TaskId>) {
        self.carries.store(task.map_or(0, TaskId::number), Ordering::Relaxed);
    }

    /// The dynamic names, if there ever were any.
    pub(crate) fn names(&self) -> Option<&Names> {
        self.names.get()
    }

    pub(crate) fn names_or_new(&self) -> &Names {
        self.names.get_or_init(Box::default)
    }

    /// The values that wait for a reader to leave.
    pub(crate) fn deferred(&self) -> &DeferredDrops {
        &self.deferred
    }

    /// The keys that have a value here, with their slots.
    pub(crate) fn filled_keys(&self) -> impl Iterator<Item = KeySlot<'_>> {
        self.keys.filled()
    }

    /// The slots of keys, filled or not.
    pub(crate) fn key_slots(&self) -> impl Iterator<Item = KeySlot<'_>> {
        self.keys.keyed()
    }

    pub(crate) fn raw_slots(&self) -> impl Iterator<Item = &RawSlot> {
        self.keys.all().chain(self.names().into_iter().flat_map(Names::raw_slots))
    }

    /// In a forked child, for a context of the thread that forked.
    pub(crate) fn after_fork(&self, owner: Owner<'_>) {
        // Relaxed, both: there is one thread.
        if self.os_tid().is_some() {
            self.os_tid.store(os::thread_number(), Ordering::Relaxed);
        }
        self.process.store(registry::process(), Ordering::Relaxed);
        self.raw_slots().for_each(|slot| slot.after_fork(owner));
        self.deferred.after_fork();
    }
}

// A panic in the user's code leaves no step of ours half done, be it in a hook, a renderer or a drop.
impl RefUnwindSafe for Context {}

impl Owner<'_> {
    /// Takes the values of the keys for which `wanted`, oldest key first.
    pub(crate) fn take_keys(self, wanted: impl Fn(&Identity) -> bool) -> Outgoing {
        let mut taken = Outgoing::default();
        for key in self.context().filled_keys().map(KeySlot::key).filter(|key| wanted(key)) {
            if let Some(slot) = self.key(key) {
                taken.add(slot.exchange(None));
            }
        }
        taken
    }
}

/// The owner's handle: always the context that is current where it is used.
///
/// It is a token without a pointer in it, free to copy and bound to its thread. Get it with
/// [`get_thread_ctx`](crate::get_thread_ctx).
///
/// ```
/// let ctx = threadctx::get_thread_ctx();
/// ctx.namespace("probe").insert("settings", vec!["fast"]).unwrap();
/// assert_eq!(ctx.namespaces(), ["probe"]);
/// ctx.clear();
/// assert!(ctx.namespaces().is_empty());
/// ```
///
/// It stays on its thread; what may be sent is its [`handle`](Self::handle):
///
/// ```compile_fail,E0277
/// let ctx = threadctx::get_thread_ctx();
/// std::thread::spawn(move || ctx.clear());
/// ```
#[derive(Clone, Copy)]
pub struct ThreadCtx {
    not_send: PhantomData<*const ()>,
}

/// The current context: this thread's own, or the task's while a task is being polled. Registers it at first touch.
///
/// Never panics. After this thread's exit the handle is good for nothing but harmless; [`try_get_thread_ctx`] tells.
///
/// ```
/// use threadctx::get_thread_ctx;
///
/// get_thread_ctx().namespace("probe").insert("rate", 50_u32).unwrap();
/// assert_eq!(*get_thread_ctx().namespace("probe").get::<u32>("rate").unwrap().unwrap(), 50);
/// ```
pub fn get_thread_ctx() -> ThreadCtx {
    current::touch();
    ThreadCtx::new()
}

/// The same, for those who want to know that it is too late.
///
/// # Errors
///
/// After this thread's exit, which is to say from the destructors of other thread-locals.
///
/// ```
/// assert!(threadctx::try_get_thread_ctx().is_ok());
/// ```
pub fn try_get_thread_ctx() -> Result<ThreadCtx, AccessError> {
    if current::touch() { Ok(ThreadCtx::new()) } else { Err(AccessError::gone(current::ident())) }
}

/// Runs this thread's exit now: hooks, then the values, then the context leaves the registry. Says whether it did.
///
/// For threads whose end comes too late or never: main, scoped threads (whose scope returns before their locals drop),
/// a pool's threads between two jobs. The next touch starts afresh, under the same ident.
///
/// It does nothing and gives false where there is no context, inside a start or exit hook, and while a task's context is
/// current.
///
/// ```
/// use threadctx::{context, exit_thread_ctx, get_thread_ctx};
///
/// let me = get_thread_ctx().ident();
/// assert!(exit_thread_ctx());
/// assert!(context(me).is_none());
/// assert!(!exit_thread_ctx(), "there is nothing left to exit");
/// ```
pub fn exit_thread_ctx() -> bool {
    current::exit_now()
}

impl ThreadCtx {
    pub(crate) fn new() -> Self {
        Self { not_send: PhantomData }
    }

    /// Who the current context belongs to. Also answers when it is gone.
    ///
    /// ```
    /// let me = threadctx::get_thread_ctx().ident();
    /// assert_eq!(me, std::thread::current().id().into());
    /// ```
    pub fn ident(self) -> Ident {
        current::ident()
    }

    /// The part of the context that goes by `name`. It exists as soon as something is in it.
    ///
    /// ```
    /// let probe = threadctx::get_thread_ctx().namespace("probe");
    /// probe.insert("rate", 50_u32).unwrap();
    /// assert!(probe.contains("rate"));
    /// ```
    pub fn namespace<'n>(self, name: &'n str) -> Namespace<'n> {
        Namespace::new(name)
    }

    /// The names of the namespaces that have a value in them, sorted.
    ///
    /// ```
    /// let ctx = threadctx::get_thread_ctx();
    /// ctx.namespace("b").insert("x", 1).unwrap();
    /// ctx.namespace("a").insert("x", 1).unwrap();
    /// assert_eq!(ctx.namespaces(), ["a", "b"]);
    /// ```
    pub fn namespaces(self) -> Vec<String> {
        current::owner(|owner| owner.context().namespaces()).unwrap_or_default()
    }

    /// Has `hook` run at this context's exit, on the thread where that happens, with every value still readable.
    ///
    /// The last one added runs first. A panic in it is contained and counted in [`stats`](crate::stats()); after the exit
    /// the hook is dropped and counted.
    ///
    /// ```
    /// use std::sync::mpsc;
    ///
    /// let (send, said) = mpsc::channel();
    /// std::thread::spawn(move || {
    ///     let ctx = threadctx::get_thread_ctx();
    ///     ctx.namespace("job").insert("name", "sweep").unwrap();
    ///     ctx.on_exit(move |ctx| {
    ///         let name = ctx.namespace("job").get::<&str>("name").unwrap().unwrap();
    ///         send.send(format!("{name} is over")).unwrap();
    ///     });
    /// })
    /// .join()
    /// .unwrap();
    /// assert_eq!(said.recv().unwrap(), "sweep is over");
    /// ```
    pub fn on_exit(self, hook: impl FnOnce(ThreadCtx) + Send + 'static) {
        let mut hook: Option<ExitHook> = Some(Box::new(hook));
        if current::touch() {
            current::owner(|owner| owner.own().add_hook(&mut hook));
        }
        if let Some(refused) = hook {
            stats::count(|counters| &counters.hooks_refused);
            late::drop_late(refused);
        }
    }

    /// A handle for everybody: to keep, to send to another thread, to look into from there.
    ///
    /// ```
    /// let me = threadctx::get_thread_ctx().handle();
    /// std::thread::spawn(move || println!("started by {}", me.ident())).join().unwrap();
    /// ```
    pub fn handle(self) -> ContextRef {
        let context = current::handle();
        ContextRef(context.unwrap_or_else(|| Context::exited(current::ident())))
    }

    /// Drops every value and keeps the context, its hooks included. The hooks of keys do not run: this is no exit.
    ///
    /// A panic in a value's drop is contained and counted, and the others drop too.
    ///
    /// ```
    /// let ctx = threadctx::get_thread_ctx();
    /// ctx.namespace("request").insert("id", 7_u64).unwrap();
    /// ctx.clear();
    /// assert!(!ctx.namespace("request").contains("id"));
    /// ```
    pub fn clear(self) {
        let taken = current::owner(|owner| {
            let mut taken = owner.take_keys(|_| true);
            taken.append(owner.take_names(|_| true));
            taken
        });
        drop(taken);
    }
}

impl fmt::Debug for ThreadCtx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ThreadCtx({})", self.ident())
    }
}

/// Anybody's read-only handle to some context. It keeps no value alive, and outlives the context itself.
///
/// ```
/// use threadctx::{Key, State};
///
/// static JOB: Key<String> = Key::new("example", "job");
///
/// let (ready, wait) = std::sync::mpsc::channel();
/// let (go, end) = std::sync::mpsc::channel::<()>();
/// let worker = std::thread::spawn(move || {
///     JOB.set("indexing".to_owned());
///     ready.send(threadctx::get_thread_ctx().handle()).unwrap();
///     end.recv().unwrap_err();
/// });
/// let context = wait.recv().unwrap();
/// assert_eq!(JOB.get_in(&context).unwrap().as_str(), "indexing");
/// drop(go);
/// worker.join().unwrap();
/// assert_eq!(context.state(), State::Exited);
/// assert!(JOB.get_in(&context).is_none());
/// ```
#[derive(Clone)]
pub struct ContextRef(Arc<Context>);

impl ContextRef {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self(context)
    }

    pub(crate) fn context(&self) -> &Context {
        &self.0
    }

    /// The context where there may still be something to read: not one that a fork left behind, whose owner may have
    /// vanished in the middle of a write.
    #[inline]
    pub(crate) fn readable(&self) -> Option<Look<'_>> {
        (self.0.state() != State::Exited).then(|| Look(&self.0))
    }

    /// Who it belongs to.
    ///
    /// ```
    /// let ctx = threadctx::get_thread_ctx();
    /// assert_eq!(ctx.handle().ident(), ctx.ident());
    /// ```
    pub fn ident(&self) -> Ident {
        self.0.ident()
    }

    /// The thread's name, if it was given one.
    ///
    /// ```
    /// let named = std::thread::Builder::new().name("indexer".into());
    /// let thread = named.spawn(|| threadctx::get_thread_ctx().handle()).unwrap();
    /// assert_eq!(thread.join().unwrap().thread_name(), Some("indexer"));
    /// ```
    pub fn thread_name(&self) -> Option<&str> {
        self.0.thread_name()
    }

    /// The thread's name, or the one that a task was [given](crate::InContext::named), if there is one: what a dump shows.
    ///
    /// ```
    /// use threadctx::FutureExt;
    ///
    /// let task = async {}.in_context().named("checkout");
    /// assert_eq!(task.handle().name(), Some("checkout"));
    /// ```
    pub fn name(&self) -> Option<&str> {
        self.0.name()
    }

    /// The number by which system tools show the thread; `None` for tasks and where the system has no such number.
    ///
    /// ```
    /// let tid = threadctx::get_thread_ctx().handle().os_tid();
    /// # #[cfg(target_os = "linux")]
    /// assert!(tid.is_some());
    /// ```
    pub fn os_tid(&self) -> Option<u64> {
        self.0.os_tid()
    }

    /// Where it is in its life.
    ///
    /// ```
    /// use threadctx::State;
    ///
    /// let over = std::thread::spawn(|| threadctx::get_thread_ctx().handle()).join().unwrap();
    /// assert_eq!(over.state(), State::Exited);
    /// ```
    pub fn state(&self) -> State {
        self.0.state()
    }

    /// Who made it, where that is known: the thread or task that spawned it through this crate, alive or not.
    ///
    /// ```
    /// let me = threadctx::get_thread_ctx().ident();
    /// let ours = threadctx::spawn(|| threadctx::get_thread_ctx().handle()).join().unwrap();
    /// assert_eq!(ours.parent(), Some(me));
    ///
    /// let plain = std::thread::spawn(|| threadctx::get_thread_ctx().handle()).join().unwrap();
    /// assert_eq!(plain.parent(), None);
    /// ```
    pub fn parent(&self) -> Option<Ident> {
        self.0.parent
    }

    /// For a task's: the thread that polls or drops it at this moment.
    ///
    /// ```
    /// use threadctx::{FutureExt, get_thread_ctx};
    ///
    /// let me = get_thread_ctx().ident();
    /// let task = async { get_thread_ctx().handle().carrier() }.in_context();
    /// let context = task.handle();
    /// assert_eq!(context.carrier(), None, "nobody polls it");
    /// # let mut task = std::pin::pin!(task);
    /// # let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    /// # let std::task::Poll::Ready(carrier) = task.as_mut().poll(&mut cx) else { unreachable!() };
    /// # /*
    /// let carrier = task.await;
    /// # */
    /// assert_eq!(carrier, Some(me));
    /// ```
    pub fn carrier(&self) -> Option<Ident> {
        self.0.carrier()
    }

    /// The task that is polled or dropped, at this moment, in place of what this context belongs to: for a thread the
    /// task that it carries, for a task the one that is nested in it.
    ///
    /// ```
    /// use threadctx::{FutureExt, get_thread_ctx};
    ///
    /// let thread = get_thread_ctx().handle();
    /// let task = async { thread.carries() == Some(get_thread_ctx().ident()) }.in_context();
    /// # let mut task = std::pin::pin!(task);
    /// # let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    /// # let std::task::Poll::Ready(is_carried) = task.as_mut().poll(&mut cx) else { unreachable!() };
    /// # /*
    /// let is_carried = task.await;
    /// # */
    /// assert!(is_carried);
    /// assert_eq!(thread.carries(), None);
    /// ```
    pub fn carries(&self) -> Option<Ident> {
        self.0.carries().map(Ident::from)
    }

    /// A view of the namespace that goes by `name`.
    ///
    /// ```
    /// let ctx = threadctx::get_thread_ctx();
    /// ctx.namespace("probe").insert("rate", 50_u32).unwrap();
    /// let seen = ctx.handle();
    /// assert_eq!(*seen.namespace("probe").get::<u32>("rate").unwrap().unwrap(), 50);
    /// ```
    pub fn namespace<'n>(&'n self, name: &'n str) -> NamespaceRef<'n> {
        NamespaceRef::new(self, name)
    }

    /// A dump of this one context.
    ///
    /// ```
    /// let ctx = threadctx::get_thread_ctx();
    /// ctx.namespace("probe").insert("rate", 50_u32).unwrap();
    /// assert!(ctx.handle().dump().to_string().contains("probe.rate"));
    /// ```
    pub fn dump(&self) -> Dump {
        DumpOptions::new().take_of(vec![self.clone()])
    }
}

/// A look into a context by a thread that need not be its owner. Its end drops the values that waited for this look only, which
/// runs the user's code: hold nothing then.
pub(crate) struct Look<'a>(&'a Context);

impl Deref for Look<'_> {
    type Target = Context;

    fn deref(&self) -> &Context {
        self.0
    }
}

impl Drop for Look<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.0.deferred.is_pending() {
            drop_deferred(self.0);
        }
    }
}

#[cold]
#[inline(never)]
fn drop_deferred(context: &Context) {
    drop(context.deferred.collect());
}

impl fmt::Debug for ContextRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContextRef")
            .field("ident", &self.ident())
            .field("name", &self.name())
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
