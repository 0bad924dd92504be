//! Contexts whose threads are gone without an exit: found, reported, and ended by a sweep. Each test in a process of its
//! own, since a sweep is everybody's.

#![cfg(all(any(target_os = "linux", target_os = "android"), not(any(loom, shuttle))))]

use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use threadctx::{
    ContextRef, Key, State, context, contexts, dump, get_thread_ctx, on_thread_exit, stats, sweep,
};

use at_drop::AtDrop;
use forks::in_child;
use pthread::{Pthread, at_key_drop, rounds};
use solo::alone;

#[path = "support/at_drop.rs"]
mod at_drop;
#[allow(dead_code, reason = "this file needs a part of it")]
#[path = "support/forks.rs"]
#[expect(unsafe_code, reason = "forks")]
mod forks;
#[path = "support/patience.rs"]
mod patience;
#[allow(dead_code, reason = "this file needs a part of it")]
#[path = "support/pthread.rs"]
#[expect(unsafe_code, reason = "calls into the C library")]
mod pthread;
#[allow(dead_code, reason = "this file needs a part of it")]
#[path = "support/solo.rs"]
#[expect(unsafe_code, reason = "calls into the C library")]
mod solo;

#[expect(unsafe_code, reason = "a bare system call")]
mod vanish {
    /// Ends this thread, and this one only, with nothing run or unwound.
    pub(super) fn now() -> ! {
        loop {
            // SAFETY: the call takes a number and does not return. What is on the stack is never used again.
            unsafe { libc::syscall(libc::SYS_exit, 0) };
        }
    }
}

static DROPS: AtomicUsize = AtomicUsize::new(0);
static HOOKS: AtomicUsize = AtomicUsize::new(0);

/// Counts its drop, after doing something.
#[derive(Debug)]
struct Finally(fn());

impl Drop for Finally {
    fn drop(&mut self) {
        DROPS.fetch_add(1, Ordering::SeqCst);
        (self.0)();
    }
}

fn drops() -> usize {
    DROPS.load(Ordering::SeqCst)
}

static VALUE: Key<Finally> = Key::new("sweep", "value").debug().on_exit(|_| count_hook());

fn count_hook() {
    HOOKS.fetch_add(1, Ordering::SeqCst);
}

/// A thread whose first touch, which `fill` is, comes when nothing is left to run its exit. Its context is a ghost.
fn ghost(fill: impl Fn() -> ContextRef + Send + 'static) -> ContextRef {
    // The crate's own key first: destructors run in the order of their keys, and ours must have had its last turn.
    thread::spawn(|| drop(get_thread_ctx().handle())).join().expect("it does not panic");
    let (send, receive) = std::sync::mpsc::channel();
    let body = move || {
        at_key_drop(rounds(), move |round| {
            if round == rounds() {
                send.send(fill()).expect("we wait");
            }
        });
    };
    Pthread::start(body).join();
    let ghost = receive.recv().expect("it was filled");
    wait_until_gone(&ghost);
    ghost
}

/// A join does not wait for the system to have forgotten the thread.
fn wait_until_gone(ghost: &ContextRef) {
    assert_ne!(ghost.state(), State::Exited, "it had an exit: not a ghost");
    let task = format!("/proc/self/task/{}", ghost.os_tid().expect("Linux counts threads"));
    while std::fs::exists(&task).expect("it can be asked for") {
        thread::yield_now();
    }
}

fn ghost_with(value: fn()) -> ContextRef {
    ghost(move || {
        VALUE.set(Finally(value));
        get_thread_ctx().handle()
    })
}

fn do_nothing() {}

#[test]
fn a_ghost_is_listed_and_reported_until_a_sweep_ends_it() {
    alone(|| {
        get_thread_ctx();
        let ghost = ghost_with(do_nothing);
        assert!(context(ghost.ident()).is_some());
        assert_eq!(ghost.state(), State::Running, "nobody told it");
        let reported = r#""run_state":"gone""#;
        assert!(ghost.dump().to_json().contains(reported));
        let found = dump();
        let codes: Vec<_> =
            found.findings().iter().map(|finding| (finding.code(), finding.ident())).collect();
        assert_eq!(codes, [("gone", ghost.ident())]);
        let said =
            format!("tid {} is gone, its context is not\n", ghost.os_tid().expect("Linux counts threads"));
        assert!(found.to_string().contains(&said), "{found}");
        assert_eq!((sweep(), drops()), (1, 1));
        assert!(context(ghost.ident()).is_none() && VALUE.get_in(&ghost).is_none());
        assert_eq!((ghost.state(), contexts().len()), (State::Exited, 1));
        assert!(!dump().to_json().contains(reported) && dump().findings().is_empty());
        let stats = stats();
        assert_eq!((stats.live, stats.registered, stats.exited, stats.swept), (1, 3, 2, 1));
        assert_eq!((sweep(), drops()), (0, 1), "once is enough");
    });
}

#[test]
fn everything_that_a_ghost_has_drops_once_on_the_thread_that_sweeps() {
    alone(|| {
        static ON: AtomicUsize = AtomicUsize::new(0);
        fn note() {
            // A number for the thread that drops: the sweeper's, which has put its own in a key.
            ON.fetch_add(SWEEPER.cloned().unwrap_or(1_000), Ordering::SeqCst);
        }
        static SWEEPER: Key<usize> = Key::new("sweep", "sweeper");
        SWEEPER.set(1);
        ghost(|| {
            VALUE.set(Finally(note));
            let named = get_thread_ctx().namespace("sweep");
            named.insert("named", Finally(note)).expect("the name is free");
            named.insert_opaque("opaque", Finally(note)).expect("the name is free");
            let captured = Finally(note);
            get_thread_ctx().on_exit(move |_| {
                count_hook();
                drop(captured);
            });
            get_thread_ctx().handle()
        });
        assert_eq!((drops(), sweep(), drops()), (0, 1, 4));
        assert_eq!(ON.load(Ordering::SeqCst), 4, "each on this thread, with this thread's context");
    });
}

#[test]
fn no_hook_runs_for_a_ghost() {
    alone(|| {
        ghost_with(do_nothing);
        on_thread_exit(|_| count_hook()).forever();
        assert_eq!((sweep(), HOOKS.load(Ordering::SeqCst)), (1, 0));
        assert_eq!(stats().left_over, 1, "the value was dropped unheard");
    });
}

#[test]
fn what_a_ghost_counted_stays_in_the_total() {
    alone(|| {
        static COUNT: Key<u64> = Key::new("sweep", "count").keep_total(|one, other| one + other);
        COUNT.set(1);
        for _ in 0..3 {
            ghost(|| {
                COUNT.set(10);
                get_thread_ctx().handle()
            });
        }
        assert_eq!(COUNT.total(), Some(31));
        assert_eq!((sweep(), COUNT.total()), (3, Some(31)));
    });
}

#[test]
fn a_value_of_a_ghost_that_panics_as_it_drops_is_contained_and_the_rest_goes_on() {
    alone(|| {
        std::panic::set_hook(Box::new(|_| ()));
        (0..3).for_each(|_| drop(ghost_with(|| panic!("no"))));
        assert_eq!((sweep(), drops(), stats().drop_panics), (3, 3, 3));
    });
}

#[test]
fn a_value_of_a_ghost_may_use_the_whole_crate_as_it_drops() {
    alone(|| {
        fn use_everything() {
            assert_eq!(sweep(), 0, "one is under way here");
            assert!(dump().is_complete());
            get_thread_ctx().namespace("sweep").insert("dropped", 1_u8).expect("the name is ours");
            in_child(|| assert_eq!((sweep(), contexts().len()), (0, 1)));
        }
        (0..3).for_each(|_| drop(ghost_with(use_everything)));
        assert_eq!((sweep(), drops(), stats().swept), (3, 3, 3));
        assert!(get_thread_ctx().namespace("sweep").contains("dropped"));
        assert_eq!(contexts().len(), 1);
    });
}

#[test]
fn what_a_reader_holds_of_a_ghost_outlives_the_sweep() {
    alone(|| {
        let ghost = ghost_with(do_nothing);
        let held = VALUE.get_in(&ghost).expect("it is there");
        assert_eq!((sweep(), drops()), (1, 0));
        drop(held);
        assert_eq!(drops(), 1);
    });
}

#[test]
fn two_sweeps_at_once_end_each_ghost_once() {
    alone(|| {
        const GHOSTS: usize = 40;
        (0..GHOSTS).for_each(|_| drop(ghost_with(do_nothing)));
        let barrier = Barrier::new(4);
        let sweep = || {
            barrier.wait();
            sweep()
        };
        let swept: usize = thread::scope(|scope| {
            let sweeps: Vec<_> = (0..4).map(|_| scope.spawn(sweep)).collect();
            sweeps.into_iter().map(|sweep| sweep.join().expect("it does not panic")).sum()
        });
        assert_eq!((swept, drops(), stats().live), (GHOSTS, GHOSTS, 0));
    });
}

/// Threads at every moment of their lives, on their way out most of all, while others sweep without pause.
#[test]
fn a_thread_that_is_alive_or_just_exiting_is_never_swept() {
    alone(|| {
        static OVER: AtomicBool = AtomicBool::new(false);
        thread_local! {
            static OLDER: AtDrop = const { AtDrop::new() };
        }
        let sweepers: Vec<_> = (0..2)
            .map(|_| {
                thread::spawn(|| {
                    while !OVER.load(Ordering::SeqCst) {
                        assert_eq!(sweep(), 0)
                    }
                })
            })
            .collect();
        const THREADS: usize = 2_000;
        for number in 0..THREADS {
            let body = move || {
                if number % 2 == 0 {
                    AtDrop::put(&OLDER, || assert_eq!(sweep(), 0));
                }
                VALUE.set(Finally(do_nothing));
                VALUE.with(|_| assert_eq!(sweep(), 0));
            };
            match number % 4 {
                0 | 1 => thread::spawn(body).join().expect("it does not panic"),
                2 => Pthread::start(body).join(),
                _ => Pthread::start(body).detach(),
            }
        }
        // Those that were detached may not even have begun.
        while HOOKS.load(Ordering::SeqCst) < THREADS || stats().live > 0 {
            thread::sleep(Duration::from_millis(1));
        }
        OVER.store(true, Ordering::SeqCst);
        sweepers.into_iter().for_each(|sweeper| sweeper.join().expect("it does not panic"));
        assert_eq!((drops(), HOOKS.load(Ordering::SeqCst), stats().swept), (THREADS, THREADS, 0));
    });
}

#[test]
fn a_forked_child_has_no_ghosts_of_its_parents() {
    alone(|| {
        get_thread_ctx();
        ghost_with(do_nothing);
        in_child(|| {
            assert_eq!((contexts().len(), sweep(), drops()), (1, 0, 0));
            let ghost = ghost_with(do_nothing);
            assert_eq!((sweep(), ghost.state()), (1, State::Exited));
        });
        assert_eq!(sweep(), 1);
    });
}

/// A scope or a borrow that the thread had open does not keep the sweep from anything: nobody is left to end it.
#[test]
fn a_thread_that_the_system_ended_inside_a_borrow_is_swept() {
    alone(|| {
        let (send, receive) = std::sync::mpsc::channel();
        let _ = thread::spawn(move || {
            VALUE.set(Finally(do_nothing));
            VALUE.with(|_| {
                VALUE.set(Finally(do_nothing));
                send.send(get_thread_ctx().handle()).expect("we wait");
                vanish::now()
            });
        });
        let ghost = receive.recv().expect("it comes");
        wait_until_gone(&ghost);
        assert_eq!((sweep(), drops(), ghost.state()), (1, 2, State::Exited));
    });
}

#[test]
fn the_memory_of_a_ghost_is_given_back() {
    alone(|| {
        let ghost = ghost(|| {
            VALUE.set(Finally(do_nothing));
            get_thread_ctx().handle()
        });
        let alive = Arc::new(());
        let held = Arc::downgrade(&alive);
        let hook = move |_| drop(alive);
        // A hook that was never run goes with what it captured.
        let other = std::sync::Mutex::new(Some(hook));
        let late = self::ghost(move || {
            let hook = other.lock().expect("one at a time").take();
            get_thread_ctx().on_exit(hook.expect("once"));
            get_thread_ctx().handle()
        });
        assert_eq!(sweep(), 2);
        assert!(held.upgrade().is_none());
        drop((ghost, late));
    });
}
