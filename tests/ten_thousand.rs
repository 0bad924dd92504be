//! What can be done again and again costs the ten-thousandth time what it cost the first: threads, descriptors, memory, time.

#![cfg(all(target_os = "linux", not(any(loom, shuttle))))]

use std::{
    fs, io, panic,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use threadctx::{DumpOptions, Key, Snapshot, dump, on_signal, panic_hook, sweep, watchdog};

use support::{counting::held, patience::patience, solo};

#[path = "support"]
mod support {
    #[expect(unsafe_code, reason = "an allocator")]
    pub(crate) mod counting;
    pub(crate) mod patience;
    #[expect(unsafe_code, reason = "calls into the C library")]
    #[allow(dead_code, reason = "this file needs a part of it")]
    pub(crate) mod solo;
}

static STEP: Key<u64> = Key::new("ten thousand", "step").debug();

const TIMES: usize = 10_000;
/// What is done once, and the sizes that lists grow to, are not counted.
const FIRST: usize = 500;
/// How many calls at either end are timed.
const TIMED: usize = 400;
/// What may stay: less than seven bytes a call.
const LEFT: isize = 64 << 10;
/// What may stay of the system's pages: stacks and what the allocator keeps, which come and go with the number of threads that happen
/// to be there at once.
const PAGES: isize = 1_024;
/// How many times as long the last calls may take as the first ones. The machine may be busier then.
const SLOWER: u32 = 3;
/// How often the last ones are timed anew if they take longer.
const AGAIN: usize = 9;

/// Does it ten thousand times, in a process of its own.
macro_rules! again_and_again {
    ($($name:ident: $what:expr;)*) => {
        $(#[test]
        fn $name() {
            match solo::begin() {
                Some(_) => {
                    panic::set_hook(Box::new(|_| ()));
                    solo::verdict(|| again_and_again(stringify!($name), $what));
                }
                None => drop(solo::run(stringify!($name), &solo::ends(0))),
            }
        })*
    };
}

again_and_again! {
    dumps_as_text: || drop(dump().to_string());
    dumps_as_json: || drop(dump().to_json());
    dumps_with_patience: || drop(DumpOptions::new().patience(Duration::from_millis(100)).take());
    differences_of_dumps: || drop(dump().since(&dump()));
    dumps_written_to_a_writer: || _ = DumpOptions::new().write_ndjson(&mut io::sink()).unwrap();
    contexts_of_threads: || thread::spawn(|| STEP.set(1)).join().unwrap();
    snapshots: || Snapshot::capture().run(|| STEP.set(2));
    sweeps: || _ = sweep();
    outlets_on_a_signal: || drop(on_signal(libc::SIGUSR2).to(|_| ()).unwrap());
    outlets_to_a_file: || drop(on_signal(libc::SIGUSR2).to_file(std::env::temp_dir().join("x.txt")).unwrap());
    watchdogs: || drop(watchdog(Duration::from_secs(60)).key(&STEP).to(|_| ()).unwrap());
    panic_hooks: || drop(panic_hook().to(io::sink()).unwrap());
    reports_of_panics: panics();
    dumps_on_a_signal: on_a_signal();
    watchdogs_with_an_alarm: alarms();
}

/// Makes the panics that are expected, with a hook that reports them.
fn panics() -> impl FnMut() {
    panic_hook().to(io::sink()).unwrap().forever();
    || drop(panic::catch_unwind(|| panic!("expected")).unwrap_err())
}

/// Makes a signal's dump, and waits for it.
fn on_a_signal() -> impl FnMut() {
    let (send, dumps) = mpsc::channel();
    on_signal(libc::SIGUSR2).to(move |dump| send.send(dump).unwrap()).unwrap().forever();
    move || {
        raise(libc::SIGUSR2);
        drop(dumps.recv().unwrap());
    }
}

/// Opens a watchdog whose alarm is due at once, waits for that and closes it.
fn alarms() -> impl FnMut() {
    || {
        let (send, alarm) = mpsc::channel();
        let watched = watchdog(Duration::ZERO).key(&STEP).to(move |_| _ = send.send(())).unwrap();
        alarm.recv().unwrap();
        drop(watched);
    }
}

#[expect(unsafe_code, reason = "a signal")]
fn raise(signal: i32) {
    // SAFETY: a number.
    assert_eq!(unsafe { libc::raise(signal) }, 0);
}

fn again_and_again(name: &str, mut what: impl FnMut()) {
    STEP.set(7);
    let mut timed = |times: usize| {
        let mut each: Vec<_> = (0..times)
            .map(|_| {
                let started = Instant::now();
                what();
                started.elapsed()
            })
            .collect();
        each.sort();
        each[times / 2]
    };
    timed(FIRST);
    let first = timed(TIMED);
    let before = (settled(), held(), resident());
    timed(TIMES - FIRST - 2 * TIMED);
    // What has grown stays so; a machine that is busy with something else does not.
    let slow = first * SLOWER * patience();
    let last = (0..AGAIN).map(|_| timed(TIMED)).find(|last| *last <= slow).unwrap_or_else(|| timed(TIMED));
    let after = (settled(), held(), resident());
    let pages = after.2 - before.2;
    println!("{name}: {first:?} at first, {last:?} at last, {} bytes, {pages} pages", after.1 - before.1);
    assert!(pages <= PAGES, "{pages} pages were left");
    assert_eq!(after.0, before.0, "threads and descriptors");
    assert!(after.1 - before.1 <= LEFT, "{} bytes were left", after.1 - before.1);
    // A panic after it all is one, too: hooks that are chained would be called one inside the other.
    assert!(panic::catch_unwind(|| panic!("expected")).is_err());
    assert!(last <= slow, "{first:?}, then {last:?}");
}

/// The pages that the process has in memory.
fn resident() -> isize {
    let sizes = fs::read_to_string("/proc/self/statm").unwrap();
    sizes.split(' ').nth(1).unwrap().parse().unwrap()
}

/// Threads and descriptors of the process, once those of what was closed are gone.
fn settled() -> [usize; 2] {
    let count = |what: &str| fs::read_dir(format!("/proc/self/{what}")).map_or(0, Iterator::count);
    let look = || [count("task"), count("fd")];
    let mut least = look();
    for _ in 0..200 {
        thread::sleep(Duration::from_millis(1));
        let now = look();
        least = [least[0].min(now[0]), least[1].min(now[1])];
    }
    least
}
