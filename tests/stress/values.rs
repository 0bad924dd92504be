//! The values, whose drops and renderers panic now and then, and the panics.

use std::{
    fmt,
    panic::{self, AssertUnwindSafe},
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
    thread,
};

use threadctx::{Ident, Key, get_thread_ctx};

use crate::report::{self, Fault, Op, check};

/// One panic in so many drops, and so on.
const ONE_DROP_IN: u64 = 50;
const ONE_RENDERER_IN: u64 = 40;

pub(crate) const NS: &str = "stress";

/// The names of the keys, and two that have no key.
pub(crate) const TITLES: [&str; 6] = ["opaque", "debug", "hooked", "display", "name", "other name"];

pub(crate) static KEYS: [Key<Value>; 4] = [
    Key::new(NS, TITLES[0]),
    Key::new(NS, TITLES[1]).debug(),
    Key::new(NS, TITLES[2]).debug().on_exit(|_| hook_may_fail()),
    Key::new(NS, TITLES[3]).display(),
];
static ALIVE: AtomicI64 = AtomicI64::new(0);
static NUMBERS: AtomicU64 = AtomicU64::new(0);

/// How many values there are.
pub(crate) fn alive() -> i64 {
    ALIVE.load(Ordering::SeqCst)
}

/// Says whose it is, of which key, and if it is whole.
pub(crate) struct Value {
    /// The number of the thread, and its context's ident.
    pub(crate) of: u64,
    pub(crate) ident: Ident,
    /// The number of the key; those of names come after those of keys.
    pub(crate) key: usize,
    pub(crate) number: u64,
    copies: [u64; 4],
}

impl Value {
    pub(crate) fn new(of: u64, key: usize) -> Self {
        ALIVE.fetch_add(1, Ordering::SeqCst);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        Self { of, ident: get_thread_ctx().ident(), key, number, copies: [number; 4] }
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.copies == [self.number; 4]
    }
}

impl Clone for Value {
    fn clone(&self) -> Self {
        Self::new(self.of, self.key)
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        check(self.is_whole(), || format!("dropped twice, or torn: {}", self.text()));
        self.copies = [u64::MAX; 4];
        ALIVE.fetch_sub(1, Ordering::SeqCst);
        // Where a panic is on its way already, it may be through code of this test.
        if self.number % ONE_DROP_IN == 0 && !thread::panicking() {
            fail(Fault::Drop);
        }
    }
}

impl Value {
    /// What a dump shows of it, too.
    pub(crate) fn text(&self) -> String {
        format!("{}/{}/{}/{}", self.of, self.ident, self.key, self.number)
    }

    fn render(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        report::count(Op::Rendered, 1);
        if self.number % ONE_RENDERER_IN == 1 {
            fail(Fault::Renderer);
        }
        f.write_str(&self.text())
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.render(f)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.render(f)
    }
}

/// The payload of the panics that are meant.
struct Injected;

pub(crate) fn fail(fault: Fault) -> ! {
    report::injected(fault);
    panic::panic_any(Injected)
}

/// Fails now and then, on any thread.
pub(crate) fn hook_may_fail() {
    static RUNS: AtomicU64 = AtomicU64::new(0);
    if RUNS.fetch_add(1, Ordering::Relaxed) % 23 == 0 {
        fail(Fault::Hook);
    }
}

/// Runs `code`, out of which an injected panic may come, and no other.
pub(crate) fn caught<R>(code: impl FnOnce() -> R) -> Option<R> {
    let result = panic::catch_unwind(AssertUnwindSafe(code));
    result.map_err(|payload| note(&*payload)).ok()
}

/// Takes note of a panic that came out.
pub(crate) fn note(payload: &(dyn std::any::Any + Send)) {
    if payload.is::<Injected>() {
        report::caught();
    } else {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref().copied()).unwrap_or("?").to_owned();
        check(false, || format!("a panic that nobody injected: {text}"));
    }
}

/// Keeps the injected ones off the terminal.
pub(crate) fn hush() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !info.payload().is::<Injected>() {
            usual(info);
        }
    }));
}
