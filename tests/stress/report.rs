//! What was done, which faults were injected, and what was violated.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use threadctx::stats;

macro_rules! tally {
    ($(#[$doc:meta])* $kind:ident, $counters:ident: $($name:ident = $text:literal),* $(,)?) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub(crate) enum $kind {
            $($name),*
        }

        impl $kind {
            const ALL: &[(Self, &str)] = &[$((Self::$name, $text)),*];
        }

        static $counters: [AtomicU64; $kind::ALL.len()] = [const { AtomicU64::new(0) }; $kind::ALL.len()];
    };
}

tally! {
    /// Something that was done.
    Op, DONE:
    Rounds = "rounds",
    Threads = "threads",
    Foreign = "of those, not made by std",
    Panicked = "of those, ended by a panic",
    Exits = "exits asked for",
    Writes = "writes",
    Reads = "reads of others' values",
    Views = "namespaces of others looked at",
    Kept = "counts kept and looked at again",
    Totals = "totals",
    Dumps = "dumps",
    Rendered = "values rendered",
    Forks = "forks",
    Hooks = "hooks added and removed",
}

tally! {
    /// A panic that was injected.
    Fault, INJECTED:
    Drop = "drops",
    Hook = "hooks",
    Merge = "merges",
    Closure = "closures",
    Renderer = "renderers",
}

/// Injected panics that came out where they should: at the caller.
static CAUGHT: AtomicU64 = AtomicU64::new(0);
static VIOLATIONS: Mutex<Vec<String>> = Mutex::new(Vec::new());

pub(crate) fn count(op: Op, number: u64) {
    DONE[op as usize].fetch_add(number, Ordering::Relaxed);
}

pub(crate) fn injected(fault: Fault) {
    INJECTED[fault as usize].fetch_add(1, Ordering::Relaxed);
}

pub(crate) fn caught() {
    CAUGHT.fetch_add(1, Ordering::Relaxed);
}

/// Notes a violation if `holds` does not.
pub(crate) fn check(holds: bool, what: impl FnOnce() -> String) {
    if !holds {
        let mut violations = VIOLATIONS.lock().unwrap_or_else(PoisonError::into_inner);
        violations.push(what());
    }
}

pub(crate) fn is_clean() -> bool {
    VIOLATIONS.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
}

/// Each injected panic was either contained and counted, or came to the caller. A renderer's is shown, and not counted.
pub(crate) fn check_faults() {
    let get = |fault: Fault| INJECTED[fault as usize].load(Ordering::Relaxed);
    let injected = get(Fault::Drop) + get(Fault::Hook) + get(Fault::Merge) + get(Fault::Closure);
    let (stats, caught) = (stats(), CAUGHT.load(Ordering::Relaxed));
    let (hooks, drops) = (stats.hook_panics, stats.drop_panics);
    check(injected == hooks + drops + caught, || {
        format!("{injected} panics injected; {hooks} counted in hooks, {drops} in drops, {caught} came out")
    });
}

pub(crate) fn print() {
    let print = |text: &str, number: u64| println!("{number:>12}  {text}");
    for (op, text) in Op::ALL {
        print(text, DONE[*op as usize].load(Ordering::Relaxed));
    }
    for (fault, text) in Fault::ALL {
        print(&format!("faults injected: {text}"), INJECTED[*fault as usize].load(Ordering::Relaxed));
    }
    #[cfg(target_os = "linux")]
    println!("{}", resident());
    let violations = VIOLATIONS.lock().unwrap_or_else(PoisonError::into_inner);
    print("violations", violations.len() as u64);
    violations.iter().take(20).for_each(|violation| println!("violated: {violation}"));
}

#[cfg(target_os = "linux")]
fn resident() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let lines = status.lines().filter(|line| line.starts_with("VmRSS") || line.starts_with("VmHWM"));
    lines.collect::<Vec<_>>().join("  ")
}
