//! What the owner notices of a thread that dumps without pause.

use std::{cell::Cell, hint::black_box, time::Duration};

use threadctx::Key;

use crate::{
    inspector::Inspector,
    latency::{BATCH, Latency},
    row::Row,
    timing::{DISTURBED, Figures, Plan, undisturbed},
};

static KEY: Key<u64> = Key::new("inspected", "value").debug();

/// Turns are taken for themselves, so that one in which the scheduler took the core away spoils no other.
const TURNS: usize = 5;

/// The owner while it is looked at, while a busy thread only works beside it, and while it is left alone.
struct Turn {
    inspected: Latency,
    apart: Latency,
    alone: Latency,
}

impl Turn {
    /// Whether each thread had a core of its own, and the owner's was nobody else's: a thread that works on its own took
    /// nothing from an owner that was as quick as it can be. What it takes otherwise, a dump takes too, whatever it does.
    fn is_undisturbed(&self, best: f64) -> bool {
        [&self.alone, &self.apart].iter().all(|of| of.quantile(0.5) <= DISTURBED * best)
    }
}

fn one(turns: Vec<Latency>) -> Latency {
    turns.into_iter().next().expect("one was asked for")
}

pub(crate) fn rows(plan: &Plan) -> Vec<Row> {
    KEY.set(7);
    let time = Duration::from_millis(plan.scaled(50, 1) as u64);
    let sample = || Latency::of(time, || KEY.set(black_box(7)));
    let inspector = Inspector::of(&KEY);
    let (best, taken) = (Cell::new(f64::INFINITY), Cell::new(0));
    let turn = |number| {
        taken.set(number + 1);
        let (inspected, apart) = (one(inspector.during(1, sample)), one(inspector.beside(1, sample)));
        let alone = sample();
        best.set(best.get().min(alone.quantile(0.5)));
        Turn { inspected, apart, alone }
    };
    let turns =
        undisturbed(plan.patience, plan.scaled(TURNS, 2), turn, |turn| turn.is_undisturbed(best.get()));
    if turns.len() < taken.get() {
        eprintln!(
            "inspected: {} of {} turns left out, in which the two threads had not a core each",
            taken.get() - turns.len(),
            taken.get()
        );
    }
    let rows_of = |(quantile, name, budget)| {
        let at = |which: fn(&Turn) -> &Latency| {
            Figures::of(turns.iter().map(|turn| which(turn).quantile(quantile)).collect())
        };
        let [inspected, apart, alone] =
            [at(|turn| &turn.inspected), at(|turn| &turn.apart), at(|turn| &turn.alone)];
        let name = |beside| format!("{BATCH} x set while dumped without pause / {beside}: {name}");
        [
            Row::new(name("undisturbed"), &inspected, &alone, budget),
            Row::shown(name("while a thread works on its own"), &inspected, &apart),
        ]
    };
    [(0.5, "median", 1.5), (0.999, "p99.9", 3.0)].into_iter().flat_map(rows_of).collect()
}
