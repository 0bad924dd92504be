//! Hooks for every thread.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use threadctx::{Ident, Key, context, exit_thread_ctx, get_thread_ctx, on_thread_exit, on_thread_start};

use crate::{alone, support::worker::Worker};

#[derive(Clone, Default)]
struct Trace(Arc<Mutex<Vec<&'static str>>>);

impl Trace {
    fn note(&self, what: &'static str) {
        self.0.lock().unwrap().push(what);
    }

    fn taken(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

fn a_life() {
    thread::spawn(|| _ = get_thread_ctx()).join().unwrap();
}

#[test]
fn hooks_are_a_list_in_which_nobody_replaces_another() {
    alone(|| {
        let trace = Trace::default();
        let start = |what| {
            let trace = trace.clone();
            on_thread_start(move |_| trace.note(what))
        };
        let exit = |what| {
            let trace = trace.clone();
            on_thread_exit(move |_| trace.note(what))
        };
        let (one, two, three) = (start("start 1"), start("start 2"), start("start 3"));
        let _exits = (exit("exit 1"), exit("exit 2"));
        a_life();
        assert_eq!(trace.taken(), ["start 1", "start 2", "start 3", "exit 2", "exit 1"]);
        drop(two);
        a_life();
        assert_eq!(trace.taken(), ["start 1", "start 3", "exit 2", "exit 1"]);
        drop((one, three));
        a_life();
        assert_eq!(trace.taken(), ["exit 2", "exit 1"]);
    });
}

#[test]
fn a_start_hook_runs_once_inside_the_first_touch_on_that_thread_after_its_registration() {
    static KEY: Key<u8> = Key::new("hooks", "start");
    alone(|| {
        static RUNS: AtomicUsize = AtomicUsize::new(0);
        let before = threadctx::stats().hook_panics;
        let _hook = on_thread_start(|ctx| {
            let mine = thread::current().id();
            assert_eq!(ctx.ident(), Ident::Thread(mine));
            assert!(context(mine).is_some());
            assert_eq!(KEY.get(), None, "the touch itself comes after");
            KEY.set(1);
            RUNS.fetch_add(1, Ordering::SeqCst);
        });
        thread::spawn(|| {
            assert_eq!(KEY.get(), None, "a plain read is no touch");
            assert_eq!(RUNS.load(Ordering::SeqCst), 0);
            assert_eq!(
                KEY.replace(2).as_deref(),
                Some(&1),
                "what the hook put in is there for the touch itself"
            );
            get_thread_ctx();
            assert_eq!(RUNS.load(Ordering::SeqCst), 1);
            assert!(exit_thread_ctx());
            get_thread_ctx();
            assert_eq!(RUNS.load(Ordering::SeqCst), 2, "a new start is a start");
        })
        .join()
        .unwrap();
        assert_eq!(threadctx::stats().hook_panics, before, "none of the above failed");
    });
}

#[test]
fn a_panic_in_a_start_hook_stops_neither_the_others_nor_the_touch() {
    static KEY: Key<u8> = Key::new("hooks", "start panics");
    alone(|| {
        let before = threadctx::stats().hook_panics;
        let _hooks = (on_thread_start(|_| panic!("expected")), on_thread_start(|_| KEY.set(1)));
        thread::spawn(|| {
            get_thread_ctx();
            assert_eq!(KEY.cloned(), Some(1));
        })
        .join()
        .unwrap();
        assert_eq!(threadctx::stats().hook_panics, before + 1);
    });
}

#[test]
fn a_hook_may_add_and_remove_hooks_and_the_change_counts_from_the_next_thread_on() {
    alone(|| {
        let trace = Trace::default();
        let guards = Arc::new(Mutex::new(Vec::new()));
        let noted = trace.clone();
        let adds = on_thread_start({
            let guards = Arc::clone(&guards);
            move |_| {
                let trace = noted.clone();
                guards.lock().unwrap().push(on_thread_start(move |_| trace.note("added")));
            }
        });
        a_life();
        assert!(trace.taken().is_empty());
        a_life();
        assert_eq!(trace.taken(), ["added"]);
        drop(adds);
        a_life();
        assert_eq!(trace.taken(), ["added"; 2]);
        guards.lock().unwrap().clear();
        a_life();
        assert!(trace.taken().is_empty());
    });
}

#[test]
fn a_hook_that_waits_on_one_thread_holds_up_no_other() {
    alone(|| {
        let worker = Worker::start();
        let waits = worker.id();
        let gate = Arc::new(std::sync::Barrier::new(2));
        let gate_of_hook = Arc::clone(&gate);
        let _hook = on_thread_exit(move |_| {
            if thread::current().id() == waits {
                gate_of_hook.wait();
                gate_of_hook.wait();
            }
        });
        worker.handle();
        let ended = thread::spawn(|| worker.end());
        gate.wait();
        a_life();
        drop(on_thread_start(|_| ()));
        assert!(context(waits).is_some(), "it is still in its hook");
        gate.wait();
        ended.join().unwrap();
        assert!(context(waits).is_none());
    });
}

#[test]
fn an_exit_asked_for_in_a_start_hook_is_refused_and_the_touch_goes_on() {
    static KEY: Key<u8> = Key::new("hooks", "ends at once");
    alone(|| {
        let before = threadctx::stats();
        let _hook = on_thread_start(|_| assert!(!exit_thread_ctx()));
        thread::spawn(|| {
            KEY.set(1);
            assert_eq!(KEY.cloned(), Some(1));
            assert!(exit_thread_ctx(), "the start is over");
            assert_eq!(*KEY.get_or_init(|| 2), 2);
        })
        .join()
        .unwrap();
        let after = threadctx::stats();
        assert_eq!(after.hook_panics, before.hook_panics);
        assert_eq!((after.registered - before.registered, after.live), (2, 0));
    });
}
