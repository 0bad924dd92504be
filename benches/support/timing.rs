//! Sides of a comparison, timed in turn in one process: what one side's rounds meet, the other's meet too.

use std::{
    env,
    hint::black_box,
    sync::{LazyLock, Mutex},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

/// How much time to spend.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    /// What one side may take in one round.
    pub(crate) batch: Duration,
    /// How many times the rounds may be repeated to get so many undisturbed ones; 1 takes them as they come.
    pub(crate) patience: usize,
    /// Only to see that everything runs: the figures are worth nothing.
    pub(crate) quick: bool,
}

impl Plan {
    pub(crate) const FULL: Self =
        Self { rounds: 101, batch: Duration::from_millis(1), patience: 20, quick: false };
    pub(crate) const QUICK: Self =
        Self { rounds: 3, batch: Duration::from_micros(20), patience: 1, quick: true };

    pub(crate) fn new(quick: bool) -> Self {
        if quick { Self::QUICK } else { Self::FULL }
    }

    /// `full`, or so much less that it only shows that it runs.
    pub(crate) fn scaled(&self, full: usize, quick: usize) -> usize {
        if self.quick { quick } else { full }
    }
}

/// The median of many samples, and the quartiles around it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
    /// In the order in which they were taken.
    #[serde(skip)]
    samples: Vec<f64>,
}

impl Figures {
    pub(crate) fn of(samples: Vec<f64>) -> Self {
        let mut sorted = samples.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let at = |part: f64| sorted[((sorted.len() - 1) as f64 * part).round() as usize];
        Self { low: at(0.25), median: at(0.5), high: at(0.75), samples }
    }

    /// A figure that has no spread.
    pub(crate) fn exactly(value: f64) -> Self {
        Self { low: value, median: value, high: value, samples: Vec::new() }
    }

    /// How many times `other`: the median of the ratios of each round, whose sides met the same mood of the machine; where
    /// they had no rounds in common, the ratio of the medians.
    pub(crate) fn ratio_to(&self, other: &Self) -> f64 {
        if self.samples.is_empty() || self.samples.len() != other.samples.len() {
            return self.median / other.median;
        }
        Self::of(self.samples.iter().zip(&other.samples).map(|(one, other)| one / other).collect()).median
    }
}

/// Does something so many times, and says how long that took.
pub(crate) type Side<'a> = Box<dyn FnMut(u32) -> Duration + 'a>;

/// What takes so many times its least is disturbed by something.
pub(crate) const DISTURBED: f64 = 1.15;

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

/// Nanoseconds per operation of each side, what the loop took in the same round subtracted.
///
/// A round in which the loop took longer than it can is left out: something else ran on the core then, or on the other half
/// of it, and that slows one side down more than the other. On a machine that is never left alone, all rounds count.
pub(crate) fn interleaved<const N: usize>(plan: &Plan, sides: [Side<'_>; N]) -> [Figures; N] {
    let mut sides = sides.map(|side| Timed::new(plan, side));
    let mut empty = Timed::new(plan, empty_loop());
    let round = |number| {
        let (mut samples, before) = ([0.0; N], empty.run());
        let all = sides.iter_mut().zip(&mut samples);
        // Forwards and backwards in turn, so that no side always runs behind the same other.
        match number % 2 {
            0 => all.for_each(|(side, sample)| *sample = side.run()),
            _ => all.rev().for_each(|(side, sample)| *sample = side.run()),
        }
        Round { samples, loop_costs: [before, empty.run()] }
    };
    let rounds = undisturbed(plan.patience, plan.rounds, round, Round::is_undisturbed);
    std::array::from_fn(|side| Figures::of(rounds.iter().map(|round| round.of(side)).collect()))
}

/// Takes rounds until so many of them are undisturbed, and gives those. All of them on a machine that is never left alone for
/// long, where the figures say little.
pub(crate) fn undisturbed<R>(
    patience: usize,
    wanted: usize,
    mut round: impl FnMut(usize) -> R,
    is_undisturbed: impl Fn(&R) -> bool,
) -> Vec<R> {
    let (mut rounds, mut undisturbed) = (Vec::new(), 0);
    while undisturbed < wanted && rounds.len() < wanted * patience {
        let round = round(rounds.len());
        undisturbed += usize::from(is_undisturbed(&round));
        rounds.push(round);
    }
    match patience {
        1 => {}
        _ if undisturbed >= wanted.div_ceil(4) => rounds.retain(is_undisturbed),
        _ => eprintln!("the machine was busy all the time: the figures say little"),
    }
    rounds
}

/// What each side took in one round, and the loop before and after them.
struct Round<const N: usize> {
    samples: [f64; N],
    loop_costs: [f64; 2],
}

impl<const N: usize> Round<N> {
    fn is_undisturbed(&self) -> bool {
        self.loop_costs.iter().all(|cost| *cost <= DISTURBED * least_loop_cost(*cost))
    }

    fn of(&self, side: usize) -> f64 {
        let [before, after] = self.loop_costs;
        (self.samples[side] - before.min(after)).max(0.0)
    }
}

/// The variable in which a process finds what the one that started it has seen of the loop.
pub(crate) const LEAST_LOOP_COST: &str = "BENCH_LEAST_LOOP_COST";

/// The least that the loop was ever seen to take, `seen` included.
pub(crate) fn least_loop_cost(seen: f64) -> f64 {
    static LEAST: LazyLock<Mutex<f64>> = LazyLock::new(|| {
        let known = env::var(LEAST_LOOP_COST).ok().and_then(|known| known.parse().ok());
        Mutex::new(known.unwrap_or(f64::INFINITY))
    });
    let mut least = LEAST.lock().expect("nothing panics meanwhile");
    *least = least.min(seen);
    *least
}

/// Nanoseconds that the loop costs per operation: what is subtracted everywhere.
pub(crate) fn loop_cost(plan: &Plan) -> Figures {
    let mut timed = Timed::new(plan, empty_loop());
    let samples = (0..plan.rounds).map(|_| timed.run());
    Figures::of(samples.inspect(|sample| _ = least_loop_cost(*sample)).collect())
}

struct Timed<'a> {
    side: Side<'a>,
    /// What it may take in one round, in nanoseconds.
    batch: f64,
    times: u32,
    /// The least that it ever took, in nanoseconds per operation.
    best: f64,
}

impl<'a> Timed<'a> {
    /// The most that is done in one round.
    const MOST: u32 = 1 << 24;

    /// Finds out how often the side can do its work in a batch's time.
    fn new(plan: &Plan, side: Side<'a>) -> Self {
        let batch = plan.batch.as_nanos() as f64;
        let mut timed = Self { side, batch, times: 1, best: f64::INFINITY };
        while timed.taken() < timed.batch / 2.0 && timed.times < Self::MOST {
            timed.times *= 2;
        }
        timed
    }

    fn taken(&mut self) -> f64 {
        (self.side)(self.times).as_secs_f64() * 1e9
    }

    /// Nanoseconds per operation in one round.
    fn run(&mut self) -> f64 {
        let sample = self.taken() / f64::from(self.times);
        // Fitted by the best so far: one that the scheduler interrupted says nothing.
        self.best = self.best.min(sample);
        self.times = (self.batch / self.best.max(0.1)).clamp(1.0, f64::from(Self::MOST)) as u32;
        sample
    }
}
