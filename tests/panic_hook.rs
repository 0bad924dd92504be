//! The panic hook: what it says, wherever the panic comes from, and that it neither panics, blocks nor gives secrets away.

#![cfg(all(unix, not(any(loom, shuttle))))]

use std::{
    fmt, io,
    panic::{self, catch_unwind, panic_any},
    sync::{
        Arc, Barrier, Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use threadctx::{Key, dump, get_thread_ctx, on_thread_exit, on_thread_start, panic_hook, stats};

use at_drop::AtDrop;
use forks::in_child;
use pthread::{Pthread, at_key_drop, rounds};
use solo::{alone, ends, saying};

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

static STEP: Key<u32> = Key::new("job", "step").debug();
static TOKEN: Key<String> = Key::new("auth", "token").secret();

const REPORT: &str = "threadctx: panic in ";

fn reports(text: &str) -> usize {
    text.matches(REPORT).count()
}

/// Runs `body`, which panics, on a thread of this name.
fn panicking(name: &str, body: impl FnOnce() + Send + 'static) {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(body).expect("there is room");
    assert!(thread.join().is_err(), "it was to panic");
}

fn install() {
    panic_hook().to_stderr().expect("it can be installed").forever();
}

/// So long that a test sees it if somebody waits for it.
const LONG: Duration = Duration::from_secs(30);

fn install_patient() {
    panic_hook().budget(LONG).to_stderr().expect("it can be installed").forever();
}

#[test]
fn the_panicking_threads_context_comes_first_then_a_line_for_each_other() {
    let body = || {
        install();
        let (ready, wait) = mpsc::channel();
        let (_end, over) = mpsc::channel::<()>();
        thread::Builder::new()
            .name("other".to_owned())
            .spawn(move || {
                STEP.set(1);
                ready.send(()).expect("we wait");
                let _ = over.recv();
            })
            .expect("there is room");
        wait.recv().expect("it comes");
        TOKEN.set("hunter2".to_owned());
        panicking("worker", || {
            STEP.set(7);
            TOKEN.set("hunter2".to_owned());
            panic!("what was the matter");
        });
    };
    ends(0).alone_then(body, |text| {
        let order = [
            r#"threadctx: panic in "worker"  ThreadId("#,
            "  at tests/panic_hook.rs:",
            "\n\"worker\"  ThreadId(",
            "    auth.token = <secret String>",
            "    job.step   = 7",
            "\n2 others:\n",
            "\"other\"  ThreadId(",
            "  1 value  last write ",
            "\"the_panicking_threads",
            "  1 value  last write ",
            // The hook that was there before.
            "what was the matter",
        ];
        let mut rest = text;
        for part in order {
            let at = rest.find(part).unwrap_or_else(|| panic!("no {part:?}, or not in its place:\n{text}"));
            rest = &rest[at + part.len()..];
        }
        assert_eq!(reports(text), 1);
        assert!(!text.contains("hunter2"), "{text}");
        assert!(!text.contains("job.step   = 1"), "the others come without values: {text}");
    });
}

#[test]
fn a_thread_without_a_context_is_reported_without_being_given_one() {
    let body = || {
        install();
        panicking("stranger", || panic_any(1));
        assert_eq!(stats().registered, 0);
    };
    ends(0).alone_then(body, |text| assert!(text.contains("panic in a thread without context"), "{text}"));
}

/// Panics when it drops, once in a `Drop` that nobody has to survive.
struct Panics;

impl Drop for Panics {
    fn drop(&mut self) {
        if !thread::panicking() {
            panic_any("drop");
        }
    }
}

/// Panics as it is rendered.
struct Unfit;

impl fmt::Debug for Unfit {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic_any("render")
    }
}

/// What panics, each in the middle of something of ours, on a thread with a context. Whether the panic is contained is not
/// the hook's.
const MOMENTS: &[fn()] = &[
    || STEP.with(|_| panic_any("with")).expect("it is there"),
    || {
        STEP.update(|_| panic_any::<&str>("update"));
    },
    || STEP.scope(9, || panic_any("scope")),
    || {
        let _scope = STEP.enter(9);
        panic_any("enter");
    },
    || {
        static INIT: Key<u8> = Key::new("panics", "init").init(|| panic_any("init"));
        INIT.get();
    },
    || {
        static FIRST: Key<u8> = Key::new("panics", "first");
        FIRST.get_or_init(|| panic_any("first"));
    },
    || {
        let _ = get_thread_ctx().namespace("panics").get_or_insert_with::<u8>("made", || panic_any("made"));
    },
    || {
        static CLASH: Key<u8> = Key::new("panics", "clash");
        get_thread_ctx().namespace("panics").insert("clash", "no number").expect("the name is free");
        CLASH.get();
    },
    || {
        static DROPPED: Key<Panics> = Key::new("panics", "dropped");
        DROPPED.set(Panics);
        DROPPED.set(Panics);
    },
    || {
        static CLEARED: Key<Panics> = Key::new("panics", "cleared");
        CLEARED.set(Panics);
        get_thread_ctx().clear();
        STEP.set(7);
        panic_any("clear");
    },
    || {
        get_thread_ctx().on_exit(|_| panic_any("on_exit"));
        panic_any("before its exit");
    },
    || {
        static HOOKED: Key<u8> = Key::new("panics", "hooked").on_exit(|_| panic_any("key's hook"));
        HOOKED.set(1);
        panic_any("before its exit");
    },
    || {
        // In a hook for the exit, which reads, writes and dumps.
        static AGAIN: Key<u8> = Key::new("panics", "again").on_exit(|_| {
            STEP.with(|_| dump().to_string());
            panic_any("in the middle")
        });
        AGAIN.set(1);
        panic_any("before its exit");
    },
];

#[test]
fn it_works_in_the_middle_of_every_call() {
    let body = || {
        install();
        for (number, moment) in MOMENTS.iter().enumerate() {
            panicking(&format!("moment-{number}"), || {
                STEP.set(7);
                moment();
            });
        }
    };
    ends(0).alone_then(body, |text| {
        for number in 0..MOMENTS.len() {
            let report = format!("\"moment-{number}\"");
            let mut reports = text.split(REPORT).filter(|text| text.starts_with(&report)).peekable();
            assert!(reports.peek().is_some(), "moment {number} is not reported:\n{text}");
            assert!(reports.any(|text| text.contains("    job.step")), "moment {number}: no values:\n{text}");
        }
        // Those that panic again in their exit, and the one that drops two.
        assert!(reports(text) >= MOMENTS.len() + 3, "{} reports:\n{text}", reports(text));
    });
}

#[test]
fn it_works_in_hooks_for_all_threads_and_in_renderers() {
    let body = || {
        install();
        let start = on_thread_start(|_| panic_any("start"));
        thread::spawn(|| STEP.set(1)).join().expect("it is contained");
        drop(start);
        let exit = on_thread_exit(|_| panic_any("exit"));
        thread::spawn(|| STEP.set(2)).join().expect("it is contained");
        drop(exit);
        get_thread_ctx().namespace("panics").insert("unfit", Unfit).expect("the name is free");
        assert!(dump().to_string().contains("<panicked"));
    };
    ends(0).alone_then(body, |text| {
        assert_eq!(reports(text), 3, "{text}");
        assert!(text.contains("exiting"), "{text}");
    });
}

thread_local! {
    static OLDER: AtDrop = const { AtDrop::new() };
    static YOUNGER: AtDrop = const { AtDrop::new() };
}

/// A panic in a destructor of a thread-local must not leave it.
fn contained(payload: &'static str) {
    drop(catch_unwind(|| panic_any(payload)));
}

#[test]
fn it_works_in_destructors_of_thread_locals_before_and_after_the_exit() {
    let body = || {
        install();
        let touch = || {
            AtDrop::put(&OLDER, || contained("older"));
            STEP.set(7);
            AtDrop::put(&YOUNGER, || contained("younger"));
        };
        thread::spawn(touch).join().expect("it is contained");
        Pthread::start(touch).join();
    };
    ends(0).alone_then(body, |text| {
        assert_eq!(reports(text), 4, "{text}");
        assert_eq!(text.matches("panic in a thread without context").count(), 2, "{text}");
        assert_eq!(text.matches("job.step = 7").count(), 2, "{text}");
    });
}

#[test]
fn it_works_in_every_round_of_the_destructors_of_pthread_keys() {
    let body = || {
        install();
        for with_context in [false, true] {
            let body = move || {
                if with_context {
                    STEP.set(7);
                }
                at_key_drop(rounds(), |_| contained("round"));
            };
            Pthread::start(body).join();
            thread::spawn(body).join().expect("it is contained");
        }
    };
    ends(0).alone_then(body, |text| assert_eq!(reports(text), 4 * rounds() as usize, "{text}"));
}

#[test]
fn a_renderer_that_panics_inside_it_is_contained() {
    let body = || {
        install();
        panicking("worker", || {
            get_thread_ctx().namespace("panics").insert("unfit", Unfit).expect("the name is free");
            STEP.set(7);
            panic_any("first");
        });
    };
    ends(0).alone_then(body, |text| {
        assert!(text.contains("panics.unfit = <panicked: render>"), "{text}");
        assert!(text.contains("job.step"), "{text}");
        assert_eq!(reports(text), 1, "the renderer's panic is no report of its own: {text}");
    });
}

/// Is rendered under a lock.
struct Guarded(Arc<Mutex<u32>>);

impl fmt::Debug for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.lock())
    }
}

#[test]
fn a_renderer_that_waits_for_a_lock_of_the_panicking_thread_does_not_keep_it() {
    let body = || {
        install();
        let lock = Arc::new(Mutex::new(1));
        for _ in 0..2 {
            let lock = Arc::clone(&lock);
            panicking("worker", move || {
                let guarded = Guarded(Arc::clone(&lock));
                get_thread_ctx().namespace("panics").insert("guarded", guarded).expect("the name is free");
                STEP.set(7);
                let _held = lock.lock();
                panic_any("with the lock held");
            });
        }
    };
    ends(0).alone_then(body, |text| {
        assert_eq!(reports(text), 2, "{text}");
        assert_eq!(text.matches("panics.guarded = <busy: its renderer does not end>").count(), 2, "{text}");
        assert_eq!(text.matches("job.step       = 7").count(), 2, "{text}");
    });
}

#[test]
fn a_thread_that_has_standard_error_locked_is_reported() {
    let body = || {
        let begun = Instant::now();
        install_patient();
        panicking("worker", || {
            STEP.set(7);
            let _locked = io::stderr().lock();
            panic_any("locked");
        });
        assert!(begun.elapsed() < LONG, "the report waited for the lock");
    };
    ends(0).alone_then(body, |text| assert!(text.contains("job.step = 7"), "{text}"));
}

/// A writer that keeps what it is given.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("nobody panics here").clone()).expect("it is text")
    }
}

impl io::Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("nobody panics here").extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_hook_that_was_there_is_called_each_time_and_after_it() {
    alone(|| {
        static CALLS: AtomicUsize = AtomicUsize::new(0);
        static KEPT: OnceLock<Kept> = OnceLock::new();
        let kept = KEPT.get_or_init(Kept::default);
        panic::set_hook(Box::new(|info| {
            assert_eq!(info.payload().downcast_ref(), Some(&"said"));
            let calls = CALLS.fetch_add(1, Ordering::SeqCst);
            assert_eq!(reports(&KEPT.get().expect("it is there").text()), calls + 1);
        }));
        let guard = panic_hook().to(kept.clone()).expect("it can be installed");
        panicking("worker", || panic_any("said"));
        panicking("worker", || panic_any("said"));
        assert_eq!(CALLS.load(Ordering::SeqCst), 2);
        drop(guard);
        panic::set_hook(Box::new(|_| ()));
        panicking("worker", || panic_any("said"));
        assert_eq!(reports(&kept.text()), 2);
    });
}

#[test]
fn a_guard_that_drops_ends_its_own_hook_and_no_other() {
    alone(|| {
        let (first, second) = (Kept::default(), Kept::default());
        let guard = panic_hook().to(first.clone()).expect("it can be installed");
        panic_hook().to(second.clone()).expect("it can be installed").forever();
        panicking("worker", || panic_any(1));
        drop(guard);
        panicking("worker", || panic_any(2));
        assert_eq!((reports(&first.text()), reports(&second.text())), (1, 2));
    });
}

#[test]
fn it_is_not_installed_by_a_thread_that_panics_and_its_guard_may_drop_there() {
    alone(|| {
        struct Installs;
        impl Drop for Installs {
            fn drop(&mut self) {
                let refused = panic_hook().to_stderr().expect_err("std would panic");
                assert!(refused.to_string().contains("panicking"), "{refused}");
            }
        }
        panicking("worker", || {
            let _guard = panic_hook().to(Kept::default()).expect("it can be installed");
            let _installs = Installs;
            panic_any(1);
        });
    });
}

#[test]
fn a_writer_that_panics_is_contained_and_asked_again() {
    alone(|| {
        struct Bad(Kept);
        impl io::Write for Bad {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.write(bytes)?;
                panic_any("write")
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let kept = Kept::default();
        panic_hook().to(Bad(kept.clone())).expect("it can be installed").forever();
        panicking("worker", || panic_any(1));
        panicking("worker", || panic_any(2));
        assert_eq!((reports(&kept.text()), stats().hook_panics), (2, 2));
    });
}

/// The panicking thread waits for its time and no longer, and the next one not at all.
#[test]
fn a_writer_that_does_not_come_back_keeps_nobody() {
    let body = || {
        struct Stuck(mpsc::Receiver<()>);
        impl io::Write for Stuck {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                self.0.recv().map_err(io::Error::other)?;
                Ok(0)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (_never, stuck) = mpsc::channel();
        let hook = panic_hook().budget(Duration::from_millis(20));
        hook.to(Stuck(stuck)).expect("it can be installed").forever();
        let begun = Instant::now();
        for _ in 0..20 {
            panicking("worker", || {
                STEP.set(7);
                panic_any(1);
            });
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    };
    ends(0).alone_then(body, |text| {
        assert_eq!(reports(text), 19, "the first one is on its way out, as far as anybody knows: {text}");
        assert_eq!(text.matches("(values omitted").count(), 19, "{text}");
    });
}

#[test]
fn threads_that_panic_at_once_are_each_reported_in_one_piece() {
    let kept = Kept::default();
    alone(|| {
        const THREADS: usize = 8;
        panic_hook().to(kept.clone()).expect("it can be installed").forever();
        let barrier = Arc::new(Barrier::new(THREADS));
        let threads: Vec<_> = (0..THREADS)
            .map(|number| {
                let barrier = Arc::clone(&barrier);
                thread::spawn(move || {
                    STEP.set(number as u32);
                    barrier.wait();
                    panic_any(number);
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| drop(thread.join()));
        let text = kept.text();
        let each: Vec<_> = text.split(REPORT).skip(1).collect();
        assert_eq!(each.len(), THREADS);
        for number in 0..THREADS {
            let value = format!("job.step = {number}");
            assert_eq!(each.iter().filter(|report| report.contains(&value)).count(), 1, "{text}");
        }
    });
}

#[test]
fn a_forked_child_reports_without_values_and_its_guard_may_drop() {
    let body = || {
        // A child that waits for the thread that it does not have is ended by its alarm.
        let guard = panic_hook().budget(LONG).to_stderr().expect("it can be installed");
        STEP.set(7);
        in_child(|| {
            contained("in the child");
            drop(guard);
            contained("unheard");
        });
    };
    ends(0).alone_then(body, |text| {
        assert_eq!(reports(text), 1, "{text}");
        assert!(text.contains("(values omitted") && text.contains("1 value"), "{text}");
    });
}

#[test]
fn limits_are_kept_and_said() {
    alone(|| {
        let (ready, wait) = mpsc::channel();
        let (end, over) = mpsc::channel::<()>();
        let over = Arc::new(Mutex::new(over));
        for _ in 0..10 {
            let (ready, over) = (ready.clone(), Arc::clone(&over));
            thread::spawn(move || {
                STEP.set(1);
                ready.send(()).expect("we wait");
                drop(over.lock().map(|over| over.recv()));
            });
        }
        (0..10).for_each(|_| wait.recv().expect("it comes"));
        let kept = Kept::default();
        let hook = panic_hook().max_contexts(3).max_value_bytes(4).budget(Duration::from_secs(5));
        hook.to(kept.clone()).expect("it can be installed").forever();
        panicking("worker", || {
            get_thread_ctx().namespace("panics").insert("long", "x".repeat(100)).expect("the name is free");
            panic_any(1);
        });
        let text = kept.text();
        assert!(text.contains("\n10 others:\n") && text.contains("\nand 7 more, left out\n"), "{text}");
        assert_eq!(text.matches("1 value").count(), 3, "{text}");
        assert!(text.contains("\"xxx\u{2026}"), "{text}");
        drop(end);
    });
}

#[test]
fn it_takes_no_context_and_gives_a_renderers_back() {
    saying(&[&["exit of a renderer's"]]).alone(|| {
        struct Touches;
        impl fmt::Debug for Touches {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                get_thread_ctx().on_exit(|_| solo::say("exit of a renderer's"));
                write!(f, "touched")
            }
        }
        let kept = Kept::default();
        panic_hook().to(kept.clone()).expect("it can be installed").forever();
        panicking("worker", || panic_any(1));
        assert_eq!(stats().registered, 0);
        panicking("worker", || {
            get_thread_ctx().namespace("panics").insert("touches", Touches).expect("the name is free");
            panic_any(1);
        });
        while stats().live > 0 {
            thread::yield_now();
        }
        assert!(kept.text().contains("panics.touches = touched"));
    });
}

/// Standard error of this process becomes a pipe that takes nothing more. Gives the end to read from.
#[expect(unsafe_code, reason = "calls into the C library")]
fn fill_standard_error() -> i32 {
    let mut ends = [0; 2];
    // SAFETY: the pointer is to two numbers.
    assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);
    // SAFETY: two numbers.
    unsafe { libc::fcntl(ends[1], libc::F_SETFL, libc::O_NONBLOCK) };
    for piece in [4_096, 1] {
        // SAFETY: the pointer and the length are those of the bytes.
        while unsafe { libc::write(ends[1], [0_u8; 4_096].as_ptr().cast(), piece) } > 0 {}
    }
    // SAFETY: two numbers.
    unsafe { libc::fcntl(ends[1], libc::F_SETFL, 0) };
    // SAFETY: two numbers.
    assert_eq!(unsafe { libc::dup2(ends[1], libc::STDERR_FILENO) }, libc::STDERR_FILENO);
    ends[0]
}

#[test]
fn a_full_standard_error_holds_no_panicking_thread_for_longer_than_it_is_said() {
    alone(|| {
        panic::set_hook(Box::new(|_| ()));
        install();
        fill_standard_error();
        get_thread_ctx();
        for number in 1..=3 {
            let started = Instant::now();
            panicking("held", || {
                STEP.set(7);
                panic!("expected");
            });
            let took = started.elapsed();
            assert!(
                took < Duration::from_millis(1_500) * patience::patience(),
                "panic {number} took {took:?}"
            );
        }
        // The thread that prints notices a little later that it cannot.
        while stats().reports_cut < 3 {
            thread::yield_now();
        }
    });
}

#[test]
fn a_writer_that_hangs_and_a_full_standard_error_hold_no_panicking_thread_either() {
    struct Hangs;
    impl io::Write for Hangs {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            loop {
                thread::park();
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    alone(|| {
        panic::set_hook(Box::new(|_| ()));
        panic_hook().to(Hangs).expect("it can be installed").forever();
        fill_standard_error();
        for _ in 0..3 {
            let started = Instant::now();
            let storm: Vec<_> = (0..4).map(|_| thread::spawn(|| panic!("expected"))).collect();
            storm.into_iter().for_each(|thread| assert!(thread.join().is_err()));
            assert!(started.elapsed() < Duration::from_secs(2) * patience::patience());
        }
        assert!(stats().reports_cut >= 8);
    });
}

/// A renderer's panic, on the thread that prints, is the previous hook's to tell of as any other.
#[test]
fn the_hook_that_was_there_is_told_of_a_renderers_panic() {
    struct Panics;
    impl fmt::Debug for Panics {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic_any("the renderer's")
        }
    }
    static VALUE: Key<Panics> = Key::new("job", "panics").debug();
    static TOLD: Mutex<Vec<&str>> = Mutex::new(Vec::new());
    alone(|| {
        panic::set_hook(Box::new(|info| {
            let payload = info.payload().downcast_ref().copied().unwrap_or("another");
            TOLD.lock().unwrap().push(payload);
        }));
        install();
        for _ in 0..2 {
            panicking("renders", || {
                VALUE.set(Panics);
                panic_any("the thread's")
            });
        }
        let told = TOLD.lock().unwrap().clone();
        assert_eq!(told, ["the renderer's", "the thread's", "the renderer's", "the thread's"]);
    });
}

/// Lines about other threads ask the system about each: they are written as long as there is time, and the rest is counted.
#[test]
fn a_budget_bounds_the_lines_about_others_too() {
    let body = || {
        panic_hook().budget(Duration::ZERO).to_stderr().expect("it can be installed").forever();
        with_many_others(|| panicking("late", || panic!("expected")));
    };
    ends(0).alone_then(body, |text| assert!(text.contains("and 100 more, left out"), "{text}"));
}

/// No deadline can be worked out from it.
#[test]
fn a_budget_without_end_is_one_too() {
    let body = || {
        panic_hook().budget(Duration::MAX).to_stderr().expect("it can be installed").forever();
        panicking("endless", || {
            STEP.set(7);
            panic!("expected");
        });
        assert_eq!(stats().hook_panics, 0);
    };
    ends(0).alone_then(body, |text| assert!(text.contains("job.step = 7"), "{text}"));
}

/// Contexts whose lines make a report as long as a page.
fn with_many_others(code: impl FnOnce()) {
    let (over, wait) = mpsc::channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let begun = Arc::new(Barrier::new(101));
    let others: Vec<_> = (0..100)
        .map(|_| {
            let (wait, begun) = (Arc::clone(&wait), Arc::clone(&begun));
            thread::spawn(move || {
                get_thread_ctx();
                begun.wait();
                let _ = wait.lock().unwrap().recv();
            })
        })
        .collect();
    begun.wait();
    code();
    drop(over);
    others.into_iter().for_each(|other| other.join().unwrap());
}

/// Never comes back from a write.
struct Waits;

impl io::Write for Waits {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        loop {
            thread::park();
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A pipe tells each of several writers that it takes something, though it has room for one of them only.
#[expect(unsafe_code, reason = "calls into the C library")]
#[test]
fn threads_that_write_at_once_to_a_standard_error_with_little_room_are_not_held() {
    alone(|| {
        panic::set_hook(Box::new(|_| ()));
        panic_hook().budget(Duration::ZERO).to(Waits).expect("it can be installed").forever();
        let read = fill_standard_error();
        // It wakes all that wait to write, and has room for one.
        let take_a_page = || {
            let mut page = [0_u8; 4_096];
            // SAFETY: the pointer and the length are those of the page.
            assert!(unsafe { libc::read(read, page.as_mut_ptr().cast(), page.len()) } > 0);
        };
        with_many_others(|| {
            for _ in 0..4 {
                let started = Instant::now();
                let storm: Vec<_> = (0..16).map(|_| thread::spawn(|| panic!("expected"))).collect();
                // By now they wait, and none has given up yet.
                thread::sleep(Duration::from_millis(60));
                take_a_page();
                storm.into_iter().for_each(|thread| assert!(thread.join().is_err()));
                let took = started.elapsed();
                assert!(took < Duration::from_secs(3) * patience::patience(), "{took:?}");
            }
        });
    });
}

/// Has standard error be a terminal. Gives its other side.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "calls into the C library")]
fn terminal() -> std::fs::File {
    use std::os::fd::AsRawFd;
    let open = |path: &str| std::fs::OpenOptions::new().read(true).write(true).open(path);
    let master = open("/dev/ptmx").expect("the system has terminals to give");
    let mut name = [0; 64];
    // SAFETY: a number.
    assert_eq!(unsafe { libc::unlockpt(master.as_raw_fd()) }, 0);
    // SAFETY: the pointer and the length are those of the buffer.
    assert_eq!(unsafe { libc::ptsname_r(master.as_raw_fd(), name.as_mut_ptr(), name.len()) }, 0);
    // SAFETY: the call has put a text there that ends with a zero.
    let name = unsafe { std::ffi::CStr::from_ptr(name.as_ptr()) };
    let slave = open(name.to_str().expect("a path")).expect("it is unlocked");
    // SAFETY: two numbers.
    assert_eq!(unsafe { libc::dup2(slave.as_raw_fd(), libc::STDERR_FILENO) }, libc::STDERR_FILENO);
    master
}

/// The other side of the terminal does not read, as that of a session that was suspended; and then no descriptor is left to
/// open it once more with.
#[cfg(target_os = "linux")]
#[test]
fn a_terminal_that_takes_nothing_holds_no_panicking_thread() {
    alone(|| {
        panic::set_hook(Box::new(|_| ()));
        let _master = terminal();
        panic_hook().budget(Duration::ZERO).to(Waits).expect("it can be installed").forever();
        with_many_others(|| {
            for has_descriptors in [true, true, false, false, false] {
                let taken = (!has_descriptors).then(take_descriptors);
                let started = Instant::now();
                panicking("held", || panic!("expected"));
                let took = started.elapsed();
                assert!(took < Duration::from_millis(1_500) * patience::patience(), "{took:?}");
                drop(taken);
            }
        });
        // The thread that prints notices a little later that it cannot.
        while stats().reports_cut == 0 {
            thread::yield_now();
        }
    });
}

/// All descriptors that this process may have.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "calls into the C library")]
fn take_descriptors() -> Vec<std::fs::File> {
    let limit = libc::rlimit { rlim_cur: 64, rlim_max: 64 };
    // SAFETY: the pointer is to a limit of ours.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
    std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect()
}

#[cfg(target_os = "linux")]
#[test]
fn a_terminal_gets_all_of_each_report_also_when_no_descriptor_is_left() {
    alone(|| {
        panic::set_hook(Box::new(|_| ()));
        let mut master = terminal();
        panic_hook().to_stderr().expect("it can be installed").forever();
        let (send, pieces) = mpsc::channel();
        thread::spawn(move || {
            let mut piece = [0; 4_096];
            while let Ok(length) = io::Read::read(&mut master, &mut piece) {
                let _ = send.send(String::from_utf8_lossy(&piece[..length]).into_owned());
            }
        });
        with_many_others(|| {
            for has_descriptors in [true, false] {
                let taken = (!has_descriptors).then(take_descriptors);
                panicking("seen", || panic!("expected"));
                let mut report = String::new();
                while report.matches("ThreadId(").count() < 100 {
                    report += &pieces.recv_timeout(Duration::from_secs(20)).expect("it goes on");
                }
                drop(taken);
            }
        });
        assert_eq!(stats().reports_cut, 0);
    });
}

/// However many others there are, and whatever their names, which a client may have given.
#[test]
fn a_report_has_a_limit_in_bytes_and_says_what_it_leaves_out() {
    let body = || {
        panic_hook().max_bytes(4_000).to_stderr().expect("it can be installed").forever();
        with_many_others(|| {
            panicking("whole", || {
                get_thread_ctx().namespace("limit").insert("long", "x".repeat(900)).unwrap();
                panic!("expected");
            });
        });
    };
    ends(0).alone_then(body, |text| {
        let report = &text[text.find("threadctx: panic in").expect("it comes")..];
        let (report, _) = report.split_once(", left out").expect("some do not fit");
        assert!((3_800..4_100).contains(&report.len()), "{} bytes", report.len());
        assert!(report.contains("limit.long"), "{report}");
        let (others, left_out) = report.rsplit_once("and ").expect("a number");
        let (_, others) = others.split_once(" others:\n").expect("a heading");
        let left_out: usize = left_out.trim_end_matches(" more").parse().expect("a number");
        assert_eq!(others.lines().count() + left_out, 100, "{report}");
    });
}

/// Notes when it is written to.
struct Notes(mpsc::Sender<&'static str>, &'static str);

impl io::Write for Notes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.0.send(self.1);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// As in std's chain, whatever hooks of the program's stand between ours.
#[test]
fn the_hook_that_was_opened_last_reports_first() {
    alone(|| {
        let (send, order) = mpsc::channel();
        let open = |name| panic_hook().to(Notes(send.clone(), name)).expect("it can be installed");
        let programs = |name| {
            let (send, before) = (Mutex::new(send.clone()), panic::take_hook());
            panic::set_hook(Box::new(move |info| {
                let _ = send.lock().unwrap().send(name);
                before(info);
            }));
        };
        let order = || {
            panicking("worker", || panic_any(1));
            let mut order: Vec<_> = order.try_iter().collect();
            order.dedup();
            order
        };
        programs("program's first");
        let _one = open("one");
        let two = open("two");
        assert_eq!(order(), ["two", "one", "program's first"]);
        drop(two);
        let _three = open("three");
        assert_eq!(order(), ["three", "one", "program's first"]);
        programs("program's second");
        let _four = open("four");
        let _five = open("five");
        assert_eq!(order(), ["five", "four", "program's second", "three", "one", "program's first"]);
    });
}

#[test]
fn a_report_that_leaves_nothing_out_says_nothing_of_it() {
    let body = || {
        install();
        with_many_others(|| panicking("whole", || panic!("expected")));
    };
    ends(0).alone_then(body, |text| {
        assert!(text.contains("\n100 others:\n") && !text.contains("left out"), "{text}");
    });
}
