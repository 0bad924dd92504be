//! The end of the main thread, in processes of their own.
//!
//! The test harness runs tests on threads that it makes. The main thread's own end can be seen only by a program that
//! has its `main` to itself, and that is what this one does: run as a scenario it is nothing but that scenario, and run
//! as a test it is a small harness that starts itself once for each.

#![cfg(all(unix, not(loom)))]
#![no_main]

use std::{
    env,
    ffi::{c_char, c_int},
    panic::{catch_unwind, panic_any},
    thread,
};

use threadctx::{Key, contexts, exit_thread_ctx, get_thread_ctx, on_thread_exit, try_get_thread_ctx};

use at_drop::AtDrop;
use calls::{CALLS, Moment, have_another, make, remember_me};
use orderly::{OF_THE_UNSEEN, ORDERLY, fill, fill_under_eyes};
use solo::{ends, say, verdict};

#[path = "support/at_drop.rs"]
mod at_drop;
#[path = "support/calls.rs"]
#[allow(dead_code, reason = "this file needs a part of it")]
mod calls;
#[path = "support/orderly.rs"]
mod orderly;
#[path = "support/patience.rs"]
mod patience;
#[allow(dead_code, reason = "this file brings its own harness")]
#[path = "support/solo.rs"]
#[expect(unsafe_code, reason = "calls into the C library")]
mod solo;

thread_local! {
    static OLDER: AtDrop = const { AtDrop::new() };
    static YOUNGER: AtDrop = const { AtDrop::new() };
}

static KEY: Key<u8> = Key::new("teardown", "main");

/// What an exit of the main thread says where the C library runs its thread-locals' destructors.
const AT_EXIT: &[&str] = if cfg!(target_env = "musl") { &[] } else { ORDERLY };
const UNSEEN_AT_EXIT: &[&[&str]] = if cfg!(target_env = "musl") { &[] } else { OF_THE_UNSEEN };

struct Scenario {
    name: &'static str,
    status: i32,
    said: &'static [&'static [&'static str]],
    body: fn() -> c_int,
}

macro_rules! scenario {
    ($name:ident, $status:literal, $said:expr) => {
        Scenario { name: stringify!($name), status: $status, said: $said, body: $name }
    };
}

const SCENARIOS: &[Scenario] = &[
    scenario!(returning_runs_the_exit, 7, &[AT_EXIT]),
    scenario!(process_exit_runs_the_exit, 7, &[AT_EXIT]),
    scenario!(c_exit_runs_the_exit, 7, &[AT_EXIT]),
    scenario!(an_exit_of_its_own_comes_at_once_and_only_once, 0, &[ORDERLY, &["returns"]]),
    scenario!(returning_is_answered_at_every_age, 7, &[EVERY_AGE]),
    scenario!(process_exit_is_answered_at_every_age, 7, &[EVERY_AGE]),
    scenario!(c_exit_is_answered_at_every_age, 7, &[EVERY_AGE]),
    scenario!(a_younger_thread_local_finds_the_context_alive, 0, &[&["younger"]]),
    scenario!(a_thread_local_may_be_the_first_to_touch, 0, &[&["older"]]),
    scenario!(exit_handlers_of_a_process_that_never_touched_are_answered, 0, &[&["at exit"]]),
    scenario!(exit_handlers_of_a_main_thread_that_never_touched_are_answered, 7, &[&["at exit"]]),
    scenario!(exit_handlers_older_than_the_context_find_it_gone, 7, &[AT_EXIT, &["at exit"]]),
    scenario!(exit_handlers_that_panic_hooks_report_from_are_answered, 0, &[&["reported"]]),
    scenario!(process_exit_inside_with_leaves_nothing_undone, 7, &[AT_EXIT]),
    scenario!(c_exit_inside_a_scope_leaves_nothing_undone, 7, &[AT_EXIT]),
    scenario!(process_exit_inside_an_initialiser_leaves_nothing_undone, 7, &[AT_EXIT]),
    scenario!(process_exit_inside_an_exit_hook_ends_the_process, 7, &[&["hook"]]),
    scenario!(c_exit_inside_an_exit_hook_ends_the_process, 7, &[&["context hook 2", "context hook 1"]]),
    scenario!(c_exit_inside_a_hook_that_c_exit_runs_ends_the_process, 7, &[&["hook"]]),
    scenario!(exit_in_an_exit_handler_is_too_late_and_harmless, 0, &[AT_EXIT, &["at exit"]]),
    scenario!(returning_while_other_threads_use_everything, 7, UNSEEN_AT_EXIT),
];
/// The whole program: what a scenario's body gives is what `main` returns.
#[unsafe(no_mangle)]
#[expect(unsafe_code, reason = "the C library calls `main` by its name")]
extern "C" fn main(_: c_int, _: *const *const c_char) -> c_int {
    match solo::begin() {
        Some(name) => {
            let scenario = SCENARIOS.iter().find(|scenario| scenario.name == name);
            verdict(scenario.expect("the parent has the same list").body)
        }
        None => harness(),
    }
}

/// Runs the scenarios that the arguments ask for, in the manner of the usual harness.
fn harness() -> c_int {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    let wanted = |scenario: &&Scenario| {
        filter.is_none_or(|filter| {
            if has("--exact") { scenario.name == filter } else { scenario.name.contains(filter) }
        })
    };
    let scenarios: Vec<_> = SCENARIOS.iter().filter(wanted).filter(|_| !has("--ignored")).collect();
    if has("--list") {
        scenarios.iter().for_each(|scenario| println!("{}: test", scenario.name));
        return 0;
    }
    println!("\nrunning {} tests", scenarios.len());
    let failed = scenarios.iter().filter(|scenario| !passes(scenario)).count();
    println!("\ntest result: {} passed; {failed} failed\n", scenarios.len() - failed);
    if failed == 0 { 0 } else { 101 }
}

fn passes(scenario: &Scenario) -> bool {
    let Scenario { name, status, said, .. } = *scenario;
    let passed = catch_unwind(|| solo::run(name, &ends(status).saying(said))).is_ok();
    println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
    passed
}

fn process_exit<R>() -> R {
    std::process::exit(7)
}

fn c_exit<R>() -> R {
    // SAFETY: it takes a number and does not return.
    #[expect(unsafe_code, reason = "the C library's way out")]
    unsafe {
        libc::exit(7)
    }
}

fn at_exit(handler: extern "C" fn()) {
    // SAFETY: a plain function.
    #[expect(unsafe_code, reason = "a call into the C library")]
    let done = unsafe { libc::atexit(handler) };
    assert_eq!(done, 0);
}

extern "C" fn make_calls_gone() {
    verdict(|| if cfg!(target_env = "musl") { make_calls() } else { make(CALLS, Moment::Gone) });
    say("at exit");
}

extern "C" fn make_calls_now() {
    verdict(make_calls);
    say("at exit");
}

/// Makes the calls, each at the moment that it is by the crate's own word.
fn make_calls() {
    for call in CALLS {
        let at = if try_get_thread_ctx().is_ok() { Moment::Live } else { Moment::Gone };
        make(std::slice::from_ref(call), at);
    }
}

/// Has thread-locals of every age make every call as the main thread ends.
fn watch_every_age() {
    have_another();
    remember_me();
    AtDrop::put(&OLDER, || {
        make(CALLS, Moment::Gone);
        say("older");
    });
    get_thread_ctx().on_exit(|_| make(CALLS, Moment::Exiting));
    AtDrop::put(&YOUNGER, || {
        KEY.set(1);
        say("younger");
    });
    at_exit(make_calls_gone);
}

const EVERY_AGE: &[&str] =
    if cfg!(target_env = "musl") { &["at exit"] } else { &["younger", "older", "at exit"] };

fn returning_runs_the_exit() -> c_int {
    fill();
    7
}

fn process_exit_runs_the_exit() -> c_int {
    fill();
    process_exit()
}

fn c_exit_runs_the_exit() -> c_int {
    fill();
    c_exit()
}

fn an_exit_of_its_own_comes_at_once_and_only_once() -> c_int {
    fill();
    assert!(exit_thread_ctx());
    assert!(!exit_thread_ctx());
    assert!(contexts().is_empty());
    say("returns");
    0
}

fn returning_is_answered_at_every_age() -> c_int {
    watch_every_age();
    7
}

fn process_exit_is_answered_at_every_age() -> c_int {
    watch_every_age();
    process_exit()
}

fn c_exit_is_answered_at_every_age() -> c_int {
    watch_every_age();
    c_exit()
}

fn a_younger_thread_local_finds_the_context_alive() -> c_int {
    have_another();
    remember_me();
    get_thread_ctx();
    AtDrop::put(&YOUNGER, || {
        make(CALLS, Moment::Live);
        say("younger");
    });
    0
}

fn a_thread_local_may_be_the_first_to_touch() -> c_int {
    have_another();
    remember_me();
    AtDrop::put(&OLDER, || {
        make(CALLS, Moment::Live);
        say("older");
    });
    0
}

fn exit_handlers_of_a_process_that_never_touched_are_answered() -> c_int {
    at_exit(make_calls_now);
    0
}

fn exit_handlers_of_a_main_thread_that_never_touched_are_answered() -> c_int {
    have_another();
    remember_me();
    at_exit(make_calls_now);
    process_exit()
}

fn exit_handlers_older_than_the_context_find_it_gone() -> c_int {
    have_another();
    remember_me();
    at_exit(make_calls_gone);
    fill();
    c_exit()
}

fn exit_handlers_that_panic_hooks_report_from_are_answered() -> c_int {
    extern "C" fn panics() {
        drop(catch_unwind(|| panic_any(1)));
    }
    std::panic::set_hook(Box::new(|_| {
        drop((get_thread_ctx().handle(), threadctx::dump()));
        say("reported");
    }));
    at_exit(panics);
    0
}

fn process_exit_inside_with_leaves_nothing_undone() -> c_int {
    fill();
    KEY.set(1);
    KEY.with(|_| process_exit::<()>());
    0
}

fn c_exit_inside_a_scope_leaves_nothing_undone() -> c_int {
    fill();
    KEY.scope(1, c_exit)
}

fn process_exit_inside_an_initialiser_leaves_nothing_undone() -> c_int {
    fill();
    c_int::from(*KEY.get_or_init(process_exit))
}

/// The hook never returns, so that what comes after it in that exit is left undone.
fn process_exit_inside_an_exit_hook_ends_the_process() -> c_int {
    fill();
    get_thread_ctx().on_exit(|_| {
        say("hook");
        process_exit()
    });
    exit_thread_ctx();
    0
}

fn c_exit_inside_an_exit_hook_ends_the_process() -> c_int {
    fill();
    on_thread_exit(|_| c_exit()).forever();
    exit_thread_ctx();
    0
}

fn c_exit_inside_a_hook_that_c_exit_runs_ends_the_process() -> c_int {
    get_thread_ctx().on_exit(|_| {
        say("hook");
        c_exit()
    });
    c_exit()
}

fn exit_in_an_exit_handler_is_too_late_and_harmless() -> c_int {
    extern "C" fn exits() {
        verdict(|| assert!(!exit_thread_ctx()));
        say("at exit");
    }
    at_exit(exits);
    fill();
    0
}

fn returning_while_other_threads_use_everything() -> c_int {
    static BUSY: Key<u64> = Key::new("teardown", "busy").debug().keep_total(|one, other| one + other);
    let (send, wait) = std::sync::mpsc::channel();
    for _ in 0..6 {
        let send = send.clone();
        thread::spawn(move || {
            for round in 0.. {
                BUSY.set(round);
                drop((BUSY.total(), contexts(), BUSY.iter().count(), threadctx::dump().to_json()));
                exit_thread_ctx();
                let _ = send.send(());
            }
        });
    }
    wait.iter().take(50).for_each(drop);
    fill_under_eyes();
    7
}
