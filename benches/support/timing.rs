//! Sides of a comparison, timed in turn in one process: what one side's rounds meet, the other's meet too.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

/// How much time to spend.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    /// What one side may take in one round.
    pub(crate) batch: Duration,
    /// Only to see that everything runs: the figures are worth nothing.
    pub(crate) quick: bool,
}

impl Plan {
    pub(crate) const FULL: Self = Self { rounds: 101, batch: Duration::from_millis(1), quick: false };
    pub(crate) const QUICK: Self = Self { rounds: 3, batch: Duration::from_micros(20), quick: true };

    pub(crate) fn new(quick: bool) -> Self {
        if quick { Self::QUICK } else { Self::FULL }
    }

    /// `full`, or so much less that it only shows that it runs.
    pub(crate) fn scaled(&self, full: usize, quick: usize) -> usize {
        if self.quick { quick } else { full }
    }
}

/// The median of many samples, and the quartiles around it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

impl Figures {
    pub(crate) fn of(mut samples: Vec<f64>) -> Self {
        samples.sort_unstable_by(f64::total_cmp);
        let at = |part: f64| samples[((samples.len() - 1) as f64 * part).round() as usize];
        Self { low: at(0.25), median: at(0.5), high: at(0.75) }
    }

    /// A figure that has no spread.
    pub(crate) fn exactly(value: f64) -> Self {
        Self { low: value, median: value, high: value }
    }
}

/// Does something so many times, and says how long that took.
pub(crate) type Side<'a> = Box<dyn FnMut(u32) -> Duration + 'a>;

/// What a user's code does: the operation inlined in a loop, and its result used.
pub(crate) fn looped<'a, R>(mut operation: impl FnMut() -> R + 'a) -> Side<'a> {
    Box::new(move |times| {
        let start = Instant::now();
        for _ in 0..times {
            black_box(operation());
        }
        start.elapsed()
    })
}

/// The loop alone.
fn empty_loop() -> Side<'static> {
    looped(|| 0_u64)
}

/// Nanoseconds per operation of each side, the loop's own cost subtracted.
pub(crate) fn interleaved<const N: usize>(plan: &Plan, sides: [Side<'_>; N]) -> [Figures; N] {
    let mut all: Vec<_> =
        sides.into_iter().chain([empty_loop()]).map(|side| Timed::new(plan, side)).collect();
    for round in 0..plan.rounds {
        // Forwards and backwards in turn, so that no side always runs behind the same other.
        match round % 2 {
            0 => all.iter_mut().for_each(Timed::run),
            _ => all.iter_mut().rev().for_each(Timed::run),
        }
    }
    let loop_cost = all.pop().expect("the loop was added last").figures(0.0).median;
    let mut figures = all.into_iter().map(|timed| timed.figures(loop_cost));
    std::array::from_fn(|_| figures.next().expect("one for each side"))
}

/// Nanoseconds that the loop costs per operation: what is subtracted everywhere.
pub(crate) fn loop_cost(plan: &Plan) -> Figures {
    let mut timed = Timed::new(plan, empty_loop());
    (0..plan.rounds).for_each(|_| timed.run());
    timed.figures(0.0)
}

struct Timed<'a> {
    side: Side<'a>,
    /// What it may take in one round, in nanoseconds.
    batch: f64,
    times: u32,
    /// Nanoseconds per operation.
    samples: Vec<f64>,
    best: f64,
}

impl<'a> Timed<'a> {
    /// The most that is done in one round.
    const MOST: u32 = 1 << 24;

    /// Finds out how often the side can do its work in a batch's time.
    fn new(plan: &Plan, side: Side<'a>) -> Self {
        let batch = plan.batch.as_nanos() as f64;
        let mut timed = Self { side, batch, times: 1, samples: Vec::new(), best: f64::INFINITY };
        while timed.taken() < timed.batch / 2.0 && timed.times < Self::MOST {
            timed.times *= 2;
        }
        timed
    }

    fn taken(&mut self) -> f64 {
        (self.side)(self.times).as_secs_f64() * 1e9
    }

    fn run(&mut self) {
        let sample = self.taken() / f64::from(self.times);
        self.samples.push(sample);
        // Fitted by the best so far: one that the scheduler interrupted says nothing.
        self.best = self.best.min(sample);
        self.times = (self.batch / self.best.max(0.1)).clamp(1.0, f64::from(Self::MOST)) as u32;
    }

    fn figures(self, loop_cost: f64) -> Figures {
        Figures::of(self.samples.into_iter().map(|sample| (sample - loop_cost).max(0.0)).collect())
    }
}
