//! What the owner notices of a thread that dumps without pause.

use std::{hint::black_box, time::Duration};

use threadctx::Key;

use crate::{
    inspector::Inspector,
    latency::{BATCH, Latency},
    row::Row,
    timing::{Figures, Plan},
};

static KEY: Key<u64> = Key::new("inspected", "value").debug();

/// Turns of being looked at, of being left alone, and of a busy thread that only works beside it. The figures of each turn
/// are taken for themselves, so that one in which the scheduler took the core away spoils no other.
const TURNS: usize = 5;

pub(crate) fn rows(plan: &Plan) -> Vec<Row> {
    KEY.set(7);
    let time = Duration::from_millis(plan.scaled(50, 1) as u64);
    let sample = || Latency::of(time, || KEY.set(black_box(7)));
    let inspector = Inspector::of(&KEY);
    let (mut inspected, mut apart, mut alone) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..plan.scaled(TURNS, 2) {
        inspected.extend(inspector.during(1, sample));
        apart.extend(inspector.beside(1, sample));
        alone.push(sample());
    }
    let rows_of = |(quantile, name, budget)| {
        let at = |of: &[Latency]| Figures::of(of.iter().map(|one| one.quantile(quantile)).collect());
        let name = |beside| format!("{BATCH} x set while dumped without pause / {beside}: {name}");
        [
            Row::new(name("undisturbed"), &at(&inspected), &at(&alone), budget),
            Row::shown(name("while a thread works on its own"), &at(&inspected), &at(&apart)),
        ]
    };
    [(0.5, "median", 1.5), (0.999, "p99.9", 3.0)].into_iter().flat_map(rows_of).collect()
}
