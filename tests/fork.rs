//! fork, in processes of their own: the child has its own context and no other, and everything works in it, whatever
//! the threads that it has not got were doing.

#![cfg(all(unix, not(loom)))]

use std::{
    cell::RefCell,
    fmt::{self, Debug},
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
};

use threadctx::{
    ContextRef, DumpOptions, Ident, Key, State, context, contexts, dump, exit_thread_ctx, get_thread_ctx,
    on_thread_exit, on_thread_start, stats,
};

use at_drop::AtDrop;
use calls::{CALLS, Moment, make, remember_me};
use forks::{Side, fork, in_child};
use orderly::{ORDERLY, fill};
use pthread::Pthread;
use solo::{alone, saying};

#[path = "support/at_drop.rs"]
mod at_drop;
#[path = "support/calls.rs"]
#[allow(dead_code, reason = "this file needs a part of it")]
mod calls;
#[path = "support/executor.rs"]
#[allow(dead_code, reason = "this file needs a part of it")]
mod executor;
#[path = "support/forks.rs"]
#[expect(unsafe_code, reason = "calls into the C library")]
mod forks;
#[path = "support/orderly.rs"]
mod orderly;
#[path = "support/patience.rs"]
mod patience;
#[path = "support/pthread.rs"]
#[expect(unsafe_code, reason = "calls into the C library")]
#[allow(dead_code, reason = "this file needs a part of it")]
mod pthread;
#[path = "support/solo.rs"]
#[expect(unsafe_code, reason = "calls into the C library")]
mod solo;

thread_local! {
    static OLDER: AtDrop = const { AtDrop::new() };
}

/// A value of the forking thread's.
static MINE: Key<String> = Key::new("fork", "mine").debug();
/// Each exited thread of the scenario has left a 1 here.
static TOTAL: Key<u64> = Key::new("fork", "total").keep_total(|one, other| one + other);
/// How often the hooks of [`count_threads`] ran.
static STARTS: AtomicUsize = AtomicUsize::new(0);
static EXITS: AtomicUsize = AtomicUsize::new(0);

fn me() -> Ident {
    thread::current().id().into()
}

fn count_threads() {
    on_thread_start(|_| {
        STARTS.fetch_add(1, Ordering::SeqCst);
    })
    .forever();
    on_thread_exit(|_| {
        EXITS.fetch_add(1, Ordering::SeqCst);
    })
    .forever();
}

/// Checks that `mine` is all that is listed: what the own context says of itself, or nothing.
fn lists_only(mine: Option<State>) {
    let listed: Vec<_> = contexts().iter().map(|context| (context.ident(), context.state())).collect();
    assert_eq!(listed, mine.map(|state| (me(), state)).into_iter().collect::<Vec<_>>());
    assert_eq!(stats().live, listed.len());
    assert_eq!(context(me_or_nobody(&listed)).map(|context| context.state()), mine);
    if let Some(context) = contexts().first() {
        assert_eq!(context.os_tid(), own_tid());
    }
}

fn me_or_nobody(listed: &[(Ident, State)]) -> Ident {
    listed.first().map_or_else(me, |(ident, _)| *ident)
}

#[cfg(target_os = "linux")]
fn own_tid() -> Option<u64> {
    // SAFETY: it takes nothing and cannot fail.
    #[expect(unsafe_code, reason = "a call into the C library")]
    Some(unsafe { libc::gettid() } as u64)
}

#[cfg(not(target_os = "linux"))]
fn own_tid() -> Option<u64> {
    get_thread_ctx().handle().os_tid()
}

/// Checks that threads can be started, used and cleaned up.
fn threads_work() {
    let before = (contexts().len(), TOTAL.total().unwrap_or(0));
    let others: Vec<_> = (0..3)
        .map(|number| {
            let body = move || {
                MINE.set(format!("other {number}"));
                TOTAL.set(1);
                assert_eq!(MINE.with(String::len), Some(7));
                assert!(contexts().iter().any(|context| context.ident() == me()));
                get_thread_ctx().handle()
            };
            thread::spawn(body)
        })
        .collect();
    for other in others {
        let handle = other.join().expect("its checks hold");
        assert_eq!((handle.state(), MINE.get_in(&handle)), (State::Exited, None));
    }
    Pthread::start(|| TOTAL.set(1)).join();
    assert_eq!((contexts().len(), TOTAL.total()), (before.0, Some(before.1 + 4)));
}

/// Checks that the current context can be used by keys old and new, by name, and by dumps.
fn context_works() {
    let fresh: &'static Key<u32> = Box::leak(Box::new(Key::new("fork", "first used in the child").json()));
    let before = MINE.get();
    MINE.set("changed".to_owned());
    assert_eq!(MINE.cloned().as_deref(), Some("changed"));
    MINE.take();
    before.into_iter().for_each(|before| MINE.set(before.to_string()));
    assert_eq!(fresh.replace(5), None);
    assert_eq!(fresh.scope(6, || fresh.cloned()), Some(6));
    assert_eq!(fresh.get_in(&get_thread_ctx().handle()).as_deref(), Some(&5));
    let names = get_thread_ctx().namespace("fork");
    assert!(names.insert("by name", 1_u8).is_ok());
    assert!(names.names().contains(&"by name".to_owned()));
    assert!(names.remove("by name"));
    // With time enough where a tool looks on.
    let dump = DumpOptions::new().budget(std::time::Duration::from_secs(60)).take();
    let json: serde_json::Value = serde_json::from_str(&dump.to_json()).expect("it is JSON");
    assert_eq!(json["contexts"].as_array().map(Vec::len), Some(contexts().len()));
    assert_eq!(json["process"]["pid"], std::process::id());
    assert!(dump.to_string().contains("fork.first used in the child"));
    fresh.take();
}

/// Checks that hooks of the parent's run for new threads, and that others can be added.
fn hooks_work() {
    let before = (STARTS.load(Ordering::SeqCst), EXITS.load(Ordering::SeqCst));
    let added = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&added);
    let hook = on_thread_exit(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
    });
    thread::spawn(|| MINE.set("hooked".to_owned())).join().expect("it does not panic");
    drop(hook);
    thread::spawn(|| MINE.set("hooked".to_owned())).join().expect("it does not panic");
    assert_eq!(added.load(Ordering::SeqCst), 1);
    let after = (STARTS.load(Ordering::SeqCst), EXITS.load(Ordering::SeqCst));
    if before.0 > 0 {
        assert_eq!(after, (before.0 + 2, before.1 + 2));
    }
}

/// Checks a child that has a context, `mine`: first that nothing else is there, then that everything works.
fn is_sound(mine: State) {
    lists_only(Some(mine));
    context_works();
    threads_work();
    hooks_work();
    lists_only(Some(mine));
}

/// Threads that have a context and stay until they are dropped.
struct Bystanders {
    handles: Vec<ContextRef>,
    end: Option<mpsc::Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl Bystanders {
    fn start(number: usize) -> Self {
        let (send, wait) = mpsc::channel();
        let (end, over) = mpsc::channel::<()>();
        let over = Arc::new(std::sync::Mutex::new(over));
        let body = move || {
            MINE.set("a bystander's".to_owned());
            assert!(get_thread_ctx().namespace("fork").insert("by name", 1_u8).is_ok());
            send.send(get_thread_ctx().handle()).expect("we wait");
            assert!(over.lock().expect("nobody panics").recv().is_err());
        };
        let threads = (0..number).map(|_| thread::spawn(body.clone())).collect();
        drop(body);
        Self { handles: wait.iter().take(number).collect(), end: Some(end), threads }
    }

    /// Checks, in the parent, that all of them are as they were.
    fn are_there(&self) {
        for handle in &self.handles {
            assert_eq!(handle.state(), State::Running);
            assert_eq!(context(handle.ident()).map(|context| context.state()), Some(State::Running));
            assert_eq!(MINE.get_in(handle).as_deref().map(String::as_str), Some("a bystander's"));
        }
    }

    /// Checks, in a child, that none of them is.
    fn are_over(&self) {
        for handle in &self.handles {
            assert_eq!(handle.state(), State::Exited);
            assert!(context(handle.ident()).is_none());
            assert_eq!(MINE.get_in(handle), None);
            assert_eq!(handle.namespace("fork").get::<u8>("by name").expect("no type is known"), None);
            assert!(handle.namespace("fork").names().is_empty());
            assert!(!handle.namespace("fork").contains("by name"));
            assert!(!handle.dump().to_string().contains("fork."));
            assert!(MINE.iter().all(|(ident, _)| ident != handle.ident()));
            assert!(!dump().to_string().contains(&handle.ident().to_string()));
        }
    }
}

impl Drop for Bystanders {
    fn drop(&mut self) {
        drop(self.end.take());
        self.threads.drain(..).for_each(|thread| thread.join().expect("its checks hold"));
        assert!(self.handles.iter().all(|handle| handle.state() == State::Exited));
    }
}

mod a_child {
    use super::*;

    #[test]
    fn lists_its_own_context_with_its_values_and_no_other() {
        alone(|| {
            let others = Bystanders::start(16);
            MINE.set("mine".to_owned());
            assert!(get_thread_ctx().namespace("fork").insert("by name", 2_u8).is_ok());
            let (ident, handle) = (get_thread_ctx().ident(), get_thread_ctx().handle());
            in_child(|| {
                lists_only(Some(State::Running));
                assert_eq!(
                    (get_thread_ctx().ident(), handle.ident(), handle.state()),
                    (ident, ident, State::Running)
                );
                assert_eq!(MINE.cloned().as_deref(), Some("mine"));
                assert_eq!(MINE.get_in(&handle).as_deref().map(String::as_str), Some("mine"));
                assert_eq!(MINE.iter().count(), 1);
                let named = get_thread_ctx().namespace("fork").get::<u8>("by name");
                assert_eq!(named.expect("it is a u8").as_deref(), Some(&2));
                assert_eq!(handle.os_tid(), own_tid());
                assert_eq!((stats().live, stats().registered, stats().exited), (1, 1, 0));
            });
            others.are_there();
            assert_eq!(contexts().len(), 17);
            assert_eq!((MINE.cloned().as_deref(), handle.os_tid()), (Some("mine"), own_tid()));
        });
    }

    #[test]
    fn counts_the_values_that_its_own_snapshots_hold_and_not_those_of_before() {
        static KEY: Key<u8> = Key::new("fork", "snapshot").inherit();
        alone(|| {
            KEY.set(1);
            let mut before = Some(threadctx::Snapshot::capture());
            in_child(|| {
                assert_eq!(stats().snapshot_values, 0);
                let own = threadctx::Snapshot::capture();
                assert_eq!(stats().snapshot_values, 1);
                drop(before.take());
                assert_eq!(stats().snapshot_values, 1);
                drop(own);
                assert_eq!(stats().snapshot_values, 0);
            });
            assert_eq!(stats().snapshot_values, 1);
        });
    }

    #[test]
    fn finds_every_other_context_exited_and_empty() {
        alone(|| {
            let others = Bystanders::start(4);
            MINE.set("mine".to_owned());
            in_child(|| {
                others.are_over();
                threads_work();
                others.are_over();
            });
            others.are_there();
        });
    }

    #[test]
    fn can_use_everything() {
        alone(|| {
            count_threads();
            let _others = Bystanders::start(4);
            MINE.set("mine".to_owned());
            in_child(|| is_sound(State::Running));
            is_undisturbed(5);
        });
    }

    #[test]
    fn answers_every_call_as_ever() {
        alone(|| {
            let _others = Bystanders::start(4);
            remember_me();
            get_thread_ctx();
            in_child(|| {
                make(CALLS, Moment::Live);
                let body = || {
                    remember_me();
                    AtDrop::put(&OLDER, || make(CALLS, Moment::Gone));
                    make(CALLS, Moment::Live);
                    get_thread_ctx().on_exit(|_| make(CALLS, Moment::Exiting));
                };
                thread::spawn(body).join().expect("its checks hold");
                Pthread::start(body).join();
                make(CALLS, Moment::Live);
            });
        });
    }

    #[test]
    fn leaves_alone_what_was_handed_out_before() {
        alone(|| {
            MINE.set("mine".to_owned());
            let kept = MINE.get().expect("just set");
            in_child(|| {
                MINE.set("the child's".to_owned());
                assert_eq!((kept.as_str(), MINE.cloned().as_deref()), ("mine", Some("the child's")));
            });
            assert_eq!(MINE.cloned().as_deref(), Some("mine"));
        });
    }

    #[test]
    fn may_exit_its_context_and_have_a_fresh_one() {
        alone(|| {
            count_threads();
            MINE.set("mine".to_owned());
            get_thread_ctx().on_exit(|_| {
                EXITS.fetch_add(100, Ordering::SeqCst);
            });
            let counted = || {
                EXITS.store(0, Ordering::SeqCst);
                assert!(exit_thread_ctx());
                assert_eq!(EXITS.load(Ordering::SeqCst), 101);
                assert_eq!((contexts().len(), MINE.get()), (0, None));
                MINE.set("fresh".to_owned());
                assert_eq!(contexts().len(), 1);
            };
            in_child(counted);
            counted();
        });
    }

    #[test]
    fn runs_the_exit_when_it_leaves_in_the_usual_way() {
        saying(&[ORDERLY, ORDERLY]).alone(|| {
            thread::spawn(|| {
                fill();
                match fork() {
                    Side::Child(child) => {
                        child.let_go();
                        std::process::exit(9)
                    }
                    Side::Parent(child) => child.ends_with(9),
                }
            })
            .join()
            .expect("its checks hold");
        });
    }

    #[test]
    fn runs_the_exit_when_its_only_thread_returns() {
        saying(&[ORDERLY, ORDERLY]).alone(|| {
            let (send, wait) = mpsc::channel();
            thread::spawn(move || {
                fill();
                match fork() {
                    Side::Child(child) => child.let_go(),
                    Side::Parent(child) => {
                        child.ends_with(0);
                        send.send(()).expect("we wait");
                    }
                }
            })
            .join()
            .expect("its checks hold");
            wait.recv().expect("the parent's thread came back");
        });
    }

    #[test]
    fn of_a_thread_without_a_context_has_none_until_it_touches() {
        alone(|| {
            count_threads();
            let others = Bystanders::start(4);
            in_child(|| {
                lists_only(None);
                others.are_over();
                threads_work();
                lists_only(None);
                get_thread_ctx();
                is_sound(State::Running);
            });
            others.are_there();
            assert_eq!(contexts().len(), 4);
        });
    }

    #[test]
    fn of_a_thread_past_its_exit_has_none() {
        alone(|| {
            count_threads();
            let _others = Bystanders::start(4);
            for start in [
                |body: fn()| thread::spawn(body).join().expect("its checks hold"),
                |body: fn()| Pthread::start(body).join(),
            ] {
                start(|| {
                    remember_me();
                    AtDrop::put(&OLDER, || {
                        in_child(|| {
                            assert_eq!((contexts().len(), stats().live), (0, 0));
                            make(CALLS, Moment::Gone);
                            threads_work();
                            hooks_work();
                        });
                    });
                    get_thread_ctx();
                });
            }
            assert_eq!(contexts().len(), 4);
        });
    }

    #[test]
    fn of_a_foreign_thread_is_like_any_other() {
        alone(|| {
            count_threads();
            let _others = Bystanders::start(4);
            Pthread::start(|| {
                MINE.set("foreign".to_owned());
                in_child(|| {
                    assert_eq!(MINE.cloned().as_deref(), Some("foreign"));
                    is_sound(State::Running);
                });
            })
            .join();
            is_undisturbed(4);
        });
    }

    #[test]
    fn of_a_child_of_a_child_is_like_any_other() {
        alone(|| {
            count_threads();
            let others = Bystanders::start(4);
            MINE.set("mine".to_owned());
            in_child(|| {
                let younger = Bystanders::start(2);
                in_child(|| {
                    others.are_over();
                    younger.are_over();
                    in_child(|| {
                        in_child(|| is_sound(State::Running));
                        is_sound(State::Running);
                    });
                    is_sound(State::Running);
                });
                younger.are_there();
                drop(younger);
                is_sound(State::Running);
                assert_eq!(MINE.cloned().as_deref(), Some("mine"));
            });
            others.are_there();
        });
    }

    #[test]
    fn of_a_thread_of_a_child_is_like_any_other() {
        alone(|| {
            let others = Bystanders::start(4);
            MINE.set("mine".to_owned());
            in_child(|| {
                let handle = get_thread_ctx().handle();
                thread::spawn(move || {
                    MINE.set("new".to_owned());
                    in_child(|| {
                        is_sound(State::Running);
                        assert_eq!((handle.state(), MINE.get_in(&handle)), (State::Exited, None));
                    });
                    assert_eq!(handle.state(), State::Running);
                })
                .join()
                .expect("its checks hold");
                lists_only(Some(State::Running));
            });
            others.are_there();
        });
    }

    #[test]
    fn goes_on_with_a_merge_that_another_thread_was_at() {
        static MERGES: AtomicUsize = AtomicUsize::new(0);
        static AT_IT: Barrier = Barrier::new(2);
        static KEY: Key<u64> = Key::new("fork", "merging").keep_total(|one, other| {
            if MERGES.fetch_add(1, Ordering::SeqCst) == 0 {
                AT_IT.wait();
                AT_IT.wait();
            }
            one + other
        });
        alone(|| {
            thread::spawn(|| KEY.set(1)).join().expect("it does not panic");
            let merging = thread::spawn(|| KEY.set(2));
            AT_IT.wait();
            in_child(|| {
                thread::spawn(|| KEY.set(4)).join().expect("it does not panic");
                assert_eq!(MERGES.load(Ordering::SeqCst), 3, "the new thread merges all three");
                assert_eq!(KEY.total(), Some(7));
            });
            AT_IT.wait();
            merging.join().expect("it does not panic");
            assert_eq!(KEY.total(), Some(3));
        });
    }

    #[test]
    fn keeps_what_threads_left_for_a_total_and_not_what_others_hold() {
        alone(|| {
            (0..3).for_each(|_| thread::spawn(|| TOTAL.set(1)).join().expect("it does not panic"));
            let (send, wait) = mpsc::channel();
            let (end, over) = mpsc::channel::<()>();
            let other = thread::spawn(move || {
                TOTAL.set(1_000);
                send.send(()).expect("we wait");
                over.recv().expect_err("it hangs up");
            });
            wait.recv().expect("it comes");
            TOTAL.set(10);
            in_child(|| {
                assert_eq!(TOTAL.total(), Some(13));
                threads_work();
                assert_eq!(TOTAL.total(), Some(17));
            });
            assert_eq!(TOTAL.total(), Some(1_013));
            drop(end);
            other.join().expect("it does not panic");
            assert_eq!(TOTAL.total(), Some(1_013));
        });
    }
}

/// Checks, in the parent, that so many contexts are there and that everything works.
fn is_undisturbed(listed: usize) {
    assert_eq!((contexts().len(), stats().live), (listed, listed));
    get_thread_ctx();
    context_works();
    threads_work();
    hooks_work();
}

/// A fork in the middle of something: one child leaves on the spot, another goes on to the end of what it was in.
mod a_fork_inside {
    use super::*;

    thread_local! { static SIDE: RefCell<Option<Side>> = const { RefCell::new(None) }; }

    /// Forks twice where it is called; [`end`] ends what this began.
    fn here(listed: State) {
        in_child(|| is_sound(listed));
        let side = fork();
        if matches!(side, Side::Child(_)) {
            lists_only(Some(listed));
        }
        SIDE.set(Some(side));
    }

    fn end() {
        SIDE.take().expect("something forked").finish(|| {
            get_thread_ctx();
            is_sound(State::Running);
        });
        get_thread_ctx();
        is_undisturbed(4);
    }

    fn on_a_thread(code: fn()) {
        count_threads();
        let others = Bystanders::start(3);
        thread::spawn(move || {
            code();
            end();
        })
        .join()
        .expect("its checks hold");
        others.are_there();
        drop(others);
        assert!(contexts().is_empty());
    }

    #[test]
    fn with() {
        alone(|| {
            on_a_thread(|| {
                MINE.set("before".to_owned());
                MINE.with(|value| {
                    here(State::Running);
                    assert_eq!(value, "before");
                    MINE.set("after".to_owned());
                    assert_eq!(value, "before");
                });
                assert_eq!(MINE.cloned().as_deref(), Some("after"));
            });
        });
    }

    #[test]
    fn a_scope() {
        alone(|| {
            on_a_thread(|| {
                MINE.set("outside".to_owned());
                MINE.scope("inside".to_owned(), || here(State::Running));
                assert_eq!(MINE.cloned().as_deref(), Some("outside"));
            });
        });
    }

    #[test]
    fn an_initialiser() {
        alone(|| {
            static KEY: Key<u8> = Key::new("fork", "initialiser").init(|| {
                here(State::Running);
                4
            });
            on_a_thread(|| assert_eq!(KEY.cloned(), Some(4)));
        });
    }

    #[test]
    fn an_update() {
        alone(|| {
            static KEY: Key<u8> = Key::new("fork", "update").init(|| 0);
            on_a_thread(|| {
                assert_eq!(
                    KEY.update(|value| {
                        here(State::Running);
                        *value += 1;
                        *value
                    }),
                    Some(1)
                );
                assert_eq!(KEY.cloned(), Some(1));
            });
        });
    }

    #[test]
    fn a_start_hook() {
        alone(|| {
            thread_local! { static WANTED: RefCell<bool> = const { RefCell::new(false) }; }
            on_thread_start(|_| {
                if WANTED.take() {
                    here(State::Running)
                }
            })
            .forever();
            on_a_thread(|| {
                WANTED.set(true);
                get_thread_ctx();
            });
        });
    }

    #[test]
    fn an_exit_hook() {
        alone(|| {
            on_a_thread(|| {
                MINE.set("mine".to_owned());
                get_thread_ctx().on_exit(|_| here(State::Exiting));
                assert!(exit_thread_ctx());
            });
        });
    }

    #[test]
    fn an_exit_hook_of_all_threads() {
        alone(|| {
            thread_local! { static WANTED: RefCell<bool> = const { RefCell::new(false) }; }
            on_thread_exit(|_| {
                if WANTED.take() {
                    here(State::Exiting)
                }
            })
            .forever();
            on_a_thread(|| {
                get_thread_ctx();
                WANTED.set(true);
                assert!(exit_thread_ctx());
            });
        });
    }

    #[test]
    fn a_key_hook() {
        alone(|| {
            static KEY: Key<u8> = Key::new("fork", "key hook").on_exit(|_| here(State::Exiting));
            on_a_thread(|| {
                KEY.set(1);
                assert!(exit_thread_ctx());
            });
        });
    }

    #[test]
    fn the_drop_of_a_value() {
        alone(|| {
            struct Forks;
            impl Drop for Forks {
                fn drop(&mut self) {
                    here(State::Exiting);
                }
            }
            static KEY: Key<Forks> = Key::new("fork", "drop");
            on_a_thread(|| {
                KEY.set(Forks);
                assert!(exit_thread_ctx());
            });
        });
    }

    #[test]
    fn the_exit_of_a_thread() {
        alone(|| {
            count_threads();
            let _others = Bystanders::start(3);
            thread::spawn(|| {
                remember_me();
                // Older than what asks for it.
                SIDE.set(None);
                AtDrop::put(&OLDER, || {
                    SIDE.take().expect("the hook forked").finish(|| {
                        assert_eq!((contexts().len(), stats().live), (0, 0));
                        assert_eq!((stats().registered, stats().exited), (1, 1));
                        make(CALLS, Moment::Gone);
                        threads_work();
                    });
                });
                MINE.set("mine".to_owned());
                get_thread_ctx().on_exit(|_| {
                    in_child(|| lists_only(Some(State::Exiting)));
                    SIDE.set(Some(fork()));
                });
            })
            .join()
            .expect("its checks hold");
            is_undisturbed(3);
        });
    }

    #[test]
    fn the_rendering_of_a_dump() {
        alone(|| {
            struct Forks;
            impl Debug for Forks {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    static ONCE: AtomicBool = AtomicBool::new(true);
                    if ONCE.swap(false, Ordering::SeqCst) {
                        here(State::Running);
                    }
                    f.write_str("rendered")
                }
            }
            static KEY: Key<Forks> = Key::new("fork", "dump").debug();
            on_a_thread(|| {
                KEY.set(Forks);
                assert!(dump().to_string().contains("fork.dump"));
            });
        });
    }

    /// What a merge that forks adds up: each thread has left a power of two.
    static MERGED: Key<u64> = Key::new("fork", "merge").keep_total(|one, other| {
        static ONCE: AtomicBool = AtomicBool::new(true);
        if ONCE.swap(false, Ordering::SeqCst) {
            let side = fork();
            if matches!(side, Side::Child(_)) {
                // Merges what piled up, here where another merge is under way.
                thread::spawn(|| MERGED.set(4)).join().expect("it does not panic");
            }
            SIDE.set(Some(side));
        }
        one + other
    });

    #[test]
    fn a_merge_loses_nothing_in_the_child_and_merges_nothing_twice() {
        alone(|| {
            thread::spawn(|| MERGED.set(1)).join().expect("it does not panic");
            thread::spawn(|| {
                MERGED.set(2);
                assert!(exit_thread_ctx());
                SIDE.take().expect("the merge forked").finish(|| {
                    assert_eq!(MERGED.total(), Some(7));
                    thread::spawn(|| MERGED.set(8)).join().expect("it does not panic");
                    assert_eq!(MERGED.total(), Some(15));
                    assert_eq!(stats().hook_panics, 0);
                });
            })
            .join()
            .expect("its checks hold");
            assert_eq!(MERGED.total(), Some(3));
        });
    }
}

/// Threads that do something without pause until they are dropped.
struct Busy {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Busy {
    /// Starts `number` threads that run `code` again and again, and waits until each has run it once.
    fn start(number: usize, code: impl Fn(usize, usize) + Clone + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (send, wait) = mpsc::channel();
        let threads = (0..number)
            .map(|thread| {
                let (stop, send, code) = (Arc::clone(&stop), send.clone(), code.clone());
                thread::spawn(move || {
                    for round in 0.. {
                        code(thread, round);
                        if round == 0 {
                            send.send(()).expect("we wait");
                        }
                        if stop.load(Ordering::SeqCst) {
                            break;
                        }
                    }
                })
            })
            .collect();
        wait.iter().take(number).for_each(drop);
        Self { stop, threads }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        self.threads.drain(..).for_each(|thread| thread.join().expect("it does not panic"));
    }
}

/// A value that counts the drops of its kind.
#[derive(Debug)]
struct Counted;

static DROPS: AtomicUsize = AtomicUsize::new(0);

impl Drop for Counted {
    fn drop(&mut self) {
        DROPS.fetch_add(1, Ordering::SeqCst);
    }
}

mod while_others {
    use super::*;

    /// How many threads were sent to leave a 1 for the total, and how many have done so.
    static SENT: AtomicUsize = AtomicUsize::new(0);
    static LEFT: AtomicUsize = AtomicUsize::new(0);

    /// A bit of everything that takes a lock or a slot somewhere.
    fn work(thread: usize, round: usize) {
        MINE.set(format!("round {round}"));
        match (thread + round) % 8 {
            0 => drop(dump().to_json()),
            1 => drop(contexts()),
            2 => drop(TOTAL.total()),
            3 => drop((on_thread_exit(|_| ()), on_thread_start(|_| ()))),
            4 => drop(MINE.iter().collect::<Vec<_>>()),
            5 => drop(get_thread_ctx().namespace("fork").insert("by name", round)),
            6 => assert!(exit_thread_ctx()),
            _ => {
                SENT.fetch_add(1, Ordering::SeqCst);
                TOTAL.set(1);
                assert!(exit_thread_ctx());
                LEFT.fetch_add(1, Ordering::SeqCst);
            }
        }
    }

    #[test]
    fn use_everything_hangs_no_child_and_loses_no_total() {
        alone(|| {
            count_threads();
            MINE.set("mine".to_owned());
            let others = Busy::start(16, work);
            for _ in 0..120 {
                let least = LEFT.load(Ordering::SeqCst) as u64;
                in_child(|| {
                    let total = TOTAL.total().unwrap_or(0);
                    assert!(total >= least && total <= SENT.load(Ordering::SeqCst) as u64);
                    is_sound(State::Running);
                    assert_eq!(MINE.cloned().as_deref(), Some("mine"));
                });
            }
            drop(others);
            assert_eq!(TOTAL.total(), Some(LEFT.load(Ordering::SeqCst) as u64));
            is_undisturbed(1);
        });
    }

    #[test]
    fn fork_too_hangs_no_child() {
        alone(|| {
            MINE.set("mine".to_owned());
            let others = Busy::start(4, work);
            let barrier = Arc::new(Barrier::new(16));
            let forking = |number| {
                let barrier = Arc::clone(&barrier);
                thread::spawn(move || {
                    for round in 0..6 {
                        // Half of them have a context.
                        let mine = (number % 2 == 0).then_some(State::Running);
                        mine.inspect(|_| MINE.set(format!("{number} {round}")));
                        barrier.wait();
                        in_child(|| {
                            lists_only(mine);
                            assert_eq!(MINE.cloned(), mine.map(|_| format!("{number} {round}")));
                            MINE.set("child".to_owned());
                            thread::spawn(|| TOTAL.set(1)).join().expect("it does not panic");
                            lists_only(Some(State::Running));
                        });
                    }
                })
            };
            let threads: Vec<_> = (0..16).map(forking).collect();
            threads.into_iter().for_each(|thread| thread.join().expect("its checks hold"));
            drop(others);
            is_undisturbed(1);
        });
    }

    /// Children of a process in which nobody ever touched, while others do what needs no context.
    fn of_an_untouched_process(others: fn()) {
        let others = Busy::start(8, move |_, _| others());
        for _ in 0..120 {
            in_child(|| {
                lists_only(None);
                MINE.set("first".to_owned());
                is_sound(State::Running);
            });
        }
        drop(others);
        is_undisturbed(0);
    }

    #[test]
    fn add_and_remove_hooks_before_the_first_touch_hangs_no_child() {
        alone(|| {
            of_an_untouched_process(|| drop((on_thread_exit(|_| ()), on_thread_start(|_| ()))));
        });
    }

    #[test]
    fn list_and_dump_before_the_first_touch_hangs_no_child() {
        alone(|| {
            of_an_untouched_process(|| drop((contexts(), MINE.iter().count(), dump(), context(me()))));
        });
    }

    #[test]
    fn read_totals_before_the_first_touch_hangs_no_child() {
        alone(|| {
            of_an_untouched_process(|| drop(TOTAL.total().map(Box::new)));
        });
    }

    /// A reader that was inside the slot does not exist in the child, and must not be waited for there.
    #[test]
    fn read_its_values_leaves_the_child_to_drop_what_it_replaces() {
        alone(|| {
            static KEY: Key<Counted> = Key::new("fork", "counted");
            static SHOWN: Key<Counted> = Key::new("fork", "shown").debug();
            const SETS: usize = 1_000;
            let names = get_thread_ctx().namespace("fork");
            let fill = || {
                KEY.set(Counted);
                SHOWN.set(Counted);
                drop(names.insert("counted", Counted));
            };
            fill();
            let me = get_thread_ctx().handle();
            let readers = Busy::start(3, move |thread, _| {
                for _ in 0..64 {
                    match thread {
                        0 => drop(KEY.get_in(&me)),
                        1 => drop(SHOWN.get_in(&me)),
                        _ => drop(me.namespace("fork").get::<Counted>("counted")),
                    }
                }
            });
            for _ in 0..60 {
                fill();
                in_child(|| {
                    DROPS.store(0, Ordering::SeqCst);
                    for set in 1..=SETS {
                        fill();
                        // The values that were there at the fork may have a count that nobody gives back.
                        assert!(DROPS.load(Ordering::SeqCst) + 3 >= 3 * set, "{set} sets");
                    }
                });
            }
            in_child(|| {
                DROPS.store(0, Ordering::SeqCst);
                (0..100_000).for_each(|_| KEY.set(Counted));
                assert!(DROPS.load(Ordering::SeqCst) + 1 >= 100_000);
            });
            drop(readers);
        });
    }

    #[test]
    fn read_its_values_leaves_the_parent_to_drop_what_it_replaces() {
        alone(|| {
            static KEY: Key<Counted> = Key::new("fork", "parent's");
            KEY.set(Counted);
            let me = get_thread_ctx().handle();
            let readers = Busy::start(3, move |_, _| drop(KEY.get_in(&me)));
            for _ in 0..40 {
                (0..100).for_each(|_| KEY.set(Counted));
                in_child(|| KEY.set(Counted));
            }
            drop(readers);
            KEY.set(Counted);
            assert_eq!(DROPS.load(Ordering::SeqCst), 4_001);
        });
    }
}

/// A fork inside a poll: the child has the thread's own context, and goes on in the task's.
mod in_a_poll {
    use threadctx::FutureExt;

    use super::*;
    use crate::executor::{block_on, pause};

    static TASKS: Key<String> = Key::new("fork", "the task's").debug();

    /// What the code in the task must find on either side.
    fn goes_on(task: &ContextRef) {
        assert_eq!((get_thread_ctx().ident(), task.state()), (task.ident(), State::Running));
        assert_eq!(TASKS.cloned().as_deref(), Some("before"));
        TASKS.set("after".to_owned());
        assert_eq!(TASKS.get_in(task).as_deref().map(String::as_str), Some("after"));
        assert_eq!(MINE.get(), None);
        assert!(!exit_thread_ctx());
        assert_eq!(task.carrier(), Some(me()));
    }

    #[test]
    fn the_child_lists_the_threads_own_context_and_the_task_goes_on() {
        alone(|| {
            let _others = Bystanders::start(4);
            MINE.set("mine".to_owned());
            static ENDED: AtomicUsize = AtomicUsize::new(0);
            let task = async {
                TASKS.set("before".to_owned());
                get_thread_ctx().on_exit(|_| _ = ENDED.fetch_add(1, Ordering::SeqCst));
                pause().await;
                let (side, task) = (fork(), get_thread_ctx().handle());
                goes_on(&task);
                if let Side::Child(_) = &side {
                    lists_only(Some(State::Running));
                    assert!(context(task.ident()).is_none());
                    threads_work();
                }
                pause().await;
                (side, task)
            };
            let (side, task) = block_on(task.in_context());
            assert_eq!((ENDED.load(Ordering::SeqCst), task.state()), (1, State::Exited));
            side.finish(|| {
                assert_eq!((MINE.cloned().as_deref(), TASKS.get()), (Some("mine"), None));
                is_sound(State::Running);
                let other = async { get_thread_ctx().handle().state() };
                assert_eq!(block_on(other.in_context()), State::Running);
                assert_eq!(stats().live, 1);
            });
        });
    }

    #[test]
    fn of_a_thread_without_a_context_leaves_the_child_with_none() {
        alone(|| {
            let task = async {
                TASKS.set("before".to_owned());
                let (side, task) = (fork(), get_thread_ctx().handle());
                goes_on(&task);
                if let Side::Child(_) = &side {
                    lists_only(None);
                }
                side
            };
            block_on(task.in_context()).finish(|| {
                lists_only(None);
                MINE.set("mine".to_owned());
                is_sound(State::Running);
            });
        });
    }

    #[test]
    fn a_task_that_waits_at_the_fork_can_go_on_in_the_child_or_be_dropped() {
        alone(|| {
            let waiting = || {
                Box::pin(
                    async { (TASKS.set("before".to_owned()), pause().await, TASKS.cloned()).2 }.in_context(),
                )
            };
            let (mut one, mut two) = (waiting(), waiting());
            assert!(executor::poll_once(one.as_mut()).is_pending());
            assert!(executor::poll_once(two.as_mut()).is_pending());
            in_child(|| {
                lists_only(None);
                assert_eq!(block_on(one).as_deref(), Some("before"));
                drop(two);
                lists_only(None);
            });
        });
    }
    /// Counts its drops.
    struct Counted;

    static DROPPED: AtomicUsize = AtomicUsize::new(0);

    impl Drop for Counted {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// The reader may be anywhere when the fork comes, inside the slot as well; in the child it does not exist.
    #[test]
    fn a_reader_of_a_task_that_waits_at_the_fork_keeps_no_value_in_the_child() {
        static COUNTED: Key<Counted> = Key::new("fork", "counted");
        static OVER: AtomicBool = AtomicBool::new(false);
        const WRITES: usize = 10;
        alone(|| {
            let task = async {
                COUNTED.set(Counted);
                pause().await;
                (0..WRITES).for_each(|_| drop(COUNTED.replace(Counted)));
                DROPPED.load(Ordering::SeqCst)
            };
            let mut task = Box::pin(task.in_context());
            assert!(executor::poll_once(task.as_mut()).is_pending());
            let handle = task.handle();
            let reader = thread::spawn(move || {
                while !OVER.load(Ordering::SeqCst) {
                    drop(COUNTED.get_in(&handle));
                }
            });
            for _ in 0..100 {
                in_child(|| {
                    let std::task::Poll::Ready(dropped) = executor::poll_once(task.as_mut()) else {
                        panic!("nothing holds it up");
                    };
                    // One may be in the hands of the reader.
                    assert!(dropped >= WRITES - 1, "{dropped} of {WRITES} were dropped");
                });
            }
            OVER.store(true, Ordering::SeqCst);
            reader.join().expect("it does not panic");
        });
    }
}
