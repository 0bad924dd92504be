//! What each call says after this thread's exit. (That nothing aborts, in any order of destructors, is tested in processes
//! of their own.)

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
};

use threadctx::{
    DumpOptions, Ident, Key, State, context, contexts, exit_thread_ctx, get_thread_ctx, stats,
    try_get_thread_ctx,
};

use crate::support::{
    last::after_the_exit,
    tracked::{Drops, Tracked},
    watchdog::within_a_minute,
};

const NS: &str = "gone";

/// Runs `last` on a thread whose context is gone by then, and in which there was something.
fn when_gone<R: Send + 'static>(last: impl FnOnce() -> R + Send + 'static) -> R {
    let (tell, told) = mpsc::channel();
    within_a_minute(move || {
        after_the_exit(move || tell.send(last()).unwrap());
        KEY.set(1);
        get_thread_ctx().namespace(NS).insert("name", 1_u8).unwrap();
    });
    told.try_recv().expect("the last code ran to its end")
}

static KEY: Key<u8> = Key::new(NS, "key").debug().init(|| 9);

#[test]
fn reads_are_absent() {
    when_gone(|| {
        assert_eq!(KEY.get(), None);
        assert_eq!(KEY.cloned(), None);
        assert_eq!(KEY.with(|value| *value), None);
        assert_eq!(KEY.take(), None);
        assert_eq!(KEY.replace(2), None);
        assert_eq!(KEY.update(|value| *value += 1), None);
        assert_eq!(KEY.get(), None);
    });
}

#[test]
fn set_drops_and_counts_and_try_set_hands_back() {
    static TRACKED: Key<Tracked> = Key::new(NS, "tracked");
    let drops = Drops::default();
    let seen = drops.clone();
    when_gone(move || {
        let before = stats().refused;
        TRACKED.set(drops.value(0));
        assert_eq!(drops.numbers(), [0]);
        assert!(stats().refused > before);
        let refused = TRACKED.try_set(drops.value(1)).unwrap_err();
        assert!(refused.is_gone() && !refused.is_wrong_type());
        assert!(refused.to_string().contains("ThreadId("), "{refused}");
        assert_eq!(refused.into_value().number, 1);
    });
    seen.assert_each_once(2);
}

#[test]
fn what_is_made_is_given_and_not_stored() {
    when_gone(|| {
        assert_eq!(*KEY.get_or_init(|| 5), 5);
        assert_eq!(KEY.get_or_try_init(|| Ok::<_, ()>(6)).as_deref(), Ok(&6));
        assert_eq!(KEY.get_or_try_init(|| Err("expected")), Err("expected"));
        let namespace = get_thread_ctx().namespace(NS);
        assert_eq!(*namespace.get_or_insert_with("name", || 7_u8).unwrap(), 7);
        assert_eq!(KEY.get(), None);
        assert!(!namespace.contains("name"));
    });
}

#[test]
fn scopes_run_their_closure_and_guards_do_nothing() {
    when_gone(|| {
        assert_eq!(KEY.scope(5, || (KEY.get(), "result")), (None, "result"));
        let guard = KEY.enter(6);
        assert_eq!(KEY.get(), None);
        drop(guard);
        assert_eq!(KEY.get(), None);
    });
}

#[test]
fn namespaces_are_empty_and_inserts_are_handed_back() {
    when_gone(|| {
        let ctx = get_thread_ctx();
        let namespace = ctx.namespace(NS);
        assert_eq!(namespace.get::<u8>("name").unwrap(), None);
        assert!(!namespace.contains("name") && !namespace.remove("name"));
        assert!(namespace.names().is_empty() && ctx.namespaces().is_empty());
        namespace.clear();
        ctx.clear();
        assert_eq!(namespace.insert("name", 2_u8).unwrap_err().into_value(), 2);
        assert!(namespace.insert_json("name", 2_u8).unwrap_err().is_gone());
        assert!(namespace.insert_opaque("name", 2_u8).unwrap_err().is_gone());
        assert!(namespace.insert_secret("name", 2_u8).unwrap_err().is_gone());
    });
}

#[test]
fn a_hook_is_dropped_and_counted() {
    static RAN: AtomicBool = AtomicBool::new(false);
    when_gone(|| {
        let (alive, before) = (Arc::new(()), stats().hooks_refused);
        let held = Arc::clone(&alive);
        get_thread_ctx().on_exit(move |_| {
            drop(held);
            RAN.store(true, Ordering::SeqCst);
        });
        assert_eq!(Arc::strong_count(&alive), 1);
        assert!(stats().hooks_refused > before);
    });
    assert!(!RAN.load(Ordering::SeqCst));
}

#[test]
fn the_ident_still_answers_and_the_handle_is_one_of_a_context_that_is_over() {
    when_gone(|| {
        let ctx = get_thread_ctx();
        let mine = Ident::Thread(thread::current().id());
        assert_eq!(ctx.ident(), mine);
        assert_eq!(try_get_thread_ctx().unwrap_err().ident(), mine);
        let handle = ctx.handle();
        assert_eq!((handle.ident(), handle.state()), (mine, State::Exited));
        assert!(KEY.get_in(&handle).is_none());
        assert!(context(mine).is_none());
        assert!(contexts().iter().all(|live| live.ident() != mine));
        assert!(!exit_thread_ctx());
    });
}

#[test]
fn others_can_still_be_read_and_dumped() {
    static ELSEWHERE: Key<u8> = Key::new("gone, elsewhere", "key").debug();
    let other = crate::support::worker::Worker::start();
    other.run(|| ELSEWHERE.set(3));
    let handle = other.handle();
    when_gone(move || {
        assert_eq!(ELSEWHERE.get_in(&handle).as_deref(), Some(&3));
        assert_eq!(ELSEWHERE.iter().map(|(ident, _)| ident).collect::<Vec<_>>(), [handle.ident()]);
        let dump = DumpOptions::new().namespace("gone, elsewhere").take();
        assert!(dump.to_string().contains("gone, elsewhere.key = 3"));
    });
}

#[test]
fn the_error_says_what_happened_and_what_to_do() {
    let message = when_gone(|| try_get_thread_ctx().unwrap_err().to_string());
    assert!(message.contains("ThreadId(") && message.contains("gone"), "{message}");
    assert!(message.contains("hook"), "{message}");
}
