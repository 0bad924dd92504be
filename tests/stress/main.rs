//! Threads come and go while others read, iterate, dump, fork and change hooks, and the user's code panics in between.
//!
//! `THREADCTX_STRESS_SECONDS` says for how long (2 unless set), `THREADCTX_STRESS_SEED` with which choices; how the threads
//! take turns is the system's choice. Time is cut into rounds. All threads of a round end with it, so that what they left
//! can be counted to the last value.

#![cfg(not(loom))]

use std::{
    env, process,
    sync::{
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use census::CENSUS;
use report::{Op, check};
use support::random::Random;
use threadctx::{contexts, stats};

mod census;
mod owners;
mod readers;
mod report;
mod values;

#[path = "../support"]
mod support {
    #[expect(unsafe_code, reason = "an allocator")]
    pub(crate) mod counting;
    #[cfg(unix)]
    #[expect(unsafe_code, reason = "calls into the C library")]
    pub(crate) mod foreign;
    #[cfg(unix)]
    #[expect(unsafe_code, reason = "calls into the C library")]
    #[allow(dead_code, reason = "half of it is for other tests")]
    pub(crate) mod forks;
    pub(crate) mod patience;
    pub(crate) mod random;
    #[cfg_attr(unix, expect(unsafe_code, reason = "calls into the C library"))]
    #[allow(dead_code, reason = "most of it is for other tests")]
    pub(crate) mod solo;
}

const ROUND: Duration = Duration::from_millis(500);
/// The rounds after which memory must not grow any more.
const WARM_UP: usize = 2;
/// By what it may differ from round to round all the same: some hundred threads' worth of what std and the C library keep.
const SLACK: isize = 64 << 10;

/// Says when the round is over.
static OVER: AtomicBool = AtomicBool::new(false);
/// How many threads may be reading others' values.
static READING: AtomicUsize = AtomicUsize::new(0);

fn goes_on() -> bool {
    !OVER.load(Ordering::Relaxed)
}

fn setting(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

fn seed_of_the_day() -> u64 {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    Random::new(since.as_nanos() as u64 ^ u64::from(process::id())).next()
}

/// Runs one of the three that read.
fn reading(role: fn(Random), random: Random) {
    role(random);
    READING.fetch_sub(1, Ordering::SeqCst);
}

/// One round: everybody at once, until the time is over.
fn round(random: &mut Random) {
    OVER.store(false, Ordering::Relaxed);
    READING.store(3, Ordering::SeqCst);
    let mut roles: Vec<fn(Random)> = vec![
        owners::crowd,
        owners::crowd,
        owners::steady,
        owners::hooks,
        |random| reading(readers::reader, random),
        |random| reading(readers::reader, random),
        |random| reading(readers::dumper, random),
    ];
    #[cfg(unix)]
    roles.push(readers::forker);
    let threads: Vec<_> = roles
        .into_iter()
        .map(|role| {
            let random = Random::new(random.next());
            thread::spawn(move || role(random))
        })
        .collect();
    let (_never, wait) = mpsc::channel::<()>();
    let _ = wait.recv_timeout(ROUND);
    OVER.store(true, Ordering::Relaxed);
    for thread in threads {
        check(thread.join().is_ok(), || "a thread of the test itself has panicked".to_owned());
    }
}

/// With every thread of a round over: nothing is left, and the sums are exact. Says how many bytes are held.
fn settle() -> isize {
    // What merges that failed left apart is merged by those who exit next.
    (0..3).for_each(|_| thread::spawn(owners::add_nothing).join().expect("it adds nothing"));
    check(contexts().is_empty(), || format!("contexts are left: {:?}", contexts()));
    let (live, registered, exited) = (stats().live, stats().registered, stats().exited);
    check(live == 0 && registered == exited, || format!("{live} live, {registered} came, {exited} went"));
    check(CENSUS.is_empty(), || "the test has lost a thread".to_owned());
    check(values::alive() == 0, || format!("{} values are left", values::alive()));
    owners::check_sums();
    report::check_faults();
    support::counting::held()
}

/// Runs rounds for so long; gives the bytes held after each.
fn run(length: Duration, seed: u64) -> Vec<isize> {
    let mut random = Random::new(seed);
    let begin = Instant::now();
    let mut held = Vec::with_capacity(1 << 12);
    while report::is_clean() && (held.len() <= WARM_UP || begin.elapsed() < length) {
        round(&mut random);
        held.push(settle());
        report::count(Op::Rounds, 1);
    }
    held
}

#[test]
fn nothing_is_lost_torn_stale_or_left_while_threads_come_and_go() {
    let seconds = setting("THREADCTX_STRESS_SECONDS").unwrap_or(2);
    let seed = setting("THREADCTX_STRESS_SEED").unwrap_or_else(seed_of_the_day);
    println!("THREADCTX_STRESS_SECONDS={seconds} THREADCTX_STRESS_SEED={seed}");
    values::hush();
    let (done, wait) = mpsc::channel();
    thread::spawn(move || done.send(run(Duration::from_secs(seconds), seed)));
    let held = wait.recv_timeout(Duration::from_secs(seconds + 120));
    let held = held.unwrap_or_else(|_| panic!("seed {seed}: it hangs, or the test itself has panicked"));
    let warm = *held[..held.len().min(WARM_UP)].iter().max().expect("there are rounds");
    let last = *held.last().expect("there are rounds");
    check(last - warm < SLACK, || format!("memory grows: {held:?}"));
    println!("bytes held after round {WARM_UP}: {warm}, after the last: {last}");
    report::print();
    assert!(report::is_clean(), "seed {seed}: see the violations above");
}
