//! What contexts and values cost in memory, and that it is given back: in a process of its own, to the byte.
//!
//! Bytes are those asked for from the allocator. What it adds is its own affair, and so are threads' stacks.

#![cfg(not(loom))]

use std::{
    hint::black_box,
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
    thread,
};

use support::{
    counting::{held, held_by_this_thread},
    watchdog::within_a_minute,
    worker::Worker,
};
use threadctx::{Key, exit_thread_ctx, get_thread_ctx, stats};

#[path = "support"]
mod support {
    #[expect(unsafe_code, reason = "an allocator")]
    pub(crate) mod counting;
    pub(crate) mod patience;
    pub(crate) mod watchdog;
    #[allow(dead_code, reason = "half of it is for other tests")]
    pub(crate) mod worker;
}

/// What an empty context may cost beside its entry in the registry's map, and each value beside its own size.
const EMPTY: isize = 512;
const PER_VALUE: isize = 64;
/// What a burst of any size may leave behind.
const LEFT: isize = 16 << 10;
/// What the harness does with one test's result while the next one begins.
const NOISE: isize = 2 << 10;

const NS: &str = "memory";
/// Beside them there is no key in this process: eight is what a thread is taken to have.
static KEYS: [Key<u64>; 8] = [
    Key::new(NS, "0"),
    Key::new(NS, "1"),
    Key::new(NS, "2"),
    Key::new(NS, "3"),
    Key::new(NS, "4").debug(),
    Key::new(NS, "5").debug(),
    Key::new(NS, "6").debug(),
    Key::new(NS, "7").debug(),
];

/// One test at a time: the bytes are those of the process. The keys have their places from here on.
fn turn() -> MutexGuard<'static, ()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    static ONCE: LazyLock<()> = LazyLock::new(|| {
        KEYS.iter().for_each(|key| key.check().expect("it is a u64"));
        // What std and the registry make once for all threads.
        thread::spawn(|| fill(1)).join().expect("it only writes");
    });
    let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    LazyLock::force(&ONCE);
    turn
}

fn fill(n: u64) {
    KEYS.iter().zip(n..).for_each(|(key, n)| key.set(n));
}

fn workers(number: usize) -> Vec<Worker> {
    // What a thread asks for of its own accord, as it starts and as it first talks to us, is not a context's.
    let workers: Vec<_> = (0..number).map(|_| small()).collect();
    workers.iter().for_each(|worker| worker.run(|| _ = black_box(thread::current().id())));
    workers
}

fn small() -> Worker {
    Worker::with(thread::Builder::new().stack_size(64 << 10))
}

/// The bytes that `job` takes on each of `workers`: the middle of them, since now and then one has a table of all grow.
fn cost_of(workers: &[Worker], job: fn()) -> isize {
    let cost = move || {
        let before = held_by_this_thread();
        job();
        held_by_this_thread() - before
    };
    let mut costs: Vec<_> = workers.iter().map(|worker| worker.run(cost)).collect();
    costs.sort_unstable();
    costs[costs.len() / 2]
}

#[test]
fn an_empty_context_and_a_value_cost_what_the_budgets_say() {
    within_a_minute(|| {
        let _turn = turn();
        let workers = workers(100);
        let empty = cost_of(&workers, || _ = get_thread_ctx());
        let values = cost_of(&workers, || fill(1));
        let per_value = values / KEYS.len() as isize - size_of::<u64>() as isize;
        println!("an empty context: {empty} B");
        println!("each of {} values beside its own size: {per_value} B", KEYS.len());
        assert!(empty <= EMPTY, "an empty context costs {empty} bytes");
        assert!(per_value <= PER_VALUE, "each value costs {per_value} bytes beside its own");
        assert_eq!(cost_of(&workers, || fill(2)), 0, "writing again");
        assert_eq!(
            cost_of(&workers, || assert!(exit_thread_ctx())),
            -empty - values,
            "the exit gives it all back"
        );
    });
}

#[test]
fn a_value_by_name_costs_what_the_documentation_says() {
    within_a_minute(|| {
        const NAMES: isize = 64;
        const MOST: isize = 384;
        let _turn = turn();
        let workers = workers(20);
        cost_of(&workers, || _ = get_thread_ctx());
        let all = cost_of(&workers, || {
            let namespace = get_thread_ctx().namespace(NS);
            (0..NAMES as u64)
                .for_each(|n| _ = namespace.insert(&format!("name {n:02}"), n).expect("it is free"));
        });
        let each = all / NAMES - size_of::<u64>() as isize;
        println!("each of {NAMES} values by name beside its own size: {each} B");
        assert!(each <= MOST, "a value by name costs {each} bytes beside its own");
    });
}

#[test]
fn a_burst_of_ten_thousand_threads_with_eight_values_each_gives_back_its_memory() {
    within_a_minute(|| {
        const AT_ONCE: usize = 100;
        let _turn = turn();
        let before = (held(), stats().registered);
        let mut most = 0;
        for _ in 0..10_000 / AT_ONCE {
            let workers: Vec<_> = (0..AT_ONCE).map(|_| small()).collect();
            workers.iter().for_each(|worker| worker.run(|| fill(1)));
            most = most.max(held() - before.0);
            workers.into_iter().for_each(Worker::end);
        }
        let kept = held() - before.0;
        println!("10,000 threads x 8 values, {AT_ONCE} at once: {most} B at the most, {kept} B kept");
        assert_eq!(stats().registered - before.1, 10_000);
        assert!(kept < LEFT, "{kept} bytes are kept");
    });
}

/// The map's own memory is a part of the burst's; to be seen among what is kept, it must be more than may be kept.
#[test]
fn a_burst_of_two_thousand_threads_at_once_gives_back_its_memory_and_the_registrys_map_shrinks() {
    within_a_minute(|| {
        const AT_ONCE: usize = 2_000;
        /// An ident, a pointer and a byte, at seven eighths full at the most.
        const MAP: isize = (AT_ONCE * (16 + 8 + 1) * 8 / 7) as isize;
        const { assert!(MAP > 3 * LEFT, "a map that does not shrink must show") };
        let _turn = turn();
        let before = held();
        let workers: Vec<_> = (0..AT_ONCE).map(|_| small()).collect();
        workers.iter().for_each(|worker| worker.run(|| fill(1)));
        let (most, live) = (held() - before, stats().live);
        workers.into_iter().for_each(Worker::end);
        let kept = held() - before;
        println!("{AT_ONCE} threads x 8 values at once: {most} B at the most, {kept} B kept");
        assert!(live >= AT_ONCE && stats().live < AT_ONCE / 10);
        assert!(kept < LEFT, "{kept} bytes are kept");
    });
}

#[test]
fn lives_of_one_thread_give_back_everything() {
    within_a_minute(|| {
        let _turn = turn();
        let worker = small();
        let life = || {
            fill(1);
            let namespace = get_thread_ctx().namespace(NS);
            namespace.insert("by name", 1).expect("the name is free");
            get_thread_ctx().on_exit(|_| ());
            assert!(exit_thread_ctx());
        };
        worker.run(life);
        let before = held();
        worker.run(move || (0..1_000).for_each(|_| life()));
        let kept = held() - before;
        println!("1,000 lives of one thread: {kept} B kept");
        assert!(kept < NOISE, "{kept} bytes are kept");
    });
}
