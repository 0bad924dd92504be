//! The end of threads, in processes of their own: whatever is called there, at whatever moment, is answered, and neither
//! aborts nor hangs.
//!
//! The moments are those at which crates of this kind go wrong: destructors of thread-locals that are older or younger
//! than the context, the C library's own destructors, which come later still, exit handlers, unwinding. What the main
//! thread does as the process ends is in `teardown_main.rs`.

#![cfg(not(loom))]

use std::{
    cell::RefCell,
    panic::{catch_unwind, panic_any},
    slice,
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use threadctx::{
    ContextRef, FutureExt, HookGuard, Key, Scope, State, contexts, dump, exit_thread_ctx, get_thread_ctx,
    on_thread_exit, on_thread_start, stats, try_get_thread_ctx,
};

use at_drop::AtDrop;
use calls::{CALLS, Call, Moment, OTHER, have_another, make, remember_me};
use orderly::{ORDERLY, fill};
use solo::{alone, ends, say, saying, verdict};

#[path = "support/at_drop.rs"]
mod at_drop;
#[path = "support/calls.rs"]
mod calls;
#[path = "support/executor.rs"]
#[allow(dead_code, reason = "this file needs a part of it")]
mod executor;
#[path = "support/leaked.rs"]
mod leaked;
#[path = "support/orderly.rs"]
mod orderly;
#[path = "support/patience.rs"]
mod patience;
#[cfg(unix)]
#[allow(dead_code, reason = "this file needs a part of it")]
#[path = "support/pthread.rs"]
#[expect(unsafe_code, reason = "calls into the C library")]
mod pthread;
#[path = "support/solo.rs"]
#[cfg_attr(unix, expect(unsafe_code, reason = "calls into the C library"))]
mod solo;

thread_local! {
    static OLDER: AtDrop = const { AtDrop::new() };
    static YOUNGER: AtDrop = const { AtDrop::new() };
    static YOUNGEST: AtDrop = const { AtDrop::new() };
}

/// A way to run code on a thread of some kind, and to wait until that is over.
type On = fn(Box<dyn FnOnce() + Send>);

const EVERY_KIND: &[On] = &[
    |body| thread::spawn(body).join().expect("it does not panic"),
    #[cfg(unix)]
    |body| pthread::Pthread::start(body).join(),
];

/// Has `body` make the calls on threads of every kind: all of them on one thread, and each as the first on another.
fn every_call(body: fn(&'static [Call])) {
    for on in EVERY_KIND {
        on(Box::new(move || body(CALLS)));
        for call in CALLS {
            on(Box::new(move || body(slice::from_ref(call))));
        }
    }
}

/// Checks that every thread that came has gone, but for this one and the one that stands by.
fn nothing_is_left() {
    let may_be = [Some(get_thread_ctx().ident()), OTHER.get().map(ContextRef::ident)];
    for context in contexts() {
        assert!(may_be.contains(&Some(context.ident())), "{context:?} is left");
    }
    let stats = stats();
    assert_eq!(stats.live as u64, stats.registered - stats.exited);
    assert_eq!(stats.live, contexts().len());
}

/// Runs the code as it drops.
struct Finally<F: FnMut()>(F);

impl<F: FnMut()> Drop for Finally<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// A payload that panics in its own drop.
struct Spiteful;

impl Drop for Spiteful {
    fn drop(&mut self) {
        panic_any("a payload's drop");
    }
}

/// A value that panics in its drop, with a payload that does so too.
struct Explosive;

impl Drop for Explosive {
    fn drop(&mut self) {
        panic_any(Spiteful);
    }
}

mod thread_locals {
    use super::*;

    #[test]
    fn older_than_the_context_finds_it_gone() {
        alone(|| {
            have_another();
            every_call(|calls| {
                remember_me();
                AtDrop::put(&OLDER, move || make(calls, Moment::Gone));
                get_thread_ctx();
            });
            nothing_is_left();
        });
    }

    #[test]
    fn younger_than_the_context_finds_it_alive() {
        alone(|| {
            have_another();
            every_call(|calls| {
                remember_me();
                get_thread_ctx();
                AtDrop::put(&YOUNGER, move || make(calls, Moment::Live));
            });
            nothing_is_left();
        });
    }

    #[test]
    fn on_a_thread_that_never_touched_may_be_the_first_to() {
        alone(|| {
            have_another();
            every_call(|calls| {
                remember_me();
                AtDrop::put(&OLDER, move || make(calls, Moment::Live));
            });
            nothing_is_left();
        });
    }

    #[test]
    fn made_by_a_destructor_after_the_exit_finds_it_gone() {
        alone(|| {
            have_another();
            every_call(|calls| {
                remember_me();
                AtDrop::put(&OLDER, move || {
                    make(calls, Moment::Gone);
                    AtDrop::put(&YOUNGER, move || {
                        make(calls, Moment::Gone);
                        AtDrop::put(&YOUNGEST, move || make(calls, Moment::Gone));
                    });
                });
                get_thread_ctx();
            });
            nothing_is_left();
        });
    }

    #[test]
    fn made_by_a_destructor_that_is_the_first_to_touch_finds_it_by_their_ages() {
        alone(|| {
            have_another();
            every_call(|calls| {
                remember_me();
                AtDrop::put(&OLDER, move || {
                    AtDrop::put(&YOUNGER, move || make(calls, Moment::Gone));
                    make(calls, Moment::Live);
                    get_thread_ctx();
                    AtDrop::put(&YOUNGEST, move || make(calls, Moment::Live));
                });
            });
            nothing_is_left();
        });
    }

    #[test]
    fn may_exit_the_context_and_have_a_fresh_one() {
        alone(|| {
            every_call(|calls| {
                remember_me();
                get_thread_ctx();
                AtDrop::put(&YOUNGER, move || {
                    assert!(exit_thread_ctx());
                    make(calls, Moment::Live);
                });
            });
            nothing_is_left();
        });
    }

    #[test]
    fn that_keep_guards_and_handles_drop_them_after_the_exit() {
        alone(|| {
            static KEY: Key<&str> = Key::new("teardown", "kept");
            struct Kept {
                scope: Option<Scope<&'static str>>,
                hook: Option<HookGuard>,
                own: Option<ContextRef>,
            }
            impl Drop for Kept {
                fn drop(&mut self) {
                    verdict(|| {
                        let misplaced = stats().scopes_misplaced;
                        drop(self.scope.take());
                        assert_eq!(stats().scopes_misplaced, misplaced + 1);
                        drop(self.hook.take());
                        let own = self.own.take().expect("it was kept");
                        assert_eq!((own.state(), KEY.get_in(&own)), (State::Exited, None));
                        assert_eq!(own.thread_name(), Some("keeper"));
                        assert!(own.namespace("teardown").names().is_empty());
                        drop(own.dump().to_string());
                    });
                }
            }
            thread_local! {
                static KEPT: RefCell<Kept> = const { RefCell::new(Kept { scope: None, hook: None, own: None }) };
            }
            thread::Builder::new()
                .name("keeper".to_owned())
                .spawn(|| {
                    KEPT.with_borrow_mut(|kept| {
                        kept.own = Some(get_thread_ctx().handle());
                        kept.scope = Some(KEY.enter("while the thread lives"));
                        kept.hook = Some(on_thread_exit(|_| ()));
                    });
                })
                .expect("it starts")
                .join()
                .expect("it does not panic");
            nothing_is_left();
        });
    }
}

mod exits {
    use super::*;

    #[test]
    fn hooks_may_make_every_call() {
        alone(|| {
            have_another();
            let _hook = on_thread_exit(|_| make(CALLS, Moment::Exiting));
            static KEY: Key<u8> = Key::new("teardown", "hooked").on_exit(|_| make(CALLS, Moment::Exiting));
            every_call(|calls| {
                remember_me();
                KEY.set(1);
                get_thread_ctx().on_exit(move |ctx| {
                    make(calls, Moment::Exiting);
                    ctx.on_exit(move |_| make(calls, Moment::Exiting));
                });
            });
            nothing_is_left();
            assert_eq!(stats().hook_panics, 0);
        });
    }

    #[test]
    fn drops_of_values_may_make_every_call() {
        alone(|| {
            have_another();
            type Caller = Finally<fn()>;
            static KEY: Key<Caller> = Key::new("teardown", "caller");
            every_call(|_| {
                remember_me();
                let caller = || Finally((|| make(CALLS, Moment::Exiting)) as fn());
                KEY.set(caller());
                let names = get_thread_ctx().namespace("teardown");
                assert!(names.insert_opaque("named caller", caller()).is_ok());
            });
            nothing_is_left();
            assert_eq!(stats().drop_panics, 0);
        });
    }

    #[test]
    fn what_the_rounds_leave_over_drops_when_the_context_is_gone() {
        alone(|| {
            static KEY: Key<Stubborn> = Key::new("teardown", "stubborn");
            static ROUNDS: AtomicUsize = AtomicUsize::new(0);
            static GONE: AtomicUsize = AtomicUsize::new(0);
            struct Stubborn;
            impl Drop for Stubborn {
                fn drop(&mut self) {
                    match try_get_thread_ctx() {
                        Ok(_) => {
                            ROUNDS.fetch_add(1, Ordering::SeqCst);
                            KEY.set(Stubborn);
                        }
                        Err(_) => {
                            GONE.fetch_add(1, Ordering::SeqCst);
                            verdict(|| make(CALLS, Moment::LeftOver));
                        }
                    }
                }
            }
            EVERY_KIND.iter().for_each(|on| on(Box::new(|| KEY.set(Stubborn))));
            assert_eq!(ROUNDS.load(Ordering::SeqCst), 8 * EVERY_KIND.len());
            assert_eq!(GONE.load(Ordering::SeqCst), EVERY_KIND.len());
            assert_eq!(stats().left_over, EVERY_KIND.len() as u64);
            nothing_is_left();
        });
    }

    /// Such values can only be refused in the end, and what is refused drops, which makes another one.
    #[test]
    fn values_whose_drop_always_sets_another_end_with_their_thread() {
        alone(|| {
            static SET: Key<Phoenix> = Key::new("teardown", "set again");
            static REPLACED: Key<Phoenix> = Key::new("teardown", "replaced again");
            static SCOPED: Key<Phoenix> = Key::new("teardown", "scoped again");
            struct Phoenix(fn());
            impl Drop for Phoenix {
                fn drop(&mut self) {
                    (self.0)();
                }
            }
            fn set() {
                SET.set(Phoenix(set));
            }
            fn replace() {
                drop(REPLACED.replace(Phoenix(replace)));
            }
            fn scope() {
                // Within the scope the value is in its key, and is there again after the next one.
                if try_get_thread_ctx().is_err() {
                    SCOPED.scope(Phoenix(scope), || ());
                } else {
                    SCOPED.set(Phoenix(scope));
                }
            }
            for make in [set, replace, scope] {
                EVERY_KIND.iter().for_each(|on| on(Box::new(make)));
            }
            nothing_is_left();
        });
    }

    #[test]
    fn hooks_whose_drop_always_adds_another_end_with_their_thread() {
        alone(|| {
            struct Again;
            impl Drop for Again {
                fn drop(&mut self) {
                    add();
                }
            }
            fn add() {
                let again = Again;
                get_thread_ctx().on_exit(move |_| drop(again));
            }
            EVERY_KIND.iter().for_each(|on| on(Box::new(add)));
            nothing_is_left();
        });
    }

    #[test]
    fn a_hook_that_always_adds_another_ends_with_its_thread() {
        alone(|| {
            fn again(ctx: threadctx::ThreadCtx) {
                ctx.on_exit(again);
            }
            EVERY_KIND.iter().for_each(|on| on(Box::new(|| get_thread_ctx().on_exit(again))));
            assert_eq!(stats().left_over, EVERY_KIND.len() as u64);
            nothing_is_left();
        });
    }

    #[test]
    fn start_hooks_may_make_every_call() {
        alone(|| {
            have_another();
            let hook = on_thread_start(|_| make(CALLS, Moment::Starting));
            let touch = || drop(get_thread_ctx().handle());
            EVERY_KIND.iter().for_each(|on| on(Box::new(touch)));
            EVERY_KIND.iter().for_each(|on| on(Box::new(move || AtDrop::put(&OLDER, touch))));
            drop(hook);
            assert_eq!(stats().hook_panics, 0);
            nothing_is_left();
        });
    }

    #[test]
    fn of_a_std_thread_is_orderly() {
        saying(&[ORDERLY]).alone(|| {
            thread::spawn(fill).join().expect("it does not panic");
            nothing_is_left();
        });
    }

    #[test]
    fn of_a_thread_that_panicked_is_orderly() {
        saying(&[ORDERLY]).alone(|| {
            let ended = thread::spawn(|| {
                fill();
                panic_any(31);
            });
            assert_eq!(ended.join().expect_err("it panicked").downcast_ref(), Some(&31));
            nothing_is_left();
        });
    }

    #[test]
    fn does_not_wait_for_those_who_hold_handles_to_the_thread() {
        saying(&[ORDERLY]).alone(|| {
            let (gone, wait) = mpsc::channel();
            let (filled, ready) = mpsc::channel();
            let held = thread::spawn(move || {
                AtDrop::put(&OLDER, move || gone.send(()).expect("we wait"));
                fill();
                filled.send(get_thread_ctx().handle()).expect("we wait");
            });
            let (thread, context) = (held.thread().clone(), ready.recv().expect("it comes"));
            wait.recv().expect("it comes");
            assert_eq!(context.state(), State::Exited);
            assert!(threadctx::context(thread.id()).is_none());
            nothing_is_left();
            held.join().expect("it does not panic");
        });
    }

    #[test]
    fn of_a_detached_thread_is_orderly() {
        saying(&[ORDERLY]).alone(|| {
            let (gone, wait) = mpsc::channel();
            drop(thread::spawn(move || {
                AtDrop::put(&OLDER, move || gone.send(()).expect("we wait"));
                fill();
            }));
            wait.recv().expect("it comes");
            nothing_is_left();
        });
    }

    #[test]
    fn of_a_scoped_thread_can_be_had_before_the_scope_ends() {
        saying(&[ORDERLY, &["body over", "scope over"]]).alone(|| {
            thread::scope(|scope| {
                scope.spawn(|| {
                    fill();
                    assert!(exit_thread_ctx());
                    say("body over");
                });
            });
            say("scope over");
            nothing_is_left();
        });
    }

    #[test]
    fn can_be_had_again_and_again() {
        saying(&[ORDERLY, ORDERLY, ORDERLY]).alone(|| {
            thread::spawn(|| {
                for _ in 0..2 {
                    fill();
                    assert!(exit_thread_ctx());
                    assert!(!exit_thread_ctx());
                }
                fill();
            })
            .join()
            .expect("it does not panic");
            nothing_is_left();
        });
    }

    #[test]
    fn leaves_alone_what_is_borrowed_until_the_borrows_end() {
        static DROPS: AtomicUsize = AtomicUsize::new(0);
        type Counted = (String, Finally<fn()>);
        static OUTER: Key<Counted> = Key::new("teardown", "outer borrow");
        static INNER: Key<Counted> = Key::new("teardown", "inner borrow");
        let body = || {
            let count = || {
                DROPS.fetch_add(1, Ordering::SeqCst);
            };
            DROPS.store(0, Ordering::SeqCst);
            OUTER.set(("outer".to_owned(), Finally(count)));
            INNER.set(("inner".to_owned(), Finally(count)));
            OUTER.with(|(outer, _)| {
                INNER.with(|(inner, _)| {
                    assert!(exit_thread_ctx());
                    assert_eq!((DROPS.load(Ordering::SeqCst), OUTER.get().is_none()), (0, true));
                    OUTER.set(("fresh".to_owned(), Finally(count)));
                    assert_eq!((outer.as_str(), inner.as_str()), ("outer", "inner"));
                });
                assert_eq!(DROPS.load(Ordering::SeqCst), 1);
                assert!(exit_thread_ctx());
                assert_eq!((outer.as_str(), DROPS.load(Ordering::SeqCst)), ("outer", 2));
            });
            assert_eq!(DROPS.load(Ordering::SeqCst), 3);
        };
        alone(|| {
            for on in EVERY_KIND {
                on(Box::new(body));
                on(Box::new(move || AtDrop::put(&OLDER, body)));
            }
            nothing_is_left();
        });
    }

    #[test]
    fn on_a_late_first_touch_is_orderly() {
        saying(&[ORDERLY]).alone(|| {
            thread::spawn(|| AtDrop::put(&OLDER, fill)).join().expect("it does not panic");
            nothing_is_left();
        });
    }
}

mod panics {
    use super::*;
    use crate::leaked::leaked;

    static NAMED: &str = "explosive";

    /// Registers what panics in every place where an exit calls code that is not ours.
    fn lay_mines() {
        static HOOKED: Key<u8> = Key::new("mines", "hooked").on_exit(|_| panic_any(Spiteful));
        static VALUE: Key<Explosive> = Key::new("mines", "value");
        static TOTAL: Key<u8> = Key::new("mines", "total").keep_total(|_, _| panic_any(Spiteful));
        let ctx = get_thread_ctx();
        HOOKED.set(1);
        VALUE.set(Explosive);
        TOTAL.set(1);
        assert!(ctx.namespace("mines").insert_opaque(NAMED, Explosive).is_ok());
        ctx.on_exit(|_| panic_any(Spiteful));
        let captured = Explosive;
        ctx.on_exit(move |_| drop(captured));
    }

    /// What [`lay_mines`] adds to `hook_panics` and `drop_panics`, without the merge.
    const MINES: (u64, u64) = (3, 2);

    fn counted() -> (u64, u64) {
        (stats().hook_panics, stats().drop_panics)
    }

    #[test]
    fn at_an_exit_are_contained_and_counted_and_the_rest_goes_on() {
        saying(&[ORDERLY]).alone(|| {
            orderly::watch_threads();
            let before = counted();
            thread::spawn(|| {
                lay_mines();
                fill();
                let _ = get_thread_ctx().namespace("mines").insert_opaque("last", Explosive);
            })
            .join()
            .expect("no panic comes through");
            let after = counted();
            assert_eq!((after.0 - before.0, after.1 - before.1), (MINES.0, MINES.1 + 1));
            nothing_is_left();
        });
    }

    #[test]
    fn of_a_merge_and_of_hooks_for_all_threads_are_contained_and_counted() {
        alone(|| {
            static CALLED: AtomicUsize = AtomicUsize::new(0);
            let count = |_| {
                CALLED.fetch_add(1, Ordering::SeqCst);
            };
            let _start =
                [on_thread_start(count), on_thread_start(|_| panic_any(Spiteful)), on_thread_start(count)];
            let _exit =
                [on_thread_exit(count), on_thread_exit(|_| panic_any(Spiteful)), on_thread_exit(count)];
            for on in EVERY_KIND {
                on(Box::new(lay_mines));
            }
            let threads = EVERY_KIND.len() as u64;
            let merges = threads - 1;
            // A start and an exit for each thread.
            assert_eq!(counted(), ((MINES.0 + 2) * threads + merges, MINES.1 * threads));
            assert_eq!(CALLED.load(Ordering::SeqCst), 4 * EVERY_KIND.len());
        });
    }

    #[test]
    fn on_their_way_find_everything_working() {
        alone(|| {
            have_another();
            every_call(|calls| {
                remember_me();
                let payload = catch_unwind(|| {
                    let _finally = Finally(move || verdict(|| make(calls, Moment::Live)));
                    panic_any(5);
                });
                assert_eq!(payload.expect_err("it panicked").downcast_ref(), Some(&5));
            });
            nothing_is_left();
        });
    }

    #[test]
    fn on_their_way_after_the_exit_find_it_gone() {
        alone(|| {
            every_call(|calls| {
                remember_me();
                AtDrop::put(&OLDER, move || {
                    let payload = catch_unwind(|| {
                        let _finally = Finally(move || verdict(|| make(calls, Moment::Gone)));
                        panic_any(5);
                    });
                    assert_eq!(payload.expect_err("it panicked").downcast_ref(), Some(&5));
                });
                get_thread_ctx();
            });
            nothing_is_left();
        });
    }

    #[test]
    fn on_their_way_through_an_exit_hook_find_it_exiting() {
        alone(|| {
            every_call(|calls| {
                remember_me();
                get_thread_ctx().on_exit(move |_| {
                    let _finally = Finally(move || verdict(|| make(calls, Moment::Exiting)));
                    panic_any(Spiteful);
                });
            });
            assert_eq!(stats().hook_panics, (EVERY_KIND.len() * (CALLS.len() + 1)) as u64);
            nothing_is_left();
        });
    }

    #[test]
    fn on_their_way_may_meet_an_exit_in_which_everything_panics() {
        saying(&[ORDERLY]).alone(|| {
            orderly::watch_threads();
            thread::spawn(|| {
                let payload = catch_unwind(|| {
                    let _finally = Finally(|| {
                        assert!(exit_thread_ctx());
                        lay_mines();
                        get_thread_ctx().clear();
                        lay_mines();
                        assert!(exit_thread_ctx());
                    });
                    fill();
                    panic_any("the first one");
                });
                assert_eq!(payload.expect_err("it panicked").downcast_ref(), Some(&"the first one"));
                assert!(!exit_thread_ctx());
            })
            .join()
            .expect("no panic comes through");
            nothing_is_left();
        });
    }

    #[test]
    fn on_their_way_through_scopes_may_meet_values_that_panic() {
        alone(|| {
            static KEY: Key<Explosive> = Key::new("mines", "scope");
            EVERY_KIND.iter().for_each(|on| {
                on(Box::new(|| {
                    let payload = catch_unwind(|| KEY.scope(Explosive, || panic_any(6)));
                    assert_eq!(payload.expect_err("it panicked").downcast_ref(), Some(&6));
                    let payload = catch_unwind(|| {
                        KEY.scope(Explosive, || {
                            KEY.with(|_| {
                                leaked(KEY.take());
                                panic_any(7)
                            })
                        })
                    });
                    assert_eq!(payload.map(drop).expect_err("it panicked").downcast_ref(), Some(&7));
                }))
            });
            nothing_is_left();
        });
    }

    /// A program's own panic hook is the likeliest of all to ask for the context.
    #[test]
    fn may_be_reported_with_the_context_at_every_moment() {
        alone(|| {
            static REPORTS: AtomicUsize = AtomicUsize::new(0);
            std::panic::set_hook(Box::new(|_| {
                REPORTS.fetch_add(1, Ordering::SeqCst);
                make(
                    CALLS,
                    match try_get_thread_ctx().map(|ctx| ctx.handle().state()) {
                        Ok(State::Running) => return,
                        Ok(_) => Moment::Exiting,
                        Err(_) => Moment::Gone,
                    },
                );
            }));
            thread::spawn(|| {
                AtDrop::put(&OLDER, || drop(catch_unwind(|| panic_any(1))));
                lay_mines();
            })
            .join()
            .expect("no panic comes through");
            assert!(REPORTS.load(Ordering::SeqCst) > 5);
        });
    }
}

/// The process ends on a thread that is not the main one, in the middle of something: the thread's exit runs all the same.
mod process_exit {
    use super::*;

    static KEY: Key<u8> = Key::new("teardown", "process exit");

    /// Where the C library runs the calling thread's destructors at `exit`.
    const AT_EXIT: &[&str] = if cfg!(target_env = "musl") { &[] } else { ORDERLY };

    fn on_a_thread(code: impl FnOnce() + Send + 'static) {
        let ended = thread::spawn(|| {
            fill();
            code();
        });
        let _ = ended.join();
        unreachable!("the process is over");
    }

    fn leave<R>() -> R {
        std::process::exit(7)
    }

    #[test]
    fn in_the_middle_of_nothing() {
        ends(7).saying(&[AT_EXIT]).alone(|| {
            on_a_thread(leave);
        });
    }

    #[test]
    fn inside_with() {
        ends(7).saying(&[AT_EXIT]).alone(|| {
            KEY.set(1);
            on_a_thread(|| {
                KEY.set(1);
                KEY.with(|_| leave::<()>());
            });
        });
    }

    #[test]
    fn inside_a_scope() {
        ends(7).saying(&[AT_EXIT]).alone(|| {
            on_a_thread(|| KEY.scope(1, leave));
        });
    }

    /// The task goes the way of everything else on the stack: the thread's context exits, the task's does not.
    #[test]
    fn inside_a_poll() {
        ends(7).saying(&[AT_EXIT]).alone(|| {
            on_a_thread(|| {
                executor::block_on(
                    async {
                        KEY.set(1);
                        get_thread_ctx().on_exit(|_| unreachable!());
                        executor::pause().await;
                        executor::block_on(async { leave::<()>() }.in_context());
                    }
                    .in_context(),
                );
            });
        });
    }

    #[test]
    fn inside_a_poll_on_a_thread_that_was_not_touched() {
        ends(7).alone(|| {
            let body = || executor::block_on(async { (KEY.set(1), leave::<()>()).1 }.in_context());
            let _ = thread::spawn(body).join();
        });
    }

    struct Leaver;

    impl Drop for Leaver {
        fn drop(&mut self) {
            leave()
        }
    }

    #[test]
    fn inside_the_drop_of_a_tasks_future() {
        ends(7).saying(&[AT_EXIT]).alone(|| {
            on_a_thread(|| {
                let leaver = Leaver;
                drop(async move { drop(leaver) }.in_context());
            });
        });
    }

    #[test]
    fn inside_a_tasks_exit_hook() {
        ends(7).saying(&[AT_EXIT]).alone(|| {
            on_a_thread(|| {
                executor::block_on(async { get_thread_ctx().on_exit(|_| drop(Leaver)) }.in_context());
            });
        });
    }

    #[test]
    fn inside_an_initialiser() {
        ends(7).saying(&[AT_EXIT]).alone(|| {
            on_a_thread(|| drop(KEY.get_or_init(leave)));
        });
    }

    #[test]
    fn inside_an_update() {
        ends(7).saying(&[AT_EXIT]).alone(|| {
            on_a_thread(|| {
                KEY.set(1);
                KEY.update(|_| leave::<()>());
            });
        });
    }

    #[test]
    fn inside_a_drop() {
        ends(7).saying(&[AT_EXIT]).alone(|| {
            static VALUE: Key<Finally<fn()>> = Key::new("teardown", "leaves");
            on_a_thread(|| {
                VALUE.set(Finally(leave));
                VALUE.take();
            });
        });
    }

    #[test]
    fn inside_a_start_hook() {
        ends(7).alone(|| {
            on_thread_start(|_| leave()).forever();
            on_a_thread(|| ());
        });
    }

    /// What the exit has not come to yet is left undone: the hook never returns.
    #[test]
    fn inside_an_exit_hook() {
        ends(7).saying(&[&["context hook 2", "context hook 1", "thread hook 2", "thread hook 1"]]).alone(
            || {
                on_thread_exit(|_| leave()).forever();
                on_a_thread(|| ());
            },
        );
    }

    #[test]
    fn inside_an_exit_hook_that_exit_thread_ctx_runs() {
        ends(7).alone(|| {
            on_a_thread(|| {
                get_thread_ctx().on_exit(|_| leave());
                exit_thread_ctx();
            });
        });
    }

    #[test]
    fn inside_a_key_hook() {
        ends(7).saying(&[&ORDERLY[..4]]).alone(|| {
            static HOOKED: Key<u8> = Key::new("teardown", "leaves in its hook").on_exit(|_| leave());
            on_a_thread(|| HOOKED.set(1));
        });
    }

    #[test]
    fn inside_a_drop_at_an_exit() {
        ends(7).saying(&[&ORDERLY[..4]]).alone(|| {
            static VALUE: Key<Finally<fn()>> = Key::new("teardown", "leaves at exit");
            on_a_thread(|| VALUE.set(Finally(leave)));
        });
    }

    #[test]
    fn inside_the_destructor_of_an_older_thread_local() {
        ends(7).saying(&[ORDERLY]).alone(|| {
            let ended = thread::spawn(|| {
                AtDrop::put(&OLDER, leave);
                fill();
            });
            let _ = ended.join();
        });
    }

    #[test]
    fn while_a_panic_is_on_its_way() {
        ends(7).saying(&[AT_EXIT]).alone(|| {
            on_a_thread(|| {
                let _finally = Finally(leave::<()>);
                panic_any(1);
            });
        });
    }

    #[test]
    fn while_other_threads_use_everything() {
        ends(7).saying(&[AT_EXIT]).alone(|| {
            static BUSY: Key<u64> = Key::new("teardown", "busy").debug().keep_total(|one, other| one + other);
            let (send, wait) = mpsc::channel();
            for _ in 0..6 {
                let send = send.clone();
                thread::spawn(move || {
                    for round in 0_u64.. {
                        BUSY.set(round);
                        let _ = (BUSY.total(), contexts(), BUSY.iter().count(), dump().to_json());
                        exit_thread_ctx();
                        let _ = send.send(());
                    }
                });
            }
            wait.iter().take(50).for_each(drop);
            on_a_thread(leave);
        });
    }

    #[test]
    fn while_other_threads_exit_too() {
        ends(7).saying(&[AT_EXIT]).alone(|| {
            let (send, wait) = mpsc::channel();
            for _ in 0..4 {
                let send = send.clone();
                thread::spawn(move || {
                    loop {
                        thread::spawn(|| KEY.set(1)).join().expect("it does not panic");
                        let _ = send.send(());
                    }
                });
            }
            wait.iter().take(50).for_each(drop);
            on_a_thread(leave);
        });
    }
}

/// Threads of the C library's, and its destructors, which come after the standard library's and in several rounds.
#[cfg(unix)]
mod c_library {
    use super::*;
    use crate::leaked::leaked;
    use crate::pthread::{Pthread, at_key_drop, rounds};

    /// Where thread-locals' destructors are known to be over before those of the C library's keys run.
    const KEYS_COME_LAST: bool =
        cfg!(any(all(target_os = "linux", target_env = "gnu"), target_vendor = "apple"));

    /// Makes the calls, each at the moment that it is by the crate's own word: this late a thread that exits its context
    /// may not get another one.
    fn make_now(calls: &[Call]) {
        for call in calls {
            let at = if try_get_thread_ctx().is_ok() { Moment::Live } else { Moment::Gone };
            make(slice::from_ref(call), at);
        }
    }

    /// Makes the calls where the context is gone, if these destructors come last.
    fn make_gone(calls: &[Call]) {
        if KEYS_COME_LAST { make(calls, Moment::Gone) } else { make_now(calls) }
    }

    fn leave<R>() -> R {
        // SAFETY: it takes a number and does not return.
        #[expect(unsafe_code, reason = "the C library's way out")]
        unsafe {
            libc::exit(7)
        }
    }

    #[test]
    fn a_key_armed_before_the_first_touch_finds_it_gone() {
        alone(|| {
            have_another();
            every_call(|calls| {
                remember_me();
                at_key_drop(1, |_| make_gone(calls));
                get_thread_ctx();
            });
            nothing_is_left();
        });
    }

    #[test]
    fn a_key_armed_after_the_first_touch_finds_it_gone_in_every_round() {
        alone(|| {
            have_another();
            every_call(|calls| {
                remember_me();
                get_thread_ctx();
                at_key_drop(rounds(), |_| make_gone(calls));
            });
            nothing_is_left();
        });
    }

    #[test]
    fn a_key_that_makes_thread_locals_finds_it_gone() {
        alone(|| {
            every_call(|calls| {
                remember_me();
                get_thread_ctx();
                at_key_drop(rounds(), |round| {
                    AtDrop::put(if round == 1 { &OLDER } else { &YOUNGER }, || make_gone(calls));
                    make_gone(calls);
                });
            });
            nothing_is_left();
        });
    }

    /// What such a thread leaves behind is another scenario's.
    #[test]
    fn a_first_touch_in_a_key_is_answered_in_every_round() {
        alone(|| {
            have_another();
            every_call(|calls| {
                // The call itself comes first, whatever it answers.
                at_key_drop(rounds(), |round| {
                    if round == 1 {
                        drop(catch_unwind(|| make(calls, Moment::Live)));
                    }
                    make_now(calls);
                });
            });
            every_call(|calls| {
                at_key_drop(rounds(), |round| {
                    if round == rounds() {
                        drop(catch_unwind(|| make(calls, Moment::Live)));
                        make_now(calls);
                    }
                });
            });
        });
    }

    #[test]
    fn a_first_touch_in_a_key_of_a_thread_that_asked_for_itself_is_answered() {
        alone(|| {
            have_another();
            every_call(|calls| {
                let _ = thread::current();
                at_key_drop(rounds(), |_| make_now(calls));
            });
        });
    }

    #[test]
    fn a_first_touch_in_a_key_of_a_foreign_thread_is_cleaned_up_like_any_other() {
        saying(&[ORDERLY]).alone(|| {
            Pthread::start(|| at_key_drop(1, |_| fill())).join();
            nothing_is_left();
        });
    }

    /// The standard library may have cleaned up by then, and no longer know the thread.
    #[test]
    fn a_first_touch_in_a_key_of_a_std_thread_is_refused_or_cleaned_up() {
        alone(|| {
            static DROPS: AtomicUsize = AtomicUsize::new(0);
            static KEY: Key<Finally<fn()>> = Key::new("teardown", "late");
            let count = || {
                DROPS.fetch_add(1, Ordering::SeqCst);
            };
            for round in 1..rounds() {
                let body = move || {
                    at_key_drop(rounds(), move |at| {
                        if at == round {
                            KEY.set(Finally(count))
                        }
                    })
                };
                thread::spawn(body).join().expect("it does not panic");
            }
            nothing_is_left();
            assert_eq!(DROPS.load(Ordering::SeqCst), rounds() as usize - 1);
        });
    }

    /// In the last round no later moment is left in which the thread could clean up. What it leaves may be listed, but harms
    /// nobody: it can be read and dumped, and threads come and go as before.
    #[test]
    fn a_first_touch_in_a_keys_last_round_leaves_a_ghost_at_most() {
        alone(|| {
            static KEY: Key<u8> = Key::new("teardown", "ghost").debug();
            get_thread_ctx();
            for _ in 0..20 {
                Pthread::start(|| {
                    at_key_drop(rounds(), |round| {
                        if round == rounds() {
                            KEY.set(1);
                        }
                    });
                })
                .join();
            }
            let ghosts = contexts().len() - 1;
            assert!(ghosts <= 20, "one for each thread at the most");
            assert!(KEY.iter().all(|(_, value)| *value == 1));
            assert!(dump().is_complete());
            thread::spawn(|| drop(get_thread_ctx().handle())).join().expect("it does not panic");
            assert_eq!((contexts().len(), stats().live), (ghosts + 1, ghosts + 1));
        });
    }

    /// The standard library cannot tell who a thread is in the last rounds, and says so by a panic. The program's own
    /// hook, asking in its turn, must not make that one panic too many.
    #[test]
    fn a_panic_hook_that_asks_for_the_context_is_answered_in_every_round() {
        alone(|| {
            static REPORTS: AtomicUsize = AtomicUsize::new(0);
            std::panic::set_hook(Box::new(|_| {
                REPORTS.fetch_add(1, Ordering::SeqCst);
                drop((get_thread_ctx().handle(), dump()));
            }));
            for on in EVERY_KIND {
                for in_round in 1..=rounds() {
                    on(Box::new(move || {
                        let _ = thread::current();
                        at_key_drop(rounds(), move |round| {
                            if round == in_round {
                                let _ = get_thread_ctx().ident();
                                drop(catch_unwind(|| panic_any(1)));
                            }
                        });
                    }));
                }
            }
            assert!(REPORTS.load(Ordering::SeqCst) >= EVERY_KIND.len() * rounds() as usize);
        });
    }

    #[test]
    fn exit_of_a_foreign_thread_is_orderly() {
        saying(&[ORDERLY]).alone(|| {
            Pthread::start(fill).join();
            nothing_is_left();
        });
    }

    #[test]
    fn exit_of_a_detached_foreign_thread_is_orderly() {
        saying(&[ORDERLY]).alone(|| {
            let (gone, wait) = mpsc::channel();
            let body = move || {
                AtDrop::put(&OLDER, move || gone.send(()).expect("we wait"));
                fill();
            };
            Pthread::start(body).detach();
            wait.recv().expect("it comes");
            nothing_is_left();
        });
    }

    #[test]
    fn a_foreign_thread_is_known_by_the_id_seen_inside_and_leaves_nothing() {
        alone(|| {
            let (send, wait) = mpsc::channel();
            let (end, over) = mpsc::channel::<()>();
            let foreign = Pthread::start(move || {
                let handle = get_thread_ctx().handle();
                send.send((handle, thread::current().id())).expect("we wait");
                over.recv().expect_err("it hangs up");
            });
            let (handle, id) = wait.recv().expect("it comes");
            assert_eq!(handle.ident(), id.into());
            assert_eq!(threadctx::context(id).map(|context| context.state()), Some(State::Running));
            drop(end);
            foreign.join();
            assert_eq!((handle.state(), threadctx::context(id).is_some()), (State::Exited, false));
            nothing_is_left();
        });
    }

    #[test]
    fn a_thousand_rounds_of_keys_while_foreign_threads_come_and_go_leave_nothing() {
        alone(|| {
            static DROPS: AtomicUsize = AtomicUsize::new(0);
            static TOTAL: Key<u64> = Key::new("teardown", "thousand").keep_total(|one, other| one + other);
            type Value = Finally<fn()>;
            let count = || {
                DROPS.fetch_add(1, Ordering::SeqCst);
            };
            let value = move || Finally(count as fn());
            let keys: Vec<&'static Key<Value>> =
                (0..16).map(|number| leaked(Key::new("thousand", format!("key {number}").leak()))).collect();
            let keys: &'static Vec<_> = leaked(keys);
            let foreign = move || {
                for _ in 0..250 {
                    Pthread::start(move || {
                        keys.iter().for_each(|key| key.set(value()));
                        TOTAL.set(1);
                    })
                    .join();
                }
            };
            let others: Vec<_> = (0..4).map(|_| thread::spawn(foreign)).collect();
            for round in 0..1_000 {
                keys.iter().for_each(|key| key.set(value()));
                drop(keys[round % keys.len()].iter().collect::<Vec<_>>());
                match round % 3 {
                    0 => get_thread_ctx().clear(),
                    1 => get_thread_ctx().namespace("thousand").clear(),
                    _ => assert!(exit_thread_ctx()),
                }
            }
            others.into_iter().for_each(|other| other.join().expect("it does not panic"));
            nothing_is_left();
            assert_eq!(DROPS.load(Ordering::SeqCst), 2_000 * keys.len());
            assert_eq!(TOTAL.total(), Some(1_000));
            assert!(keys.iter().all(|key| key.iter().next().is_none()));
        });
    }

    #[test]
    fn exit_in_the_middle_of_nothing() {
        ends(7).saying(&[ORDERLY]).alone(|| {
            Pthread::start(|| {
                fill();
                leave::<()>()
            })
            .join();
        });
    }

    #[test]
    fn exit_inside_with_inside_a_scope() {
        ends(7).saying(&[ORDERLY]).alone(|| {
            static KEY: Key<u8> = Key::new("teardown", "c exit");
            Pthread::start(|| {
                fill();
                KEY.scope(1, || KEY.with(|_| leave::<()>()));
            })
            .join();
        });
    }

    #[test]
    fn exit_inside_an_exit_hook() {
        ends(7).saying(&[&ORDERLY[..2]]).alone(|| {
            Pthread::start(|| {
                fill();
                on_thread_exit(|_| leave::<()>()).forever()
            })
            .join();
        });
    }

    #[test]
    fn exit_inside_a_key() {
        ends(7).saying(&[ORDERLY]).alone(|| {
            Pthread::start(|| {
                at_key_drop(1, |_| leave::<()>());
                fill()
            })
            .join();
        });
    }

    extern "C" fn make_calls_at_exit() {
        verdict(|| make_gone(CALLS));
        say("at exit");
    }

    fn at_exit(handler: extern "C" fn()) {
        // SAFETY: a plain function.
        #[expect(unsafe_code, reason = "a call into the C library")]
        let done = unsafe { libc::atexit(handler) };
        assert_eq!(done, 0);
    }

    #[test]
    fn exit_handlers_on_a_thread_find_it_gone() {
        ends(7).saying(&[ORDERLY, &["at exit"]]).alone(|| {
            have_another();
            at_exit(make_calls_at_exit);
            thread::spawn(|| {
                remember_me();
                fill();
                leave::<()>()
            })
            .join()
            .expect("the process is over");
        });
    }

    #[test]
    fn exit_handlers_on_a_foreign_thread_find_it_gone() {
        ends(7).saying(&[ORDERLY, &["at exit"]]).alone(|| {
            have_another();
            at_exit(make_calls_at_exit);
            Pthread::start(|| {
                remember_me();
                fill();
                leave::<()>()
            })
            .join();
        });
    }

    extern "C" fn make_calls_now() {
        verdict(|| make_now(CALLS));
        say("at exit");
    }

    #[test]
    fn exit_handlers_on_a_thread_that_never_touched_are_answered() {
        ends(7).saying(&[&["at exit"]]).alone(|| {
            have_another();
            at_exit(make_calls_now);
            thread::spawn(|| {
                std::process::exit(7);
            })
            .join()
            .expect("the process is over");
        });
    }

    #[test]
    fn exit_handlers_on_a_foreign_thread_that_never_touched_are_answered() {
        ends(7).saying(&[&["at exit"]]).alone(|| {
            have_another();
            at_exit(make_calls_now);
            Pthread::start(leave).join();
        });
    }
}
