//! Promise 1: owner reads are thread-local reads. (That they allocate nothing is in `tests/allocations.rs`.)

use std::{
    sync::{Arc, Barrier},
    thread,
};

use threadctx::{Key, context, contexts, dump, exit_thread_ctx, get_thread_ctx, stats, try_get_thread_ctx};

use crate::support::{watchdog::within_a_minute, worker::Worker};

fn is_registered() -> bool {
    context(thread::current().id()).is_some()
}

/// Whether `what` registers a thread that was not.
fn registers(what: impl FnOnce() + Send) -> bool {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            assert!(!is_registered());
            what();
            is_registered()
        });
        thread.join().unwrap()
    })
}

#[test]
fn plain_reads_register_nothing() {
    static KEY: Key<u8> = Key::new("reads", "plain").debug();
    assert!(!registers(|| assert_eq!(KEY.get(), None)));
    assert!(!registers(|| assert_eq!(KEY.with(|value| *value), None)));
    assert!(!registers(|| assert_eq!(KEY.cloned(), None)));
    assert!(!registers(|| assert_eq!(KEY.take(), None)));
    assert!(!registers(|| assert!(KEY.check().is_ok())));
    assert!(!registers(|| assert_eq!(KEY.iter().count(), 0)));
    assert!(!registers(|| drop(dump().to_string())));
    assert!(!registers(|| drop(contexts())));
    assert!(!registers(|| _ = stats()));
}

#[test]
fn looking_at_and_clearing_namespaces_registers_nothing() {
    let after_exit = |look: fn(threadctx::ThreadCtx)| {
        !registers(|| {
            // The handle is a token: it is good for the time after an exit, before the next touch.
            let ctx = get_thread_ctx();
            assert!(exit_thread_ctx());
            assert!(!is_registered());
            look(ctx);
        })
    };
    assert!(after_exit(|ctx| assert_eq!(ctx.ident(), thread::current().id().into())));
    assert!(after_exit(|ctx| assert!(ctx.namespaces().is_empty())));
    assert!(after_exit(|ctx| assert!(ctx.namespace("reads").names().is_empty())));
    assert!(after_exit(|ctx| assert!(!ctx.namespace("reads").contains("name"))));
    assert!(after_exit(|ctx| assert_eq!(ctx.namespace("reads").get::<u8>("name").unwrap(), None)));
    assert!(after_exit(|ctx| assert!(!ctx.namespace("reads").remove("name"))));
    assert!(after_exit(|ctx| ctx.namespace("reads").clear()));
    assert!(after_exit(|ctx| ctx.clear()));
}

#[test]
fn every_kind_of_write_registers() {
    static KEY: Key<u8> = Key::new("reads", "written");
    static MADE: Key<u8> = Key::new("reads", "made").init(|| 1);
    assert!(registers(|| _ = get_thread_ctx()));
    assert!(registers(|| _ = try_get_thread_ctx().unwrap()));
    assert!(registers(|| KEY.set(1)));
    assert!(registers(|| KEY.try_set(1).unwrap()));
    assert!(registers(|| drop(KEY.replace(1))));
    assert!(registers(|| drop(KEY.get_or_init(|| 1))));
    assert!(registers(|| drop(KEY.get_or_try_init(|| Ok::<_, ()>(1)))));
    assert!(registers(|| KEY.scope(1, || ())));
    assert!(registers(|| drop(KEY.enter(1))));
    assert!(registers(|| get_thread_ctx().on_exit(drop)));
    // A read that makes the value is a write.
    assert!(registers(|| assert_eq!(MADE.with(|value| *value), Some(1))));
    assert!(registers(|| assert_eq!(MADE.get().as_deref(), Some(&1))));
    assert!(registers(|| assert_eq!(MADE.cloned(), Some(1))));
    assert!(registers(|| assert_eq!(MADE.update(|value| *value), Some(1))));
}

#[test]
fn a_new_insert_or_hook_through_an_old_handle_registers_again() {
    let after_exit = |write: fn(threadctx::ThreadCtx)| {
        registers(|| {
            let ctx = get_thread_ctx();
            assert!(exit_thread_ctx());
            write(ctx);
        })
    };
    assert!(after_exit(|ctx| assert!(ctx.namespace("reads").insert("again", 1).is_ok())));
    assert!(after_exit(|ctx| assert!(ctx.namespace("reads").get_or_insert_with("again", || 1).is_ok())));
    assert!(after_exit(|ctx| ctx.on_exit(drop)));
}

#[test]
fn a_value_is_its_own_threads_and_after_a_take_nobodys() {
    static KEY: Key<String> = Key::new("reads", "own");
    let (one, two) = (Worker::start(), Worker::start());
    one.run(|| KEY.set("one".to_owned()));
    assert_eq!(two.run(|| KEY.get()), None);
    assert_eq!(one.run(|| KEY.take()).unwrap().as_str(), "one");
    assert_eq!(one.run(|| KEY.get()), None);
}

#[test]
fn a_new_thread_starts_empty() {
    static KEY: Key<u8> = Key::new("reads", "empty");
    for n in 0..50 {
        thread::spawn(move || {
            assert_eq!(KEY.get(), None);
            assert!(get_thread_ctx().namespaces().is_empty());
            KEY.set(n);
            get_thread_ctx().namespace("reads").insert("left behind", n).unwrap();
        })
        .join()
        .unwrap();
    }
}

#[test]
fn ten_initialisers_at_once_each_make_their_own_and_none_waits_for_another() {
    // Each waits for the nine others while it runs: if any two were made to take turns, none would end.
    static ALL: std::sync::LazyLock<Barrier> = std::sync::LazyLock::new(|| Barrier::new(10));
    static KEY: Key<thread::ThreadId> = Key::new("reads", "at once").init(|| {
        ALL.wait();
        thread::current().id()
    });
    within_a_minute(|| {
        thread::scope(|scope| {
            for _ in 0..10 {
                scope.spawn(|| assert_eq!(KEY.cloned(), Some(thread::current().id())));
            }
        });
    });
}

#[test]
fn with_runs_on_the_value_itself_and_not_on_a_copy() {
    static KEY: Key<u64> = Key::new("reads", "itself");
    KEY.set(7);
    let kept = KEY.get().unwrap();
    assert_eq!(KEY.with(std::ptr::from_ref), Some(Arc::as_ptr(&kept)));
}
