//! Threads that begin with their parent's values, and those that do not.

use std::{panic, sync::mpsc, thread};

use threadctx::{Ident, Key, get_thread_ctx, on_thread_start};

use crate::support::{said::all_said, worker::Worker};

const NS: &str = "spawns";

fn me() -> Ident {
    thread::current().id().into()
}

#[test]
fn a_plain_spawn_sees_nothing_and_ours_sees_what_inherits() {
    static TRAVELS: Key<u8> = Key::new(NS, "travels").inherit();
    static STAYS: Key<u8> = Key::new(NS, "stays");
    TRAVELS.set(1);
    STAYS.set(2);
    let seen = || (TRAVELS.cloned(), STAYS.cloned());
    assert_eq!(thread::spawn(seen).join().unwrap(), (None, None));
    assert_eq!(threadctx::spawn(seen).join().unwrap(), (Some(1), None));
}

#[test]
fn the_parent_is_recorded_and_the_name_kept() {
    let builder = thread::Builder::new().name("ours".to_owned());
    let thread = threadctx::spawn_with(builder, || get_thread_ctx().handle()).unwrap();
    let id = thread.thread().id();
    let context = thread.join().unwrap();
    assert_eq!((context.parent(), context.thread_name()), (Some(me()), Some("ours")));
    assert_eq!(context.ident(), Ident::Thread(id));
}

#[test]
fn a_parent_need_not_be_registered() {
    let worker = Worker::start();
    let id = worker.id();
    let parent = worker.run(|| threadctx::spawn(|| get_thread_ctx().handle().parent()).join().unwrap());
    assert_eq!(parent, Some(id.into()));
    assert!(threadctx::context(id).is_none());
}

#[test]
fn values_are_taken_when_spawning_and_each_side_goes_its_own_way() {
    static KEY: Key<u8> = Key::new(NS, "own way").inherit();
    KEY.set(1);
    let (go, wait) = mpsc::channel::<()>();
    let child = threadctx::spawn(move || {
        wait.recv().unwrap();
        let first = KEY.cloned();
        KEY.set(3);
        (first, KEY.cloned())
    });
    KEY.set(2);
    go.send(()).unwrap();
    assert_eq!(child.join().unwrap(), (Some(1), Some(3)));
    assert_eq!(KEY.cloned(), Some(2));
}

#[test]
fn the_childs_children_inherit_from_the_child() {
    static KEY: Key<u8> = Key::new(NS, "chain").inherit();
    KEY.set(1);
    let seen = threadctx::spawn(|| {
        let first = KEY.cloned();
        KEY.set(2);
        (first, threadctx::spawn(|| KEY.cloned()).join().unwrap())
    });
    assert_eq!(seen.join().unwrap(), (Some(1), Some(2)));
}

#[test]
fn start_hooks_and_exit_hooks_find_the_inherited_values() {
    static KEY: Key<u8> = Key::new(NS, "hooks").inherit();
    let (send, seen) = mpsc::channel();
    let at_start = send.clone();
    let hook =
        on_thread_start(move |_| KEY.cloned().into_iter().for_each(|value| at_start.send(value).unwrap()));
    KEY.set(1);
    let at_exit = send;
    let child = threadctx::spawn(move || {
        get_thread_ctx().on_exit(move |_| at_exit.send(KEY.cloned().unwrap_or(99)).unwrap());
    });
    child.join().unwrap();
    drop(hook);
    assert_eq!(all_said(&seen), [1, 1]);
}

#[test]
fn what_a_start_hook_sets_is_the_new_threads_own() {
    static KEY: Key<u8> = Key::new(NS, "set by a hook").inherit();
    let parent = me();
    let _hook = on_thread_start(move |ctx| {
        if ctx.handle().parent() == Some(parent) {
            KEY.set(5);
        }
    });
    assert_eq!(threadctx::spawn(|| KEY.cloned()).join().unwrap(), Some(5));
}

#[test]
fn a_replaced_value_is_not_kept_for_the_threads_lifetime() {
    static KEY: Key<std::sync::Arc<()>> = Key::new(NS, "replaced").inherit();
    let value = std::sync::Arc::new(());
    KEY.set(value.clone());
    let (go, wait) = mpsc::channel::<()>();
    let (done, replaced) = mpsc::channel::<()>();
    let child = threadctx::spawn(move || {
        KEY.take();
        done.send(()).unwrap();
        wait.recv().unwrap_err();
    });
    replaced.recv().unwrap();
    KEY.take();
    assert_eq!(std::sync::Arc::strong_count(&value), 1);
    drop(go);
    child.join().unwrap();
}

#[test]
fn a_panic_is_joins_to_report_and_the_context_exits() {
    let (send, context) = mpsc::channel();
    let child = threadctx::spawn(move || {
        send.send(get_thread_ctx().handle()).unwrap();
        panic::resume_unwind(Box::new("payload"));
    });
    assert_eq!(child.join().unwrap_err().downcast_ref(), Some(&"payload"));
    assert_eq!(context.recv().unwrap().state(), threadctx::State::Exited);
}
