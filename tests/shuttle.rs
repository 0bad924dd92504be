//! The models, checked by shuttle: the small scenarios of `models/` and larger ones, in random interleavings. In CI the
//! seed is fixed.
//!
//! `RUSTFLAGS="--cfg shuttle" cargo test --release --test shuttle --target-dir target/shuttle`
//!
//! In the environment, each on demand: `SHUTTLE_SEED=random` (or a number), `SHUTTLE_ITERATIONS=100000` for each
//! scenario, and `SHUTTLE_REPLAY=FILE` with the name of one test, to see one interleaving again: a test that fails says
//! into which file it has written its schedule.
#![cfg(shuttle)]

use std::{
    env,
    hash::{BuildHasher, RandomState},
    time::Instant,
};

use shuttle::{
    Config, FailurePersistence, MaxSteps, Runner,
    scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler},
};

#[path = "models/crowd.rs"]
mod crowd;
mod models;

/// What CI runs with.
const SEED: u64 = 0x7468_7265_6164;
/// So often is a scenario of `models/` run, with each of the two schedulers.
const SMALL: usize = 500;
/// How many changes of priority the second scheduler makes at most.
const DEPTH: usize = 4;

fn setting(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn seed() -> u64 {
    match setting("SHUTTLE_SEED").as_deref() {
        None => SEED,
        Some("random") => RandomState::new().hash_one(Instant::now()),
        Some(seed) => seed.parse().expect("SHUTTLE_SEED is a number, or `random`"),
    }
}

fn iterations(usual: usize) -> usize {
    setting("SHUTTLE_ITERATIONS")
        .map_or(usual, |asked| asked.parse().expect("SHUTTLE_ITERATIONS is a number"))
}

/// Room for a dump on each stack, and an end to a run that does not come to one.
fn config() -> Config {
    let mut config = Config::new();
    config.stack_size = 1 << 18;
    config.max_steps = MaxSteps::FailAfter(200_000);
    config.silence_warnings = true;
    config.failure_persistence = FailurePersistence::File(Some(env!("CARGO_TARGET_TMPDIR").into()));
    config
}

fn run(scheduler: impl Scheduler + 'static, scenario: fn()) -> usize {
    Runner::new(scheduler, config()).run(move || {
        scenario();
        models::expect_nothing_left();
    })
}

/// Runs a scenario in so many random interleavings, and as many more in which one thread goes on until its priority
/// changes; or in the one interleaving that is to be seen again.
fn check(name: &str, usual: usize, scenario: fn()) {
    if let Some(path) = setting("SHUTTLE_REPLAY") {
        run(ReplayScheduler::new_from_file(path).expect("SHUTTLE_REPLAY names a file"), scenario);
        return;
    }
    let (seed, iterations, started) = (seed(), iterations(usual), Instant::now());
    println!("{name}: seed {seed}");
    let runs = run(RandomScheduler::new_from_seed(seed, iterations), scenario)
        + run(PctScheduler::new_from_seed(seed, DEPTH, iterations), scenario);
    println!("{name}: {runs} interleavings from seed {seed}, {:.1?}", started.elapsed());
}

/// A scenario of `models/`: the bound is loom's.
fn model(name: &str, _: usize, scenario: fn()) {
    check(name, SMALL, scenario);
}
