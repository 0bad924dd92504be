//! Contexts whose threads are gone without an exit: found, reported, and unlisted by a sweep. Each test in a process of its
//! own, since a sweep is everybody's.

#![cfg(all(any(target_os = "linux", target_os = "android"), not(any(loom, shuttle))))]

use std::{
    sync::{
        Barrier,
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
fn a_ghost_is_listed_and_reported_until_a_sweep_unlists_it() {
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
        assert_eq!((sweep(), drops()), (1, 0));
        assert!(context(ghost.ident()).is_none() && VALUE.get_in(&ghost).is_none());
        assert_eq!((ghost.state(), contexts().len()), (State::Exited, 1));
        assert!(!dump().to_json().contains(reported) && dump().findings().is_empty());
        let stats = stats();
        assert_eq!((stats.live, stats.registered, stats.exited, stats.swept), (1, 3, 2, 1));
        assert_eq!((sweep(), drops()), (0, 0), "once is enough");
    });
}

/// The dead thread may have been in the middle of anything: nothing that it alone wrote is looked at.
#[test]
fn what_a_ghost_has_is_leaked_and_no_hook_of_it_runs() {
    alone(|| {
        ghost(|| {
            VALUE.set(Finally(do_nothing));
            let named = get_thread_ctx().namespace("sweep");
            named.insert("named", Finally(do_nothing)).expect("the name is free");
            let captured = Finally(do_nothing);
            get_thread_ctx().on_exit(move |_| {
                count_hook();
                drop(captured);
            });
            get_thread_ctx().handle()
        });
        on_thread_exit(|_| count_hook()).forever();
        assert_eq!((sweep(), drops(), HOOKS.load(Ordering::SeqCst)), (1, 0, 0));
        assert_eq!((stats().left_over, stats().swept), (0, 1));
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
fn what_a_reader_holds_of_a_ghost_outlives_the_sweep() {
    alone(|| {
        let ghost = ghost_with(do_nothing);
        let held = VALUE.get_in(&ghost).expect("it is there");
        assert_eq!((sweep(), drops()), (1, 0));
        drop(held);
        assert_eq!(drops(), 0, "the ghost's own count is leaked");
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
        assert_eq!((swept, drops(), stats().live), (GHOSTS, 0, 0));
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

thread_local! {
    /// Who is told of the context of a thread that is about to vanish.
    static TOLD: std::cell::RefCell<Option<std::sync::mpsc::Sender<ContextRef>>> = const { std::cell::RefCell::new(None) };
}

/// Ends this thread as the system may, at once.
fn vanish() {
    let told = TOLD.take().expect("`vanished` has set it");
    told.send(get_thread_ctx().handle()).expect("it waits");
    vanish::now()
}

/// Runs `code` on a thread that [vanishes](vanish) in the middle of it, and waits for that.
fn vanished(code: fn()) -> ContextRef {
    let (send, receive) = std::sync::mpsc::channel();
    let _ = thread::spawn(move || {
        TOLD.set(Some(send));
        code();
    });
    let ghost = receive.recv().expect("it comes");
    wait_until_gone(&ghost);
    ghost
}

/// A scope or a borrow that the thread had open does not keep the sweep from anything: no thread is left to end it.
#[test]
fn a_thread_that_the_system_ended_inside_a_borrow_is_swept() {
    alone(|| {
        let ghost = vanished(|| {
            VALUE.set(Finally(do_nothing));
            VALUE.with(|_| {
                VALUE.set(Finally(do_nothing));
                vanish();
            });
        });
        assert_eq!((sweep(), drops(), ghost.state()), (1, 0, State::Exited));
    });
}

#[test]
fn a_thread_that_the_system_ended_inside_its_exit_is_reported_and_swept() {
    alone(|| {
        static COUNT: Key<u64> = Key::new("sweep", "counted in an exit").keep_total(|one, other| one + other);
        let ghost = vanished(|| {
            COUNT.set(5);
            get_thread_ctx().on_exit(|_| vanish());
            threadctx::exit_thread_ctx();
        });
        assert_eq!(ghost.state(), State::Exiting);
        let codes: Vec<_> = dump().findings().iter().map(|finding| finding.code().to_owned()).collect();
        assert_eq!(codes, ["gone"]);
        assert_eq!(COUNT.total(), Some(5));
        assert_eq!((sweep(), ghost.state(), COUNT.total()), (1, State::Exited, Some(5)));
        assert_eq!((sweep(), COUNT.total()), (0, Some(5)));
    });
}

/// A child that was forked past the C library's handlers has its parent's registry, with numbers that mean nothing there.
#[test]
fn a_child_of_a_bare_fork_takes_no_thread_for_dead() {
    alone(|| {
        VALUE.set(Finally(do_nothing));
        let (over, wait) = std::sync::mpsc::channel::<()>();
        let (ready, begun) = std::sync::mpsc::channel();
        let worker = thread::spawn(move || {
            VALUE.set(Finally(do_nothing));
            ready.send(()).expect("we wait");
            wait.recv().expect_err("it hangs up");
        });
        begun.recv().expect("it comes");
        bare_fork::in_child(|| {
            let seen = dump().to_json();
            assert!(!seen.contains(r#""run_state":"gone""#) && dump().findings().is_empty(), "{seen}");
            assert_eq!((sweep(), drops()), (0, 0));
            VALUE.set(Finally(do_nothing));
            assert_eq!(drops(), 1, "this thread's context goes on working");
        });
        drop(over);
        worker.join().expect("it does not panic");
        assert_eq!(sweep(), 0);
    });
}

#[expect(unsafe_code, reason = "a fork by a bare system call")]
mod bare_fork {
    /// Runs `code` in a child that no handler of the C library's knows of, and checks that it comes to its end.
    pub(super) fn in_child(code: impl FnOnce()) {
        // SAFETY: the child uses this thread alone, and ends without a return into frames of the parent's threads.
        let child = unsafe { libc::syscall(libc::SYS_fork) } as libc::pid_t;
        if child == 0 {
            let status =
                if std::panic::catch_unwind(std::panic::AssertUnwindSafe(code)).is_ok() { 0 } else { 1 };
            // SAFETY: it ends the process, and runs nothing.
            unsafe { libc::_exit(status) };
        }
        let mut status = 0;
        // SAFETY: the pointer is to a number of ours.
        let waited = unsafe { libc::waitpid(child, &mut status, 0) };
        assert_eq!((waited, status), (child, 0), "the child's code came to its end");
    }
}
