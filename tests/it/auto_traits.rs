//! What the public types promise the compiler, for good.

use std::panic::{RefUnwindSafe, UnwindSafe};

use threadctx::{
    AccessError, Alarm, ContextRef, Dump, DumpCounts, DumpDiff, DumpOptions, DumpReadError, Finding,
    HookGuard, Ident, Key, PanicHook, PanicHookGuard, Refused, Snapshot, State, Stats, TaskId, TypeMismatch,
    WatchdogGuard,
};

fn crosses_threads_and_unwinding<T: Send + Sync + UnwindSafe + RefUnwindSafe>() {}

#[test]
fn public_types_cross_threads_and_unwinding() {
    crosses_threads_and_unwinding::<AccessError>();
    crosses_threads_and_unwinding::<ContextRef>();
    crosses_threads_and_unwinding::<Dump>();
    crosses_threads_and_unwinding::<DumpCounts>();
    crosses_threads_and_unwinding::<DumpDiff>();
    crosses_threads_and_unwinding::<DumpOptions>();
    crosses_threads_and_unwinding::<DumpReadError>();
    crosses_threads_and_unwinding::<Finding>();
    crosses_threads_and_unwinding::<HookGuard>();
    crosses_threads_and_unwinding::<Ident>();
    crosses_threads_and_unwinding::<Key<u8>>();
    crosses_threads_and_unwinding::<Refused<u8>>();
    crosses_threads_and_unwinding::<Snapshot>();
    crosses_threads_and_unwinding::<State>();
    crosses_threads_and_unwinding::<Stats>();
    crosses_threads_and_unwinding::<TaskId>();
    crosses_threads_and_unwinding::<TypeMismatch>();
}

#[test]
fn outlets_cross_threads_and_unwinding() {
    crosses_threads_and_unwinding::<Alarm>();
    crosses_threads_and_unwinding::<PanicHook>();
    crosses_threads_and_unwinding::<PanicHookGuard>();
    crosses_threads_and_unwinding::<WatchdogGuard>();
}

#[test]
fn a_dump_may_be_looked_at_where_a_panic_is_caught() {
    let dump = threadctx::dump();
    assert_eq!(std::panic::catch_unwind(|| dump.contexts().len()).ok(), Some(dump.contexts().len()));
}
