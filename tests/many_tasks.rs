//! 100,000 tasks on two workers, a tenth of them cancelled at random, in a process of their own so that the figures can be
//! exact: no value crosses, each drops once, and no context stays.

#![cfg(not(loom))]

use std::sync::atomic::{AtomicU64, Ordering};

use threadctx::{Key, contexts, stats, tokio as twin};
use tokio::{
    runtime::{Builder, Runtime},
    task::{JoinHandle, yield_now},
};

const TASKS: u64 = 100_000;
/// How many are there at once.
const WAVE: u64 = 1_000;

static MINE: Key<u64> = Key::new("many", "mine");
static GIVEN: Key<u64> = Key::new("many", "given").inherit();
static COUNTED: Key<Counted> = Key::new("many", "counted");

static BEGUN: AtomicU64 = AtomicU64::new(0);
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// The task's newest value: as it drops, the older ones are still there to be read.
struct Counted(u64);

impl Drop for Counted {
    fn drop(&mut self) {
        // A panic here would be contained, and show in the figures.
        assert_eq!((MINE.cloned(), GIVEN.cloned()), (Some(self.0), Some(self.0)));
        DROPPED.fetch_add(1, Ordering::SeqCst);
    }
}

/// A number that looks random.
fn scatter(seed: u64) -> u64 {
    let mixed = (seed ^ seed >> 31).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ mixed >> 29
}

async fn job(number: u64) -> u64 {
    BEGUN.fetch_add(1, Ordering::SeqCst);
    MINE.set(number);
    COUNTED.set(Counted(number));
    for step in 0..scatter(number) % 6 {
        assert_eq!((MINE.cloned(), GIVEN.cloned()), (Some(number), Some(number)));
        match scatter(number + step) % 8 {
            0 => assert_eq!(twin::spawn_blocking(|| GIVEN.cloned()).await.unwrap(), Some(number)),
            1 => {
                let child = twin::spawn(async { (MINE.cloned(), GIVEN.cloned()) });
                assert_eq!(child.await.unwrap(), (None, Some(number)));
            }
            _ => yield_now().await,
        }
    }
    MINE.cloned().unwrap()
}

/// Cancels about a tenth, some before they have begun and some after.
async fn cancel_some(wave: &[(u64, JoinHandle<u64>)]) {
    for (number, task) in wave {
        if scatter(number * 3) % 10 == 0 {
            if scatter(number * 5) % 2 == 0 {
                yield_now().await;
            }
            task.abort();
        }
    }
}

/// Runs the tasks with these numbers; how many came to their end.
async fn run(numbers: std::ops::Range<u64>) -> u64 {
    let spawn = |number| (number, GIVEN.scope(number, || twin::spawn(job(number))));
    let wave: Vec<_> = numbers.map(spawn).collect();
    cancel_some(&wave).await;
    let mut done = 0;
    for (number, task) in wave {
        match task.await {
            Ok(seen) => assert_eq!(seen, number),
            Err(error) => assert!(error.is_cancelled(), "{error}"),
        }
        done += 1;
    }
    done
}

async fn run_all() {
    for first in (0..TASKS).step_by(WAVE as usize) {
        assert_eq!(run(first..first + WAVE).await, WAVE);
    }
}

#[test]
fn of_many_tasks_a_tenth_cancelled_no_value_crosses_and_no_context_stays() {
    let before = stats();
    let runtime: Runtime = Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(run_all());
    drop(runtime);
    threadctx::exit_thread_ctx();
    let after = stats();
    assert_eq!((after.live, contexts().len()), (before.live, 0), "all that came is gone");
    assert_eq!(after.registered - before.registered, after.exited - before.exited);
    assert_eq!((after.drop_panics, after.hook_panics, after.scopes_misplaced), (0, 0, 0));
    let begun = BEGUN.load(Ordering::SeqCst);
    assert!(begun > TASKS * 8 / 10 && begun < TASKS, "{begun} of {TASKS} had begun");
    assert_eq!(DROPPED.load(Ordering::SeqCst), begun, "each value dropped once");
}
