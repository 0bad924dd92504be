//! The models, checked by loom: every interleaving within the number of preemptions that stands beside each, and in each
//! of them whatever weak memory may show. The scenarios are in `models/`.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release --test loom --target-dir target/loom -- --nocapture`
//!
//! `MORE_PREEMPTIONS=1` in the environment raises each bound by one, for a run that takes many times as long.
//!
//! Loom itself reports values that are read unordered with their making or their end, and values that never end.
#![cfg(loom)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use loom::model::Builder;

mod models;

/// How many more preemptions are asked for, for who has the time.
fn more_preemptions() -> usize {
    std::env::var("MORE_PREEMPTIONS").map_or(0, |more| more.parse().expect("MORE_PREEMPTIONS is a number"))
}

/// Tries every interleaving with so many preemptions at the most.
fn model(name: &str, preemptions: usize, scenario: fn()) {
    let runs = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&runs);
    let mut builder = Builder::new();
    // Where the bound is 1, loom gets no further: two readers that wait for one writer spin past any number of steps.
    let preemptions = if preemptions == 1 { 1 } else { preemptions + more_preemptions() };
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 20_000;
    let started = Instant::now();
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        scenario();
        models::expect_nothing_left();
    });
    let runs = runs.load(Ordering::Relaxed);
    println!("{name}: {runs} interleavings within {preemptions} preemptions, {:.1?}", started.elapsed());
}
