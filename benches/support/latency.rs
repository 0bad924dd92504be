//! How long an operation of a few nanoseconds takes, not on average but at worst.
//!
//! The clock takes longer than the operation, so a sample is a small batch of them between two looks at the clock, and
//! what the same costs without the operation is subtracted. A delay that meets one operation of a batch is thus seen in
//! full, but as that of the batch: all figures here are nanoseconds per batch.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;

/// Operations per sample.
pub(crate) const BATCH: usize = 16;

/// A second, in nanoseconds: longer delays are counted as that.
const LONGEST: u64 = 1_000_000_000;

/// Batches of one operation, by how long they took.
pub(crate) struct Latency {
    histogram: Histogram<u64>,
    /// What the clock and the loop cost.
    clock: u64,
}

impl Latency {
    /// Batches of `operation` for as long as `time`.
    pub(crate) fn of<R>(time: Duration, operation: impl FnMut() -> R) -> Self {
        Self { histogram: sampled(time, operation), clock: clock_cost() }
    }

    pub(crate) fn quantile(&self, quantile: f64) -> f64 {
        self.histogram.value_at_quantile(quantile).saturating_sub(self.clock) as f64
    }
}

fn clock_cost() -> u64 {
    sampled(Duration::from_millis(1), || 0_u64).value_at_quantile(0.5)
}

fn sampled<R>(time: Duration, mut operation: impl FnMut() -> R) -> Histogram<u64> {
    let mut histogram = Histogram::new_with_max(LONGEST, 3).expect("the bounds are good");
    let end = Instant::now() + time;
    loop {
        let start = Instant::now();
        for _ in 0..BATCH {
            black_box(operation());
        }
        let stop = Instant::now();
        histogram.saturating_record((stop - start).as_nanos() as u64);
        if stop >= end {
            return histogram;
        }
    }
}
