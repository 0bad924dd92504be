//! Values and hooks whose every method may fail, the ledger of them, and the record of a run.

use std::{
    collections::BTreeSet,
    panic::{self, AssertUnwindSafe},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use threadctx::stats;

pub(crate) use crate::support::site::Site;
use crate::support::site::tells_who_renders_it;

impl Site {
    pub(crate) const ALL: &[Self] = &[
        Self::Closure,
        Self::Init,
        Self::Clone,
        Self::Drop,
        Self::Debug,
        Self::Display,
        Self::Serialize,
        Self::Merge,
        Self::KeyHook,
        Self::OwnHook,
        Self::StartHook,
        Self::ExitHook,
        Self::HookDrop,
    ];

    pub(crate) fn is_drop(self) -> bool {
        matches!(self, Self::Drop | Self::HookDrop)
    }
}

/// What became of a fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Whether it came out of the call that led to it.
    escaped: bool,
    hook_panics: u64,
    drop_panics: u64,
}

impl Outcome {
    const PASSED_ON: Self = Self { escaped: true, hook_panics: 0, drop_panics: 0 };
    const OF_A_HOOK: Self = Self { escaped: false, hook_panics: 1, drop_panics: 0 };
    const OF_A_DROP: Self = Self { escaped: false, hook_panics: 0, drop_panics: 1 };
    const SHOWN: Self = Self { escaped: false, hook_panics: 0, drop_panics: 0 };

    /// Fails unless this is what must become of a panic in a call of that kind. `contains`: none in a drop may come out.
    pub(crate) fn assert_fits(self, site: Site, contains: bool, fault: &str) {
        let may_escape = !contains && self == Self::PASSED_ON;
        let fits = match site {
            Site::Closure | Site::Init | Site::Clone => self == Self::PASSED_ON,
            Site::Debug | Site::Display | Site::Serialize => self == Self::SHOWN,
            Site::StartHook | Site::ExitHook | Site::OwnHook | Site::KeyHook => self == Self::OF_A_HOOK,
            // In `total` it is the caller's, at an exit nobody's.
            Site::Merge => [Self::PASSED_ON, Self::OF_A_HOOK].contains(&self),
            Site::Drop => may_escape || self == Self::OF_A_DROP,
            // What a hook captured may drop while it runs.
            Site::HookDrop => may_escape || [Self::OF_A_HOOK, Self::OF_A_DROP].contains(&self),
        };
        assert!(fits, "{fault}: {self:?}");
    }
}

/// One run of one case.
struct Run {
    lead: Option<fn()>,
    /// Which call panics.
    fail_at: Option<usize>,
    calls: Vec<Site>,
    is_open: bool,
    /// `hook_panics` and `drop_panics` as it opened.
    before: (u64, u64),
    outcome: Outcome,
}

static RUN: Mutex<Run> = Mutex::new(Run {
    lead: None,
    fail_at: None,
    calls: Vec::new(),
    is_open: false,
    before: (0, 0),
    outcome: Outcome::SHOWN,
});
static HEAVY: AtomicBool = AtomicBool::new(false);

fn run() -> MutexGuard<'static, Run> {
    RUN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn counted() -> (u64, u64) {
    (stats().hook_panics, stats().drop_panics)
}

/// A new run; `lead` is for [`attempt`].
pub(crate) fn prepare(heavy: bool, fail_at: Option<usize>, lead: fn()) {
    HEAVY.store(heavy, Ordering::SeqCst);
    let outcome = Outcome::default();
    *run() = Run { lead: Some(lead), fail_at, calls: Vec::new(), is_open: false, before: (0, 0), outcome };
}

/// Does what leads to the place, once, with the calls recorded; a panic ends here.
pub(crate) fn attempt() {
    let Some(lead) = take_lead() else { return };
    open();
    let result = panic::catch_unwind(AssertUnwindSafe(lead));
    close(result.is_err());
    drop(result);
}

pub(crate) fn is_to_come() -> bool {
    run().lead.is_some()
}

pub(crate) fn take_lead() -> Option<fn()> {
    run().lead.take()
}

/// From here on calls are recorded.
pub(crate) fn open() {
    let mut run = run();
    (run.is_open, run.before) = (true, counted());
}

fn close(escaped: bool) {
    let (hooks, drops) = counted();
    let mut run = run();
    run.is_open = false;
    let (hook_panics, drop_panics) = (hooks - run.before.0, drops - run.before.1);
    run.outcome = Outcome { escaped, hook_panics, drop_panics };
}

/// The record of the run, once its thread is over.
pub(crate) fn take() -> (Vec<Site>, Outcome) {
    if run().is_open {
        close(false);
    }
    let mut run = run();
    assert!(run.lead.is_none(), "the moment did not come");
    (std::mem::take(&mut run.calls), run.outcome)
}

/// A call of the user's code begins: here it panics, if it is the one.
pub(crate) fn at(site: Site) {
    let fails = {
        let mut run = run();
        let nth = run.calls.len();
        if run.is_open {
            run.calls.push(site);
        }
        run.is_open && run.fail_at == Some(nth)
    };
    if fails {
        panic::panic_any(Fault { _alive: Entry::new() });
    }
}

/// The payload of a panic.
struct Fault {
    _alive: Entry,
}

/// Keeps the panics that are meant off the terminal.
pub(crate) fn hush() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !info.payload().is::<Fault>() && !info.payload().is::<OnItsWay>() {
                usual(info);
            }
        }));
    });
}

/// The payload of a panic that is no fault: another one is to come while it is on its way.
pub(crate) struct OnItsWay;

static ALIVE: Mutex<BTreeSet<u64>> = Mutex::new(BTreeSet::new());
static WRONG: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// How many values there are.
pub(crate) fn alive() -> usize {
    ALIVE.lock().unwrap().len()
}

/// What went wrong where it could not be said.
pub(crate) fn wrong() -> Vec<String> {
    WRONG.lock().unwrap().clone()
}

/// Something that is counted until it drops.
struct Entry(u64);

impl Entry {
    fn new() -> Self {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        ALIVE.lock().unwrap().insert(number);
        Self(number)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if !ALIVE.lock().unwrap().remove(&self.0) {
            WRONG.lock().unwrap().push(format!("{} drops twice", self.0));
        }
    }
}

/// A value.
pub(crate) struct Probe {
    entry: Entry,
    weight: Vec<Vec<u8>>,
}

impl Probe {
    pub(crate) fn new() -> Self {
        let entry = Entry::new();
        let pieces = if HEAVY.load(Ordering::SeqCst) { 32 } else { 0 };
        let weight = (0..pieces)
            .map(|_| {
                let mut piece = vec![0; 1 << 10];
                piece[0] = entry.0 as u8;
                piece
            })
            .collect();
        Self { entry, weight }
    }

    /// Whether nothing has been written over it.
    pub(crate) fn is_whole(&self) -> bool {
        self.weight.iter().all(|piece| piece.first() == Some(&(self.entry.0 as u8)))
    }
}

impl Clone for Probe {
    fn clone(&self) -> Self {
        at(Site::Clone);
        Self::new()
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        if !self.is_whole() {
            WRONG.lock().unwrap().push(format!("{} is broken", self.entry.0));
        }
        at(Site::Drop);
    }
}

tells_who_renders_it!(Probe, at);

/// What a hook captures.
pub(crate) struct Captured(#[expect(dead_code, reason = "it is there to be counted")] Entry);

impl Captured {
    pub(crate) fn new() -> Self {
        Self(Entry::new())
    }

    pub(crate) fn run(&self, site: Site) {
        at(site);
    }
}

impl Drop for Captured {
    fn drop(&mut self) {
        at(Site::HookDrop);
    }
}
