//! All live contexts, by ident. The map is private to this file: no guard of it leaves, and nothing of the user's runs
//! while one is held.
//!
//! A forked child cannot use its parent's map, whose locks may be held by threads that do not exist any more. It gets a
//! fresh registry, linked behind the old one; the old one is never touched again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
};

use once_cell::race::OnceBox;

use crate::{
    ContextRef, Ident,
    context::{Context, State},
    current, fork, os,
    stats::Counters,
    sync::{Map, globals, map},
};

/// The map gives memory back when it has shrunk to this part of its largest size since it last did.
const SHRINK_AT: usize = 4;
/// Below this many contexts at the most it is not worth the work.
const SMALL: usize = 256;

struct Registry {
    /// The process that it was made in.
    pid: u32,
    map: Map<Ident, Arc<Context>>,
    shards: usize,
    counters: Counters,
    /// Counts up over all contexts, from `first` on.
    serials: AtomicU64,
    first: u64,
    /// The largest number of live contexts since the map last gave memory back.
    peak: AtomicUsize,
    /// After a fork, in the child: the one that counts.
    next: OnceBox<Registry>,
}

globals! {
    static FIRST: OnceBox<Registry> = OnceBox::new();
}

static PROCESS: AtomicU32 = AtomicU32::new(0);

impl Registry {
    /// The serials of its contexts come after `first`.
    fn new(shards: usize, first: u64) -> Self {
        Self {
            pid: std::process::id(),
            map: map(shards),
            shards,
            counters: Counters::default(),
            serials: AtomicU64::new(first),
            first,
            peak: AtomicUsize::new(0),
            next: OnceBox::new(),
        }
    }

    fn add(&self, context: Arc<Context>) {
        let replaced = current::without_context(|| self.map.insert(context.ident(), context));
        debug_assert!(replaced.is_none(), "threadctx: an ident has one context at a time");
        let live = self.live();
        // Relaxed: figures; the map itself orders the contexts.
        if live > self.peak.load(Ordering::Relaxed) {
            self.peak.fetch_max(live, Ordering::Relaxed);
        }
    }

    /// How many contexts came: each has a serial, and each that has one is added.
    fn registered(&self) -> u64 {
        // Relaxed: a figure.
        self.serials.load(Ordering::Relaxed) - self.first
    }

    fn live(&self) -> usize {
        // Relaxed: figures. What has exited is read first: it has registered before.
        let exited = self.counters.exited.load(Ordering::Relaxed);
        self.registered().saturating_sub(exited) as usize
    }

    /// Gives memory back after a burst.
    fn shrink_if_worth(&self, live: usize) {
        // Relaxed: a hint; two threads that shrink at once do some work twice.
        let peak = self.peak.load(Ordering::Relaxed);
        if peak >= SMALL && live <= peak / SHRINK_AT {
            self.peak.store(live, Ordering::Relaxed);
            self.map.shrink_to_fit();
        }
    }
}

/// The registry of this process.
fn registry() -> &'static Registry {
    fork::watch();
    present()
}

/// The same inside a handler of a fork, which cannot have another one added.
#[inline]
fn present() -> &'static Registry {
    let mut registry = FIRST.get_or_init(|| Box::new(Registry::new(shards(), 0)));
    while let Some(next) = registry.next.get() {
        registry = next;
    }
    registry
}

/// Enough shards that threads seldom meet in one.
fn shards() -> usize {
    (thread::available_parallelism().map_or(1, usize::from) * 4).next_power_of_two()
}

pub(crate) fn counters() -> &'static Counters {
    &registry().counters
}

pub(crate) fn registered() -> u64 {
    registry().registered()
}

/// The serial of a context that is going to be added: they count up over all contexts, and no other has it.
pub(crate) fn next_serial() -> u64 {
    // Relaxed: the number alone matters, and the addition makes it unique.
    registry().serials.fetch_add(1, Ordering::Relaxed) + 1
}

/// Counts up over forks: which process this is.
pub(crate) fn process() -> u32 {
    // Relaxed: it changes in a forked child only, before that has a second thread.
    PROCESS.load(Ordering::Relaxed)
}

pub(crate) fn add(context: Arc<Context>) {
    registry().add(context);
}

/// Whether this process has a thread by this number; `None` where the system does not tell, and in a child that was forked
/// without our handlers (`_Fork`, `clone`): the numbers that its contexts have are those of its parent's threads.
pub(crate) fn has_thread(number: u64) -> Option<bool> {
    if registry().pid == std::process::id() { os::has_thread(number) } else { None }
}

pub(crate) fn remove(context: &Context) {
    let registry = registry();
    let removed = registry.map.remove_if(&context.ident(), |_, found| found.serial() == context.serial());
    if removed.is_some() {
        // Relaxed: as in `add`.
        registry.counters.exited.fetch_add(1, Ordering::Relaxed);
        current::without_context(|| registry.shrink_if_worth(registry.live()));
    }
    // The map's count is dropped here, where no lock is held.
    drop(removed);
}

pub(crate) fn live() -> usize {
    registry().live()
}

/// In a forked child: a registry with this one context at most.
pub(crate) fn restart(only: Option<Arc<Context>>) {
    let old = present();
    // Relaxed, here and below: there is one thread. The one context has its serial already.
    let first = old.serials.load(Ordering::Relaxed);
    let fresh = Registry::new(old.shards, first - u64::from(only.is_some()));
    fresh.serials.store(first, Ordering::Relaxed);
    assert!(
        old.next.set(Box::new(fresh)).is_ok(),
        "threadctx: a forked child has one thread, which restarts once"
    );
    PROCESS.fetch_add(1, Ordering::Relaxed);
    only.into_iter().for_each(|only| present().add(only));
}

/// Every context in the registry, oldest first.
pub(crate) fn all() -> Vec<ContextRef> {
    let registry = registry();
    let collect = || registry.map.iter().map(|entry| ContextRef::new(Arc::clone(&entry))).collect();
    let mut all: Vec<_> = current::without_context(collect);
    all.sort_unstable_by_key(|context| context.context().serial());
    all
}

/// The context of `ident`, if it is live.
///
/// ```
/// use std::sync::mpsc;
///
/// let (ready, wait) = mpsc::channel();
/// let (go, end) = mpsc::channel::<()>();
/// let worker = std::thread::spawn(move || {
///     threadctx::get_thread_ctx();
///     ready.send(()).unwrap();
///     end.recv().unwrap_err();
/// });
/// wait.recv().unwrap();
/// let id = worker.thread().id();
/// assert!(threadctx::context(id).is_some());
/// drop(go);
/// worker.join().unwrap();
/// assert!(threadctx::context(id).is_none());
/// ```
pub fn context(ident: impl Into<Ident>) -> Option<ContextRef> {
    let ident = ident.into();
    let found = registry().map.get(&ident).map(|entry| ContextRef::new(Arc::clone(&entry)));
    found.filter(|context| context.state() != State::Exited)
}

/// Every live context, oldest first; one that is exiting is among them until its values are gone.
///
/// ```
/// threadctx::get_thread_ctx();
/// for context in threadctx::contexts() {
///     println!("{:?} {}", context.thread_name(), context.ident());
/// }
/// # assert!(!threadctx::contexts().is_empty());
/// ```
pub fn contexts() -> Vec<ContextRef> {
    let mut all = all();
    // One may be on the point of leaving.
    all.retain(|context| context.state() != State::Exited);
    all
}
