//! Hooks for every thread: what runs when one registers and when one exits. Lists, so that nobody replaces another's.

use std::{
    fmt, mem,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{
    ThreadCtx, current, fork,
    panics::{self, What},
    sync::{AtomicBool, Mutex, MutexGuard, globals, lock},
};

type Hook = Arc<dyn Fn(ThreadCtx) + Send + Sync>;

/// In order of registration. Copied on change, so that running them needs the lock for a moment only.
type List = Arc<[(u64, Hook)]>;

/// The lists of the process.
pub(crate) struct Lists {
    start: Option<List>,
    exit: Option<List>,
}

globals! {
    static LISTS: Mutex<Lists> = Mutex::new(Lists { start: None, exit: None });
    /// Whether there ever was a hook: most programs have none, and their threads need not look.
    static ANY: AtomicBool = AtomicBool::new(false);
}

static NUMBERS: AtomicU64 = AtomicU64::new(0);

#[derive(Clone, Copy)]
enum When {
    Start,
    Exit,
}

impl Lists {
    fn of(&mut self, when: When) -> &mut Option<List> {
        match when {
            When::Start => &mut self.start,
            When::Exit => &mut self.exit,
        }
    }

    /// Puts a changed copy in place of the list and gives the old one, to be dropped without the lock.
    fn change(&mut self, when: When, change: impl FnOnce(&mut Vec<(u64, Hook)>)) -> Option<List> {
        let list = self.of(when);
        let mut copy = list.as_deref().map(<[_]>::to_vec).unwrap_or_default();
        change(&mut copy);
        list.replace(copy.into())
    }
}

/// Changes a list and gives the old one, to be dropped without the lock.
fn change(when: When, change: impl FnOnce(&mut Vec<(u64, Hook)>)) -> Option<List> {
    current::without_context(|| lock_lists().change(when, change))
}

pub(crate) fn lock_lists() -> MutexGuard<'static, Lists> {
    fork::watch();
    lock_lists_for_fork()
}

/// The same inside a handler of a fork, which cannot have another one added.
pub(crate) fn lock_lists_for_fork() -> MutexGuard<'static, Lists> {
    lock(&LISTS)
}

fn snapshot(when: When) -> Option<List> {
    // Relaxed: a thread that was started after a hook was added is ordered by that start; to others it may have come later.
    if !ANY.load(Ordering::Relaxed) {
        return None;
    }
    lock_lists().of(when).clone()
}

fn add(when: When, hook: Hook) -> HookGuard {
    // Relaxed: the number alone matters, and the addition makes it unique.
    let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
    ANY.store(true, Ordering::Relaxed);
    let old = change(when, |list| list.push((number, hook)));
    panics::contain_drop(old);
    HookGuard { when, number }
}

/// Runs the start hooks, in order of registration, for the thread that has just registered.
pub(crate) fn run_start() {
    let Some(hooks) = snapshot(When::Start) else { return };
    for (_, hook) in hooks.iter() {
        panics::contain(What::Hook, || hook(ThreadCtx::new()));
    }
    panics::contain_drop(hooks);
}

/// Runs the exit hooks, last registered first, for the thread that exits.
pub(crate) fn run_exit() {
    let Some(hooks) = snapshot(When::Exit) else { return };
    for (_, hook) in hooks.iter().rev() {
        panics::contain(What::Hook, || hook(ThreadCtx::new()));
    }
    panics::contain_drop(hooks);
}

/// Has `hook` run on every thread that registers from now on, inside its first touch. Tasks do not count as threads.
///
/// Hooks run in the order in which they were added, nothing locked: a hook may use the whole crate. A panic in one is
/// contained and counted in [`stats`](crate::stats()).
///
/// ```
/// use threadctx::Key;
///
/// static STARTED: Key<std::time::Instant> = Key::new("example", "started");
///
/// let hook = threadctx::on_thread_start(|_| STARTED.set(std::time::Instant::now()));
/// std::thread::spawn(|| {
///     threadctx::get_thread_ctx();
///     assert!(STARTED.get().is_some());
/// })
/// .join()
/// .unwrap();
/// drop(hook); // threads from now on start without it
/// ```
pub fn on_thread_start(hook: impl Fn(ThreadCtx) + Send + Sync + 'static) -> HookGuard {
    add(When::Start, Arc::new(hook))
}

/// Has `hook` run on every thread that exits from now on, after the context's own hooks, with its values still readable.
///
/// The last one added runs first. A panic in one is contained and counted in [`stats`](crate::stats()).
///
/// ```
/// use std::sync::atomic::{AtomicUsize, Ordering};
///
/// static GONE: AtomicUsize = AtomicUsize::new(0);
///
/// let _hook = threadctx::on_thread_exit(|_| drop(GONE.fetch_add(1, Ordering::SeqCst)));
/// std::thread::spawn(|| drop(threadctx::get_thread_ctx().handle())).join().unwrap();
/// assert_eq!(GONE.load(Ordering::SeqCst), 1);
/// ```
pub fn on_thread_exit(hook: impl Fn(ThreadCtx) + Send + Sync + 'static) -> HookGuard {
    add(When::Exit, Arc::new(hook))
}

/// Keeps a hook in its list. Dropping it takes the hook out; a thread that is running it at that moment goes on. A panic
/// in the drop of what the hook captured is contained and counted.
///
/// ```
/// threadctx::on_thread_exit(|ctx| println!("{} is over", ctx.ident())).forever();
/// ```
#[must_use = "dropping the guard removes the hook; `.forever()` keeps it"]
pub struct HookGuard {
    when: When,
    number: u64,
}

impl HookGuard {
    /// Leaves the hook in its list for the life of the process.
    ///
    /// ```
    /// threadctx::on_thread_start(|ctx| println!("hello from {}", ctx.ident())).forever();
    /// ```
    pub fn forever(self) {
        mem::forget(self);
    }
}

impl Drop for HookGuard {
    fn drop(&mut self) {
        let old = change(self.when, |list| list.retain(|(number, _)| *number != self.number));
        panics::contain_drop(old);
    }
}

impl fmt::Debug for HookGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HookGuard").field("number", &self.number).finish_non_exhaustive()
    }
}
